#include "base/siphash.h"
#include "proto/last_use.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t secret[SIPHASH_KEY_LEN] = "sixteen bytes!!";

/* The first and last seconds of the years 0001 to 9999 are among them. */
static const int64_t times[] = {
    0, 1, -1, 1795508405, INT32_MAX, UINT32_MAX, -62135596800, 253402300799,
};

static void round_trip(void **state)
{
    uint8_t bytes[LAST_USE_LEN];
    int64_t time;
    (void)state;

    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        last_use_encode(secret, i, times[i], bytes);
        assert_true(last_use_decode(secret, i, bytes, &time));
        assert_int_equal(time, times[i]);
    }
}

static void every_bit_counts(void **state)
{
    uint8_t bytes[LAST_USE_LEN];
    int64_t time;
    (void)state;

    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        last_use_encode(secret, 7, times[i], bytes);
        for (unsigned bit = 0; bit < 8 * LAST_USE_LEN; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_false(last_use_decode(secret, 7, bytes, &time));
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

static void it_belongs_to_its_row_and_store(void **state)
{
    const uint8_t other[SIPHASH_KEY_LEN] = {0};
    uint8_t bytes[LAST_USE_LEN];
    int64_t time;
    (void)state;

    last_use_encode(secret, 7, 1795508405, bytes);
    assert_false(last_use_decode(secret, 8, bytes, &time));
    assert_false(last_use_decode(other, 7, bytes, &time));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(it_belongs_to_its_row_and_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
