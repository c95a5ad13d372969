/*
 * proto/utf8: says the same as a decoder written another way; chunking changes
 * nothing; it fails no later than at the first byte that cannot be right.
 */
#include "proto/utf8.h"

#include <stdlib.h>

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* Bytes of the character at s, or 0 when there is none. */
static size_t character_len(const uint8_t *s, size_t size)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = s[0] < 0x80 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    uint32_t value = len == 1 ? s[0] : s[0] & (0x7Fu >> len);

    if ((s[0] >= 0x80 && s[0] < 0xC0) || s[0] >= 0xF8 || len > size)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (s[i] & 0x3Fu);
    }
    if (value < least[len] || value > 0x10FFFF || value >> 11 == 0x1B)
        return 0;
    return len;
}

/* Length of the longest start of the text that is valid. */
static size_t valid_len(const uint8_t *s, size_t size)
{
    size_t n = 0;

    while (n < size) {
        size_t len = character_len(s + n, size - n);
        if (len == 0)
            break;
        n += len;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t valid = valid_len(data, size);
    struct utf8 u;
    size_t i = 0;

    must(utf8_is_valid((struct span){data, size}) == (valid == size));
    for (size_t cut = 0; cut <= size; cut++) {
        utf8_init(&u);
        bool good = utf8_feed(&u, data, cut) &&
                    utf8_feed(&u, data + cut, size - cut) &&
                    utf8_is_complete(&u);
        must(good == (valid == size));
    }

    utf8_init(&u);
    while (i < size && utf8_feed(&u, data + i, 1))
        i++;
    /* The first wrong byte is in the character after the valid start. */
    must(i >= valid && i < valid + 4);
    return 0;
}
