/*
 * Our curves against BearSSL's, to the bit: at random, at the edges, and
 * published vectors. EC_CASES=1000000 (see make test-ec) sets how many cases
 * at random each function gets.
 */
#include "base/ec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bearssl.h>
#include <cmocka.h>

#include "guard.h"

enum {
    LEN = 32, /* of a scalar, a coordinate and a point of X25519 */
    POINT_LEN = EC_P256_POINT_LEN,
    POINT_MAX = 133, /* P-521's */
    SIG_MAX = 139,
    P256_SIG_MAX = 72,
    CASES = 300,
    VERIFY_EVERY = 16 /* verifying is slow, and the bytes were compared */
};

static const char seed[] = "ec";
static br_hmac_drbg_context drbg;

static const br_hash_class *const hashes[] = {
    &br_sha1_vtable, &br_sha224_vtable, &br_sha256_vtable, &br_sha384_vtable,
    &br_sha512_vtable};
enum { HASHES = sizeof hashes / sizeof hashes[0], HASH_MAX = 64 };

static const char field_hex[] =
    "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";

/*
 * Points whose coordinates, or their Montgomery form, are near a multiple of
 * a power of two or near the field's prime; made by solving the equation for
 * the other coordinate.
 */
static const struct {
    const char *x, *y;
} special[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000",
     "66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4"},
    {"0000000000000000000000000000000000000000000000000000000000000005",
     "ba6dbc4555a7e7fa016ec431667e8521ee35afc49b265c3accbea3f7cdb70433"},
    {"0000000000000000000000000000000000000000000000000000000000000006",
     "36b24c2c54250ac2466985e533720047dcd102b80fe7c0e9220d5128828223cb"},
    {"0000000000000000000000000000000000000000000000000000000000000008",
     "48f9d77435d6f25029db2e2dc0c80959d8db64ea29ce0096ddbd2f7a9c9fbe4c"},
    {"ffffffff00000001000000000000000000000000fffffffffffffffffffffffc",
     "19719bebf6aea13f25c96dfd7c71f5225d4c8fc09eb5a0ab9f39e9178e55c121"},
    {"ffffffff00000001000000000000000000000000fffffffffffffffffffffffb",
     "216673451275ed2908f93086cb65f9deebd50b816054588176a16e88c6d11048"},
    {"ffffffff00000001000000000000000000000000fffffffffffffffffffffffa",
     "9ae53f7daf02dc98710f91c94cbb0254b987ba8690a78300846e44a4eaf27d59"},
    {"00000000000000000000000000000000000000000000000000000000ffffffff",
     "ed44b2d97b207f3c7e89f447373570fe356eea91d672c05fc3e0fc568dd0bff1"},
    {"0000000000000000000000000000000000000000000000010000000000000000",
     "10048b687675af9815297d73a7f25b1a3c42d33c64b466991a7573b4954aa0b0"},
    {"0000000000000000000000000000000000000001000000000000000000000000",
     "82ed21a62abbdc157a5172ea851be904ffb5814bdd53e498fb810c32065323c0"},
    {"00000000000000000000000000000000ffffffffffffffffffffffffffffffff",
     "4f2b92b4c596a5a47f8b041d2dea6043021ac77b9a80b1343ac9d778f4f8f733"},
    {"0000000000000000ffffffffffffffffffffffffffffffffffffffffffffffff",
     "093bff5e854fb32419b3ae59e9a7d063e8f1467b7cc4545f329a2e85137ec66c"},
    {"00000000fffffffffffffffffffffffffffffffffffffffffffffffffffffffe",
     "7066a319248461b376ecd0875782b3925755fa8616b2126128ac26676f249c48"},
    {"7ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffd",
     "a5683129fbce27db9c9ca91ea9ca8e4922fa871e3c9fc688f305948a5ffb5707"},
    {"00000000fffffffefffffffffffffffffffffffeffffffffffffffffffffffff",
     "32cb4ef022ad7f5fd974cdcdadb35451bc5d69eb7d2b5b1a40ab1b5da29226d9"},
    {"fffffffe00000003fffffffd0000000200000001fffffffe0000000300000000",
     "5e007d9b4863d53a0690a369eda141a1615cb61cc019cd0f93c756db7f35be2c"},
    {"00000001fffffffa00000005fffffffbfffffffe00000003fffffff9fffffffe",
     "4e312f5e87ee1559c6a6af8ed42b3a23c32432be6636eda93061478869618c9d"},
    {"00000001fffffffa00000006fffffffaffffffff00000004fffffff900000000",
     "bc9f9561c86cdfc633bfb2ec4469915628e903b6d94ebfd9f46e2b9b5a1081be"},
    {"00000003fffffff600000008fffffffbfffffffb00000006fffffff7fffffffb",
     "9a32edb1ff2fd2edbbe8d588bea0bf04f746c08a0744c2969e542743c3bd02f6"},
    {"8d0177ebab9c6e9e10db6dd095dbac0d6375e8a97b70f611875d877f0069d2c7",
     "0000000000000000000000000000000000000000000000000000000000000001"},
    {"b06686a59b4e8bbedd0e9275a9d9476d260626aa5367ec7b42f769a182121e22",
     "ffffffff00000001000000000000000000000000fffffffffffffffffffffffb"},
    {"d7325d7646cd60d80a92738ceb345f844cffaf35841022cab176f692de8de1d7",
     "0000000000000000000000000000000000000000000000000000000000000005"},
    {"9b21c2de1da31d68731dbdaf97d7ab3f979131e28e3dc5b2077d5a7187914a78",
     "ffffffff00000001000000000000000000000000fffffffffffffffffffffff9"},
};
enum { SPECIALS = sizeof special / sizeof special[0] };

