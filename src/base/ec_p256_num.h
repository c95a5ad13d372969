/*
 * Numbers of P-256: mod the field's prime, and mod the order of the generator.
 *
 * A number is four 64-bit limbs, the lowest first, and below its modulus m.
 * Products are Montgomery's, a b / 2^256 mod m: so a number is kept as
 * x * 2^256 mod m ("in Montgomery form") while it is calculated with. No
 * branch and no address depends on a number. r may be a or b everywhere.
 */
#ifndef BASE_EC_P256_NUM_H
#define BASE_EC_P256_NUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ec_limbs.h"

enum { NUM_LIMBS = 4, NUM_LEN = 32 /* bytes, big-endian */ };

struct num {
    uint64_t w[NUM_LIMBS];
};

/* 2^256 - 2^224 + 2^192 + 2^96 - 1, and the order of the generator. */
extern const struct num field_prime, order_prime;

/* 2^512 mod each: a product with that brings a number into Montgomery form. */
extern const struct num field_square, order_square;

/* r = a b / 2^256, a + b, a - b, 1 / a mod the field; 1 / 0 is 0. */
void field_mul(struct num *r, const struct num *a, const struct num *b);
void field_add(struct num *r, const struct num *a, const struct num *b);
void field_sub(struct num *r, const struct num *a, const struct num *b);
void field_invert(struct num *r, const struct num *a);

/* The same mod the order. order_reduce takes any number below 2^256. */
void order_mul(struct num *r, const struct num *a, const struct num *b);
void order_add(struct num *r, const struct num *a, const struct num *b);
void order_invert(struct num *r, const struct num *a);
void order_reduce(struct num *r, const struct num *a);

/* Any 32 bytes become a number, which may be beyond a modulus. */
void num_decode(struct num *r, const uint8_t bytes[NUM_LEN]);
void num_encode(uint8_t bytes[NUM_LEN], const struct num *a);
bool num_is_zero(const struct num *a);
bool num_is_below(const struct num *a, const struct num *m);

/* r = a where mask is all ones; r stays where it is 0. */
static inline void num_take(struct num *r, const struct num *a, uint64_t mask)
{
    for (int i = 0; i < NUM_LIMBS; i++)
        r->w[i] ^= (r->w[i] ^ a->w[i]) & mask;
}

#endif
