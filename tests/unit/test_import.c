/* Unit tests of tools/import_row, _set, _faults, _rejects and _progress. */
#include "base/digest.h"
#include "proto/uuid.h"
#include "tools/import_faults.h"
#include "tools/import_progress.h"
#include "tools/import_rejects.h"
#include "tools/import_row.h"
#include "tools/import_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define JANE "550e8400-e29b-41d4-a716-446655440000"
#define HEADER                                                      \
    "token,username,created_at,expires_at,not_before,last_used_at," \
    "is_revoked\n"

static struct import_header header;
static struct import_row row;
static struct import_fault fault;

/* Read one line of CSV, from which `row` or `fault` comes. */
static bool read_line(const char *line, bool is_header)
{
    uint8_t *mem = malloc(1024);
    enum csv_event event;
    struct csv c;

    csv_init(&c, mem, 1024);
    csv_feed(&c, (const uint8_t *)line, strlen(line), &event);
    if (event == CSV_NONE)
        event = csv_finish(&c);
    assert_int_equal(event, CSV_ROW);
    memset(&fault, 0, sizeof fault);
    bool ok = is_header ? import_header_read(&header, &c, &fault)
                        : import_row_read(&header, &c, &row, &fault);
    free(mem);
    return ok;
}

static void expect_fault(uint64_t column, const char *name, const char *reason)
{
    assert_int_equal(fault.line, 1);
    assert_int_equal(fault.column, column);
    if (name == NULL)
        assert_null(fault.name);
    else
        assert_string_equal(fault.name, name);
    assert_non_null(strstr(fault.reason, reason));
}

static void refuse_header(const char *line, uint64_t column, const char *name,
                          const char *reason)
{
    assert_false(read_line(line, true));
    expect_fault(column, name, reason);
}

static void refuse_row(const char *line, uint64_t column, const char *name,
                       const char *reason)
{
    assert_false(read_line(line, false));
    expect_fault(column, name, reason);
}

static int use_full_header(void **state)
{
    (void)state;
    return read_line(HEADER, true) ? 0 : -1;
}

static void expect_name(const char *name)
{
    assert_int_equal(row.record.username_len, strlen(name));
    assert_memory_equal(row.record.username, name, strlen(name));
}

static void test_header(void **state)
{
    (void)state;
    assert_true(read_line("id,username,\"token\",Token,", true));
    assert_int_equal(header.field[IMPORT_USERNAME], 1);
    assert_int_equal(header.field[IMPORT_TOKEN], 2);
    assert_int_equal(header.field[IMPORT_IS_REVOKED], -1);
    assert_int_equal(header.field_count, 5);
    assert_false(header.is_used[0]);
    assert_true(header.is_used[2]);
    assert_false(header.is_used[3]);
    assert_false(header.is_used[4]);
}

static void test_hash(void **state)
{
    uint8_t key[TOKEN_KEY_LEN];
    static const char hash[] = "00112233445566778899aabbccddeeff"
                               "AABBCCDDEEFF00112233445566778899";

    (void)state;
    assert_true(read_line("username,token_sha256", true));
    assert_int_equal(header.token, IMPORT_TOKEN_SHA256);
    char line[128];
    snprintf(line, sizeof line, "j,%s", hash);
    assert_true(read_line(line, false));
    for (unsigned i = 0; i < 16; i++) {
        key[i] = (uint8_t)(i * 0x11);
        key[16 + i] = (uint8_t)((i + 10) % 16 * 0x11);
    }
    assert_memory_equal(row.key, key, sizeof key);
    snprintf(line, sizeof line, "j,%.63s", hash);
    refuse_row(line, 3, "token_sha256", "not a SHA-256 (64 hex digits)");
    snprintf(line, sizeof line, "j,%s0", hash);
    refuse_row(line, 3, "token_sha256", "not a SHA-256");
    snprintf(line, sizeof line, "j,%.63sg", hash);
    refuse_row(line, 3, "token_sha256", "not a SHA-256");
    snprintf(line, sizeof line, "j,%.62s 9", hash);
    refuse_row(line, 3, "token_sha256", "not a SHA-256");
    refuse_row("j," JANE, 3, "token_sha256", "not a SHA-256");
    refuse_row("j,", 3, "token_sha256", "is empty");
    assert_true(read_line("username,token", true));
    assert_int_equal(header.token, IMPORT_TOKEN);
    refuse_header("token,username,token_sha256", 16, "token_sha256",
                  "beside token");
    refuse_header("token_sha256,token", 1, "token_sha256", "beside token");
}

