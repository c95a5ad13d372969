/* Unit tests of proto/csv: RFC 4180, as Python's csv module reads it. */
#include "proto/csv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROW_CAP = 64, TEXT_CAP = 4096 };

/* What a reading gave, as text: `L:C=field` or `L:C"field`, a row a line. */
struct reading {
    char text[TEXT_CAP];
    size_t len;
};

static void say(struct reading *r, const void *data, size_t len)
{
    assert_true(len < TEXT_CAP - r->len);
    memcpy(r->text + r->len, data, len);
    r->len += len;
    r->text[r->len] = '\0';
}

static void say_place(struct reading *r, uint64_t line, uint64_t column)
{
    char place[48];
    int n = snprintf(place, sizeof place, "%llu:%llu", (unsigned long long)line,
                     (unsigned long long)column);

    say(r, place, (size_t)n);
}

static void note(struct reading *r, const struct csv *c, enum csv_event event)
{
    if (event == CSV_NONE)
        return;
    if (event == CSV_ERROR) {
        say(r, "!", 1);
        say_place(r, c->error_line, c->error_column);
        say(r, " ", 1);
        say(r, c->reason, strlen(c->reason));
    }
    for (size_t i = 0; event == CSV_ROW && i < c->field_count; i++) {
        const struct csv_field *f = &c->fields[i];
        say(r, "|", i > 0);
        say_place(r, f->line, f->column);
        say(r, f->quoted ? "\"" : "=", 1);
        say(r, f->text.ptr, f->text.len);
    }
    say(r, "\n", 1);
}

/* Feed a chunk from an allocation of its exact size. */
static void feed(struct csv *c, const char *in, size_t len, struct reading *r)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    size_t done = 0;

    memcpy(copy, in, len);
    while (done < len) {
        enum csv_event event;
        size_t n = csv_feed(c, copy + done, len - done, &event);
        assert_true(n <= len - done);
        assert_true(event != CSV_NONE || n == len - done);
        note(r, c, event);
        done += n;
    }
    free(copy);
}

/* Read in[0..len) in chunks: `first` bytes, then `step` at a time. */
static void read_in_chunks(struct span in, size_t first, size_t step,
                           struct reading *r)
{
    struct csv c;
    uint8_t *row = malloc(ROW_CAP);
    size_t done = 0, next = first;

    r->len = 0;
    csv_init(&c, row, ROW_CAP);
    while (done < in.len) {
        size_t n = next < in.len - done ? next : in.len - done;
        feed(&c, (const char *)in.ptr + done, n, r);
        done += n;
        next = step;
    }
    note(r, &c, csv_finish(&c));
    say(r, "", 0);
    free(row);
}

/* Whole, byte by byte and at every split the reading is as expected. */
static void expect_bytes(const char *in, size_t len, const char *expected)
{
    struct span all = {(const uint8_t *)in, len};
    struct reading r;

    read_in_chunks(all, len, len, &r);
    assert_string_equal(r.text, expected);
    read_in_chunks(all, 1, 1, &r);
    assert_string_equal(r.text, expected);
    for (size_t i = 1; i < len; i++) {
        read_in_chunks(all, i, len, &r);
        assert_string_equal(r.text, expected);
    }
}

static void expect(const char *in, const char *expected)
{
    expect_bytes(in, strlen(in), expected);
}

/* RFC 4180 section 2, rules 1 to 7. */
static void test_rfc4180(void **state)
{
    (void)state;
    expect("aaa,bbb,ccc\r\nzzz,yyy,xxx\r\n",
           "1:1=aaa|1:5=bbb|1:9=ccc\n2:1=zzz|2:5=yyy|2:9=xxx\n");
    expect("aaa,bbb,ccc\r\nzzz,yyy,xxx",
           "1:1=aaa|1:5=bbb|1:9=ccc\n2:1=zzz|2:5=yyy|2:9=xxx\n");
    expect("\"aaa\",\"bbb\",\"ccc\"\r\nzzz,yyy,xxx",
           "1:1\"aaa|1:7\"bbb|1:13\"ccc\n2:1=zzz|2:5=yyy|2:9=xxx\n");
    expect("\"aaa\",\"b\r\nbb\",\"ccc\"\r\nzzz,yyy,xxx",
           "1:1\"aaa|1:7\"b\r\nbb|2:5\"ccc\n3:1=zzz|3:5=yyy|3:9=xxx\n");
    expect("\"aaa\",\"b\"\"bb\",\"ccc\"", "1:1\"aaa|1:7\"b\"bb|1:15\"ccc\n");
}

