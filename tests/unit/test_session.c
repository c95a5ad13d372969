/* Unit tests of app/session: scripted conversations with a tiny app. */
#include "app/session.h"

#include "app/upgrade.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"
#include "peer.h"

enum {
    REPLY_MAX = 300,
    MESSAGE_MAX = 200,
    HEADER_MAX = 8192,
    OUTPUT_MAX = 2000,
    HANDSHAKE_MS = 10000,
    AUTH_MS = 9000,
    PING_MS = 30000,
    PONG_MS = 8000,
    CLOSE_MS = 2000,
    START_MS = 1000000
};

static const char *trouble;

static void note_login(struct session *s, bool success)
{
    static const uint8_t identity[SESSION_IDENTITY_LEN] = "somebody";

    if (success)
        session_note_login(s, identity);
    else
        session_note_failure(s);
}

/*
 * The first byte says what to do, the rest is answered:
 *   1..9 wait for that ticket; L login; N failed login; F fail; q nothing;
 *   anything else: answer the whole message
 */
static void on_message(void *ctx, struct session *s, enum ws_opcode opcode,
                       struct span m)
{
    uint8_t what = m.len > 0 ? m.ptr[0] : 0;
    (void)ctx;

    if (what == 'q')
        return;
    if (what == 'F') {
        session_fail(s, WS_CLOSE_INTERNAL, "told to fail");
        return;
    }
    if (what == 'L' || what == 'N')
        note_login(s, what == 'L');
    session_reply(s, opcode, m, what >= '1' && what <= '9' ? what - '0' : 0);
}

static const char *unready_reason(void *ctx)
{
    (void)ctx;
    return trouble;
}

static struct session_rules rules;

/* One session, and all that it has said. */
static struct {
    struct session s;
    uint8_t *mem, *out;
    int64_t now;
    uint8_t said[1 << 16];
    size_t said_len, read_len;
} p;

static int begin(void **state)
{
    (void)state;
    trouble = NULL;
    rules = (struct session_rules){
        .app = {.on_message = on_message,
                .unready_reason = unready_reason,
                .reply_max = REPLY_MAX,
                .needs_login = true},
        .path = "/ws",
        .header_max = HEADER_MAX,
        .message_max = MESSAGE_MAX,
        .output_max = OUTPUT_MAX,
        .handshake_ms = HANDSHAKE_MS,
        .auth_ms = AUTH_MS,
        .ping_ms = PING_MS,
        .pong_ms = PONG_MS,
        .close_ms = CLOSE_MS,
    };
    p.mem = p.out = NULL;
    return 0;
}

static void start(void)
{
    p.mem = realloc(p.mem, session_mem_size(&rules));
    p.out = realloc(p.out, session_out_size(&rules));
    assert_true(p.mem != NULL && p.out != NULL);
    p.now = START_MS;
    p.said_len = p.read_len = 0;
    session_init(&p.s, &rules, p.mem, p.out);
    session_begin(&p.s,
                  &(struct session_start){.is_tls = true, .now_ms = p.now});
}

static int end(void **state)
{
    (void)state;
    free(p.mem);
    free(p.out);
    return 0;
}

/* Take up to max bytes of what may leave. returns: bytes taken */
static size_t take(size_t max)
{
    struct span out = session_output(&p.s);
    size_t n = out.len < max ? out.len : max;

    assert_true(p.said_len + n <= sizeof p.said);
    if (n > 0)
        memcpy(p.said + p.said_len, out.ptr, n);
    p.said_len += n;
    session_sent(&p.s, n);
    return n;
}

/* returns: bytes that the session took, from a guard */
static size_t feed(const void *data, size_t len)
{
    uint8_t *copy = guard_copy(data, len);
    size_t n = session_feed(&p.s, copy, len, p.now);

    free(copy);
    assert_true(n <= len);
    return n;
}

static void feed_all(const void *data, size_t len)
{
    assert_int_equal(feed(data, len), len);
}

static void say(const char *text)
{
    uint8_t frame[1024];

    feed_all(frame, peer_text(frame, 0, text));
}

static void say_frame(uint8_t first, const char *payload)
{
    uint8_t frame[1024];

    feed_all(frame, peer_frame(frame, 0, first, payload, strlen(payload)));
}

/* The next frame said: header byte and payload. */
static void expect_frame(uint8_t first, const void *payload, size_t len)
{
    const uint8_t *at = p.said + p.read_len;

    take(SIZE_MAX);
    if (p.said_len < p.read_len + 2)
        fail_msg("nothing said, expected %02x %.*s", first, (int)len,
                 (const char *)payload);
    assert_int_equal(at[0], first);
    size_t head = at[1] < 126 ? 2 : 4;
    size_t got = at[1] < 126 ? at[1] : (size_t)(at[2] << 8 | at[3]);
    assert_true(p.said_len >= p.read_len + head + got);
    assert_int_equal(got, len);
    if (len > 0)
        assert_memory_equal(at + head, payload, len);
    p.read_len += head + got;
}

