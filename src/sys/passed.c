#include "sys/passed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* returns: false when it is no number of at most 9 digits */
static bool parse_number(const char *text, unsigned long *value)
{
    size_t len = strspn(text, "0123456789");

    *value = strtoul(text, NULL, 10);
    return len > 0 && len < 10 && text[len] == '\0';
}

/* The variables may be left over from a process that started us. */
static bool is_for_us(void)
{
    const char *pid = getenv("LISTEN_PID");
    unsigned long value;

    return pid != NULL && parse_number(pid, &value) &&
           value == (unsigned long)getpid();
}

static int read_count(struct passed *p, struct error *err)
{
    const char *text = getenv("LISTEN_FDS");
    unsigned long count;

    if (text == NULL)
        return 0;
    if (!parse_number(text, &count) || count > PASSED_MAX)
        return error_set(err, "LISTEN_FDS=%s: not a number up to %d", text,
                         PASSED_MAX);
    p->count = count;
    return 0;
}

static int read_names(struct passed *p, struct error *err)
{
    const char *text = getenv("LISTEN_FDNAMES");
    char *rest = p->names;
    size_t count = 0;

    if (text == NULL)
        return 0;
    if (strlen(text) >= sizeof p->names)
        return error_set(err, "LISTEN_FDNAMES is longer than %d bytes",
                         PASSED_NAMES_MAX - 1);
    memcpy(p->names, text, strlen(text) + 1);
    while (rest != NULL && count < p->count)
        p->name[count++] = strsep(&rest, ":");
    if (rest == NULL && count == p->count)
        return 0;
    return error_set(err, "LISTEN_FDNAMES=%s: not %zu names", text, p->count);
}

int passed_read(struct passed *p, struct error *err)
{
    int rc = 0;

    *p = (struct passed){0};
    if (is_for_us()) {
        rc = read_count(p, err);
        if (rc == 0 && p->count > 0)
            rc = read_names(p, err);
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return rc;
}

/* returns: the option's value, or -1: also where fd is no socket */
static int socket_option(int fd, int option)
{
    int value = -1;
    socklen_t len = sizeof value;

    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

int passed_adopt(int fd, struct error *err)
{
    int domain = socket_option(fd, SO_DOMAIN);

    if (domain < 0)
        return error_set(err, "it is not a socket: %s", strerror(errno));
    if (socket_option(fd, SO_TYPE) != SOCK_STREAM ||
        (domain != AF_INET && domain != AF_INET6))
        return error_set(err, "it is not a TCP socket; use ListenStream= with "
                              "a port or an address and port");
    if (socket_option(fd, SO_ACCEPTCONN) != 1)
        return error_set(err, "it does not listen; use Accept=no");
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
        fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
        return 0;
    return error_set(err, "fcntl: %s", strerror(errno));
}
