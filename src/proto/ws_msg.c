#include "proto/ws_msg.h"

#include <string.h>

#define CONTROL_BIT 8 /* in the opcodes of control frames */

void ws_recv_init(struct ws_recv *r, uint8_t *mem, size_t max_message,
                  bool accept_binary)
{
    *r = (struct ws_recv){
        .mem = mem,
        .max_message = max_message,
        .accept_binary = accept_binary,
    };
}

bool ws_recv_is_between(const struct ws_recv *r)
{
    return r->message_op == 0 && !r->in_payload;
}

struct span ws_recv_payload(const struct ws_recv *r)
{
    return r->payload;
}

static enum ws_event fail(struct ws_recv *r, uint16_t code, const char *reason)
{
    r->is_over = true;
    r->close_code = code;
    r->reason = reason;
    return WS_EVENT_FAIL;
}

static enum ws_event fail_utf8(struct ws_recv *r)
{
    return fail(r, WS_CLOSE_BAD_DATA, "text is not UTF-8");
}

static bool is_control(const struct ws_recv *r)
{
    return (r->frame.opcode & CONTROL_BIT) != 0;
}

/* What the first two bytes of a frame must be, whatever came before. */
static enum ws_event check_frame(struct ws_recv *r)
{
    const struct ws_header *h = &r->frame;

    if (h->rsv != 0)
        return fail(r, WS_CLOSE_PROTOCOL, "reserved bit set");
    if ((h->opcode & ~CONTROL_BIT) > WS_OP_BINARY)
        return fail(r, WS_CLOSE_PROTOCOL, "unknown opcode");
    if (!h->masked)
        return fail(r, WS_CLOSE_PROTOCOL, "frame is not masked");
    return WS_EVENT_NONE;
}

static enum ws_event check_control(struct ws_recv *r)
{
    const struct ws_header *h = &r->frame;

    if (!h->fin)
        return fail(r, WS_CLOSE_PROTOCOL, "control frame is fragmented");
    if (h->payload_len > WS_CONTROL_MAX)
        return fail(r, WS_CLOSE_PROTOCOL, "control frame is too long");
    if (h->opcode == WS_OP_CLOSE && h->payload_len == 1)
        return fail(r, WS_CLOSE_PROTOCOL, "bad close payload");
    return WS_EVENT_NONE;
}

/* A data frame against the message that it begins or continues. */
static enum ws_event check_data(struct ws_recv *r)
{
    const struct ws_header *h = &r->frame;
    bool is_first = h->opcode != WS_OP_CONTINUATION;

    if (is_first && r->message_op != 0)
        return fail(r, WS_CLOSE_PROTOCOL, "message inside a message");
    if (!is_first && r->message_op == 0)
        return fail(r, WS_CLOSE_PROTOCOL, "nothing to continue");
    if (h->opcode == WS_OP_BINARY && !r->accept_binary)
        return fail(r, WS_CLOSE_UNSUPPORTED, "binary is not accepted");
    if (is_first)
        r->message_len = 0;
    if (h->payload_len > r->max_message - r->message_len)
        return fail(r, WS_CLOSE_TOO_BIG, "message is too big");
    if (is_first) {
        r->message_op = h->opcode;
        utf8_init(&r->text);
    }
    return WS_EVENT_NONE;
}

static enum ws_event begin_frame(struct ws_recv *r)
{
    if (ws_header_parse(r->head, r->head_len, &r->frame) < 0)
        return fail(r, WS_CLOSE_PROTOCOL, "bad length form");
    r->head_len = 0;
    r->in_payload = true;
    r->frame_done = 0;

    enum ws_event event = check_frame(r);
    if (event != WS_EVENT_NONE)
        return event;
    return is_control(r) ? check_control(r) : check_data(r);
}

/* Collect the header, of which the first two bytes tell the length. */
static size_t feed_header(struct ws_recv *r, const uint8_t *in, size_t len,
                          enum ws_event *event)
{
    size_t want = r->head_len < 2 ? 2 : ws_header_len(r->head);
    size_t n = want - r->head_len;

    if (n > len)
        n = len;
    memcpy(r->head + r->head_len, in, n);
    r->head_len = (uint8_t)(r->head_len + n);
    if (r->head_len >= 2 && r->head_len == ws_header_len(r->head))
        *event = begin_frame(r);
    return n;
}

