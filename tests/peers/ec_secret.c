/*
 * Computes on the curves with secrets that memcheck takes for uninitialised,
 * so that it reports each branch and each address that depends on one.
 *
 * argv[1]: what to compute. "branch" and "index" do what the curves must not,
 * and show that memcheck tells. "leftovers" is for no memcheck: it looks for
 * secrets on the stack below, after each operation.
 */
#include "base/ec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <valgrind/memcheck.h>

enum {
    SCALAR_LEN = 32,
    SIGNATURE_MAX = 72,
    SCALARS = 4,
    DEPTH = 16384, /* of the stack that is looked at, in bytes */
    WORD = 6       /* bytes that are not there by chance; a limb has 51 bits */
};

static void expect(bool is_met, const char *what)
{
    if (is_met)
        return;
    fprintf(stderr, "ec_secret: %s\n", what);
    exit(2);
}

/*
 * Scalars of both curves, read from either end: digits of all kinds, 1, and
 * only zeros or only ones.
 */
static void make_secret(uint8_t scalar[SCALAR_LEN], int number)
{
    static const uint8_t start[SCALARS] = {0x6b, 0x00, 0x00, 0xff};
    static const uint8_t more[SCALARS] = {0x9d, 0x00, 0x55, 0x00};

    for (int i = 0; i < SCALAR_LEN; i++)
        scalar[i] = (uint8_t)(start[number] + more[number] * i);
    /* Below the order, and not 0. */
    scalar[0] &= 0x7f;
    scalar[SCALAR_LEN - 1] |= 1;
    VALGRIND_MAKE_MEM_UNDEFINED(scalar, SCALAR_LEN);
}

/* A result may be told; that its end came from a secret shows we looked. */
static void publish(uint8_t *result, size_t len)
{
    uint8_t undefined_bits = 0;

    VALGRIND_GET_VBITS(result + len - 1, &undefined_bits, 1);
    expect(undefined_bits != 0, "a result that depends on no secret");
    VALGRIND_MAKE_MEM_DEFINED(result, len);
}

/* scalar * generator, then scalar * that: a point like a peer's. */
static void multiply(int curve)
{
    const br_ec_impl *curves = ec_curves();
    uint8_t scalar[SCALAR_LEN], point[EC_P256_POINT_LEN];

    for (int i = 0; i < SCALARS; i++) {
        make_secret(scalar, i);
        size_t len = curves->mulgen(point, scalar, sizeof scalar, curve);
        publish(point, len);
        uint32_t done = curves->mul(point, len, scalar, sizeof scalar, curve);
        VALGRIND_MAKE_MEM_DEFINED(&done, sizeof done);
        expect(done == 1, "not a point, or of low order");
        publish(point, len);
    }
}

static void x25519(void)
{
    multiply(BR_EC_curve25519);
}

static void p256(void)
{
    multiply(BR_EC_secp256r1);
}

/* The key's length is no secret, nor is the hash's value. */
static void sign_with(const br_hash_class *hash, int number, size_t key_len)
{
    static const uint8_t value[64] = {0x5a};
    uint8_t secret[SCALAR_LEN], sig[SIGNATURE_MAX];
    br_ec_private_key key = {
        .curve = BR_EC_secp256r1, .x = secret, .xlen = key_len};

    make_secret(secret, number);
    size_t len = ec_sign_asn1(ec_curves(), hash, value, &key, sig);
    expect(len > 0, "no signature");
    publish(sig, len);
}

static void sign(void)
{
    for (int i = 0; i < SCALARS; i++) {
        sign_with(&br_sha256_vtable, i, SCALAR_LEN);
        sign_with(&br_sha384_vtable, i, SCALAR_LEN);
    }
    sign_with(&br_sha1_vtable, 0, SCALAR_LEN - 1);
}

static volatile uint8_t table[256], sink;

static __attribute__((noinline)) void branch(void)
{
    uint8_t scalar[SCALAR_LEN];

    make_secret(scalar, 0);
    if ((scalar[1] & 1) != 0)
        sink = 1;
}

static __attribute__((noinline)) void look_up(void)
{
    uint8_t scalar[SCALAR_LEN];

    make_secret(scalar, 0);
    sink = table[scalar[1]];
}

static uint8_t below[DEPTH];

static __attribute__((noinline)) void fill_stack(void)
{
    uint8_t bytes[DEPTH];

    memset(bytes, 0xa5, sizeof bytes);
    __asm__ volatile("" : : "r"(bytes) : "memory");
}

static __attribute__((noinline)) void take_stack(void)
{
    uint8_t bytes[DEPTH];

    /* As if they had been written. */
    __asm__ volatile("" : : "r"(bytes) : "memory");
    memcpy(below, bytes, sizeof bytes);
}

/* Words of a secret as they are in memory, in the other order, or in limbs. */
static void expect_gone(const uint8_t *secret, size_t len)
{
    for (size_t i = 0; i + 8 <= len; i += 8) {
        uint8_t turned[8];
        for (size_t j = 0; j < 8; j++)
            turned[j] = secret[i + 7 - j];
        expect(memmem(below, DEPTH, secret + i, WORD) == NULL &&
                   memmem(below, DEPTH, turned, WORD) == NULL,
               "a secret on the stack");
    }
}

static void leftovers(void)
{
    static const int curves[] = {BR_EC_curve25519, BR_EC_secp256r1};
    const uint8_t hash[32] = {0x5a};
    uint8_t scalar[SCALAR_LEN], point[EC_P256_POINT_LEN], sig[SIGNATURE_MAX];
    br_ec_private_key key = {BR_EC_secp256r1, scalar, sizeof scalar};

    make_secret(scalar, 0);
    for (size_t i = 0; i < 2; i++) {
        bool is_p256 = curves[i] == BR_EC_secp256r1;
        size_t len =
            ec_curves()->mulgen(point, scalar, sizeof scalar, curves[i]);
        fill_stack();
        ec_curves()->mul(point, len, scalar, sizeof scalar, curves[i]);
        take_stack();
        expect_gone(scalar, sizeof scalar);
        expect_gone(point + is_p256, len - is_p256);
    }
    fill_stack();
    ec_sign_asn1(ec_curves(), &br_sha256_vtable, hash, &key, sig);
    take_stack();
    expect_gone(scalar, sizeof scalar);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } all[] = {{"x25519", x25519},
               {"p256", p256},
               {"sign", sign},
               {"branch", branch},
               {"index", look_up}};

    if (argc == 2 && strcmp(argv[1], "leftovers") == 0) {
        leftovers();
        return 0;
    }
    expect(RUNNING_ON_VALGRIND != 0, "not under valgrind");
    for (size_t i = 0; argc == 2 && i < sizeof all / sizeof *all; i++)
        if (strcmp(argv[1], all[i].name) == 0) {
            all[i].run();
            return 0;
        }
    fprintf(stderr, "usage: ec_secret x25519|p256|sign|branch|index|"
                    "leftovers\n");
    return 2;
}
