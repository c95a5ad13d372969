#include "proto/http.h"

#define NO_PORT  (-1)
#define BAD_PORT (-2)

static bool is_alpha(uint8_t c)
{
    c = ascii_lower(c);
    return c >= 'a' && c <= 'z';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_zero(uint8_t c)
{
    return c == '0';
}

static bool is_alnum(uint8_t c)
{
    return is_alpha(c) || is_digit(c);
}

/* Is c one of the characters of set? */
static bool is_in(const char *set, uint8_t c)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* RFC 9110 section 5.6.2: what methods and field names are made of. */
static bool is_token_char(uint8_t c)
{
    return is_alnum(c) || is_in("!#$%&'*+-.^_`|~", c);
}

/* Any visible character but those that start a fragment or break a line. */
static bool is_target_char(uint8_t c)
{
    return c > ' ' && c < 0x7F && c != '#';
}

/* RFC 9110 section 5.5, obs-text included. */
static bool is_value_char(uint8_t c)
{
    return c == '\t' || (c >= ' ' && c != 0x7F);
}

/* RFC 3986 section 3.2.2; what is in brackets besides has colons. */
static bool is_host_char(uint8_t c)
{
    return is_alnum(c) || is_in("-._~%!$&'()*+,;=", c);
}

static bool is_bracket_char(uint8_t c)
{
    return is_host_char(c) || c == ':';
}

/* Length of the run of such characters at the start of text. */
static size_t run_len(struct span text, bool (*is_member)(uint8_t))
{
    size_t n = 0;

    while (n < text.len && is_member(text.ptr[n]))
        n++;
    return n;
}

static bool all_are(struct span text, bool (*is_member)(uint8_t))
{
    return run_len(text, is_member) == text.len;
}

static struct span span_first(struct span text, size_t n)
{
    return (struct span){text.ptr, n};
}

static struct span span_skip(struct span text, size_t n)
{
    return (struct span){text.ptr + n, text.len - n};
}

static bool span_begins(struct span text, const char *start)
{
    struct span want = span_of(start);

    return text.len >= want.len &&
           span_equals(span_first(text, want.len), want);
}

/* Position of c in text, or text.len. */
static size_t span_find(struct span text, uint8_t c)
{
    const uint8_t *at = text.len ? memchr(text.ptr, c, text.len) : NULL;

    return at ? (size_t)(at - text.ptr) : text.len;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct span span_trim(struct span text)
{
    text = span_skip(text, run_len(text, is_space));
    while (text.len > 0 && is_space(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

/* A host and its port, both of a Host field and of a URI. */
struct authority {
    struct span host; /* with brackets when it has them; may be empty */
    int port;         /* 0 to 65535, NO_PORT or BAD_PORT */
};

static int parse_port(struct span digits)
{
    int port = 0;

    if (digits.len == 0)
        return NO_PORT;
    for (size_t i = 0; i < digits.len; i++) {
        if (!is_digit(digits.ptr[i]))
            return BAD_PORT;
        port = port * 10 + (digits.ptr[i] - '0');
        if (port > UINT16_MAX)
            return BAD_PORT;
    }
    return port;
}

/* returns: false when text is no host with or without a port */
static bool parse_authority(struct span text, struct authority *a)
{
    size_t n = run_len(text, is_host_char);

    if (text.len > 0 && text.ptr[0] == '[') {
        n = 1 + run_len(span_skip(text, 1), is_bracket_char);
        if (n < 3 || n == text.len || text.ptr[n] != ']')
            return false;
        n++;
    }
    a->host = span_first(text, n);
    a->port = NO_PORT;
    if (n >= text.len)
        return true;
    if (text.ptr[n] != ':')
        return false;
    a->port = parse_port(span_skip(text, n + 1));
    return a->port != BAD_PORT;
}

/* Bytes of `scheme://` at the start of a URI, or 0. */
static size_t scheme_len(struct span uri)
{
    size_t n = run_len(uri, is_alpha);

    return n > 0 && span_begins(span_skip(uri, n), "://") ? n + 3 : 0;
}

/* Authority of a whole URI; empty for any other target. */
static struct span target_authority(struct span target)
{
    size_t scheme = scheme_len(target);
    size_t n = 0;

    if (scheme == 0)
        return (struct span){0};
    target = span_skip(target, scheme);
    while (n < target.len && target.ptr[n] != '/' && target.ptr[n] != '?')
        n++;
    return span_first(target, n);
}

struct span http_target_path(struct span target)
{
    size_t scheme = scheme_len(target);

    if (scheme > 0)
        target = span_skip(target, scheme + target_authority(target).len);
    target = span_first(target, span_find(target, '?'));
    return target.len > 0 ? target : span_of("/");
}

bool http_may_be_request(const uint8_t *in, size_t len)
{
    struct span text = {in, len};
    size_t n = run_len(text, is_token_char);

    if (n > HTTP_METHOD_MAX)
        return false;
    return n == len || (n > 0 && in[n] == ' ');
}

size_t http_head_end(const uint8_t *in, size_t len, size_t checked)
{
    /* A line feed among the last two bytes could not be judged before. */
    size_t i = checked < 2 ? 0 : checked - 2;

    while (i < len) {
        i += span_find((struct span){in + i, len - i}, '\n') + 1;
        if (i < len && in[i] == '\n')
            return i + 1;
        if (i + 1 < len && in[i] == '\r' && in[i + 1] == '\n')
            return i + 2;
    }
    return 0;
}

static bool is_target(struct span method, struct span target)
{
    struct authority a;

    if (!all_are(target, is_target_char))
        return false;
    if (span_begins(target, "/"))
        return true;
    if (scheme_len(target) == 0)
        return span_equals(target, span_of("*")) &&
               span_equals(method, span_of("OPTIONS"));
    return parse_authority(target_authority(target), &a) && a.host.len > 0;
}

/* returns: 0 or an enum http_error */
static int parse_version(struct span text, struct http_request *out)
{
    if (text.len != 8 || !span_begins(text, "HTTP/") || text.ptr[6] != '.' ||
        !is_digit(text.ptr[5]) || !is_digit(text.ptr[7]))
        return HTTP_BAD;
    if (text.ptr[5] != '1')
        return HTTP_BAD_VERSION;
    out->minor_version = text.ptr[7] - '0';
    return 0;
}

/* returns: 0 or an enum http_error */
static int parse_request_line(struct span line, struct http_request *out)
{
    size_t n = run_len(line, is_token_char);

    if (n == 0 || n > HTTP_METHOD_MAX || n == line.len || line.ptr[n] != ' ')
        return HTTP_BAD;
    out->method = span_first(line, n);
    line = span_skip(line, n + 1);
    n = span_find(line, ' ');
    if (n == line.len)
        return HTTP_BAD;
    out->target = span_first(line, n);
    if (!is_target(out->method, out->target))
        return HTTP_BAD;
    return parse_version(span_skip(line, n + 1), out);
}

/* returns: 0 or an enum http_error */
static int parse_field(struct span line, struct http_request *out)
{
    size_t n = run_len(line, is_token_char);

    if (n == 0 || n == line.len || line.ptr[n] != ':')
        return HTTP_BAD;
    if (!all_are(span_skip(line, n + 1), is_value_char))
        return HTTP_BAD;
    if (out->field_count == HTTP_FIELDS_MAX)
        return HTTP_TOO_MANY;
    out->fields[out->field_count++] = (struct http_field){
        .name = span_first(line, n),
        .value = span_trim(span_skip(line, n + 1)),
    };
    return 0;
}

/* RFC 9112 section 3.2: one Host, which only HTTP/1.0 may leave out. */
static bool has_good_host(const struct http_request *req)
{
    struct authority a;
    size_t count;
    const struct http_field *host = http_find(req, "Host", &count);

    if (host == NULL)
        return req->minor_version == 0;
    if (count != 1 || !parse_authority(host->value, &a))
        return false;
    return a.host.len > 0 || host->value.len == 0;
}

/*
 * One line without its CRLF, the empty one too.
 * returns: 1 after the last line of the head, 0 after another, or an error
 */
static int parse_line(struct span line, struct http_request *out)
{
    if (out->method.ptr == NULL)
        return parse_request_line(line, out);
    if (line.len > 0)
        return parse_field(line, out);
    return has_good_host(out) ? 1 : HTTP_BAD;
}

int http_parse(const uint8_t *in, size_t len, struct http_request *out)
{
    struct span rest = {in, len};
    int result = 0;

    out->method = (struct span){0};
    out->field_count = 0;
    while (result == 0) {
        size_t n = span_find(rest, '\n');
        if (n == rest.len)
            return 0;
        if (n == 0 || rest.ptr[n - 1] != '\r')
            return HTTP_BAD;
        result = parse_line(span_first(rest, n - 1), out);
        rest = span_skip(rest, n + 1);
    }
    return result < 0 ? result : (int)(len - rest.len);
}

int http_error_status(int error)
{
    switch (error) {
    case HTTP_TOO_MANY:
        return 431;
    case HTTP_BAD_VERSION:
        return 505;
    default:
        return 400;
    }
}

const struct http_field *http_find(const struct http_request *req,
                                   const char *name, size_t *count)
{
    const struct http_field *first = NULL;
    struct span want = span_of(name);
    size_t n = 0;

    for (size_t i = 0; i < req->field_count; i++) {
        if (!span_equals_nocase(req->fields[i].name, want))
            continue;
        if (n++ == 0)
            first = &req->fields[i];
    }
    if (count != NULL)
        *count = n;
    return first;
}

static bool list_has_token(struct span list, struct span token)
{
    for (;;) {
        size_t n = span_find(list, ',');
        if (span_equals_nocase(span_trim(span_first(list, n)), token))
            return true;
        if (n == list.len)
            return false;
        list = span_skip(list, n + 1);
    }
}

bool http_field_has_token(const struct http_request *req, const char *name,
                          const char *token)
{
    struct span want_name = span_of(name);
    struct span want = span_of(token);

    for (size_t i = 0; i < req->field_count; i++)
        if (span_equals_nocase(req->fields[i].name, want_name) &&
            list_has_token(req->fields[i].value, want))
            return true;
    return false;
}

struct span http_request_host(const struct http_request *req)
{
    const struct http_field *host = http_find(req, "Host", NULL);
    struct span authority = target_authority(req->target);

    if (authority.len > 0 || host == NULL)
        return authority;
    return host->value;
}

/* A body would be read as frames by us and as a body by a proxy. */
static bool has_body(const struct http_request *req)
{
    const struct http_field *length;
    size_t count;

    if (http_find(req, "Transfer-Encoding", NULL) != NULL)
        return true;
    length = http_find(req, "Content-Length", &count);
    if (length == NULL)
        return false;
    return count != 1 || length->value.len == 0 ||
           !all_are(length->value, is_zero);
}

int http_check_upgrade(const struct http_request *req, struct span *key)
{
    const struct http_field *field;
    size_t count;

    if (!span_equals(req->method, span_of("GET")))
        return 405;
    if (has_body(req))
        return 400;
    /* RFC 9110 section 7.8: HTTP/1.0 knows no Upgrade. */
    if (req->minor_version == 0 ||
        !http_field_has_token(req, "Upgrade", "websocket"))
        return 426;
    if (!http_field_has_token(req, "Connection", "upgrade") ||
        http_request_host(req).len == 0)
        return 400;
    field = http_find(req, "Sec-WebSocket-Version", &count);
    if (count != 1 || !span_equals(field->value, span_of("13")))
        return 426;
    field = http_find(req, "Sec-WebSocket-Key", &count);
    if (count != 1 || !base64_is_16_bytes(field->value))
        return 400;
    *key = field->value;
    return 101;
}

bool http_origin_matches(struct span origin, struct span host, bool tls)
{
    struct authority theirs;
    struct authority ours;
    int default_port = tls ? 443 : 80;
    size_t n = scheme_len(origin);

    if (!span_equals_nocase(span_first(origin, n),
                            span_of(tls ? "https://" : "http://")))
        return false;
    if (!parse_authority(span_skip(origin, n), &theirs) ||
        !parse_authority(host, &ours) || ours.host.len == 0)
        return false;
    if (theirs.port == NO_PORT)
        theirs.port = default_port;
    if (ours.port == NO_PORT)
        ours.port = default_port;
    return theirs.port == ours.port &&
           span_equals_nocase(theirs.host, ours.host);
}
