/* Unit tests of proto/msg. */
#include "proto/msg.h"

#include "proto/utf8.h"

#include <cJSON.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"

#define JANE    "550e8400-e29b-41d4-a716-446655440000"
#define NIL     "00000000-0000-0000-0000-000000000000"
#define MESSAGE 4096

static const uint8_t jane[TOKEN_LEN] = {0x55, 0x0e, 0x84, 0x00, 0xe2, 0x9b,
                                        0x41, 0xd4, 0xa7, 0x16, 0x44, 0x66,
                                        0x55, 0x44, 0x00, 0x00};

/* Parse a text that ends at a guard, with an arena of that many bytes. */
static enum msg_kind parse_in(size_t cap, const char *text, size_t len,
                              uint8_t token[TOKEN_LEN])
{
    void *mem = malloc(cap);
    uint8_t *copy = guard_copy(text, len);
    struct msg_arena arena;

    assert_true(mem != NULL || cap == 0);
    msg_arena_init(&arena, mem, cap);
    enum msg_kind kind = msg_parse(&arena, (struct span){copy, len}, token);
    assert_true(arena.used <= cap);
    assert_int_equal(msg_parse(&arena, (struct span){copy, len}, token), kind);
    free(copy);
    free(mem);
    return kind;
}

static enum msg_kind parse(const char *text, uint8_t token[TOKEN_LEN])
{
    return parse_in(MSG_ARENA_SIZE(MESSAGE), text, strlen(text), token);
}

static void check_kinds(const char *const *texts, size_t n, enum msg_kind kind)
{
    uint8_t token[TOKEN_LEN];

    for (size_t i = 0; i < n; i++)
        if (parse(texts[i], token) != kind)
            fail_msg("not of kind %d: %s", kind, texts[i]);
}

#define CHECK_KINDS(texts, kind) \
    check_kinds(texts, sizeof(texts) / sizeof *(texts), kind)

static void logins(void **state)
{
    static const char *const texts[] = {
        "{\"type\":\"token_auth\",\"payload\":{\"token\":\"" JANE "\"}}",
        "{\"payload\":{\"token\":\"" JANE "\"},\"type\":\"token_auth\"}",
        "{\"type\":\"token_auth\",\"payload\":{\"token\":"
        "\"550E8400-E29B-41D4-A716-446655440000\"}}",
        "{\"type\":\"token_auth\",\"payload\":{\"token\":"
        "\"550e8400-E29B-41d4-a716-446655440000\"}}",
        " {\n\t\"type\" : \"token_auth\" , \"payload\" : { \"token\" : \"" JANE
        "\" } }\r\n",
        "{\"id\":7,\"type\":\"token_auth\",\"x\":[1,{\"type\":\"no\"}],"
        "\"payload\":{\"a\":null,\"token\":\"" JANE "\",\"b\":{\"token\":1}}}",
        /* escapes mean what they stand for */
        "{\"t\\u0079pe\":\"token\\u005fauth\",\"payload\":{\"t\\u006fken\":"
        "\"\\u003550e8400-e29b-41d4-a716-446655440000\"}}",
        /* other members may be there twice */
        "{\"a\":1,\"a\":2,\"type\":\"token_auth\",\"payload\":{\"x\":1,\"x\":1,"
        "\"token\":\"" JANE "\"}}",
        /* names are told apart by case, and whole */
        "{\"type\":\"token_auth\",\"Type\":1,\"TYPE\":2,\"types\":3,"
        "\"payload\":{\"token\":\"" JANE "\",\"Token\":1},\"Payload\":2}",
        "{\"type\":\"token_auth\",\"type\\u0000\":\"x\",\"payload\":{"
        "\"token\":\"" JANE "\",\"token\\u0000\":\"x\"}}",
        "{\"type\":\"token_auth\",\"x\":{\"type\":1,\"payload\":2,\"token\":3},"
        "\"payload\":{\"token\":\"" JANE "\",\"type\":1,\"payload\":2},"
        "\"token\":4}",
    };
    uint8_t token[TOKEN_LEN];
    (void)state;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        memset(token, 0, sizeof token);
        if (parse(texts[i], token) != MSG_TOKEN_AUTH)
            fail_msg("no login: %s", texts[i]);
        assert_memory_equal(token, jane, TOKEN_LEN);
    }
    static const uint8_t zeros[TOKEN_LEN];
    assert_int_equal(
        parse("{\"type\":\"token_auth\",\"payload\":{\"token\":\"" NIL "\"}}",
              token),
        MSG_TOKEN_AUTH);
    assert_memory_equal(token, zeros, TOKEN_LEN);
}

