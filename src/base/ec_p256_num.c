#include "base/ec_p256_num.h"

#include <string.h>

#include "base/bytes.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

enum {
    LIMBS = NUM_LIMBS,
    WINDOW = 4, /* bits of an exponent taken at once */
    WINDOW_DIGITS = 16
};

const struct num field_prime = {{0xffffffffffffffff, 0x00000000ffffffff,
                                 0x0000000000000000, 0xffffffff00000001}};
const struct num field_square = {{0x0000000000000003, 0xfffffffbffffffff,
                                  0xfffffffffffffffe, 0x00000004fffffffd}};
const struct num order_prime = {{0xf3b9cac2fc632551, 0xbce6faada7179e84,
                                 0xffffffffffffffff, 0xffffffff00000000}};
const struct num order_square = {{0x83244c95be79eea2, 0x4699799c49bd6fa6,
                                  0x2845b2392b6bec59, 0x66e12d94f3d95620}};

/* -1 / order mod 2^64; of the field it is 1. */
#define ORDER_INVERSE 0xccd1c8aaee00bc4f

/* a + b + *carry, and the carry out of it: 0 or 1. */
static inline uint64_t add_carry(uint64_t a, uint64_t b, unsigned char *carry)
{
#ifdef __x86_64__
    unsigned long long sum;

    *carry = _addcarry_u64(*carry, a, b, &sum);
    return sum;
#else
    wide sum = (wide)a + b + *carry;

    *carry = (unsigned char)(sum >> 64);
    return (uint64_t)sum;
#endif
}

/* a - b - *borrow, and the borrow out of it: 0 or 1. */
static inline uint64_t sub_borrow(uint64_t a, uint64_t b, unsigned char *borrow)
{
#ifdef __x86_64__
    unsigned long long difference;

    *borrow = _subborrow_u64(*borrow, a, b, &difference);
    return difference;
#else
    wide difference = (wide)a - b - *borrow;

    *borrow = (unsigned char)(difference >> 64) & 1;
    return (uint64_t)difference;
#endif
}

/* r = a - b mod 2^256; returns 1 if b was greater. */
static inline unsigned char subtract(struct num *r, const struct num *a,
                                     const struct num *b)
{
    unsigned char borrow = 0;

    r->w[0] = sub_borrow(a->w[0], b->w[0], &borrow);
    r->w[1] = sub_borrow(a->w[1], b->w[1], &borrow);
    r->w[2] = sub_borrow(a->w[2], b->w[2], &borrow);
    r->w[3] = sub_borrow(a->w[3], b->w[3], &borrow);
    return borrow;
}

/* r = top * 2^256 + a, less m if it is not below. */
static inline void reduce_once(struct num *r, const struct num *a, uint64_t top,
                               const struct num *m)
{
    struct num less;
    unsigned char borrow = subtract(&less, a, m);

    sub_borrow(top, 0, &borrow);
    uint64_t keep = opaque(0 - (uint64_t)borrow);
    r->w[0] = less.w[0] ^ ((less.w[0] ^ a->w[0]) & keep);
    r->w[1] = less.w[1] ^ ((less.w[1] ^ a->w[1]) & keep);
    r->w[2] = less.w[2] ^ ((less.w[2] ^ a->w[2]) & keep);
    r->w[3] = less.w[3] ^ ((less.w[3] ^ a->w[3]) & keep);
}

static inline void add_mod(struct num *r, const struct num *a,
                           const struct num *b, const struct num *m)
{
    struct num sum;
    unsigned char carry = 0;

    sum.w[0] = add_carry(a->w[0], b->w[0], &carry);
    sum.w[1] = add_carry(a->w[1], b->w[1], &carry);
    sum.w[2] = add_carry(a->w[2], b->w[2], &carry);
    sum.w[3] = add_carry(a->w[3], b->w[3], &carry);
    reduce_once(r, &sum, carry, m);
}

/*
 * t = (t + q m) / 2^64 for the q that makes the lowest limb 0, where t is below
 * 2^320 and the result below 2^257: a step of Montgomery's reduction.
 */
static inline void fold_order(uint64_t t[LIMBS + 1])
{
    const uint64_t *m = order_prime.w, q = t[0] * ORDER_INVERSE;
    wide s = (wide)q * m[0] + t[0];

    s = (wide)q * m[1] + t[1] + (uint64_t)(s >> 64);
    t[0] = (uint64_t)s;
    s = (wide)q * m[2] + t[2] + (uint64_t)(s >> 64);
    t[1] = (uint64_t)s;
    s = (wide)q * m[3] + t[3] + (uint64_t)(s >> 64);
    t[2] = (uint64_t)s;
    s = (wide)t[4] + (uint64_t)(s >> 64);
    t[3] = (uint64_t)s;
    t[4] = (uint64_t)(s >> 64);
}

