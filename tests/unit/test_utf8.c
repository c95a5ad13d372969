#include "proto/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "guard.h"

/* Feed text cut at two places; every piece ends at a guard. */
static bool feed_pieces(struct span text, size_t first, size_t second)
{
    const size_t ends[] = {first, second, text.len};
    size_t begin = 0;
    struct utf8 u;
    bool good = true;

    utf8_init(&u);
    for (size_t i = 0; i < 3 && good; i++) {
        uint8_t *piece = guard_copy(text.ptr + begin, ends[i] - begin);
        good = utf8_feed(&u, piece, ends[i] - begin);
        free(piece);
        begin = ends[i];
    }
    return good && utf8_is_complete(&u);
}

static bool feed_bytes(struct span text)
{
    struct utf8 u;

    utf8_init(&u);
    for (size_t i = 0; i < text.len; i++) {
        uint8_t *byte = guard_copy(text.ptr + i, 1);
        bool good = utf8_feed(&u, byte, 1);
        free(byte);
        if (!good)
            return false;
    }
    return utf8_is_complete(&u);
}

static void check(const void *data, size_t len, bool expected)
{
    struct span text = {data, len};

    assert_int_equal(feed_bytes(text), expected);
    for (size_t i = 0; i <= len; i++)
        for (size_t j = i; j <= len; j++)
            assert_int_equal(feed_pieces(text, i, j), expected);
    uint8_t *copy = guard_copy(data, len);
    assert_int_equal(utf8_is_valid((struct span){copy, len}), expected);
    free(copy);
}

#define VALID(text)   check(text, sizeof text - 1, true)
#define INVALID(text) check(text, sizeof text - 1, false)

static void valid_texts(void **state)
{
    (void)state;
    assert_true(utf8_is_valid((struct span){NULL, 0}));
    VALID("");
    VALID("plain ASCII, longer than eight bytes");
    VALID("a\0b");
    /* RFC 3629 section 7 */
    VALID("\x41\xE2\x89\xA2\xCE\x91\x2E");
    VALID("\xED\x95\x9C\xEA\xB5\xAD\xEC\x96\xB4");
    VALID("\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E");
    VALID("\xEF\xBB\xBF\xF0\xA3\x8E\xB4");
    /* first and last of each length, and around the surrogates */
    VALID("\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF");
    VALID("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF");
    VALID("\xED\x9F\xBF\xEE\x80\x80");
    VALID("\xEF\xBF\xBE\xEF\xB7\x90");
}

static void invalid_texts(void **state)
{
    (void)state;
    INVALID("\x80");
    INVALID("abcdefgh\xBFijklmnop");
    INVALID("\xC0\x80");
    INVALID("\xC1\xBF");
    INVALID("\xE0\x80\x80");
    INVALID("\xE0\x9F\xBF");
    INVALID("\xF0\x80\x80\x80");
    INVALID("\xF0\x8F\xBF\xBF");
    INVALID("\xED\xA0\x80");
    INVALID("\xED\xBF\xBF");
    INVALID("\xED\xA0\x80\xED\xB0\x80");
    INVALID("\xF4\x90\x80\x80");
    INVALID("\xF5\x80\x80\x80");
    INVALID("\xF8\x88\x80\x80\x80");
    INVALID("\xFE");
    INVALID("\xFF");
    INVALID("\xC3");
    INVALID("\xC3(");
    INVALID("\xE2\x82");
    INVALID("\xE2(\x82");
    INVALID("\xF0\x9F\x98");
    INVALID("\xC3\xC3\xA9");
    INVALID("\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xED\xA0\x80"
            "edited");
}

