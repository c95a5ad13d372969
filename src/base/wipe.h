/*
 * Erasing secrets from memory.
 */
#ifndef BASE_WIPE_H
#define BASE_WIPE_H

#include <stddef.h>

/*
 * Overwrite n bytes with zeros. Unlike a memset before the end of a variable's
 * life, the compiler cannot drop it. p may be NULL when n is 0.
 */
void wipe(void *p, size_t n);

/*
 * Overwrite what the calls before have left on the stack below the caller:
 * copies that compilers and libraries make, WIPE_STACK_LEN bytes deep.
 */
enum { WIPE_STACK_LEN = 8192 };
void wipe_stack(void);

#endif
