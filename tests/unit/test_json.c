/* Unit tests of proto/json. */
#include "proto/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"

#define DEPTH 8

struct text {
    const char *ptr;
    size_t len;
};

/* With its length, as some hold a NUL. */
#define T(literal)                   \
    {                                \
        literal, sizeof(literal) - 1 \
    }

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool is_strict(const char *text, size_t len)
{
    uint8_t *copy = guard_copy(text, len);
    bool answer = json_is_strict((struct span){copy, len}, DEPTH);

    free(copy);
    return answer;
}

static void check_all(const struct text *texts, size_t count, bool expected)
{
    for (size_t i = 0; i < count; i++)
        if (is_strict(texts[i].ptr, texts[i].len) != expected)
            fail_msg("%s: %s", expected ? "refused" : "accepted", texts[i].ptr);
}

static const struct text good[] = {
    T("{}"),
    T("[]"),
    T("\"\""),
    T("0"),
    T("-0"),
    T("true"),
    T("false"),
    T("null"),
    T("1"),
    T("-1"),
    T("10"),
    T("1234567890"),
    T("0.5"),
    T("-0.0"),
    T("1.25"),
    T("1e5"),
    T("1E5"),
    T("1e+5"),
    T("1e-5"),
    T("0e0"),
    T("0E+00"),
    T("-1.5e-07"),
    T("123456789012345678901234567890"),
    T("1e400"),
    T(" 1 "),
    T("\t\r\n {} \t\r\n"),
    T("[1,2,3]"),
    T("[ 1 , 2 ]"),
    T("[[],[[]],{}]"),
    T("[null,true,false]"),
    T("{\"a\":1}"),
    T("{ \"a\" : 1 , \"b\" : [ ] }"),
    T("{\"\":0}"),
    T("{\"a\":1,\"a\":2}"),
    T("{\"a\":{\"b\":{\"c\":{}}}}"),
    T("{\n\"a\"\t:\r{ } }"),
    T("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
    T("\"\\u0000\""),
    T("\"\\uABCD\""),
    T("\"\\uabcd\\u0123\""),
    T("\"\\uD83D\\uDE00\""),
    T("\"\\uD800\""),
    T("\"\\uDC00\""),
    T("\"\\u0022\""),
    T("\"/\""),
    T("\"\x7f\""),
    T("\"\xc3\xa9\""),
    T("\"\xf0\x9f\x98\x80\""),
    T("\"\xe2\x80\xa8\""),
    T("\"\xef\xbb\xbf\""),
    T("\"[{,:}]\""),
    T("\"\\\\\""),
    T("\"\\\\\\\"\""),
    T("[\"\\\\\"]"),
    T("{\"\\u0061\":\"\\\"\"}"),
};

static const struct text bad[] = {
    T(""),
    T(" "),
    T("\n"),
    /* words */
    T("nul"),
    T("nulll"),
    T("True"),
    T("NULL"),
    T("tru"),
    T("truefalse"),
    T("a"),
    T("NaN"),
    T("-NaN"),
    T("Infinity"),
    T("-Infinity"),
    T("undefined"),
    T("nil"),
    T("[nul]"),
    T("[truee]"),
    T("true\0"),
    T("null null"),
    /* numbers */
    T("1."),
    T(".5"),
    T("-.5"),
    T("+1"),
    T("-"),
    T("--1"),
    T("-a"),
    T("1e"),
    T("1e+"),
    T("1e-"),
    T("1E"),
    T("1e5.5"),
    T("1e++5"),
    T("1e+-5"),
    T("1e-+5"),
    T("01"),
    T("00"),
    T("-01"),
    T("-00"),
    T("012"),
    T("0x1"),
    T("1a"),
    T("1.e1"),
    T("1.5.5"),
    T("1,000"),
    T("1 2"),
    T("0.e1"),
    T("- 1"),
    T("1e 5"),
    T("1 .5"),
    T("[1.]"),
    T("[-]"),
    T("[01]"),
    T("[1e]"),
    T("[+1]"),
    T("\xef\xbc\x91"),
    T("1_000"),
    T("1L"),
    T("0e"),
    T("0b1"),
    /* arrays */
    T("["),
    T("]"),
    T("[1"),
    T("[1,"),
    T("[1,]"),
    T("[,1]"),
    T("[,]"),
    T("[1,,2]"),
    T("[1 2]"),
    T("[1]]"),
    T("[1],"),
    T("[1}"),
    T("[1;2]"),
    T("[[]"),
    T("[\"a\" \"b\"]"),
    T("[\"a\":1]"),
    T("[1:2]"),
    T("[]["),
    T("[] []"),
    T("[(1)]"),
    /* objects */
    T("{"),
    T("}"),
    T("{]"),
    T("{\"a\"}"),
    T("{\"a\":}"),
    T("{\"a\":1"),
    T("{\"a\":1,"),
    T("{\"a\":1,}"),
    T("{,}"),
    T("{,\"a\":1}"),
    T("{\"a\" 1}"),
    T("{\"a\"::1}"),
    T("{\"a\":1 \"b\":2}"),
    T("{\"a\":1,,\"b\":2}"),
    T("{a:1}"),
    T("{'a':1}"),
    T("{1:1}"),
    T("{null:1}"),
    T("{\"a\":1}}"),
    T("{\"a\":1}{}"),
    T("{\"a\",1}"),
    T("{\"a\":1:2}"),
    T("{:1}"),
    T("{\"a\":1;\"b\":2}"),
    T("{[]:1}"),
    T("{\"a\":1]"),
    T("{{}}"),
    T("{\"a\":\"b}"),
    T("{\"a"),
    /* strings */
    T("\""),
    T("\"a"),
    T("a\""),
    T("'a'"),
    T("\"a\"b"),
    T("\"a\"\"b\""),
    T("\"\\\""),
    T("\"\\"),
    T("\"\\a\""),
    T("\"\\x41\""),
    T("\"\\'\""),
    T("\"\\0\""),
    T("\"\\v\""),
    T("\"\\ \""),
    T("\"\\\n\""),
    T("\"\\\0\""),
    T("\"\\U0041\""),
    T("\"\\u\""),
    T("\"\\u0\""),
    T("\"\\u00\""),
    T("\"\\u004\""),
    T("\"\\u004g\""),
    T("\"\\u00g4\""),
    T("\"\\ug041\""),
    T("\"\\u 041\""),
    T("\"\\u+041\""),
    T("\"\\u-041\""),
    T("\"\\u0x41\""),
    T("\"\\u004"),
    T("\"\\u004:\""),
    T("\"\\u004/\""),
    T("\"\\u004@\""),
    T("\"\\u004`\""),
    T("\"\\u004G\""),
    T("\"\\\xc3\xa9\""),
    T("\"\n\""),
    T("\"\t\""),
    T("\"\r\""),
    T("\"\0\""),
    T("\"a\0b\""),
    T("\"\x01\""),
    T("\"\x1f\""),
    T("{\"a\nb\":1}"),
    T("[\"\t\"]"),
    T("\"\\\\\\\""),
    /* white space and more */
    T("\xef\xbb\xbf{}"),
    T("\xef\xbb\xbf"),
    T("{}\xef\xbb\xbf"),
    T("\xc2\xa0{}"),
    T("{}\v"),
    T("\f{}"),
    T("\v1"),
    T("{}\0"),
    T("\0{}"),
    T("[\0]"),
    T("\xe2\x80\xa8{}"),
    T("\xe3\x80\x80[]"),
    T("// a\n1"),
    T("/* a */1"),
    T("1 // a"),
    T("#a\n1"),
    T("{}/"),
    T("1\0"),
    T("\\u0031"),
    T("<null>"),
    T("@"),
    T(","),
    T(":"),
    T("{}{}"),
    T("*"),
};

static void must_accept(void **state)
{
    (void)state;
    check_all(good, COUNT(good), true);
}

static void must_refuse(void **state)
{
    (void)state;
    check_all(bad, COUNT(bad), false);
}

static void control_characters(void **state)
{
    char text[] = "\"aa\"", outside[] = "[ 1]";
    (void)state;

    for (int c = 0; c < 256; c++) {
        text[1] = (char)c;
        bool is_fine = c >= 0x20 && c != '"' && c != '\\';
        assert_int_equal(is_strict(text, 4), is_fine);
        outside[1] = (char)c;
        bool is_space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
        bool is_digit = c == '-' || (c >= '1' && c <= '9');
        assert_int_equal(is_strict(outside, 4), is_space || is_digit);
    }
}

static void every_escape(void **state)
{
    char text[] = "\"\\?\"";
    (void)state;

    for (int c = 0; c < 256; c++) {
        text[2] = (char)c;
        bool is_fine = c != 0 && strchr("\"\\/bfnrt", c) != NULL;
        /* A backslash and a quote escape what should have ended it. */
        assert_int_equal(is_strict(text, 4), is_fine);
    }
}

static void every_hex_digit(void **state)
{
    char text[] = "\"\\u0000\"";
    (void)state;

    for (size_t at = 3; at < 7; at++)
        for (int c = 0; c < 256; c++) {
            memcpy(text, "\"\\u0000\"", 8);
            text[at] = (char)c;
            bool is_hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
                          (c >= 'A' && c <= 'F');
            assert_int_equal(is_strict(text, 8), is_hex);
        }
}

/* n arrays, or objects, inside each other around nothing. */
static bool nests(size_t n, bool as_objects, unsigned max_depth)
{
    char text[256];
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s",
                                !as_objects  ? "["
                                : i + 1 == n ? "{"
                                             : "{\"a\":");
    for (size_t i = 0; i < n; i++)
        text[len++] = as_objects ? '}' : ']';
    uint8_t *copy = guard_copy(text, len);
    bool answer = json_is_strict((struct span){copy, len}, max_depth);
    free(copy);
    return answer;
}

