#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "guard.h"

#define CAP 8

static struct buf new_buf(void)
{
    struct buf b;

    buf_init(&b, malloc(CAP), CAP);
    return b;
}

static void check_text(const struct buf *b, const char *expected)
{
    assert_int_equal(buf_len(b), strlen(expected));
    assert_memory_equal(buf_peek(b), expected, strlen(expected));
    assert_int_equal(buf_room(b), CAP - strlen(expected));
}

static void starts_empty(void **state)
{
    struct buf b = new_buf();
    (void)state;

    check_text(&b, "");
    buf_consume(&b, 0);
    check_text(&b, "");
    free(b.mem);
}

static void appends_to_the_brim(void **state)
{
    struct buf b = new_buf();
    (void)state;

    assert_true(buf_append(&b, "abcde", 5));
    assert_true(buf_append(&b, NULL, 0));
    assert_false(buf_append(&b, "1234", 4));
    check_text(&b, "abcde");
    assert_true(buf_append(&b, "fgh", 3));
    check_text(&b, "abcdefgh");
    assert_false(buf_append(&b, "i", 1));
    assert_true(buf_append(&b, "", 0));
    assert_null(buf_reserve(&b, 1));
    assert_null(buf_reserve(&b, SIZE_MAX));
    check_text(&b, "abcdefgh");
    free(b.mem);
}

static void consumed_room_comes_back(void **state)
{
    struct buf b = new_buf();
    (void)state;

    assert_true(buf_append(&b, "abcdefgh", 8));
    buf_consume(&b, 6);
    check_text(&b, "gh");
    assert_true(buf_append(&b, "ijklmn", 6));
    check_text(&b, "ghijklmn");
    buf_consume(&b, 8);
    check_text(&b, "");
    assert_int_equal(b.head, 0);
    free(b.mem);
}

static void reserve_then_commit(void **state)
{
    struct buf b = new_buf();
    (void)state;

    assert_true(buf_append(&b, "abcdef", 6));
    buf_consume(&b, 4);
    uint8_t *space = buf_reserve(&b, 6);
    assert_non_null(space);
    memcpy(space, "ghijkl", 6);
    check_text(&b, "ef");
    buf_commit(&b, 3);
    check_text(&b, "efghi");
    free(b.mem);
}

static void inserts_anywhere(void **state)
{
    (void)state;

    for (size_t consumed = 0; consumed <= 2; consumed++) {
        for (size_t at = 0; at <= 4; at++) {
            struct buf b = new_buf();
            char expected[CAP + 1] = "abcd";
            memmove(expected + at + 3, expected + at, 5 - at);
            memcpy(expected + at, "XYZ", 3);
            assert_true(buf_append(&b, "..", consumed));
            assert_true(buf_append(&b, "abcd", 4));
            buf_consume(&b, consumed);
            assert_true(buf_insert(&b, at, "XYZ", 3));
            check_text(&b, expected);
            assert_false(buf_insert(&b, at, "12", 2));
            check_text(&b, expected);
            free(b.mem);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_empty),
        cmocka_unit_test(appends_to_the_brim),
        cmocka_unit_test(consumed_room_comes_back),
        cmocka_unit_test(reserve_then_commit),
        cmocka_unit_test(inserts_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
