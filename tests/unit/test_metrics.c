#include "app/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void reasons(void **state)
{
    struct metrics m;
    (void)state;

    metrics_init(&m);
    metrics_count(&m.closed, "one");
    metrics_count(&m.closed, "two");
    metrics_count(&m.closed, "one");
    assert_int_equal(m.closed.used, 2);
    assert_int_equal(m.closed.count[0], 2);
    assert_int_equal(m.closed.count[1], 1);
    assert_string_equal(m.closed.text[1], "two");
}

/* More than there is room for: none is lost, and the last place takes them. */
static void more_reasons_than_room(void **state)
{
    static char texts[METRICS_REASONS_MAX + 5][16];
    struct metrics m;
    uint64_t total = 0;
    (void)state;

    metrics_init(&m);
    for (int i = 0; i < METRICS_REASONS_MAX + 5; i++) {
        snprintf(texts[i], sizeof texts[i], "%d", i);
        metrics_count(&m.closed, texts[i]);
    }
    assert_int_equal(m.closed.used, METRICS_REASONS_MAX);
    for (int i = 0; i < METRICS_REASONS_MAX; i++)
        total += m.closed.count[i];
    assert_int_equal(total, METRICS_REASONS_MAX + 5);
    assert_string_equal(m.closed.text[METRICS_REASONS_MAX - 1], "another");
    assert_string_equal(m.closed.text[0], "0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reasons),
        cmocka_unit_test(more_reasons_than_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
