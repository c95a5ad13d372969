/*
 * Deadlines in a binary heap: the next one is known at once, setting one takes
 * logarithmic time, and nothing is allocated after the start.
 */
#ifndef SYS_TIMER_H
#define SYS_TIMER_H

#include "base/deadline.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Part of what it belongs to. Zeroed before its first use. */
struct timer {
    int64_t due_ms; /* monotonic */
    size_t place;   /* in the heap, from 1; 0 = not set */
};

struct timer_heap {
    struct timer **heap; /* heap[0] is the earliest */
    size_t count;
    size_t cap;
};

/* Make room for that many timers. returns: false when out of memory */
bool timer_heap_init(struct timer_heap *h, size_t cap);
void timer_heap_fini(struct timer_heap *h);

/*
 * Set, move or (with DEADLINE_NEVER) take back a deadline.
 * needs: no more than cap timers are set at once
 */
void timer_set(struct timer_heap *h, struct timer *t, int64_t due_ms);

/* The earliest deadline, or DEADLINE_NEVER. */
int64_t timer_next_ms(const struct timer_heap *h);

/* Take out one timer that is due, or NULL. */
struct timer *timer_take_due(struct timer_heap *h, int64_t now_ms);

#endif
