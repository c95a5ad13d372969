/*
 * Memory for the connections: one mapping made at start, cut into equal slots.
 * A slot that was never used costs nothing; one that is given back is emptied,
 * so that no secret stays in it.
 */
#ifndef APP_POOL_H
#define APP_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool {
    uint8_t *mem;     /* the mapping */
    size_t slot_size; /* bytes, whole pages */
    size_t slots;
    uint32_t *free; /* stack of free slot numbers */
    size_t free_count;
};

/* returns: false when there is no address space or memory */
bool pool_init(struct pool *p, size_t slots, size_t slot_size);
void pool_fini(struct pool *p);

/* A slot: page-aligned, zeroed. NULL when all are in use. */
void *pool_take(struct pool *p);
void pool_give_back(struct pool *p, void *slot);

#endif
