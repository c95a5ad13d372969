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

__attribute__((noinline)) void wipe_stack(void)
{
    uint8_t below[WIPE_STACK_LEN];

    wipe(below, sizeof below);
}
