/*
 * SipHash-2-4: a keyed 64-bit checksum for short inputs (Aumasson and
 * Bernstein, 2012). Used to tell a damaged record from a whole one; it is not
 * used to keep secrets.
 */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

enum { SIPHASH_KEY_LEN = 16 };

/* Checksum of data[0..len) under the key. data may be NULL when len is 0. */
uint64_t siphash(const uint8_t key[SIPHASH_KEY_LEN], const void *data,
                 size_t len);

#endif
