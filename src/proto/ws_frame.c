#include "proto/ws_frame.h"

#include <string.h>

#define FIN_BIT  0x80
#define MASK_BIT 0x80
#define LEN_BITS 0x7F /* beside the mask bit */
#define LEN_16   126  /* the length follows in 16 bits */
#define LEN_64   127  /* the length follows in 64 bits */

static uint64_t read_be(const uint8_t *in, size_t n)
{
    uint64_t value = 0;

    for (size_t i = 0; i < n; i++)
        value = value << 8 | in[i];
    return value;
}

static void write_be(uint8_t *out, size_t n, uint64_t value)
{
    for (size_t i = n; i > 0; i--) {
        out[i - 1] = (uint8_t)value;
        value >>= 8;
    }
}

/* Bytes of the length field after the first two. */
static size_t extended_len(uint8_t second)
{
    switch (second & LEN_BITS) {
    case LEN_16:
        return 2;
    case LEN_64:
        return 8;
    default:
        return 0;
    }
}

size_t ws_header_len(const uint8_t first[2])
{
    return 2 + extended_len(first[1]) + (first[1] & MASK_BIT ? 4 : 0);
}

/* Could a length field of n bytes carry this and no smaller one? */
static bool is_minimal(uint64_t payload_len, size_t n)
{
    if (n == 2)
        return payload_len >= LEN_16;
    return payload_len > UINT16_MAX && payload_len >> 63 == 0;
}

int ws_header_parse(const uint8_t *in, size_t len, struct ws_header *h)
{
    if (len < 2 || len < ws_header_len(in))
        return 0;

    size_t extended = extended_len(in[1]);
    uint64_t payload_len = in[1] & LEN_BITS;
    if (extended > 0) {
        payload_len = read_be(in + 2, extended);
        if (!is_minimal(payload_len, extended))
            return -1;
    }
    *h = (struct ws_header){
        .fin = (in[0] & FIN_BIT) != 0,
        .rsv = in[0] >> 4 & 7,
        .opcode = in[0] & 15,
        .masked = (in[1] & MASK_BIT) != 0,
        .payload_len = payload_len,
    };
    if (h->masked)
        memcpy(h->mask, in + 2 + extended, sizeof h->mask);
    return (int)ws_header_len(in);
}

size_t ws_header_format(uint8_t *out, uint8_t opcode, size_t payload_len)
{
    out[0] = FIN_BIT | opcode;
    if (payload_len < LEN_16) {
        out[1] = (uint8_t)payload_len;
        return 2;
    }
    if (payload_len <= UINT16_MAX) {
        out[1] = LEN_16;
        write_be(out + 2, 2, payload_len);
        return 4;
    }
    out[1] = LEN_64;
    write_be(out + 2, 8, payload_len);
    return 10;
}

void ws_unmask(uint8_t *data, size_t len, const uint8_t mask[4],
               uint64_t offset)
{
    uint8_t turned[8];
    uint64_t key;
    uint64_t word;
    size_t i = 0;

    for (size_t n = 0; n < sizeof turned; n++)
        turned[n] = mask[(offset + n) & 3];
    memcpy(&key, turned, sizeof key);
    for (; len - i >= sizeof word; i += sizeof word) {
        memcpy(&word, data + i, sizeof word);
        word ^= key;
        memcpy(data + i, &word, sizeof word);
    }
    for (; i < len; i++)
        data[i] ^= turned[i & 7];
}
