/*
 * Waiting: poll(2) over a small fixed set of descriptors, one of which is an
 * epoll descriptor that holds the connections. A turn costs the same however
 * many of them are idle.
 */
#ifndef SYS_LOOP_H
#define SYS_LOOP_H

#include "base/error.h"

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

enum {
    LOOP_FIXED_MAX = 40, /* descriptors of the fixed set */
    LOOP_READY_MAX = 256 /* connections reported in one turn */
};

struct loop {
    struct pollfd fixed[LOOP_FIXED_MAX]; /* the first is the epoll's */
    size_t fixed_count;
    struct epoll_event ready[LOOP_READY_MAX];
    size_t ready_count;
};

/* returns: 0, or -1 with the reason */
int loop_open(struct loop *l, struct error *err);
void loop_close(struct loop *l);

/*
 * Add a descriptor to the fixed set, to be read.
 * returns: its index
 */
size_t loop_add_fixed(struct loop *l, int fd);

/* Leave a descriptor of the fixed set out, or take it in again. */
void loop_enable_fixed(struct loop *l, size_t index, bool is_enabled);

/* Forget a descriptor of the fixed set, before it is closed. */
void loop_remove_fixed(struct loop *l, size_t index);

/* Was it readable at the last wait? */
bool loop_fixed_is_ready(const struct loop *l, size_t index);

/*
 * Add a connection, level-triggered.
 * in: events: EPOLLIN, EPOLLOUT, both or 0; owner: reported with its events
 * returns: 0, or -1 with errno set
 */
int loop_add(struct loop *l, int fd, unsigned events, void *owner);
int loop_change(struct loop *l, int fd, unsigned events, void *owner);

/*
 * Wait for the first event, at most this long.
 * in:  timeout_ms: negative = without end
 * out: l->ready[0..ready_count)
 */
void loop_wait(struct loop *l, int64_t timeout_ms);

#endif
