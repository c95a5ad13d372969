/* Unit tests of proto/token. */
#include "proto/token.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"

static const uint8_t key[TOKEN_KEY_LEN] = "a key that has 32 bytes of text";
static const uint8_t secret[SIPHASH_KEY_LEN] = "sixteen bytes  ";
static const struct token_seal seal = {.key = key, .secret = secret};

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static struct token_record random_record(uint64_t *x)
{
    struct token_record r = {
        .row = next_random(x),
        .created = (int64_t)next_random(x),
        .not_before = (int64_t)next_random(x),
        .expires = (int64_t)next_random(x),
        .revoked = next_random(x) % 2 == 0,
        .username_len = (uint8_t)(next_random(x) % 255 + 1),
    };

    for (size_t i = 0; i < r.username_len; i++)
        r.username[i] = (char)next_random(x);
    return r;
}

static void check_same(const struct token_record *a,
                       const struct token_record *b)
{
    assert_true(a->row == b->row);
    assert_true(a->created == b->created);
    assert_true(a->not_before == b->not_before);
    assert_true(a->expires == b->expires);
    assert_true(a->revoked == b->revoked);
    assert_int_equal(a->username_len, b->username_len);
    assert_memory_equal(a->username, b->username, a->username_len);
}

/* From memory that ends with the record. */
static bool decode(const uint8_t *in, size_t len, struct token_record *out)
{
    uint8_t *copy = guard_copy(in, len);
    bool ok = token_decode(copy, len, &seal, out);

    free(copy);
    return ok;
}

/* Put the checksum of whatever the record says now. */
static void reseal(uint8_t *record, size_t len)
{
    uint8_t joined[TOKEN_KEY_LEN + TOKEN_RECORD_MAX];

    memcpy(joined, key, TOKEN_KEY_LEN);
    memcpy(joined + TOKEN_KEY_LEN, record, len - 8);
    store_le64(record + len - 8,
               siphash(secret, joined, TOKEN_KEY_LEN + len - 8));
}

static void round_trip(void **state)
{
    uint64_t x = 1;
    (void)state;

    for (int i = 0; i < 2000; i++) {
        struct token_record in = random_record(&x), out;
        uint8_t *packed = malloc(TOKEN_RECORD_HEAD + in.username_len + 8u);
        size_t len = token_encode(&in, &seal, packed);
        assert_int_equal(len, TOKEN_RECORD_HEAD + in.username_len + 8);
        assert_true(token_decode(packed, len, &seal, &out));
        check_same(&in, &out);
        free(packed);
    }
}

static void extremes(void **state)
{
    static const int64_t times[] = {INT64_MIN, -1, 0, 1, INT64_MAX};
    uint8_t packed[TOKEN_RECORD_MAX];
    struct token_record out;
    (void)state;

    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        struct token_record in = {.row = UINT64_MAX,
                                  .created = times[i],
                                  .not_before = times[i],
                                  .expires = times[i],
                                  .username_len = i % 2 ? 1 : 255};
        size_t len = token_encode(&in, &seal, packed);
        assert_true(decode(packed, len, &out));
        check_same(&in, &out);
    }
}

/* The bytes that stores out there hold. */
static void layout(void **state)
{
    struct token_record in = {.row = 0x0102,
                              .created = 1,
                              .not_before = -1,
                              .expires = 0x0304,
                              .revoked = true,
                              .username_len = 2,
                              .username = "Jo"};
    uint8_t packed[TOKEN_RECORD_MAX], expected[37];
    (void)state;

    memcpy(expected, (const uint8_t[]){1, 1, 2}, 3);
    store_le64(expected + 3, 0x0102);
    store_le64(expected + 11, 1);
    store_le64(expected + 19, UINT64_MAX);
    store_le64(expected + 27, 0x0304);
    memcpy(expected + 35, "Jo", 2);
    assert_int_equal(token_encode(&in, &seal, packed), 35 + 2 + 8);
    assert_memory_equal(packed, expected, 37);
}

