/*
 * When a row was last used, as the store holds it: sealed, so that a damaged
 * time is never taken for one.
 */
#ifndef PROTO_LAST_USE_H
#define PROTO_LAST_USE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Packed form, little-endian: 0 UTC seconds, signed (5)   5 the low bytes of
 * SipHash-2-4 over row (8) and these (3).
 */
enum { LAST_USE_LEN = 8 };

/*
 * Pack a last use.
 * in: secret: SIPHASH_KEY_LEN bytes, the store's; utc_s: of the years 0001 to
 *     9999
 */
void last_use_encode(const uint8_t *secret, uint64_t row, int64_t utc_s,
                     uint8_t out[LAST_USE_LEN]);

/* returns: false when the bytes are not a last use of this row */
bool last_use_decode(const uint8_t *secret, uint64_t row,
                     const uint8_t in[LAST_USE_LEN], int64_t *utc_s);

#endif
