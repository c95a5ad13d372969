#include "base/ec.h"

#include <string.h>

#include "base/ec_p256_comb.h"

enum {
    WINDOW = 4, /* bits of a scalar taken at once */
    WINDOW_DIGITS = 16
};

/* 1 and the curve's b, in Montgomery form. */
static const struct num field_one = {{0x0000000000000001, 0xffffffff00000000,
                                      0xffffffffffffffff, 0x00000000fffffffe}};
static const struct num curve_b = {{0xd89cdf6229c4bddf, 0xacf005cd78843090,
                                    0xe5a220abf7212ed6, 0xdc30061d04874834}};

/* Homogeneous coordinates: (x / z, y / z); z = 0 is the point at infinity. */
struct point {
    struct num x, y, z;
};

/* All ones if a equals b, else 0. */
static inline uint64_t equal_mask(uint64_t a, uint64_t b)
{
    uint64_t differ = a ^ b;

    return opaque(((differ | (0 - differ)) >> 63) - 1);
}

/* Of two points: products of coordinates, and sums of two of those. */
struct products {
    struct num xx, yy, zz;
    struct num xy, yz, xz; /* x1 y2 + x2 y1, and so on */
};

/* The sum of the points, in the way that both additions end. t is lost. */
static void finish_add(struct point *r, struct products *t)
{
    struct num x, y, z, u;

    field_mul(&z, &curve_b, &t->zz);
    field_sub(&x, &t->xz, &z);
    field_add(&z, &x, &x);
    field_add(&x, &x, &z);
    field_sub(&z, &t->yy, &x);
    field_add(&x, &t->yy, &x);
    field_mul(&y, &curve_b, &t->xz);
    field_add(&u, &t->zz, &t->zz);
    field_add(&t->zz, &u, &t->zz);
    field_sub(&y, &y, &t->zz);
    field_sub(&y, &y, &t->xx);
    field_add(&u, &y, &y);
    field_add(&y, &u, &y);
    field_add(&u, &t->xx, &t->xx);
    field_add(&t->xx, &u, &t->xx);
    field_sub(&t->xx, &t->xx, &t->zz);
    field_mul(&u, &t->yz, &y);
    field_mul(&t->zz, &t->xx, &y);
    field_mul(&y, &x, &z);
    field_add(&r->y, &y, &t->zz);
    field_mul(&x, &t->xy, &x);
    field_sub(&r->x, &x, &u);
    field_mul(&z, &t->yz, &z);
    field_mul(&u, &t->xy, &t->xx);
    field_add(&r->z, &z, &u);
}

/*
 * r = p + q for any two points: algorithm 4 of Renes, Costello and Batina,
 * "Complete addition formulas for prime order elliptic curves" (2016).
 */
static void point_add(struct point *r, const struct point *p,
                      const struct point *q)
{
    struct products t;
    struct num u;

    field_mul(&t.xx, &p->x, &q->x);
    field_mul(&t.yy, &p->y, &q->y);
    field_mul(&t.zz, &p->z, &q->z);
    field_add(&t.xy, &p->x, &p->y);
    field_add(&u, &q->x, &q->y);
    field_mul(&t.xy, &t.xy, &u);
    field_add(&u, &t.xx, &t.yy);
    field_sub(&t.xy, &t.xy, &u);
    field_add(&t.yz, &p->y, &p->z);
    field_add(&u, &q->y, &q->z);
    field_mul(&t.yz, &t.yz, &u);
    field_add(&u, &t.yy, &t.zz);
    field_sub(&t.yz, &t.yz, &u);
    field_add(&t.xz, &p->x, &p->z);
    field_add(&u, &q->x, &q->z);
    field_mul(&t.xz, &t.xz, &u);
    field_add(&u, &t.xx, &t.zz);
    field_sub(&t.xz, &t.xz, &u);
    finish_add(r, &t);
}

/* r = p + q where q is not the point at infinity: their algorithm 5. */
static void point_add_affine(struct point *r, const struct point *p,
                             const struct affine *q)
{
    struct products t = {.zz = p->z};
    struct num u;

    field_mul(&t.xx, &p->x, &q->x);
    field_mul(&t.yy, &p->y, &q->y);
    field_add(&t.xy, &p->x, &p->y);
    field_add(&u, &q->x, &q->y);
    field_mul(&t.xy, &t.xy, &u);
    field_add(&u, &t.xx, &t.yy);
    field_sub(&t.xy, &t.xy, &u);
    field_mul(&t.yz, &q->y, &p->z);
    field_add(&t.yz, &t.yz, &p->y);
    field_mul(&t.xz, &q->x, &p->z);
    field_add(&t.xz, &t.xz, &p->x);
    finish_add(r, &t);
}

/* p = 2 p: their algorithm 6. */
static void point_double(struct point *p)
{
    struct num t0, t1, t2, t3, x, y, z;

    field_mul(&t0, &p->x, &p->x);
    field_mul(&t1, &p->y, &p->y);
    field_mul(&t2, &p->z, &p->z);
    field_mul(&t3, &p->x, &p->y);
    field_add(&t3, &t3, &t3);
    field_mul(&z, &p->x, &p->z);
    field_add(&z, &z, &z);
    field_mul(&y, &curve_b, &t2);
    field_sub(&y, &y, &z);
    field_add(&x, &y, &y);
    field_add(&y, &x, &y);
    field_sub(&x, &t1, &y);
    field_add(&y, &t1, &y);
    field_mul(&y, &x, &y);
    field_mul(&x, &x, &t3);
    field_add(&t3, &t2, &t2);
    field_add(&t2, &t2, &t3);
    field_mul(&z, &curve_b, &z);
    field_sub(&z, &z, &t2);
    field_sub(&z, &z, &t0);
    field_add(&t3, &z, &z);
    field_add(&z, &z, &t3);
    field_add(&t3, &t0, &t0);
    field_add(&t0, &t3, &t0);
    field_sub(&t0, &t0, &t2);
    field_mul(&t0, &t0, &z);
    field_add(&y, &y, &t0);
    field_mul(&t0, &p->y, &p->z);
    field_add(&t0, &t0, &t0);
    field_mul(&z, &t0, &z);
    field_sub(&p->x, &x, &z);
    field_mul(&z, &t0, &t1);
    field_add(&z, &z, &z);
    field_add(&p->z, &z, &z);
    p->y = y;
}

