/* Unit tests of sys/log: what arrives on descriptor 2. */
#include "sys/log.h"

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

static int saved_stderr = -1, pipe_end = -1;
static char line[4 * LOG_LINE_MAX];

/* Descriptor 2 becomes a pipe until expect_line. */
static void capture(void)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    saved_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    pipe_end = ends[0];
}

/* returns: bytes written, in `line` */
static size_t captured(void)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    ssize_t n = read(pipe_end, line, sizeof line - 1);
    close(pipe_end);
    assert_true(n >= 0);
    line[n] = '\0';
    return (size_t)n;
}

#define PREFIX_LEN (sizeof "time=2026-11-24T08:20:05Z " - 1)

/* One field with this text, after `level=info event=e `. */
static void check_field(const char *text, const char *expected)
{
    char whole[LOG_LINE_MAX];

    capture();
    log_event(LOG_INFO, "e", LOG_TEXT("k", text));
    assert_true(captured() > PREFIX_LEN);
    snprintf(whole, sizeof whole, "level=info event=e k=%s\n", expected);
    assert_string_equal(line + PREFIX_LEN, whole);
}

static void whole_line(void **state)
{
    time_t before = time(NULL);
    struct tm utc = {0};
    (void)state;

    capture();
    log_event(LOG_WARNING, "closed", LOG_TEXT("peer", "[::1]:40112"),
              LOG_NUMBER("logins", -3), LOG_NUMBER("max", INT64_MAX));
    captured();
    char *rest = strptime(line, "time=%Y-%m-%dT%H:%M:%SZ ", &utc);
    assert_non_null(rest);
    assert_string_equal(rest, "level=warning event=closed peer=[::1]:40112 "
                              "logins=-3 max=9223372036854775807\n");
    time_t when = timegm(&utc);
    assert_true(when >= before && when <= time(NULL));
}

static void levels(void **state)
{
    static const char *const names[] = {"info", "warning", "error"};
    (void)state;

    for (int level = LOG_INFO; level <= LOG_ERROR; level++) {
        char expected[64];
        capture();
        log_event((enum log_level)level, "e", LOG_NUMBER("n", 0));
        captured();
        snprintf(expected, sizeof expected, "level=%s event=e n=0\n",
                 names[level]);
        assert_string_equal(line + PREFIX_LEN, expected);
    }
}

static void escaping(void **state)
{
    (void)state;
    check_field("plain", "plain");
    check_field("a/b:c,[d]{e}'f'", "a/b:c,[d]{e}'f'");
    check_field("", "\"\"");
    check_field("two words", "\"two words\"");
    check_field(" ", "\" \"");
    check_field("a=b", "\"a=b\"");
    check_field("say \"hi\"", "\"say \\\"hi\\\"\"");
    check_field("\"", "\"\\\"\"");
    check_field("a\\b", "\"a\\\\b\"");
    check_field("a\nb", "\"a\\x0ab\"");
    check_field("a\r\nlevel=error", "\"a\\x0d\\x0alevel=error\"");
    check_field("\x1b[31m", "\"\\x1b[31m\"");
    check_field("\x7f", "\"\\x7f\"");
    check_field("\t", "\"\\x09\"");
    check_field("caf\xc3\xa9", "\"caf\xc3\xa9\"");
}

/* No byte can end the line early or begin a field. */
static void every_byte(void **state)
{
    (void)state;
    for (int c = 1; c < 256; c++) {
        char text[] = {'a', (char)c, 'b', '\0'};
        capture();
        log_event(LOG_INFO, "e", LOG_TEXT("k", text));
        size_t len = captured();
        for (size_t i = 0; i + 1 < len; i++)
            assert_true((unsigned char)line[i] >= ' ' && line[i] != 0x7f);
        assert_int_equal(line[len - 1], '\n');
        const char *value = strstr(line, "k=") + 2;
        if (strpbrk(value, " =\\\"") != NULL)
            assert_int_equal(value[0], '"');
    }
}

static void long_lines_are_cut(void **state)
{
    static char text[3 * LOG_LINE_MAX];
    (void)state;

    for (size_t n = LOG_LINE_MAX - 80; n < sizeof text; n++) {
        memset(text, n % 2 ? 'a' : '\n', n);
        text[n] = '\0';
        if (n > LOG_LINE_MAX + 8)
            n += 301;
        capture();
        log_event(LOG_ERROR, "e", LOG_TEXT("k", text), LOG_NUMBER("n", 1));
        size_t len = captured();
        assert_true(len <= LOG_LINE_MAX);
        assert_ptr_equal(strchr(line, '\n'), line + len - 1);
    }
    /* To the last byte: nothing is cut that has room. */
    size_t other = PREFIX_LEN + strlen("level=info event=e k=\n");
    for (size_t n = LOG_LINE_MAX - other; n <= LOG_LINE_MAX - other + 1; n++) {
        memset(text, 'a', n);
        text[n] = '\0';
        capture();
        log_event(LOG_INFO, "e", LOG_TEXT("k", text));
        assert_int_equal(captured(), LOG_LINE_MAX);
        assert_int_equal(line[LOG_LINE_MAX - 1], '\n');
    }
}

/* A word by itself. */
static void words(void **state)
{
    (void)state;
    capture();
    log_event(LOG_INFO, "e", LOG_NUMBER("n", 1), LOG_WORD("alone"),
              LOG_TEXT("k", "v"));
    captured();
    assert_string_equal(line + PREFIX_LEN,
                        "level=info event=e n=1 alone k=v\n");
}

/* A pipe that nobody reads stops nobody. */
static void full_pipe(void **state)
{
    (void)state;
    capture();
    for (int i = 0; i < 10000; i++)
        log_event(LOG_INFO, "e", LOG_TEXT("k", "twenty bytes of text"));
    assert_true(captured() > 0);
}

/* A line that nobody takes does no harm. */
static void closed_stderr(void **state)
{
    (void)state;
    int saved = dup(STDERR_FILENO);

    close(STDERR_FILENO);
    log_event(LOG_INFO, "e", LOG_NUMBER("n", 1));
    dup2(saved, STDERR_FILENO);
    close(saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_line),         cmocka_unit_test(levels),
        cmocka_unit_test(escaping),           cmocka_unit_test(every_byte),
        cmocka_unit_test(long_lines_are_cut), cmocka_unit_test(words),
        cmocka_unit_test(full_pipe),          cmocka_unit_test(closed_stderr),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