static long cases(void)
{
    const char *set = getenv("EC_CASES");

    return set == NULL ? CASES : strtol(set, NULL, 10);
}

static int seed_drbg(void **state)
{
    (void)state;
    br_hmac_drbg_init(&drbg, &br_sha256_vtable, seed, sizeof seed - 1);
    return 0;
}

/* Now and then runs of ones and zeros, that carries go through. */
static void random_bytes(uint8_t *out, size_t len)
{
    uint8_t kind;

    br_hmac_drbg_generate(&drbg, &kind, 1);
    br_hmac_drbg_generate(&drbg, out, len);
    for (size_t i = 0; kind % 4 == 0 && i < len; i++)
        if (i > 0 && out[i] % 4 != 0)
            out[i] = out[i - 1];
        else
            out[i] = out[i] < 0x80 ? 0 : 0xff;
}

static void unhex(const char *hex, uint8_t *out)
{
    for (; *hex != '\0'; hex += 2)
        *out++ = (uint8_t)strtoul((char[]){hex[0], hex[1], '\0'}, NULL, 16);
}

static void print_hex(const char *name, const uint8_t *bytes, size_t len)
{
    print_error("%s ", name);
    for (size_t i = 0; i < len; i++)
        print_error("%02x", bytes[i]);
    print_error("\n");
}

static void assert_same(const uint8_t *ours, const uint8_t *theirs, size_t len,
                        const uint8_t *scalar, size_t scalar_len)
{
    if (memcmp(ours, theirs, len) != 0)
        print_hex("scalar", scalar, scalar_len);
    assert_memory_equal(ours, theirs, len);
}

static const uint8_t *p256_order(void)
{
    size_t len;

    return br_ec_p256_m31.order(BR_EC_secp256r1, &len);
}

static void p256_generator(uint8_t point[POINT_LEN])
{
    size_t len;

    memcpy(point, br_ec_p256_m31.generator(BR_EC_secp256r1, &len), POINT_LEN);
}

static void special_point(size_t i, uint8_t point[POINT_LEN])
{
    point[0] = 4;
    unhex(special[i].x, point + 1);
    unhex(special[i].y, point + 1 + LEN);
}

/* From 1 to the order less one. */
static bool is_scalar(const uint8_t k[LEN])
{
    static const uint8_t zero[LEN];

    return memcmp(k, zero, LEN) != 0 && memcmp(k, p256_order(), LEN) < 0;
}

static void random_scalar(uint8_t k[LEN])
{
    do
        random_bytes(k, LEN);
    while (!is_scalar(k));
}

/* r = a + b mod 2^256; returns the carry. */
static unsigned add(uint8_t r[LEN], const uint8_t a[LEN], const uint8_t b[LEN])
{
    unsigned sum = 0;

    for (int i = LEN - 1; i >= 0; i--) {
        sum = (sum >> 8) + a[i] + b[i];
        r[i] = (uint8_t)sum;
    }
    return sum >> 8;
}

/* r = a - b mod 2^256. */
static void subtract(uint8_t r[LEN], const uint8_t a[LEN], const uint8_t b[LEN])
{
    int difference = 0;

    for (int i = LEN - 1; i >= 0; i--) {
        difference = a[i] - b[i] - (difference < 0);
        r[i] = (uint8_t)difference;
    }
}

static void set_bit(uint8_t k[LEN], int bit)
{
    k[LEN - 1 - bit / 8] |= (uint8_t)(1 << (bit % 8));
}

/* What k is mod the order, for k below twice the order. */
static void reduce(uint8_t k[LEN])
{
    if (memcmp(k, p256_order(), LEN) >= 0)
        subtract(k, k, p256_order());
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    uint8_t any = 0;

    for (size_t i = 0; i < len; i++)
        any |= bytes[i];
    return any == 0;
}

/* Must it say that it failed, where BearSSL does not? RFC 8422 section 5.11 */
static bool is_refused(int curve, const uint8_t *product, size_t len)
{
    return curve == BR_EC_curve25519 && is_zero(product, len) &&
           ec_curves() != br_ec_get_default(); /* not make EC=bearssl */
}

