#include "sys/timer.h"

#include <assert.h>
#include <stdlib.h>

bool timer_heap_init(struct timer_heap *h, size_t cap)
{
    *h = (struct timer_heap){.cap = cap};
    h->heap = calloc(cap, sizeof(struct timer *));
    return h->heap != NULL;
}

void timer_heap_fini(struct timer_heap *h)
{
    free(h->heap);
    *h = (struct timer_heap){0};
}

static void put(struct timer_heap *h, size_t i, struct timer *t)
{
    h->heap[i] = t;
    t->place = i + 1;
}

static void sift_up(struct timer_heap *h, size_t i, struct timer *t)
{
    while (i > 0 && h->heap[(i - 1) / 2]->due_ms > t->due_ms) {
        put(h, i, h->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(h, i, t);
}

static void sift_down(struct timer_heap *h, size_t i, struct timer *t)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < h->count &&
            h->heap[child + 1]->due_ms < h->heap[child]->due_ms)
            child++;
        if (child >= h->count || h->heap[child]->due_ms >= t->due_ms)
            break;
        put(h, i, h->heap[child]);
        i = child;
    }
    put(h, i, t);
}

static void settle(struct timer_heap *h, size_t i, struct timer *t)
{
    if (i > 0 && h->heap[(i - 1) / 2]->due_ms > t->due_ms)
        sift_up(h, i, t);
    else
        sift_down(h, i, t);
}

static void take_out(struct timer_heap *h, struct timer *t)
{
    size_t i = t->place - 1;
    struct timer *last = h->heap[--h->count];

    t->place = 0;
    if (last != t)
        settle(h, i, last);
}

void timer_set(struct timer_heap *h, struct timer *t, int64_t due_ms)
{
    if (t->place != 0 && t->due_ms == due_ms)
        return;
    t->due_ms = due_ms;
    if (due_ms == DEADLINE_NEVER) {
        if (t->place != 0)
            take_out(h, t);
    } else if (t->place != 0) {
        settle(h, t->place - 1, t);
    } else {
        assert(h->count < h->cap);
        sift_up(h, h->count++, t);
    }
}

int64_t timer_next_ms(const struct timer_heap *h)
{
    return h->count == 0 ? DEADLINE_NEVER : h->heap[0]->due_ms;
}

struct timer *timer_take_due(struct timer_heap *h, int64_t now_ms)
{
    if (h->count == 0 || h->heap[0]->due_ms > now_ms)
        return NULL;
    struct timer *t = h->heap[0];
    take_out(h, t);
    return t;
}
