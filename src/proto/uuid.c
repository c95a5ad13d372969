#include "proto/uuid.h"

#include <stddef.h>

/* Is there a hyphen before the byte number i? */
static bool has_hyphen(size_t i)
{
    return i == 4 || i == 6 || i == 8 || i == 10;
}

/* Value of a hex digit, or -1. */
static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool uuid_parse(struct span text, uint8_t out[UUID_LEN])
{
    uint8_t bytes[UUID_LEN];
    const uint8_t *p = text.ptr;

    if (text.len != UUID_TEXT_LEN)
        return false;
    for (size_t i = 0; i < UUID_LEN; i++) {
        if (has_hyphen(i) && *p++ != '-')
            return false;
        int high = hex_value(*p++);
        int low = hex_value(*p++);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
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
    uint8_t any = 0;

    for (size_t i = 0; i < UUID_LEN; i++)
        any |= uuid[i];
    return any == 0;
}
