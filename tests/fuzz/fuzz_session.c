/*
 * app/session as a whole: no input, no cut of it, no order of tickets, output
 * and time breaks its promises. What it says is HTTP, then whole frames, none
 * behind a Close; and without time the cuts change nothing.
 *
 * Byte 0: 1 = an upgrade goes before the input, 2 = binary is taken,
 * 4 = no login needed. Byte 1: seed of what happens between the pieces.
 */
#include "app/session.h"

#include "app/upgrade.h"
#include "proto/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { REPLY_MAX = 300, SAID_MAX = 1 << 15 };

static const char upgrade[] = "GET /ws HTTP/1.1\r\nHost: a\r\n"
                              "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                              "Sec-WebSocket-Version: 13\r\n\r\n";

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* One session and all that was said to, and by, it. */
struct talk {
    struct session_rules rules;
    struct session s;
    uint8_t *mem, *out, *said;
    size_t said_len;
    int64_t now;
    uint64_t given, released; /* tickets */
    uint32_t random;          /* 0: nothing happens by chance */
    bool was_done;
};

static uint32_t chance(struct talk *t, uint32_t n)
{
    if (t->random == 0)
        return 0;
    t->random = t->random * 1664525 + 1013904223;
    return (t->random >> 16) % n;
}

static void note_login(struct session *s, bool success)
{
    static const uint8_t identity[SESSION_IDENTITY_LEN] = "somebody";

    if (success)
        session_note_login(s, identity);
    else
        session_note_failure(s);
}

static void on_message(void *ctx, struct session *s, enum ws_opcode opcode,
                       struct span m)
{
    struct talk *t = ctx;
    uint8_t what = m.len > 0 ? m.ptr[0] % 8 : 7;
    uint64_t ticket = 0;

    must(m.len <= t->rules.message_max);
    must(opcode == WS_OP_TEXT ? utf8_is_valid(m) : t->rules.app.accepts_binary);
    if (what == 0) {
        session_fail(s, WS_CLOSE_INTERNAL, "the app fails");
        return;
    }
    if (what <= 2)
        note_login(s, what == 1);
    if (what == 3 || what == 4) {
        /* At most two are under way, as with the committer. */
        if (t->given == t->released ||
            (what == 4 && t->given < t->released + 2))
            t->given++;
        ticket = t->given;
    }
    session_reply(s, opcode, m, ticket);
}

static const char *unready_reason(void *ctx)
{
    (void)ctx;
    return NULL;
}

static void begin(struct talk *t, uint8_t flags)
{
    *t = (struct talk){.now = 5000};
    t->rules = (struct session_rules){
        .app = {.ctx = t,
                .on_message = on_message,
                .unready_reason = unready_reason,
                .reply_max = REPLY_MAX,
                .accepts_binary = (flags & 2) != 0,
                .needs_login = (flags & 4) == 0},
        .path = "/ws",
        .header_max = 512,
        .message_max = REPLY_MAX,
        .output_max = 700,
        .handshake_ms = 400,
        .auth_ms = 500,
        .ping_ms = 300,
        .pong_ms = 200,
        .close_ms = 100,
    };
    t->mem = malloc(session_mem_size(&t->rules));
    t->out = malloc(session_out_size(&t->rules));
    t->said = malloc(SAID_MAX);
    must(t->mem != NULL && t->out != NULL && t->said != NULL);
    session_init(&t->s, &t->rules, t->mem, t->out);
    session_begin(&t->s,
                  &(struct session_start){.is_tls = true, .now_ms = t->now});
}

static void finish(struct talk *t)
{
    free(t->mem);
    free(t->out);
    free(t->said);
}

static void take(struct talk *t, size_t max)
{
    struct span out = session_output(&t->s);
    size_t n = out.len < max ? out.len : max;

    must(t->said_len + n <= SAID_MAX);
    if (n > 0)
        memcpy(t->said + t->said_len, out.ptr, n);
    t->said_len += n;
    session_sent(&t->s, n);
}

static void release(struct talk *t, uint64_t ticket)
{
    t->released = ticket;
    session_release(&t->s, ticket, t->now);
}

static void release_all(struct talk *t)
{
    release(t, t->given);
    must(!session_is_waiting(&t->s));
}

static void check_state(struct talk *t)
{
    must(!t->was_done || session_is_done(&t->s));
    t->was_done = session_is_done(&t->s);
    must(!t->was_done || t->s.end != NULL);
    must(buf_len(&t->s.out) <= session_out_size(&t->rules));
    must(session_output(&t->s).len <= buf_len(&t->s.out));
}

