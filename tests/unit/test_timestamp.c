/* Unit tests of proto/timestamp. Seconds were checked against GNU date. */
#include "proto/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { UNTOUCHED = 424242 };

/* Parse from an allocation of the text's exact size. */
static int parse(const char *text, size_t len, int zone_s, int64_t *utc_s)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    memcpy(copy, text, len);
    *utc_s = UNTOUCHED;
    int result = timestamp_parse((struct span){copy, len}, zone_s, utc_s);
    if (result != TIMESTAMP_OK)
        assert_int_equal(*utc_s, UNTOUCHED);
    free(copy);
    return result;
}

static void expect_in_zone(const char *text, int zone_s, int64_t expected)
{
    int64_t utc_s;

    assert_int_equal(parse(text, strlen(text), zone_s, &utc_s), TIMESTAMP_OK);
    assert_int_equal(utc_s, expected);
}

static void expect(const char *text, int64_t expected)
{
    expect_in_zone(text, 0, expected);
}

static void refuse(const char *text, int reason)
{
    int64_t utc_s;

    assert_int_equal(parse(text, strlen(text), 0, &utc_s), reason);
    if (reason < 0)
        assert_true(strlen(timestamp_reason(reason)) > 0);
}

static void test_postgresql(void **state)
{
    (void)state;
    expect("2026-11-24 08:20:05.448196", 1795508405);
    expect("2026-11-24 08:20:05", 1795508405);
    expect("2026-11-24 08:20:05.4", 1795508405);
    expect("2026-11-24 08:20:05.999999", 1795508405);
    expect("2026-11-24 08:20:05.448196+00", 1795508405);
    expect("2026-11-24 10:20:05+02", 1795508405);
    expect("2026-11-24 13:50:05+05:30", 1795508405);
    expect("2026-11-24 04:49:50.448196-03:30:15", 1795508405);
}

/* RFC 3339 section 5.8, all five examples. */
static void test_rfc3339(void **state)
{
    (void)state;
    expect("1985-04-12T23:20:50.52Z", 482196050);
    expect("1996-12-19T16:39:57-08:00", 851042397);
    expect("1990-12-31T23:59:60Z", 662687999);
    expect("1990-12-31T15:59:60-08:00", 662687999);
    expect("1937-01-01T12:00:27.87+00:20", -1041337173);
    expect("1985-04-12t23:20:50z", 482196050);
    expect("1985-04-12T23:20:50.123456789Z", 482196050);
}

static void test_zone_of_the_caller(void **state)
{
    (void)state;
    expect_in_zone("2026-11-24 08:20:05", 7200, 1795508405 - 7200);
    expect_in_zone("2026-11-24 08:20:05", -12600, 1795508405 + 12600);
    expect_in_zone("2026-11-24 08:20:05+00", 7200, 1795508405);
    expect_in_zone("2026-11-24T08:20:05Z", 7200, 1795508405);
    expect_in_zone("1795508405", 7200, 1795508405);
    expect_in_zone("2016-12-31 23:59:60", 0, 1483228799);
    expect_in_zone("2017-01-01 00:59:60", 3600, 1483228799);
}

static void expect_zone(const char *text, int expected)
{
    int zone_s = UNTOUCHED;

    assert_true(timestamp_parse_zone(span_of(text), &zone_s));
    assert_int_equal(zone_s, expected);
}

static void refuse_zone(const char *text)
{
    int zone_s = UNTOUCHED;

    assert_false(timestamp_parse_zone(span_of(text), &zone_s));
    assert_int_equal(zone_s, UNTOUCHED);
}

static void test_offsets(void **state)
{
    (void)state;
    expect_zone("UTC", 0);
    expect_zone("utc", 0);
    expect_zone("Z", 0);
    expect_zone("+02", 7200);
    expect_zone("-11", -39600);
    expect_zone("+05:30", 19800);
    expect_zone("-0330", -12600);
    expect_zone("+0200", 7200);
    expect_zone("-00:25:21", -1521);
    expect_zone("+23:59:59", TIMESTAMP_ZONE_MAX_S);
    const char *const none[] = {
        "",       " ",     "Europe/Berlin", "CET",   "GMT",
        "2",      "02:00", "0200",          "+",     "+2",
        "+2:00",  "+24",   "+02:60",        "+0260", "+020",
        "+02000", "+02:0", "+02:00x",       "+02 ",  "+02:00:60",
        "10330",  "Z+02",  "UTC+2",         "--330", "+0a00",
        "+00a0",
    };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        refuse_zone(none[i]);
}

