#include "app/session.h"

#include "app/upgrade.h"
#include "base/deadline.h"

#include <assert.h>
#include <string.h>

enum {
    /* Output kept free beside the longest reply: a Pong and a Close. */
    CONTROL_ROOM = 2 * (WS_HEADER_MAX + WS_CONTROL_MAX),
    REPLY_TO_CLOSE_MS = 1000, /* see session_close */
    REPLY_TO_EXPEL_MS = 500   /* a revocation is in force within a second */
};

/* --- Sizes and start --- */

size_t session_mem_size(const struct session_rules *rules)
{
    return rules->header_max > rules->message_max ? rules->header_max
                                                  : rules->message_max;
}

/* The longest that one piece of input can add to the output. */
static size_t reply_room(const struct session_rules *rules)
{
    size_t frame = rules->app.reply_max + WS_HEADER_MAX;

    return (frame > UPGRADE_ANSWER_MAX ? frame : UPGRADE_ANSWER_MAX) +
           CONTROL_ROOM;
}

size_t session_out_size(const struct session_rules *rules)
{
    return rules->output_max + reply_room(rules);
}

void session_init(struct session *s, const struct session_rules *rules,
                  uint8_t *mem, uint8_t *out)
{
    memset(s, 0, sizeof *s);
    s->rules = rules;
    s->mem = mem;
    buf_init(&s->out, out, session_out_size(rules));
}

/* --- States: the only place that changes them --- */

static int64_t time_in_state(const struct session *s, enum session_state state)
{
    switch (state) {
    case SESSION_UPGRADE:
        return s->rules->handshake_ms;
    case SESSION_AUTH:
        return s->rules->auth_ms;
    case SESSION_CLOSING:
        return s->rules->close_ms;
    case SESSION_LIVE:
    case SESSION_DONE:
        break;
    }
    return DEADLINE_NEVER;
}

static void enter(struct session *s, enum session_state state)
{
    int64_t time = time_in_state(s, state);

    s->state = state;
    s->deadline_ms = time == DEADLINE_NEVER ? DEADLINE_NEVER : s->now_ms + time;
    s->ping_at_ms =
        state == SESSION_LIVE ? s->now_ms + s->rules->ping_ms : DEADLINE_NEVER;
    s->pong_due_ms = DEADLINE_NEVER;
}

static void finish(struct session *s, const char *why)
{
    if (s->end == NULL)
        s->end = why;
    s->close_code = 0;
    enter(s, SESSION_DONE);
}

void session_begin(struct session *s, const struct session_start *start)
{
    s->is_tls = start->is_tls;
    s->is_trusted = start->is_trusted;
    s->now_ms = start->now_ms;
    s->last_reply_ms = start->now_ms - REPLY_TO_CLOSE_MS;
    enter(s, SESSION_UPGRADE);
}

bool session_is_done(const struct session *s)
{
    return s->state == SESSION_DONE;
}

bool session_rests(const struct session *s)
{
    return s->state == SESSION_LIVE && buf_len(&s->out) == 0 &&
           ws_recv_is_between(&s->recv);
}

/* --- Output --- */

static size_t released_len(const struct session *s)
{
    return s->holds > 0 ? s->hold[0].offset : buf_len(&s->out);
}

struct span session_output(const struct session *s)
{
    return (struct span){buf_peek(&s->out), released_len(s)};
}

static void shift_holds(struct session *s, size_t inserted, size_t removed)
{
    for (unsigned i = 0; i < s->holds; i++)
        s->hold[i].offset = s->hold[i].offset + inserted - removed;
}

void session_sent(struct session *s, size_t n)
{
    assert(n <= released_len(s));
    buf_consume(&s->out, n);
    shift_holds(s, 0, n);
}

bool session_is_waiting(const struct session *s)
{
    return s->holds > 0;
}

void session_release(struct session *s, uint64_t ticket, int64_t now_ms)
{
    while (s->holds > 0 && s->hold[0].ticket <= ticket) {
        s->hold[0] = s->hold[1];
        s->holds--;
        s->last_reply_ms = now_ms;
    }
}

/* At most two batches are under way, so a third ticket is never needed. */
static void hold_from_here(struct session *s, uint64_t ticket)
{
    if (s->holds > 0 && s->hold[s->holds - 1].ticket >= ticket)
        return;
    assert(s->holds < 2);
    s->hold[s->holds++] =
        (struct session_hold){.ticket = ticket, .offset = buf_len(&s->out)};
}

void session_reply(struct session *s, enum ws_opcode opcode,
                   struct span payload, uint64_t ticket)
{
    uint8_t header[WS_HEADER_MAX];
    size_t len = ws_header_format(header, (uint8_t)opcode, payload.len);