/* point = k * point, if BearSSL takes it; returns what ours returns. */
static uint32_t compare_mul(int curve, uint8_t *point, size_t point_len,
                            const uint8_t *k, size_t len)
{
    uint8_t *scalar = guard_copy(k, len);
    uint8_t *ours = guard_copy(point, point_len);
    uint8_t *theirs = guard_copy(point, point_len);
    uint32_t done = ec_curves()->mul(ours, point_len, scalar, len, curve);
    uint32_t theirs_done =
        br_ec_get_default()->mul(theirs, point_len, scalar, len, curve);

    assert_int_equal(done,
                     theirs_done && !is_refused(curve, theirs, point_len));
    if (theirs_done) {
        assert_same(ours, theirs, point_len, k, len);
        memcpy(point, ours, point_len);
    }
    free(scalar);
    free(ours);
    free(theirs);
    return done;
}

/* Every point of the right length is one of X25519's. */
static void compare_x25519(uint8_t u[LEN], const uint8_t k[LEN])
{
    uint32_t done = compare_mul(BR_EC_curve25519, u, LEN, k, LEN);

    assert_int_equal(done, !is_refused(BR_EC_curve25519, u, LEN));
}

static void compare_mulgen(int curve, const uint8_t *k, size_t len)
{
    uint8_t *scalar = guard_copy(k, len);
    uint8_t ours[POINT_MAX] = {0}, theirs[POINT_MAX] = {0};
    size_t point_len = ec_curves()->mulgen(ours, scalar, len, curve);

    assert_int_equal(point_len,
                     br_ec_get_default()->mulgen(theirs, scalar, len, curve));
    assert_same(ours, theirs, sizeof ours, k, len);
    free(scalar);
}

/* mulgen, and mul of the generator and of another point. */
static void compare_p256(const uint8_t *k, size_t len)
{
    uint8_t point[POINT_LEN];

    compare_mulgen(BR_EC_secp256r1, k, len);
    p256_generator(point);
    assert_int_equal(compare_mul(BR_EC_secp256r1, point, POINT_LEN, k, len), 1);
    special_point(k[len - 1] % SPECIALS, point);
    assert_int_equal(compare_mul(BR_EC_secp256r1, point, POINT_LEN, k, len), 1);
}

/* The same for a scalar that BearSSL does not take: 0, the order and above. */
static void check_reduced(const uint8_t k[LEN])
{
    uint8_t less[LEN], ours[POINT_LEN], theirs[POINT_LEN];
    uint8_t infinity[POINT_LEN] = {4};

    memcpy(less, k, LEN);
    reduce(less);
    if (is_scalar(less))
        br_ec_p256_m31.mulgen(theirs, less, LEN, BR_EC_secp256r1);
    else
        memcpy(theirs, infinity, POINT_LEN);
    ec_curves()->mulgen(ours, k, LEN, BR_EC_secp256r1);
    assert_same(ours, theirs, POINT_LEN, k, LEN);
    p256_generator(ours);
    assert_int_equal(ec_curves()->mul(ours, POINT_LEN, k, LEN, BR_EC_secp256r1),
                     1);
    assert_same(ours, theirs, POINT_LEN, k, LEN);
}

static void check_p256(const uint8_t k[LEN])
{
    if (is_scalar(k))
        compare_p256(k, LEN);
    else
        check_reduced(k);
}

static void random_p256_mul(void **state)
{
    uint8_t k[LEN], point[POINT_LEN];
    (void)state;

    p256_generator(point);
    for (long i = 0; i < cases(); i++) {
        random_scalar(k);
        assert_int_equal(compare_mul(BR_EC_secp256r1, point, POINT_LEN, k, LEN),
                         1);
    }
}

static void random_p256_mulgen(void **state)
{
    uint8_t k[LEN];
    (void)state;

    for (long i = 0; i < cases(); i++) {
        random_scalar(k);
        compare_mulgen(BR_EC_secp256r1, k, LEN);
    }
}

static void random_x25519_mul(void **state)
{
    uint8_t k[LEN], point[LEN];
    (void)state;

    for (long i = 0; i < cases(); i++) {
        random_bytes(k, LEN);
        random_bytes(point, LEN);
        compare_x25519(point, k);
    }
}

static void random_x25519_mulgen(void **state)
{
    uint8_t k[LEN];
    (void)state;

    for (long i = 0; i < cases(); i++) {
        random_bytes(k, LEN);
        compare_mulgen(BR_EC_curve25519, k, LEN);
    }
}

/* 1 to 17, then what is near the order and near its half. */
static void p256_scalars_at_the_ends(void **state)
{
    static const char *const numbers[] = {
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550",
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc63254f",
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc63254e",
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632541",
        "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8",
        "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a9"};
    uint8_t k[LEN] = {0};
    (void)state;

    for (k[LEN - 1] = 1; k[LEN - 1] <= 17; k[LEN - 1]++)
        check_p256(k);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        unhex(numbers[i], k);
        check_p256(k);
    }
}

static void p256_single_bits(void **state)
{
    (void)state;

    for (int bit = 0; bit < 8 * LEN; bit++) {
        uint8_t k[LEN] = {0};
        set_bit(k, bit);
        check_p256(k);
    }
}

