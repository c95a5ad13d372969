#include "base/buf.h"

#include <assert.h>
#include <string.h>

void buf_init(struct buf *b, uint8_t *mem, size_t cap)
{
    b->mem = mem;
    b->cap = cap;
    b->head = 0;
    b->tail = 0;
}

size_t buf_len(const struct buf *b)
{
    return b->tail - b->head;
}

size_t buf_room(const struct buf *b)
{
    return b->cap - buf_len(b);
}

uint8_t *buf_peek(const struct buf *b)
{
    return b->mem + b->head;
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= buf_len(b));
    b->head += n;
    if (b->head == b->tail) {
        b->head = 0;
        b->tail = 0;
    }
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
    if (n > buf_room(b))
        return NULL;
    if (n > b->cap - b->tail) {
        memmove(b->mem, b->mem + b->head, buf_len(b));
        b->tail -= b->head;
        b->head = 0;
    }
    return b->mem + b->tail;
}

void buf_commit(struct buf *b, size_t n)
{
    assert(n <= b->cap - b->tail);
    b->tail += n;
}

bool buf_append(struct buf *b, const void *data, size_t len)
{
    return buf_insert(b, buf_len(b), data, len);
}

bool buf_insert(struct buf *b, size_t at, const void *data, size_t len)
{
    assert(at <= buf_len(b));
    if (buf_reserve(b, len) == NULL)
        return false;
    if (len == 0)
        return true;
    uint8_t *place = buf_peek(b) + at;
    memmove(place + len, place, buf_len(b) - at);
    memcpy(place, data, len);
    b->tail += len;
    return true;
}