static void test_calendar(void **state)
{
    (void)state;
    expect("1970-01-01 00:00:00", 0);
    expect("1969-12-31 23:59:59.5", -1);
    expect("2000-02-29 00:00:00", 951782400);
    expect("2024-02-29 23:59:59", 1709251199);
    expect("2024-03-01 00:00:00", 1709251200);
    expect("1900-03-01 00:00:00", -2203891200);
    expect("0001-01-01 00:00:00", -62135596800);
    expect("9999-12-31 23:59:59", 253402300799);
    refuse("2023-02-29 00:00:00", TIMESTAMP_BAD_DATE);
    refuse("1900-02-29 00:00:00", TIMESTAMP_BAD_DATE);
    refuse("2026-04-31 00:00:00", TIMESTAMP_BAD_DATE);
    refuse("2026-00-10 00:00:00", TIMESTAMP_BAD_DATE);
    refuse("2026-13-10 00:00:00", TIMESTAMP_BAD_DATE);
    refuse("2026-10-00 00:00:00", TIMESTAMP_BAD_DATE);
    refuse("2026-12-32 00:00:00", TIMESTAMP_BAD_DATE);
}

/* Every day of eight hundred years agrees with the C library, both ways. */
static void test_days_agree_with_libc(void **state)
{
    int64_t first, utc_s;

    (void)state;
    parse("1600-01-01 00:00:00", 19, 0, &first);
    for (int day = 0; day < 800 * 366; day++) {
        /* The time of day changes as well. */
        time_t expected = (time_t)(first + day * (int64_t)86399);
        char text[32], written[TIMESTAMP_TEXT_SIZE];
        struct tm tm;
        size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ",
                              gmtime_r(&expected, &tm));
        assert_int_equal(parse(text, len, 0, &utc_s), TIMESTAMP_OK);
        assert_int_equal(utc_s, expected);
        timestamp_format(utc_s, written);
        assert_string_equal(written, text);
    }
}

static void expect_text(int64_t utc_s, const char *text)
{
    char written[TIMESTAMP_TEXT_SIZE];

    timestamp_format(utc_s, written);
    assert_string_equal(written, text);
}

static void test_format(void **state)
{
    (void)state;
    expect_text(0, "1970-01-01T00:00:00Z");
    expect_text(-1, "1969-12-31T23:59:59Z");
    expect_text(1795508405, "2026-11-24T08:20:05Z");
    expect_text(951782400, "2000-02-29T00:00:00Z");
    expect_text(-62135596800, "0001-01-01T00:00:00Z");
    expect_text(253402300799, "9999-12-31T23:59:59Z");
    expect_text(INT64_MIN, "0001-01-01T00:00:00Z");
    expect_text(INT64_MAX, "9999-12-31T23:59:59Z");
}

static void test_years_out_of_range(void **state)
{
    (void)state;
    refuse("10000-01-01 00:00:00", TIMESTAMP_BAD_YEAR);
    refuse("294276-12-31 23:59:59.999999", TIMESTAMP_BAD_YEAR);
    refuse("0000-01-01 00:00:00", TIMESTAMP_BAD_YEAR);
    refuse("0001-01-01 00:59:59+01", TIMESTAMP_BAD_YEAR);
    refuse("9999-12-31 23:00:00-01", TIMESTAMP_BAD_YEAR);
    refuse("0044-03-15 12:00:00 BC", TIMESTAMP_BC);
    refuse("0044-03-15 12:00:00+00 BC", TIMESTAMP_BC);
    refuse("0044-03-15 12:00:00 BCE", TIMESTAMP_BAD_FORM);
}

static void test_time_of_day(void **state)
{
    (void)state;
    refuse("2026-11-24 24:00:00", TIMESTAMP_BAD_TIME);
    refuse("2026-11-24 23:60:00", TIMESTAMP_BAD_TIME);
    refuse("2026-11-24 23:59:61", TIMESTAMP_BAD_TIME);
    refuse("2026-11-24 22:59:60", TIMESTAMP_BAD_LEAP);
    refuse("2016-12-31 23:59:60+01", TIMESTAMP_BAD_LEAP);
}