/* Ones among zeros, then zeros among ones. */
static void p256_runs_of_bits(void **state)
{
    static const int lengths[] = {2, 31, 64, 65, 128, 200, 256};
    (void)state;

    for (int start = 0; start < 8 * LEN; start += 21) {
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            uint8_t k[LEN] = {0};
            for (int j = 0; j < lengths[i] && start + j < 8 * LEN; j++)
                set_bit(k, start + j);
            check_p256(k);
            for (int j = 0; j < LEN; j++)
                k[j] ^= 0xff;
            check_p256(k);
        }
    }
}

/* Each of the comb's points alone, at its table's lowest and highest column. */
static void p256_comb_points(void **state)
{
    (void)state;

    for (int table = 0; table < 2; table++) {
        for (int digit = 1; digit < 32; digit++) {
            uint8_t low[LEN] = {0}, high[LEN] = {0};
            for (int i = 0; i < 5; i++) {
                int bit = 52 * i + 26 * table;
                if ((digit >> i & 1) != 0)
                    set_bit(low, bit);
                if ((digit >> i & 1) != 0 && bit + 21 < 8 * LEN)
                    set_bit(high, bit + 21);
            }
            compare_mulgen(BR_EC_secp256r1, low, LEN);
            compare_mulgen(BR_EC_secp256r1, high, LEN);
        }
    }
}

static void p256_scalar_lengths(void **state)
{
    uint8_t k[2 * LEN] = {0};
    (void)state;

    for (size_t len = 1; len <= LEN; len++) {
        random_scalar(k + LEN);
        k[LEN] |= k[LEN] == 0;
        k[LEN] &= 0x7f;
        compare_p256(k + LEN, len);
        compare_p256(k + LEN - len, LEN + len);
    }
}

static void p256_scalars_from_the_order_on(void **state)
{
    uint8_t k[LEN] = {0}, more[LEN] = {0};
    (void)state;

    if (ec_curves() == br_ec_get_default())
        skip(); /* make EC=bearssl: does not reduce them */
    check_reduced(k);
    compare_mulgen(BR_EC_secp256r1, k, 0);
    check_reduced(p256_order());
    for (uint8_t i = 1; i <= 17; i++) {
        more[LEN - 1] = i;
        add(k, p256_order(), more);
        check_reduced(k);
    }
    memset(k, 0xff, LEN);
    check_reduced(k);
    for (int i = 0; i < 50; i++) {
        random_bytes(more + 5, LEN - 5);
        assert_int_equal(add(k, p256_order(), more), 0);
        check_reduced(k);
    }
}

/* The edges of the field, and scalars that end a formula's special cases. */
static void p256_special_points(void **state)
{
    static const char *const scalars[] = {
        "0000000000000000000000000000000000000000000000000000000000000001",
        "0000000000000000000000000000000000000000000000000000000000000002",
        "000000000000000000000000000000000000000000000000000000000000001f",
        "8000000000000000000000000000000000000000000000000000000000000000",
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550",
        "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8"};
    uint8_t k[LEN], point[POINT_LEN];
    (void)state;

    for (size_t i = 0; i < SPECIALS; i++) {
        for (size_t j = 0; j < sizeof scalars / sizeof scalars[0] + 4; j++) {
            special_point(i, point);
            if (j < sizeof scalars / sizeof scalars[0])
                unhex(scalars[j], k);
            else
                random_scalar(k);
            assert_int_equal(
                compare_mul(BR_EC_secp256r1, point, POINT_LEN, k, LEN), 1);
        }
    }
}

/* Known products, from arithmetic with Python's integers. */
static void p256_known_products(void **state)
{
    static const struct {
        size_t special;
        const char *x, *y;
    } known[] = {
        {0, "6a221cbed1fdf675fd5d7225ee39b5163494a6ff1adaa836d1f317688ee65735",
         "f57068fb9745ddf2f2d6f0c0b53e9c9377f95c1fc54d7b537ab2026a390c8258"},
        {SPECIALS - 1,
         "5f5e332adc29182fe64840f248e519a7b818bbcda88c225ff25040c22e356b0f",
         "3fcd09602d843792f85d7ee52ea93b385d296ab13dc253c2d09303dcf4741e96"},
        {SPECIALS, /* the generator */
         "74aadfbf4ff6f8a018b5bb297f092a2b717e100bf8e9d1d054b8b139b5534404",
         "ebcaa33136a63ab0126c4dfd55b435d531794d0cc78326bc8be6c779f8ca914d"}};
    uint8_t k[LEN], point[POINT_LEN], expected[POINT_LEN] = {4};
    (void)state;

    unhex("1eb85f4d6a3234ce7acb8c51c75930f12e952517e2e389914a6ca8f89a881a0d",
          k);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].special < SPECIALS)
            special_point(known[i].special, point);
        else
            p256_generator(point);
        unhex(known[i].x, expected + 1);
        unhex(known[i].y, expected + 1 + LEN);
        ec_curves()->mul(point, POINT_LEN, k, LEN, BR_EC_secp256r1);
        assert_memory_equal(point, expected, POINT_LEN);
    }
    ec_curves()->mulgen(point, k, LEN, BR_EC_secp256r1);
    assert_memory_equal(point, expected, POINT_LEN);
}