static void not_an_object_with_a_type(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "hello",
        "{",
        "}",
        "[]",
        "1",
        "null",
        "true",
        "\"token_auth\"",
        "[{\"type\":\"token_auth\"}]",
        "{}",
        "{\"Type\":\"token_auth\"}",
        "{\"type\":null}",
        "{\"type\":1}",
        "{\"type\":true}",
        "{\"type\":{}}",
        "{\"type\":[\"token_auth\"]}",
        "{\"payload\":{\"token\":\"" JANE "\"}}",
        "{'type':'token_auth'}",
        "{\"type\":\"x\",}",
        "{\"type\":\"x\"}x",
        "{\"type\":\"x\"} {\"type\":\"x\"}",
        "{\"type\":\"x\"},",
        "{\"type\":\"\t\"}",
        "{\"type\":\"\\x\"}",
        "\xef\xbb\xbf{\"type\":\"x\"}",
        "{\"type\":\"x\",\"n\":01}",
        "{\"type\":\"x\",\"n\":NaN}",
        "{\"type\\u0000\":\"x\"}",
        /* nine deep */
        "{\"type\":\"x\",\"a\":[[[[[[[[]]]]]]]]}",
        /* a lone surrogate is no character */
        "{\"type\":\"\\ud800\"}",
        "{\"type\":\"x\",\"a\":\"\\udc00\"}",
    };
    (void)state;
    CHECK_KINDS(texts, MSG_MALFORMED);
}

static void login_without_a_token(void **state)
{
#define LOGIN "{\"type\":\"token_auth\""
    static const char *const texts[] = {
        LOGIN "}",
        LOGIN ",\"payload\":null}",
        LOGIN ",\"payload\":1}",
        LOGIN ",\"payload\":\"" JANE "\"}",
        LOGIN ",\"payload\":[\"" JANE "\"]}",
        LOGIN ",\"payload\":[{\"token\":\"" JANE "\"}]}",
        LOGIN ",\"payload\":{}}",
        LOGIN ",\"Payload\":{\"token\":\"" JANE "\"}}",
        LOGIN ",\"token\":\"" JANE "\"}",
        LOGIN ",\"payload\":{\"Token\":\"" JANE "\"}}",
        LOGIN ",\"payload\":{\"token\":null}}",
        LOGIN ",\"payload\":{\"token\":1}}",
        LOGIN ",\"payload\":{\"token\":true}}",
        LOGIN ",\"payload\":{\"token\":[\"" JANE "\"]}}",
        LOGIN ",\"payload\":{\"token\":{\"token\":\"" JANE "\"}}}",
        LOGIN ",\"payload\":{\"token\":\"\"}}",
        LOGIN ",\"payload\":{\"token\":\" " JANE "\"}}",
        LOGIN ",\"payload\":{\"token\":\"" JANE " \"}}",
        LOGIN ",\"payload\":{\"token\":\"{" JANE "}\"}}",
        LOGIN ",\"payload\":{\"token\":\"urn:uuid:" JANE "\"}}",
        LOGIN ",\"payload\":{\"token\":\"550e8400e29b41d4a716446655440000\"}}",
        LOGIN ",\"payload\":{\"token\":\"550e8400-e29b-41d4-a716-44665544000\""
              "}}",
        LOGIN ",\"payload\":{\"token\":\"" JANE "0\"}}",
        LOGIN ",\"payload\":{\"token\":\"" JANE "\\u0000\"}}",
        LOGIN ",\"payload\":{\"token\":\"" JANE "\\u0000x\"}}",
        LOGIN ",\"payload\":{\"token\":\"g50e8400-e29b-41d4-a716-446655440000\""
              "}}",
    };
    (void)state;
    CHECK_KINDS(texts, MSG_MALFORMED);
}

static void twice_is_malformed(void **state)
{
    static const char *const texts[] = {
        LOGIN ",\"payload\":{\"token\":\"" JANE "\"},\"type\":\"token_auth\"}",
        LOGIN ",\"type\":\"x\",\"payload\":{\"token\":\"" JANE "\"}}",
        "{\"type\":\"x\",\"type\":\"x\"}",
        "{\"type\":\"x\",\"type\":1}",
        "{\"type\":1,\"type\":\"x\"}",
        "{\"type\":\"x\",\"\\u0074ype\":\"x\"}",
        "{\"type\":\"x\",\"payload\":1,\"payload\":1}",
        LOGIN ",\"payload\":{\"token\":\"" JANE "\"},\"payload\":{\"token\":"
              "\"" JANE "\"}}",
        LOGIN ",\"payload\":{\"token\":\"" JANE "\"},\"payl\\u006fad\":null}",
        LOGIN ",\"payload\":{\"token\":\"" JANE "\",\"token\":\"" JANE "\"}}",
        LOGIN ",\"payload\":{\"token\":1,\"token\":\"" JANE "\"}}",
        LOGIN ",\"payload\":{\"token\":\"" JANE "\",\"t\\u006Fken\":1}}",
    };
    (void)state;
    CHECK_KINDS(texts, MSG_MALFORMED);
}

