/* DER writer and reader; vectors from X.690 and RFC 5280. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "guard.h"
#include "proto/der.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BYTES(...)                                 \
    ((struct span){(const uint8_t[]){__VA_ARGS__}, \
                   sizeof((const uint8_t[]){__VA_ARGS__})})

static void assert_span(struct span got, struct span want)
{
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.ptr, want.ptr, want.len);
}

static void assert_written(const struct der *d, struct span want)
{
    struct span got;

    assert_true(der_finish(d, &got));
    assert_span(got, want);
}

static void test_writes_primitives(void **state)
{
    uint8_t mem[64];
    struct der d;

    (void)state;
    der_init(&d, mem, sizeof mem);
    der_put_bool(&d, true);
    der_put_bool(&d, false);
    der_put(&d, DER_OCTET_STRING, span_of("ab"));
    der_put(&d, DER_CONTEXT(2), span_of("c"));
    der_put_bits(&d, BYTES(0x06), 1);
    der_put_bits(&d, BYTES(0), 0);
    assert_written(&d, BYTES(0x01, 0x01, 0xFF, 0x01, 0x01, 0x00, 0x04, 0x02,
                             'a', 'b', 0x82, 0x01, 'c', 0x03, 0x02, 0x01, 0x06,
                             0x03, 0x02, 0x00, 0x00));
}

static void test_writes_integers(void **state)
{
    const struct {
        struct span in, out;
    } cases[] = {
        {{NULL, 0}, {(const uint8_t[]){2, 1, 0}, 3}},
        {{(const uint8_t[]){0, 0}, 2}, {(const uint8_t[]){2, 1, 0}, 3}},
        {{(const uint8_t[]){0x7F}, 1}, {(const uint8_t[]){2, 1, 0x7F}, 3}},
        {{(const uint8_t[]){0x80}, 1}, {(const uint8_t[]){2, 2, 0, 0x80}, 4}},
        {{(const uint8_t[]){0, 1, 0}, 3}, {(const uint8_t[]){2, 2, 1, 0}, 4}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t mem[8];
        struct der d;
        der_init(&d, mem, sizeof mem);
        der_put_unsigned(&d, cases[i].in);
        assert_written(&d, cases[i].out);
    }
}

/* X.690, 8.1.3: short form to 127, then the fewest octets. */
static void test_lengths_round_trip(void **state)
{
    const struct {
        size_t len;
        struct span head;
    } cases[] = {
        {0, {(const uint8_t[]){0x30, 0}, 2}},
        {127, {(const uint8_t[]){0x30, 0x7F}, 2}},
        {128, {(const uint8_t[]){0x30, 0x81, 0x80}, 3}},
        {255, {(const uint8_t[]){0x30, 0x81, 0xFF}, 3}},
        {256, {(const uint8_t[]){0x30, 0x82, 1, 0}, 4}},
        {65535, {(const uint8_t[]){0x30, 0x82, 0xFF, 0xFF}, 4}},
        {65536, {(const uint8_t[]){0x30, 0x83, 1, 0, 0}, 5}},
        {16777216, {(const uint8_t[]){0x30, 0x84, 1, 0, 0, 0}, 6}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t cap = cases[i].len + cases[i].head.len;
        uint8_t *mem = malloc(cap);
        uint8_t *content = calloc(1, cases[i].len + 1);
        struct span all;
        struct der_element e;
        struct der d;

        der_init(&d, mem, cap);
        der_put(&d, DER_SEQUENCE, (struct span){content, cases[i].len});
        assert_true(der_finish(&d, &all));
        assert_int_equal(all.len, cap);
        assert_memory_equal(all.ptr, cases[i].head.ptr, cases[i].head.len);
        struct span rest = all;
        assert_true(der_next(&rest, &e));
        assert_int_equal(rest.len, 0);
        assert_int_equal(e.content.len, cases[i].len);
        assert_span(e.whole, all);
        free(content);
        free(mem);
    }
}

static void write_nested(struct der *d)
{
    size_t outer = der_open(d, DER_SEQUENCE);
    size_t set = der_open(d, DER_SET);

    der_put_unsigned(d, BYTES(5));
    der_close(d, set);
    der_put_raw(d, BYTES(0x05, 0x00));
    der_put_time(d, 0);
    der_close(d, outer);
}

/* Every capacity that is too small fails; none is overrun (ASan watches). */
static void test_full_is_sticky(void **state)
{
    uint8_t enough[64];
    struct span whole;
    struct der d;

    (void)state;
    der_init(&d, enough, sizeof enough);
    write_nested(&d);
    assert_true(der_finish(&d, &whole));
    for (size_t cap = 0; cap <= whole.len; cap++) {
        uint8_t *mem = guard_copy(enough, cap);
        struct span got = {NULL, 7};
        der_init(&d, mem, cap);
        write_nested(&d);
        if (cap < whole.len) {
            assert_false(der_finish(&d, &got));
            assert_int_equal(got.len, 7);
        } else {
            assert_written(&d, whole);
        }
        free(mem);
    }
}

static void assert_time(int64_t unix_s, uint8_t tag, const char *text)
{
    uint8_t mem[32];
    struct span rest;
    struct der_element e;
    struct der d;
    int64_t back;

    der_init(&d, mem, sizeof mem);
    der_put_time(&d, unix_s);
    assert_true(der_finish(&d, &rest));
    assert_true(der_expect(&rest, tag, &e));
    assert_span(e.content, span_of(text));
    assert_true(der_parse_time(&e, &back));
    assert_true(back == unix_s);
}

/* RFC 5280, 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050. */
static void test_times(void **state)
{
    (void)state;
    assert_time(0, DER_UTC_TIME, "700101000000Z");
    assert_time(951782400, DER_UTC_TIME, "000229000000Z");
    assert_time(1700000000, DER_UTC_TIME, "231114221320Z");
    assert_time(-631152000, DER_UTC_TIME, "500101000000Z");
    assert_time(-631152001, DER_GENERALIZED_TIME, "19491231235959Z");
    assert_time(2524607999, DER_UTC_TIME, "491231235959Z");
    assert_time(2524608000, DER_GENERALIZED_TIME, "20500101000000Z");
    assert_time(4107542399, DER_GENERALIZED_TIME, "21000228235959Z");
    assert_time(4107542400, DER_GENERALIZED_TIME, "21000301000000Z");
    assert_time(253402300799, DER_GENERALIZED_TIME, "99991231235959Z");
    assert_time(-62167219200, DER_GENERALIZED_TIME, "00000101000000Z");
    assert_time(-62162035200, DER_GENERALIZED_TIME, "00000301000000Z");
}

static void test_times_agree_with_libc(void **state)
{
    (void)state;
    for (int64_t t = -62167219200; t <= 253402300799; t += 8640007) {
        time_t moment = (time_t)t;
        struct tm tm;
        char text[32];
        gmtime_r(&moment, &tm);
        bool utc = tm.tm_year >= 50 && tm.tm_year < 150;
        snprintf(text, sizeof text, "%04d%02d%02d%02d%02d%02dZ",
                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                 tm.tm_min, tm.tm_sec);
        assert_time(t, utc ? DER_UTC_TIME : DER_GENERALIZED_TIME,
                    utc ? text + 2 : text);
    }
}

static void test_time_out_of_range_is_full(void **state)
{
    static const int64_t bad[] = {INT64_MIN, -62167219201, 253402300800,
                                  INT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t mem[32];
        struct span got;
        struct der d;
        der_init(&d, mem, sizeof mem);
        der_put_time(&d, bad[i]);
        assert_false(der_finish(&d, &got));
    }
}

static void test_bad_times(void **state)
{
    static const struct {
        uint8_t tag;
        const char *text;
    } bad[] = {
        {DER_UTC_TIME, ""},
        {DER_UTC_TIME, "7001010000Z"},       /* no seconds */
        {DER_UTC_TIME, "700101000000"},      /* no zone */
        {DER_UTC_TIME, "700101000000+0000"}, /* another zone */
        {DER_UTC_TIME, "19700101000000Z"},   /* the other form */
        {DER_UTC_TIME, "700001000000Z"},
        {DER_UTC_TIME, "701301000000Z"},
        {DER_UTC_TIME, "700100000000Z"},
        {DER_UTC_TIME, "700132000000Z"},
        {DER_UTC_TIME, "700431000000Z"},
        {DER_UTC_TIME, "710229000000Z"},
        {DER_UTC_TIME, "700101240000Z"},
        {DER_UTC_TIME, "700101006000Z"},
        {DER_UTC_TIME, "700101000060Z"},
        {DER_UTC_TIME, "70 101000000Z"},
        {DER_UTC_TIME, "7o0101000000Z"},
        {DER_GENERALIZED_TIME, "700101000000Z"},
        {DER_GENERALIZED_TIME, "19700101000000.5Z"},
        {DER_GENERALIZED_TIME, "21000229000000Z"},
        {DER_OCTET_STRING, "700101000000Z"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t len = strlen(bad[i].text);
        uint8_t *exact = guard_copy(bad[i].text, len);
        struct der_element e = {bad[i].tag, {exact, len}, {exact, len}};
        int64_t out = 77;
        assert_false(der_parse_time(&e, &out));
        assert_true(out == 77);
        free(exact);
    }
}

static void assert_rejected(struct span bytes)
{
    uint8_t *exact = guard_copy(bytes.ptr, bytes.len);
    struct span rest = {exact, bytes.len};
    struct der_element e;

    assert_false(der_next(&rest, &e));
    assert_ptr_equal(rest.ptr, exact);
    assert_int_equal(rest.len, bytes.len);
    free(exact);
}

static void test_reader_rejects(void **state)
{
    (void)state;
    assert_rejected((struct span){NULL, 0});
    assert_rejected(BYTES(0x30));
    assert_rejected(BYTES(0x30, 0x01));
    assert_rejected(BYTES(0x30, 0x80, 0, 0));          /* indefinite */
    assert_rejected(BYTES(0x30, 0x81, 0x01, 0));       /* not shortest */
    assert_rejected(BYTES(0x30, 0x82, 0x00, 0x80, 0)); /* not shortest */
    uint8_t long_form[3 + 127] = {0x04, 0x81, 0x7F};   /* fits the short one */
    assert_rejected((struct span){long_form, sizeof long_form});
    assert_rejected(BYTES(0x30, 0x81));
    assert_rejected(BYTES(0x30, 0x82, 0x01));
    assert_rejected(BYTES(0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF));
    assert_rejected(BYTES(0x30, 0x85, 1, 0, 0, 0, 0));
    assert_rejected(BYTES(0x30, 0xFF, 1));
    assert_rejected(BYTES(0x1F, 0x01, 0x00)); /* multi-byte tag */
    assert_rejected(BYTES(0xBF, 0x22, 0x00));
}

static void test_reader_steps(void **state)
{
    struct span rest = BYTES(0x02, 0x01, 0x07, 0x05, 0x00, 0x30);
    struct der_element e;

    (void)state;
    assert_false(der_expect(&rest, DER_SEQUENCE, &e));
    assert_true(der_expect(&rest, DER_INTEGER, &e));
    assert_span(e.content, BYTES(0x07));
    assert_true(der_next(&rest, &e));
    assert_int_equal(e.tag, 0x05);
    assert_int_equal(e.content.len, 0);
    assert_false(der_next(&rest, &e));
    assert_int_equal(rest.len, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_primitives),
        cmocka_unit_test(test_writes_integers),
        cmocka_unit_test(test_lengths_round_trip),
        cmocka_unit_test(test_full_is_sticky),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_times_agree_with_libc),
        cmocka_unit_test(test_time_out_of_range_is_full),
        cmocka_unit_test(test_bad_times),
        cmocka_unit_test(test_reader_rejects),
        cmocka_unit_test(test_reader_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
