#include "base/hex.h"

#include "base/bytes.h"

/* 0x80 in each byte of text that is first..last. Needs: all are below 0x80. */
static uint64_t range(uint64_t text, uint8_t first, uint8_t last)
{
    uint64_t is_first_up = text + each_byte((uint8_t)(0x80 - first));
    uint64_t is_past = text + each_byte((uint8_t)(0x7f - last));

    return is_first_up & ~is_past & each_byte(0x80);
}

/* The values of eight digits. out: *bad gets a bit set if one is none */
static uint64_t values(uint64_t text, uint64_t *bad)
{
    uint64_t ascii = text & each_byte(0x7f);
    uint64_t digits = range(ascii, '0', '9');
    uint64_t letters = range(ascii | each_byte(0x20), 'a', 'f');

    *bad |= (text & each_byte(0x80)) | ((digits | letters) ^ each_byte(0x80));
    return (ascii & each_byte(0x0f)) + (letters >> 7) * 9;
}

/* Eight values, 0 to 15, moved together: four bytes. */
static uint64_t join(uint64_t values)
{
    uint64_t bytes = (values | values >> 4) & 0x00ff00ff00ff00ff;
    uint64_t pairs = (bytes | bytes >> 8) & 0x0000ffff0000ffff;

    return (pairs | pairs >> 16) & 0xffffffff;
}

bool hex_decode(const uint8_t *text, uint8_t *out, size_t len)
{
    uint64_t bad = 0;

    for (size_t i = 0; i < len; i += 4)
        store_be32(out + i,
                   (uint32_t)join(values(load_be64(text + 2 * i), &bad)));
    return bad == 0;
}

void hex_encode(const uint8_t *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}
