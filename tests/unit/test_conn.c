/* Unit tests of app/conn over socket pairs, plain and with TLS. */
#include "app/conn.h"

#include "peer.h"
#include "tls_peer.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    START_MS = 50000,
    HANDSHAKE_MS = 10000,
    CLOSE_MS = 2000,
    FLUSH_MS = 5000,
    LINGER_MS = 3000,
    OUTPUT_MAX = 2000
};

/* Answers every text; one that begins with a digit waits for that ticket. */
static void on_message(void *ctx, struct session *s, enum ws_opcode opcode,
                       struct span m)
{
    uint8_t first = m.len > 0 ? m.ptr[0] : 0;

    (void)ctx;
    session_reply(s, opcode, m, first >= '1' && first <= '9' ? first - '0' : 0);
}

static const char *unready_reason(void *ctx)
{
    (void)ctx;
    return NULL;
}

static const struct conn_rules rules = {
    .session = {.app = {.on_message = on_message,
                        .unready_reason = unready_reason,
                        .reply_max = 1000},
                .path = "/ws",
                .header_max = 4096,
                .message_max = 1000,
                .output_max = OUTPUT_MAX,
                .handshake_ms = HANDSHAKE_MS,
                .auth_ms = 10000,
                .ping_ms = 30000,
                .pong_ms = 10000,
                .close_ms = CLOSE_MS},
    .flush_ms = FLUSH_MS,
    .linger_ms = LINGER_MS,
};

static struct conn c;
static void *mem;
static int peer;
static int64_t now;
static uint8_t got[1 << 20]; /* what the peer has read */
static size_t got_len;
static struct error err;
static struct tls_server *server;
static struct tls_peer *tls;

static int open_conn(struct tls_server *with)
{
    int ends[2], small = 4096;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0)
        return -1;
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    peer = ends[1];
    now = START_MS;
    got_len = 0;
    mem = aligned_alloc(64, (conn_mem_size(&rules) + 63) / 64 * 64);
    return conn_open(&c, &rules, mem,
                     &(struct conn_arrival){.fd = ends[0], .tls = with}, now,
                     &err);
}

static int begin(void **state)
{
    (void)state;
    return open_conn(NULL);
}

static int begin_tls(void **state)
{
    (void)state;
    if (open_conn(server) != 0)
        return -1;
    tls_peer_start(tls, peer);
    return 0;
}

static int end(void **state)
{
    (void)state;
    conn_shut(&c);
    if (peer >= 0)
        close(peer);
    free(mem);
    return 0;
}

static int make_server(void **state)
{
    (void)state;
    return tls_peer_new(&tls, &server);
}

static int drop_server(void **state)
{
    (void)state;
    tls_peer_free(tls, server);
    return 0;
}

/* Pump as often as the loop would: while the socket has what is wanted, or
 * input is left from the turn before. */
static void turns(void)
{
    for (int i = 0; c.state != CONN_DEAD; i++) {
        unsigned interest = conn_interest(&c);
        struct pollfd p = {.fd = c.link.fd};
        p.events = (short)(((interest & EPOLLIN) ? POLLIN : 0) |
                           ((interest & EPOLLOUT) ? POLLOUT : 0));
        if (poll(&p, 1, 0) <= 0 && !conn_has_more(&c))
            break;
        assert_true(i < 10000); /* it does not spin */
        conn_pump(&c, now);
        if ((p.revents & (POLLHUP | POLLERR)) != 0)
            conn_hang_up(&c);
    }
}

static void tick_at(int64_t since_start)
{
    now = START_MS + since_start;
    conn_tick(&c, now);
    turns();
}

/* The peer reads at most max bytes. returns: bytes, 0 at the end, -1 none */
static ssize_t read_some(size_t max)
{
    if (max > sizeof got - got_len)
        max = sizeof got - got_len;
    ssize_t n = recv(peer, got + got_len, max, 0);
    if (n > 0)
        got_len += (size_t)n;
    return n;
}

/* Turns and reads until nothing moves. returns: has our FIN come? */
static bool read_all(void)
{
    ssize_t n;

    do {
        turns();
        n = read_some(sizeof got);
    } while (n > 0);
    return n == 0;
}