static void test_zones(void **state)
{
    (void)state;
    expect("1970-01-02 00:00:00+23:59:59", 1);
    expect("0001-01-01 01:00:00+01", -62135596800);
    expect("9999-12-31 22:59:59-01", 253402300799);
    expect("1970-01-01 00:00:00-23:59", 86340);
    refuse("2026-11-24 08:20:05+24", TIMESTAMP_BAD_ZONE);
    refuse("2026-11-24 08:20:05+01:60", TIMESTAMP_BAD_ZONE);
    refuse("2026-11-24 08:20:05+01:30:60", TIMESTAMP_BAD_ZONE);
    refuse("2026-11-24 08:20:05+1", TIMESTAMP_BAD_ZONE);
    refuse("2026-11-24 08:20:05+", TIMESTAMP_BAD_ZONE);
    refuse("2026-11-24 08:20:05+01:", TIMESTAMP_BAD_ZONE);
    refuse("2026-11-24 08:20:05+01:30:", TIMESTAMP_BAD_ZONE);
    refuse("2026-11-24 08:20:05+0130", TIMESTAMP_BAD_FORM);
    refuse("2026-11-24 08:20:05 +01", TIMESTAMP_BAD_FORM);
    refuse("2026-11-24 08:20:05 UTC", TIMESTAMP_BAD_FORM);
    refuse("2026-11-24 08:20:05Zx", TIMESTAMP_BAD_FORM);
}

static void test_infinity(void **state)
{
    (void)state;
    refuse("infinity", TIMESTAMP_INFINITY);
    refuse("-infinity", TIMESTAMP_MINUS_INFINITY);
    refuse("Infinity", TIMESTAMP_BAD_FORM);
    refuse("infinity ", TIMESTAMP_BAD_FORM);
}

static void test_epoch(void **state)
{
    (void)state;
    expect("1795508405", 1795508405);
    expect("9999999999", 9999999999);
    expect("100000000", 100000000);
    refuse("0", TIMESTAMP_BAD_EPOCH);
    refuse("20261124", TIMESTAMP_BAD_EPOCH);
    refuse("17955084054", TIMESTAMP_BAD_EPOCH);
    refuse("1795508405448", TIMESTAMP_BAD_EPOCH);
    refuse("99999999999999999999", TIMESTAMP_BAD_EPOCH);
    refuse("-1795508405", TIMESTAMP_BAD_FORM);
    refuse("1795508405.5", TIMESTAMP_BAD_FORM);
}

static void test_bad_forms(void **state)
{
    (void)state;
    refuse("", TIMESTAMP_BAD_FORM);
    refuse(" ", TIMESTAMP_BAD_FORM);
    refuse("now", TIMESTAMP_BAD_FORM);
    refuse("\\N", TIMESTAMP_BAD_FORM);
    refuse("2026-11-24", TIMESTAMP_BAD_FORM);
    refuse("2026-11-24 ", TIMESTAMP_BAD_FORM);
    refuse("2026-11-24 08:20", TIMESTAMP_BAD_FORM);
    refuse("2026-11-24  08:20:05", TIMESTAMP_BAD_FORM);
    refuse(" 2026-11-24 08:20:05", TIMESTAMP_BAD_FORM);
    refuse("2026-11-24 08:20:05 ", TIMESTAMP_BAD_FORM);
    refuse("2026-11-24 08:20:05.", TIMESTAMP_BAD_FORM);
    refuse("2026-11-24 08:20:05.1234567890", TIMESTAMP_BAD_FORM);
    refuse("2026-11-24 08:20:05,5", TIMESTAMP_BAD_FORM);
    refuse("26-11-24 08:20:05", TIMESTAMP_BAD_FORM);
    refuse("2026-1-24 08:20:05", TIMESTAMP_BAD_FORM);
    refuse("2026/11/24 08:20:05", TIMESTAMP_BAD_FORM);
    refuse("24/11/2026 08:20", TIMESTAMP_BAD_FORM);
    refuse("Tue Nov 24 08:20:05 2026", TIMESTAMP_BAD_FORM);
    refuse("2026-11-24 8:20:05", TIMESTAMP_BAD_FORM);
    refuse("2026-11-24 08:20:5", TIMESTAMP_BAD_FORM);
}

/* A text cut anywhere is no time, unless what remains is a whole form. */
static void test_every_prefix(void **state)
{
    static const char text[] = "2026-11-24 08:20:05.448196-03:30:15";
    int64_t utc_s;

    (void)state;
    for (size_t len = 0; len < sizeof text - 1; len++) {
        bool is_whole =
            len == 19 || (len >= 21 && len <= 26) || len == 29 || len == 32;
        int result = parse(text, len, 0, &utc_s);
        assert_int_equal(result == TIMESTAMP_OK, is_whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_postgresql),
        cmocka_unit_test(test_rfc3339),
        cmocka_unit_test(test_zone_of_the_caller),
        cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_calendar),
        cmocka_unit_test(test_days_agree_with_libc),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_years_out_of_range),
        cmocka_unit_test(test_time_of_day),
        cmocka_unit_test(test_zones),
        cmocka_unit_test(test_infinity),
        cmocka_unit_test(test_epoch),
        cmocka_unit_test(test_bad_forms),
        cmocka_unit_test(test_every_prefix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