static void nesting(void **state)
{
    (void)state;
    for (unsigned max = 0; max <= 9; max++)
        for (size_t n = 1; n <= 12; n++) {
            assert_int_equal(nests(n, false, max), n <= max);
            assert_int_equal(nests(n, true, max), n <= max);
        }
    /* Side by side is not inside. */
    static const char wide[] = "[[],[],[],[],[],[],[],[],[],[],[[]]]";
    assert_true(json_is_strict(span_of(wide), 3));
    assert_false(json_is_strict(span_of(wide), 2));
    assert_true(json_is_strict(span_of("1"), 0));
    assert_false(json_is_strict(span_of("[]"), 0));
}

/* The text may be huge and only open brackets: the stack must not follow. */
static void deep_text(void **state)
{
    enum { N = 1 << 20 };
    uint8_t *text = malloc(N);
    (void)state;

    assert_non_null(text);
    memset(text, '[', N);
    assert_false(json_is_strict((struct span){text, N}, DEPTH));
    free(text);
}

static void every_prefix_is_refused(void **state)
{
    static const char *const texts[] = {
        "{\"type\":\"token_auth\",\"payload\":{\"token\":\"\\u00e9\"}}",
        "[1,-2.5e+10,true,false,null,\"a\\\"b\\\\\",{\"\":[[]]}]",
        "{\"a\" : [ 0.5 , 1E-3 ] , \"b\" : { } , \"c\" : \"\xc3\xa9\" }",
        "\"\\ud83d\\ude00 text\"",
        "[[[[[[[[]]]]]]]]",
    };
    (void)state;

    for (size_t i = 0; i < COUNT(texts); i++) {
        size_t len = strlen(texts[i]);
        for (size_t n = 0; n < len; n++)
            assert_false(is_strict(texts[i], n));
        assert_true(is_strict(texts[i], len));
    }
}