static void expect_text(const char *text)
{
    expect_frame(0x81, text, strlen(text));
}

static void expect_close(unsigned code, const char *reason)
{
    uint8_t payload[125] = {(uint8_t)(code >> 8), (uint8_t)code};

    memcpy(payload + 2, reason, strlen(reason));
    expect_frame(0x88, payload, 2 + strlen(reason));
}

static void expect_nothing(void)
{
    take(SIZE_MAX);
    assert_int_equal(p.said_len, p.read_len);
}

static void expect_101(void)
{
    take(SIZE_MAX);
    assert_true(p.said_len - p.read_len >= sizeof PEER_101 - 1);
    assert_memory_equal(p.said + p.read_len, PEER_101, sizeof PEER_101 - 1);
    p.read_len += sizeof PEER_101 - 1;
}

static void upgrade(void)
{
    start();
    feed_all(PEER_UPGRADE, sizeof PEER_UPGRADE - 1);
    expect_101();
}

static void upgrade_and_log_in(void)
{
    upgrade();
    say("L");
    expect_text("L");
    assert_int_equal(p.s.state, SESSION_LIVE);
}

static void tick_at(int64_t since_start)
{
    p.now = START_MS + since_start;
    session_tick(&p.s, p.now);
}

/* --- HTTP --- */

static void sizes(void **state)
{
    (void)state;
    assert_int_equal(session_mem_size(&rules), HEADER_MAX);
    assert_true(session_out_size(&rules) >= OUTPUT_MAX + UPGRADE_ANSWER_MAX);
    rules.message_max = 65536;
    assert_int_equal(session_mem_size(&rules), 65536);
}

static void check_answer(const char *head, size_t len, const char *status,
                         const char *body)
{
    const size_t steps[] = {1, 17, len};

    for (int i = 0; i < 3; i++) {
        size_t step = steps[i];
        start();
        for (size_t at = 0; at < len; at += step)
            feed_all(head + at, len - at < step ? len - at : step);
        take(SIZE_MAX);
        p.said[p.said_len] = '\0';
        const char *said = (const char *)p.said;
        assert_int_equal(strncmp(said, "HTTP/1.1 ", 9), 0);
        assert_int_equal(strncmp(said + 9, status, 3), 0);
        assert_non_null(strstr(said, "\r\nConnection: close"));
        assert_string_equal(strstr(said, "\r\n\r\n") + 4, body);
        assert_true(session_is_done(&p.s));
        assert_true(session_due_ms(&p.s) == INT64_MAX);
    }
}

#define ANSWER(head, status, body) \
    check_answer(head, strlen(head), status, body)

static void routes(void **state)
{
    (void)state;
    ANSWER("GET /health HTTP/1.1\r\nHost: a\r\n\r\n", "200", "OK");
    assert_string_equal(p.s.end, "health answered");
    ANSWER("GET /health HTTP/1.1\r\nHost: a\r\n\r\nmore", "200", "OK");
    ANSWER("HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n", "200", "");
    ANSWER("GET /ready HTTP/1.1\r\nHost: a\r\n\r\n", "200", "OK");
    trouble = "no disk";
    ANSWER("GET /ready HTTP/1.1\r\nHost: a\r\n\r\n", "503", "no disk");
    ANSWER("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404", "Not found\n");
    ANSWER("POST /health HTTP/1.1\r\nHost: a\r\n\r\n", "405",
           "Method not allowed\n");
    ANSWER("GET /ws HTTP/1.1\r\nHost: a\r\n\r\n", "426",
           "This is a WebSocket endpoint\n");
    ANSWER("GET /ws HTTP/1.1\r\nHost: a\r\nOrigin: https://b\r\n"
           "Upgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
           "Sec-WebSocket-Version: 13\r\n\r\n",
           "403", "This origin is not allowed\n");
    assert_string_equal(p.s.end, "request refused");
    ANSWER("GET /health HTTP/3.0\r\nHost: a\r\n\r\n", "505",
           "Only HTTP/1.1 is spoken here\n");
}

static void garbage(void **state)
{
    (void)state;
    ANSWER("\x16\x03\x01\x02", "400", "Bad request\n");
    ANSWER("hello\r\n", "400", "Bad request\n");
    ANSWER("GET /ws\r\n\r\n", "400", "Bad request\n");
    check_answer("\0", 1, "400", "Bad request\n");
}