static void other_messages(void **state)
{
    static const char *const texts[] = {
        "{\"type\":\"\"}",
        "{\"type\":\"x\"}",
        "{\"type\":\"token_auth \"}",
        "{\"type\":\"Token_auth\"}",
        "{\"type\":\"token_auth\\u0000\"}",
        "{\"type\":\"token_auth\\u0000x\",\"payload\":{\"token\":\"" JANE
        "\"}}",
        "{\"type\":\"TOKEN_AUTH\",\"payload\":{\"token\":\"" JANE "\"}}",
        "{\"type\":\"create_lobby\",\"payload\":{\"token\":1,\"token\":2}}",
        "{\"payload\":[],\"type\":\"chat\"}",
        /* eight deep */
        "{\"type\":\"x\",\"a\":[[[[[[[]]]]]]]}",
        "{\"type\":\"\\ud83d\\ude00\xf0\x9f\x98\x80\"}",
        "{\"type\":\"x\",\"n\":[1e999,-0,123456789012345678901234567890]}",
    };
    (void)state;
    CHECK_KINDS(texts, MSG_OTHER);
}

static void every_prefix_is_malformed(void **state)
{
    static const char text[] = LOGIN ",\"payload\":{\"token\":\"" JANE "\"}}";
    uint8_t token[TOKEN_LEN];
    (void)state;

    for (size_t n = 0; n < sizeof text - 1; n++)
        assert_int_equal(parse_in(8192, text, n, token), MSG_MALFORMED);
    assert_int_equal(parse_in(8192, text, sizeof text - 1, token),
                     MSG_TOKEN_AUTH);
}

/* Whatever is missing where the memory ends: never a crash, never a guess. */
static void arena_of_every_size(void **state)
{
    static const char text[] =
        "{\"a\":[\"b\\n\",1.5,{\"c\":null}],\"type\":"
        "\"token_auth\",\"payload\":{\"token\":\"" JANE "\",\"x\":[]}}";
    uint8_t token[TOKEN_LEN];
    bool was_enough = false;
    (void)state;

    for (size_t cap = 0; cap < 2048; cap++) {
        enum msg_kind kind = parse_in(cap, text, sizeof text - 1, token);
        assert_true(kind == MSG_MALFORMED || kind == MSG_TOKEN_AUTH);
        assert_true(kind == MSG_TOKEN_AUTH || !was_enough);
        was_enough = kind == MSG_TOKEN_AUTH;
    }
    assert_true(was_enough);
}

/* Fill a message of exactly MESSAGE bytes with one thing again and again. */
static void check_worst(const char *before, const char *unit, const char *after)
{
    char text[MESSAGE + 1];
    size_t len = strlen(before), after_len = strlen(after);
    uint8_t token[TOKEN_LEN];

    memcpy(text, before, len);
    while (len + strlen(unit) + after_len <= MESSAGE) {
        memcpy(text + len, unit, strlen(unit));
        len += strlen(unit);
    }
    memcpy(text + len, after, after_len);
    len += after_len;
    while (len < MESSAGE)
        text[len++] = ' ';
    assert_true(len == MESSAGE);
    assert_int_equal(parse_in(MSG_ARENA_SIZE(MESSAGE), text, len, token),
                     MSG_OTHER);
}

static void worst_messages_fit(void **state)
{
    (void)state;
    check_worst("{\"type\":\"x\",\"a\":[0", ",0", "]}");
    check_worst("{\"type\":\"x\",\"a\":[[]", ",[]", "]}");
    check_worst("{\"type\":\"x\",\"a\":[\"\"", ",\"\"", "]}");
    check_worst("{\"type\":\"x\"", ",\"\":0", "}");
    check_worst("{\"type\":\"x\"", ",\"\":\"\"", "}");
    check_worst("{\"type\":\"x\"", ",\"\":{}", "}");
    check_worst("{\"type\":\"x\",\"a\":[{\"\":\"\"}", ",{\"\":\"\"}", "]}");
    check_worst("{\"type\":\"x\",\"a\":[[0]", ",[0]", "]}");
    check_worst("{\"type\":\"x\",\"a\":\"", "\\u0001", "\"}");
    check_worst("{\"type\":\"x\",\"a\":\"", "a", "\"}");
    check_worst("{\"type\":\"x\",\"a\":", " ", "0}");
}

/* --- Replies --- */

static size_t format(const char *name, size_t len, char *out)
{
    uint8_t *copy = guard_copy(name, len);
    char *exact = malloc(MSG_REPLY_MAX);

    assert_non_null(exact);
    size_t n = msg_format_auth_success((struct span){copy, len}, jane, exact);
    assert_true(n <= MSG_REPLY_MAX);
    memcpy(out, exact, n);
    out[n] = '\0';
    free(exact);
    free(copy);
    return n;
}