static void p256_negative(void **state)
{
    uint8_t k[LEN], field[LEN], point[POINT_LEN];
    (void)state;

    unhex(field_hex, field);
    p256_generator(point);
    subtract(point + 1 + LEN, field, point + 1 + LEN);
    for (int i = 0; i < 10; i++) {
        random_scalar(k);
        assert_int_equal(compare_mul(BR_EC_secp256r1, point, POINT_LEN, k, LEN),
                         1);
    }
}

static void refuse(const uint8_t *point, size_t len)
{
    uint8_t copy[2 * POINT_LEN], k[LEN];

    random_scalar(k);
    memcpy(copy, point, len);
    assert_int_equal(compare_mul(BR_EC_secp256r1, copy, len, k, LEN), 0);
}

static void p256_points_not_on_the_curve(void **state)
{
    uint8_t good[POINT_LEN], point[POINT_LEN];
    (void)state;

    p256_generator(good);
    for (size_t i = 0; i < 8 * POINT_LEN; i += i < 8 ? 1 : 7) {
        memcpy(point, good, POINT_LEN);
        point[i / 8] ^= (uint8_t)(1 << (i % 8));
        refuse(point, POINT_LEN);
    }
    memset(point + 1, 0, POINT_LEN - 1);
    refuse(point, POINT_LEN);
    point[0] = 4;
    refuse(point, POINT_LEN);
    memcpy(point + 1, good + 1, LEN);
    refuse(point, POINT_LEN); /* y = 0 */
    memset(point + 1, 0xff, POINT_LEN - 1);
    refuse(point, POINT_LEN);
    for (int i = 0; i < 50; i++) {
        random_bytes(point + 1, POINT_LEN - 1);
        refuse(point, POINT_LEN);
    }
}

/* What is on the curve but for the field's prime added to a coordinate. */
static void p256_coordinates_from_the_prime_on(void **state)
{
    uint8_t field[LEN], point[POINT_LEN];
    int refused = 0;
    (void)state;

    unhex(field_hex, field);
    for (size_t i = 0; i < SPECIALS; i++) {
        for (size_t at = 1; at < POINT_LEN; at += LEN) {
            special_point(i, point);
            if (add(point + at, point + at, field) != 0)
                continue;
            refuse(point, POINT_LEN);
            refused++;
        }
    }
    assert_true(refused >= 8);
}

static void p256_point_lengths(void **state)
{
    uint8_t point[2 * POINT_LEN] = {0};
    (void)state;

    p256_generator(point);
    for (size_t len = 0; len <= sizeof point; len++)
        if (len != POINT_LEN)
            refuse(point, len);
}

static void x25519(const char *scalar, const char *point, const char *product)
{
    uint8_t k[LEN], u[LEN], expected[LEN];

    unhex(scalar, k);
    unhex(point, u);
    unhex(product, expected);
    assert_int_equal(compare_mul(BR_EC_curve25519, u, LEN, k, LEN), 1);
    assert_memory_equal(u, expected, LEN);
}

/* RFC 7748 sections 5.2 and 6.1. */
static void rfc_7748_vectors(void **state)
{
    static const char nine[] =
        "0900000000000000000000000000000000000000000000000000000000000000";
    static const char a[] =
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
    static const char a_public[] =
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
    static const char b[] =
        "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
    static const char b_public[] =
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
    static const char shared[] =
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    (void)state;

    x25519("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
           "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
           "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
    x25519("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
           "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
           "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
    x25519(a, nine, a_public);
    x25519(b, nine, b_public);
    x25519(a, b_public, shared);
    x25519(b, a_public, shared);
}

/* RFC 7748 section 5.2: the product is the next scalar. */
static void rfc_7748_iterated(void **state)
{
    uint8_t k[LEN] = {9}, u[LEN] = {9}, product[LEN], expected[LEN];
    (void)state;

    for (int i = 1; i <= 1000; i++) {
        memcpy(product, u, LEN);
        ec_curves()->mul(product, LEN, k, LEN, BR_EC_curve25519);
        memcpy(u, k, LEN);
        memcpy(k, product, LEN);
        if (i == 1) {
            unhex("422c8e7a6227d7bca1350b3e2bb7279f"
                  "7897b87bb6854b783c60e80311ae3079",
                  expected);
            assert_memory_equal(k, expected, LEN);
        }
    }
    unhex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51",
          expected);
    assert_memory_equal(k, expected, LEN);
}

/* Little-endian, with the highest bit, which does not count, set or not. */
static void compare_x25519_point(const uint8_t point[LEN], bool gives_zero)
{
    uint8_t k[LEN], u[LEN];

    for (int i = 0; i < 8; i++) {
        random_bytes(k, LEN);
        memcpy(u, point, LEN);
        u[LEN - 1] ^= (uint8_t)(i % 2 << 7);
        compare_x25519(u, k);
        if (gives_zero)
            assert_true(is_zero(u, LEN));
    }
}

/* Whose order divides 8, so that every scalar gives 0. */
static void x25519_low_order(void **state)
{
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"};
    uint8_t point[LEN];
    (void)state;

    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        unhex(points[i], point);
        compare_x25519_point(point, true);
    }
}

