#include "proto/ws_msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "guard.h"

#define MAX_MESSAGE 64 /* bytes, of the receivers here */
#define FIN         0x80

/* What a client sends. */
struct script {
    uint8_t bytes[1024];
    size_t len;
};

/* What the receiver makes of it, one word an event. */
struct trace {
    char text[1024];
    size_t len;
};

static void put(struct script *s, const void *bytes, size_t len)
{
    assert_true(len <= sizeof s->bytes - s->len);
    memcpy(s->bytes + s->len, bytes, len);
    s->len += len;
}

/* A masked frame; first holds FIN, the reserved bits and the opcode. */
static void put_frame(struct script *s, int first, const char *payload,
                      size_t len)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t head[WS_HEADER_MAX];
    size_t n = ws_header_format(head, 0, len);

    head[0] = (uint8_t)first;
    head[1] |= 0x80;
    put(s, head, n);
    put(s, mask, sizeof mask);
    put(s, payload, len);
    ws_unmask(s->bytes + s->len - len, len, mask, 0);
}

static void put_text(struct script *s, int first, const char *payload)
{
    put_frame(s, first, payload, strlen(payload));
}

#define FRAME(s, first, payload) \
    put_frame(s, first, payload, sizeof payload - 1)

static void note(struct trace *t, const struct ws_recv *r, enum ws_event event)
{
    static const char letters[] = "-TBPOCF";
    struct span p = ws_recv_payload(r);

    t->len += (size_t)snprintf(t->text + t->len, sizeof t->text - t->len,
                               "%s%c", t->len ? " " : "", letters[event]);
    if (event == WS_EVENT_CLOSE || event == WS_EVENT_FAIL)
        t->len += (size_t)snprintf(t->text + t->len, sizeof t->text - t->len,
                                   "%u", r->close_code);
    if (event == WS_EVENT_FAIL) {
        assert_int_equal(p.len, 0);
        assert_true(strlen(r->reason) <= WS_CLOSE_REASON_MAX);
        return;
    }
    t->len += (size_t)snprintf(t->text + t->len, sizeof t->text - t->len,
                               ":%.*s", (int)p.len, (const char *)p.ptr);
}

/* Feed one piece, all its events. */
static void feed(struct ws_recv *r, struct trace *t, const uint8_t *bytes,
                 size_t len)
{
    uint8_t *piece = guard_copy(bytes, len);
    uint8_t *before = guard_copy(bytes, len);
    size_t used = 0;
    enum ws_event event;

    do {
        bool was_over = r->is_over;
        size_t n = ws_recv_feed(r, piece + used, len - used, &event);
        assert_true(n <= len - used);
        used += n;
        if (was_over)
            assert_true(n == 0 && event == WS_EVENT_NONE);
        else if (event == WS_EVENT_NONE)
            assert_int_equal(used, len);
        else
            assert_true(n > 0);
        if (event != WS_EVENT_NONE)
            note(t, r, event);
    } while (event != WS_EVENT_NONE);
    if (len > 0)
        assert_memory_equal(piece, before, len);
    free(piece);
    free(before);
}

/* step: bytes a piece after the first cut */
static void run(const struct script *s, bool binary, size_t cut, size_t step,
                struct trace *t)
{
    uint8_t *mem = malloc(MAX_MESSAGE);
    struct ws_recv r;
    size_t at = cut;

    *t = (struct trace){0};
    ws_recv_init(&r, mem, MAX_MESSAGE, binary);
    feed(&r, t, s->bytes, cut);
    while (at < s->len) {
        size_t n = s->len - at < step ? s->len - at : step;
        feed(&r, t, s->bytes + at, n);
        at += n;
    }
    free(mem);
}

static void check_with(const struct script *s, bool binary,
                       const char *expected)
{
    struct trace t;

    run(s, binary, s->len, 1, &t);
    assert_string_equal(t.text, expected);
    run(s, binary, 0, 1, &t);
    assert_string_equal(t.text, expected);
    for (size_t cut = 0; cut <= s->len; cut++) {
        run(s, binary, cut, s->len, &t);
        assert_string_equal(t.text, expected);
    }
    for (size_t step = 2; step < 12; step++) {
        run(s, binary, 0, step, &t);
        assert_string_equal(t.text, expected);
    }
}

