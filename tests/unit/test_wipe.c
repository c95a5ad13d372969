#include "base/wipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "guard.h"

static void wipes_exactly_n(void **state)
{
    uint8_t mem[8];
    (void)state;

    for (size_t n = 0; n <= sizeof mem; n++) {
        memset(mem, 0xAA, sizeof mem);
        wipe(mem, n);
        for (size_t i = 0; i < sizeof mem; i++)
            assert_int_equal(mem[i], i < n ? 0 : 0xAA);
    }
    wipe(NULL, 0);
}

static void equal_when_all_bytes_are(void **state)
{
    uint8_t *a = guard_copy("0123456789abcdef", 16);
    uint8_t *b = guard_copy("0123456789abcdef", 16);
    (void)state;

    assert_true(equals_ct(a, b, 16));
    assert_true(equals_ct(NULL, NULL, 0));
    for (size_t i = 0; i < 16; i++) {
        for (int bit = 0; bit < 8; bit++) {
            b[i] ^= (uint8_t)(1 << bit);
            assert_false(equals_ct(a, b, 16));
            assert_true(equals_ct(a, b, i));
            b[i] ^= (uint8_t)(1 << bit);
        }
    }
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wipes_exactly_n),
        cmocka_unit_test(equal_when_all_bytes_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
