/*
 * SHA-1 and SHA-256 of bytes that are all in memory.
 *
 * SHA-1 is here for the WebSocket handshake only, where nothing rests on its
 * strength.
 */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_SHA1_LEN   20 /* bytes */
#define DIGEST_SHA256_LEN 32 /* bytes */

/*
 * SHA-1 of data[0..len); data may be NULL when len is 0.
 * spec: FIPS 180-4
 */
void digest_sha1(const void *data, size_t len, uint8_t out[DIGEST_SHA1_LEN]);

/*
 * SHA-256 of data[0..len); data may be NULL when len is 0.
 * spec: FIPS 180-4
 */
void digest_sha256(const void *data, size_t len,
                   uint8_t out[DIGEST_SHA256_LEN]);

#endif