/* What is near 0, 2^255 and every power of two between. */
static void x25519_points_at_the_edges(void **state)
{
    uint8_t point[LEN];
    (void)state;

    memset(point, 0xff, LEN);
    point[LEN - 1] = 0x7f;
    for (int low = 0xd0; low <= 0xff; low++) {
        point[0] = (uint8_t)low;
        compare_x25519_point(point, false);
    }
    memset(point, 0, LEN);
    for (int low = 2; low <= 20; low++) {
        point[0] = (uint8_t)low;
        compare_x25519_point(point, false);
    }
    for (int bit = 0; bit < 255; bit += bit % 51 == 50 ? 1 : 5) {
        memset(point, 0, LEN);
        point[bit / 8] = (uint8_t)(1 << (bit % 8));
        compare_x25519_point(point, false);
        memset(point, 0xff, (size_t)bit / 8);
        point[bit / 8]--;
        compare_x25519_point(point, bit == 0);
    }
}

static void x25519_lengths(void **state)
{
    uint8_t k[LEN + 1], point[2 * LEN];
    (void)state;

    for (size_t len = 0; len <= sizeof k; len++) {
        random_bytes(k, sizeof k);
        random_bytes(point, LEN);
        assert_int_equal(compare_mul(BR_EC_curve25519, point, LEN, k, len),
                         len <= LEN);
        compare_mulgen(BR_EC_curve25519, k, len);
    }
    for (size_t len = 0; len <= sizeof point; len++) {
        random_bytes(point, sizeof point);
        assert_int_equal(compare_mul(BR_EC_curve25519, point, len, k, LEN),
                         len == LEN);
    }
    for (int byte = 0; byte <= 0xff; byte += 0xff) {
        memset(k, byte, LEN);
        compare_mulgen(BR_EC_curve25519, k, LEN);
    }
}

/* What is fixed, and what is left to BearSSL. */
static void curves(void **state)
{
    static const int all[] = {BR_EC_secp256r1, BR_EC_secp384r1, BR_EC_secp521r1,
                              BR_EC_curve25519};
    const br_ec_impl *ours = ec_curves(), *theirs = br_ec_get_default();
    uint8_t k[LEN], point[POINT_MAX];
    size_t len, their_len;
    (void)state;

    assert_int_equal(ours->supported_curves, theirs->supported_curves);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        const uint8_t *bytes = ours->order(all[i], &len);
        const uint8_t *their_bytes = theirs->order(all[i], &their_len);
        assert_int_equal(len, their_len);
        assert_memory_equal(bytes, their_bytes, len);
        assert_int_equal(ours->xoff(all[i], &len),
                         theirs->xoff(all[i], &their_len));
        assert_int_equal(len, their_len);
        bytes = ours->generator(all[i], &len);
        their_bytes = theirs->generator(all[i], &their_len);
        assert_int_equal(len, their_len);
        assert_memory_equal(bytes, their_bytes, len);
        memcpy(point, bytes, len);
        random_scalar(k);
        compare_mulgen(all[i], k, LEN);
        assert_int_equal(compare_mul(all[i], point, len, k, LEN), 1);
    }
}

static void muladd(void **state)
{
    const br_ec_impl *ours = ec_curves(), *theirs = br_ec_get_default();
    uint8_t j[LEN], k[LEN], a[POINT_LEN], b[POINT_LEN];
    (void)state;

    random_scalar(j);
    random_scalar(k);
    p256_generator(a);
    p256_generator(b);
    assert_int_equal(
        ours->muladd(a, NULL, POINT_LEN, j, LEN, k, LEN, BR_EC_secp256r1), 1);
    theirs->muladd(b, NULL, POINT_LEN, j, LEN, k, LEN, BR_EC_secp256r1);
    assert_memory_equal(a, b, POINT_LEN);
    assert_int_equal(
        ours->muladd(a, NULL, LEN, j, LEN, k, LEN, BR_EC_curve25519),
        theirs->muladd(b, NULL, LEN, j, LEN, k, LEN, BR_EC_curve25519));
}

static size_t hash_len(const br_hash_class *hash)
{
    return hash->desc >> BR_HASHDESC_OUT_OFF & BR_HASHDESC_OUT_MASK;
}

static void verify(const br_hash_class *hash, const uint8_t *value,
                   const br_ec_private_key *key, const uint8_t *sig, size_t len)
{
    uint8_t point[POINT_MAX];
    br_ec_public_key public_key;

    assert_true(
        br_ec_compute_pub(br_ec_get_default(), &public_key, point, key) > 0);
    assert_int_equal(br_ecdsa_i31_vrfy_asn1(br_ec_get_default(), value,
                                            hash_len(hash), &public_key, sig,
                                            len),
                     1);
}

/*
 * Whether BearSSL verifies signatures of a hash: it multiplies the generator
 * by what the hash is mod the order over s, and takes no 0.
 */
