/* Unit tests of proto/log_line. */
#include "proto/log_line.h"

#include "proto/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cJSON.h>
#include <cmocka.h>

enum { FORMATS = 2 };

/* 2026-11-24T08:20:05.448Z */
#define MOMENT 1795508405448

static char line[LOG_LINE_MAX + 1];

/* One line with these fields, NUL-terminated in `line`, in memory of just the
 * size that was promised. returns: bytes */
static size_t make(enum log_format format, const struct log_field *fields)
{
    const struct log_line l = {
        .utc_ms = MOMENT, .level = "info", .event = "e", .fields = fields};
    char *out = malloc(LOG_LINE_MAX);

    assert_non_null(out);
    size_t len = log_line_format(&l, format, out);
    assert_true(len <= LOG_LINE_MAX);
    memcpy(line, out, len);
    line[len] = '\0';
    free(out);
    return len;
}

#define FIELDS(...) ((const struct log_field[]){__VA_ARGS__, {0}})
#define LOGFMT_HEAD "time=2026-11-24T08:20:05.448Z level=info event=e"
#define JSON_HEAD                                                          \
    "{\"time\":\"2026-11-24T08:20:05.448Z\",\"level\":\"info\",\"event\":" \
    "\"e\""

static void fields(void **state)
{
    const struct log_field *all =
        FIELDS(LOG_TEXT("peer", "[::1]:40112"), LOG_NUMBER("conn", INT64_MAX),
               LOG_NUMBER("least", INT64_MIN), LOG_NUMBER("none", 0),
               LOG_WORD("url", "wss://[::]:8443/ws"), LOG_TEXT("empty", ""));
    (void)state;

    make(LOG_LOGFMT, all);
    assert_string_equal(line,
                        LOGFMT_HEAD " peer=[::1]:40112 conn=9223372036854775807"
                                    " least=-9223372036854775808 none=0"
                                    " wss://[::]:8443/ws empty=\"\"\n");
    make(LOG_JSON, all);
    assert_string_equal(line, JSON_HEAD
                        ",\"peer\":\"[::1]:40112\","
                        "\"conn\":9223372036854775807,"
                        "\"least\":-9223372036854775808,\"none\":0,"
                        "\"url\":\"wss://[::]:8443/ws\",\"empty\":\"\"}\n");
}

static void without_level_or_fields(void **state)
{
    const struct log_line l = {
        .utc_ms = 7, .event = "login", .fields = FIELDS({0})};
    char out[LOG_LINE_MAX];
    (void)state;

    size_t len = log_line_format(&l, LOG_JSON, out);
    assert_int_equal(len, strlen("{\"time\":\"1970-01-01T00:00:00.007Z\","
                                 "\"event\":\"login\"}\n"));
    len = log_line_format(&l, LOG_LOGFMT, out);
    assert_int_equal(len,
                     strlen("time=1970-01-01T00:00:00.007Z event=login\n"));
}

static void check_logfmt(const char *text, const char *expected)
{
    char whole[LOG_LINE_MAX];

    make(LOG_LOGFMT, FIELDS(LOG_TEXT("k", text)));
    snprintf(whole, sizeof whole, LOGFMT_HEAD " k=%s\n", expected);
    assert_string_equal(line, whole);
}

static void logfmt_quotes(void **state)
{
    (void)state;
    check_logfmt("plain", "plain");
    check_logfmt("a/b:c,[d]{e}'f'", "a/b:c,[d]{e}'f'");
    check_logfmt("", "\"\"");
    check_logfmt("two words", "\"two words\"");
    check_logfmt(" ", "\" \"");
    check_logfmt("a=b", "\"a=b\"");
    check_logfmt("say \"hi\"", "\"say \\u0022hi\\u0022\"");
    check_logfmt("a\\b", "\"a\\u005cb\"");
    check_logfmt("a\r\nlevel=error", "\"a\\u000d\\u000alevel=error\"");
    check_logfmt("\x1b[31m", "\"\\u001b[31m\"");
    check_logfmt("\x7f", "\"\\u007f\"");
    check_logfmt("\xc2\x9b"
                 "31m",
                 "\"\\u009b31m\"");
    check_logfmt("caf\xc3\xa9", "\"caf\xc3\xa9\"");
    check_logfmt("caf\xe9", "\"caf\\u00e9\"");
}

