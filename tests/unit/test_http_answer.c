/* What a request is answered: the handshake, the origin, the bytes. */
#include "proto/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "guard.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

/* Lines of a good handshake, to be left out or replaced one by one. */
#define REQUEST  "GET /ws HTTP/1.1\r\n"
#define HOST     "Host: localhost:8443\r\n"
#define UPGRADE  "Upgrade: websocket\r\n"
#define CONNECT  "Connection: Upgrade\r\n"
#define KEY_LINE "Sec-WebSocket-Key: " KEY "\r\n"
#define VERSION  "Sec-WebSocket-Version: 13\r\n"
#define END      "\r\n"

static void check_span(struct span s, const char *expected)
{
    assert_int_equal(s.len, strlen(expected));
    if (s.len > 0)
        assert_memory_equal(s.ptr, expected, s.len);
}

static int upgrade(const char *head)
{
    struct http_request req;
    struct span key = span_of("untouched");

    assert_int_equal(http_parse((const uint8_t *)head, strlen(head), &req),
                     strlen(head));
    int status = http_check_upgrade(&req, &key);

    check_span(key, status == 101 ? KEY : "untouched");
    return status;
}

static void good_handshakes(void **state)
{
    (void)state;
    assert_int_equal(upgrade(REQUEST HOST UPGRADE CONNECT KEY_LINE VERSION END),
                     101);
    /* RFC 6455 section 1.3 */
    assert_int_equal(
        upgrade("GET /chat HTTP/1.1\r\nHost: server.example.com\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: " KEY "\r\nOrigin: http://example.com\r\n"
                "Sec-WebSocket-Protocol: chat, superchat\r\n"
                "Sec-WebSocket-Version: 13\r\n\r\n"),
        101);
    assert_int_equal(upgrade(REQUEST VERSION
                             "connection: keep-alive\r\n"
                             "CONNECTION: foo, UpGrade\r\n" KEY_LINE
                             "upgrade: h2c, WebSocket\r\n" HOST
                             "Content-Length: 0\r\n\r\n"),
                     101);
    assert_int_equal(upgrade("GET wss://h/ws HTTP/1.1\r\n" HOST UPGRADE CONNECT
                                 KEY_LINE VERSION END),
                     101);
}

static void refused_handshakes(void **state)
{
    (void)state;
    assert_int_equal(upgrade(REQUEST HOST END), 426);
    assert_int_equal(
        upgrade(
            "POST /ws HTTP/1.1\r\n" HOST UPGRADE CONNECT KEY_LINE VERSION END),
        405);
    assert_int_equal(
        upgrade(
            "get /ws HTTP/1.1\r\n" HOST UPGRADE CONNECT KEY_LINE VERSION END),
        405);
    assert_int_equal(
        upgrade(
            "GET /ws HTTP/1.0\r\n" HOST UPGRADE CONNECT KEY_LINE VERSION END),
        426);
    assert_int_equal(
        upgrade(REQUEST "Host:\r\n" UPGRADE CONNECT KEY_LINE VERSION END), 400);
    assert_int_equal(upgrade(REQUEST HOST CONNECT KEY_LINE VERSION END), 426);
    assert_int_equal(
        upgrade(REQUEST HOST
                "Upgrade: websocket2\r\n" CONNECT KEY_LINE VERSION END),
        426);
    assert_int_equal(upgrade(REQUEST HOST UPGRADE KEY_LINE VERSION END), 400);
    assert_int_equal(upgrade(REQUEST HOST UPGRADE
                             "Connection: close\r\n" KEY_LINE VERSION END),
                     400);
}

static void refused_versions_and_keys(void **state)
{
    static const char start[] = REQUEST HOST UPGRADE CONNECT;
    static const struct {
        const char *lines;
        int status;
    } rows[] = {
        {KEY_LINE, 426},
        {KEY_LINE "Sec-WebSocket-Version: 8\r\n", 426},
        {KEY_LINE "Sec-WebSocket-Version: 013\r\n", 426},
        {KEY_LINE "Sec-WebSocket-Version: 13, 8\r\n", 426},
        {KEY_LINE VERSION VERSION, 426},
        {VERSION, 400},
        {VERSION KEY_LINE KEY_LINE, 400},
        {VERSION "Sec-WebSocket-Key:\r\n", 400},
        {VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n", 400},
        {VERSION KEY_LINE "Content-Length: 1\r\n", 400},
        {VERSION KEY_LINE "Content-Length:\r\n", 400},
        {VERSION KEY_LINE "Content-Length: -0\r\n", 400},
        {VERSION KEY_LINE "Content-Length: 0\r\nContent-Length: 0\r\n", 400},
        {VERSION KEY_LINE "Transfer-Encoding: chunked\r\n", 400},
    };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char head[512];
        snprintf(head, sizeof head, "%s%s\r\n", start, rows[i].lines);
        assert_int_equal(upgrade(head), rows[i].status);
    }
}

static bool same(const char *origin, const char *host, bool tls)
{
    uint8_t *a = guard_copy(origin, strlen(origin));
    uint8_t *b = guard_copy(host, strlen(host));
    bool answer = http_origin_matches((struct span){a, strlen(origin)},
                                      (struct span){b, strlen(host)}, tls);

    free(a);
    free(b);
    return answer;
}