static void large_heads(void **state)
{
    static char head[2 * HEADER_MAX];
    int n =
        snprintf(head, sizeof head, "GET /health HTTP/1.1\r\nHost: a\r\nX:");
    (void)state;

    memset(head + n, 'x', sizeof head - (size_t)n);
    check_answer(head, sizeof head, "431", "The request header is too large\n");
    check_answer(head, HEADER_MAX, "431", "The request header is too large\n");
    start();
    feed_all(head, HEADER_MAX - 1);
    expect_nothing();
    memcpy(head + HEADER_MAX - 4, "\r\n\r\n", 4);
    check_answer(head, HEADER_MAX, "200", "OK");
    /* What comes behind a head counts for nothing. */
    check_answer(head, sizeof head, "200", "OK");
}

static void frames_behind_the_head(void **state)
{
    uint8_t in[2 * HEADER_MAX];
    size_t len = sizeof PEER_UPGRADE - 1;
    (void)state;

    memcpy(in, PEER_UPGRADE, len);
    len = peer_text(in, len, "Lone");
    len = peer_text(in, len, "two");
    start();
    feed_all(in, len);
    expect_101();
    expect_text("Lone");
    expect_text("two");
    expect_nothing();
}

/* --- Chunking --- */

/* Everything that a client may do before it closes. */
static size_t write_script(uint8_t *in)
{
    size_t len = sizeof PEER_UPGRADE - 1;
    char longest[MESSAGE_MAX + 1];

    memset(longest, 'm', MESSAGE_MAX);
    longest[MESSAGE_MAX] = '\0';
    memcpy(in, PEER_UPGRADE, len);
    len = peer_text(in, len, "hello");
    len = peer_frame(in, len, 0x89, "ping", 4);
    len = peer_text(in, len, "");
    len = peer_text(in, len, "Nno");
    len = peer_frame(in, len, 0x01, "L\xc3", 2);
    len = peer_frame(in, len, 0x89, "", 0);
    len = peer_frame(in, len, 0x80, "\xa9", 1);
    len = peer_frame(in, len, 0x8a, "unasked", 7);
    len = peer_text(in, len, longest);
    len = peer_text(in, len, "1first");
    len = peer_frame(in, len, 0x89, "over", 4);
    len = peer_text(in, len, "between");
    len = peer_text(in, len, "2second");
    return peer_frame(in, len, 0x88,
                      "\x03\xe8"
                      "bye",
                      5);
}

/* Feed the script cut at `cut` (or into pieces of one byte). */
static size_t run_script(const uint8_t *in, size_t len, size_t cut,
                         uint8_t *said)
{
    start();
    if (cut == 0)
        for (size_t i = 0; i < len; i++)
            feed_all(in + i, 1);
    else
        feed_all(in, cut);
    if (cut != 0)
        feed_all(in + cut, len - cut);
    assert_true(session_is_done(&p.s));
    assert_true(session_is_waiting(&p.s));
    assert_int_equal(p.s.logins, 1);
    assert_int_equal(p.s.failures, 1);
    take(SIZE_MAX);
    session_release(&p.s, 1, p.now);
    take(SIZE_MAX);
    session_release(&p.s, 2, p.now);
    take(SIZE_MAX);
    assert_false(session_is_waiting(&p.s));
    memcpy(said, p.said, p.said_len);
    return p.said_len;
}

static void chunking_changes_nothing(void **state)
{
    static uint8_t in[2048], whole[4096], pieces[4096];
    size_t len = write_script(in);
    size_t whole_len = run_script(in, len, len, whole);
    (void)state;

    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(run_script(in, len, cut, pieces), whole_len);
        assert_memory_equal(pieces, whole, whole_len);
    }
}

static void the_script_is_answered(void **state)
{
    static uint8_t in[2048], said[4096];
    char longest[MESSAGE_MAX];
    (void)state;

    memset(longest, 'm', sizeof longest);
    run_script(in, write_script(in), 300, said);
    expect_101();
    expect_text("hello");
    expect_frame(0x8a, "ping", 4);
    expect_text("");
    expect_text("Nno");
    expect_frame(0x8a, "", 0);
    expect_text("L\xc3\xa9");
    expect_frame(0x81, longest, sizeof longest);
    expect_frame(0x8a, "over", 4);
    expect_text("1first");
    expect_text("between");
    expect_text("2second");
    expect_close(1000, "");
    expect_nothing();
}

/* --- Replies that wait --- */

static void replies_wait_for_their_ticket(void **state)
{
    (void)state;
    upgrade_and_log_in();
    say("before");
    say("4one");
    say("after");
    expect_text("before");
    expect_nothing();
    assert_true(session_is_waiting(&p.s));
    session_release(&p.s, 3, p.now);
    expect_nothing();
    session_release(&p.s, 4, p.now);
    assert_false(session_is_waiting(&p.s));
    expect_text("4one");
    expect_text("after");
    expect_nothing();
}

