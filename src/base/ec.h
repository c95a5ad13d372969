/*
 * The elliptic curves of a full TLS handshake, where most of a login's time
 * goes, for BearSSL's interfaces: X25519 (RFC 7748) and P-256 (NIST SP
 * 800-186), with 64-bit arithmetic. No branch and no address depends on a
 * secret.
 *
 * `make EC=bearssl` leaves them out: ec_bearssl.c stands in for the others.
 */
#ifndef BASE_EC_H
#define BASE_EC_H

#include <stdbool.h>
#include <stdint.h>

#include <bearssl_ec.h>

/*
 * X25519 and P-256 as done here, P-384 and P-521 as BearSSL does. Results are
 * the same to the bit as BearSSL's, for every scalar that it takes: for P-256,
 * those from 1 to the order less one. But mul says that it failed where X25519
 * gives zeros (RFC 8422 section 5.11), which BearSSL does not mind. muladd,
 * which only verifies, is BearSSL's for all.
 */
const br_ec_impl *ec_curves(void);

/*
 * Sign as BearSSL's br_ecdsa_sign does, deterministically (RFC 6979), to the
 * same bytes; its parameters and return value are described there. Keys of
 * other curves than P-256 go to BearSSL; impl is for those only.
 */
size_t ec_sign_asn1(const br_ec_impl *impl, const br_hash_class *hash,
                    const void *hash_value, const br_ec_private_key *key,
                    void *sig);

/*
 * What ec_curves is made of. Secrets stay on the stack below the caller, who
 * wipes it.
 *
 * ec_x25519: point = scalar * point, both little-endian; the scalar is clamped.
 * ec_p256_mul: the same on P-256, for a point that is 4, x and y, and a scalar
 * that is big-endian; false, and nothing done, if it is not on the curve.
 * ec_p256_mulgen: point = scalar * generator.
 * The point at infinity is 4 and zeros.
 */
enum { EC_X25519_LEN = 32, EC_P256_LEN = 32, EC_P256_POINT_LEN = 65 };
void ec_x25519(uint8_t point[EC_X25519_LEN],
               const uint8_t scalar[EC_X25519_LEN]);
bool ec_p256_mul(uint8_t point[EC_P256_POINT_LEN],
                 const uint8_t scalar[EC_P256_LEN]);
void ec_p256_mulgen(uint8_t point[EC_P256_POINT_LEN],
                    const uint8_t scalar[EC_P256_LEN]);

#endif
