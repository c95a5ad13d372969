#include "base/base64.h"

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* One to three bytes into four characters. */
static void encode_group(const uint8_t *data, size_t len, char out[4])
{
    uint32_t bits = (uint32_t)data[0] << 16;

    if (len > 1)
        bits |= (uint32_t)data[1] << 8;
    if (len > 2)
        bits |= data[2];
    out[0] = alphabet[bits >> 18];
    out[1] = alphabet[bits >> 12 & 63];
    out[2] = len > 1 ? alphabet[bits >> 6 & 63] : '=';
    out[3] = len > 2 ? alphabet[bits & 63] : '=';
}

size_t base64_encode(const uint8_t *data, size_t len, char *out)
{
    for (size_t i = 0; i < len; i += 3) {
        encode_group(data + i, len - i, out);
        out += 4;
    }
    return BASE64_LEN(len);
}

static bool is_digit(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c >= '0' && c <= '9') || c == '+' || c == '/';
}

bool base64_is_16_bytes(struct span text)
{
    if (text.len != BASE64_LEN(16))
        return false;
    for (size_t i = 0; i < 22; i++)
        if (!is_digit(text.ptr[i]))
            return false;
    return text.ptr[22] == '=' && text.ptr[23] == '=';
}