/* Anything that may happen between two pieces of input. */
static void happen(struct talk *t)
{
    switch (chance(t, 12)) {
    case 1:
        take(t, chance(t, 400));
        break;
    case 2:
        if (t->released < t->given)
            release(t, t->released + 1);
        break;
    case 3:
        release_all(t);
        break;
    case 4:
        t->now += chance(t, 150);
        session_tick(&t->s, t->now);
        break;
    case 5:
        t->now =
            session_due_ms(&t->s) == INT64_MAX ? t->now : session_due_ms(&t->s);
        session_tick(&t->s, t->now);
        /* What was due has been done. */
        must(session_due_ms(&t->s) > t->now);
        break;
    case 6:
        if (chance(t, 20) == 1)
            session_close(&t->s, WS_CLOSE_GOING_AWAY, "going", t->now);
        break;
    case 7:
        if (chance(t, 40) == 1)
            session_end_input(&t->s);
        break;
    default:
        break;
    }
    check_state(t);
}

/* Feed all; what is not taken waits until output has gone. */
static void feed(struct talk *t, const uint8_t *in, size_t len, size_t step)
{
    for (size_t at = 0, stuck = 0; at < len;) {
        size_t n = len - at < step ? len - at : step;
        if (t->random != 0)
            n = 1 + chance(t, (uint32_t)n);
        size_t taken = session_feed(&t->s, in + at, n, t->now);
        must(taken <= n);
        check_state(t);
        at += taken;
        stuck = taken > 0 ? 0 : stuck + 1;
        if (t->random != 0)
            happen(t);
        if (taken < n) {
            release_all(t);
            take(t, SIZE_MAX);
            /* A Close that is about to be sent stops the input as well. */
            if (stuck > 2) {
                must(t->s.close_code != 0 || t->s.state == SESSION_CLOSING);
                t->now += 1000;
                session_tick(&t->s, t->now);
            }
            must(stuck < 8);
        }
    }
    release_all(t);
    take(t, SIZE_MAX);
    check_state(t);
}

/* returns: bytes of the HTTP answer at the front; 0 none */
static size_t http_len(const struct talk *t)
{
    static const char upgraded[] = "HTTP/1.1 101 ";
    const uint8_t *end = memmem(t->said, t->said_len, "\r\n\r\n", 4);

    if (t->said_len == 0)
        return 0;
    must(end != NULL && memcmp(t->said, "HTTP/1.1 ", 9) == 0);
    if (memcmp(t->said, upgraded, sizeof upgraded - 1) != 0) {
        must(session_is_done(&t->s));
        return t->said_len; /* with its body */
    }
    return (size_t)(end - t->said) + 4;
}

/* Whole frames of a server, none after a Close, text in UTF-8. */
static void check_said(const struct talk *t)
{
    bool is_closed = false;
    struct ws_header h;

    for (size_t at = http_len(t); at < t->said_len;) {
        int n = ws_header_parse(t->said + at, t->said_len - at, &h);
        must(n > 0 && !is_closed && h.fin && h.rsv == 0 && !h.masked);
        at += (size_t)n;
        must(h.payload_len <= t->said_len - at);
        struct span payload = {t->said + at, (size_t)h.payload_len};
        must(h.opcode == WS_OP_TEXT || h.opcode == WS_OP_BINARY ||
             h.opcode == WS_OP_CLOSE || h.opcode == WS_OP_PING ||
             h.opcode == WS_OP_PONG);
        must(h.opcode != WS_OP_TEXT || utf8_is_valid(payload));
        must(h.opcode < WS_OP_CLOSE || payload.len <= WS_CONTROL_MAX);
        must(h.opcode != WS_OP_CLOSE || payload.len != 1);
        is_closed = h.opcode == WS_OP_CLOSE;
        at += payload.len;
    }
}

static void run(struct talk *t, uint8_t flags, struct span in, size_t step)
{
    if ((flags & 1) != 0)
        feed(t, (const uint8_t *)upgrade, sizeof upgrade - 1, step);
    feed(t, in.ptr, in.len, step);
    check_said(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct talk whole, other;

    if (size < 2 || size > 8192)
        return 0;
    struct span in = {data + 2, size - 2};
    begin(&whole, data[0]);
    run(&whole, data[0], in, SIZE_MAX);
    for (size_t step = 1; step < 9; step += 3) {
        begin(&other, data[0]);
        run(&other, data[0], in, step);
        must(other.s.state == whole.s.state);
        must(other.s.logins == whole.s.logins);
        must(other.said_len == whole.said_len);
        must(memcmp(other.said, whole.said, whole.said_len) == 0);
        finish(&other);
    }
    finish(&whole);
    begin(&other, data[0]);
    other.random = data[1] + 1u;
    run(&other, data[0], in, 64);
    finish(&other);
    return 0;
}
