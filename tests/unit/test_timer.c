/* Unit tests of sys/timer: random operations against a plain array. */
#include "sys/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TIMERS = 64 };

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static void order(void **state)
{
    static const int64_t due[] = {50, 10, 30, 10, 90, -5, 70};
    enum { N = sizeof due / sizeof *due };
    struct timer t[N] = {{0}};
    struct timer_heap h;
    (void)state;

    assert_true(timer_heap_init(&h, N));
    assert_true(timer_next_ms(&h) == DEADLINE_NEVER);
    assert_null(timer_take_due(&h, INT64_MAX));
    for (size_t i = 0; i < N; i++)
        timer_set(&h, &t[i], due[i]);
    assert_int_equal(timer_next_ms(&h), -5);
    assert_null(timer_take_due(&h, -6));
    assert_ptr_equal(timer_take_due(&h, -5), &t[5]);
    assert_int_equal(timer_next_ms(&h), 10);
    assert_null(timer_take_due(&h, 9));
    struct timer *first = timer_take_due(&h, 10);
    struct timer *second = timer_take_due(&h, 10);
    assert_true((first == &t[1] && second == &t[3]) ||
                (first == &t[3] && second == &t[1]));
    assert_null(timer_take_due(&h, 10));
    assert_ptr_equal(timer_take_due(&h, 1000), &t[2]);
    assert_ptr_equal(timer_take_due(&h, 1000), &t[0]);
    assert_ptr_equal(timer_take_due(&h, 1000), &t[6]);
    assert_ptr_equal(timer_take_due(&h, 1000), &t[4]);
    assert_null(timer_take_due(&h, 1000));
    timer_heap_fini(&h);
}

static void taking_back(void **state)
{
    struct timer t = {0}, u = {0};
    struct timer_heap h;
    (void)state;

    assert_true(timer_heap_init(&h, 2));
    timer_set(&h, &t, DEADLINE_NEVER);
    assert_true(timer_next_ms(&h) == DEADLINE_NEVER);
    timer_set(&h, &t, 5);
    timer_set(&h, &t, 5);
    timer_set(&h, &u, 7);
    timer_set(&h, &t, DEADLINE_NEVER);
    timer_set(&h, &t, DEADLINE_NEVER);
    assert_int_equal(timer_next_ms(&h), 7);
    /* One that was taken can be set to the same time again. */
    assert_ptr_equal(timer_take_due(&h, 7), &u);
    timer_set(&h, &u, 7);
    assert_int_equal(timer_next_ms(&h), 7);
    assert_int_equal(h.count, 1);
    timer_heap_fini(&h);
}

/* The model: due times, NEVER when not set. */
static int64_t model_next(const int64_t *due)
{
    int64_t next = DEADLINE_NEVER;

    for (size_t i = 0; i < TIMERS; i++)
        if (due[i] < next)
            next = due[i];
    return next;
}

static void check_places(const struct timer_heap *h, const struct timer *t,
                         const int64_t *due)
{
    size_t set = 0;

    for (size_t i = 0; i < TIMERS; i++) {
        assert_int_equal(t[i].place != 0, due[i] != DEADLINE_NEVER);
        if (t[i].place == 0)
            continue;
        assert_ptr_equal(h->heap[t[i].place - 1], &t[i]);
        assert_true(t[i].due_ms == due[i]);
        set++;
    }
    assert_int_equal(h->count, set);
}

static void random_operations(void **state)
{
    struct timer t[TIMERS] = {{0}};
    int64_t due[TIMERS];
    struct timer_heap h;
    uint64_t x = 99;
    (void)state;

    for (size_t i = 0; i < TIMERS; i++)
        due[i] = DEADLINE_NEVER;
    assert_true(timer_heap_init(&h, TIMERS));
    for (int n = 0; n < 200000; n++) {
        size_t i = next_random(&x) % TIMERS;
        uint64_t what = next_random(&x) % 8;
        if (what < 5) {
            due[i] = (int64_t)(next_random(&x) % 100);
            timer_set(&h, &t[i], due[i]);
        } else if (what < 6) {
            due[i] = DEADLINE_NEVER;
            timer_set(&h, &t[i], DEADLINE_NEVER);
        } else {
            int64_t now = (int64_t)(next_random(&x) % 60);
            struct timer *taken = timer_take_due(&h, now);
            assert_int_equal(taken != NULL, model_next(due) <= now);
            if (taken != NULL) {
                assert_true(due[taken - t] == model_next(due));
                due[taken - t] = DEADLINE_NEVER;
            }
        }
        assert_true(timer_next_ms(&h) == model_next(due));
        if (n % 16 == 0)
            check_places(&h, t, due);
    }
    timer_heap_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order),
        cmocka_unit_test(taking_back),
        cmocka_unit_test(random_operations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
