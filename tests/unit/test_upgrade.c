/* Unit tests of app/upgrade: request heads and their answers. */
#include "app/upgrade.h"

#include "proto/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"

#define UPGRADE(more)                                 \
    "Upgrade: websocket\r\nConnection: Upgrade\r\n"   \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" \
    "Sec-WebSocket-Version: 13\r\nHost: localhost:8443\r\n" more "\r\n"
#define GET_WS(more) "GET /ws HTTP/1.1\r\n" UPGRADE(more)

static const char *trouble;

static const char *unready_reason(void *ctx)
{
    (void)ctx;
    return trouble;
}

static const char *const origins[] = {"https://play.example.org",
                                      "http://localhost:3000"};

static struct session_rules rules = {
    .app = {.unready_reason = unready_reason},
    .path = "/ws",
    .header_max = 600,
    .origins = origins,
    .origin_count = 2,
};

static struct upgrade_answer answer;
static bool is_tls;

static int reset(void **state)
{
    (void)state;
    trouble = NULL;
    is_tls = true;
    rules.path = "/ws";
    return 0;
}

/* Ask with a head at a guard. returns: what upgrade_answer_head does */
static size_t ask_n(const char *head, size_t len, size_t checked)
{
    uint8_t *copy = guard_copy(head, len);
    struct upgrade_input input = {copy, len, checked};

    memset(&answer, 0x5a, sizeof answer);
    size_t n = upgrade_answer_head(&rules, is_tls, &input, &answer);
    free(copy);
    assert_true(answer.len < sizeof answer.text);
    answer.text[answer.len] = '\0';
    return n;
}

static int status_of(const char *head)
{
    int status = 0;

    ask_n(head, strlen(head), 0);
    if (sscanf(answer.text, "HTTP/1.1 %d ", &status) != 1)
        fail_msg("no answer to %s", head);
    assert_int_equal(answer.is_upgrade, status == 101);
    if (status != 101) {
        assert_non_null(strstr(answer.text, "\r\nConnection: close"));
        assert_non_null(answer.end);
    }
    return status;
}

static void check_body(const char *body)
{
    const char *found = strstr(answer.text, "\r\n\r\n");

    assert_non_null(found);
    assert_string_equal(found + 4, body);
}

static void websocket(void **state)
{
    (void)state;
    assert_int_equal(ask_n(GET_WS(""), strlen(GET_WS("")), 0),
                     strlen(GET_WS("")));
    assert_true(answer.is_upgrade);
    assert_string_equal(answer.text,
                        "HTTP/1.1 101 Switching Protocols\r\n"
                        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
                        "\r\n\r\n");
    assert_int_equal(status_of("GET /ws?x=1 HTTP/1.1\r\n" UPGRADE("")), 101);
    assert_int_equal(
        status_of("GET https://localhost:8443/ws HTTP/1.1\r\n" UPGRADE("")),
        101);
}

static void not_an_upgrade(void **state)
{
    (void)state;
    assert_int_equal(status_of("GET /ws HTTP/1.1\r\nHost: a\r\n\r\n"), 426);
    assert_non_null(strstr(answer.text, "\r\nSec-WebSocket-Version: 13\r\n"));
    assert_int_equal(status_of("POST /ws HTTP/1.1\r\n" UPGRADE("")), 405);
    assert_non_null(strstr(answer.text, "\r\nAllow: GET\r\n"));
    check_body("Method not allowed\n");
    assert_int_equal(status_of("HEAD /ws HTTP/1.1\r\nHost: a\r\n\r\n"), 405);
    check_body("");
    assert_int_equal(status_of("GET /ws HTTP/1.1\r\nHost: a\r\n"
                               "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Version: 12\r\n"
                               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
                               "\r\n\r\n"),
                     426);
    assert_int_equal(status_of("GET /ws HTTP/1.1\r\nHost: a\r\n"
                               "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Version: 13\r\n\r\n"),
                     400);
}

static void other_paths(void **state)
{
    static const char *const targets[] = {
        "/",     "/ws/",     "/WS",         "/wss",    "/w",
        "//ws",  "/health/", "/healthz",    "/Health", "/ready/x",
        "/%77s", "/ws%3fx",  "/index.html",
    };
    char head[256];
    (void)state;

    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n",
                 targets[i]);
        assert_int_equal(status_of(head), 404);
        check_body("Not found\n");
    }
    assert_int_equal(status_of("HEAD /no HTTP/1.1\r\nHost: a\r\n\r\n"), 404);
    check_body("");
    assert_non_null(strstr(answer.text, "\r\nContent-Length: 10\r\n"));
}