static bool is_verifiable(const br_hash_class *hash, const uint8_t *value)
{
    size_t len = hash_len(hash) < LEN ? hash_len(hash) : LEN;
    uint8_t number[LEN] = {0};

    memcpy(number + LEN - len, value, len);
    reduce(number);
    return is_scalar(number);
}

/* Returns the signature's length, which may be 0. */
static size_t compare_sign(const br_hash_class *hash, const uint8_t *hashed,
                           int curve, const uint8_t *x, size_t x_len,
                           bool verified)
{
    uint8_t *value = guard_copy(hashed, hash_len(hash));
    uint8_t *scalar = guard_copy(x, x_len);
    uint8_t theirs[SIG_MAX] = {0};
    uint8_t *ours =
        guard_copy(theirs, curve == BR_EC_secp256r1 ? P256_SIG_MAX : SIG_MAX);
    br_ec_private_key key = {.curve = curve, .x = scalar, .xlen = x_len};
    size_t len = ec_sign_asn1(ec_curves(), hash, value, &key, ours);

    assert_int_equal(len, br_ecdsa_i31_sign_asn1(br_ec_get_default(), hash,
                                                 value, &key, theirs));
    if (len > 0)
        assert_same(ours, theirs, len, x, x_len);
    if (len > 0 && verified && is_verifiable(hash, value))
        verify(hash, value, &key, ours, len);
    free(ours);
    free(value);
    free(scalar);
    return len;
}

static void random_sign(void **state)
{
    uint8_t k[LEN], value[HASH_MAX];
    (void)state;

    for (long i = 0; i < cases(); i++) {
        random_scalar(k);
        random_bytes(value, sizeof value);
        assert_true(compare_sign(hashes[i % HASHES], value, BR_EC_secp256r1, k,
                                 LEN, i % VERIFY_EVERY == 0) > 0);
    }
}

/* r and s of a message; the key is the same for all. */
static void sign_message(const char *text, const br_hash_class *hash,
                         const char *r, const char *s)
{
    uint8_t x[LEN], value[HASH_MAX], sig[P256_SIG_MAX], expected[2 * LEN];
    br_ec_private_key key = {.curve = BR_EC_secp256r1, .x = x, .xlen = LEN};
    br_hash_compat_context context;

    unhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
          x);
    hash->init(&context.vtable);
    hash->update(&context.vtable, text, strlen(text));
    hash->out(&context.vtable, value);
    size_t len = ec_sign_asn1(ec_curves(), hash, value, &key, sig);
    verify(hash, value, &key, sig, len);
    assert_int_equal(br_ecdsa_asn1_to_raw(sig, len), 2 * LEN);
    unhex(r, expected);
    unhex(s, expected + LEN);
    assert_memory_equal(sig, expected, 2 * LEN);
}

