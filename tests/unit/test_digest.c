#include "base/digest.h"
#include "base/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "guard.h"

static void to_hex(const uint8_t *bytes, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++)
        sprintf(out + 2 * i, "%02x", bytes[i]);
}

static void check(const void *data, size_t len, const char *sha1,
                  const char *sha256)
{
    uint8_t *in = guard_copy(data, len);
    uint8_t hash[DIGEST_SHA256_LEN];
    char hex[2 * DIGEST_SHA256_LEN + 1];

    digest_sha1(in, len, hash);
    to_hex(hash, DIGEST_SHA1_LEN, hex);
    assert_string_equal(hex, sha1);
    digest_sha256(in, len, hash);
    to_hex(hash, DIGEST_SHA256_LEN, hex);
    assert_string_equal(hex, sha256);
    free(in);
}

/* The example messages that NIST gives for FIPS 180-4. */
static void fips_180_vectors(void **state)
{
    static const char two_blocks[] =
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    (void)state;

    check("", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709",
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check("abc", 3, "a9993e364706816aba3e25717850c26c9cd0d89d",
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check(two_blocks, strlen(two_blocks),
          "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void one_million_a(void **state)
{
    size_t len = 1000000;
    char *data = malloc(len);
    (void)state;

    memset(data, 'a', len);
    check(data, len, "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
          "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(data);
}

static void null_is_empty(void **state)
{
    uint8_t a[DIGEST_SHA256_LEN];
    uint8_t b[DIGEST_SHA256_LEN];
    (void)state;

    digest_sha256(NULL, 0, a);
    digest_sha256("", 0, b);
    assert_memory_equal(a, b, sizeof a);
    digest_sha1(NULL, 0, a);
    digest_sha1("", 0, b);
    assert_memory_equal(a, b, DIGEST_SHA1_LEN);
}

/* What the processor does and what BearSSL does, to the bit. */
static void rounds_are_bearssls(void **state)
{
#ifdef __x86_64__
    uint32_t seed = 1;
    (void)state;

    if (!sha256_x86_is_there())
        skip();
    for (int n = 0; n < 10000; n++) {
        uint8_t block[1 + SHA256_BLOCK_LEN]; /* from an odd address */
        uint32_t ours[SHA256_STATE_WORDS], theirs[SHA256_STATE_WORDS];
        for (size_t i = 0; i < sizeof block; i++)
            block[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
        for (size_t i = 0; i < SHA256_STATE_WORDS; i++)
            ours[i] = theirs[i] = seed = seed * 1664525 + 1013904223;
        uint8_t *in = guard_copy(block, sizeof block);
        sha256_x86_round(in + 1, ours);
        br_sha2small_round_portable(in + 1, theirs);
        free(in);
        assert_memory_equal(ours, theirs, sizeof ours);
    }
#else
    (void)state;
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fips_180_vectors),
        cmocka_unit_test(one_million_a),
        cmocka_unit_test(null_is_empty),
        cmocka_unit_test(rounds_are_bearssls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
