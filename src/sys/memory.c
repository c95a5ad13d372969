#include "sys/memory.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

void memory_give_back(void *from, size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t lead = -(uintptr_t)from & (page - 1);

    if (len >= lead + page)
        madvise((char *)from + lead, (len - lead) & ~(page - 1), MADV_DONTNEED);
}
