/* Unit tests of app/server_review: how many are judged in which turn. */
#include "app/server_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CONNS = 3000, SLICE = 256, REVIEW_MS = 250, START_MS = 5000 };

static struct conn *conns;
static struct conn *live[CONNS];
static struct server s;
static unsigned judged[CONNS], looks;
static bool is_due;

static bool begin_review(void *ctx)
{
    (void)ctx;
    looks++;
    return is_due;
}

/* The identity is the number of the connection. */
static const char *judge(void *ctx,
                         const uint8_t identity[SESSION_IDENTITY_LEN])
{
    unsigned n;

    (void)ctx;
    memcpy(&n, identity, sizeof n);
    judged[n]++;
    return NULL;
}

static const struct server_service service = {.begin_review = begin_review,
                                              .judge = judge};
static const struct server_options options = {.service = &service};

static int begin(void **state)
{
    (void)state;
    s = (struct server){.options = &options, .live = live, .now_ms = START_MS};
    conns = calloc(CONNS, sizeof *conns);
    if (conns == NULL)
        return -1;
    memset(judged, 0, sizeof judged);
    for (unsigned i = 0; i < CONNS; i++) {
        live[i] = &conns[i];
        live[i]->session.logins = 1;
        memcpy(live[i]->session.identity, &i, sizeof i);
    }
    s.live_count = CONNS;
    looks = 0;
    is_due = true;
    return 0;
}

static int end(void **state)
{
    (void)state;
    free(conns);
    return 0;
}

static size_t count_judged(void)
{
    size_t count = 0;

    for (size_t i = 0; i < CONNS; i++)
        count += judged[i] > 0;
    return count;
}

static void turn_at(int64_t ms)
{
    s.now_ms = START_MS + ms;
    server_review(&s);
}

static void a_slice_a_turn(void **state)
{
    (void)state;
    for (size_t turn = 1; turn <= CONNS / SLICE; turn++) {
        turn_at(0);
        assert_int_equal(count_judged(), turn * SLICE);
        assert_int_equal(server_review_ms(&s), s.now_ms);
    }
    turn_at(0);
    assert_int_equal(count_judged(), CONNS);
    assert_int_equal(server_review_ms(&s), START_MS + REVIEW_MS);
    for (size_t i = 0; i < CONNS; i++)
        assert_int_equal(judged[i], 1);
    assert_int_equal(looks, 1);
}

static void long_turns_judge_more(void **state)
{
    (void)state;
    turn_at(0);
    assert_int_equal(count_judged(), SLICE);
    turn_at(REVIEW_MS / 2);
    assert_int_equal(count_judged(), CONNS / 2);
    turn_at(REVIEW_MS / 2);
    assert_int_equal(count_judged(), CONNS / 2 + SLICE);
    turn_at(10 * REVIEW_MS);
    assert_int_equal(count_judged(), CONNS);
}

static void looks_are_rare(void **state)
{
    (void)state;
    is_due = false;
    for (int64_t ms = 0; ms < 4 * REVIEW_MS; ms++)
        turn_at(ms);
    assert_int_equal(looks, 4);
    assert_int_equal(count_judged(), 0);
    s.live_count = 0;
    assert_int_equal(server_review_ms(&s), DEADLINE_NEVER);
    turn_at(10 * REVIEW_MS);
    assert_int_equal(looks, 4);
}

static void who_is_not_logged_in_is_not_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONNS; i += 2)
        live[i]->session.logins = 0;
    turn_at(0);
    turn_at(REVIEW_MS);
    assert_int_equal(count_judged(), CONNS / 2);
}

/* As the sweep takes one out of the list. */
static void take_out(size_t i)
{
    live[i] = live[--s.live_count];
    live[s.live_count] = NULL;
}

static void ends_amid_a_review_hide_nobody(void **state)
{
    (void)state;
    while (s.review_left > 0 || looks == 0) {
        turn_at(0);
        for (int i = 0; i < 50; i++)
            take_out((size_t)rand() % s.live_count);
    }
    for (size_t i = 0; i < s.live_count; i++) {
        unsigned n;
        memcpy(&n, live[i]->session.identity, sizeof n);
        assert_true(judged[n] > 0);
    }
    /* Nearly all at once, then the rest. */
    turn_at(REVIEW_MS);
    while (s.live_count > 10)
        take_out(0);
    turn_at(REVIEW_MS);
    assert_int_equal(s.review_left, 0);
    s.live_count = 0;
    assert_int_equal(server_review_ms(&s), DEADLINE_NEVER);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_slice_a_turn),
        TEST(long_turns_judge_more),
        TEST(looks_are_rare),
        TEST(who_is_not_logged_in_is_not_judged),
        TEST(ends_amid_a_review_hide_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
