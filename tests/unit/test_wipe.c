#include "base/wipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <string.h>

#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wipes_exactly_n),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