static void same_origins(void **state)
{
    (void)state;
    assert_true(same("https://localhost:8443", "localhost:8443", true));
    assert_true(same("http://localhost:8080", "localhost:8080", false));
    assert_true(same("https://example.com", "example.com", true));
    assert_true(same("https://example.com", "example.com:443", true));
    assert_true(same("https://example.com:443", "example.com", true));
    assert_true(same("http://example.com:80", "example.com", false));
    assert_true(same("HTTPS://Example.COM", "eXample.com", true));
    assert_true(same("https://[::1]:8443", "[::1]:8443", true));
    assert_true(same("https://a", "a:", true));
}

static void other_origins(void **state)
{
    (void)state;
    assert_false(http_origin_matches((struct span){0}, span_of("a"), true));
    assert_false(
        http_origin_matches(span_of("https://a"), (struct span){0}, true));
    assert_false(same("", "", true));
    assert_false(same("null", "null", true));
    assert_false(same("https://", "", true));
    assert_false(same("https://:443", ":443", true));
    assert_false(same("http://a", "a", true));
    assert_false(same("https://a", "a", false));
    assert_false(same("wss://a", "a", true));
    assert_false(same("file://", "a", true));
    assert_false(same("https://a:8443", "a", true));
    assert_false(same("https://a", "a:8443", true));
    assert_false(same("https://a:80", "a", true));
    assert_false(same("https://a.b", "a", true));
    assert_false(same("https://a", "a.b", true));
    assert_false(same("https://a/", "a", true));
    assert_false(same("https://a ", "a", true));
    assert_false(same("https://a https://b", "a", true));
    assert_false(same("https://b@a", "a", true));
    assert_false(same("https://a:x", "a:x", true));
    assert_false(same("https://a:65979", "a", true));
    assert_false(same("a", "a", true));
}

static void answer_101(void **state)
{
    static const char expected[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    (void)state;

    assert_int_equal(HTTP_101_LEN, sizeof expected - 1);
    for (size_t cap = 0; cap <= HTTP_101_LEN; cap++) {
        uint8_t *key = guard_copy(KEY, 24);
        char *out = malloc(cap);
        size_t n = http_format_101((struct span){key, 24}, out, cap);
        assert_int_equal(n, cap == HTTP_101_LEN ? cap : 0);
        if (n > 0)
            assert_memory_equal(out, expected, n);
        free(out);
        free(key);
    }
}

static void check_answer(const struct http_answer *a, const char *expected)
{
    for (size_t cap = 0; cap <= strlen(expected); cap++) {
        char *out = malloc(cap);
        size_t n = http_format_answer(a, out, cap);
        assert_int_equal(n, cap == strlen(expected) ? cap : 0);
        if (n > 0)
            assert_memory_equal(out, expected, n);
        free(out);
    }
}

#define COMMON \
    "Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n"

static void plain_answers(void **state)
{
    struct http_answer a = {.status = 200, .body = span_of("OK")};
    (void)state;

    check_answer(&a, "HTTP/1.1 200 OK\r\n" COMMON
                     "Content-Length: 2\r\nConnection: close\r\n\r\nOK");
    a.head_only = true;
    check_answer(&a, "HTTP/1.1 200 OK\r\n" COMMON
                     "Content-Length: 2\r\nConnection: close\r\n\r\n");
    a = (struct http_answer){.status = 405, .extra = "Allow: GET, HEAD\r\n"};
    check_answer(&a, "HTTP/1.1 405 Method Not Allowed\r\n" COMMON
                     "Content-Length: 0\r\nConnection: close\r\n"
                     "Allow: GET, HEAD\r\n\r\n");
    a = (struct http_answer){.status = 426,
                             .body = span_of("a WebSocket is here")};
    check_answer(&a, "HTTP/1.1 426 Upgrade Required\r\n" COMMON
                     "Content-Length: 19\r\nConnection: close, Upgrade\r\n"
                     "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
                     "a WebSocket is here");
}

static void every_status_has_its_reason(void **state)
{
    static const char *const lines[] = {
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 400 Bad Request\r\n",
        "HTTP/1.1 403 Forbidden\r\n",
        "HTTP/1.1 404 Not Found\r\n",
        "HTTP/1.1 405 Method Not Allowed\r\n",
        "HTTP/1.1 408 Request Timeout\r\n",
        "HTTP/1.1 426 Upgrade Required\r\n",
        "HTTP/1.1 429 Too Many Requests\r\n",
        "HTTP/1.1 431 Request Header Fields Too Large\r\n",
        "HTTP/1.1 500 Internal Server Error\r\n",
        "HTTP/1.1 503 Service Unavailable\r\n",
        "HTTP/1.1 505 HTTP Version Not Supported\r\n"};
    (void)state;

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char out[512];
        struct http_answer a = {.status = atoi(lines[i] + 9)};
        assert_true(http_format_answer(&a, out, sizeof out) > 0);
        assert_memory_equal(out, lines[i], strlen(lines[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_handshakes),
        cmocka_unit_test(refused_handshakes),
        cmocka_unit_test(refused_versions_and_keys),
        cmocka_unit_test(same_origins),
        cmocka_unit_test(other_origins),
        cmocka_unit_test(answer_101),
        cmocka_unit_test(plain_answers),
        cmocka_unit_test(every_status_has_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
