/* Unit tests of base/sort, against the C library's qsort. */
#include "base/sort.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static int compare(const void *a, const void *b)
{
    const struct sort_pair *p = a, *q = b;

    if (p->key != q->key)
        return p->key < q->key ? -1 : 1;
    return p->value < q->value ? -1 : p->value > q->value;
}

/* Exactly n pairs, and none of malloc(0). */
static struct sort_pair *new_pairs(size_t n)
{
    struct sort_pair *p = malloc(n * sizeof *p);

    assert_non_null(p);
    return p;
}

/* Values are places, so qsort by key and value is what stable means. */
static void check_sort(const struct sort_pair *in, size_t n)
{
    struct sort_pair *mine = new_pairs(n), *scratch = new_pairs(n);
    struct sort_pair *theirs = new_pairs(n);

    for (size_t i = 0; i < n; i++)
        mine[i] = theirs[i] = (struct sort_pair){in[i].key, i};
    sort_pairs(mine, scratch, n);
    qsort(theirs, n, sizeof *theirs, compare);
    for (size_t i = 0; i < n; i++) {
        assert_true(mine[i].key == theirs[i].key);
        assert_true(mine[i].value == theirs[i].value);
    }
    free(mine);
    free(scratch);
    free(theirs);
}

/* Every digit alone, all of them, few values, many values. */
static void same_as_qsort(void **state)
{
    static const uint64_t masks[] = {
        0,   0xff,    0xff00, 0xff0000,           0xffULL << 56,
        0x3, 0x70007, ~0ULL,  0xf0f0f0f0f0f0f0f0, 1ULL << 63,
    };
    enum { MOST = 700 };
    struct sort_pair in[MOST];
    uint64_t x = 88172645463325252;
    (void)state;

    for (size_t m = 0; m < sizeof masks / sizeof *masks; m++)
        for (size_t n = 0; n < MOST; n = n < 20 ? n + 1 : n + 97) {
            for (size_t i = 0; i < n; i++)
                in[i].key = next_random(&x) & masks[m];
            check_sort(in, n);
        }
}

static void no_pairs(void **state)
{
    (void)state;
    sort_pairs(NULL, NULL, 0);
    assert_int_equal(sort_keep_greatest(NULL, 0), 0);
}

static void sorted_and_reversed(void **state)
{
    struct sort_pair up[300], down[300];
    (void)state;

    for (size_t i = 0; i < 300; i++) {
        up[i].key = i * 0x10001;
        down[i].key = (300 - i) * 0x10001;
    }
    check_sort(up, 300);
    check_sort(down, 300);
}

static void greatest_stays(void **state)
{
    struct sort_pair p[] = {{0, 5}, {0, 5}, {1, 1}, {1, 9},
                            {1, 3}, {7, 0}, {9, 2}, {9, ~0ULL}};
    static const struct sort_pair left[] = {{0, 5}, {1, 9}, {7, 0}, {9, ~0ULL}};
    (void)state;

    assert_int_equal(sort_keep_greatest(p, 8), 4);
    assert_memory_equal(p, left, sizeof left);
}

static void greatest_of_random_runs(void **state)
{
    enum { KEYS = 16, N = 500 };
    struct sort_pair p[N], scratch[N];
    uint64_t best[KEYS] = {0}, x = 42;
    (void)state;

    for (size_t i = 0; i < N; i++) {
        p[i] = (struct sort_pair){next_random(&x) % KEYS, next_random(&x)};
        if (p[i].value > best[p[i].key])
            best[p[i].key] = p[i].value;
    }
    sort_pairs(p, scratch, N);
    assert_int_equal(sort_keep_greatest(p, N), KEYS);
    for (size_t k = 0; k < KEYS; k++) {
        assert_true(p[k].key == k);
        assert_true(p[k].value == best[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_qsort),
        cmocka_unit_test(no_pairs),
        cmocka_unit_test(sorted_and_reversed),
        cmocka_unit_test(greatest_stays),
        cmocka_unit_test(greatest_of_random_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
