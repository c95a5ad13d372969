#include "base/ec.h"

#include <string.h>

#include "base/bytes.h"
#include "base/ec_limbs.h"

/*
 * Numbers mod p = 2^255 - 19 are five limbs of 51 bits, the lowest first.
 * What mul, square and mul_small give has limbs below 2^51 + 2^15; add and sub
 * take only such, and give limbs below 2^53, which is what mul, square and
 * mul_small take.
 */
enum { LIMBS = 5, LIMB_BITS = 51, A24 = 121665 /* RFC 7748 section 4.1 */ };

#define LIMB_MASK (((uint64_t)1 << LIMB_BITS) - 1)

struct num {
    uint64_t w[LIMBS];
};

static void add(struct num *r, const struct num *a, const struct num *b)
{
#pragma GCC unroll 5
    for (int i = 0; i < LIMBS; i++)
        r->w[i] = a->w[i] + b->w[i];
}

/* r = a + 2 p - b, so that no limb falls below 0. */
static void sub(struct num *r, const struct num *a, const struct num *b)
{
    r->w[0] = a->w[0] + 2 * (LIMB_MASK - 18) - b->w[0];
#pragma GCC unroll 5
    for (int i = 1; i < LIMBS; i++)
        r->w[i] = a->w[i] + 2 * LIMB_MASK - b->w[i];
}

/* r = the sum of t[i] * 2^(51 i), as 2^255 = 19 mod p. */
static inline void carry(struct num *r, wide t[LIMBS])
{
#pragma GCC unroll 5
    for (int i = 0; i < LIMBS - 1; i++) {
        t[i + 1] += t[i] >> LIMB_BITS;
        r->w[i] = (uint64_t)t[i] & LIMB_MASK;
    }
    r->w[4] = (uint64_t)t[4] & LIMB_MASK;
    r->w[0] += 19 * (uint64_t)(t[4] >> LIMB_BITS);
    r->w[1] += r->w[0] >> LIMB_BITS;
    r->w[0] &= LIMB_MASK;
}

static void mul(struct num *r, const struct num *a, const struct num *b)
{
    const uint64_t *x = a->w, *y = b->w;
    uint64_t y1 = 19 * y[1], y2 = 19 * y[2], y3 = 19 * y[3], y4 = 19 * y[4];
    wide t[LIMBS] = {
        (wide)x[0] * y[0] + (wide)x[1] * y4 + (wide)x[2] * y3 +
            (wide)x[3] * y2 + (wide)x[4] * y1,
        (wide)x[0] * y[1] + (wide)x[1] * y[0] + (wide)x[2] * y4 +
            (wide)x[3] * y3 + (wide)x[4] * y2,
        (wide)x[0] * y[2] + (wide)x[1] * y[1] + (wide)x[2] * y[0] +
            (wide)x[3] * y4 + (wide)x[4] * y3,
        (wide)x[0] * y[3] + (wide)x[1] * y[2] + (wide)x[2] * y[1] +
            (wide)x[3] * y[0] + (wide)x[4] * y4,
        (wide)x[0] * y[4] + (wide)x[1] * y[3] + (wide)x[2] * y[2] +
            (wide)x[3] * y[1] + (wide)x[4] * y[0],
    };

    carry(r, t);
}

/* r = a^(2^n) for n from 1 on. */
static void square(struct num *r, const struct num *a, int n)
{
    *r = *a;
    for (; n > 0; n--) {
        const uint64_t *x = r->w;
        uint64_t d0 = 2 * x[0], d1 = 2 * x[1], d2 = 2 * x[2];
        uint64_t x3 = 19 * x[3], x4 = 19 * x[4];
        wide t[LIMBS] = {
            (wide)x[0] * x[0] + (wide)d1 * x4 + (wide)d2 * x3,
            (wide)d0 * x[1] + (wide)d2 * x4 + (wide)x[3] * x3,
            (wide)d0 * x[2] + (wide)x[1] * x[1] + (wide)(2 * x[3]) * x4,
            (wide)d0 * x[3] + (wide)d1 * x[2] + (wide)x[4] * x4,
            (wide)d0 * x[4] + (wide)d1 * x[3] + (wide)x[2] * x[2],
        };

        carry(r, t);
    }
}

static void mul_small(struct num *r, const struct num *a, uint64_t factor)
{
    wide t[LIMBS];

#pragma GCC unroll 5
    for (int i = 0; i < LIMBS; i++)
        t[i] = (wide)a->w[i] * factor;
    carry(r, t);
}

