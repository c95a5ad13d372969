/*
 * The rounds of SHA-256 over one block. BearSSL does the rest of it and calls
 * them (vendor/patches): for the hash of a token, and in each TLS handshake,
 * whose keys are derived with a hundred of them.
 */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stdint.h>

enum { SHA256_BLOCK_LEN = 64, SHA256_STATE_WORDS = 8 };

/*
 * Mix a block into the state, by the fastest way this processor has. Takes the
 * same time for all blocks.
 * spec: FIPS 180-4, 6.2.2
 */
void br_sha2small_round(const uint8_t *block, uint32_t *state);

/* Those ways: BearSSL's own, */
void br_sha2small_round_portable(const uint8_t *block, uint32_t *state);

/* and the SHA instructions of x86, which sha256_x86_is_there has to find. */
#ifdef __x86_64__
#include <stdbool.h>
bool sha256_x86_is_there(void);
void sha256_x86_round(const uint8_t *block, uint32_t *state);
#endif

#endif
