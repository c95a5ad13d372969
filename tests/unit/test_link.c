/* Unit tests of sys/link over socket pairs, plain and with TLS. */
#include "sys/link.h"

#include "base/ec.h"
#include "tls_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct link l;
static void *mem;
static int peer; /* the other end */
static struct error err;
static struct tls_server *server;
static struct tls_peer *tls;

static void open_link(struct tls_server *with)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends),
                     0);
    peer = ends[1];
    assert_int_equal(link_open(&l, ends[0], with, mem, &err), 0);
}

static int begin(void **state)
{
    (void)state;
    mem = malloc(link_mem_size());
    if (mem == NULL)
        return -1;
    open_link(NULL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    link_shut(&l);
    if (peer >= 0)
        close(peer);
    free(mem);
    return 0;
}

static struct span text(const char *s)
{
    return span_of(s);
}

static void expect_input(const char *expected)
{
    struct span in = link_input(&l);

    assert_int_equal(in.len, strlen(expected));
    if (in.len > 0)
        assert_memory_equal(in.ptr, expected, in.len);
}

/* --- Plain --- */

static void receiving(void **state)
{
    (void)state;
    assert_true(link_is_established(&l));
    assert_false(link_is_over(&l));
    assert_int_equal(link_receive(&l), LINK_BLOCKED);
    expect_input("");
    assert_int_equal(send(peer, "hello", 5, 0), 5);
    assert_int_equal(link_receive(&l), LINK_MOVED);
    assert_int_equal(link_receive(&l), LINK_BLOCKED);
    expect_input("hello");
    link_consume(&l, 2);
    expect_input("llo");
    assert_int_equal(send(peer, "!", 1, 0), 1);
    assert_int_equal(link_receive(&l), LINK_MOVED);
    expect_input("llo!");
    link_consume(&l, 4);
    expect_input("");
}

static void sending(void **state)
{
    char got[16];
    (void)state;

    assert_false(link_wants_send(&l));
    assert_int_equal(link_send(&l), LINK_BLOCKED);
    assert_int_equal(link_write(&l, text("hello")), 5);
    link_flush(&l);
    assert_true(link_wants_send(&l));
    assert_int_equal(link_send(&l), LINK_MOVED);
    assert_false(link_wants_send(&l));
    assert_int_equal(recv(peer, got, sizeof got, 0), 5);
    assert_memory_equal(got, "hello", 5);
    assert_int_equal(link_write(&l, (struct span){0}), 0);
}

/* Full in both directions: nothing is lost, nothing is taken too much. */
static void full_buffers(void **state)
{
    static uint8_t data[1 << 20];
    static uint8_t got[1 << 20];
    size_t written = 0, read_len = 0;
    (void)state;

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7 + i / 251);
    while (read_len < sizeof data) {
        size_t n;
        while ((n = link_write(&l, (struct span){data + written,
                                                 sizeof data - written})) > 0)
            written += n;
        while (link_send(&l) == LINK_MOVED)
            continue;
        ssize_t r = recv(peer, got + read_len, 5000, 0);
        if (r > 0)
            read_len += (size_t)r;
    }
    assert_memory_equal(got, data, sizeof data);

    written = read_len = 0;
    while (read_len < sizeof data) {
        ssize_t w = send(peer, data + written, sizeof data - written, 0);
        if (w > 0)
            written += (size_t)w;
        while (link_receive(&l) == LINK_MOVED)
            continue;
        struct span in = link_input(&l);
        assert_true(in.len > 0);
        size_t n = in.len > 1 ? in.len - in.len / 3 : 1;
        memcpy(got + read_len, in.ptr, n);
        link_consume(&l, n);
        read_len += n;
    }
    assert_memory_equal(got, data, sizeof data);
}

static void a_full_input_wants_nothing(void **state)
{
    static uint8_t data[20000];
    (void)state;

    assert_true(link_wants_receive(&l));
    assert_true(send(peer, data, sizeof data, 0) > 0);
    while (link_receive(&l) == LINK_MOVED)
        continue;
    assert_false(link_wants_receive(&l));
    size_t len = link_input(&l).len;
    assert_int_equal(link_receive(&l), LINK_BLOCKED);
    link_consume(&l, 1);
    assert_true(link_wants_receive(&l));
    assert_int_equal(link_receive(&l), LINK_MOVED);
    assert_int_equal(link_input(&l).len, len);
}

