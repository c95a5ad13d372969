/*
 * Random bytes from the kernel, for keys, seeds and serial numbers.
 */
#ifndef SYS_ENTROPY_H
#define SYS_ENTROPY_H

#include "base/error.h"

#include <stddef.h>

/*
 * Fill out[0..len) with unpredictable bytes. Blocks only until the kernel's
 * generator is seeded, once after boot.
 * returns: 0, or -1 with err set when the kernel refuses; out is then wiped
 */
int entropy_fill(void *out, size_t len, struct error *err);

#endif
