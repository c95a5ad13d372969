/*
 * Sorting of pairs by a 64-bit key, in linear time (musl's qsort takes over
 * ten seconds for ten million of them).
 */
#ifndef BASE_SORT_H
#define BASE_SORT_H

#include <stddef.h>
#include <stdint.h>

struct sort_pair {
    uint64_t key;
    uint64_t value;
};

/*
 * Sort by key, ascending; pairs of one key keep their order (LSD radix sort).
 * in: scratch has room for n pairs; what it holds afterwards is unspecified
 */
void sort_pairs(struct sort_pair *pairs, struct sort_pair *scratch, size_t n);

/*
 * Of the sorted pairs of one key, keep the one with the greatest value.
 * returns: how many pairs are left, at the front
 */
size_t sort_keep_greatest(struct sort_pair *pairs, size_t n);

#endif
