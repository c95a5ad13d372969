#include "base/hex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "guard.h"

enum { LEN = 8 };

/* returns: the digit's value by the C library, or -1 */
static int value_of(uint8_t digit)
{
    const char text[] = {(char)digit, '\0'};
    char *end;
    long value = strtol(text, &end, 16);

    return end == text ? -1 : (int)value;
}

static void each_byte_in_each_place(void **state)
{
    (void)state;

    for (size_t place = 0; place < 2 * (size_t)LEN; place++)
        for (int byte = 0; byte < 256; byte++) {
            uint8_t *text = guard_copy("0123456789abcDEF", 2 * (size_t)LEN);
            uint8_t *out = guard_copy("\0\0\0\0\0\0\0\0", LEN);
            uint8_t expected[] = {0x01, 0x23, 0x45, 0x67,
                                  0x89, 0xab, 0xcd, 0xef};
            int value = value_of((uint8_t)byte);
            int shift = place % 2 == 0 ? 4 : 0;
            text[place] = (uint8_t)byte;
            assert_int_equal(hex_decode(text, out, LEN), value >= 0);
            if (value >= 0) {
                expected[place / 2] &= (uint8_t)(0xf0 >> shift);
                expected[place / 2] |= (uint8_t)(value << shift);
                assert_memory_equal(out, expected, LEN);
            }
            free(text);
            free(out);
        }
}

static void each_byte_as_digits(void **state)
{
    (void)state;

    for (int byte = 0; byte < 256; byte++) {
        uint8_t bytes[] = {(uint8_t)byte, 0xa5};
        char expected[5], out[5];
        snprintf(expected, sizeof expected, "%02xa5", byte);
        hex_encode(bytes, sizeof bytes, out);
        assert_string_equal(out, expected);
    }
}

static void nothing_is_read(void **state)
{
    uint8_t *none = guard_copy(NULL, 0);
    (void)state;

    assert_true(hex_decode(none, none, 0));
    free(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_byte_in_each_place),
        cmocka_unit_test(each_byte_as_digits),
        cmocka_unit_test(nothing_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
