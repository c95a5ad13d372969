/* Connections and failures by address, on made-up addresses. */
#include "app/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { CONNECTIONS = 8, OF_ADDRESS = 3, FAILURES = 6, MINUTE_MS = 60000 };

static struct peers *p;
static struct error err;
static int64_t now;

static int begin(void **state)
{
    const struct peers_rules rules = {
        .connections = CONNECTIONS,
        .address_connections = OF_ADDRESS,
        .address_failures = FAILURES,
        .trust = {.item = {"10.0.0.0/8", "fd00::/16"}, .count = 2},
    };

    (void)state;
    now = 1000;
    p = peers_new(&rules, &err);
    return p == NULL ? -1 : 0;
}

static int end(void **state)
{
    (void)state;
    peers_free(p);
    return 0;
}

static struct net_address address(const char *text)
{
    struct net_address a;

    assert_int_equal(net_parse(text, &a, &err), 0);
    return a;
}

/* Welcome, and counted. */
static struct peer *join(const char *text)
{
    struct net_address a = address(text);
    struct peer *peer;

    assert_null(peers_join(p, &a, now, &peer));
    assert_non_null(peer);
    return peer;
}

static void refuse(const char *text, const char *why)
{
    struct net_address a = address(text);
    struct peer *peer;
    const char *got = peers_join(p, &a, now, &peer);

    assert_non_null(got);
    assert_non_null(strstr(got, why));
}

static void connections_of_one(void **state)
{
    struct peer *peer = NULL;

    (void)state;
    for (int i = 0; i < OF_ADDRESS; i++)
        peer = join("192.0.2.1:1000");
    refuse("192.0.2.1:1001", "--max-address-connections");
    join("192.0.2.2:1000");
    peers_leave(p, peer, now);
    join("192.0.2.1:1002");
    refuse("192.0.2.1:1003", "--max-address-connections");
}

static void mapped_is_the_same(void **state)
{
    (void)state;
    join("192.0.2.1:1");
    join("[::ffff:192.0.2.1]:1");
    join("192.0.2.1:2");
    refuse("[::ffff:192.0.2.1]:2", "--max-address-connections");
    join("[::ffff:192.0.2.2]:2");
}

static void ipv6_counts_by_its_64(void **state)
{
    (void)state;
    join("[2001:db8:1:2::1]:1");
    join("[2001:db8:1:2:ffff::9]:1");
    join("[2001:db8:1:2:8000::]:1");
    refuse("[2001:db8:1:2::4]:1", "--max-address-connections");
    join("[2001:db8:1:3::1]:1");
}

static void trusted_do_not_count(void **state)
{
    struct net_address a = address("10.255.0.1:5");
    struct net_address b = address("[fd00:1::1]:5");
    struct peer *peer = NULL;

    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_null(peers_join(p, i % 2 ? &a : &b, now, &peer));
        assert_null(peer);
    }
    join("11.0.0.1:5");
    join("[fd01::1]:5");
}

static void failures_are_used_up_and_come_back(void **state)
{
    struct peer *peer = join("192.0.2.1:1");

    (void)state;
    assert_true(peers_note_failures(p, peer, FAILURES - 1, now));
    assert_false(peers_note_failures(p, peer, 1, now));
    refuse("192.0.2.1:2", "--max-address-failures");
    join("192.0.2.2:1");
    now += MINUTE_MS / FAILURES - 1;
    refuse("192.0.2.1:2", "--max-address-failures");
    now++;
    peers_leave(p, join("192.0.2.1:2"), now);
    assert_false(peers_note_failures(p, peer, 1, now));
}

static void credit_has_a_top(void **state)
{
    struct peer *peer = join("192.0.2.1:1");

    (void)state;
    now += 100LL * 365 * 86400 * 1000;
    assert_true(peers_note_failures(p, peer, FAILURES - 1, now));
    assert_false(peers_note_failures(p, peer, 1, now));
    assert_false(peers_note_failures(p, peer, 1000000, now));
    now += MINUTE_MS;
    assert_true(peers_note_failures(p, peer, 1, now));
}

static void failures_outlive_connections(void **state)
{
    struct peer *peer = join("192.0.2.1:1");

    (void)state;
    assert_false(peers_note_failures(p, peer, FAILURES, now));
    peers_leave(p, peer, now);
    refuse("192.0.2.1:2", "--max-address-failures");
}

/* The table is bounded: of the absent, the one seen longest ago goes. */
static void the_oldest_makes_room(void **state)
{
    char text[32];
    struct peer *bad = join("192.0.2.1:1");

    (void)state;
    peers_note_failures(p, bad, FAILURES, now);
    peers_leave(p, bad, now);
    for (int i = 0; i < 2 * CONNECTIONS - 1; i++) {
        snprintf(text, sizeof text, "198.51.100.%d:1", i);
        peers_leave(p, join(text), now);
    }
    refuse("192.0.2.1:1", "--max-address-failures"); /* and is seen by it */
    for (int i = 0; i < 2 * CONNECTIONS - 1; i++) {
        snprintf(text, sizeof text, "203.0.113.%d:1", i);
        peers_leave(p, join(text), now);
    }
    refuse("192.0.2.1:1", "--max-address-failures");
    for (int i = 0; i < 2 * CONNECTIONS; i++) {
        snprintf(text, sizeof text, "198.51.100.%d:1", i);
        peers_leave(p, join(text), now);
    }
    join("192.0.2.1:1");
}

static void the_present_are_never_forgotten(void **state)
{
    struct peer *stays = join("192.0.2.1:1");
    char text[32];

    (void)state;
    join("192.0.2.1:2");
    peers_note_failures(p, stays, FAILURES - 1, now);
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "198.%d.%d.1:1", i / 256 + 1, i % 256);
        peers_leave(p, join(text), now);
    }
    assert_ptr_equal(join("192.0.2.1:3"), stays);
    refuse("192.0.2.1:4", "--max-address-connections");
    assert_false(peers_note_failures(p, stays, 1, now));
}

/* Two a turn, for each address by itself. */
static void handshakes_take_turns(void **state)
{
    struct peer *one = join("192.0.2.1:1"), *two = join("192.0.2.2:1");

    (void)state;
    for (uint64_t turn = 1; turn < 4; turn++) {
        assert_true(peers_take_handshake(one, turn));
        assert_true(peers_take_handshake(one, turn));
        assert_false(peers_take_handshake(one, turn));
        assert_true(peers_take_handshake(two, turn));
        assert_false(peers_take_handshake(one, turn));
    }
}

static void bad_trust_is_refused(void **state)
{
    const struct peers_rules rules = {
        .connections = 1, .trust = {.item = {"10.0.0.0/33"}, .count = 1}};

    (void)state;
    assert_null(peers_new(&rules, &err));
    assert_non_null(strstr(err.text, "10.0.0.0/33"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connections_of_one),
        TEST(mapped_is_the_same),
        TEST(ipv6_counts_by_its_64),
        TEST(trusted_do_not_count),
        TEST(failures_are_used_up_and_come_back),
        TEST(credit_has_a_top),
        TEST(failures_outlive_connections),
        TEST(the_oldest_makes_room),
        TEST(the_present_are_never_forgotten),
        TEST(handshakes_take_turns),
        cmocka_unit_test(bad_trust_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