/* RFC 6979 appendix A.2.5. */
static void rfc_6979_vectors(void **state)
{
    static const struct {
        const char *text;
        const br_hash_class *hash;
        const char *r, *s;
    } vectors[] = {
        {"sample", &br_sha1_vtable,
         "61340c88c3aaebeb4f6d667f672ca9759a6ccaa9fa8811313039ee4a35471d32",
         "6d7f147dac089441bb2e2fe8f7a3fa264b9c475098fdcf6e00d7c996e1b8b7eb"},
        {"sample", &br_sha224_vtable,
         "53b2fff5d1752b2c689df257c04c40a587fababb3f6fc2702f1343af7ca9aa3f",
         "b9afb64fdc03dc1a131c7d2386d11e349f070aa432a4acc918bea988bf75c74c"},
        {"sample", &br_sha256_vtable,
         "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
         "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"},
        {"sample", &br_sha384_vtable,
         "0eafea039b20e9b42309fb1d89e213057cbf973dc0cfc8f129edddc800ef7719",
         "4861f0491e6998b9455193e34e7b0d284ddd7149a74b95b9261f13abde940954"},
        {"sample", &br_sha512_vtable,
         "8496a60b5e9b47c825488827e0495b0e3fa109ec4568fd3f8d1097678eb97f00",
         "2362ab1adbe2b8adf9cb9edab740ea6049c028114f2460f96554f61fae3302fe"},
        {"test", &br_sha1_vtable,
         "0cbcc86fd6abd1d99e703e1ec50069ee5c0b4ba4b9ac60e409e8ec5910d81a89",
         "01b9d7b73dfaa60d5651ec4591a0136f87653e0fd780c3b1bc872ffdeae479b1"},
        {"test", &br_sha224_vtable,
         "c37edb6f0ae79d47c3c27e962fa269bb4f441770357e114ee511f662ec34a692",
         "c820053a05791e521fcaad6042d40aea1d6b1a540138558f47d0719800e18f2d"},
        {"test", &br_sha256_vtable,
         "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367",
         "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"},
        {"test", &br_sha384_vtable,
         "83910e8b48bb0c74244ebdf7f07a1c5413d61472bd941ef3920e623fbccebeb6",
         "8ddbec54cf8cd5874883841d712142a56a8d0f218f5003cb0296b6b509619f2c"},
        {"test", &br_sha512_vtable,
         "461d93f31b6540894788fd206c07cfa0cc35f46fa3c91816fff1040ad1581a04",
         "39af9f15de0db8d97e72719c74820d304ce5226e32dedae67519e840d1194e55"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        sign_message(vectors[i].text, vectors[i].hash, vectors[i].r,
                     vectors[i].s);
}

/* A signature of every hash, which there is if the key is one. */
static void sign_with(const uint8_t *x, size_t len, bool is_key)
{
    uint8_t value[HASH_MAX];

    for (size_t i = 0; i < HASHES; i++) {
        random_bytes(value, sizeof value);
        assert_true((compare_sign(hashes[i], value, BR_EC_secp256r1, x, len,
                                  true) > 0) == is_key);
    }
}

static void keys_at_the_ends(void **state)
{
    uint8_t x[LEN] = {0}, one[LEN] = {0};
    (void)state;

    one[LEN - 1] = 1;
    sign_with(x, LEN, false);
    sign_with(x, 1, false);
    sign_with(x, 0, false);
    sign_with(one, LEN, true);
    sign_with(p256_order(), LEN, false);
    subtract(x, p256_order(), one);
    sign_with(x, LEN, true);
    add(x, p256_order(), one);
    sign_with(x, LEN, false);
    memset(x, 0xff, LEN);
    sign_with(x, LEN, false);
}

static void key_lengths(void **state)
{
    uint8_t x[2 * LEN] = {0};
    (void)state;

    for (size_t len = 1; len <= LEN; len++) {
        random_scalar(x + LEN);
        x[LEN] = (x[LEN] & 0x7f) | 1;
        sign_with(x + LEN, len, true);
    }
    sign_with(x + LEN - 1, LEN + 1, true);
    sign_with(x, 2 * LEN, true);
    x[LEN - 1] = 1;
    sign_with(x + LEN - 1, LEN + 1, false);
}

/* 0, what is near the order, and all ones; then the rest of a longer hash. */
static void hashes_at_the_ends(void **state)
{
    uint8_t x[LEN], value[HASH_MAX] = {0};
    uint8_t one[LEN] = {0}, less_one[LEN];
    (void)state;

    one[LEN - 1] = 1;
    memset(less_one, 0xff, LEN);
    for (int kind = 0; kind < 6; kind++) {
        if (kind == 1)
            memcpy(value, p256_order(), LEN);
        else if (kind == 2)
            add(value, p256_order(), one);
        else if (kind == 3)
            add(value, p256_order(), less_one);
        else if (kind > 3)
            memset(value, 0xff, kind == 4 ? LEN : HASH_MAX);
        for (size_t i = 0; i < HASHES; i++) {
            random_scalar(x);
            assert_true(compare_sign(hashes[i], value, BR_EC_secp256r1, x, LEN,
                                     true) > 0);
        }
    }
}

static void keys_of_other_curves(void **state)
{
    uint8_t x[48], value[HASH_MAX];
    (void)state;

    random_bytes(x, sizeof x);
    x[0] = 0x7f;
    for (size_t i = 0; i < HASHES; i++) {
        random_bytes(value, sizeof value);
        assert_true(compare_sign(hashes[i], value, BR_EC_secp384r1, x, sizeof x,
                                 true) > 0);
        assert_true(compare_sign(hashes[i], value, BR_EC_secp521r1, x, sizeof x,
                                 true) > 0);
        assert_int_equal(
            compare_sign(hashes[i], value, BR_EC_curve25519, x, LEN, false), 0);
    }
}

#define SEEDED(test) cmocka_unit_test_setup(test, seed_drbg)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED(random_p256_mul),
        SEEDED(random_p256_mulgen),
        SEEDED(random_x25519_mul),
        SEEDED(random_x25519_mulgen),
        SEEDED(random_sign),
        SEEDED(p256_scalars_at_the_ends),
        SEEDED(p256_single_bits),
        SEEDED(p256_runs_of_bits),
        SEEDED(p256_comb_points),
        SEEDED(p256_scalar_lengths),
        SEEDED(p256_scalars_from_the_order_on),
        SEEDED(p256_special_points),
        SEEDED(p256_known_products),
        SEEDED(p256_negative),
        SEEDED(p256_points_not_on_the_curve),
        SEEDED(p256_coordinates_from_the_prime_on),
        SEEDED(p256_point_lengths),
        SEEDED(rfc_7748_vectors),
        SEEDED(rfc_7748_iterated),
        SEEDED(x25519_low_order),
        SEEDED(x25519_points_at_the_edges),
        SEEDED(x25519_lengths),
        SEEDED(curves),
        SEEDED(muladd),
        SEEDED(rfc_6979_vectors),
        SEEDED(keys_at_the_ends),
        SEEDED(key_lengths),
        SEEDED(hashes_at_the_ends),
        SEEDED(keys_of_other_curves),
    };

    print_message("%ld cases at random, seed \"%s\"\n", cases(), seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