static void test_line_ends(void **state)
{
    (void)state;
    expect("a\nb\r\nc\rd", "1:1=a\n2:1=b\n3:1=c\n4:1=d\n");
    expect("a\r", "1:1=a\n");
    expect("a\r\n", "1:1=a\n");
    expect("\"a\"\r\n\"b\"\r", "1:1\"a\n2:1\"b\n");
    /* Line ends inside quotes are kept and counted alike. */
    expect("\"1\n2\r\n3\r4\r\r\n\n\",x\ny",
           "1:1\"1\n2\r\n3\r4\r\r\n\n|7:3=x\n8:1=y\n");
    expect("\"\r\",\"\n\"\nx", "1:1\"\r|2:3\"\n\n4:1=x\n");
}

static void test_blank_lines_are_skipped(void **state)
{
    (void)state;
    expect("", "");
    expect("\n\r\n\r\r\n", "");
    expect("\na\n\nb\n\n", "2:1=a\n4:1=b\n");
    expect("\"\"\n", "1:1\"\n");
    expect(" \n", "1:1= \n");
}

static void test_empty_and_null_fields_differ(void **state)
{
    (void)state;
    expect(",\"\",\n", "1:1=|1:2\"|1:5=\n");
    expect("a,", "1:1=a|1:3=\n");
    expect("a,\"\"", "1:1=a|1:3\"\n");
    expect(",\n,", "1:1=|1:2=\n2:1=|2:2=\n");
}

static void test_quotes(void **state)
{
    (void)state;
    expect("\"\"\"\"", "1:1\"\"\n");
    expect("\"\"\"a\"\"\",b", "1:1\"\"a\"|1:9=b\n");
    expect("\"a,b\",\"{\\\",'x'", "1:1\"a,b|1:7\"{\\|1:12='x'\n");
}

static void test_byte_order_mark(void **state)
{
    (void)state;
    expect("\xEF\xBB\xBF"
           "a,b\n",
           "1:1=a|1:3=b\n");
    expect("\xEF\xBB\xBF\"a\"", "1:1\"a\n");
    expect("\xEF\xBB\xBF", "");
    expect("\xEF\xBB\xBF\nb", "2:1=b\n");
    /* Only at the start, and only a whole one. */
    expect("a,\xEF\xBB\xBF", "1:1=a|1:3=\xEF\xBB\xBF\n");
    expect("\xEF\xBB\xBF\xEF\xBB\xBF,a", "1:1=\xEF\xBB\xBF|1:5=a\n");
    expect("\xEF\xBB", "1:1=\xEF\xBB\n");
    expect("\xEF", "1:1=\xEF\n");
    expect("\xEF,a", "1:1=\xEF|1:3=a\n");
    expect("\xEF\xBB\n", "1:1=\xEF\xBB\n");
    expect("\xEF\xBB\xEF\xBB\xBF", "1:1=\xEF\xBB\xEF\xBB\xBF\n");
    expect("\xEF\"", "!1:2 quote inside an unquoted field\n");
}

static void test_errors_have_a_place_and_reading_goes_on(void **state)
{
    (void)state;
    expect("x\na,b\"c,d\ne", "1:1=x\n!2:4 quote inside an unquoted field\n"
                             "3:1=e\n");
    expect("a, \"b\"\r\ne", "!1:4 quote inside an unquoted field\n2:1=e\n");
    expect("\"a\"b,\"c\n\"e",
           "!1:4 text after a closing quote\n!2:1 unterminated quote\n");
    expect("\"a\" ,b\n\"\"\"\"c\rd", "!1:4 text after a closing quote\n"
                                     "!2:5 text after a closing quote\n"
                                     "3:1=d\n");
    expect("a\n\"b\nc", "1:1=a\n!2:1 unterminated quote\n");
    expect("a,\"", "!1:3 unterminated quote\n");
    expect("a,\"b\"\"", "!1:3 unterminated quote\n");
}

static void test_nul_bytes(void **state)
{
    (void)state;
    expect_bytes("a\0b\nc", 5, "!1:2 NUL byte\n2:1=c\n");
    expect_bytes("\"a\n\0\"\nc", 7, "!2:1 NUL byte\n3:1=c\n");
    expect_bytes("\"a\"\0\nc", 6, "!1:4 NUL byte\n2:1=c\n");
    expect_bytes("a,\0\nc", 5, "!1:3 NUL byte\n2:1=c\n");
    expect_bytes("\0", 1, "!1:1 NUL byte\n");
}

#define S16      "0123456789abcdef"
#define TOO_LONG "row too long (is a closing quote missing?)\n"