static void say(const void *data, size_t len)
{
    assert_int_equal(send(peer, data, len, MSG_NOSIGNAL), len);
}

static void say_text(const char *text)
{
    uint8_t frame[1100];

    say(frame, peer_text(frame, 0, text));
}

static void upgrade(void)
{
    say(PEER_UPGRADE, sizeof PEER_UPGRADE - 1);
    read_all();
    assert_int_equal(got_len, sizeof PEER_101 - 1);
    assert_memory_equal(got, PEER_101, got_len);
    got_len = 0;
}

static void expect(const void *data, size_t len)
{
    read_all();
    assert_int_equal(got_len, len);
    assert_memory_equal(got, data, len);
    got_len = 0;
}

#define GET_HEALTH "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"

static void conversation(void **state)
{
    uint8_t frame[16];
    (void)state;

    assert_int_equal(conn_interest(&c), EPOLLIN);
    assert_int_equal(conn_due_ms(&c), START_MS + HANDSHAKE_MS);
    upgrade();
    assert_int_equal(conn_interest(&c), EPOLLIN);
    say_text("hello");
    expect("\x81\x05hello", 7);
    say(frame, peer_frame(frame, 0, 0x88, "\x03\xe8", 2));
    expect("\x88\x02\x03\xe8", 4);
    assert_true(read_all());
    assert_int_equal(c.state, CONN_LINGER);
    assert_int_equal(conn_interest(&c), EPOLLIN);
    assert_int_equal(conn_due_ms(&c), START_MS + LINGER_MS);
    /* What still comes in is dropped. */
    say_text("late");
    turns();
    assert_int_equal(c.state, CONN_LINGER);
    close(peer);
    peer = -1;
    turns();
    assert_int_equal(c.state, CONN_DEAD);
    assert_string_equal(conn_end(&c), "closed by the peer");
}

static bool is_wiped(const uint8_t *mem_, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (mem_[i] != 0)
            return false;
    return true;
}

/* What was said is out of memory a second later, and all goes on. */
static void memory_is_given_back_at_rest(void **state)
{
    (void)state;
    upgrade();
    tick_at(500);
    say_text("hello");
    expect("\x81\x05hello", 7);
    tick_at(1499);
    assert_false(is_wiped(c.session.mem, 64));
    assert_int_equal(conn_due_ms(&c), START_MS + 1500);
    tick_at(1500);
    assert_true(is_wiped(c.session.mem, 64));
    assert_true(conn_due_ms(&c) > START_MS + 29000); /* the Ping */
    say_text("again");
    expect("\x81\x05"
           "again",
           7);
}

/* Half a message stays: the rest of it may come at any time. */
static void half_a_message_is_kept(void **state)
{
    uint8_t first[32];
    (void)state;

    upgrade();
    say(first, peer_frame(first, 0, 0x01, "hel", 3));
    turns();
    tick_at(1000);
    tick_at(2000);
    uint8_t second[32];
    say(second, peer_frame(second, 0, 0x80, "lo", 2));
    expect("\x81\x05hello", 7);
}

/* So does what waits for a commit. */
static void a_reply_that_waits_is_kept(void **state)
{
    (void)state;
    upgrade();
    say_text("1 waits");
    turns();
    tick_at(1000);
    tick_at(2000);
    session_release(&c.session, 1, now);
    conn_pump(&c, now);
    expect("\x81\x07"
           "1 waits",
           9);
}

static void linger_ends(void **state)
{
    (void)state;
    say(GET_HEALTH, sizeof GET_HEALTH - 1);
    assert_true(read_all());
    assert_int_equal(strncmp((char *)got, "HTTP/1.1 200 OK\r\n", 17), 0);
    assert_int_equal(c.state, CONN_LINGER);
    tick_at(LINGER_MS - 1);
    assert_int_equal(c.state, CONN_LINGER);
    tick_at(LINGER_MS);
    assert_int_equal(c.state, CONN_DEAD);
    assert_string_equal(conn_end(&c), "health answered");
    conn_pump(&c, now);
    conn_tick(&c, now);
    assert_int_equal(c.state, CONN_DEAD);
}