static void the_peers_end(void **state)
{
    char got[16];
    (void)state;

    send(peer, "last", 4, 0);
    shutdown(peer, SHUT_WR);
    assert_int_equal(link_receive(&l), LINK_MOVED);
    /* A read that came short is not followed by another at once. */
    assert_int_equal(link_receive(&l), LINK_BLOCKED);
    assert_int_equal(link_receive(&l), LINK_ENDED);
    assert_false(link_wants_receive(&l));
    assert_int_equal(link_receive(&l), LINK_BLOCKED);
    expect_input("last");
    /* The other way is open still. */
    assert_int_equal(link_write(&l, text("bye")), 3);
    assert_int_equal(link_send(&l), LINK_MOVED);
    assert_int_equal(recv(peer, got, sizeof got, 0), 3);
}

static void our_end(void **state)
{
    char got[16];
    (void)state;

    assert_int_equal(link_write(&l, text("bye")), 3);
    link_close(&l);
    assert_int_equal(link_write(&l, text("more")), 0);
    assert_true(link_wants_send(&l));
    assert_int_equal(link_send(&l), LINK_MOVED);
    link_end_output(&l);
    assert_int_equal(recv(peer, got, sizeof got, 0), 3);
    assert_int_equal(recv(peer, got, sizeof got, 0), 0);
    assert_int_equal(link_discard(&l), LINK_BLOCKED);
    send(peer, "unread", 6, 0);
    assert_int_equal(link_discard(&l), LINK_MOVED);
    assert_int_equal(link_discard(&l), LINK_BLOCKED);
    close(peer);
    peer = -1;
    assert_int_equal(link_discard(&l), LINK_ENDED);
}

static void a_peer_that_is_gone(void **state)
{
    int number = 0;
    (void)state;

    close(peer);
    peer = -1;
    assert_int_equal(link_write(&l, text("hello")), 5);
    assert_int_equal(link_send(&l), LINK_BROKEN);
    assert_string_equal(link_failure(&l, &number), "socket_error");
    assert_int_equal(number, EPIPE);
}

static void no_failure(void **state)
{
    int number = 5;
    (void)state;

    link_failure(&l, &number);
    assert_int_equal(number, 0);
}

/* --- TLS --- */

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

static int begin_tls(void **state)
{
    (void)state;
    mem = malloc(link_mem_size());
    if (mem == NULL)
        return -1;
    open_link(server);
    tls_peer_start(tls, peer);
    return 0;
}

/* Let both sides move what they can. returns: the link's last trouble */
static enum link_result pump_both(void)
{
    enum link_result in, out, bad = LINK_MOVED;

    for (int quiet = 0; quiet < 3;) {
        tls_peer_pump(tls);
        in = link_receive(&l);
        out = link_send(&l);
        if (in == LINK_ENDED || in == LINK_BROKEN)
            bad = in;
        quiet = in == LINK_MOVED || out == LINK_MOVED ? 0 : quiet + 1;
    }
    return bad;
}

static void shake_hands(void)
{
    assert_false(link_is_established(&l));
    assert_int_equal(link_write(&l, text("early")), 0);
    assert_int_equal(pump_both(), LINK_MOVED);
    assert_false(link_is_over(&l));
}

/* The server speaks last: it is not another record that completes it. */
static void established(void **state)
{
    (void)state;
    shake_hands();
    assert_true(link_is_established(&l));
}

static size_t no_share(unsigned char *point, const unsigned char *scalar,
                       size_t len, int curve)
{
    if (curve != BR_EC_curve25519)
        return br_ec_get_default()->mulgen(point, scalar, len, curve);
    memset(point, 0, 32);
    return 32;
}

static uint32_t no_secret(unsigned char *point, size_t point_len,
                          const unsigned char *scalar, size_t len, int curve)
{
    if (curve != BR_EC_curve25519)
        return br_ec_get_default()->mul(point, point_len, scalar, len, curve);
    memset(point, 0, point_len);
    return 1;
}

/*
 * RFC 8422 section 5.11: a client whose X25519 share is of low order, so that
 * the secret is zero whatever the server's part, is not let in.
 */
static void a_share_of_low_order(void **state)
{
    br_ec_impl curves = *br_ec_get_default();
    int number;
    (void)state;

    if (ec_curves() == br_ec_get_default())
        skip(); /* make EC=bearssl: lets it in */
    curves.mulgen = no_share;
    curves.mul = no_secret;
    br_ssl_engine_set_ec(&tls->client.eng, &curves);
    assert_int_equal(pump_both(), LINK_BROKEN);
    assert_false(link_is_established(&l));
    link_failure(&l, &number);
    assert_int_equal(number, BR_ERR_BAD_MAC); /* of its Finished */
}

static void tls_both_ways(void **state)
{
    char got[32];
    (void)state;

    shake_hands();
    assert_int_equal(tls_peer_write(tls, "hello", 5), 5);
    pump_both();
    expect_input("hello");
    assert_true(link_is_established(&l));
    link_consume(&l, 5);
    expect_input("");
    assert_int_equal(link_write(&l, text("welcome")), 7);
    link_flush(&l);
    pump_both();
    assert_int_equal(tls_peer_read(tls, got, sizeof got), 7);
    assert_memory_equal(got, "welcome", 7);
}

