#include "base/sort.h"

#include <stdbool.h>
#include <string.h>

enum { DIGITS = 8, VALUES = 256 };

static unsigned digit_of(uint64_t key, unsigned digit)
{
    return (unsigned)(key >> (8 * digit)) & 0xff;
}

/* Counts become the place where each value's run begins. */
static bool counts_to_places(size_t counts[VALUES], size_t n)
{
    size_t place = 0;

    for (unsigned v = 0; v < VALUES; v++) {
        size_t count = counts[v];
        if (count == n)
            return false; /* one value only: the pass would move nothing */
        counts[v] = place;
        place += count;
    }
    return true;
}

void sort_pairs(struct sort_pair *pairs, struct sort_pair *scratch, size_t n)
{
    size_t counts[DIGITS][VALUES] = {{0}};
    struct sort_pair *from = pairs, *to = scratch;

    for (size_t i = 0; i < n; i++)
        for (unsigned d = 0; d < DIGITS; d++)
            counts[d][digit_of(pairs[i].key, d)]++;
    for (unsigned d = 0; d < DIGITS; d++) {
        if (!counts_to_places(counts[d], n))
            continue;
        for (size_t i = 0; i < n; i++)
            to[counts[d][digit_of(from[i].key, d)]++] = from[i];
        struct sort_pair *swap = from;
        from = to;
        to = swap;
    }
    if (from != pairs && n > 0)
        memcpy(pairs, from, n * sizeof *pairs);
}

size_t sort_keep_greatest(struct sort_pair *pairs, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || pairs[kept - 1].key != pairs[i].key)
            pairs[kept++] = pairs[i];
        else if (pairs[kept - 1].value < pairs[i].value)
            pairs[kept - 1] = pairs[i];
    }
    return kept;
}
