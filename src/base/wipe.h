/*
 * Handling of secrets in memory: erase them, compare them.
 */
#ifndef BASE_WIPE_H
#define BASE_WIPE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Overwrite n bytes with zeros. Unlike a memset before the end of a variable's
 * life, the compiler cannot drop it. p may be NULL when n is 0.
 */
void wipe(void *p, size_t n);

/*
 * Are both runs of n bytes the same? The time depends on n only, not on where
 * they differ. Either may be NULL when n is 0.
 */
bool equals_ct(const void *a, const void *b, size_t n);

/*
 * Overwrite what the calls before have left on the stack below the caller:
 * copies that compilers and libraries make, WIPE_STACK_LEN bytes deep.
 */
enum { WIPE_STACK_LEN = 8192 };
void wipe_stack(void);

#endif
