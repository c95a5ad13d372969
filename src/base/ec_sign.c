#include "base/ec.h"

#include <string.h>

#include <bearssl_rand.h>

#include "base/ec_p256_num.h"
#include "base/wipe.h"

enum { ASN1_MORE = 9 /* bytes that ASN.1 adds to r and s, at most */ };

/* A big-endian number of len bytes, at most NUM_LEN. */
static void decode_short(struct num *k, const uint8_t *bytes, size_t len)
{
    uint8_t padded[NUM_LEN] = {0};

    memcpy(padded + NUM_LEN - len, bytes, len);
    num_decode(k, padded);
}

/*
 * From 1 to the order less one. Not inlined, as tests/peers name it: what it
 * tells of a nonce is that it was thrown away, and of a key that it is none.
 */
static __attribute__((noinline)) bool is_scalar(const struct num *k)
{
    return !num_is_zero(k) && num_is_below(k, &order_prime);
}

/* The leftmost 256 bits of a hash, mod the order: RFC 6979 section 2.3. */
static void hash_number(struct num *h, const br_hash_class *hf,
                        const void *value)
{
    size_t len = hf->desc >> BR_HASHDESC_OUT_OFF & BR_HASHDESC_OUT_MASK;
    struct num bits;

    decode_short(&bits, value, len < NUM_LEN ? len : NUM_LEN);
    order_reduce(h, &bits);
}

/* k = the nonce of key d for hash h: RFC 6979 section 3.2. */
static void make_nonce(struct num *k, const br_hash_class *hf,
                       const struct num *d, const struct num *h)
{
    uint8_t bytes[2 * NUM_LEN];
    br_hmac_drbg_context drbg;

    num_encode(bytes, d);
    num_encode(bytes + NUM_LEN, h);
    br_hmac_drbg_init(&drbg, hf, bytes, sizeof bytes);
    do {
        br_hmac_drbg_generate(&drbg, bytes, NUM_LEN);
        num_decode(k, bytes);
    } while (!is_scalar(k));
}

/* r = the x of k * generator, mod the order. */
static void nonce_x(struct num *r, const struct num *k)
{
    uint8_t scalar[NUM_LEN], point[EC_P256_POINT_LEN];
    struct num x;

    num_encode(scalar, k);
    ec_p256_mulgen(point, scalar);
    num_decode(&x, point + 1);
    order_reduce(r, &x);
}

/* s = (h + r * d) / k mod the order; k is lost. */
static void signature_s(struct num *s, const struct num *h, const struct num *r,
                        const struct num *d, struct num *k)
{
    struct num t;

    order_mul(k, k, &order_square);
    order_invert(k, k);
    order_mul(&t, r, &order_square);
    order_mul(&t, &t, d);
    order_add(&t, &t, h);
    order_mul(s, &t, k);
}

/*
 * The signature, r and s, of a key of P-256; false if the key is none. Not
 * inlined: all secrets are in its frame and below, where its caller wipes.
 */
static __attribute__((noinline)) bool sign(const br_hash_class *hf,
                                           const void *value,
                                           const br_ec_private_key *key,
                                           uint8_t sig[2 * NUM_LEN])
{
    struct num d, h, k, r, s;

    decode_short(&d, key->x, key->xlen);
    if (!is_scalar(&d))
        return false;
    hash_number(&h, hf, value);
    make_nonce(&k, hf, &d, &h);
    nonce_x(&r, &k);
    signature_s(&s, &h, &r, &d, &k);
    num_encode(sig, &r);
    num_encode(sig + NUM_LEN, &s);
    return true;
}

size_t ec_sign_asn1(const br_ec_impl *impl, const br_hash_class *hash,
                    const void *hash_value, const br_ec_private_key *key,
                    void *sig)
{
    uint8_t raw[2 * NUM_LEN + ASN1_MORE];

    if (key->curve != BR_EC_secp256r1 || key->xlen > NUM_LEN)
        return br_ecdsa_sign_asn1_get_default()(impl, hash, hash_value, key,
                                                sig);
    bool is_key = sign(hash, hash_value, key, raw);
    wipe_stack();
    if (!is_key)
        return 0;
    size_t len = br_ecdsa_raw_to_asn1(raw, 2 * NUM_LEN);
    memcpy(sig, raw, len);
    return len;
}