static void set_infinity(struct point *p)
{
    memset(p, 0, sizeof *p);
    p->y = field_one;
}

static void take_point(struct point *r, const struct point *p, uint64_t mask)
{
    num_take(&r->x, &p->x, mask);
    num_take(&r->y, &p->y, mask);
    num_take(&r->z, &p->z, mask);
}

/* p = k * p, reading every point of the window for each digit. */
static void point_mul(struct point *p, const struct num *k)
{
    struct point window[WINDOW_DIGITS], picked;

    set_infinity(&window[0]);
    for (int i = 1; i < WINDOW_DIGITS; i++)
        point_add(&window[i], &window[i - 1], p);
    set_infinity(p);
    for (int i = 256 - WINDOW; i >= 0; i -= WINDOW) {
        uint64_t digit = k->w[i / 64] >> (i % 64) & (WINDOW_DIGITS - 1);
        for (int j = 0; j < WINDOW; j++)
            point_double(p);
        memset(&picked, 0, sizeof picked);
        for (uint64_t j = 0; j < WINDOW_DIGITS; j++)
            take_point(&picked, &window[j], equal_mask(j, digit));
        point_add(p, p, &picked);
    }
}

/* The bits of k that the comb's teeth meet at a column (public). */
static uint64_t comb_digit(const struct num *k, int column)
{
    uint64_t digit = 0;

    for (int i = 0; i < COMB_TEETH; i++) {
        int bit = column + COMB_SPACING * i;
        if (bit < 64 * NUM_LIMBS)
            digit |= (k->w[bit / 64] >> (bit % 64) & 1) << i;
    }
    return digit;
}

/* p += the comb's point for a digit, reading all of the table. */
static void comb_add(struct point *p, const struct affine table[COMB_POINTS],
                     uint64_t digit)
{
    struct affine picked = {0};
    struct point sum;

    for (uint64_t i = 0; i < COMB_POINTS; i++) {
        uint64_t mask = equal_mask(i + 1, digit);
        num_take(&picked.x, &table[i].x, mask);
        num_take(&picked.y, &table[i].y, mask);
    }
    point_add_affine(&sum, p, &picked);
    take_point(p, &sum, ~equal_mask(digit, 0));
}

/* p = k * generator. */
static void generator_mul(struct point *p, const struct num *k)
{
    set_infinity(p);
    for (int i = COMB_HALF - 1; i >= 0; i--) {
        point_double(p);
        comb_add(p, comb[0], comb_digit(k, i));
        comb_add(p, comb[1], comb_digit(k, i + COMB_HALF));
    }
}

/* r = p, no longer in Montgomery form; the point at infinity is (0, 0). */
static void to_affine(struct affine *r, const struct point *p)
{
    static const struct num one = {{1}};
    struct num z;

    field_invert(&z, &p->z);
    field_mul(&z, &z, &one);
    field_mul(&r->x, &p->x, &z);
    field_mul(&r->y, &p->y, &z);
}

/* y^2 = x^3 - 3 x + b; the point is public. */
static bool is_on_curve(const struct affine *p)
{
    struct num left, right, x3;

    field_mul(&left, &p->y, &p->y);
    field_mul(&right, &p->x, &p->x);
    field_mul(&right, &right, &p->x);
    field_add(&x3, &p->x, &p->x);
    field_add(&x3, &x3, &p->x);
    field_sub(&right, &right, &x3);
    field_add(&right, &right, &curve_b);
    field_sub(&left, &left, &right);
    return num_is_zero(&left);
}

/* A point that is on the curve; false if it is not. */
static bool decode_point(struct point *p,
                         const uint8_t point[EC_P256_POINT_LEN])
{
    struct affine a;

    num_decode(&a.x, point + 1);
    num_decode(&a.y, point + 1 + NUM_LEN);
    if (point[0] != 4 || !num_is_below(&a.x, &field_prime) ||
        !num_is_below(&a.y, &field_prime))
        return false;
    field_mul(&a.x, &a.x, &field_square);
    field_mul(&a.y, &a.y, &field_square);
    *p = (struct point){.x = a.x, .y = a.y, .z = field_one};
    return is_on_curve(&a);
}

static void encode_point(uint8_t point[EC_P256_POINT_LEN],
                         const struct point *p)
{
    struct affine a;

    to_affine(&a, p);
    point[0] = 4;
    num_encode(point + 1, &a.x);
    num_encode(point + 1 + NUM_LEN, &a.y);
}

bool ec_p256_mul(uint8_t point[EC_P256_POINT_LEN],
                 const uint8_t scalar[EC_P256_LEN])
{
    struct point p;
    struct num k;

    if (!decode_point(&p, point))
        return false;
    num_decode(&k, scalar);
    point_mul(&p, &k);
    encode_point(point, &p);
    return true;
}

void ec_p256_mulgen(uint8_t point[EC_P256_POINT_LEN],
                    const uint8_t scalar[EC_P256_LEN])
{
    struct point p;
    struct num k;

    num_decode(&k, scalar);
    generator_mul(&p, &k);
    encode_point(point, &p);
}
