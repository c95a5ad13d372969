#include "proto/ws_frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "guard.h"

/* Parse a header of which all n bytes are needed; no prefix is enough. */
static struct ws_header parse(const void *bytes, size_t n)
{
    struct ws_header h = {0};

    for (size_t len = 0; len <= n; len++) {
        uint8_t *in = guard_copy(bytes, len);
        memset(&h, 0x5A, sizeof h);
        assert_int_equal(ws_header_parse(in, len, &h), len < n ? 0 : (int)n);
        if (len < n)
            assert_int_equal(h.opcode, 0x5A);
        if (len >= 2)
            assert_int_equal(ws_header_len(in), n);
        free(in);
    }
    return h;
}

#define PARSE(bytes) parse(bytes, sizeof bytes - 1)

static void rfc6455_section_5_7(void **state)
{
    struct ws_header h;
    (void)state;

    h = PARSE("\x81\x05");
    assert_true(h.fin);
    assert_int_equal(h.rsv, 0);
    assert_int_equal(h.opcode, WS_OP_TEXT);
    assert_false(h.masked);
    assert_int_equal(h.payload_len, 5);

    h = PARSE("\x81\x85\x37\xfa\x21\x3d");
    assert_true(h.masked);
    assert_memory_equal(h.mask, "\x37\xfa\x21\x3d", 4);
    uint8_t *text = guard_copy("\x7f\x9f\x4d\x51\x58", 5);
    ws_unmask(text, 5, h.mask, 0);
    assert_memory_equal(text, "Hello", 5);
    free(text);

    h = PARSE("\x01\x03");
    assert_false(h.fin);
    assert_int_equal(h.opcode, WS_OP_TEXT);
    h = PARSE("\x80\x02");
    assert_true(h.fin);
    assert_int_equal(h.opcode, WS_OP_CONTINUATION);
    h = PARSE("\x89\x05");
    assert_int_equal(h.opcode, WS_OP_PING);
    h = PARSE("\x8a\x85\x37\xfa\x21\x3d");
    assert_int_equal(h.opcode, WS_OP_PONG);
    h = PARSE("\x82\x7e\x01\x00");
    assert_int_equal(h.opcode, WS_OP_BINARY);
    assert_int_equal(h.payload_len, 256);
    h = PARSE("\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00");
    assert_int_equal(h.payload_len, 65536);
}

static void reserved_values_are_reported(void **state)
{
    (void)state;
    assert_int_equal(PARSE("\xF3\x00").rsv, 7);
    assert_int_equal(PARSE("\xC3\x00").rsv, 4);
    assert_int_equal(PARSE("\x93\x00").rsv, 1);
    assert_int_equal(PARSE("\x9F\x00").opcode, 15);
}

static void length_limits(void **state)
{
    (void)state;
    assert_int_equal(PARSE("\x81\x7D").payload_len, 125);
    assert_int_equal(PARSE("\x81\x7E\x00\x7E").payload_len, 126);
    assert_int_equal(PARSE("\x81\xFE\xFF\xFF"
                           "mask")
                         .payload_len,
                     65535);
    assert_true(PARSE("\x81\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"
                      "mask")
                    .payload_len == INT64_MAX);
}

static void check_bad(const void *bytes, size_t n)
{
    struct ws_header h = {0};

    for (size_t len = 0; len <= n; len++) {
        uint8_t *in = guard_copy(bytes, len);
        assert_int_equal(ws_header_parse(in, len, &h), len < n ? 0 : -1);
        free(in);
    }
}

#define BAD(bytes) check_bad(bytes, sizeof bytes - 1)

static void bad_length_forms(void **state)
{
    (void)state;
    BAD("\x81\x7E\x00\x00");
    BAD("\x81\x7E\x00\x7D");
    BAD("\x81\xFE\x00\x7D"
        "mask");
    BAD("\x81\x7F\x00\x00\x00\x00\x00\x00\x00\x00");
    BAD("\x81\x7F\x00\x00\x00\x00\x00\x00\xFF\xFF");
    BAD("\x81\x7F\x80\x00\x00\x00\x00\x00\x00\x00");
    BAD("\x81\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"
        "mask");
}

static void format_and_parse_agree(void **state)
{
    static const size_t lens[] = {0,     1,     125,   126,       127,
                                  65534, 65535, 65536, UINT32_MAX};
    static const int sizes[] = {2, 2, 2, 4, 4, 4, 4, 10, 10};
    (void)state;

    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        uint8_t *out = malloc((size_t)sizes[i]);
        struct ws_header h;
        size_t n = ws_header_format(out, WS_OP_BINARY, lens[i]);
        assert_int_equal(n, sizes[i]);
        assert_int_equal(ws_header_parse(out, n, &h), sizes[i]);
        assert_true(h.fin && h.rsv == 0 && !h.masked);
        assert_int_equal(h.opcode, WS_OP_BINARY);
        assert_int_equal(h.payload_len, lens[i]);
        free(out);
    }
}

/* Against the rule of RFC 6455 section 5.3, byte by byte. */
static void unmask_at_every_offset(void **state)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    (void)state;

    for (size_t len = 0; len <= 40; len++) {
        for (uint64_t offset = 0; offset < 9; offset++) {
            uint8_t *data = malloc(len);
            for (size_t i = 0; i < len; i++)
                data[i] = (uint8_t)(i * 7);
            ws_unmask(data, len, mask, offset);
            for (size_t i = 0; i < len; i++)
                assert_int_equal(data[i],
                                 (uint8_t)(i * 7) ^ mask[(offset + i) % 4]);
            free(data);
        }
    }
}

static void unmask_in_pieces(void **state)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    uint8_t whole[40] = {0};
    (void)state;

    ws_unmask(whole, sizeof whole, mask, 0);
    for (size_t cut = 0; cut <= sizeof whole; cut++) {
        uint8_t pieces[sizeof whole] = {0};
        ws_unmask(pieces, cut, mask, 0);
        ws_unmask(pieces + cut, sizeof pieces - cut, mask, cut);
        assert_memory_equal(pieces, whole, sizeof whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc6455_section_5_7),
        cmocka_unit_test(reserved_values_are_reported),
        cmocka_unit_test(length_limits),
        cmocka_unit_test(bad_length_forms),
        cmocka_unit_test(format_and_parse_agree),
        cmocka_unit_test(unmask_at_every_offset),
        cmocka_unit_test(unmask_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