static void two_tickets_one_by_one(void **state)
{
    (void)state;
    upgrade_and_log_in();
    say("1a");
    say("b");
    say("2c");
    say("d");
    say("2e");
    say("1late");
    expect_nothing();
    session_release(&p.s, 1, p.now);
    assert_true(session_is_waiting(&p.s));
    expect_text("1a");
    expect_text("b");
    expect_nothing();
    session_release(&p.s, 1, p.now);
    expect_nothing();
    say("3f");
    session_release(&p.s, 2, p.now);
    expect_text("2c");
    expect_text("d");
    expect_text("2e");
    expect_text("1late");
    expect_nothing();
    session_release(&p.s, 9, p.now);
    expect_text("3f");
    expect_nothing();
}

static void both_tickets_at_once(void **state)
{
    (void)state;
    upgrade_and_log_in();
    say("1a");
    say("2b");
    session_release(&p.s, 2, p.now);
    assert_false(session_is_waiting(&p.s));
    expect_text("1a");
    expect_text("2b");
    /* Two more have room again. */
    say("3c");
    say("4d");
    expect_nothing();
    session_release(&p.s, 4, p.now);
    expect_text("3c");
    expect_text("4d");
}

static void pongs_overtake_what_waits(void **state)
{
    (void)state;
    upgrade_and_log_in();
    say("sent at once");
    say("1a");
    say_frame(0x89, "p1");
    say("2b");
    say_frame(0x89, "p2");
    expect_text("sent at once");
    expect_frame(0x8a, "p1", 2);
    expect_frame(0x8a, "p2", 2);
    expect_nothing();
    say_frame(0x89, "p3");
    session_release(&p.s, 1, p.now);
    expect_frame(0x8a, "p3", 2);
    expect_text("1a");
    say_frame(0x89, "p4");
    expect_frame(0x8a, "p4", 2);
    expect_nothing();
    session_release(&p.s, 2, p.now);
    expect_text("2b");
    expect_nothing();
}

/* A Pong goes behind a frame that has partly left, never into it. */
static void pongs_do_not_cut_frames(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 2 + 9; n++) {
        upgrade_and_log_in();
        say("abcdefghi");
        say("1held");
        assert_int_equal(take(n), n);
        say_frame(0x89, "p");
        expect_text("abcdefghi");
        expect_frame(0x8a, "p", 1);
        expect_nothing();
        session_release(&p.s, 1, p.now);
        assert_int_equal(take(n), n < 7 ? n : 7);
        say_frame(0x89, "q");
        expect_text("1held");
        expect_frame(0x8a, "q", 1);
    }
}

static void pings_of_ours_overtake(void **state)
{
    (void)state;
    upgrade_and_log_in();
    say("1held");
    tick_at(PING_MS);
    expect_frame(0x89, "", 0);
    expect_nothing();
    session_release(&p.s, 1, p.now);
    expect_text("1held");
}

static void close_comes_after_what_waits(void **state)
{
    (void)state;
    upgrade_and_log_in();
    say("1a");
    say("2b");
    say_frame(0x88, "\x03\xe9");
    assert_true(session_is_done(&p.s));
    expect_nothing();
    session_release(&p.s, 1, p.now);
    expect_text("1a");
    expect_nothing();
    session_release(&p.s, 2, p.now);
    expect_text("2b");
    expect_close(1001, "");
    expect_nothing();
}

static void failure_comes_after_what_waits(void **state)
{
    (void)state;
    upgrade_and_log_in();
    say("1a");
    say("F");
    assert_true(session_is_done(&p.s));
    expect_nothing();
    session_release(&p.s, 1, p.now);
    expect_text("1a");
    expect_close(1011, "told to fail");
}

/* --- Back-pressure --- */

static void full_output_stops_input(void **state)
{
    uint8_t in[64 * 64];
    size_t len = 0, at = 0, answered = 0;
    char text[41];
    (void)state;

    upgrade_and_log_in();
    for (int i = 0; i < 64; i++) {
        snprintf(text, sizeof text, "message %032d", i);
        len = peer_text(in, len, text);
    }
    at = feed(in, len);
    assert_true(at < len && at > 0);
    assert_true(buf_len(&p.s.out) > OUTPUT_MAX);
    assert_true(buf_len(&p.s.out) <= OUTPUT_MAX + REPLY_MAX);
    assert_int_equal(feed(in + at, len - at), 0);
    while (answered < 64) {
        assert_true(take(100) > 0 || at < len);
        at += feed(in + at, len - at);
        for (; answered < 64 && p.said_len >= p.read_len + 42; answered++) {
            snprintf(text, sizeof text, "message %032zu", answered);
            assert_memory_equal(p.said + p.read_len + 2, text, 40);
            p.read_len += 42;
        }
    }
    assert_int_equal(at, len);
    expect_nothing();
}

