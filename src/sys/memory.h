/*
 * Memory from the kernel that is given back while its addresses stay ours.
 */
#ifndef SYS_MEMORY_H
#define SYS_MEMORY_H

#include <stddef.h>

/*
 * Give back the whole pages within a private anonymous mapping's bytes. They
 * read as zeros afterwards, and cost nothing until they are written.
 */
void memory_give_back(void *from, size_t len);

#endif
