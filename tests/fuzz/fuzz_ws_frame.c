/*
 * proto/ws_frame: a header is taken whole or not at all; formatting and
 * parsing are each other's inverse; unmasking is, at any cut, its own.
 */
#include "proto/ws_frame.h"

#include <stdlib.h>
#include <string.h>

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* Format the header again; put back the bits that servers do not set. */
static void check_round(const uint8_t *in, size_t n, const struct ws_header *h)
{
    uint8_t out[WS_MASKED_HEADER_MAX];
    size_t len = ws_header_format(out, h->opcode, (size_t)h->payload_len);

    if (!h->fin)
        out[0] &= 0x7F;
    out[0] |= (uint8_t)(h->rsv << 4);
    if (h->masked) {
        out[1] |= 0x80;
        memcpy(out + len, h->mask, sizeof h->mask);
        len += sizeof h->mask;
    }
    must(len == n && memcmp(out, in, n) == 0);
}

static void check_unmask(const uint8_t *data, size_t size,
                         const struct ws_header *h)
{
    uint8_t *whole = malloc(size);
    uint8_t *pieces = malloc(size);
    size_t cut = size > 0 ? h->mask[0] % size : 0;

    must(whole != NULL && pieces != NULL);
    memcpy(whole, data, size);
    memcpy(pieces, data, size);
    ws_unmask(whole, size, h->mask, 0);
    ws_unmask(pieces, cut, h->mask, 0);
    ws_unmask(pieces + cut, size - cut, h->mask, cut);
    must(memcmp(whole, pieces, size) == 0);
    ws_unmask(whole, size, h->mask, 0);
    must(memcmp(whole, data, size) == 0);
    free(whole);
    free(pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ws_header h;
    struct ws_header other;
    int n = ws_header_parse(data, size, &h);

    if (n == 0)
        must(size < 2 || size < ws_header_len(data));
    if (n <= 0)
        return 0;
    must((size_t)n <= size && n <= WS_MASKED_HEADER_MAX);
    for (size_t len = 0; len < (size_t)n; len++)
        must(ws_header_parse(data, len, &other) == 0);
    check_round(data, (size_t)n, &h);
    check_unmask(data + n, size - (size_t)n, &h);
    return 0;
}
