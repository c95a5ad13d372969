#include "proto/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "guard.h"

#define REQUEST "GET /ws HTTP/1.1\r\n"
#define HOST    "Host: localhost:8443\r\n"

static void check_span(struct span s, const char *expected)
{
    assert_int_equal(s.len, strlen(expected));
    if (s.len > 0)
        assert_memory_equal(s.ptr, expected, s.len);
}

/*
 * Parse every prefix at a guard. Before the deciding line is whole the answer
 * must be "incomplete", from then on always the same.
 * returns: that answer, of a head that *req points into
 */
static int parse_prefixes(const char *head, size_t len,
                          struct http_request *req)
{
    int result = 0;

    for (size_t n = 0; n <= len; n++) {
        uint8_t *in = guard_copy(head, n);
        int now = http_parse(in, n, req);
        if (result != 0)
            assert_int_equal(now, result);
        if (now > 0)
            assert_int_equal(http_head_end(in, n, (size_t)now - 1), now);
        result = now;
        free(in);
    }
    if (result > 0)
        assert_int_equal(http_parse((const uint8_t *)head, len, req), result);
    return result;
}

static struct http_request parse_good(const char *head)
{
    struct http_request req;

    assert_int_equal(parse_prefixes(head, strlen(head), &req), strlen(head));
    return req;
}

static void check_error(const char *head, size_t len, int expected)
{
    struct http_request req;

    assert_int_equal(parse_prefixes(head, len, &req), expected);
}

#define BAD(head) check_error(head, sizeof head - 1, HTTP_BAD)

static void whole_request(void **state)
{
    (void)state;
    struct http_request req = parse_good(
        "GET /ws?a=1 HTTP/1.1\r\nHost: localhost:8443\r\nX-Empty:\r\n"
        "X-Space: \t two words \t\r\nx-obs: caf\xE9\r\nLast:z\r\n\r\n");

    check_span(req.method, "GET");
    check_span(req.target, "/ws?a=1");
    assert_int_equal(req.minor_version, 1);
    assert_int_equal(req.field_count, 5);
    check_span(req.fields[0].name, "Host");
    check_span(req.fields[0].value, "localhost:8443");
    check_span(req.fields[1].value, "");
    check_span(req.fields[2].value, "two words");
    check_span(req.fields[3].value, "caf\xE9");
    check_span(req.fields[4].name, "Last");
    check_span(req.fields[4].value, "z");
}

