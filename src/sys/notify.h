/*
 * Telling the service manager how it goes, as sd_notify(3) has it: datagrams
 * to the socket named in NOTIFY_SOCKET, and a sign of life now and then where
 * WATCHDOG_USEC asks for it.
 *
 * The functions take NULL, and a struct whose fd is -1: nobody is told.
 */
#ifndef SYS_NOTIFY_H
#define SYS_NOTIFY_H

#include "base/error.h"

#include <stdint.h>

struct notify {
    int fd;             /* connected, or -1 */
    int64_t beat_ms;    /* between two signs of life; 0: none are wanted */
    int64_t beat_at_ms; /* monotonic: the next one */
};

/*
 * Connect to whoever wants to be told, and take the variables out of the
 * environment. Sending needs no system call but sendto afterwards.
 * out:     *n: in any case usable
 * returns: 0, also when nobody wants to be told; -1 with the reason
 */
int notify_open(struct notify *n, struct error *err);

/* It accepts (again, after a reload). Waits at most a second, as the next two.
 */
void notify_ready(const struct notify *n);

/* It loads its configuration anew; notify_ready says when it is done. */
void notify_reloading(const struct notify *n);

/* It has begun to end. */
void notify_stopping(const struct notify *n);

/*
 * Give a sign of life when one is due: to be called each turn by what must not
 * hang. Twice in the time after which the manager gives up; never waits.
 * returns: when it is to be called next at the latest; DEADLINE_NEVER
 */
int64_t notify_beat(struct notify *n, int64_t now_ms);

#endif
