/* PROXY protocol version 2, byte by byte. */
#include "proto/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define IPV4                   \
    SIGNATURE "\x21\x11\0\x0c" \
              "\xc0\0\2\7\xc0\0\2\x08\x12\x34\x01\xbb"
#define IPV6                                             \
    SIGNATURE "\x21\x21\0\x24"                           \
              "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7"   \
              "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x08" \
              "\x12\x34\x01\xbb"

static size_t header_len(const void *bytes, size_t len)
{
    uint8_t *in = guard_copy(bytes, len);
    size_t whole = proxy_header_len(in, len);

    free(in);
    return whole;
}

static bool parse(const void *bytes, size_t len, struct proxy_source *source)
{
    uint8_t *in = guard_copy(bytes, len);
    bool is_good = proxy_parse(in, len, source);

    free(in);
    return is_good;
}

static void length_is_known_in_time(void **state)
{
    const size_t len = sizeof IPV6 - 1;

    (void)state;
    for (size_t n = 0; n < PROXY_HEAD_LEN; n++)
        assert_int_equal(header_len(IPV6, n), PROXY_HEAD_LEN);
    for (size_t n = PROXY_HEAD_LEN; n <= len; n++)
        assert_int_equal(header_len(IPV6, n), len);
}

static void another_beginning_is_refused_at_its_first_byte(void **state)
{
    uint8_t head[PROXY_HEAD_LEN];

    (void)state;
    for (size_t i = 0; i < 12; i++) {
        memcpy(head, IPV4, sizeof head);
        head[i] ^= 1;
        for (size_t n = 0; n <= i; n++)
            assert_int_equal(header_len(head, n), PROXY_HEAD_LEN);
        for (size_t n = i + 1; n <= sizeof head; n++)
            assert_int_equal(header_len(head, n), 0);
    }
}

static void too_long_is_refused(void **state)
{
    uint8_t head[PROXY_HEAD_LEN];

    (void)state;
    memcpy(head, IPV4, sizeof head);
    head[14] = (PROXY_HEADER_MAX - PROXY_HEAD_LEN) >> 8;
    head[15] = (PROXY_HEADER_MAX - PROXY_HEAD_LEN) & 0xff;
    assert_int_equal(header_len(head, sizeof head), PROXY_HEADER_MAX);
    head[15]++;
    assert_int_equal(header_len(head, sizeof head), 0);
}

static void ipv4(void **state)
{
    static const uint8_t mapped[16] = {[10] = 0xff, 0xff, 0xc0, 0, 2, 7};
    struct proxy_source source;

    (void)state;
    assert_true(parse(IPV4, sizeof IPV4 - 1, &source));
    assert_true(source.is_given);
    assert_memory_equal(source.address, mapped, 16);
    assert_int_equal(source.port, 0x1234);
}

static void ipv6(void **state)
{
    static const uint8_t address[16] = {0x20, 1, 0x0d, 0xb8, [15] = 7};
    struct proxy_source source;

    (void)state;
    assert_true(parse(IPV6, sizeof IPV6 - 1, &source));
    assert_true(source.is_given);
    assert_memory_equal(source.address, address, 16);
    assert_int_equal(source.port, 0x1234);
}

static void local(void **state)
{
    struct proxy_source source;

    (void)state;
    assert_int_equal(header_len(proxy_local_header, PROXY_HEAD_LEN),
                     PROXY_HEAD_LEN);
    assert_true(parse(proxy_local_header, PROXY_HEAD_LEN, &source));
    assert_false(source.is_given);
}

/* Version, command, family and length, each alone wrong. */
static void malformed(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } wrong[] = {{12, 0x11}, {12, 0x31}, {12, 0x22}, {12, 0x2f},
                 {13, 0x00}, {13, 0x12}, {13, 0x31}, {13, 0x21}};
    uint8_t header[sizeof IPV4 - 1];
    struct proxy_source source;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        memcpy(header, IPV4, sizeof header);
        header[wrong[i].at] = wrong[i].value;
        assert_false(parse(header, sizeof header, &source));
    }
    assert_false(parse(IPV4, sizeof IPV4 - 2, &source));
    assert_false(parse(IPV6, sizeof IPV6 - 2, &source));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(length_is_known_in_time),
        cmocka_unit_test(another_beginning_is_refused_at_its_first_byte),
        cmocka_unit_test(too_long_is_refused),
        cmocka_unit_test(ipv4),
        cmocka_unit_test(ipv6),
        cmocka_unit_test(local),
        cmocka_unit_test(malformed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
