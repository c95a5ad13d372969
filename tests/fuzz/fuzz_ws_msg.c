/*
 * proto/ws_msg: chunking changes nothing; payloads keep their limits and text
 * is UTF-8; after the end nothing more is taken.
 *
 * Byte 0 of the input: 0x80 = accept binary, the rest = the largest message.
 */
#include "proto/ws_msg.h"

#include <stdlib.h>
#include <string.h>

/* All that a reading gave, reduced to numbers that must not depend on cuts. */
struct reading {
    uint64_t hash; /* FNV-1a */
    size_t events;
};

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void mix(struct reading *r, const void *data, size_t len)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < len; i++)
        r->hash = (r->hash ^ bytes[i]) * 0x100000001b3;
}

/* Could another peer read our answer to this? */
static void check_close(const struct ws_recv *r, struct span reason)
{
    uint8_t out[WS_CLOSE_FRAME_MAX];
    size_t n = ws_close_format(out, r->close_code, reason);

    must(n >= 2 && n <= sizeof out && out[0] == 0x88 && out[1] == n - 2);
    must(n == 2 || utf8_is_valid((struct span){out + 4, n - 4}));
}

static void check_event(const struct ws_recv *r, enum ws_event event)
{
    struct span p = ws_recv_payload(r);

    switch (event) {
    case WS_EVENT_NONE:
        must(p.len == 0);
        break;
    case WS_EVENT_TEXT:
        must(p.len <= r->max_message && utf8_is_valid(p));
        break;
    case WS_EVENT_BINARY:
        must(p.len <= r->max_message && r->accept_binary);
        break;
    case WS_EVENT_PING:
    case WS_EVENT_PONG:
        must(p.len <= WS_CONTROL_MAX);
        break;
    case WS_EVENT_CLOSE:
        must(p.len <= WS_CLOSE_REASON_MAX && utf8_is_valid(p));
        check_close(r, p);
        break;
    case WS_EVENT_FAIL:
        must(p.len == 0);
        check_close(r, span_of(r->reason));
        break;
    }
}

static void note(struct reading *out, const struct ws_recv *r,
                 enum ws_event event)
{
    struct span p = ws_recv_payload(r);

    out->events++;
    mix(out, &event, sizeof event);
    mix(out, &p.len, sizeof p.len);
    mix(out, p.ptr, p.len);
    if (event == WS_EVENT_CLOSE || event == WS_EVENT_FAIL)
        mix(out, &r->close_code, sizeof r->close_code);
    if (event == WS_EVENT_FAIL)
        mix(out, r->reason, strlen(r->reason));
}

static void feed(struct ws_recv *r, struct reading *out, const uint8_t *in,
                 size_t len)
{
    enum ws_event event;

    do {
        bool was_over = r->is_over;
        size_t n = ws_recv_feed(r, in, len, &event);
        must(n <= len && (!was_over || n == 0));
        must(event != WS_EVENT_NONE || was_over || n == len);
        must(event == WS_EVENT_NONE || n > 0);
        check_event(r, event);
        if (event != WS_EVENT_NONE)
            note(out, r, event);
        in += n;
        len -= n;
    } while (event != WS_EVENT_NONE);
}

/* Read all in pieces of `step` bytes, from storage of the exact size. */
static struct reading read_all(const uint8_t *data, size_t size, size_t step)
{
    size_t max_message = data[0] & 0x7F;
    struct reading out = {.hash = 0xcbf29ce484222325};
    uint8_t *mem = malloc(max_message);
    struct ws_recv r;

    must(mem != NULL);
    ws_recv_init(&r, mem, max_message, (data[0] & 0x80) != 0);
    for (size_t at = 1; at < size; at += step) {
        size_t n = size - at < step ? size - at : step;
        feed(&r, &out, data + at, n);
    }
    free(mem);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;

    struct reading whole = read_all(data, size, size);
    for (size_t step = 1; step < 20; step++) {
        struct reading pieces = read_all(data, size, step);
        must(pieces.hash == whole.hash && pieces.events == whole.events);
    }
    return 0;
}