static void what_waits_stops_input_too(void **state)
{
    uint8_t frame[256];
    size_t len = peer_frame(frame, 0, 0x81, "1", 1), n = 0;
    (void)state;

    upgrade_and_log_in();
    while (feed(frame, len) == len)
        n++;
    expect_nothing();
    assert_true(n >= OUTPUT_MAX / 3 && n < OUTPUT_MAX);
    session_release(&p.s, 1, p.now);
    assert_int_equal(feed(frame, len), 0);
    assert_int_equal(take(SIZE_MAX), 3 * n);
    assert_int_equal(feed(frame, len), len);
}

/* Its Pong may be among what is not read: it is not missed meanwhile. */
static void no_ping_while_nothing_is_read(void **state)
{
    uint8_t frame[256];
    size_t len = peer_frame(frame, 0, 0x81, "1", 1);
    (void)state;

    upgrade_and_log_in();
    tick_at(PING_MS);
    expect_frame(0x89, "", 0);
    while (feed(frame, len) == len)
        continue;
    tick_at(PING_MS + PONG_MS);
    assert_int_equal(p.s.state, SESSION_LIVE);
    assert_int_equal(session_due_ms(&p.s), START_MS + PING_MS + 2 * PONG_MS);
    session_release(&p.s, 1, p.now);
    take(SIZE_MAX);
    say_frame(0x8a, "");
    p.read_len = p.said_len;
    while (feed(frame, len) == len)
        continue;
    tick_at(2 * PING_MS);
    expect_nothing();
    assert_int_equal(session_due_ms(&p.s), START_MS + 3 * PING_MS);
    session_release(&p.s, 1, p.now);
    take(SIZE_MAX);
    p.read_len = p.said_len;
    tick_at(3 * PING_MS);
    expect_frame(0x89, "", 0);
    tick_at(3 * PING_MS + PONG_MS);
    expect_close(1008, "no Pong in time");
}

/* The longest reply and a Close at the worst moment still find room. */
static void never_more_than_the_buffer(void **state)
{
    static const char reason[] =
        "a reason as long as the protocol allows, which is one hundred and "
        "twenty-three bytes, of which these are the last: 123456";
    enum { LONGEST = UPGRADE_ANSWER_MAX + 200 };
    static char longest[LONGEST + 1], filler[LONGEST + 1];
    uint8_t text[LONGEST + 16];
    (void)state;

    rules.message_max = rules.app.reply_max = LONGEST;
    memset(longest, '1', LONGEST);
    size_t text_len = peer_text(text, 0, longest);
    for (size_t fill = OUTPUT_MAX % LONGEST - 10; fill < LONGEST; fill += 3) {
        upgrade_and_log_in();
        memset(filler, 'x', fill);
        filler[fill] = '\0';
        uint8_t frame[LONGEST + 16];
        feed_all(frame, peer_text(frame, 0, filler));
        while (feed(text, text_len) == text_len)
            continue;
        session_release(&p.s, 1, p.now);
        session_close(&p.s, WS_CLOSE_POLICY, reason, p.now);
        tick_at(1000);
        assert_int_equal(p.s.state, SESSION_CLOSING);
        assert_true(buf_len(&p.s.out) <= p.s.out.cap);
    }
}

/* --- Deadlines --- */

static void handshake_deadline(void **state)
{
    (void)state;
    start();
    assert_int_equal(session_due_ms(&p.s), START_MS + HANDSHAKE_MS);
    feed_all("GET ", 4);
    tick_at(HANDSHAKE_MS - 1);
    assert_false(session_is_done(&p.s));
    /* Not from the last byte: from accept. */
    feed_all("/ws ", 4);
    assert_int_equal(session_due_ms(&p.s), START_MS + HANDSHAKE_MS);
    tick_at(HANDSHAKE_MS);
    assert_true(session_is_done(&p.s));
    assert_string_equal(p.s.end, "no request in time");
    expect_nothing();
}

static void login_deadline(void **state)
{
    (void)state;
    start();
    p.now += 5000;
    feed_all(PEER_UPGRADE, sizeof PEER_UPGRADE - 1);
    expect_101();
    assert_int_equal(session_due_ms(&p.s), START_MS + 5000 + AUTH_MS);
    say("Nbad");
    say("what");
    assert_int_equal(session_due_ms(&p.s), START_MS + 5000 + AUTH_MS);
    tick_at(5000 + AUTH_MS - 1);
    expect_text("Nbad");
    expect_text("what");
    expect_nothing();
    tick_at(5000 + AUTH_MS);
    expect_close(1008, "no login in time");
    assert_int_equal(p.s.state, SESSION_CLOSING);
    assert_int_equal(session_due_ms(&p.s),
                     START_MS + 5000 + AUTH_MS + CLOSE_MS);
    tick_at(5000 + AUTH_MS + CLOSE_MS - 1);
    assert_false(session_is_done(&p.s));
    tick_at(5000 + AUTH_MS + CLOSE_MS);
    assert_true(session_is_done(&p.s));
    assert_string_equal(p.s.end, "no login in time");
}

