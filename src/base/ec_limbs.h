/*
 * What the arithmetic of the curves shares.
 */
#ifndef BASE_EC_LIMBS_H
#define BASE_EC_LIMBS_H

#include <stdint.h>

#ifndef __SIZEOF_INT128__
#error "this machine has no 128-bit integers; make EC=bearssl"
#endif

__extension__ typedef unsigned __int128 wide;

/* Hides from the compiler that x is 0 or all ones: it could branch on that. */
static inline uint64_t opaque(uint64_t x)
{
    __asm__("" : "+r"(x));
    return x;
}

#endif
