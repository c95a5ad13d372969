#include "sys/notify.h"

#include "base/deadline.h"
#include "sys/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* --- Environment --- */

/* A path, or a name without a file when it begins with @. */
static int read_address(const char *name, struct sockaddr_un *address,
                        socklen_t *len)
{
    size_t name_len = strlen(name);

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((name[0] != '/' && name[0] != '@') ||
        name_len >= sizeof address->sun_path) {
        errno = EINVAL;
        return -1;
    }
    memcpy(address->sun_path, name, name_len);
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + name_len);
    if (name[0] == '@')
        address->sun_path[0] = '\0';
    return 0;
}

/* returns: the socket, or -1 with errno */
static int connect_to(const char *name)
{
    const struct timeval limit = {.tv_sec = 1};
    struct sockaddr_un address;
    socklen_t len;

    if (read_address(name, &address, &len) != 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)&address, len) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* It may be meant for a process that started us without clearing it. */
static bool is_ours(const char *pid)
{
    return pid == NULL || strtoull(pid, NULL, 10) == (uint64_t)getpid();
}

static int64_t read_beat_ms(void)
{
    const char *text = getenv("WATCHDOG_USEC");
    char *end;

    if (text == NULL || !is_ours(getenv("WATCHDOG_PID")))
        return 0;
    uint64_t us = strtoull(text, &end, 10);
    if (*end != '\0' || us == 0 || us > INT64_MAX)
        return 0;
    int64_t half_ms = (int64_t)(us / 2000);
    return half_ms > 0 ? half_ms : 1;
}

int notify_open(struct notify *n, struct error *err)
{
    const char *name = getenv("NOTIFY_SOCKET");
    int rc = 0;

    *n = (struct notify){.fd = -1};
    if (name != NULL && name[0] != '\0') {
        n->fd = connect_to(name);
        if (n->fd < 0)
            rc = error_set(err, "NOTIFY_SOCKET %s: %s", name, strerror(errno));
        else
            n->beat_ms = read_beat_ms();
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return rc;
}

/* --- Messages --- */

static bool tell(const struct notify *n, const char *text, int flags)
{
    return n != NULL && n->fd >= 0 &&
           send(n->fd, text, strlen(text), MSG_NOSIGNAL | flags) >= 0;
}

void notify_ready(const struct notify *n)
{
    tell(n, "READY=1", 0);
}

void notify_reloading(const struct notify *n)
{
    char text[64];

    /* The manager compares it with when it sent the signal. */
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
             clock_monotonic_us());
    tell(n, text, 0);
}

void notify_stopping(const struct notify *n)
{
    tell(n, "STOPPING=1", 0);
}

int64_t notify_beat(struct notify *n, int64_t now_ms)
{
    if (n == NULL || n->beat_ms == 0)
        return DEADLINE_NEVER;
    if (now_ms < n->beat_at_ms)
        return n->beat_at_ms;
    bool is_told = tell(n, "WATCHDOG=1", MSG_DONTWAIT);
    /* The manager's queue may be full for a moment. */
    n->beat_at_ms = now_ms + (is_told ? n->beat_ms : n->beat_ms / 8 + 1);
    return n->beat_at_ms;
}