/* Records that have come in one read are taken without the kernel. */
static void tls_ahead(void **state)
{
    (void)state;
    shake_hands();
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tls_peer_write(tls, &"abc"[i], 1), 1);
        tls_peer_pump(tls);
    }
    assert_false(link_holds_input(&l));
    assert_int_equal(link_receive(&l), LINK_MOVED);
    assert_true(link_holds_input(&l));
    uint64_t received = l.received;
    for (size_t i = 0; i < 3; i++) {
        while (link_receive(&l) == LINK_MOVED)
            continue;
        /* Decrypted, and not taken: it keeps the next one out. */
        assert_false(link_holds_input(&l));
        expect_input((const char[]){"abc"[i], '\0'});
        link_consume(&l, 1);
        assert_int_equal(link_holds_input(&l), i < 2);
    }
    assert_int_equal(l.received, received);
    expect_input("");
}

static void tls_large(void **state)
{
    static uint8_t data[300000], got[300000];
    size_t written = 0, read_len = 0;
    (void)state;

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 31 + i / 253);
    shake_hands();
    while (read_len < sizeof data) {
        written += link_write(
            &l, (struct span){data + written, sizeof data - written});
        link_flush(&l);
        pump_both();
        read_len += tls_peer_read(tls, got + read_len, sizeof got - read_len);
    }
    assert_memory_equal(got, data, sizeof data);
    written = read_len = 0;
    while (read_len < sizeof data) {
        written += tls_peer_write(tls, data + written, sizeof data - written);
        pump_both();
        struct span in = link_input(&l);
        memcpy(got + read_len, in.ptr, in.len);
        read_len += in.len;
        link_consume(&l, in.len);
    }
    assert_memory_equal(got, data, sizeof data);
}

static void tls_closed_by_us(void **state)
{
    char got[16];
    int error;
    (void)state;

    shake_hands();
    link_write(&l, text("bye"));
    link_close(&l);
    assert_int_equal(link_write(&l, text("more")), 0);
    while (link_wants_send(&l))
        assert_int_equal(link_send(&l), LINK_MOVED);
    link_end_output(&l);
    tls_peer_pump(tls);
    assert_int_equal(tls_peer_read(tls, got, sizeof got), 3);
    tls_peer_pump(tls);
    assert_true(tls_peer_is_closed(tls, &error));
    assert_int_equal(error, 0);
}

static void tls_closed_by_the_peer(void **state)
{
    int number;
    (void)state;

    shake_hands();
    br_ssl_engine_close(&tls->client.eng);
    assert_int_not_equal(pump_both(), LINK_BROKEN);
    assert_true(link_is_over(&l));
    assert_false(link_wants_receive(&l));
    assert_string_equal(link_failure(&l, &number), "tls_error");
    assert_int_equal(number, 0);
}

static void tls_cut_off(void **state)
{
    (void)state;
    shake_hands();
    tls_peer_write(tls, "last", 4);
    tls_peer_pump(tls);
    shutdown(peer, SHUT_WR);
    assert_int_equal(pump_both(), LINK_MOVED);
    expect_input("last");
    link_consume(&l, 4);
    assert_int_equal(pump_both(), LINK_ENDED);
    assert_false(link_wants_receive(&l));
}

static void not_tls(void **state)
{
    static const char garbage[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    int number;
    (void)state;

    send(peer, garbage, sizeof garbage - 1, 0);
    enum link_result result = LINK_MOVED;
    while (result == LINK_MOVED)
        result = link_receive(&l);
    assert_int_equal(result, LINK_BROKEN);
    assert_true(link_is_over(&l));
    assert_false(link_is_established(&l));
    assert_string_equal(link_failure(&l, &number), "tls_error");
    assert_true(number != 0);
}

#define PLAIN(name) cmocka_unit_test_setup_teardown(name, begin, end)
#define TLS(name)   cmocka_unit_test_setup_teardown(name, begin_tls, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAIN(receiving),
        PLAIN(sending),
        PLAIN(full_buffers),
        PLAIN(a_full_input_wants_nothing),
        PLAIN(the_peers_end),
        PLAIN(our_end),
        PLAIN(a_peer_that_is_gone),
        PLAIN(no_failure),
        TLS(established),
        TLS(a_share_of_low_order),
        TLS(tls_both_ways),
        TLS(tls_ahead),
        TLS(tls_large),
        TLS(tls_closed_by_us),
        TLS(tls_closed_by_the_peer),
        TLS(tls_cut_off),
        TLS(not_tls),
    };

    return cmocka_run_group_tests(tests, make_server, drop_server);
}