/* Answered just before the deadline: the Close waits its second. */
static void login_deadline_after_an_answer(void **state)
{
    (void)state;
    upgrade();
    p.now += AUTH_MS - 10;
    say("Nbad");
    expect_text("Nbad");
    tick_at(AUTH_MS);
    expect_nothing();
    assert_int_equal(session_due_ms(&p.s), START_MS + AUTH_MS - 10 + 1000);
    tick_at(AUTH_MS - 10 + 999);
    expect_nothing();
    tick_at(AUTH_MS - 10 + 1000);
    expect_close(1008, "no login in time");
}

static void no_login_needed(void **state)
{
    (void)state;
    rules.app.needs_login = false;
    upgrade();
    assert_int_equal(p.s.state, SESSION_LIVE);
    assert_int_equal(session_due_ms(&p.s), START_MS + PING_MS);
}

static void pings(void **state)
{
    (void)state;
    upgrade_and_log_in();
    assert_int_equal(session_due_ms(&p.s), START_MS + PING_MS);
    tick_at(PING_MS - 1);
    expect_nothing();
    tick_at(PING_MS);
    expect_frame(0x89, "", 0);
    assert_int_equal(session_due_ms(&p.s), START_MS + PING_MS + PONG_MS);
    p.now += 100;
    say_frame(0x8a, "");
    assert_int_equal(session_due_ms(&p.s), START_MS + 2 * PING_MS);
    tick_at(2 * PING_MS);
    expect_frame(0x89, "", 0);
    /* Text is no Pong. */
    say("hi");
    expect_text("hi");
    p.now += 2000;
    tick_at(2 * PING_MS + PONG_MS - 1);
    expect_nothing();
    tick_at(2 * PING_MS + PONG_MS);
    expect_close(1008, "no Pong in time");
    assert_int_equal(p.s.state, SESSION_CLOSING);
}

static void a_second_login_moves_nothing(void **state)
{
    (void)state;
    upgrade_and_log_in();
    p.now += 7000;
    say("L");
    say("N");
    assert_int_equal(session_due_ms(&p.s), START_MS + PING_MS);
    assert_int_equal(p.s.logins, 2);
    assert_int_equal(p.s.failures, 1);
    assert_true(session_is_authenticated(&p.s));
}

static void not_authenticated_by_failure(void **state)
{
    (void)state;
    upgrade();
    assert_false(session_is_authenticated(&p.s));
    say("N");
    assert_false(session_is_authenticated(&p.s));
    assert_int_equal(p.s.state, SESSION_AUTH);
}

/* --- Closing from our side --- */

static void close_keeps_its_distance(void **state)
{
    (void)state;
    upgrade_and_log_in();
    p.now += 400;
    session_close(&p.s, WS_CLOSE_GOING_AWAY, "going", p.now);
    expect_nothing();
    assert_int_equal(session_due_ms(&p.s), START_MS + 1000);
    tick_at(999);
    expect_nothing();
    /* Nothing is read meanwhile: an answer would put it off. */
    assert_int_equal(feed("\x81\x80", 2), 0);
    tick_at(1000);
    expect_close(1001, "going");
    assert_int_equal(session_due_ms(&p.s), START_MS + 1000 + CLOSE_MS);
    say_frame(0x88, "\x03\xe9");
    assert_true(session_is_done(&p.s));
    assert_string_equal(p.s.end, "going");
    expect_nothing();
}

static void expelled_sooner(void **state)
{
    (void)state;
    upgrade_and_log_in();
    session_expel(&p.s, "revoked", p.now);
    tick_at(499);
    expect_nothing();
    tick_at(500);
    expect_close(1008, "revoked");
    /* A reply that waits for its commit goes first all the same. */
    upgrade_and_log_in();
    say("1 waits");
    session_expel(&p.s, "revoked", p.now);
    tick_at(2000);
    expect_nothing();
}

static void close_at_once_when_nothing_was_said(void **state)
{
    (void)state;
    upgrade();
    session_close(&p.s, WS_CLOSE_GOING_AWAY, "going", p.now);
    expect_close(1001, "going");
    upgrade_and_log_in();
    p.now += 1000;
    session_close(&p.s, WS_CLOSE_GOING_AWAY, "going", p.now);
    expect_close(1001, "going");
}