static void every_flipped_bit_is_seen(void **state)
{
    uint64_t x = 7;
    uint8_t packed[TOKEN_RECORD_MAX];
    (void)state;

    for (int i = 0; i < 12; i++) {
        struct token_record r = random_record(&x), out;
        if (i < 2)
            r.username_len = i == 0 ? 1 : 255;
        size_t len = token_encode(&r, &seal, packed);
        for (size_t bit = 0; bit < 8 * len; bit++) {
            packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_false(decode(packed, len, &out));
            packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_true(decode(packed, len, &out));
    }
}

static void another_key_or_secret(void **state)
{
    uint64_t x = 3;
    struct token_record r = random_record(&x), out;
    uint8_t packed[TOKEN_RECORD_MAX], other[TOKEN_KEY_LEN];
    size_t len = token_encode(&r, &seal, packed);
    (void)state;

    for (size_t i = 0; i < TOKEN_KEY_LEN; i++) {
        memcpy(other, key, sizeof other);
        other[i] ^= 1;
        assert_false(token_decode(packed, len,
                                  &(struct token_seal){other, secret}, &out));
    }
    for (size_t i = 0; i < SIPHASH_KEY_LEN; i++) {
        memcpy(other, secret, SIPHASH_KEY_LEN);
        other[i] ^= 1;
        assert_false(
            token_decode(packed, len, &(struct token_seal){key, other}, &out));
    }
}

static void truncated_or_longer(void **state)
{
    uint64_t x = 9;
    struct token_record r = random_record(&x), out;
    uint8_t packed[TOKEN_RECORD_MAX + 400] = {0};
    size_t len = token_encode(&r, &seal, packed);
    (void)state;

    for (size_t n = 0; n < sizeof packed; n++)
        assert_int_equal(decode(packed, n, &out), n == len);
}

/* Whole by its checksum, yet not a record of this version. */
static void sealed_nonsense(void **state)
{
    struct token_record r = {.row = 1, .username_len = 9}, out;
    uint8_t good[TOKEN_RECORD_MAX], bad[TOKEN_RECORD_MAX];
    size_t len = token_encode(&r, &seal, good);
    (void)state;

    for (unsigned value = 0; value < 256; value++)
        for (size_t at = 0; at < 3; at++) {
            memcpy(bad, good, len);
            bad[at] = (uint8_t)value;
            reseal(bad, len);
            bool is_fine = at == 1 ? value <= 1 : value == good[at];
            assert_int_equal(decode(bad, len, &out), is_fine);
        }
    /* No name at all. */
    memcpy(bad, good, TOKEN_RECORD_HEAD);
    bad[2] = 0;
    reseal(bad, TOKEN_RECORD_HEAD + 8);
    assert_false(decode(bad, TOKEN_RECORD_HEAD + 8, &out));
}

static void validity(void **state)
{
    static const struct {
        int64_t not_before, expires;
        bool revoked;
        int64_t now;
        bool is_valid;
    } table[] = {
        {0, TOKEN_NEVER, false, 1000, true},
        {0, TOKEN_NEVER, false, 0, true},
        {0, TOKEN_NEVER, false, -1, false},
        {0, TOKEN_NEVER, false, INT64_MAX, true},
        {0, TOKEN_NEVER, true, 1000, false},
        {0, 1001, false, 1000, true},
        {0, 1000, false, 1000, false},
        {0, 999, false, 1000, false},
        {0, -1, false, 1000, false},
        {0, INT64_MIN, false, 1000, false},
        {0, INT64_MAX, false, 1000, true},
        {0, 1001, true, 1000, false},
        {1000, TOKEN_NEVER, false, 1000, true},
        {1001, TOKEN_NEVER, false, 1000, false},
        {999, TOKEN_NEVER, false, 1000, true},
        {1000, 1001, false, 1000, true},
        {1000, 1001, false, 999, false},
        {1000, 1001, false, 1001, false},
        {1001, 1000, false, 1000, false},
        {1000, 1001, true, 1000, false},
    };
    (void)state;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct token_record r = {.not_before = table[i].not_before,
                                 .expires = table[i].expires,
                                 .revoked = table[i].revoked};
        assert_int_equal(token_is_valid(&r, table[i].now), table[i].is_valid);
    }
}

static void expiries(void **state)
{
    struct token_record r = {0};
    (void)state;

    assert_int_equal(token_expiry(1), 1);
    assert_int_equal(token_expiry(-5), -5);
    assert_int_equal(token_expiry(1800000000), 1800000000);
    assert_int_equal(token_expiry(0), -1);
    r.expires = token_expiry(0);
    assert_false(token_is_valid(&r, 0));
    assert_false(token_is_valid(&r, 1000));
}

static void public_id(void **state)
{
    const uint8_t bytes[TOKEN_KEY_LEN] = {0x01, 0x23, 0x45, 0x89,
                                          0xab, 0xef, 0xff};
    char id[TOKEN_ID_LEN + 1];
    (void)state;

    token_format_id(bytes, id);
    assert_string_equal(id, "01234589abef");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_id),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(extremes),
        cmocka_unit_test(layout),
        cmocka_unit_test(every_flipped_bit_is_seen),
        cmocka_unit_test(another_key_or_secret),
        cmocka_unit_test(truncated_or_longer),
        cmocka_unit_test(sealed_nonsense),
        cmocka_unit_test(validity),
        cmocka_unit_test(expiries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
