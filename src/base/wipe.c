#include "base/wipe.h"

#include <stdint.h>
#include <string.h>

void wipe(void *p, size_t n)
{
    if (n == 0)
        return;
    memset(p, 0, n);
    /* As if the memory were read here: the stores cannot be left out. */
    __asm__ volatile("" : : "r"(p) : "memory");
}

bool equals_ct(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a;
    const uint8_t *y = b;
    unsigned diff = 0;

    for (size_t i = 0; i < n; i++) {
        diff |= (unsigned)(x[i] ^ y[i]);
        /* diff is unknown to the compiler now: no early way out. */
        __asm__ volatile("" : "+r"(diff));
    }
    return diff == 0;
}

__attribute__((noinline)) void wipe_stack(void)
{
    uint8_t below[WIPE_STACK_LEN];

    wipe(below, sizeof below);
}
