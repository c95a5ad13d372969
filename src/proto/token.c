#include "proto/token.h"

#include "base/bytes.h"
#include "base/hex.h"

#include <assert.h>
#include <string.h>

enum { RECORD_VERSION = 1, FLAG_REVOKED = 1 };

/* The key goes first, so that a record moved to another key does not verify. */
static uint64_t seal_checksum(const struct token_seal *seal,
                              const uint8_t *record, size_t len)
{
    uint8_t joined[TOKEN_KEY_LEN + TOKEN_RECORD_MAX];

    memcpy(joined, seal->key, TOKEN_KEY_LEN);
    memcpy(joined + TOKEN_KEY_LEN, record, len);
    return siphash(seal->secret, joined, TOKEN_KEY_LEN + len);
}

size_t token_encode(const struct token_record *record,
                    const struct token_seal *seal, uint8_t *out)
{
    size_t body_len = TOKEN_RECORD_HEAD + (size_t)record->username_len;

    assert(record->username_len >= 1);
    out[0] = RECORD_VERSION;
    out[1] = record->revoked ? FLAG_REVOKED : 0;
    out[2] = record->username_len;
    store_le64(out + 3, record->row);
    store_le64(out + 11, (uint64_t)record->created);
    store_le64(out + 19, (uint64_t)record->not_before);
    store_le64(out + 27, (uint64_t)record->expires);
    memcpy(out + TOKEN_RECORD_HEAD, record->username, record->username_len);
    store_le64(out + body_len, seal_checksum(seal, out, body_len));
    return body_len + 8;
}

bool token_decode(const uint8_t *in, size_t len, const struct token_seal *seal,
                  struct token_record *out)
{
    if (len < TOKEN_RECORD_MIN || len > TOKEN_RECORD_MAX)
        return false;
    size_t body_len = len - 8;
    if (load_le64(in + body_len) != seal_checksum(seal, in, body_len))
        return false;
    if (in[0] != RECORD_VERSION || (in[1] & ~FLAG_REVOKED) != 0 ||
        body_len != TOKEN_RECORD_HEAD + (size_t)in[2])
        return false;
    out->revoked = (in[1] & FLAG_REVOKED) != 0;
    out->username_len = in[2];
    out->row = load_le64(in + 3);
    out->created = (int64_t)load_le64(in + 11);
    out->not_before = (int64_t)load_le64(in + 19);
    out->expires = (int64_t)load_le64(in + 27);
    memcpy(out->username, in + TOKEN_RECORD_HEAD, out->username_len);
    return true;
}

void token_format_id(const uint8_t key[TOKEN_KEY_LEN],
                     char out[TOKEN_ID_LEN + 1])
{
    hex_encode(key, TOKEN_ID_LEN / 2, out);
}

bool token_is_valid(const struct token_record *record, int64_t now)
{
    return !record->revoked && now >= record->not_before &&
           (record->expires == TOKEN_NEVER || now < record->expires);
}