static void bytes_after_the_head_stay(void **state)
{
    static const char head[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\nrest";
    struct http_request req;
    (void)state;

    assert_int_equal(parse_prefixes(head, sizeof head - 1, &req), 27);
}

static void versions(void **state)
{
    (void)state;
    assert_int_equal(parse_good("GET / HTTP/1.0\r\n\r\n").minor_version, 0);
    assert_int_equal(
        parse_good("GET / HTTP/1.9\r\nHost: a\r\n\r\n").minor_version, 9);
    check_error("GET / HTTP/2.0\r\n", 16, HTTP_BAD_VERSION);
    check_error("PRI * HTTP/2.0\r\n\r\nSM", 20, HTTP_BAD);
    check_error("GET / HTTP/0.9\r\n", 16, HTTP_BAD_VERSION);
    BAD("GET / HTTP/1.10\r\n");
    BAD("GET / HTTP/11\r\n");
    BAD("GET / HTTP/1.\r\n");
    BAD("GET / HTTP/x.1\r\n");
    BAD("GET / HTTP/1.x\r\n");
    BAD("GET / HTTP/1,1\r\n");
    BAD("GET / http/1.1\r\n");
    BAD("GET / HTTPS/1.1\r\n");
    BAD("GET /\r\n");
    BAD("GET / \r\n");
}

static void bad_request_lines(void **state)
{
    (void)state;
    BAD("\r\n");
    BAD("\n");
    BAD("\r\nGET / HTTP/1.1\r\n");
    BAD(" GET / HTTP/1.1\r\n");
    BAD("GET  / HTTP/1.1\r\n");
    BAD("GET /  HTTP/1.1\r\n");
    BAD("GET / HTTP/1.1 \r\n");
    BAD("GET\t/ HTTP/1.1\r\n");
    BAD("GET /a b HTTP/1.1\r\n");
    BAD("GET HTTP/1.1\r\n");
    BAD("GET\r\n");
    BAD("G(T / HTTP/1.1\r\n");
    BAD("ABCDEFGHIJKLMNOPQRSTUVWXY / HTTP/1.1\r\n");
    BAD("GET / HTTP/1.1\n");
    BAD("GET / HTTP/1.1\r\r\n");
    BAD("GET /\r HTTP/1.1\r\n");
    BAD("GET /\0 HTTP/1.1\r\n");
    BAD("GET /\x7F HTTP/1.1\r\n");
    BAD("GET /\xC3\xA9 HTTP/1.1\r\n");
    BAD("GET /#top HTTP/1.1\r\n");
    BAD("{\"type\":\"token_auth\"}\r\n");
}

static void target_forms(void **state)
{
    (void)state;
    parse_good("ABCDEFGHIJKLMNOPQRSTUVWX / HTTP/1.1\r\nHost: a\r\n\r\n");
    parse_good("GET //a/../b;c?x={|}&y=%20'\" HTTP/1.1\r\nHost: a\r\n\r\n");
    parse_good("GET http://h:1/x HTTP/1.1\r\nHost: a\r\n\r\n");
    parse_good("GET WSS://[::1]?q HTTP/1.1\r\nHost: a\r\n\r\n");
    parse_good("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    BAD("GET * HTTP/1.1\r\n");
    BAD("OPTIONS ** HTTP/1.1\r\n");
    BAD("GET ws HTTP/1.1\r\n");
    BAD("GET ?q HTTP/1.1\r\n");
    BAD("CONNECT localhost:8443 HTTP/1.1\r\n");
    BAD("GET http:///x HTTP/1.1\r\n");
    BAD("GET ://h/x HTTP/1.1\r\n");
    BAD("GET http:/x HTTP/1.1\r\n");
    BAD("GET http://user@h/x HTTP/1.1\r\n");
    BAD("GET http://h:x/ HTTP/1.1\r\n");
}

static void bad_field_lines(void **state)
{
    (void)state;
    BAD(REQUEST "Host : a\r\n");
    BAD(REQUEST "Host\t: a\r\n");
    BAD(REQUEST " Host: a\r\n");
    BAD(REQUEST "Host\r\n");
    BAD(REQUEST ": a\r\n");
    BAD(REQUEST "Ho st: a\r\n");
    BAD(REQUEST "H\xC3\xB6st: a\r\n");
    BAD(REQUEST "H\0st: a\r\n");
    BAD(REQUEST "Host: a\r\n folded\r\n");
    BAD(REQUEST "Host: a\r\n\tfolded: x\r\n");
    BAD(REQUEST "Host: a\n");
    BAD(REQUEST "Host: a\r\r\n");
    BAD(REQUEST "X: a\rb\r\n");
    BAD(REQUEST "X: a\0b\r\n");
    BAD(REQUEST "X: a\x7F"
                "b\r\n");
    BAD(REQUEST "X: a\x1B[0m\r\n");
    BAD(REQUEST HOST "\n");
    BAD(REQUEST HOST "\r\r\n");
}

/* RFC 9112 section 3.2 */
static void host_rules(void **state)
{
    static const char *const good[] = {
        "",      "a",  "example.com",  "127.0.0.1:1", "[::1]:8443",
        "[::1]", "a:", "a_b-c.d%20:0", "h:65535",     "h:00080"};
    static const char *const bad[] = {
        ":80",  "a b", "a:b",  "a:65536", "a:99999999999999999999",
        "a:-1", "::1", "[::1", "[]",      "[::1]x",
        "a/b",  "u@h", "a?b",  "a\\b",    "[a]b:1"};
    char head[128];
    (void)state;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        snprintf(head, sizeof head, REQUEST "Host: %s\r\n\r\n", good[i]);
        parse_good(head);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(head, sizeof head, REQUEST "Host: %s\r\n\r\n", bad[i]);
        check_error(head, strlen(head), HTTP_BAD);
    }
    BAD(REQUEST "\r\n");
    BAD(REQUEST "Host: a\r\nHost: a\r\n\r\n");
    BAD(REQUEST "Host: a\r\nhOST: b\r\n\r\n");
    BAD("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n");
    BAD("GET / HTTP/1.0\r\nHost: a b\r\n\r\n");
}

static void at_most_64_fields(void **state)
{
    char head[2048] = "GET / HTTP/1.1\r\nHost: a\r\n";
    struct http_request req;
    (void)state;

    for (int i = 1; i < HTTP_FIELDS_MAX; i++)
        strcat(head, "A: b\r\n");
    size_t len = strlen(head);
    strcat(head, "\r\n");
    assert_int_equal(parse_prefixes(head, len + 2, &req), len + 2);
    assert_int_equal(req.field_count, HTTP_FIELDS_MAX);
    strcpy(head + len, "A: b\r\n\r\n");
    check_error(head, strlen(head), HTTP_TOO_MANY);
}

static void error_statuses(void **state)
{
    (void)state;
    assert_int_equal(http_error_status(HTTP_BAD), 400);
    assert_int_equal(http_error_status(HTTP_TOO_MANY), 431);
    assert_int_equal(http_error_status(HTTP_BAD_VERSION), 505);
}

static bool may_be(const char *text, size_t len)
{
    uint8_t *in = guard_copy(text, len);
    bool answer = http_may_be_request(in, len);

    free(in);
    return answer;
}

static void garbage_is_no_request(void **state)
{
    static const char good[] = "GET /ws HTTP/1.1\r\n";
    (void)state;

    for (size_t len = 0; len < sizeof good; len++)
        assert_true(may_be(good, len));
    assert_true(http_may_be_request(NULL, 0));
    assert_true(may_be("ABCDEFGHIJKLMNOPQRSTUVWX ", 25));
    assert_false(may_be("ABCDEFGHIJKLMNOPQRSTUVWXY", 25));
    assert_false(may_be("\x16\x03\x01", 3));
    assert_false(may_be(" ", 1));
    assert_false(may_be("\r", 1));
    assert_false(may_be("{", 1));
    assert_false(may_be("GET/ws", 6));
    assert_false(may_be("GET\r\n", 5));
    assert_false(may_be("\x81\x85", 2));
    assert_false(may_be("\0", 1));
}

/* From any earlier state of knowledge the same end is found, and no other. */
static void check_end(const char *text, size_t expected)
{
    size_t len = strlen(text);

    for (size_t n = 0; n <= len; n++) {
        uint8_t *in = guard_copy(text, n);
        size_t whole = http_head_end(in, n, 0);
        assert_int_equal(whole, expected > 0 && n >= expected ? expected : 0);
        for (size_t checked = 0; checked <= n; checked++)
            if (expected == 0 || checked < expected)
                assert_int_equal(http_head_end(in, n, checked), whole);
        free(in);
    }
}

static void end_of_the_head(void **state)
{
    (void)state;
    assert_int_equal(http_head_end(NULL, 0, 0), 0);
    check_end("", 0);
    check_end("GET / HTTP/1.1\r\nHost: a\r\n\r\nrest\r\n\r\n", 27);
    check_end("GET / HTTP/1.1\r\nHost: a\r\n", 0);
    check_end("a\r\r\n\r", 0);
    check_end("a\n\n", 3);
    check_end("a\r\n\n", 4);
    check_end("a\n\r\n", 4);
    check_end("a\n\rb\n\r\r\n", 0);
    check_end("\r\n\r\n", 4);
}

static void duplicates_are_visible(void **state)
{
    size_t count = 99;
    (void)state;
    struct http_request req =
        parse_good(REQUEST HOST "A: 1\r\nB: 2\r\na: 3\r\n\r\n");

    check_span(http_find(&req, "a", &count)->value, "1");
    assert_int_equal(count, 2);
    check_span(http_find(&req, "B", NULL)->value, "2");
    assert_null(http_find(&req, "C", &count));
    assert_int_equal(count, 0);
    assert_null(http_find(&req, "", &count));
}

static void tokens_in_lists(void **state)
{
    (void)state;
    struct http_request req =
        parse_good(REQUEST HOST "Connection: keep-alive,\tUPGRADE ,, x\r\n"
                                "X:\r\nconnection: close\r\n\r\n");

    assert_true(http_field_has_token(&req, "Connection", "keep-alive"));
    assert_true(http_field_has_token(&req, "Connection", "upgrade"));
    assert_true(http_field_has_token(&req, "CONNECTION", "x"));
    assert_true(http_field_has_token(&req, "Connection", "Close"));
    assert_false(http_field_has_token(&req, "Connection", "keep"));
    assert_false(http_field_has_token(&req, "Connection", "alive"));
    assert_false(http_field_has_token(&req, "Connection", "xx"));
    assert_false(http_field_has_token(&req, "X", "x"));
    assert_false(http_field_has_token(&req, "Y", "x"));
}

static void path_of_a_target(void **state)
{
    (void)state;
    check_span(http_target_path(span_of("/ws")), "/ws");
    check_span(http_target_path(span_of("/ws?x=/y")), "/ws");
    check_span(http_target_path(span_of("/?")), "/");
    check_span(http_target_path(span_of("/ws/")), "/ws/");
    check_span(http_target_path(span_of("/a://b/c")), "/a://b/c");
    check_span(http_target_path(span_of("http://h:1/ws?q")), "/ws");
    check_span(http_target_path(span_of("https://h")), "/");
    check_span(http_target_path(span_of("ws://h?/ws")), "/");
    check_span(http_target_path(span_of("*")), "*");
    check_span(http_target_path((struct span){0}), "/");
}

static void host_of_a_request(void **state)
{
    struct http_request req;
    (void)state;

    req = parse_good("GET /x HTTP/1.1\r\nHost: a:1\r\n\r\n");
    check_span(http_request_host(&req), "a:1");
    req = parse_good("GET http://b:2/x HTTP/1.1\r\nHost: a:1\r\n\r\n");
    check_span(http_request_host(&req), "b:2");
    req = parse_good("GET /x HTTP/1.0\r\n\r\n");
    check_span(http_request_host(&req), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_request),
        cmocka_unit_test(bytes_after_the_head_stay),
        cmocka_unit_test(versions),
        cmocka_unit_test(bad_request_lines),
        cmocka_unit_test(target_forms),
        cmocka_unit_test(bad_field_lines),
        cmocka_unit_test(host_rules),
        cmocka_unit_test(at_most_64_fields),
        cmocka_unit_test(error_statuses),
        cmocka_unit_test(garbage_is_no_request),
        cmocka_unit_test(end_of_the_head),
        cmocka_unit_test(duplicates_are_visible),
        cmocka_unit_test(tokens_in_lists),
        cmocka_unit_test(path_of_a_target),
        cmocka_unit_test(host_of_a_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