static void check(const struct script *s, const char *expected)
{
    check_with(s, true, expected);
}

/* Is it the byte number `at` that makes the receiver fail, and none before? */
static void check_fails_at(const struct script *s, size_t at, uint16_t code)
{
    uint8_t mem[MAX_MESSAGE];
    struct ws_recv r;
    enum ws_event event;

    ws_recv_init(&r, mem, MAX_MESSAGE, false);
    for (size_t i = 0; i < at; i++) {
        assert_int_equal(ws_recv_feed(&r, s->bytes + i, 1, &event), 1);
        assert_int_equal(event, WS_EVENT_NONE);
    }
    assert_int_equal(ws_recv_feed(&r, s->bytes + at, 1, &event), 1);
    assert_int_equal(event, WS_EVENT_FAIL);
    assert_int_equal(r.close_code, code);
}

static void rfc6455_section_5_7(void **state)
{
    struct script s = {0};
    (void)state;

    put(&s, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
    put_text(&s, WS_OP_TEXT, "Hel");
    put_text(&s, FIN | WS_OP_CONTINUATION, "lo");
    put_text(&s, FIN | WS_OP_PING, "Hello");
    put(&s, "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
    check(&s, "T:Hello T:Hello P:Hello O:Hello");
}

static void empty_messages(void **state)
{
    struct script s = {0};
    (void)state;

    FRAME(&s, FIN | WS_OP_TEXT, "");
    FRAME(&s, FIN | WS_OP_BINARY, "");
    FRAME(&s, FIN | WS_OP_PING, "");
    FRAME(&s, FIN | WS_OP_PONG, "");
    FRAME(&s, WS_OP_TEXT, "");
    FRAME(&s, WS_OP_CONTINUATION, "");
    FRAME(&s, FIN | WS_OP_CONTINUATION, "");
    FRAME(&s, WS_OP_BINARY, "");
    FRAME(&s, WS_OP_CONTINUATION, "x");
    FRAME(&s, FIN | WS_OP_CONTINUATION, "");
    FRAME(&s, FIN | WS_OP_CLOSE, "");
    check(&s, "T: B: P: O: T: B:x C1005:");
}

static void control_between_fragments(void **state)
{
    struct script s = {0};
    (void)state;

    put_text(&s, WS_OP_TEXT, "one ");
    put_text(&s, FIN | WS_OP_PING, "a");
    put_text(&s, WS_OP_CONTINUATION, "two ");
    put_text(&s, FIN | WS_OP_PONG, "b");
    put_text(&s, FIN | WS_OP_PING, "c");
    put_text(&s, FIN | WS_OP_CONTINUATION, "three");
    put_text(&s, FIN | WS_OP_TEXT, "next");
    put_text(&s, WS_OP_TEXT, "never ends");
    FRAME(&s, FIN | WS_OP_CLOSE, "\x03\xE8");
    check(&s, "P:a O:b P:c T:one two three T:next C1000:");
}

static void largest_frames(void **state)
{
    char text[126];
    char expected[512];
    struct script s = {0};
    (void)state;

    memset(text, 'x', sizeof text);
    put_frame(&s, FIN | WS_OP_TEXT, text, MAX_MESSAGE);
    put_frame(&s, FIN | WS_OP_PING, text, WS_CONTROL_MAX);
    put_frame(&s, WS_OP_BINARY, text, MAX_MESSAGE - 1);
    put_frame(&s, FIN | WS_OP_CONTINUATION, text, 1);
    snprintf(expected, sizeof expected, "T:%.*s P:%.*s B:%.*s", MAX_MESSAGE,
             text, WS_CONTROL_MAX, text, MAX_MESSAGE, text);
    check(&s, expected);
}

static void too_big_at_the_header(void **state)
{
    struct script s = {0};
    (void)state;

    put_text(&s, FIN | WS_OP_TEXT, "good");
    put(&s,
        "\x81\xC1"
        "mask",
        6);
    check(&s, "T:good F1009");
    check_fails_at(&(struct script){"\x81\xC1"
                                    "mask",
                                    6},
                   5, 1009);
    check_fails_at(&(struct script){"\x81\xFE\xFF\xFF"
                                    "mask",
                                    8},
                   7, 1009);
    check_fails_at(
        &(struct script){"\x81\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFFmask", 14},
        13, 1009);

    s.len = 0;
    put_text(&s, WS_OP_TEXT, "0123456789012345678901234567890123456789");
    put_text(&s, WS_OP_CONTINUATION, "012345678901234567890123");
    FRAME(&s, WS_OP_CONTINUATION, "");
    put(&s,
        "\x80\x81"
        "mask",
        6);
    check_fails_at(&s, s.len - 1, 1009);
    check(&s, "F1009");
}

static void binary_refused_at_the_header(void **state)
{
    struct script s = {0};
    (void)state;

    put(&s,
        "\x82\x85"
        "mask",
        6);
    check_fails_at(&s, 5, 1003);
    check_with(&s, false, "F1003");
    s.bytes[0] = WS_OP_BINARY;
    check_with(&s, false, "F1003");
    s.len = 0;
    put_text(&s, FIN | WS_OP_TEXT, "text is fine");
    check_with(&s, false, "T:text is fine");
}

/* first: the bytes that come before the good message `x`, wrong in themselves
 */
static void check_bad_frame(int first, size_t payload_len, bool in_message)
{
    static const char payload[126] = {0};
    char expected[32];
    struct script s = {0};

    put_text(&s, FIN | WS_OP_TEXT, "x");
    if (in_message)
        put_text(&s, WS_OP_TEXT, "y");
    put_frame(&s, first, payload, payload_len);
    put_text(&s, FIN | WS_OP_TEXT, "z");
    snprintf(expected, sizeof expected, "T:x F%d", WS_CLOSE_PROTOCOL);
    check(&s, expected);
}

static void reserved_bits_and_opcodes(void **state)
{
    (void)state;
    for (int bit = 0x10; bit <= 0x40; bit *= 2) {
        check_bad_frame(FIN | bit | WS_OP_TEXT, 3, false);
        check_bad_frame(FIN | bit | WS_OP_PING, 0, false);
        check_bad_frame(FIN | bit | WS_OP_CONTINUATION, 0, true);
        check_bad_frame(FIN | bit | WS_OP_CLOSE, 0, false);
    }
    for (int op = 0; op < 16; op++) {
        if ((op > 2 && op < 8) || op > 10) {
            check_bad_frame(FIN | op, 0, false);
            check_bad_frame(FIN | op, 5, true);
        }
    }
}

static void bad_control_frames(void **state)
{
    (void)state;
    for (int op = WS_OP_CLOSE; op <= WS_OP_PONG; op++) {
        check_bad_frame(op, 0, false);
        check_bad_frame(op, 2, true);
        check_bad_frame(FIN | op, 126, false);
    }
}

static void bad_sequences(void **state)
{
    (void)state;
    check_bad_frame(WS_OP_CONTINUATION, 1, false);
    check_bad_frame(FIN | WS_OP_CONTINUATION, 0, false);
    check_bad_frame(WS_OP_TEXT, 1, true);
    check_bad_frame(FIN | WS_OP_TEXT, 0, true);
    check_bad_frame(FIN | WS_OP_BINARY, 1, true);
}

static void unmasked_frames(void **state)
{
    struct script s = {0};
    (void)state;

    put(&s, "\x81\x05Hello", 7);
    check(&s, "F1002");
    check_fails_at(&s, 1, 1002);
    check(&(struct script){"\x89\x00", 2}, "F1002");
    check(&(struct script){"\x88\x00", 2}, "F1002");
}

static void bad_length_forms(void **state)
{
    (void)state;
    check(&(struct script){"\x81\xFE\x00\x05"
                           "maskHello",
                           13},
          "F1002");
    check(&(struct script){"\x81\xFF\x80\0\0\0\0\0\0\0mask", 14}, "F1002");
    check(&(struct script){"\x81\xFF\0\0\0\0\0\0\0\x05maskHello", 19}, "F1002");
}

static void utf8_across_fragments(void **state)
{
    struct script s = {0};
    (void)state;

    FRAME(&s, WS_OP_TEXT, "\xCE");
    FRAME(&s, FIN | WS_OP_PING, "\xFF");
    FRAME(&s, WS_OP_CONTINUATION, "\xBA\xE1\xBD");
    FRAME(&s, WS_OP_CONTINUATION, "");
    FRAME(&s, WS_OP_CONTINUATION, "\xB9\xF0\x9F");
    FRAME(&s, FIN | WS_OP_CONTINUATION, "\x98\x80");
    FRAME(&s, FIN | WS_OP_BINARY, "\xFF\xC0");
    check(&s, "P:\xFF T:\xCE\xBA\xE1\xBD\xB9\xF0\x9F\x98\x80 B:\xFF\xC0");
}

static void bad_utf8_fails_at_once(void **state)
{
    struct script s = {0};
    (void)state;

    FRAME(&s, FIN | WS_OP_TEXT, "abcdefghij\xED\xA0\x80klm");
    check(&s, "F1007");
    check_fails_at(&s, 6 + 11, 1007);

    s.len = 0;
    FRAME(&s, WS_OP_TEXT, "\xF4");
    FRAME(&s, WS_OP_CONTINUATION, "\x90zzzz");
    check(&s, "F1007");
    check_fails_at(&s, 6 + 1 + 6, 1007);

    /* an end inside a character */
    s.len = 0;
    FRAME(&s, FIN | WS_OP_TEXT, "caf\xC3");
    check(&s, "F1007");
    s.len = 0;
    FRAME(&s, WS_OP_TEXT, "caf\xC3");
    FRAME(&s, FIN | WS_OP_CONTINUATION, "");
    check(&s, "F1007");
    /* which the next message does not inherit */
    s.len = 0;
    FRAME(&s, FIN | WS_OP_TEXT, "caf\xC3\xA9");
    FRAME(&s, FIN | WS_OP_TEXT, "\xA9");
    check(&s, "T:caf\xC3\xA9 F1007");
}

static bool is_good_code(unsigned code)
{
    static const uint16_t good[] = {1000, 1001, 1002, 1003, 1007, 1008,
                                    1009, 1010, 1011, 1012, 1013, 1014};

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (code == good[i])
            return true;
    return code >= 3000 && code < 5000;
}

static void every_close_code(void **state)
{
    (void)state;
    for (unsigned code = 0; code <= UINT16_MAX; code++) {
        char payload[] = {(char)(code >> 8), (char)code, 'o', 'k'};
        char expected[32];
        struct script s = {0};
        struct trace t;
        put_frame(&s, FIN | WS_OP_CLOSE, payload, sizeof payload);
        snprintf(expected, sizeof expected,
                 is_good_code(code) ? "C%u:ok" : "F1002", code);
        run(&s, true, s.len, 1, &t);
        assert_string_equal(t.text, expected);
    }
}

static void close_payloads(void **state)
{
    struct script s = {0};
    char longest[WS_CONTROL_MAX];
    char expected[256];
    (void)state;

    FRAME(&s, FIN | WS_OP_CLOSE, "\x03");
    check(&s, "F1002");
    check_fails_at(&s, 5, 1002);
    s.len = 0;
    FRAME(&s, FIN | WS_OP_CLOSE, "\x03\xE8x");
    check(&s, "C1000:x");
    s.len = 0;
    FRAME(&s, FIN | WS_OP_CLOSE, "\x0F\xA0g\xC3\xBCnstig");
    put_text(&s, FIN | WS_OP_TEXT, "after the end");
    check(&s, "C4000:g\xC3\xBCnstig");
    s.len = 0;
    FRAME(&s, FIN | WS_OP_CLOSE, "\x03\xE8g\xC3");
    check(&s, "F1007");
    s.len = 0;
    memset(longest, 'r', sizeof longest);
    memcpy(longest, "\x03\xE9", 2);
    put_frame(&s, FIN | WS_OP_CLOSE, longest, sizeof longest);
    snprintf(expected, sizeof expected, "C1001:%.*s", WS_CLOSE_REASON_MAX,
             longest + 2);
    check(&s, expected);
}

static void receiver_without_room(void **state)
{
    struct ws_recv r;
    enum ws_event event;
    struct script s = {0};
    (void)state;

    FRAME(&s, FIN | WS_OP_TEXT, "");
    FRAME(&s, FIN | WS_OP_TEXT, "x");
    ws_recv_init(&r, NULL, 0, true);
    assert_int_equal(ws_recv_feed(&r, s.bytes, s.len, &event), 6);
    assert_int_equal(event, WS_EVENT_TEXT);
    assert_int_equal(ws_recv_payload(&r).len, 0);
    assert_int_equal(ws_recv_feed(&r, s.bytes + 6, 0, &event), 0);
    assert_int_equal(event, WS_EVENT_NONE);
    ws_recv_feed(&r, s.bytes + 6, s.len - 6, &event);
    assert_int_equal(event, WS_EVENT_FAIL);
    assert_int_equal(r.close_code, WS_CLOSE_TOO_BIG);
}

static void check_close(uint16_t code, struct span reason, const char *expected,
                        size_t len)
{
    uint8_t *out = malloc(len);

    assert_int_equal(ws_close_format(out, code, reason), len);
    assert_memory_equal(out, expected, len);
    free(out);
}

static void close_frames_of_ours(void **state)
{
    struct span none = {0};
    (void)state;

    check_close(1000, none, "\x88\x02\x03\xE8", 4);
    check_close(1008, span_of("Bye"),
                "\x88\x05\x03\xF0"
                "Bye",
                7);
    check_close(WS_CLOSE_NO_STATUS, none, "\x88\x00", 2);
    check_close(WS_CLOSE_NO_STATUS, span_of("Bye"), "\x88\x00", 2);
}

/* A reason of n letters, then characters of two bytes. */
static void check_cut(size_t letters, size_t expected)
{
    uint8_t text[WS_CLOSE_REASON_MAX + 40];
    uint8_t out[WS_CLOSE_FRAME_MAX];

    memset(text, 'r', letters);
    for (size_t i = letters; i < sizeof text; i++)
        text[i] = (i - letters) % 2 == 0 ? 0xC3 : 0xA9;
    uint8_t *copy = guard_copy(text, sizeof text);
    size_t n = ws_close_format(out, 1001, (struct span){copy, sizeof text});
    assert_int_equal(n, 4 + expected);
    assert_int_equal(out[1], 2 + expected);
    assert_memory_equal(out + 4, text, expected);
    free(copy);
}

static void long_reasons_are_cut(void **state)
{
    char exact[WS_CLOSE_REASON_MAX];
    uint8_t out[WS_CLOSE_FRAME_MAX];
    (void)state;

    check_cut(0, 122);
    check_cut(1, 123);
    check_cut(121, 123);
    check_cut(122, 122);
    check_cut(123, 123);
    memset(exact, 'e', sizeof exact);
    struct span reason = {(const uint8_t *)exact, sizeof exact};
    assert_int_equal(ws_close_format(out, 1001, reason), WS_CLOSE_FRAME_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc6455_section_5_7),
        cmocka_unit_test(empty_messages),
        cmocka_unit_test(control_between_fragments),
        cmocka_unit_test(largest_frames),
        cmocka_unit_test(too_big_at_the_header),
        cmocka_unit_test(binary_refused_at_the_header),
        cmocka_unit_test(reserved_bits_and_opcodes),
        cmocka_unit_test(bad_control_frames),
        cmocka_unit_test(bad_sequences),
        cmocka_unit_test(unmasked_frames),
        cmocka_unit_test(bad_length_forms),
        cmocka_unit_test(utf8_across_fragments),
        cmocka_unit_test(bad_utf8_fails_at_once),
        cmocka_unit_test(every_close_code),
        cmocka_unit_test(close_payloads),
        cmocka_unit_test(receiver_without_room),
        cmocka_unit_test(close_frames_of_ours),
        cmocka_unit_test(long_reasons_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
