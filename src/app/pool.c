#include "app/pool.h"

#include "sys/memory.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

bool pool_init(struct pool *p, size_t slots, size_t slot_size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size = 0;

    *p = (struct pool){.slots = slots};
    p->slot_size = (slot_size + page - 1) / page * page;
    if (__builtin_mul_overflow(slots, p->slot_size, &size))
        return false;
    p->free = calloc(slots, sizeof *p->free);
    void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p->free == NULL || mem == MAP_FAILED) {
        if (mem != MAP_FAILED)
            munmap(mem, size);
        free(p->free);
        *p = (struct pool){0};
        return false;
    }
    p->mem = mem;
    /* Huge pages would make a slot cost megabytes. */
    madvise(mem, size, MADV_NOHUGEPAGE);
    /* The lowest numbers come first: the mapping is filled from its start. */
    for (size_t i = 0; i < slots; i++)
        p->free[i] = (uint32_t)(slots - 1 - i);
    p->free_count = slots;
    return true;
}

void pool_fini(struct pool *p)
{
    if (p->mem != NULL)
        munmap(p->mem, p->slots * p->slot_size);
    free(p->free);
    *p = (struct pool){0};
}

void *pool_take(struct pool *p)
{
    if (p->free_count == 0)
        return NULL;
    return p->mem + p->slot_size * p->free[--p->free_count];
}

void pool_give_back(struct pool *p, void *slot)
{
    size_t offset = (size_t)((uint8_t *)slot - p->mem);

    /* The kernel takes the pages and gives zeroed ones when they are used. */
    memory_give_back(slot, p->slot_size);
    p->free[p->free_count++] = (uint32_t)(offset / p->slot_size);
}
