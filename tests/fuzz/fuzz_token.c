/*
 * proto/token: nothing is decoded but what encode makes. The input is a record
 * as it may lie on a disk; with its checksum put right it must either be
 * refused or be, byte for byte, the form of what it says.
 *
 * First 32 bytes: the key. The rest: the record without its checksum.
 */
#include "proto/token.h"

#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t secret[SIPHASH_KEY_LEN] = "fuzzing secret ";

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void check_form(const uint8_t *packed, size_t len,
                       const struct token_seal *seal)
{
    struct token_record record;
    uint8_t again[TOKEN_RECORD_MAX];

    if (!token_decode(packed, len, seal, &record))
        return;
    must(record.username_len >= 1);
    must(token_encode(&record, seal, again) == len);
    must(memcmp(again, packed, len) == 0);
    /* A revoked one is never valid; nor is one at its own expiry. */
    must(!record.revoked || !token_is_valid(&record, record.not_before));
    must(record.expires == TOKEN_NEVER ||
         !token_is_valid(&record, record.expires));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct token_seal seal = {.key = data, .secret = secret};
    struct token_record record;

    if (size < TOKEN_KEY_LEN || size > TOKEN_KEY_LEN + 400)
        return 0;
    size_t len = size - TOKEN_KEY_LEN;
    /* The fuzzer sees what a checksum is compared with, and may copy it. */
    check_form(data + TOKEN_KEY_LEN, len, &seal);

    uint8_t *packed = malloc(len + 8);
    must(packed != NULL);
    memcpy(packed, data + TOKEN_KEY_LEN, len);
    store_le64(packed + len, siphash(secret, data, size));
    check_form(packed, len + 8, &seal);
    /* The same under another key. */
    uint8_t other[TOKEN_KEY_LEN];
    memcpy(other, data, sizeof other);
    other[0] ^= 1;
    seal.key = other;
    must(!token_decode(packed, len + 8, &seal, &record));
    free(packed);
    return 0;
}
