#include "proto/utf8.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

void utf8_init(struct utf8 *u)
{
    u->need = 0;
    u->low = 0;
    u->high = 0;
}

static bool expect(struct utf8 *u, uint8_t need, uint8_t low, uint8_t high)
{
    u->need = need;
    u->low = low;
    u->high = high;
    return true;
}

/* The table of well-formed sequences, RFC 3629 section 4. */
static bool feed_lead(struct utf8 *u, uint8_t c)
{
    if (c < 0x80)
        return true;
    if (c < 0xC2)
        return false;
    if (c < 0xE0)
        return expect(u, 1, 0x80, 0xBF);
    if (c == 0xE0)
        return expect(u, 2, 0xA0, 0xBF);
    if (c == 0xED)
        return expect(u, 2, 0x80, 0x9F);
    if (c < 0xF0)
        return expect(u, 2, 0x80, 0xBF);
    if (c == 0xF0)
        return expect(u, 3, 0x90, 0xBF);
    if (c < 0xF4)
        return expect(u, 3, 0x80, 0xBF);
    if (c == 0xF4)
        return expect(u, 3, 0x80, 0x8F);
    return false;
}

static bool feed_byte(struct utf8 *u, uint8_t c)
{
    if (u->need == 0)
        return feed_lead(u, c);
    if (c < u->low || c > u->high)
        return false;
    return expect(u, (uint8_t)(u->need - 1), 0x80, 0xBF);
}

/* Bytes of ASCII at the start of data, counted in steps of eight. */
static size_t ascii_run(const uint8_t *data, size_t len)
{
    size_t n = 0;
    uint64_t word;

    for (; len - n >= sizeof word; n += sizeof word) {
        memcpy(&word, data + n, sizeof word);
        if (word & HIGH_BITS)
            break;
    }
    return n;
}

bool utf8_feed(struct utf8 *u, const uint8_t *data, size_t len)
{
    size_t i = 0;

    while (i < len) {
        if (u->need == 0 && data[i] < 0x80)
            i += ascii_run(data + i, len - i);
        /* Up to eight bytes one by one before the next try at a run. */
        for (size_t n = 0; n < sizeof(uint64_t) && i < len; n++)
            if (!feed_byte(u, data[i++]))
                return false;
    }
    return true;
}

bool utf8_is_complete(const struct utf8 *u)
{
    return u->need == 0;
}

bool utf8_is_valid(struct span text)
{
    struct utf8 u;

    utf8_init(&u);
    return utf8_feed(&u, text.ptr, text.len) && utf8_is_complete(&u);
}

size_t utf8_cut(struct span text, size_t max)
{
    size_t len = max;

    if (text.len <= max)
        return text.len;
    while (len > max - 3 && (text.ptr[len] & 0xc0) == 0x80)
        len--;
    return len;
}
