/*
 * proto/proxy: a length once said stays the same as bytes arrive, at every cut;
 * reading a header and writing it out again gives the same source; what is
 * behind a header changes nothing.
 */
#include "proto/proxy.h"

#include <stdlib.h>
#include <string.h>

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* As sys/link does it: ask for the length, read no byte beyond it. */
static size_t receive(const uint8_t *data, size_t size, size_t step)
{
    size_t len = 0, whole = PROXY_HEAD_LEN;

    while (len < whole && len < size) {
        size_t n = whole - len < step ? whole - len : step;
        len += n < size - len ? n : size - len;
        size_t now = proxy_header_len(data, len);
        if (now == 0)
            return 0;
        must(now >= PROXY_HEAD_LEN && now <= PROXY_HEADER_MAX);
        must(now == whole || whole == PROXY_HEAD_LEN);
        whole = now;
    }
    return len == whole ? whole : 0;
}

/* The shortest header that says the same, in IPv6. */
static size_t write_header(const struct proxy_source *source, uint8_t *out)
{
    memcpy(out, proxy_local_header, PROXY_HEAD_LEN);
    if (!source->is_given)
        return PROXY_HEAD_LEN;
    memset(out + PROXY_HEAD_LEN, 0, 36);
    out[12] = 0x21;
    out[13] = 0x21;
    out[15] = 36;
    memcpy(out + PROXY_HEAD_LEN, source->address, sizeof source->address);
    out[PROXY_HEAD_LEN + 32] = (uint8_t)(source->port >> 8);
    out[PROXY_HEAD_LEN + 33] = (uint8_t)source->port;
    return PROXY_HEAD_LEN + 36;
}

static bool is_same(const struct proxy_source *a, const struct proxy_source *b)
{
    return a->is_given == b->is_given && a->port == b->port &&
           memcmp(a->address, b->address, sizeof a->address) == 0;
}

static void check_round(const struct proxy_source *source)
{
    uint8_t out[PROXY_HEADER_MAX];
    struct proxy_source again;
    size_t len = write_header(source, out);

    must(proxy_header_len(out, len) == len);
    must(proxy_parse(out, len, &again) && is_same(source, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_source source, exact;
    size_t whole = receive(data, size, SIZE_MAX);

    for (size_t step = 1; step < 20; step++)
        must(receive(data, size, step) == whole);
    if (whole == 0)
        return 0;
    uint8_t *copy = malloc(whole); /* ends where the header ends */
    must(copy != NULL);
    memcpy(copy, data, whole);
    bool ok = proxy_parse(copy, whole, &exact);
    free(copy);
    must(proxy_parse(data, whole, &source) == ok);
    if (!ok)
        return 0;
    must(is_same(&source, &exact));
    check_round(&source);
    return 0;
}