static void test_bad_headers(void **state)
{
    (void)state;
    refuse_header("username,id", 1, "token", "is missing");
    refuse_header("token,id", 1, "username", "is missing");
    refuse_header("token;username", 1, "token", "is missing");
    refuse_header(JANE ",jane.doe", 1, "token", "is missing");
    refuse_header("token,username,id,token", 19, "token", "twice");
    refuse_header("token,username,is_revoked,is_revoked", 27, "is_revoked",
                  "twice");
}

static void test_full_row(void **state)
{
    uint8_t uuid[UUID_LEN], key[TOKEN_KEY_LEN];

    (void)state;
    assert_true(read_line(JANE ",jane.doe,2026-11-24 08:20:05.448196,"
                               "2026-11-25 08:20:05,2026-11-24 08:20:06,"
                               "2026-11-24 09:20:05+01,t",
                          false));
    assert_true(uuid_parse(span_of(JANE), uuid));
    digest_sha256(uuid, sizeof uuid, key);
    assert_memory_equal(row.key, key, sizeof key);
    assert_int_equal(row.record.row, 0);
    assert_int_equal(row.record.created, 1795508405);
    assert_int_equal(row.record.expires, 1795508405 + 86400);
    assert_int_equal(row.record.not_before, 1795508406);
    assert_int_equal(row.last_used, 1795508405);
    assert_true(row.record.revoked);
    expect_name("jane.doe");
}

/* A row leaves nothing behind for the next one. */
static void test_nulls(void **state)
{
    (void)state;
    memset(&row, 0x55, sizeof row);
    assert_true(read_line(JANE ",j,,,,,", false));
    assert_int_equal(row.record.row, 0);
    assert_int_equal(row.record.created, 0);
    assert_int_equal(row.record.expires, TOKEN_NEVER);
    assert_int_equal(row.record.not_before, 0);
    assert_int_equal(row.last_used, 0);
    assert_false(row.record.revoked);
    expect_name("j");
    assert_true(read_line("token,username", true));
    memset(&row, 0x55, sizeof row);
    assert_true(read_line(JANE ",j", false));
    assert_int_equal(row.record.expires, TOKEN_NEVER);
    assert_false(row.record.revoked);
}

static void test_expiry(void **state)
{
    (void)state;
    assert_true(read_line(JANE ",j,,infinity,,,", false));
    assert_int_equal(row.record.expires, TOKEN_NEVER);
    /* The second that would mean "never" does not become it. */
    assert_true(read_line(JANE ",j,,1970-01-01 00:00:00,,,", false));
    assert_int_equal(row.record.expires, -1);
    assert_true(read_line(JANE ",j,,1969-12-31 23:59:58,,,", false));
    assert_int_equal(row.record.expires, -2);
}

static void test_before_all_times(void **state)
{
    (void)state;
    memset(&row, 0x55, sizeof row);
    assert_true(
        read_line(JANE ",j,-infinity,-infinity,-infinity,-infinity,", false));
    assert_int_equal(row.record.created, 0);
    assert_int_equal(row.record.expires, INT64_C(-62135596800));
    assert_int_equal(row.record.not_before, 0);
    assert_int_equal(row.last_used, 0);
}

static void test_zone_of_the_caller(void **state)
{
    (void)state;
    header.zone_s = -12600;
    assert_true(read_line(JANE ",j,2026-11-24 08:20:05,2026-11-24 08:20:06,"
                               "2026-11-24 08:20:07Z,2026-11-24 08:20:08,",
                          false));
    assert_int_equal(row.record.created, 1795508405 + 12600);
    assert_int_equal(row.record.expires, 1795508406 + 12600);
    assert_int_equal(row.record.not_before, 1795508407);
    assert_int_equal(row.last_used, 1795508408 + 12600);
    header.zone_s = 0;
}

static void test_flags(void **state)
{
    static const struct {
        const char *text;
        bool flag;
    } flags[] = {{"t", true},  {"true", true},   {"1", true}, {"f", false},
                 {"0", false}, {"false", false}, {"", false}};

    (void)state;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        char line[128];
        snprintf(line, sizeof line, JANE ",j,,,,,%s\n", flags[i].text);
        row.record.revoked = !flags[i].flag;
        assert_true(read_line(line, false));
        assert_int_equal(row.record.revoked, flags[i].flag);
    }
    refuse_row(JANE ",j,,,,,T", 44, "is_revoked", "neither");
    refuse_row(JANE ",j,,,,,yes", 44, "is_revoked", "neither");
    refuse_row(JANE ",j,,,,,\"\"", 44, "is_revoked", "neither");
}