static void test_longest_row(void **state)
{
    (void)state;
    expect(S16 S16 "," S16 S16 "\nb",
           "1:1=" S16 S16 "|1:34=" S16 S16 "\n2:1=b\n");
    expect(S16 S16 "," S16 S16 "X\nb", "!1:34 " TOO_LONG "2:1=b\n");
    expect("\"" S16 S16 "\r\n" S16 S16 "\"\nb", "!1:1 " TOO_LONG "3:1=b\n");
    expect("\"" S16 S16 S16 S16 "\"\"\"\nb", "!1:1 " TOO_LONG "2:1=b\n");
    expect("\"" S16 S16 S16 S16 "\r\nb", "!1:1 " TOO_LONG "2:1=b\n");
    expect("\"" S16 S16 S16 "0123456789abcde\r\nb", "!1:1 " TOO_LONG "2:1=b\n");
}

static void test_most_fields(void **state)
{
    char in[2 * CSV_FIELD_MAX + 3];
    char expected[TEXT_CAP] = "";
    size_t len = 0;

    (void)state;
    for (int i = 0; i < CSV_FIELD_MAX; i++) {
        char field[16];
        snprintf(field, sizeof field, "%s1:%d=", i > 0 ? "|" : "", i + 1);
        strcat(expected, field);
    }
    memset(in, ',', sizeof in);
    strcat(expected, "\n2:1=b\n");
    memcpy(in + CSV_FIELD_MAX - 1, "\nb", 3);
    expect(in, expected);
    memset(in, ',', sizeof in);
    memcpy(in + CSV_FIELD_MAX, "\nb", 3);
    len = strlen(in);
    expect_bytes(in, len, "!1:65 too many fields in one row\n2:1=b\n");
    expect_bytes(in, CSV_FIELD_MAX, "!1:65 too many fields in one row\n");
}

/* Where each row starts, whatever the cuts, also after an error. */
static void test_rows_have_an_offset(void **state)
{
    static const char in[] = "\xEF\xBB\xBFh,i\r\n\r\n\"a\nb\",c\n"
                             "x\"y,\n\n\"d\"e,\"\n\rf,g";
    static const struct {
        enum csv_event event;
        uint64_t offset, line;
    } rows[] = {{CSV_ROW, 3, 1},
                {CSV_ROW, 10, 3},
                {CSV_ERROR, 18, 5},
                {CSV_ERROR, 24, 7},
                {CSV_ROW, 32, 9}};
    const size_t count = sizeof rows / sizeof *rows;

    (void)state;
    for (size_t chunk = 1; chunk < sizeof in; chunk++) {
        uint8_t mem[ROW_CAP];
        enum csv_event event;
        struct csv c;
        size_t seen = 0, len = sizeof in - 1;
        csv_init(&c, mem, sizeof mem);
        for (size_t done = 0; seen < count;) {
            size_t n = chunk < len - done ? chunk : len - done;
            if (n == 0)
                event = csv_finish(&c);
            else
                done += csv_feed(&c, (const uint8_t *)in + done, n, &event);
            assert_int_equal(c.offset, done);
            if (event == CSV_NONE)
                continue;
            assert_int_equal(event, rows[seen].event);
            assert_int_equal(c.row_offset, rows[seen].offset);
            assert_int_equal(c.row_line, rows[seen].line);
            seen++;
        }
    }
}

/* Eight bytes at once and one by one give the same. */
static void expect_same(const char *in, size_t len)
{
    struct span all = {(const uint8_t *)in, len};
    struct reading whole, single;

    read_in_chunks(all, len, len, &whole);
    read_in_chunks(all, 1, 1, &single);
    assert_int_equal(whole.len, single.len);
    assert_memory_equal(whole.text, single.text, whole.len);
}

static void test_any_byte_at_any_place(void **state)
{
    static const char field[] = "\"abcdefghijklmnopqrstuvw\",x\n";
    char in[sizeof field];
    (void)state;

    for (size_t at = 1; at < 24; at++)
        for (int byte = 0; byte <= 0xff; byte++) {
            memcpy(in, field, sizeof in);
            in[at] = (char)byte;
            expect_same(in, sizeof in - 1);
            in[24] = 'x'; /* without its quotes */
            expect_same(in + 1, sizeof in - 2);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc4180),
        cmocka_unit_test(test_line_ends),
        cmocka_unit_test(test_blank_lines_are_skipped),
        cmocka_unit_test(test_empty_and_null_fields_differ),
        cmocka_unit_test(test_quotes),
        cmocka_unit_test(test_byte_order_mark),
        cmocka_unit_test(test_errors_have_a_place_and_reading_goes_on),
        cmocka_unit_test(test_nul_bytes),
        cmocka_unit_test(test_longest_row),
        cmocka_unit_test(test_most_fields),
        cmocka_unit_test(test_rows_have_an_offset),
        cmocka_unit_test(test_any_byte_at_any_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
