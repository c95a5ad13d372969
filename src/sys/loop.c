#include "sys/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

int loop_open(struct loop *l, struct error *err)
{
    memset(l, 0, sizeof *l);
    l->fixed[0].fd = -1;
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0)
        return error_set(err, "epoll: %s", strerror(errno));
    loop_add_fixed(l, fd);
    return 0;
}

void loop_close(struct loop *l)
{
    close(l->fixed[0].fd);
}

size_t loop_add_fixed(struct loop *l, int fd)
{
    assert(l->fixed_count < LOOP_FIXED_MAX);
    l->fixed[l->fixed_count] = (struct pollfd){.fd = fd, .events = POLLIN};
    return l->fixed_count++;
}

void loop_enable_fixed(struct loop *l, size_t index, bool is_enabled)
{
    /* Without events poll reports errors only. */
    l->fixed[index].events = is_enabled ? POLLIN : 0;
}

void loop_remove_fixed(struct loop *l, size_t index)
{
    l->fixed[index].fd = -1; /* poll passes over it */
    l->fixed[index].revents = 0;
}

bool loop_fixed_is_ready(const struct loop *l, size_t index)
{
    return (l->fixed[index].revents & POLLIN) != 0;
}

static int control(struct loop *l, int operation, int fd,
                   struct epoll_event event)
{
    return epoll_ctl(l->fixed[0].fd, operation, fd, &event);
}

int loop_add(struct loop *l, int fd, unsigned events, void *owner)
{
    return control(l, EPOLL_CTL_ADD, fd,
                   (struct epoll_event){.events = events, .data.ptr = owner});
}

int loop_change(struct loop *l, int fd, unsigned events, void *owner)
{
    return control(l, EPOLL_CTL_MOD, fd,
                   (struct epoll_event){.events = events, .data.ptr = owner});
}

void loop_wait(struct loop *l, int64_t timeout_ms)
{
    int timeout = timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms;

    l->ready_count = 0;
    if (poll(l->fixed, (nfds_t)l->fixed_count, timeout_ms < 0 ? -1 : timeout) <=
        0) {
        for (size_t i = 0; i < l->fixed_count; i++)
            l->fixed[i].revents = 0;
        return;
    }
    if (!loop_fixed_is_ready(l, 0))
        return;
    int n = epoll_wait(l->fixed[0].fd, l->ready, LOOP_READY_MAX, 0);
    l->ready_count = n < 0 ? 0 : (size_t)n;
}
