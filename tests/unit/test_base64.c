#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "guard.h"

static void check_encode(const char *plain, const char *expected)
{
    size_t len = strlen(plain);
    uint8_t *in = guard_copy(plain, len);
    char *out = malloc(BASE64_LEN(len));

    assert_int_equal(BASE64_LEN(len), strlen(expected));
    assert_int_equal(base64_encode(in, len, out), strlen(expected));
    assert_memory_equal(out, expected, strlen(expected));
    free(out);
    free(in);
}

static void rfc4648_vectors(void **state)
{
    (void)state;
    check_encode("", "");
    check_encode("f", "Zg==");
    check_encode("fo", "Zm8=");
    check_encode("foo", "Zm9v");
    check_encode("foob", "Zm9vYg==");
    check_encode("fooba", "Zm9vYmE=");
    check_encode("foobar", "Zm9vYmFy");
    check_encode("the sample nonce", "dGhlIHNhbXBsZSBub25jZQ==");
}

static void whole_alphabet(void **state)
{
    static const char all[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t in[48];
    char out[64];
    (void)state;

    for (unsigned i = 0; i < 16; i++) {
        unsigned bits =
            4 * i << 18 | (4 * i + 1) << 12 | (4 * i + 2) << 6 | (4 * i + 3);
        in[3 * i] = (uint8_t)(bits >> 16);
        in[3 * i + 1] = (uint8_t)(bits >> 8);
        in[3 * i + 2] = (uint8_t)bits;
    }
    assert_int_equal(base64_encode(in, sizeof in, out), 64);
    assert_memory_equal(out, all, 64);
}

static bool is_key(const char *text)
{
    uint8_t *copy = guard_copy(text, strlen(text));
    bool answer = base64_is_16_bytes((struct span){copy, strlen(text)});

    free(copy);
    return answer;
}

static void key_of_16_bytes(void **state)
{
    (void)state;
    assert_true(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_true(is_key("AAAAAAAAAAAAAAAAAAAAAA=="));
    assert_true(is_key("+/+/+/+/+/+/+/+/+/+/+w=="));
    /* Spare bits that are not zero do not matter. */
    assert_true(is_key("dGhlIHNhbXBsZSBub25jZR=="));

    assert_false(base64_is_16_bytes((struct span){NULL, 0}));
    assert_false(is_key("dGhlIHNhbXBsZSBub25jZQ="));
    assert_false(is_key("dGhlIHNhbXBsZSBub25jZQ"));
    assert_false(is_key("dGhlIHNhbXBsZSBub25jZQ==="));
    assert_false(is_key("dGhlIHNhbXBsZSBub25jZWU="));
    assert_false(is_key("dGhlIHNhbXBsZSBub25jZWVl"));
    assert_false(is_key("dGhlIHNhbXBsZSBub25j Q=="));
    assert_false(is_key("dGhlIHNhbXBs-SBub25jZQ=="));
    assert_false(is_key("dGhlIHNhbXBs_SBub25jZQ=="));
    assert_false(is_key("dGhlIHNhbXBsZSBub25jZ==="));
    assert_false(is_key("=GhlIHNhbXBsZSBub25jZQ=="));
    assert_false(is_key("SGVsbG8sIHdvcmxkIQ=="));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc4648_vectors),
        cmocka_unit_test(whole_alphabet),
        cmocka_unit_test(key_of_16_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