/* What another parser makes of the reply. */
static void check_reply(const char *name, size_t len)
{
    char out[MSG_REPLY_MAX + 1], braces[8] = "";
    size_t n = format(name, len, out), count = 0;

    cJSON_InitHooks(NULL);
    cJSON *reply = cJSON_Parse(out);
    assert_non_null(reply);
    assert_int_equal(cJSON_GetArraySize(reply), 2);
    assert_string_equal(cJSON_GetObjectItem(reply, "type")->valuestring,
                        "auth_success");
    const cJSON *payload = cJSON_GetObjectItem(reply, "payload");
    assert_int_equal(cJSON_GetArraySize(payload), 2);
    const char *back = cJSON_GetObjectItem(payload, "username")->valuestring;
    assert_int_equal(strlen(back), len);
    assert_memory_equal(back, name, len);
    assert_string_equal(cJSON_GetObjectItem(payload, "token")->valuestring,
                        JANE);
    cJSON_Delete(reply);
    for (size_t i = 0; i < n; i++) {
        assert_true((unsigned char)out[i] >= 0x20 && out[i] != 0x7f);
        if (out[i] == '{' || out[i] == '}')
            braces[count++] = out[i];
        assert_true(count < sizeof braces);
    }
    braces[count] = '\0';
    assert_string_equal(braces, "{{}}");
}

static void success_as_bytes(void **state)
{
    char out[MSG_REPLY_MAX + 1];
    (void)state;

    format("Jane", 4, out);
    assert_string_equal(out, "{\"type\":\"auth_success\",\"payload\":{"
                             "\"username\":\"Jane\",\"token\":\"" JANE "\"}}");
    format("\"\\{}\n\x7f\xc3\xa9", 8, out);
    assert_string_equal(out,
                        "{\"type\":\"auth_success\",\"payload\":{"
                        "\"username\":\"\\u0022\\u005c\\u007b\\u007d\\u000a"
                        "\\u007f\xc3\xa9\",\"token\":\"" JANE "\"}}");
}

static void success_reads_back(void **state)
{
    char name[TOKEN_USERNAME_MAX];
    (void)state;

    check_reply("a", 1);
    check_reply("{\"type\":\"x\"}", 12);
    check_reply("}}", 2);
    check_reply("O'Brien, \"J\\\" </script>", 23);
    check_reply("\xf0\x9f\x98\x80\xe2\x80\xa8", 7);
    for (int c = 1; c < 128; c++) {
        name[0] = name[1] = (char)c;
        check_reply(name, 2);
    }
    memset(name, 'x', sizeof name);
    check_reply(name, sizeof name);
    memset(name, 1, sizeof name);
    check_reply(name, sizeof name);
}

static void longest_success(void **state)
{
    char name[TOKEN_USERNAME_MAX], out[MSG_REPLY_MAX + 1];
    size_t frame = sizeof "{\"type\":\"auth_success\",\"payload\":{"
                          "\"username\":\"\",\"token\":\"" JANE "\"}}" -
                   1;
    (void)state;

    memset(name, 1, sizeof name);
    assert_int_equal(format(name, sizeof name, out),
                     6 * TOKEN_USERNAME_MAX + frame);
    assert_true(frame <= 128);
}

static void fixed_replies(void **state)
{
    (void)state;
    assert_string_equal(msg_invalid_format,
                        "{\"type\":\"auth_error\",\"payload\":"
                        "{\"message\":\"Invalid token format\"}}");
    assert_string_equal(msg_invalid_token,
                        "{\"type\":\"auth_error\",\"payload\":"
                        "{\"message\":\"Invalid or expired token\"}}");
    assert_string_equal(msg_auth_required,
                        "{\"type\":\"error\",\"payload\":{\"message\":"
                        "\"Authentication required\","
                        "\"code\":\"AUTH_REQUIRED\"}}");
    assert_string_equal(msg_unknown_type,
                        "{\"type\":\"error\",\"payload\":{\"message\":"
                        "\"Unknown message type\","
                        "\"code\":\"UNKNOWN_TYPE\"}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logins),
        cmocka_unit_test(not_an_object_with_a_type),
        cmocka_unit_test(login_without_a_token),
        cmocka_unit_test(twice_is_malformed),
        cmocka_unit_test(other_messages),
        cmocka_unit_test(every_prefix_is_malformed),
        cmocka_unit_test(arena_of_every_size),
        cmocka_unit_test(worst_messages_fit),
        cmocka_unit_test(success_as_bytes),
        cmocka_unit_test(success_reads_back),
        cmocka_unit_test(longest_success),
        cmocka_unit_test(fixed_replies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
