/* Unit tests of sys/passed. */
#include "sys/passed.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void set(const char *name, const char *value)
{
    if (value == NULL)
        unsetenv(name);
    else
        setenv(name, value, 1);
}

/* pid NULL: our own. returns: passed_read */
static int read_env(struct passed *p, const char *pid, const char *fds,
                    const char *names)
{
    struct error err = {""};
    char own[16];

    snprintf(own, sizeof own, "%d", getpid());
    set("LISTEN_PID", pid == NULL ? own : pid);
    set("LISTEN_FDS", fds);
    set("LISTEN_FDNAMES", names);
    int rc = passed_read(p, &err);
    assert_null(getenv("LISTEN_PID"));
    assert_null(getenv("LISTEN_FDS"));
    assert_null(getenv("LISTEN_FDNAMES"));
    assert_int_equal(rc != 0, strstr(err.text, "LISTEN_FD") != NULL);
    return rc;
}

static void names_and_counts(void **state)
{
    struct passed p;
    (void)state;

    assert_int_equal(read_env(&p, NULL, "2", "wss:ws"), 0);
    assert_int_equal(p.count, 2);
    assert_string_equal(p.name[0], "wss");
    assert_string_equal(p.name[1], "ws");
    assert_int_equal(read_env(&p, NULL, "2", ":"), 0);
    assert_string_equal(p.name[1], "");
    assert_int_equal(read_env(&p, NULL, "1", NULL), 0);
    assert_int_equal(p.count, 1);
    assert_null(p.name[0]);
    assert_int_equal(read_env(&p, NULL, "32", NULL), 0);
    assert_int_equal(p.count, 32);
    assert_int_equal(read_env(&p, NULL, "0", ""), 0);
    assert_int_equal(p.count, 0);
}

static void for_others(void **state)
{
    static const char *const pids[] = {"1", "", "x", "-1", "99999999999999"};
    struct passed p;
    (void)state;

    for (size_t i = 0; i < sizeof pids / sizeof *pids; i++) {
        assert_int_equal(read_env(&p, pids[i], "1", "wss"), 0);
        assert_int_equal(p.count, 0);
    }
    assert_int_equal(read_env(&p, NULL, NULL, "wss"), 0);
    assert_int_equal(p.count, 0);
}

static void bad_variables(void **state)
{
    static const char *const counts[] = {"",   "-1",         "x",   "1x", " 1",
                                         "33", "4294967297", "0x1", "+1", "1 "};
    static const char *const names[] = {"wss:ws", ":wss", "wss:"};
    char longest[PASSED_NAMES_MAX + 1];
    struct passed p;
    (void)state;

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        assert_int_equal(read_env(&p, NULL, counts[i], NULL), -1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(read_env(&p, NULL, "1", names[i]), -1);
    assert_int_equal(read_env(&p, NULL, "2", "wss"), -1);
    memset(longest, 'n', sizeof longest);
    longest[PASSED_NAMES_MAX] = '\0';
    assert_int_equal(read_env(&p, NULL, "1", longest), -1);
    longest[PASSED_NAMES_MAX - 1] = '\0';
    assert_int_equal(read_env(&p, NULL, "1", longest), 0);
}

static int loopback_socket(int type)
{
    struct sockaddr_in any = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
    return fd;
}

static void expect_refused(int fd, const char *why)
{
    struct error err;

    assert_int_equal(passed_adopt(fd, &err), -1);
    if (strstr(err.text, why) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, why);
    close(fd);
}

static void only_listening_tcp(void **state)
{
    struct error err;
    int pair[2];
    (void)state;

    int fd = loopback_socket(SOCK_STREAM);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(passed_adopt(fd, &err), 0);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);

    expect_refused(loopback_socket(SOCK_STREAM), "does not listen");
    expect_refused(loopback_socket(SOCK_DGRAM), "not a TCP socket");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    expect_refused(pair[0], "not a TCP socket");
    close(pair[1]);
    expect_refused(open("/dev/null", O_RDWR), "not a socket");
    expect_refused(-1, "not a socket");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_counts),
        cmocka_unit_test(for_others),
        cmocka_unit_test(bad_variables),
        cmocka_unit_test(only_listening_tcp),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
