#include "base/digest.h"

#include <bearssl_hash.h>

void digest_sha1(const void *data, size_t len, uint8_t out[DIGEST_SHA1_LEN])
{
    br_sha1_context context;

    br_sha1_init(&context);
    br_sha1_update(&context, data, len);
    br_sha1_out(&context, out);
}

void digest_sha256(const void *data, size_t len, uint8_t out[DIGEST_SHA256_LEN])
{
    br_sha256_context context;

    br_sha256_init(&context);
    br_sha256_update(&context, data, len);
    br_sha256_out(&context, out);
}
