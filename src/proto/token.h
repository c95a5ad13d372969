/*
 * A token's record: its meaning, its form in the store, and the rule that says
 * whether it logs a player in.
 *
 * The store's key is the SHA-256 of the 16 token bytes, so a stolen database
 * holds no token. Times are UTC seconds since 1970.
 */
#ifndef PROTO_TOKEN_H
#define PROTO_TOKEN_H

#include "base/siphash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TOKEN_LEN = 16,          /* bytes of a UUID */
    TOKEN_KEY_LEN = 32,      /* bytes of its SHA-256 */
    TOKEN_USERNAME_MAX = 255 /* bytes of UTF-8 */
};

enum { TOKEN_NEVER = 0 }; /* expires: no expiry */

struct token_record {
    uint64_t row;       /* number in the store, from 1; 0 = none yet */
    int64_t created;    /* 0 = unknown */
    int64_t not_before; /* 0 = valid from the beginning */
    int64_t expires;    /* TOKEN_NEVER, or the first second of invalidity */
    bool revoked;
    uint8_t username_len; /* 1..255 */
    char username[TOKEN_USERNAME_MAX];
};

/*
 * Packed form, little-endian, no padding:
 *   0 version (1)    1 flags (bit 0: revoked)    2 username length
 *   3 row (8)   11 created (8)   19 not before (8)   27 expires (8)
 *   35 username   35+n SipHash-2-4 over key and all bytes before it (8)
 */
enum {
    TOKEN_RECORD_HEAD = 35,
    TOKEN_RECORD_MIN = TOKEN_RECORD_HEAD + 1 + 8,
    TOKEN_RECORD_MAX = TOKEN_RECORD_HEAD + TOKEN_USERNAME_MAX + 8
};

/* What the checksum covers beside the record's own bytes. */
struct token_seal {
    const uint8_t *key;    /* TOKEN_KEY_LEN bytes: the record's own key */
    const uint8_t *secret; /* SIPHASH_KEY_LEN bytes: the store's */
};

/*
 * Pack a record.
 * needs:   username_len >= 1
 * out:     TOKEN_RECORD_MAX bytes of room
 * returns: bytes written
 */
size_t token_encode(const struct token_record *record,
                    const struct token_seal *seal, uint8_t *out);

/*
 * Unpack and verify a record.
 * returns: false when the bytes are not a whole record of this version under
 *          this key; *out is unspecified then.
 */
bool token_decode(const uint8_t *in, size_t len, const struct token_seal *seal,
                  struct token_record *out);

/* Hex digits of a public id. */
enum { TOKEN_ID_LEN = 12 };

/*
 * The public id of a token: the first hex digits of its key. It names a token
 * where people read it, and logs nobody in.
 */
void token_format_id(const uint8_t key[TOKEN_KEY_LEN],
                     char out[TOKEN_ID_LEN + 1]);

/* Does the token log its player in at this time (UTC seconds)? */
bool token_is_valid(const struct token_record *record, int64_t now);

/*
 * An expiry as read from outside, as the record holds it. The one instant that
 * would mean TOKEN_NEVER becomes the second before it: long expired both.
 */
static inline int64_t token_expiry(int64_t utc_s)
{
    return utc_s == TOKEN_NEVER ? utc_s - 1 : utc_s;
}

#endif