/* The same mod the field: q is t[0], and q m is q 2^96 + q m[3] 2^192 - q. */
static inline void fold_field(uint64_t t[LIMBS + 1])
{
    const uint64_t q = t[0];
    wide s = (wide)t[1] + (q << 32);

    t[0] = (uint64_t)s;
    s = (wide)t[2] + (q >> 32) + (uint64_t)(s >> 64);
    t[1] = (uint64_t)s;
    s = (wide)q * field_prime.w[3] + t[3] + (uint64_t)(s >> 64);
    t[2] = (uint64_t)s;
    s = (wide)t[4] + (uint64_t)(s >> 64);
    t[3] = (uint64_t)s;
    t[4] = (uint64_t)(s >> 64);
}

/* t += a b. */
static inline void accumulate(uint64_t t[LIMBS + 1], const struct num *a,
                              uint64_t b)
{
    wide s = (wide)a->w[0] * b + t[0];

    t[0] = (uint64_t)s;
    s = (wide)a->w[1] * b + t[1] + (uint64_t)(s >> 64);
    t[1] = (uint64_t)s;
    s = (wide)a->w[2] * b + t[2] + (uint64_t)(s >> 64);
    t[2] = (uint64_t)s;
    s = (wide)a->w[3] * b + t[3] + (uint64_t)(s >> 64);
    t[3] = (uint64_t)s;
    t[4] += (uint64_t)(s >> 64);
}

/*
 * r = a b / 2^256 mod m: Montgomery's product, a limb of b at a time. t stays
 * below 2^320, as it is below 2 m before a step, and m below 2^256 - 2^223.
 */
static inline __attribute__((always_inline)) void
multiply_mod(struct num *r, const struct num *a, const struct num *b,
             void (*fold)(uint64_t t[LIMBS + 1]), const struct num *m)
{
    uint64_t t[LIMBS + 1] = {0};

#pragma GCC unroll 4
    for (int i = 0; i < LIMBS; i++) {
        accumulate(t, a, b->w[i]);
        fold(t);
    }
    reduce_once(r, &(struct num){{t[0], t[1], t[2], t[3]}}, t[4], m);
}

void field_mul(struct num *r, const struct num *a, const struct num *b)
{
    multiply_mod(r, a, b, fold_field, &field_prime);
}

void field_add(struct num *r, const struct num *a, const struct num *b)
{
    add_mod(r, a, b, &field_prime);
}

void field_sub(struct num *r, const struct num *a, const struct num *b)
{
    struct num less;
    unsigned char borrow = subtract(&less, a, b), carry = 0;
    uint64_t mask = opaque(0 - (uint64_t)borrow);

    r->w[0] = add_carry(less.w[0], field_prime.w[0] & mask, &carry);
    r->w[1] = add_carry(less.w[1], field_prime.w[1] & mask, &carry);
    r->w[2] = add_carry(less.w[2], field_prime.w[2] & mask, &carry);
    r->w[3] = add_carry(less.w[3], field_prime.w[3] & mask, &carry);
}

void order_mul(struct num *r, const struct num *a, const struct num *b)
{
    multiply_mod(r, a, b, fold_order, &order_prime);
}

void order_add(struct num *r, const struct num *a, const struct num *b)
{
    add_mod(r, a, b, &order_prime);
}

void order_reduce(struct num *r, const struct num *a)
{
    reduce_once(r, a, 0, &order_prime);
}

/*
 * r = 1 / a mod m for a in Montgomery form: a^(m - 2), as Fermat has it; 0
 * becomes 0. The exponent is public.
 */
static void invert(struct num *r, const struct num *a, const struct num *m,
                   void (*multiply)(struct num *, const struct num *,
                                    const struct num *))
{
    struct num power[WINDOW_DIGITS];
    uint64_t exponent[LIMBS];

    memcpy(exponent, m->w, sizeof exponent);
    exponent[0] -= 2;
    power[1] = *a;
    for (int i = 2; i < WINDOW_DIGITS; i++)
        multiply(&power[i], &power[i - 1], a);
    /* The highest digit of either modulus is 15. */
    *r = power[15];
    for (int i = 256 - 2 * WINDOW; i >= 0; i -= WINDOW) {
        uint64_t digit = exponent[i / 64] >> (i % 64) & (WINDOW_DIGITS - 1);
        for (int j = 0; j < WINDOW; j++)
            multiply(r, r, r);
        if (digit != 0)
            multiply(r, r, &power[digit]);
    }
}

void field_invert(struct num *r, const struct num *a)
{
    invert(r, a, &field_prime, field_mul);
}

void order_invert(struct num *r, const struct num *a)
{
    invert(r, a, &order_prime, order_mul);
}

void num_decode(struct num *r, const uint8_t bytes[NUM_LEN])
{
    for (int i = 0; i < LIMBS; i++)
        r->w[i] = load_be64(bytes + NUM_LEN - 8 * (i + 1));
}

void num_encode(uint8_t bytes[NUM_LEN], const struct num *a)
{
    for (int i = 0; i < LIMBS; i++)
        store_be64(bytes + NUM_LEN - 8 * (i + 1), a->w[i]);
}

bool num_is_zero(const struct num *a)
{
    return (a->w[0] | a->w[1] | a->w[2] | a->w[3]) == 0;
}

bool num_is_below(const struct num *a, const struct num *m)
{
    struct num less;

    return subtract(&less, a, m) == 1;
}
