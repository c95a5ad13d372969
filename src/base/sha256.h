/*
 * The rounds of SHA-256 over one block. BearSSL does the rest of it and calls
 * them, by the name and type that its inner.h declares (vendor/patches): for
 * the hash of a token, and over and over in a TLS handshake.
 */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stdbool.h>
#include <stdint.h>

enum { SHA256_BLOCK_LEN = 64, SHA256_STATE_WORDS = 8 };

/*
 * Mix a block into the state, by the fastest way this processor has. Takes the
 * same time for all blocks.
 * spec: FIPS 180-4, 6.2.2
 */
void br_sha2small_round(const uint8_t *block, uint32_t *state);

/* The same by BearSSL's own code, on any processor. */
void br_sha2small_round_portable(const uint8_t *block, uint32_t *state);

#ifdef __x86_64__

/* The same by x86's SHA instructions, on a processor that has them. */
void sha256_x86_round(const uint8_t *block, uint32_t *state);

/* Has this one? */
bool sha256_x86_is_there(void);

#endif

#endif
