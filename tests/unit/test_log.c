/* Unit tests of sys/log: what arrives on descriptor 2. */
#include "sys/log.h"

#include "base/deadline.h"
#include "sys/clock.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct log logged;
static int saved_stderr = -1, pipe_end = -1;
static char text[1 << 20];

static int fresh_log(void **state)
{
    (void)state;
    log_init(&logged, LOG_LOGFMT);
    return 0;
}

/* Descriptor 2 becomes a pipe until captured(). */
static void capture(void)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    fcntl(ends[0], F_SETPIPE_SZ, sizeof text);
    saved_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    pipe_end = ends[0];
}

/* returns: bytes written, in `text` */
static size_t captured(void)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    ssize_t n = read(pipe_end, text, sizeof text - 1);
    close(pipe_end);
    assert_true(n >= 0);
    text[n] = '\0';
    return (size_t)n;
}

static size_t count(const char *what)
{
    size_t n = 0;

    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

#define PREFIX_LEN (sizeof "time=2026-11-24T08:20:05.448Z " - 1)

static void whole_line(void **state)
{
    time_t before = time(NULL);
    struct tm utc = {0};
    (void)state;

    capture();
    log_event(&logged, LOG_WARNING, "closed", LOG_TEXT("peer", "[::1]:40112"),
              LOG_NUMBER("logins", -3));
    captured();
    char *rest = strptime(text, "time=%Y-%m-%dT%H:%M:%S.", &utc);
    assert_non_null(rest);
    assert_string_equal(rest + 3, "Z level=warning event=closed "
                                  "peer=[::1]:40112 logins=-3\n");
    time_t when = timegm(&utc);
    assert_true(when >= before && when <= time(NULL));
}

static void json_line(void **state)
{
    (void)state;
    log_init(&logged, LOG_JSON);
    capture();
    log_event(&logged, LOG_INFO, "e", LOG_NUMBER("n", 1));
    captured();
    assert_memory_equal(text, "{\"time\":\"", 9);
    assert_string_equal(text + PREFIX_LEN + 4,
                        ",\"level\":\"info\",\"event\":\"e\",\"n\":1}\n");
}

static void levels(void **state)
{
    static const char *const names[] = {"info", "warning", "error"};
    (void)state;

    for (int level = LOG_INFO; level <= LOG_ERROR; level++) {
        char expected[64];
        capture();
        log_event(&logged, (enum log_level)level, "e", LOG_NUMBER("n", 0));
        captured();
        snprintf(expected, sizeof expected, "level=%s event=e n=0\n",
                 names[level]);
        assert_string_equal(text + PREFIX_LEN, expected);
    }
}

/* --- Floods --- */

enum { FLOOD = 4 * LOG_BURST };

static void flood(const char *event)
{
    for (int i = 0; i < FLOOD; i++)
        log_event(&logged, LOG_INFO, event, LOG_NUMBER("n", i));
}

/* As if so many milliseconds had passed. */
static void let_pass(int64_t ms)
{
    for (size_t i = 0; i < logged.count; i++) {
        logged.kinds[i].credited_ms -= ms;
        logged.kinds[i].tell_at_ms -= ms;
    }
}

static void a_flood_is_cut(void **state)
{
    (void)state;
    capture();
    int64_t begin = clock_monotonic_ms();
    flood("scan");
    int64_t spent = clock_monotonic_ms() - begin;
    captured();
    size_t lines = count("event=scan ");
    assert_true(lines >= LOG_BURST);
    assert_true((int64_t)lines <=
                LOG_BURST + 1 + spent * LOG_PER_SECOND / 1000);
    assert_int_equal(logged.kinds[0].left_out, FLOOD - lines);
}

static void other_kinds_are_not_cut(void **state)
{
    (void)state;
    capture();
    flood("scan");
    log_event(&logged, LOG_INFO, "other", LOG_NUMBER("n", 0));
    captured();
    assert_int_equal(count("event=other "), 1);
}

static void what_was_left_out_is_told(void **state)
{
    char expected[96];
    (void)state;

    capture();
    assert_int_equal(log_settle(&logged, clock_monotonic_ms()), DEADLINE_NEVER);
    flood("scan");
    int64_t now = clock_monotonic_ms();
    uint64_t left_out = logged.kinds[0].left_out;
    int64_t due = log_settle(&logged, now - LOG_TELL_MS);
    assert_true(due > now - LOG_TELL_MS && due <= now + LOG_TELL_MS);
    assert_int_equal(log_settle(&logged, due), DEADLINE_NEVER);
    assert_int_equal(log_settle(&logged, due), DEADLINE_NEVER);
    captured();
    snprintf(expected, sizeof expected,
             "level=warning event=left_out kind=scan lines=%llu\n",
             (unsigned long long)left_out);
    assert_int_equal(count("event=left_out"), 1);
    assert_int_equal(count(expected), 1);
}

static void it_is_let_write_again(void **state)
{
    (void)state;
    capture();
    flood("scan");
    captured();
    let_pass(10000);
    capture();
    flood("scan");
    captured();
    size_t lines = count("event=scan ");
    assert_true(lines >= 10 * LOG_PER_SECOND && lines < LOG_BURST);
    /* However long it was quiet, no more than a burst. */
    let_pass(1000000000000);
    capture();
    flood("scan");
    captured();
    lines = count("event=scan ");
    assert_true(lines >= LOG_BURST && lines < 2 * LOG_BURST);
}

/* More kinds than there is room for share a place. */
static void many_kinds(void **state)
{
    static char names[LOG_KINDS + 8][16];
    (void)state;

    capture();
    for (int i = 0; i < LOG_KINDS + 8; i++) {
        snprintf(names[i], sizeof names[i], "e%d", i);
        log_event(&logged, LOG_INFO, names[i], LOG_NUMBER("n", i));
    }
    captured();
    assert_int_equal(count("event=e"), LOG_KINDS + 8);
    assert_int_equal(logged.count, LOG_KINDS);
}

/* --- Trouble --- */

/* A pipe that nobody reads stops nobody. */
static void full_pipe(void **state)
{
    static char names[LOG_KINDS][16];
    (void)state;

    capture();
    for (int i = 0; i < LOG_KINDS; i++) {
        snprintf(names[i], sizeof names[i], "e%d", i);
        flood(names[i]);
    }
    size_t len = captured();
    assert_true(len > 0);
    assert_int_equal(text[len - 1], '\n'); /* no line is cut */
}

/* A line that nobody takes does no harm. */
static void closed_stderr(void **state)
{
    (void)state;
    int saved = dup(STDERR_FILENO);

    close(STDERR_FILENO);
    log_event(&logged, LOG_INFO, "e", LOG_NUMBER("n", 1));
    dup2(saved, STDERR_FILENO);
    close(saved);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh_log)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(whole_line),
        TEST(json_line),
        TEST(levels),
        TEST(a_flood_is_cut),
        TEST(other_kinds_are_not_cut),
        TEST(what_was_left_out_is_told),
        TEST(it_is_let_write_again),
        TEST(many_kinds),
        TEST(full_pipe),
        TEST(closed_stderr),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