static void test_bad_tokens(void **state)
{
    (void)state;
    refuse_row(",j,,,,,", 1, "token", "is empty");
    refuse_row("\"\",j,,,,,", 1, "token", "not a UUID");
    refuse_row("550e8400,j,,,,,", 1, "token", "not a UUID");
    refuse_row("{" JANE "},j,,,,,", 1, "token", "not a UUID");
    refuse_row(JANE " ,j,,,,,", 1, "token", "not a UUID");
    refuse_row("00000000-0000-0000-0000-000000000000,j,,,,,", 1, "token",
               "nil");
}

static void test_usernames(void **state)
{
    char name[257], line[400];

    (void)state;
    memset(name, 'u', sizeof name);
    snprintf(line, sizeof line, JANE ",%.255s,,,,,\n", name);
    assert_true(read_line(line, false));
    assert_int_equal(row.record.username_len, 255);
    snprintf(line, sizeof line, JANE ",%.256s,,,,,\n", name);
    refuse_row(line, 38, "username", "longer than 255 bytes");
    refuse_row(JANE ",,,,,,", 38, "username", "NULL");
    refuse_row(JANE ",\"\",,,,,", 38, "username", "empty text");
    refuse_row(JANE ",\xC0\x80,,,,,", 38, "username", "not UTF-8");
    refuse_row(JANE ",a\xE2\x82,,,,,", 38, "username", "not UTF-8");
    assert_true(read_line(JANE ",\"a\"\"\r\n,{\\N\x01 \",,,,,", false));
    expect_name("a\"\r\n,{\\N\x01 ");
    assert_true(read_line(JANE ",\xF0\x9F\x98\x80,,,,,", false));
}

static void test_bad_times(void **state)
{
    (void)state;
    refuse_row(JANE ",j,x,,,,", 40, "created_at", "not a time");
    refuse_row(JANE ",j,,\"\",,,", 41, "expires_at", "not a time");
    refuse_row(JANE ",j,,2026-02-29 00:00:00,,,", 41, "expires_at",
               "no such date");
    refuse_row(JANE ",j,infinity,,,,", 40, "created_at", "infinity");
    refuse_row(JANE ",j,,,infinity,,", 42, "not_before", "infinity");
    refuse_row(JANE ",j,,,,infinity,", 43, "last_used_at", "infinity");
    refuse_row(JANE ",j,,,,10000-01-01 00:00:00,", 43, "last_used_at", "year");
}

static void test_field_count(void **state)
{
    (void)state;
    refuse_row(JANE ",j,,,,", 1, NULL, "fewer fields");
    refuse_row(JANE ",j,,,,,,", 45, NULL, "more fields");
    assert_true(read_line(JANE ",j,,,,,", false));
}

/* --- import_set --- */

static void add(struct import_set *set, uint64_t prefix, uint8_t last,
                uint64_t line)
{
    struct import_row r = {.last_used = (int64_t)line + 4};

    r.record.username_len = (uint8_t)(1 + line % 255);
    for (size_t i = 0; i < 8; i++)
        r.key[i] = (uint8_t)(prefix >> (56 - 8 * i));
    r.key[TOKEN_KEY_LEN - 1] = last;
    r.record.created = (int64_t)line + 1;
    r.record.not_before = (int64_t)line + 2;
    r.record.expires = (int64_t)line + 3;
    r.record.revoked = line % 2 != 0;
    memset(r.record.username, 'a' + (int)(line % 26), r.record.username_len);
    assert_true(import_set_add(set, &r, (struct import_place){line, line * 2}));
}

static void expect_row(const struct import_set *set, size_t i, uint64_t line)
{
    struct import_place place;
    struct import_row r;

    import_set_get(set, i, &r, &place);
    assert_int_equal(place.line, line);
    assert_int_equal(place.column, line * 2);
    assert_int_equal(r.record.row, 0);
    assert_int_equal(r.record.created, line + 1);
    assert_int_equal(r.record.not_before, line + 2);
    assert_int_equal(r.record.expires, line + 3);
    assert_int_equal(r.last_used, line + 4);
    assert_int_equal(r.record.revoked, line % 2 != 0);
    assert_int_equal(r.record.username_len, 1 + line % 255);
    for (size_t k = 0; k < r.record.username_len; k++)
        assert_int_equal(r.record.username[k], 'a' + (int)(line % 26));
}