    assert(payload.len <= s->rules->app.reply_max);
    if (ticket != 0)
        hold_from_here(s, ticket);
    bool is_queued = buf_append(&s->out, header, len) &&
                     buf_append(&s->out, payload.ptr, payload.len);
    assert(is_queued); /* session_wants_input has seen to the room */
    s->last_reply_ms = s->now_ms;
}

/* A Ping or Pong goes before what waits for a commit. */
static void send_control(struct session *s, enum ws_opcode opcode,
                         struct span payload)
{
    uint8_t frame[WS_HEADER_MAX + WS_CONTROL_MAX];
    size_t len = ws_header_format(frame, (uint8_t)opcode, payload.len);

    if (payload.len > 0)
        memcpy(frame + len, payload.ptr, payload.len);
    len += payload.len;
    bool is_queued = buf_insert(&s->out, released_len(s), frame, len);
    assert(is_queued);
    shift_holds(s, len, 0);
}

static void send_close(struct session *s, uint16_t code, struct span reason)
{
    uint8_t frame[WS_CLOSE_FRAME_MAX];
    size_t len = ws_close_format(frame, code, reason);
    bool is_queued = buf_append(&s->out, frame, len);

    assert(is_queued);
}

void session_fail(struct session *s, enum ws_close code, const char *reason)
{
    send_close(s, (uint16_t)code, span_of(reason));
    finish(s, reason);
}

/* --- The app --- */

void session_note_login(struct session *s,
                        const uint8_t identity[SESSION_IDENTITY_LEN])
{
    if (s->logins > 0 &&
        memcmp(s->identity, identity, SESSION_IDENTITY_LEN) != 0)
        s->asks_for_many = true;
    memcpy(s->identity, identity, SESSION_IDENTITY_LEN);
    s->logins++;
    if (s->state == SESSION_AUTH)
        enter(s, SESSION_LIVE);
}

void session_note_failure(struct session *s)
{
    unsigned most = s->is_trusted ? 0 : s->rules->failure_max;

    s->failures++;
    if (most > 0 && s->failures >= most)
        session_close(s, WS_CLOSE_POLICY, "too many failed logins", s->now_ms);
}

bool session_is_authenticated(const struct session *s)
{
    return s->logins > 0;
}

/* --- Input --- */

/* While a Close is pending nothing is read: every answer would delay it. */
bool session_wants_input(const struct session *s)
{
    if (s->state == SESSION_CLOSING || s->state == SESSION_DONE)
        return true;
    return s->close_code == 0 && buf_room(&s->out) >= reply_room(s->rules);
}

static void begin_websocket(struct session *s)
{
    ws_recv_init(&s->recv, s->mem, s->rules->message_max,
                 s->rules->app.accepts_binary);
    enter(s, s->rules->app.needs_login ? SESSION_AUTH : SESSION_LIVE);
}

/* returns: bytes taken */
static size_t feed_head(struct session *s, const uint8_t *in, size_t len)
{
    struct upgrade_answer answer;
    size_t room = s->rules->header_max - s->head_len;
    size_t before = s->head_len;
    size_t taken = len < room ? len : room;

    memcpy(s->mem + before, in, taken);
    s->head_len += taken;
    size_t head_len = upgrade_answer_head(
        s->rules, s->is_tls,
        &(struct upgrade_input){s->mem, s->head_len, before}, &answer);
    if (answer.len == 0)
        return taken;
    bool is_queued = buf_append(&s->out, answer.text, answer.len) &&
                     buf_append(&s->out, answer.body.ptr, answer.body.len);
    assert(is_queued);
    if (!answer.is_upgrade) {
        finish(s, answer.end);
        return len;
    }
    begin_websocket(s);
    return head_len - before; /* what follows is WebSocket */
}

static void answer_close(struct session *s)
{
    send_close(s, s->recv.close_code, (struct span){0});
    finish(s, "closed by the peer");
}

static void handle_event(struct session *s, enum ws_event event)
{
    struct span payload = ws_recv_payload(&s->recv);
    const struct session_app *app = &s->rules->app;

    switch (event) {
    case WS_EVENT_TEXT:
        app->on_message(app->ctx, s, WS_OP_TEXT, payload);
        break;
    case WS_EVENT_BINARY:
        app->on_message(app->ctx, s, WS_OP_BINARY, payload);
        break;
    case WS_EVENT_PING:
        send_control(s, WS_OP_PONG, payload);
        break;
    case WS_EVENT_PONG:
        s->pong_due_ms = DEADLINE_NEVER;
        break;
    case WS_EVENT_CLOSE:
        answer_close(s);
        break;
    case WS_EVENT_FAIL:
        session_fail(s, (enum ws_close)s->recv.close_code, s->recv.reason);
        break;
    case WS_EVENT_NONE:
        break;
    }
}