static void close_waits_for_what_waits(void **state)
{
    (void)state;
    upgrade_and_log_in();
    say("1a");
    say("2b");
    p.now += 5000;
    session_close(&p.s, WS_CLOSE_POLICY, "enough", p.now);
    assert_true(session_due_ms(&p.s) == INT64_MAX);
    tick_at(50000);
    expect_nothing();
    session_release(&p.s, 1, p.now);
    assert_true(session_due_ms(&p.s) == INT64_MAX);
    expect_text("1a");
    p.now += 100;
    session_release(&p.s, 2, p.now);
    expect_text("2b");
    assert_int_equal(session_due_ms(&p.s), START_MS + 51100);
    tick_at(51099);
    expect_nothing();
    tick_at(51100);
    expect_close(1008, "enough");
}

static void the_first_close_counts(void **state)
{
    (void)state;
    upgrade_and_log_in();
    session_close(&p.s, WS_CLOSE_GOING_AWAY, "first", p.now);
    session_close(&p.s, WS_CLOSE_POLICY, "second", p.now);
    tick_at(1000);
    expect_close(1001, "first");
    session_close(&p.s, WS_CLOSE_POLICY, "third", p.now);
    tick_at(5000);
    expect_nothing();
    assert_true(session_is_done(&p.s));
    session_close(&p.s, WS_CLOSE_POLICY, "fourth", p.now);
    assert_string_equal(p.s.end, "first");
}

static void close_before_the_upgrade(void **state)
{
    (void)state;
    start();
    feed_all("GET /ws", 7);
    session_close(&p.s, WS_CLOSE_GOING_AWAY, "going", p.now);
    assert_true(session_is_done(&p.s));
    assert_string_equal(p.s.end, "going");
    expect_nothing();
}

static void failing_at_once(void **state)
{
    (void)state;
    upgrade_and_log_in();
    say("last words");
    say("F");
    assert_true(session_is_done(&p.s));
    expect_text("last words");
    expect_close(1011, "told to fail");
    say("hello");
    say_frame(0x89, "ping");
    say_frame(0x88, "");
    expect_nothing();
    assert_string_equal(p.s.end, "told to fail");
}

/* Only the peer's Close is heard after ours, or what cannot be one. */
static void after_our_close(void **state)
{
    static const char *const last[] = {"\x88\x80\0\0\0\0", "\xff\x80\0\0\0\0"};

    (void)state;

    for (int i = 0; i < 2; i++) {
        upgrade();
        session_close(&p.s, WS_CLOSE_GOING_AWAY, "going", p.now);
        expect_close(1001, "going");
        say("hello");
        say_frame(0x89, "ping");
        expect_nothing();
        assert_int_equal(p.s.state, SESSION_CLOSING);
        feed_all(last[i], 6);
        assert_true(session_is_done(&p.s));
        feed_all("\xff\xff", 2);
        expect_nothing();
        assert_string_equal(p.s.end, "going");
    }
}

/* --- Closed by the peer --- */

static void the_peers_code_comes_back(void **state)
{
    static const unsigned codes[] = {1000, 1001, 1007, 1011, 3000, 4999};
    (void)state;

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        uint8_t frame[64], payload[5] = {(uint8_t)(codes[i] >> 8),
                                         (uint8_t)codes[i], 'b', 'y', 'e'};
        upgrade_and_log_in();
        feed_all(frame, peer_frame(frame, 0, 0x88, payload, 5));
        expect_close(codes[i], "");
        expect_nothing();
        assert_true(session_is_done(&p.s));
        assert_string_equal(p.s.end, "closed by the peer");
        assert_true(session_due_ms(&p.s) == INT64_MAX);
    }
}

static void an_empty_close_comes_back_empty(void **state)
{
    (void)state;
    upgrade();
    say_frame(0x88, "");
    expect_frame(0x88, "", 0);
    assert_true(session_is_done(&p.s));
}

static void nothing_is_heard_after_the_end(void **state)
{
    (void)state;
    upgrade_and_log_in();
    say_frame(0x88, "");
    expect_frame(0x88, "", 0);
    say("hello");
    say_frame(0x88, "");
    feed_all("\xff\xff\xff", 3);
    tick_at(1 << 20);
    session_close(&p.s, WS_CLOSE_POLICY, "late", p.now);
    expect_nothing();
    assert_string_equal(p.s.end, "closed by the peer");
}