static void handshake_deadline(void **state)
{
    (void)state;
    say("GET /ws", 7);
    turns();
    tick_at(HANDSHAKE_MS - 1);
    assert_int_equal(c.state, CONN_CARRY);
    tick_at(HANDSHAKE_MS);
    assert_true(c.state == CONN_LINGER);
    assert_true(read_all());
    assert_string_equal(conn_end(&c), "no request in time");
}

static void half_close(void **state)
{
    (void)state;
    upgrade();
    say_text("one");
    say_text("two");
    shutdown(peer, SHUT_WR);
    /* No turn more than those: nobody is left to wait for. */
    conn_pump(&c, now);
    conn_pump(&c, now);
    assert_int_equal(c.state, CONN_DEAD);
    read_all();
    assert_int_equal(got_len, 10);
    assert_memory_equal(got, "\x81\x03one\x81\x03two", 10);
    assert_int_equal(c.state, CONN_DEAD);
    assert_string_equal(conn_end(&c), "connection ended by the peer");
}

static void half_close_while_a_reply_waits(void **state)
{
    (void)state;
    upgrade();
    say_text("1one");
    shutdown(peer, SHUT_WR);
    assert_false(read_all());
    assert_int_equal(got_len, 0);
    assert_int_equal(c.state, CONN_CARRY);
    assert_int_equal(conn_interest(&c), 0);
    session_release(&c.session, 1, now);
    conn_pump(&c, now);
    read_all();
    assert_int_equal(got_len, 6);
    assert_memory_equal(got,
                        "\x81\x04"
                        "1one",
                        6);
    assert_int_equal(c.state, CONN_DEAD);
}

enum { MANY = 300, EACH = 50 /* bytes of a reply */ };

/* MANY messages in one piece, and then the end of the input. */
static void ask_much(char first)
{
    static uint8_t in[MANY * (EACH + 8)];
    char text[EACH];
    size_t len = 0;

    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "%c%047d", first, i);
        len = peer_text(in, len, text);
    }
    say(in, len);
    shutdown(peer, SHUT_WR);
}

/* More than output and link hold: all that was asked is answered. */
static void half_close_after_many(void **state)
{
    (void)state;
    upgrade();
    ask_much('m');
    turns();
    for (int i = 0; i < 1000 && c.state != CONN_DEAD; i++) {
        read_some(100);
        turns();
    }
    read_all();
    assert_int_equal(c.state, CONN_DEAD);
    assert_int_equal(got_len, MANY * EACH);
}

/* The replies wait for a commit, and fill the output. */
static void half_close_while_many_wait(void **state)
{
    (void)state;
    upgrade();
    ask_much('1');
    read_all();
    assert_int_equal(got_len, 0);
    for (int i = 0; i < 20 && c.state != CONN_DEAD; i++) {
        session_release(&c.session, 1, now);
        conn_pump(&c, now);
        read_all();
    }
    assert_int_equal(c.state, CONN_DEAD);
    assert_int_equal(got_len, MANY * EACH);
}

/* Ask until nothing more is taken, and read nothing. */
static void stuff(void)
{
    uint8_t frame[1100];
    char text[900];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    size_t len = peer_text(frame, 0, text);
    for (int quiet = 0; quiet < 3; turns())
        quiet = send(peer, frame, len, MSG_NOSIGNAL) > 0 ? 0 : quiet + 1;
}

static void a_peer_that_never_reads(void **state)
{
    (void)state;
    upgrade();
    stuff();
    assert_true(buf_len(&c.session.out) > OUTPUT_MAX);
    assert_int_equal(conn_interest(&c), EPOLLOUT);
    assert_int_equal(conn_due_ms(&c), START_MS + FLUSH_MS);
    /* The kernel has taken some, which counts once. */
    tick_at(FLUSH_MS);
    assert_int_equal(conn_due_ms(&c), START_MS + 2 * FLUSH_MS);
    tick_at(2 * FLUSH_MS - 1);
    assert_int_equal(c.state, CONN_CARRY);
    tick_at(2 * FLUSH_MS);
    assert_int_equal(c.state, CONN_DEAD);
    assert_string_equal(conn_end(&c), "output not taken in time");
}

