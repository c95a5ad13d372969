/*
 * Memory that ends where its contents end, so that the address sanitizer sees
 * the first byte read or written behind them.
 */
#ifndef TESTS_GUARD_H
#define TESTS_GUARD_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A copy of data[0..len); the caller frees it. */
static inline uint8_t *guard_copy(const void *data, size_t len)
{
    uint8_t *copy = calloc(len, 1);

    if (copy == NULL)
        abort();
    if (len > 0)
        memcpy(copy, data, len);
    return copy;
}

#endif