static void protocol_errors(void **state)
{
    static const struct {
        uint8_t first;
        const char *payload;
        unsigned code;
        const char *reason;
    } table[] = {
        {0x82, "binary", 1003, "binary is not accepted"},
        {0x81, "\xff", 1007, "text is not UTF-8"},
        {0x80, "x", 1002, "nothing to continue"},
        {0xc1, "x", 1002, "reserved bit set"},
        {0x83, "x", 1002, "unknown opcode"},
        {0x09, "x", 1002, "control frame is fragmented"},
        {0x88, "x", 1002, "bad close payload"},
        {0x88, "\x03\xed", 1002, "bad close code"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        upgrade_and_log_in();
        say("before");
        say_frame(table[i].first, table[i].payload);
        expect_text("before");
        expect_close(table[i].code, table[i].reason);
        assert_true(session_is_done(&p.s));
        say_frame(0x88, "");
        feed_all("\xff\xff", 2);
        expect_nothing();
        assert_string_equal(p.s.end, table[i].reason);
    }
}

static void too_big(void **state)
{
    uint8_t frame[MESSAGE_MAX + 32];
    char text[MESSAGE_MAX + 1] = {0};
    (void)state;

    upgrade_and_log_in();
    peer_frame(frame, 0, 0x81, text, MESSAGE_MAX + 1);
    feed_all(frame, 8);
    expect_close(1009, "message is too big");
    feed_all(frame + 8, MESSAGE_MAX + 1);
    expect_nothing();
}

static void binary_for_an_app_that_takes_it(void **state)
{
    (void)state;
    rules.app.accepts_binary = true;
    upgrade();
    say_frame(0x82, "\xff\xfe");
    expect_frame(0x82, "\xff\xfe", 2);
}

/* --- The end of the input --- */

static void end_of_input(void **state)
{
    (void)state;
    start();
    feed_all("GET", 3);
    session_end_input(&p.s);
    assert_true(session_is_done(&p.s));
    expect_nothing();
    upgrade_and_log_in();
    say("hello");
    session_end_input(&p.s);
    assert_true(session_is_done(&p.s));
    assert_string_equal(p.s.end, "connection ended by the peer");
    assert_true(session_due_ms(&p.s) == INT64_MAX);
    expect_text("hello");
}

static void end_of_input_with_waiting_replies(void **state)
{
    (void)state;
    upgrade_and_log_in();
    say("1a");
    session_end_input(&p.s);
    assert_true(session_is_done(&p.s));
    assert_true(session_is_waiting(&p.s));
    expect_nothing();
    session_release(&p.s, 1, p.now);
    expect_text("1a");
    expect_nothing();
}

/* What is done stays done, also when a Close was about to be sent. */
static void end_of_input_before_our_close(void **state)
{
    (void)state;
    upgrade_and_log_in();
    session_close(&p.s, WS_CLOSE_GOING_AWAY, "going", p.now);
    session_end_input(&p.s);
    assert_true(session_is_done(&p.s));
    assert_true(session_due_ms(&p.s) == INT64_MAX);
    tick_at(1000);
    assert_true(session_is_done(&p.s));
    expect_nothing();
}

static void end_of_input_after_our_close(void **state)
{
    (void)state;
    upgrade_and_log_in();
    say("F");
    session_end_input(&p.s);
    assert_true(session_is_done(&p.s));
    assert_string_equal(p.s.end, "told to fail");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sizes),
        TEST(routes),
        TEST(garbage),
        TEST(large_heads),
        TEST(frames_behind_the_head),
        TEST(chunking_changes_nothing),
        TEST(the_script_is_answered),
        TEST(replies_wait_for_their_ticket),
        TEST(two_tickets_one_by_one),
        TEST(both_tickets_at_once),
        TEST(pongs_overtake_what_waits),
        TEST(pongs_do_not_cut_frames),
        TEST(pings_of_ours_overtake),
        TEST(close_comes_after_what_waits),
        TEST(failure_comes_after_what_waits),
        TEST(full_output_stops_input),
        TEST(what_waits_stops_input_too),
        TEST(no_ping_while_nothing_is_read),
        TEST(never_more_than_the_buffer),
        TEST(handshake_deadline),
        TEST(login_deadline),
        TEST(login_deadline_after_an_answer),
        TEST(no_login_needed),
        TEST(pings),
        TEST(a_second_login_moves_nothing),
        TEST(not_authenticated_by_failure),
        TEST(close_keeps_its_distance),
        TEST(expelled_sooner),
        TEST(close_at_once_when_nothing_was_said),
        TEST(close_waits_for_what_waits),
        TEST(the_first_close_counts),
        TEST(close_before_the_upgrade),
        TEST(failing_at_once),
        TEST(after_our_close),
        TEST(the_peers_code_comes_back),
        TEST(an_empty_close_comes_back_empty),
        TEST(nothing_is_heard_after_the_end),
        TEST(protocol_errors),
        TEST(too_big),
        TEST(binary_for_an_app_that_takes_it),
        TEST(end_of_input),
        TEST(end_of_input_with_waiting_replies),
        TEST(end_of_input_before_our_close),
        TEST(end_of_input_after_our_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
