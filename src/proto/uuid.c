#include "proto/uuid.h"

#include <stddef.h>

/* Is there a hyphen before the byte number i? */
static bool has_hyphen(size_t i)
{
    return i == 4 || i == 6 || i == 8 || i == 10;
}

/* Value of a hex digit; *is_bad is set for others. Without branches: which
 * digits there are is chance, and nobody's business. */
static unsigned hex_value(uint8_t c, unsigned *is_bad)
{
    unsigned is_digit = c - (unsigned)'0' < 10;
    unsigned is_letter = (c | 0x20U) - 'a' < 6;

    *is_bad |= ~(is_digit | is_letter) & 1;
    return (c & 15U) + 9 * is_letter;
}

bool uuid_parse(struct span text, uint8_t out[UUID_LEN])
{
    uint8_t bytes[UUID_LEN];
    const uint8_t *p = text.ptr;
    unsigned is_bad = 0;

    if (text.len != UUID_TEXT_LEN)
        return false;
    for (size_t i = 0; i < UUID_LEN; i++) {
        if (has_hyphen(i))
            is_bad |= *p++ != '-';
        unsigned high = hex_value(*p++, &is_bad);
        unsigned low = hex_value(*p++, &is_bad);
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    if (is_bad)
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
    uint8_t any = 0;

    for (size_t i = 0; i < UUID_LEN; i++)
        any |= uuid[i];
    return any == 0;
}