static void test_set_sorts(void **state)
{
    enum { ROWS = 5000 };
    struct import_set set;

    (void)state;
    import_set_init(&set);
    assert_true(import_set_sort(&set));
    /* Multiplying by an odd number visits every key once, in disorder. */
    for (uint64_t i = 0; i < ROWS; i++)
        add(&set, i * 0x9e3779b97f4a7c15, 0, i);
    for (size_t i = 0; i < ROWS; i++)
        expect_row(&set, i, i);
    assert_true(import_set_sort(&set));
    assert_int_equal(set.count, ROWS);
    for (size_t i = 0; i < ROWS; i++) {
        assert_int_equal(import_set_repeats(&set, i), 0);
        assert_true(i == 0 || set.order[i - 1].key < set.order[i].key);
    }
    for (size_t i = 0; i < ROWS; i++)
        expect_row(&set, i, set.order[i].key * 0xf1de83e19937733d);
    import_set_fini(&set);
    assert_int_equal(set.count, 0);
}

static void test_set_is_sifted(void **state)
{
    static const enum import_mark marks[] = {IMPORT_ROW_OPEN, IMPORT_ROW_DONE,
                                             IMPORT_ROW_NEW, IMPORT_ROW_SAME};
    bool is_back[100] = {false};
    struct import_set set;

    (void)state;
    import_set_init(&set);
    for (uint64_t i = 0; i < 400; i++) {
        add(&set, i, 0, i);
        assert_int_equal(import_set_mark_of(&set, i), IMPORT_ROW_OPEN);
        import_set_mark(&set, i, marks[i % 4]);
    }
    import_set_sift(&set);
    assert_int_equal(set.count, 200);
    assert_int_equal(set.aside, 100);
    for (size_t i = 0; i < 200; i++)
        expect_row(&set, i, 2 * i);
    import_set_take_back(&set);
    assert_int_equal(set.count, 300);
    assert_int_equal(set.aside, 0);
    for (size_t i = 200; i < 300; i++) {
        assert_int_equal(import_set_mark_of(&set, i), IMPORT_ROW_SAME);
        is_back[set.order[i].key / 4] = true;
    }
    for (size_t i = 0; i < 100; i++)
        assert_true(is_back[i]);
    import_set_fini(&set);
}

static void test_set_finds_repeats(void **state)
{
    struct import_set set;

    (void)state;
    import_set_init(&set);
    add(&set, 7, 1, 2);
    add(&set, 9, 1, 3);
    add(&set, 7, 2, 4); /* another token with the same first 64 bits */
    add(&set, 7, 1, 5);
    add(&set, 7, 2, 6);
    assert_true(import_set_sort(&set));
    expect_row(&set, 4, 3);
    const uint64_t earlier[] = {0, 0, 2, 4, 0};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(import_set_repeats(&set, i), earlier[i]);
    import_set_fini(&set);
}

/* --- import_faults --- */

enum { FAULTS_MAX = 100 };

