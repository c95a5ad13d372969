#include "proto/last_use.h"

#include "base/bytes.h"
#include "base/siphash.h"

#include <string.h>

enum { TIME_LEN = 5 };

static uint64_t seal(const uint8_t *secret, uint64_t row, const uint8_t *time)
{
    uint8_t joined[8 + TIME_LEN];

    store_le64(joined, row);
    memcpy(joined + 8, time, TIME_LEN);
    return siphash(secret, joined, sizeof joined);
}

void last_use_encode(const uint8_t *secret, uint64_t row, int64_t utc_s,
                     uint8_t out[LAST_USE_LEN])
{
    uint8_t bytes[8];

    store_le64(bytes, (uint64_t)utc_s);
    memcpy(out, bytes, TIME_LEN);
    store_le64(bytes, seal(secret, row, out));
    memcpy(out + TIME_LEN, bytes, LAST_USE_LEN - TIME_LEN);
}

bool last_use_decode(const uint8_t *secret, uint64_t row,
                     const uint8_t in[LAST_USE_LEN], int64_t *utc_s)
{
    uint8_t expected[LAST_USE_LEN];
    uint64_t time = load_le64(in) << (64 - 8 * TIME_LEN);

    *utc_s = (int64_t)time >> (64 - 8 * TIME_LEN); /* with its sign */
    last_use_encode(secret, row, *utc_s, expected);
    return memcmp(in, expected, LAST_USE_LEN) == 0;
}
