#include "proto/prometheus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

static uint8_t mem[4096];
static struct buf out;
static struct prometheus p;

static int begin(void **state)
{
    (void)state;
    buf_init(&out, mem, sizeof mem);
    p = (struct prometheus){.out = &out};
    return 0;
}

static void expect(const char *text)
{
    assert_false(p.is_full);
    assert_int_equal(buf_len(&out), strlen(text));
    assert_memory_equal(buf_peek(&out), text, strlen(text));
}

static void families(void **state)
{
    (void)state;
    prometheus_family(&p, "a_total", "counter", "Of these.");
    prometheus_value(&p, 0);
    prometheus_family(&p, "b", "gauge", "Of those.");
    prometheus_labelled(&p, "kind", "one", 1);
    prometheus_labelled(&p, "kind", "most", UINT64_MAX);
    expect("# HELP a_total Of these.\n# TYPE a_total counter\na_total 0\n"
           "# HELP b Of those.\n# TYPE b gauge\n"
           "b{kind=\"one\"} 1\nb{kind=\"most\"} 18446744073709551615\n");
}

static void labels_are_escaped(void **state)
{
    (void)state;
    p.family = "a";
    prometheus_labelled(&p, "why", "\"a\\b\"\n\xc3\xbc", 1);
    expect("a{why=\"\\\"a\\\\b\\\"\\n\xc3\xbc\"} 1\n");
}

/* Reads an escaped value up to its quote. returns: bytes read, 0: not legal */
static size_t unescape(const uint8_t *in, size_t len, char *text)
{
    size_t i = 0;

    for (; i < len && in[i] != '"'; i++) {
        if (in[i] == '\n')
            return 0;
        *text = (char)in[i];
        if (in[i] == '\\') {
            if (++i == len || strchr("n\\\"", in[i]) == NULL)
                return 0;
            *text = in[i] == 'n' ? '\n' : (char)in[i];
        }
        text++;
    }
    *text = '\0';
    return i;
}

/* Whatever a label holds, a reader gets it back, and the line ends there. */
static void any_label_comes_back(void **state)
{
    static const char begin[] = "a{why=\"", end[] = "\"} 7\n";
    static const char tricky[] = "\\\"\n\r{}n, ";
    uint32_t seed = 1;
    (void)state;

    for (int round = 0; round < 20000; round++) {
        char text[24], back[64];
        size_t len = (size_t)round % sizeof text;

        for (size_t i = 0; i < len; i++) {
            seed = seed * 1664525 + 1013904223;
            text[i] = (seed >> 31) != 0
                          ? tricky[(seed >> 16) % (sizeof tricky - 1)]
                          : (char)(1 + (seed >> 16) % 255);
        }
        text[len] = '\0';
        buf_init(&out, mem, sizeof mem);
        p = (struct prometheus){.out = &out, .family = "a"};
        prometheus_labelled(&p, "why", text, 7);
        const uint8_t *line = buf_peek(&out);
        size_t rest = buf_len(&out) - (sizeof begin - 1);
        assert_memory_equal(line, begin, sizeof begin - 1);
        size_t n = unescape(line + sizeof begin - 1, rest, back);
        assert_string_equal(back, text);
        assert_int_equal(rest - n, sizeof end - 1);
        assert_memory_equal(line + sizeof begin - 1 + n, end, sizeof end - 1);
    }
}

static void histograms(void **state)
{
    static const uint64_t bounds[] = {500, 1000, 2500000, 0};
    struct histogram h = {.bounds = bounds};
    (void)state;

    histogram_note(&h, 500, 2);
    histogram_note(&h, 501, 1);
    histogram_note(&h, 2500001, 1);
    p.family = "a_seconds";
    prometheus_histogram(&p, &h, 6);
    expect("a_seconds_bucket{le=\"0.0005\"} 2\n"
           "a_seconds_bucket{le=\"0.001\"} 3\n"
           "a_seconds_bucket{le=\"2.5\"} 3\n"
           "a_seconds_bucket{le=\"+Inf\"} 4\n"
           "a_seconds_sum 2.501502\na_seconds_count 4\n");
}

static void whole_numbers(void **state)
{
    static const uint64_t bounds[] = {1, 10, 0};
    struct histogram h = {.bounds = bounds};
    (void)state;

    histogram_note(&h, 10, 1);
    histogram_note(&h, 0, 1);
    p.family = "a";
    prometheus_histogram(&p, &h, 0);
    expect("a_bucket{le=\"1\"} 1\na_bucket{le=\"10\"} 2\n"
           "a_bucket{le=\"+Inf\"} 2\na_sum 10\na_count 2\n");
}

/* Of every length that is too short: said, and nothing written beyond it. */
static void full(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < 12; cap++) {
        mem[cap] = 0xee;
        buf_init(&out, mem, cap);
        p = (struct prometheus){.out = &out, .family = "abcdefgh"};
        prometheus_value(&p, 10);
        assert_int_equal(p.is_full, true);
        assert_int_equal(mem[cap], 0xee);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(families, begin),
        cmocka_unit_test_setup(labels_are_escaped, begin),
        cmocka_unit_test_setup(any_label_comes_back, begin),
        cmocka_unit_test_setup(histograms, begin),
        cmocka_unit_test_setup(whole_numbers, begin),
        cmocka_unit_test_setup(full, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
