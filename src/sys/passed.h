/*
 * Listening sockets that whoever started the process has opened for it, as
 * sd_listen_fds(3) has it: descriptors from 3 upward, as many as LISTEN_FDS
 * says, named in LISTEN_FDNAMES, for the process LISTEN_PID. They outlive the
 * process: who connects while it is restarted waits in their queue.
 */
#ifndef SYS_PASSED_H
#define SYS_PASSED_H

#include "base/error.h"

#include <stddef.h>

enum {
    PASSED_FIRST_FD = 3,
    PASSED_MAX = 32,       /* sockets */
    PASSED_NAMES_MAX = 512 /* bytes of LISTEN_FDNAMES and its NUL */
};

struct passed {
    size_t count;
    const char *name[PASSED_MAX]; /* into names; NULL: none was given */
    char names[PASSED_NAMES_MAX];
};

/*
 * Read what was passed on, and take the variables out of the environment.
 * Variables meant for another process count as none.
 * out:     *p; must not be moved: it points into itself
 * returns: 0, also when nothing was passed; -1 with the reason
 */
int passed_read(struct passed *p, struct error *err);

/*
 * Check that a descriptor is a listening TCP socket, and make it non-blocking
 * and close-on-exec.
 * returns: 0, or -1 with the reason
 */
int passed_adopt(int fd, struct error *err);

#endif
