/* Unit tests of app/pool. */
#include "app/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static bool is_zeroed(const uint8_t *slot, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (slot[i] != 0)
            return false;
    return true;
}

static void slots_are_whole_pages(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    static const size_t sizes[] = {1, 4095, 4096, 4097, 70000};
    (void)state;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct pool p;
        assert_true(pool_init(&p, 3, sizes[i]));
        assert_true(p.slot_size >= sizes[i]);
        assert_true(p.slot_size < sizes[i] + page);
        assert_int_equal(p.slot_size % page, 0);
        uint8_t *slot = pool_take(&p);
        assert_int_equal((uintptr_t)slot % page, 0);
        pool_fini(&p);
    }
}

static void each_slot_once(void **state)
{
    enum { SLOTS = 50 };
    uint8_t *taken[SLOTS];
    struct pool p;
    (void)state;

    assert_true(pool_init(&p, SLOTS, 5000));
    for (size_t i = 0; i < SLOTS; i++) {
        taken[i] = pool_take(&p);
        assert_non_null(taken[i]);
        assert_true(is_zeroed(taken[i], p.slot_size));
        memset(taken[i], (int)i + 1, p.slot_size);
    }
    assert_null(pool_take(&p));
    for (size_t i = 0; i < SLOTS; i++)
        for (size_t at = 0; at < p.slot_size; at += 512)
            assert_int_equal(taken[i][at], i + 1);
    for (size_t i = 0; i < SLOTS; i++)
        pool_give_back(&p, taken[i]);
    for (size_t i = 0; i < SLOTS; i++)
        assert_non_null(pool_take(&p));
    assert_null(pool_take(&p));
    pool_fini(&p);
}

static void emptied_when_given_back(void **state)
{
    struct pool p;
    (void)state;

    assert_true(pool_init(&p, 2, 9000));
    uint8_t *a = pool_take(&p), *b = pool_take(&p);
    memset(a, 0x5a, p.slot_size);
    memset(b, 0xa5, p.slot_size);
    pool_give_back(&p, a);
    assert_true(is_zeroed(a, p.slot_size));
    assert_int_equal(b[0], 0xa5);
    assert_int_equal(b[p.slot_size - 1], 0xa5);
    assert_ptr_equal(pool_take(&p), a);
    assert_true(is_zeroed(a, p.slot_size));
    assert_null(pool_take(&p));
    pool_give_back(&p, b);
    assert_ptr_equal(pool_take(&p), b);
    pool_fini(&p);
}

static void filled_from_the_start(void **state)
{
    struct pool p;
    (void)state;

    assert_true(pool_init(&p, 4, 4096));
    for (size_t i = 0; i < 4; i++)
        assert_ptr_equal(pool_take(&p), p.mem + i * p.slot_size);
    pool_fini(&p);
}

static void too_much(void **state)
{
    struct pool p;
    (void)state;

    assert_false(pool_init(&p, SIZE_MAX / 4096, 8192));
    pool_fini(&p);
    assert_false(pool_init(&p, 1 << 20, (size_t)1 << 40));
    assert_null(pool_take(&p));
    pool_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_whole_pages),
        cmocka_unit_test(each_slot_once),
        cmocka_unit_test(emptied_when_given_back),
        cmocka_unit_test(filled_from_the_start),
        cmocka_unit_test(too_much),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