static void expect_report(const struct import_faults *faults,
                          const char *expected)
{
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    import_faults_print(faults, "f.csv", out);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

static void test_faults_are_in_order(void **state)
{
    struct import_faults faults;
    struct import_fault f = {5, 3, "token", "the same as in line", 2};

    (void)state;
    assert_true(import_faults_init(&faults, FAULTS_MAX));
    expect_report(&faults, "");
    import_faults_add(&faults, &f);
    f = (struct import_fault){4, 9, NULL, "bad", 0};
    import_faults_add(&faults, &f);
    f = (struct import_fault){5, 1, "username", "odd", 0};
    import_faults_add(&faults, &f);
    expect_report(&faults, "f.csv:4:9: bad\n"
                           "f.csv:5:1: column username: odd\n"
                           "f.csv:5:3: column token: the same as in line 2\n");
    import_faults_fini(&faults);
    /* None is kept, all are counted. */
    assert_true(import_faults_init(&faults, 0));
    import_faults_add(&faults, &f);
    expect_report(&faults, "… and 1 more\n");
    import_faults_fini(&faults);
}

static void test_faults_keep_the_first(void **state)
{
    enum { MORE = 50 };
    struct import_faults faults;

    (void)state;
    assert_true(import_faults_init(&faults, FAULTS_MAX));
    for (uint64_t i = 0; i < FAULTS_MAX + MORE; i++) {
        uint64_t line = (i * 7) % (FAULTS_MAX + MORE) + 1;
        struct import_fault f = {line, 1, NULL, "bad", 0};
        import_faults_add(&faults, &f);
    }
    assert_int_equal(faults.count, FAULTS_MAX + MORE);
    assert_int_equal(faults.kept_count, FAULTS_MAX);
    for (size_t i = 0; i < FAULTS_MAX; i++)
        assert_int_equal(faults.kept[i].line, i + 1);
    faults.kept_count = 0;
    expect_report(&faults, "… and 150 more\n");
    import_faults_fini(&faults);
}

/* --- import_rejects --- */

/* The rejects of a file of this content are these bytes. */
static void expect_rejects(const char *content, const uint64_t *lines,
                           size_t count, const char *expected)
{
    char dir[] = "/tmp/import-XXXXXX", path[64], got[512] = "";
    struct import_rejects rejects;
    struct import_input in;
    struct error err;

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/f.csv", dir);
    FILE *file = fopen(path, "w+");
    fputs(content, file);
    fclose(file);
    assert_int_equal(import_input_open(&in, path, &err), 0);
    unlink(path);
    assert_int_equal(import_input_keep(&in, path, &err), 0);
    import_rejects_init(&rejects);
    for (size_t i = 0; i < count; i++)
        assert_true(import_rejects_add(&rejects, lines[i]));
    int rc = import_rejects_write(&rejects, &in, path, &err);
    if (expected == NULL) {
        assert_int_equal(rc, -1);
        assert_non_null(strstr(err.text, "changed while it was read"));
    } else {
        assert_int_equal(rc, 0);
        file = fopen(path, "r");
        assert_int_equal(fread(got, 1, sizeof got - 1, file), strlen(expected));
        fclose(file);
        unlink(path);
        assert_string_equal(got, expected);
    }
    import_rejects_fini(&rejects);
    import_input_close(&in);
    assert_int_equal(rmdir(dir), 0);
}

static void test_rejects_are_copied(void **state)
{
    static const char content[] = "\xEF\xBB\xBF\nh,i\r\n"     /* 2 */
                                  "a,b\r\n"                   /* 3 */
                                  "\"c\n\n\",\"d\r\n\"\r\n\n" /* 4 to 8 */
                                  "e\"f\n"                    /* 9 */
                                  "\"g";                      /* 10 */

    (void)state;
    expect_rejects(content, (uint64_t[]){3}, 1, "\xEF\xBB\xBF\nh,i\r\na,b\r\n");
    for (uint64_t line = 4; line <= 8; line++)
        expect_rejects(content, &line, 1,
                       "\xEF\xBB\xBF\nh,i\r\n"
                       "\"c\n\n\",\"d\r\n\"\r\n\n");
    expect_rejects(content, (uint64_t[]){10, 3, 9}, 3,
                   "\xEF\xBB\xBF\nh,i\r\na,b\r\ne\"f\n\"g");
    expect_rejects(content, (uint64_t[]){10, 3, 9, 6}, 4, content);
    expect_rejects(content, (uint64_t[]){10, 11}, 2, NULL);
}

/* --- import_progress --- */

static void expect_progress(uint64_t total, uint64_t done, uint64_t rows,
                            int64_t elapsed_ms, const char *expected)
{
    struct import_progress p = {.doing = "reading", .total = total};
    char text[IMPORT_PROGRESS_LINE];

    import_progress_format(&p, done, rows, elapsed_ms, text);
    assert_string_equal(text, expected);
}

static void test_progress(void **state)
{
    (void)state;
    expect_progress(1000, 400, 400000, 500,
                    "reading [########............]  40% 400000 rows, "
                    "800000/s, 0:00 left");
    expect_progress(1000, 1, 10, 1000,
                    "reading [....................]   0% 10 rows, 10/s, "
                    "16:39 left");
    expect_progress(1000, 2000, 10, 1000,
                    "reading [####################] 100% 10 rows, 10/s, "
                    "0:00 left");
    expect_progress(1000, 0, 0, 0,
                    "reading [....................]   0% 0 rows, 0/s, "
                    "0:00 left");
    expect_progress(0, 400, 1234, 2000, "reading 1234 rows, 617/s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test_setup(test_full_row, use_full_header),
        cmocka_unit_test_setup(test_nulls, use_full_header),
        cmocka_unit_test_setup(test_expiry, use_full_header),
        cmocka_unit_test_setup(test_before_all_times, use_full_header),
        cmocka_unit_test_setup(test_zone_of_the_caller, use_full_header),
        cmocka_unit_test_setup(test_flags, use_full_header),
        cmocka_unit_test_setup(test_bad_tokens, use_full_header),
        cmocka_unit_test_setup(test_usernames, use_full_header),
        cmocka_unit_test_setup(test_bad_times, use_full_header),
        cmocka_unit_test_setup(test_field_count, use_full_header),
        cmocka_unit_test(test_set_sorts),
        cmocka_unit_test(test_set_is_sifted),
        cmocka_unit_test(test_set_finds_repeats),
        cmocka_unit_test(test_faults_are_in_order),
        cmocka_unit_test(test_faults_keep_the_first),
        cmocka_unit_test(test_rejects_are_copied),
        cmocka_unit_test(test_progress),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