static void any_path(void **state)
{
    (void)state;
    rules.path = NULL;
    assert_int_equal(status_of("GET / HTTP/1.1\r\n" UPGRADE("")), 101);
    assert_int_equal(status_of("GET /a/b?c HTTP/1.1\r\n" UPGRADE("")), 101);
    assert_int_equal(status_of("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 426);
    assert_int_equal(status_of("GET /health HTTP/1.1\r\n" UPGRADE("")), 200);
    assert_int_equal(status_of("GET /ready HTTP/1.1\r\n" UPGRADE("")), 200);
}

static void health(void **state)
{
    (void)state;
    trouble = "not now";
    assert_int_equal(status_of("GET /health HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
    check_body("OK");
    assert_string_equal(answer.end, "health answered");
    assert_int_equal(status_of("GET /health?a HTTP/1.0\r\n\r\n"), 200);
    assert_int_equal(status_of("HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n"),
                     200);
    assert_non_null(strstr(answer.text, "\r\nContent-Length: 2\r\n"));
    check_body("");
    assert_int_equal(status_of("PUT /health HTTP/1.1\r\nHost: a\r\n\r\n"), 405);
    assert_non_null(strstr(answer.text, "\r\nAllow: GET, HEAD\r\n"));
}

static void ready(void **state)
{
    static const char get[] = "GET /ready HTTP/1.1\r\nHost: a\r\n\r\n";
    (void)state;

    assert_int_equal(status_of(get), 200);
    check_body("OK");
    trouble = "the disk is full";
    assert_int_equal(status_of(get), 503);
    check_body("the disk is full");
    assert_int_equal(status_of("HEAD /ready HTTP/1.1\r\nHost: a\r\n\r\n"), 503);
    check_body("");
    assert_int_equal(status_of("DELETE /ready HTTP/1.1\r\nHost: a\r\n\r\n"),
                     405);
}

static void origin_rules(void **state)
{
    (void)state;
    assert_int_equal(status_of(GET_WS("")), 101);
    assert_int_equal(status_of(GET_WS("Origin: https://localhost:8443\r\n")),
                     101);
    assert_int_equal(status_of(GET_WS("Origin: https://LOCALHOST:8443\r\n")),
                     101);
    assert_int_equal(status_of(GET_WS("Origin: http://localhost:8443\r\n")),
                     403);
    check_body("This origin is not allowed\n");
    assert_int_equal(status_of(GET_WS("Origin: https://localhost\r\n")), 403);
    assert_int_equal(status_of(GET_WS("Origin: null\r\n")), 403);
    assert_int_equal(status_of(GET_WS("Origin:\r\n")), 403);
    assert_int_equal(status_of(GET_WS("Origin: https://evil.example\r\n")),
                     403);
    assert_int_equal(status_of(GET_WS("Origin: https://play.example.org\r\n")),
                     101);
    assert_int_equal(status_of(GET_WS("Origin: HTTPS://Play.example.org\r\n")),
                     101);
    assert_int_equal(status_of(GET_WS("Origin: https://play.example.orgx\r\n")),
                     403);
    assert_int_equal(status_of(GET_WS("Origin: http://localhost:3000\r\n")),
                     101);
    assert_int_equal(status_of(GET_WS("Origin: https://play.example.org\r\n"
                                      "Origin: https://play.example.org\r\n")),
                     403);
    is_tls = false;
    assert_int_equal(status_of(GET_WS("Origin: http://localhost:8443\r\n")),
                     101);
    assert_int_equal(status_of(GET_WS("Origin: https://localhost:8443\r\n")),
                     403);
    /* Only what opens a WebSocket is judged by it. */
    assert_int_equal(status_of("GET /health HTTP/1.1\r\nHost: a\r\n"
                               "Origin: https://evil.example\r\n\r\n"),
                     200);
}

static void bad_requests(void **state)
{
    static const char *const heads[] = {
        "\r\n",
        "\x16\x03\x01",
        "{\"type\":1}",
        "GET /ws HTTP/1.1\n\n",
        "GET /ws HTTP/1.1\r\n\r\n",
        "G\tT",
        "GET / HTTP/1.1\r\nHost:a\r\n folded\r\n\r\n",
        "GET  /ws HTTP/1.1\r\nHost: a\r\n\r\n",
        "A23456789012345678901234567890 / HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    (void)state;

    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        assert_int_equal(status_of(heads[i]), 400);
        check_body("Bad request\n");
    }
    assert_int_equal(status_of("GET /ws HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
    char many[600] = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (int i = 0; i < HTTP_FIELDS_MAX; i++)
        strcat(many, "a:b\r\n");
    strcat(many, "\r\n");
    assert_int_equal(status_of(many), 431);
}

static void every_prefix_waits(void **state)
{
    static const char head[] = GET_WS("Origin: https://localhost:8443\r\n");
    (void)state;

    for (size_t n = 0; n < sizeof head - 1; n++)
        for (size_t checked = 0; checked <= n; checked += 7) {
            ask_n(head, n, checked);
            assert_int_equal(answer.len, 0);
            assert_false(answer.is_upgrade);
        }
    for (size_t checked = 0; checked < sizeof head - 1; checked++) {
        assert_int_equal(ask_n(head, sizeof head - 1, checked),
                         sizeof head - 1);
        assert_true(answer.is_upgrade);
    }
}

static void too_large(void **state)
{
    char head[601];
    (void)state;

    int n =
        snprintf(head, sizeof head, "GET /health HTTP/1.1\r\nHost: a\r\nX:");
    memset(head + n, 'x', sizeof head - (size_t)n);
    ask_n(head, 599, 0);
    assert_int_equal(answer.len, 0);
    ask_n(head, 600, 599);
    assert_int_equal(strncmp(answer.text, "HTTP/1.1 431 ", 13), 0);
    memcpy(head + 596, "\r\n\r\n", 4);
    ask_n(head, 600, 599);
    assert_int_equal(strncmp(answer.text, "HTTP/1.1 200 ", 13), 0);
}

#define TEST(name) cmocka_unit_test_setup(name, reset)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(websocket),    TEST(not_an_upgrade), TEST(other_paths),
        TEST(any_path),     TEST(health),         TEST(ready),
        TEST(origin_rules), TEST(bad_requests),   TEST(every_prefix_waits),
        TEST(too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