/* RFC 3629 section 4, written another way: decode, then look at the value. */
static bool is_character(const uint8_t *s, size_t len)
{
    static const uint8_t lead_bits[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
    static const uint8_t lead_mask[] = {0, 0x80, 0xE0, 0xF0, 0xF8};
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t value = s[0] & (uint32_t)~lead_mask[len];

    if ((s[0] & lead_mask[len]) != lead_bits[len])
        return false;
    for (size_t i = 1; i < len; i++) {
        if (s[i] >> 6 != 2)
            return false;
        value = value << 6 | (s[i] & 0x3F);
    }
    return value >= least[len] && value <= 0x10FFFF &&
           !(value >= 0xD800 && value <= 0xDFFF);
}

/* Could s[0..len) be the start of one character, and no less? */
static bool is_prefix(const uint8_t *s, size_t len)
{
    static const uint8_t ends[] = {0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF};
    uint8_t whole[4];

    memcpy(whole, s, len);
    for (size_t want = len + 1; want <= 4; want++) {
        for (size_t e = 0; e < sizeof ends; e++) {
            memset(whole + len, 0x80, want - len);
            whole[len] = ends[e];
            if (is_character(whole, want))
                return true;
        }
    }
    return false;
}

/* Every string of three bytes: is it refused at the first possible byte? */
static void fails_at_the_first_bad_byte(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 1u << 24; n++) {
        uint8_t s[3] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
        struct utf8 u;
        size_t begin = 0;
        utf8_init(&u);
        for (size_t i = 0; i < 3; i++) {
            size_t len = i + 1 - begin;
            bool whole = is_character(s + begin, len);
            bool good = whole || is_prefix(s + begin, len);
            if (utf8_feed(&u, s + i, 1) != good)
                fail_msg("%02x %02x %02x at %zu", s[0], s[1], s[2], i);
            if (!good) {
                n |= 0xFFFFFFu >> (8 * (i + 1));
                break;
            }
            if (utf8_is_complete(&u) != whole)
                fail_msg("%02x %02x %02x at %zu", s[0], s[1], s[2], i);
            begin = whole ? i + 1 : begin;
        }
    }
}

static void every_four_byte_character(void **state)
{
    (void)state;
    for (uint32_t c = 0x10000; c < 0x200000; c++) {
        const uint8_t s[] = {
            (uint8_t)(0xF0 | c >> 18), (uint8_t)(0x80 | (c >> 12 & 0x3F)),
            (uint8_t)(0x80 | (c >> 6 & 0x3F)), (uint8_t)(0x80 | (c & 0x3F))};
        if (utf8_is_valid((struct span){s, 4}) != (c <= 0x10FFFF))
            fail_msg("U+%X", c);
    }
}

/* The path for runs of ASCII must not step over anything. */
static void bad_byte_at_every_place(void **state)
{
    uint8_t text[40];
    (void)state;

    for (size_t len = 1; len <= sizeof text; len++) {
        for (size_t i = 0; i < len; i++) {
            memset(text, 'a', len);
            text[i] = 0xFF;
            uint8_t *copy = guard_copy(text, len);
            assert_false(utf8_is_valid((struct span){copy, len}));
            memset(copy, 'a', len);
            assert_true(utf8_is_valid((struct span){copy, len}));
            free(copy);
        }
    }
}

/* No cut is within a character, and none is shorter than it has to be. */
static void cuts(void **state)
{
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\xae"
                               "bcdefgh";
    static const size_t expected[] = {3, 3, 6, 6, 6, 6, 10, 11, 12};
    (void)state;

    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(utf8_cut(span_of(text), i + 4), expected[i]);
    assert_int_equal(utf8_cut(span_of(text), sizeof text - 1), sizeof text - 1);
    assert_int_equal(utf8_cut((struct span){0}, 4), 0);
    /* What is no UTF-8 is cut as well. */
    assert_int_equal(utf8_cut(span_of("\x80\x80\x80\x80\x80"), 4), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_texts),
        cmocka_unit_test(invalid_texts),
        cmocka_unit_test(fails_at_the_first_bad_byte),
        cmocka_unit_test(every_four_byte_character),
        cmocka_unit_test(bad_byte_at_every_place),
        cmocka_unit_test(cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
