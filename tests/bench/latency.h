/*
 * Time, CPU, and a histogram of latencies: every bucket is 1/32 of a doubling
 * wide.
 */
#ifndef BENCH_LATENCY_H
#define BENCH_LATENCY_H

#include <stdint.h>
#include <sys/resource.h>
#include <time.h>

static inline uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Of this process. */
static inline double cpu_seconds(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

enum {
    STEPS = 32, /* of the histogram, within each doubling */
    BUCKETS = 40 * STEPS
};

/* Counts by latency in ns; each bucket is 1/STEPS of a doubling wide. */
struct histogram {
    uint64_t count[BUCKETS];
    uint64_t total, max;
};

static inline unsigned bucket_of(uint64_t ns)
{
    if (ns < STEPS)
        return (unsigned)ns;
    unsigned doubling = 63 - (unsigned)__builtin_clzll(ns) - 5; /* log2 STEPS */
    unsigned bucket =
        doubling * STEPS + STEPS + (unsigned)((ns >> doubling) - STEPS);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static inline uint64_t value_of(unsigned bucket)
{
    unsigned doubling = bucket / STEPS == 0 ? 0 : bucket / STEPS - 1;

    if (bucket < STEPS)
        return bucket;
    return (uint64_t)(STEPS + bucket % STEPS) << doubling;
}

static inline void note(struct histogram *h, uint64_t ns)
{
    h->count[bucket_of(ns)]++;
    h->total++;
    if (ns > h->max)
        h->max = ns;
}

static inline double percentile_us(const struct histogram *h, double share)
{
    uint64_t seen = 0, wanted = (uint64_t)((double)h->total * share);

    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += h->count[i];
        if (seen > wanted)
            return (double)value_of(i) / 1000;
    }
    return (double)h->max / 1000;
}

#endif
