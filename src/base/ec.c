#include "base/ec.h"

#include <string.h>

#include "base/wipe.h"

/* Longer scalars exist only with zeros before them: BearSSL's matter. */
enum { SCALAR_MAX = 32 };

/* P-384, P-521, and what of P-256 is rare: verifying, and long scalars. */
static const br_ec_impl *const other = &br_ec_prime_i31;

static const unsigned char *generator(int curve, size_t *len)
{
    static const unsigned char x25519[EC_X25519_LEN] = {9};

    if (curve != BR_EC_curve25519)
        return other->generator(curve, len);
    *len = sizeof x25519;
    return x25519;
}

/* That of X25519 says which bits of a scalar count, as BearSSL has it. */
static const unsigned char *order(int curve, size_t *len)
{
    static const unsigned char x25519[EC_X25519_LEN] = {
        0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    if (curve != BR_EC_curve25519)
        return other->order(curve, len);
    *len = sizeof x25519;
    return x25519;
}

static size_t xoff(int curve, size_t *len)
{
    if (curve != BR_EC_curve25519)
        return other->xoff(curve, len);
    *len = EC_X25519_LEN;
    return 0;
}

/*
 * RFC 8422 section 5.11: zeros, which are what every scalar makes of a point of
 * low order, are no secret. BearSSL goes on with random bytes then.
 * returns: 1 or 0, without a branch
 */
static uint32_t is_secret(const uint8_t bytes[EC_X25519_LEN])
{
    uint32_t any = 0;

    for (size_t i = 0; i < EC_X25519_LEN; i++)
        any |= bytes[i];
    return (any + 0xff) >> 8;
}

static uint32_t mul_x25519(unsigned char *point, size_t point_len,
                           const unsigned char *scalar, size_t len)
{
    uint8_t padded[SCALAR_MAX] = {0};

    if (point_len != EC_X25519_LEN || len > SCALAR_MAX)
        return 0;
    memcpy(padded, scalar, len);
    ec_x25519(point, padded);
    wipe(padded, sizeof padded);
    wipe_stack();
    return is_secret(point);
}

static uint32_t mul_p256(unsigned char *point, size_t point_len,
                         const unsigned char *scalar, size_t len)
{
    uint8_t padded[SCALAR_MAX] = {0};

    if (point_len != EC_P256_POINT_LEN)
        return 0;
    memcpy(padded + SCALAR_MAX - len, scalar, len);
    bool is_point = ec_p256_mul(point, padded);
    wipe(padded, sizeof padded);
    wipe_stack();
    return is_point;
}

static uint32_t mul(unsigned char *point, size_t point_len,
                    const unsigned char *scalar, size_t len, int curve)
{
    if (curve == BR_EC_curve25519)
        return mul_x25519(point, point_len, scalar, len);
    if (curve == BR_EC_secp256r1 && len <= SCALAR_MAX)
        return mul_p256(point, point_len, scalar, len);
    return other->mul(point, point_len, scalar, len, curve);
}

static size_t mulgen_p256(unsigned char *point, const unsigned char *scalar,
                          size_t len)
{
    uint8_t padded[SCALAR_MAX] = {0};

    memcpy(padded + SCALAR_MAX - len, scalar, len);
    ec_p256_mulgen(point, padded);
    wipe(padded, sizeof padded);
    wipe_stack();
    return EC_P256_POINT_LEN;
}

static size_t mulgen(unsigned char *point, const unsigned char *scalar,
                     size_t len, int curve)
{
    size_t point_len;

    if (curve == BR_EC_secp256r1 && len <= SCALAR_MAX)
        return mulgen_p256(point, scalar, len);
    if (curve != BR_EC_curve25519)
        return other->mulgen(point, scalar, len, curve);
    memcpy(point, generator(curve, &point_len), EC_X25519_LEN);
    mul_x25519(point, point_len, scalar, len);
    return point_len;
}

static uint32_t muladd(unsigned char *a, const unsigned char *b, size_t len,
                       const unsigned char *x, size_t x_len,
                       const unsigned char *y, size_t y_len, int curve)
{
    if (curve == BR_EC_curve25519)
        return 0; /* no signatures: BearSSL has none there either */
    return other->muladd(a, b, len, x, x_len, y, y_len, curve);
}

const br_ec_impl *ec_curves(void)
{
    static const br_ec_impl impl = {
        .supported_curves =
            (uint32_t)1 << BR_EC_secp256r1 | (uint32_t)1 << BR_EC_secp384r1 |
            (uint32_t)1 << BR_EC_secp521r1 | (uint32_t)1 << BR_EC_curve25519,
        .generator = generator,
        .order = order,
        .xoff = xoff,
        .mul = mul,
        .mulgen = mulgen,
        .muladd = muladd};

    return &impl;
}