/* After our Close only the peer's Close is of interest. */
static size_t feed_closing(struct session *s, const uint8_t *in, size_t len)
{
    enum ws_event event;
    size_t taken = ws_recv_feed(&s->recv, in, len, &event);

    if (event == WS_EVENT_CLOSE || event == WS_EVENT_FAIL)
        finish(s, "closed");
    return taken;
}

static size_t feed_some(struct session *s, const uint8_t *in, size_t len)
{
    enum ws_event event;
    size_t taken;

    switch (s->state) {
    case SESSION_UPGRADE:
        return feed_head(s, in, len);
    case SESSION_AUTH:
    case SESSION_LIVE:
        taken = ws_recv_feed(&s->recv, in, len, &event);
        handle_event(s, event);
        return taken;
    case SESSION_CLOSING:
        return feed_closing(s, in, len);
    case SESSION_DONE:
        break;
    }
    return len;
}

size_t session_feed(struct session *s, const uint8_t *in, size_t len,
                    int64_t now_ms)
{
    size_t taken = 0;

    s->now_ms = now_ms;
    while (taken < len && session_wants_input(s))
        taken += feed_some(s, in + taken, len - taken);
    return taken;
}

void session_end_input(struct session *s)
{
    finish(s, "connection ended by the peer");
}

/* --- Time --- */

/* A reply that still waits goes first: never, until then. */
static int64_t close_at_ms(const struct session *s)
{
    if (s->close_code == 0 || s->holds > 0)
        return DEADLINE_NEVER;
    return s->last_reply_ms + s->close_wait_ms;
}

int64_t session_due_ms(const struct session *s)
{
    return deadline_first(deadline_first(s->deadline_ms, close_at_ms(s)),
                          deadline_first(s->ping_at_ms, s->pong_due_ms));
}

static void close_now(struct session *s)
{
    send_close(s, s->close_code, span_of(s->close_reason));
    s->close_code = 0;
    s->end = s->close_reason;
    enter(s, SESSION_CLOSING);
}

static void close_soon(struct session *s, enum ws_close code,
                       const char *reason, int64_t wait_ms)
{
    if (s->state == SESSION_UPGRADE) {
        finish(s, reason);
    } else if ((s->state == SESSION_AUTH || s->state == SESSION_LIVE) &&
               s->close_code == 0) {
        s->close_code = (uint16_t)code;
        s->close_reason = reason;
        s->close_wait_ms = wait_ms;
        s->deadline_ms = s->ping_at_ms = s->pong_due_ms = DEADLINE_NEVER;
        if (s->now_ms >= close_at_ms(s))
            close_now(s);
    }
}

void session_close(struct session *s, enum ws_close code, const char *reason,
                   int64_t now_ms)
{
    s->now_ms = now_ms;
    close_soon(s, code, reason, REPLY_TO_CLOSE_MS);
}

void session_expel(struct session *s, const char *reason, int64_t now_ms)
{
    s->now_ms = now_ms;
    close_soon(s, WS_CLOSE_POLICY, reason, REPLY_TO_EXPEL_MS);
}

static void miss_deadline(struct session *s)
{
    if (s->state == SESSION_UPGRADE)
        finish(s, "no request in time");
    else if (s->state == SESSION_AUTH)
        session_close(s, WS_CLOSE_POLICY, "no login in time", s->now_ms);
    else
        finish(s, "no Close in time");
}

/* A peer that is not read from cannot be asked for a Pong. */
static void ping(struct session *s)
{
    s->ping_at_ms = s->now_ms + s->rules->ping_ms;
    if (s->pong_due_ms != DEADLINE_NEVER || !session_wants_input(s))
        return;
    send_control(s, WS_OP_PING, (struct span){0});
    s->pong_due_ms = s->now_ms + s->rules->pong_ms;
}

/* While nothing is read the Pong may well be there. */
static void miss_pong(struct session *s)
{
    if (session_wants_input(s))
        session_close(s, WS_CLOSE_POLICY, "no Pong in time", s->now_ms);
    else
        s->pong_due_ms = s->now_ms + s->rules->pong_ms;
}

void session_tick(struct session *s, int64_t now_ms)
{
    s->now_ms = now_ms;
    if (now_ms >= close_at_ms(s))
        close_now(s);
    else if (now_ms >= s->deadline_ms)
        miss_deadline(s);
    else if (now_ms >= s->pong_due_ms)
        miss_pong(s);
    else if (now_ms >= s->ping_at_ms)
        ping(s);
}