/* Bytes of the current frame that are still to come, at most len. */
static size_t frame_rest(const struct ws_recv *r, size_t len)
{
    uint64_t rest = r->frame.payload_len - r->frame_done;

    return rest < len ? (size_t)rest : len;
}

/* Keep the payload bytes and judge those that are text. */
static size_t feed_payload(struct ws_recv *r, const uint8_t *in, size_t len,
                           enum ws_event *event)
{
    size_t n = frame_rest(r, len);
    uint8_t *place;

    if (n == 0)
        return 0;
    place =
        is_control(r) ? r->control + r->frame_done : r->mem + r->message_len;
    memcpy(place, in, n);
    ws_unmask(place, n, r->frame.mask, r->frame_done);
    r->frame_done += n;
    if (is_control(r))
        return n;
    r->message_len += n;
    if (r->message_op == WS_OP_TEXT && !utf8_feed(&r->text, place, n))
        *event = fail_utf8(r);
    return n;
}

/* Codes that may be on the wire: RFC 6455 section 7.4 and IANA's registry. */
static bool is_close_code(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static enum ws_event end_close(struct ws_recv *r)
{
    if (r->payload.len == 0) {
        r->close_code = WS_CLOSE_NO_STATUS;
    } else {
        uint16_t code = (uint16_t)(r->control[0] << 8 | r->control[1]);
        r->payload.ptr += 2;
        r->payload.len -= 2;
        if (!is_close_code(code))
            return fail(r, WS_CLOSE_PROTOCOL, "bad close code");
        if (!utf8_is_valid(r->payload))
            return fail_utf8(r);
        r->close_code = code;
    }
    r->is_over = true;
    return WS_EVENT_CLOSE;
}

static enum ws_event end_control(struct ws_recv *r)
{
    r->payload = (struct span){r->control, (size_t)r->frame.payload_len};
    if (r->frame.opcode == WS_OP_CLOSE)
        return end_close(r);
    return r->frame.opcode == WS_OP_PING ? WS_EVENT_PING : WS_EVENT_PONG;
}

static enum ws_event end_data(struct ws_recv *r)
{
    if (!r->frame.fin)
        return WS_EVENT_NONE;

    bool is_text = r->message_op == WS_OP_TEXT;
    if (is_text && !utf8_is_complete(&r->text))
        return fail_utf8(r);
    r->message_op = 0;
    r->payload = (struct span){r->mem, r->message_len};
    return is_text ? WS_EVENT_TEXT : WS_EVENT_BINARY;
}

static enum ws_event end_frame(struct ws_recv *r)
{
    r->in_payload = false;
    return is_control(r) ? end_control(r) : end_data(r);
}

size_t ws_recv_feed(struct ws_recv *r, const uint8_t *in, size_t len,
                    enum ws_event *event)
{
    size_t used = 0;

    *event = WS_EVENT_NONE;
    r->payload = (struct span){0};
    if (r->is_over)
        return 0;
    while (used < len && *event == WS_EVENT_NONE) {
        if (!r->in_payload)
            used += feed_header(r, in + used, len - used, event);
        if (!r->in_payload || *event != WS_EVENT_NONE)
            continue;
        used += feed_payload(r, in + used, len - used, event);
        if (*event == WS_EVENT_NONE && frame_rest(r, 1) == 0)
            *event = end_frame(r);
    }
    if (*event == WS_EVENT_FAIL)
        r->payload = (struct span){0};
    return used;
}

/* Length of text cut to max bytes, but not inside a character. */
static size_t cut_text(struct span text, size_t max)
{
    if (text.len <= max)
        return text.len;
    while (max > 0 && (text.ptr[max] & 0xC0) == 0x80)
        max--;
    return max;
}

size_t ws_close_format(uint8_t *out, uint16_t code, struct span reason)
{
    if (code == WS_CLOSE_NO_STATUS)
        return ws_header_format(out, WS_OP_CLOSE, 0);

    size_t reason_len = cut_text(reason, WS_CLOSE_REASON_MAX);
    size_t n = ws_header_format(out, WS_OP_CLOSE, 2 + reason_len);
    out[n++] = (uint8_t)(code >> 8);
    out[n++] = (uint8_t)code;
    if (reason_len > 0)
        memcpy(out + n, reason.ptr, reason_len);
    return n + reason_len;
}