static void check_mask(const char *text, const char *expected)
{
    size_t len = strlen(text);
    uint8_t *copy = guard_copy(text, len);

    assert_true(is_strict(text, len));
    json_mask_nul(copy, len);
    assert_memory_equal(copy, expected, len);
    free(copy);
}

static void masked_nul(void **state)
{
    (void)state;
    check_mask("\"\\u0000\"", "\"\\ufffd\"");
    check_mask("\"a\\u0000b\\u0000\"", "\"a\\ufffdb\\ufffd\"");
    check_mask("\"\\\\u0000\"", "\"\\\\u0000\"");
    check_mask("\"\\\\\\u0000\"", "\"\\\\\\ufffd\"");
    check_mask("\"\\\\\\\\u0000\"", "\"\\\\\\\\u0000\"");
    check_mask("\"\\u00001\"", "\"\\ufffd1\"");
    check_mask("\"\\u0001\"", "\"\\u0001\"");
    check_mask("\"\\u1000u0000\"", "\"\\u1000u0000\"");
    check_mask("\"\\n\\u0000\\\"\"", "\"\\n\\ufffd\\\"\"");
    check_mask("{\"type\\u0000x\":\"\\u0000\"}",
               "{\"type\\ufffdx\":\"\\ufffd\"}");
    check_mask("\"u0000\"", "\"u0000\"");
    check_mask("[]", "[]");
    check_mask("\"\\\\\"", "\"\\\\\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(must_accept),
        cmocka_unit_test(must_refuse),
        cmocka_unit_test(control_characters),
        cmocka_unit_test(every_escape),
        cmocka_unit_test(every_hex_digit),
        cmocka_unit_test(nesting),
        cmocka_unit_test(deep_text),
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(masked_nul),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
