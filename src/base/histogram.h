/*
 * Counts of values by upper bounds, as Prometheus wants them.
 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { HISTOGRAM_BOUNDS_MAX = 16 };

struct histogram {
    const uint64_t *bounds; /* ascending, each inclusive; ended by 0 */
    uint64_t counts[HISTOGRAM_BOUNDS_MAX + 1]; /* the last: above all */
    uint64_t sum;
};

/* Note the value so many times. needs: bounds are set */
static inline void histogram_note(struct histogram *h, uint64_t value,
                                  uint64_t times)
{
    size_t i = 0;

    while (h->bounds[i] != 0 && value > h->bounds[i])
        i++;
    h->counts[i] += times;
    h->sum += value * times;
}

#endif
