/* Unit tests of sys/appender: real files, a fifo, /dev/full. */
#include "sys/appender.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[128], path[160], other[160];
static char content[4 << 20];
static struct error err;

static int make_dir(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    snprintf(dir, sizeof dir, "%s/appender-XXXXXX",
             tmp != NULL ? tmp : P_tmpdir);
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/audit", dir);
    snprintf(other, sizeof other, "%s/audit.1", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(path);
    unlink(other);
    return rmdir(dir);
}

static struct appender *opened(void)
{
    struct appender *a = appender_open(path, &err);

    assert_non_null(a);
    return a;
}

static void put(struct appender *a, const char *line)
{
    struct appender_state state;

    appender_put(a, span_of(line));
    appender_submit(a, &state);
}

static void wait_a_moment(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* returns: bytes of the file, in `content` */
static size_t read_file(const char *name)
{
    int fd = open(name, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, content, sizeof content - 1);

    assert_true(n >= 0);
    content[n] = '\0';
    if (fd >= 0)
        close(fd);
    return (size_t)n;
}

static void wait_file(const char *name, const char *expected)
{
    for (int i = 0; i < 5000; i++) {
        read_file(name);
        if (strcmp(content, expected) == 0)
            return;
        wait_a_moment();
    }
    assert_string_equal(content, expected);
}

static struct appender_state wait_state(struct appender *a, int error)
{
    struct appender_state state = {0};

    for (int i = 0; i < 5000; i++) {
        appender_submit(a, &state);
        if (state.error == error)
            return state;
        wait_a_moment();
    }
    assert_int_equal(state.error, error);
    return state;
}

/* --- Writing --- */

static void lines_are_appended(void **state)
{
    struct stat st;
    (void)state;

    for (int i = 0; i < 2; i++) {
        struct appender *a = opened();
        put(a, "one\n");
        put(a, "two\n");
        appender_close(a);
    }
    read_file(path);
    assert_string_equal(content, "one\ntwo\none\ntwo\n");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void it_is_written_without_being_closed(void **state)
{
    (void)state;
    struct appender *a = opened();

    put(a, "one\n");
    wait_file(path, "one\n");
    put(a, "two\n");
    wait_file(path, "one\ntwo\n");
    appender_close(a);
}

static void nothing_is_missing_of_many(void **state)
{
    enum { LINES = 20000 };
    (void)state;
    struct appender *a = opened();
    struct appender_state now;
    size_t line = 0;

    while (line < LINES) {
        char text[64];
        snprintf(text, sizeof text, "%zu and some bytes\n", line);
        appender_submit(a, &now);
        if (now.is_crowded)
            wait_a_moment();
        else {
            appender_put(a, span_of(text));
            line++;
        }
    }
    appender_close(a);
    read_file(path);
    const char *at = content;
    for (line = 0; line < LINES; line++) {
        char *end;
        assert_int_equal(strtoul(at, &end, 10), line);
        assert_memory_equal(end, " and some bytes\n", 16);
        at = end + 16;
    }
    assert_int_equal(*at, '\0');
}

/* returns: errno, 0 = it went well */
static int reopen(struct appender *a, const char *to)
{
    struct appender_state now;

    appender_submit(a, &now);
    unsigned before = now.reopens;
    appender_reopen(a, to);
    for (int i = 0; i < 10000 && now.reopens == before; i++) {
        usleep(1000);
        appender_submit(a, &now);
    }
    assert_int_equal(now.reopens, before + 1);
    return now.reopen_error;
}

static void reopened_after_a_rename(void **state)
{
    (void)state;
    struct appender *a = opened();

    put(a, "old\n");
    wait_file(path, "old\n");
    assert_int_equal(rename(path, other), 0);
    put(a, "still old\n");
    wait_file(other, "old\nstill old\n");
    assert_int_equal(reopen(a, path), 0);
    put(a, "new\n");
    wait_file(path, "new\n");
    assert_int_equal(reopen(a, path), 0);
    assert_int_equal(reopen(a, path), 0);
    put(a, "newer\n");
    wait_file(path, "new\nnewer\n");
    appender_close(a);
    read_file(other);
    assert_string_equal(content, "old\nstill old\n");
}

/* --- Trouble --- */

static void what_cannot_be_opened(void **state)
{
    (void)state;
    assert_null(appender_open(dir, &err));
    assert_non_null(strstr(err.text, dir));
    assert_non_null(strstr(err.text, strerror(EISDIR)));
    assert_null(appender_open("/nowhere/audit", &err));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_null(appender_open(path, &err));
    assert_non_null(strstr(err.text, strerror(ENXIO)));
}

static void a_failed_reopen_keeps_the_old_file(void **state)
{
    (void)state;
    struct appender *a = opened();

    assert_int_equal(reopen(a, dir), EISDIR);
    put(a, "one\n");
    wait_file(path, "one\n");
    appender_close(a);
}

/* What a full disk did not take goes to the file that replaces it. */
static void full_disk(void **state)
{
    (void)state;
    struct appender *a = appender_open("/dev/full", &err);

    assert_non_null(a);
    put(a, "one\n");
    wait_state(a, ENOSPC);
    put(a, "two\n");
    assert_int_equal(reopen(a, path), 0);
    wait_file(path, "one\ntwo\n");
    wait_state(a, 0);
    appender_close(a);
}

static void a_full_queue_loses_whole_lines(void **state)
{
    static char line[1001];
    (void)state;
    struct appender *a = appender_open("/dev/full", &err);
    size_t put_lines = 2 * APPENDER_QUEUE / (sizeof line - 1);

    assert_non_null(a);
    memset(line, 'x', sizeof line - 2);
    line[sizeof line - 2] = '\n';
    for (size_t i = 0; i < put_lines; i++)
        put(a, line);
    struct appender_state now = wait_state(a, ENOSPC);
    assert_true(now.is_crowded);
    assert_int_equal(now.lost, put_lines - APPENDER_QUEUE / (sizeof line - 1));
    assert_int_equal(reopen(a, path), 0);
    appender_close(a);
    assert_int_equal(read_file(path),
                     (put_lines - now.lost) * (sizeof line - 1));
}

/*
 * A pipe takes a part of a line, and the reader goes away: the line is in the
 * file that follows, whole.
 */
static void a_line_begun_is_begun_again(void **state)
{
    enum { PIPE = 4096, LINE = 3000 };
    static char line[LINE + 1];
    (void)state;

    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_int_equal(fcntl(reader, F_SETPIPE_SZ, PIPE), PIPE);
    struct appender *a = opened();
    memset(line, 'x', LINE - 1);
    line[LINE - 1] = '\n';
    appender_put(a, span_of(line)); /* both in one write, more than PIPE_BUF */
    put(a, line);
    wait_state(a, EAGAIN);
    assert_int_equal(read(reader, content, PIPE), PIPE);
    assert_int_equal(reopen(a, other), 0);
    wait_file(other, line);
    close(reader);
    appender_close(a);
}

/* As well when the same pipe goes on. */
static void a_line_begun_is_gone_on_with(void **state)
{
    enum { PIPE = 4096, LINE = 3000 };
    static char line[LINE + 1];
    (void)state;

    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_int_equal(fcntl(reader, F_SETPIPE_SZ, PIPE), PIPE);
    struct appender *a = opened();
    memset(line, 'x', LINE - 1);
    line[LINE - 1] = '\n';
    appender_put(a, span_of(line));
    put(a, line);
    wait_state(a, EAGAIN);
    assert_int_equal(read(reader, content, PIPE), PIPE);
    wait_state(a, 0); /* tried again in a second */
    appender_close(a);
    assert_int_equal(read(reader, content + PIPE, PIPE), 2 * LINE - PIPE);
    assert_memory_equal(content, line, LINE);
    assert_memory_equal(content + LINE, line, LINE);
    close(reader);
}

static void closing_does_not_wait_for_a_full_disk(void **state)
{
    (void)state;
    struct appender *a = appender_open("/dev/full", &err);
    time_t begin = time(NULL);

    assert_non_null(a);
    put(a, "one\n");
    appender_close(a);
    assert_true(time(NULL) - begin <= 3);
    appender_close(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_are_appended),
        TEST(it_is_written_without_being_closed),
        TEST(nothing_is_missing_of_many),
        TEST(reopened_after_a_rename),
        TEST(what_cannot_be_opened),
        TEST(a_failed_reopen_keeps_the_old_file),
        TEST(full_disk),
        TEST(a_full_queue_loses_whole_lines),
        TEST(a_line_begun_is_begun_again),
        TEST(a_line_begun_is_gone_on_with),
        TEST(closing_does_not_wait_for_a_full_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
