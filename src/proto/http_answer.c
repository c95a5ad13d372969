#include "proto/http.h"

#include "base/buf.h"
#include "base/digest.h"

#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/* RFC 6455 section 4.2.2 item 5.4 */
static void derive_accept(struct span key, char out[BASE64_LEN(20)])
{
    uint8_t hash[DIGEST_SHA1_LEN];
    uint8_t text[BASE64_LEN(16) + sizeof ACCEPT_GUID - 1];

    memcpy(text, key.ptr, BASE64_LEN(16));
    memcpy(text + BASE64_LEN(16), ACCEPT_GUID, sizeof ACCEPT_GUID - 1);
    digest_sha1(text, sizeof text, hash);
    base64_encode(hash, sizeof hash, out);
}

static bool put(struct buf *b, const char *text)
{
    return buf_append(b, text, strlen(text));
}

static bool put_number(struct buf *b, size_t number)
{
    char digits[20];
    size_t n = sizeof digits;

    do {
        digits[--n] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return buf_append(b, digits + n, sizeof digits - n);
}

size_t http_format_101(struct span key, char *out, size_t cap)
{
    char accept[BASE64_LEN(DIGEST_SHA1_LEN)];
    struct buf b;

    derive_accept(key, accept);
    buf_init(&b, (uint8_t *)out, cap);
    bool fits = put(&b, "HTTP/1.1 101 Switching Protocols\r\n"
                        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: ") &&
                buf_append(&b, accept, sizeof accept) && put(&b, "\r\n\r\n");
    return fits ? buf_len(&b) : 0;
}

static const char *status_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } table[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].status == status)
            return table[i].reason;
    return "";
}

/* RFC 9110 sections 7.8 and 15.5.22: 426 names the protocol that is wanted. */
static const char *connection_lines(int status)
{
    if (status != 426)
        return "\r\nConnection: close\r\n";
    return "\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n"
           "Sec-WebSocket-Version: 13\r\n";
}

size_t http_format_answer(const struct http_answer *a, char *out, size_t cap)
{
    struct buf b;

    buf_init(&b, (uint8_t *)out, cap);
    bool fits = put(&b, "HTTP/1.1 ") && put_number(&b, (size_t)a->status) &&
                put(&b, " ") && put(&b, status_reason(a->status)) &&
                put(&b, "\r\nContent-Type: ") &&
                put(&b, a->type ? a->type : "text/plain; charset=utf-8") &&
                put(&b, "\r\nCache-Control: no-store\r\nContent-Length: ") &&
                put_number(&b, a->body.len) &&
                put(&b, connection_lines(a->status)) &&
                put(&b, a->extra ? a->extra : "") && put(&b, "\r\n") &&
                (a->head_only || buf_append(&b, a->body.ptr, a->body.len));
    return fits ? buf_len(&b) : 0;
}
