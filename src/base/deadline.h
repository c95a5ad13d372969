/*
 * Points in time as milliseconds of the monotonic clock, and "never".
 */
#ifndef BASE_DEADLINE_H
#define BASE_DEADLINE_H

#include <stdint.h>

#define DEADLINE_NEVER INT64_MAX

/* The one that comes first. */
static inline int64_t deadline_first(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

#endif