/* A line is one line, and a value is bare or one JSON string. */
static void check_line(enum log_format format, struct span text)
{
    size_t len =
        make(format, FIELDS(LOG_SPAN("k", text), LOG_NUMBER("end", 1)));
    const char *tail = format == LOG_JSON ? ",\"end\":1}\n" : " end=1\n";
    const char *head =
        format == LOG_JSON ? JSON_HEAD ",\"k\":" : LOGFMT_HEAD " k=";

    for (size_t i = 0; i + 1 < len; i++)
        assert_true((unsigned char)line[i] >= ' ' && line[i] != 0x7f);
    assert_int_equal(line[len - 1], '\n');
    assert_memory_equal(line, head, strlen(head));
    assert_string_equal(line + len - strlen(tail), tail);
    struct span value = {(uint8_t *)line + strlen(head),
                         len - strlen(head) - strlen(tail)};
    if (format == LOG_JSON)
        assert_true(json_is_strict((struct span){(uint8_t *)line, len - 1}, 2));
    if (value.ptr[0] == '"')
        assert_true(json_is_strict(value, 2));
    else
        assert_null(memchr(value.ptr, ' ', value.len));
}

/* Each one byte and each two, alone and amid others. */
static void every_byte(void **state)
{
    (void)state;
    for (int format = 0; format < FORMATS; format++)
        for (unsigned c = 0; c < 256; c++) {
            uint8_t one[] = {'a', (uint8_t)c, 'b'};
            check_line((enum log_format)format, (struct span){one, 3});
            check_line((enum log_format)format, (struct span){one + 1, 1});
            for (unsigned d = 0x60; d < 256; d++) {
                uint8_t two[] = {(uint8_t)c, (uint8_t)d};
                check_line((enum log_format)format, (struct span){two, 2});
            }
        }
}

/* What JSON says is what was meant. */
static void json_reads_back(void **state)
{
    static const char *const texts[] = {"jane.doe", "\"\\{}\n\t\x01\x7f",
                                        "\xc2\x9b\xe2\x80\xa8\xf0\x9f\x8e\xae"};
    (void)state;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        make(LOG_JSON, FIELDS(LOG_TEXT("k", texts[i])));
        cJSON *object = cJSON_Parse(line);
        assert_non_null(object);
        assert_string_equal(cJSON_GetObjectItem(object, "k")->valuestring,
                            texts[i]);
        cJSON_Delete(object);
    }
}

/* A long value is cut, never within a character. */
static void long_values_are_cut(void **state)
{
    uint8_t text[LOG_VALUE_MAX + 5];
    (void)state;

    for (size_t len = LOG_VALUE_MAX - 4; len <= sizeof text; len++)
        for (int format = 0; format < FORMATS; format++) {
            memset(text, 'a', len);
            check_line((enum log_format)format, (struct span){text, len});
            for (size_t i = 0; i + 1 < len; i += 2)
                memcpy(text + i, "\xc3\xa9", 2);
            check_line((enum log_format)format, (struct span){text, len});
            assert_null(strstr(line, "\\u00c3"));
            memset(text, 0x80, len);
            check_line((enum log_format)format, (struct span){text, len});
        }
}

/* A field without room is left out; those behind it that have room are not. */
static void full_lines_are_whole(void **state)
{
    uint8_t text[LOG_VALUE_MAX];
    struct log_field many[20] = {{0}};
    (void)state;

    for (size_t step = 1; step < LOG_VALUE_MAX; step++) {
        memset(text, step % 2 ? '\n' : 'a', sizeof text);
        for (size_t i = 0; i < 18; i++)
            many[i] = LOG_SPAN("k", ((struct span){text, step}));
        many[18] = LOG_NUMBER("end", 1);
        for (int format = 0; format < FORMATS; format++) {
            size_t len = make((enum log_format)format, many);
            assert_int_equal(line[len - 1], '\n');
            assert_ptr_equal(strchr(line, '\n'), line + len - 1);
            if (format == LOG_JSON)
                assert_true(
                    json_is_strict((struct span){(uint8_t *)line, len - 1}, 2));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),
        cmocka_unit_test(without_level_or_fields),
        cmocka_unit_test(logfmt_quotes),
        cmocka_unit_test(every_byte),
        cmocka_unit_test(json_reads_back),
        cmocka_unit_test(long_values_are_cut),
        cmocka_unit_test(full_lines_are_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