static void a_peer_that_reads_slowly(void **state)
{
    (void)state;
    upgrade();
    stuff();
    for (int64_t i = 1; i < 20; i++) {
        /* More than was queued then: it is moving. */
        for (int n = 0; n < 20; n++) {
            read_some(1000);
            turns();
        }
        stuff();
        got_len = 0;
        tick_at(i * FLUSH_MS);
        assert_int_equal(c.state, CONN_CARRY);
    }
    tick_at(20 * FLUSH_MS);
    tick_at(21 * FLUSH_MS);
    assert_int_equal(c.state, CONN_DEAD);
}

static void a_deadline_that_was_met(void **state)
{
    (void)state;
    upgrade();
    stuff();
    while (conn_interest(&c) != EPOLLIN) {
        read_all();
        got_len = 0;
    }
    read_all();
    tick_at(1000); /* it rests */
    assert_true(conn_due_ms(&c) > START_MS + FLUSH_MS);
    tick_at(FLUSH_MS);
    assert_int_equal(c.state, CONN_CARRY);
}

static void flush_deadline_when_done(void **state)
{
    (void)state;
    upgrade();
    say_text("1held");
    turns();
    shutdown(peer, SHUT_WR);
    turns();
    assert_int_equal(c.state, CONN_CARRY);
    assert_int_equal(conn_due_ms(&c), START_MS + FLUSH_MS);
    tick_at(FLUSH_MS);
    assert_int_equal(c.state, CONN_DEAD);
}

static void a_peer_that_is_gone(void **state)
{
    (void)state;
    upgrade();
    say_text("1one");
    turns();
    close(peer);
    peer = -1;
    session_release(&c.session, 1, now);
    conn_pump(&c, now);
    assert_int_equal(c.state, CONN_DEAD);
}

static void hang_up(void **state)
{
    (void)state;
    upgrade();
    conn_hang_up(&c);
    assert_int_equal(c.state, CONN_DEAD);
    assert_string_equal(conn_end(&c), "connection lost");
    assert_int_equal(c.session.state, SESSION_LIVE);
}

static void closed_by_us(void **state)
{
    uint8_t frame[16];
    (void)state;

    upgrade();
    now += 5000;
    session_close(&c.session, WS_CLOSE_GOING_AWAY, "going", now);
    conn_pump(&c, now);
    expect("\x88\x07\x03\xe9going", 9);
    assert_int_equal(c.state, CONN_CARRY);
    assert_int_equal(conn_due_ms(&c), now + CLOSE_MS);
    say(frame, peer_frame(frame, 0, 0x88, "\x03\xe9", 2));
    assert_true(read_all());
    assert_int_equal(c.state, CONN_LINGER);
    close(peer);
    peer = -1;
    turns();
    assert_int_equal(c.state, CONN_DEAD);
    assert_string_equal(conn_end(&c), "going");
}

static void closed_by_us_and_no_answer(void **state)
{
    (void)state;
    upgrade();
    session_close(&c.session, WS_CLOSE_GOING_AWAY, "going", now);
    conn_pump(&c, now);
    read_all();
    tick_at(CLOSE_MS);
    assert_true(read_all());
    assert_int_equal(c.state, CONN_LINGER);
    tick_at(CLOSE_MS + LINGER_MS);
    assert_int_equal(c.state, CONN_DEAD);
}

/* --- TLS --- */

static void pump_both(void)
{
    for (int i = 0; i < 20; i++) {
        tls_peer_pump(tls);
        turns();
    }
}

static void say_tls(const void *data, size_t len)
{
    pump_both();
    assert_int_equal(tls_peer_write(tls, data, len), len);
    pump_both();
}

static void expect_tls(const void *data, size_t len)
{
    size_t n = tls_peer_read(tls, got, sizeof got);

    assert_int_equal(n, len);
    assert_memory_equal(got, data, len);
    pump_both();
}

