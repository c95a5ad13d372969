/* Unit tests of sys/notify: against a real datagram socket. */
#include "sys/notify.h"

#include "base/deadline.h"
#include "sys/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* The manager's end. returns: bound to the name, which may begin with @ */
static int bind_to(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);

    assert_true(len < sizeof address.sun_path);
    memcpy(address.sun_path, name, len);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(
        bind(fd, (struct sockaddr *)&address,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
        0);
    return fd;
}

static char *unique(char *out, size_t cap, const char *before)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(out, cap, "%s%s/notify-%d", before, tmp != NULL ? tmp : P_tmpdir,
             getpid());
    return out;
}

/* The next message; "" when there is none. Lives until the next call. */
static const char *next_message(int fd)
{
    static char text[256];
    ssize_t n = recv(fd, text, sizeof text - 1, 0);

    text[n < 0 ? 0 : n] = '\0';
    return text;
}

static void set_watchdog(const char *us, const char *pid)
{
    unsetenv("WATCHDOG_PID");
    if (pid != NULL)
        setenv("WATCHDOG_PID", pid, 1);
    setenv("WATCHDOG_USEC", us, 1);
}

static void expect_clean_environment(void)
{
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
    assert_null(getenv("WATCHDOG_PID"));
}

static void messages_arrive(void **state)
{
    static const char *const before[] = {"", "@"};
    (void)state;

    for (size_t i = 0; i < 2; i++) {
        struct notify n;
        struct error err;
        char name[108];
        int manager = bind_to(unique(name, sizeof name, before[i]));

        setenv("NOTIFY_SOCKET", name, 1);
        assert_int_equal(notify_open(&n, &err), 0);
        expect_clean_environment();
        notify_ready(&n);
        assert_string_equal(next_message(manager), "READY=1");
        int64_t at_us = clock_monotonic_us();
        notify_reloading(&n);
        static const char reloading[] = "RELOADING=1\nMONOTONIC_USEC=";
        const char *text = next_message(manager);
        assert_memory_equal(text, reloading, sizeof reloading - 1);
        int64_t told_us = strtoll(text + sizeof reloading - 1, NULL, 10);
        assert_true(told_us >= at_us && told_us <= clock_monotonic_us());
        notify_stopping(&n);
        assert_string_equal(next_message(manager), "STOPPING=1");
        assert_int_equal(notify_beat(&n, 1), DEADLINE_NEVER);
        assert_string_equal(next_message(manager), "");
        close(n.fd);
        close(manager);
        unlink(name);
    }
}

static void nobody_is_told(void **state)
{
    struct notify n;
    struct error err;
    (void)state;

    unsetenv("NOTIFY_SOCKET");
    set_watchdog("1000000", NULL);
    assert_int_equal(notify_open(&n, &err), 0);
    expect_clean_environment();
    assert_int_equal(n.fd, -1);
    notify_ready(&n);
    notify_reloading(&n);
    notify_stopping(&n);
    assert_int_equal(notify_beat(&n, 5), DEADLINE_NEVER);
    notify_ready(NULL);
    assert_int_equal(notify_beat(NULL, 5), DEADLINE_NEVER);
    setenv("NOTIFY_SOCKET", "", 1);
    assert_int_equal(notify_open(&n, &err), 0);
    assert_int_equal(n.fd, -1);
}

static void bad_sockets(void **state)
{
    char longest[120];
    const char *const names[] = {"relative",        "vsock:2:9999",
                                 "/no/such/socket", "@no-such-socket-of-ours",
                                 longest,           "/"};
    struct notify n;
    struct error err;
    (void)state;

    memset(longest, '/', 108);
    longest[108] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        assert_int_equal(notify_open(&n, &err), -1);
        assert_non_null(strstr(err.text, "NOTIFY_SOCKET"));
        assert_int_equal(n.fd, -1);
        notify_ready(&n);
        expect_clean_environment();
    }
}

static void watchdog_times(void **state)
{
    char own[16], other[16];
    const struct {
        const char *us, *pid;
        int64_t beat_ms;
    } table[] = {
        {"3000000", NULL, 1500}, {"3000000", own, 1500}, {"3000000", other, 0},
        {"1", NULL, 1},          {"0", NULL, 0},         {"", NULL, 0},
        {"x", NULL, 0},          {"-5", NULL, 0},        {"5000x", NULL, 0},
        {"infinity", NULL, 0},
    };
    char name[108];
    int manager = bind_to(unique(name, sizeof name, "@"));
    (void)state;

    snprintf(own, sizeof own, "%d", getpid());
    snprintf(other, sizeof other, "%d", getpid() + 1);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct notify n;
        struct error err;

        setenv("NOTIFY_SOCKET", name, 1);
        set_watchdog(table[i].us, table[i].pid);
        assert_int_equal(notify_open(&n, &err), 0);
        assert_int_equal(n.beat_ms, table[i].beat_ms);
        expect_clean_environment();
        close(n.fd);
    }
    close(manager);
}

static void beats_come_when_due(void **state)
{
    struct notify n;
    struct error err;
    char name[108];
    int manager = bind_to(unique(name, sizeof name, "@"));
    (void)state;

    setenv("NOTIFY_SOCKET", name, 1);
    set_watchdog("20000", NULL);
    assert_int_equal(notify_open(&n, &err), 0);
    assert_int_equal(notify_beat(&n, 1000), 1010);
    assert_string_equal(next_message(manager), "WATCHDOG=1");
    assert_int_equal(notify_beat(&n, 1009), 1010);
    assert_string_equal(next_message(manager), "");
    assert_int_equal(notify_beat(&n, 1010), 1020);
    assert_string_equal(next_message(manager), "WATCHDOG=1");

    /* A manager that does not read: no wait, and again soon. */
    while (send(n.fd, "x", 1, MSG_DONTWAIT) >= 0)
        ;
    assert_int_equal(notify_beat(&n, 1020), 1022);
    close(manager);
    assert_int_equal(notify_beat(&n, 1022), 1024); /* and no SIGPIPE */
    close(n.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_arrive),     cmocka_unit_test(nobody_is_told),
        cmocka_unit_test(bad_sockets),         cmocka_unit_test(watchdog_times),
        cmocka_unit_test(beats_come_when_due),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
