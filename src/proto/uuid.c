#include "proto/uuid.h"

#include "base/bytes.h"
#include "base/hex.h"

#include <stddef.h>

/* Is there a hyphen before the byte number i? */
static bool has_hyphen(size_t i)
{
    return i == 4 || i == 6 || i == 8 || i == 10;
}

/* Without branches on the digits: which there are is nobody's business. */
bool uuid_parse(struct span text, uint8_t out[UUID_LEN])
{
    uint8_t digits[2 * UUID_LEN], bytes[UUID_LEN];
    const uint8_t *p = text.ptr;

    if (text.len != UUID_TEXT_LEN)
        return false;
    if (p[8] != '-' || p[13] != '-' || p[18] != '-' || p[23] != '-')
        return false;
    memcpy(digits, p, 8);
    memcpy(digits + 8, p + 9, 4);
    memcpy(digits + 12, p + 14, 4);
    memcpy(digits + 16, p + 19, 4);
    memcpy(digits + 20, p + 24, 12);
    if (!hex_decode(digits, bytes, UUID_LEN))
        return false;
    memcpy(out, bytes, UUID_LEN);
    return true;
}

void uuid_format(const uint8_t uuid[UUID_LEN], char out[UUID_TEXT_LEN])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < UUID_LEN; i++) {
        if (has_hyphen(i))
            *out++ = '-';
        *out++ = digits[uuid[i] >> 4];
        *out++ = digits[uuid[i] & 15];
    }
}

bool uuid_is_nil(const uint8_t uuid[UUID_LEN])
{
    return (load_be64(uuid) | load_be64(uuid + 8)) == 0;
}