static void tls_conversation(void **state)
{
    uint8_t frame[64];
    int error;
    (void)state;

    say_tls(PEER_UPGRADE, sizeof PEER_UPGRADE - 1);
    expect_tls(PEER_101, sizeof PEER_101 - 1);
    say_tls(frame, peer_text(frame, 0, "hello"));
    expect_tls("\x81\x05hello", 7);
    say_tls(frame, peer_frame(frame, 0, 0x88, "\x03\xe8", 2));
    expect_tls("\x88\x02\x03\xe8", 4);
    assert_true(tls_peer_is_closed(tls, &error));
    assert_int_equal(error, 0);
    turns();
    assert_true(c.state == CONN_LINGER || c.state == CONN_DEAD);
    close(peer);
    peer = -1;
    turns();
    assert_int_equal(c.state, CONN_DEAD);
    assert_string_equal(conn_end(&c), "closed by the peer");
}

static void tls_health(void **state)
{
    int error;
    (void)state;

    say_tls(GET_HEALTH, sizeof GET_HEALTH - 1);
    size_t n = tls_peer_read(tls, got, sizeof got);
    assert_true(n > 0);
    assert_int_equal(strncmp((char *)got, "HTTP/1.1 200 OK\r\n", 17), 0);
    pump_both();
    assert_true(tls_peer_is_closed(tls, &error));
    assert_int_equal(error, 0);
}

static void tls_ended_by_the_peer(void **state)
{
    (void)state;
    say_tls(PEER_UPGRADE, sizeof PEER_UPGRADE - 1);
    expect_tls(PEER_101, sizeof PEER_101 - 1);
    br_ssl_engine_close(&tls->client.eng);
    pump_both();
    assert_int_equal(c.state, CONN_DEAD);
    assert_string_equal(conn_end(&c), "TLS ended by the peer");
}

static void not_tls(void **state)
{
    (void)state;
    say("get / HTTP/1.1\r\n\r\n", 18);
    turns();
    assert_int_equal(c.state, CONN_DEAD);
    assert_string_equal(conn_end(&c), "TLS failed");
}

static void plain_http_on_tls(void **state)
{
    (void)state;
    say("GET / HTTP/1.1\r\n\r\n", 18);
    assert_true(read_all());
    assert_memory_equal(got, "HTTP/1.1 400 ", 13);
    assert_int_equal(c.state, CONN_LINGER);
    assert_string_equal(conn_end(&c), "plain HTTP on a TLS port");
}

static void tls_handshake_deadline(void **state)
{
    (void)state;
    tick_at(HANDSHAKE_MS);
    assert_int_equal(c.state, CONN_DEAD);
}

/* Handshake done, no request: the end is an orderly one. */
static void tls_request_deadline(void **state)
{
    int error;
    (void)state;

    pump_both();
    tick_at(HANDSHAKE_MS);
    pump_both();
    assert_true(tls_peer_is_closed(tls, &error));
    assert_int_equal(error, 0);
    assert_string_equal(conn_end(&c), "no request in time");
}

#define PLAIN(name) cmocka_unit_test_setup_teardown(name, begin, end)
#define TLS(name)   cmocka_unit_test_setup_teardown(name, begin_tls, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAIN(conversation),
        PLAIN(memory_is_given_back_at_rest),
        PLAIN(half_a_message_is_kept),
        PLAIN(a_reply_that_waits_is_kept),
        PLAIN(linger_ends),
        PLAIN(handshake_deadline),
        PLAIN(half_close),
        PLAIN(half_close_while_a_reply_waits),
        PLAIN(half_close_after_many),
        PLAIN(half_close_while_many_wait),
        PLAIN(a_peer_that_never_reads),
        PLAIN(a_peer_that_reads_slowly),
        PLAIN(a_deadline_that_was_met),
        PLAIN(flush_deadline_when_done),
        PLAIN(a_peer_that_is_gone),
        PLAIN(hang_up),
        PLAIN(closed_by_us),
        PLAIN(closed_by_us_and_no_answer),
        TLS(tls_conversation),
        TLS(tls_health),
        TLS(tls_ended_by_the_peer),
        TLS(not_tls),
        TLS(plain_http_on_tls),
        TLS(tls_handshake_deadline),
        TLS(tls_request_deadline),
    };

    return cmocka_run_group_tests(tests, make_server, drop_server);
}