/* r = a^(p - 2), which is 1 / a, and 0 for 0. The names are powers of a. */
static void invert(struct num *r, const struct num *a)
{
    struct num a11, ones5, ones10, ones20, ones50, ones100, t;

    square(&t, a, 1);       /* 2 */
    square(&ones5, &t, 2);  /* 8 */
    mul(&ones5, &ones5, a); /* 9 */
    mul(&a11, &ones5, &t);
    square(&t, &a11, 1);     /* 22 */
    mul(&ones5, &ones5, &t); /* 2^5 - 1 */
    square(&t, &ones5, 5);
    mul(&ones10, &t, &ones5); /* 2^10 - 1, and so on */
    square(&t, &ones10, 10);
    mul(&ones20, &t, &ones10);
    square(&t, &ones20, 20);
    mul(&t, &t, &ones20);
    square(&t, &t, 10);
    mul(&ones50, &t, &ones10);
    square(&t, &ones50, 50);
    mul(&ones100, &t, &ones50);
    square(&t, &ones100, 100);
    mul(&t, &t, &ones100);
    square(&t, &t, 50);
    mul(&t, &t, &ones50);
    square(&t, &t, 5);
    mul(r, &t, &a11); /* 2^255 - 32 + 11 */
}

/* The highest bit is not the number's: RFC 7748 section 5. */
static void decode(struct num *r, const uint8_t bytes[EC_X25519_LEN])
{
    uint64_t w0 = load_le64(bytes), w1 = load_le64(bytes + 8);
    uint64_t w2 = load_le64(bytes + 16), w3 = load_le64(bytes + 24);

    r->w[0] = w0 & LIMB_MASK;
    r->w[1] = (w0 >> 51 | w1 << 13) & LIMB_MASK;
    r->w[2] = (w1 >> 38 | w2 << 26) & LIMB_MASK;
    r->w[3] = (w2 >> 25 | w3 << 39) & LIMB_MASK;
    r->w[4] = w3 >> 12 & LIMB_MASK;
}

/* Limbs to 51 bits, what is above them dropped. */
static void settle(struct num *a)
{
    for (int i = 0; i < LIMBS - 1; i++) {
        a->w[i + 1] += a->w[i] >> LIMB_BITS;
        a->w[i] &= LIMB_MASK;
    }
    a->w[4] &= LIMB_MASK;
}

/* a is what mul gives: below 2 p. */
static void encode(uint8_t bytes[EC_X25519_LEN], const struct num *a)
{
    struct num r = *a;
    uint64_t above = 19;

    /* Whether a + 19 reaches 2^255, that is a reaches p: then less p. */
    for (int i = 0; i < LIMBS; i++)
        above = (r.w[i] + above) >> LIMB_BITS;
    r.w[0] += 19 * above;
    settle(&r);
    store_le64(bytes, r.w[0] | r.w[1] << 51);
    store_le64(bytes + 8, r.w[1] >> 13 | r.w[2] << 38);
    store_le64(bytes + 16, r.w[2] >> 26 | r.w[3] << 25);
    store_le64(bytes + 24, r.w[3] >> 39 | r.w[4] << 12);
}

/* A point of the ladder: x / z. */
struct ladder {
    struct num x, z;
};

/* Exchange a and b where mask is all ones; nothing where it is 0. */
static void swap(struct ladder *a, struct ladder *b, uint64_t mask)
{
    for (int i = 0; i < LIMBS; i++) {
        uint64_t x = (a->x.w[i] ^ b->x.w[i]) & mask;
        uint64_t z = (a->z.w[i] ^ b->z.w[i]) & mask;
        a->x.w[i] ^= x;
        b->x.w[i] ^= x;
        a->z.w[i] ^= z;
        b->z.w[i] ^= z;
    }
}

/*
 * p = 2 p and q = p + q, where x is that of q - p: RFC 7748 section 5, with
 * its names.
 */
static void step(struct ladder *p, struct ladder *q, const struct num *x)
{
    struct num a, aa, b, bb, e, c, d;

    add(&a, &p->x, &p->z);
    sub(&b, &p->x, &p->z);
    add(&c, &q->x, &q->z);
    sub(&d, &q->x, &q->z);
    mul(&d, &d, &a); /* da */
    mul(&c, &c, &b); /* cb */
    square(&aa, &a, 1);
    square(&bb, &b, 1);
    sub(&e, &aa, &bb);
    add(&a, &d, &c);
    sub(&b, &d, &c);
    square(&q->x, &a, 1);
    square(&b, &b, 1);
    mul(&q->z, x, &b);
    mul(&p->x, &aa, &bb);
    mul_small(&a, &e, A24);
    add(&a, &aa, &a);
    mul(&p->z, &e, &a);
}

void ec_x25519(uint8_t point[EC_X25519_LEN],
               const uint8_t scalar[EC_X25519_LEN])
{
    struct ladder p = {.x = {{1}}}, q = {.z = {{1}}};
    struct num x;
    uint8_t k[EC_X25519_LEN];
    uint64_t last = 0;

    memcpy(k, scalar, sizeof k);
    k[0] &= 0xf8;
    k[31] = (k[31] & 0x7f) | 0x40;
    decode(&x, point);
    q.x = x;
    for (int i = 254; i >= 0; i--) {
        uint64_t bit = k[i / 8] >> (i % 8) & 1;
        swap(&p, &q, opaque(0 - (bit ^ last)));
        step(&p, &q, &x);
        last = bit;
    }
    /* The lowest bits are 0: nothing is left to exchange. */
    invert(&p.z, &p.z);
    mul(&p.x, &p.x, &p.z);
    encode(point, &p.x);
}
