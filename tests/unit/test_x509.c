/* Building and reading certificates; the rules are those of RFC 5280. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "guard.h"
#include "proto/x509.h"

#include <stdlib.h>

/* A made-up point and signature: nothing here computes with them. */
static const uint8_t point[X509_POINT_LEN] = {4, 1, 2, 3};
static const uint8_t signature[] = {0x30, 0x06, 2, 1, 1, 2, 1, 2};
static const uint8_t serial[] = {0x41, 0x42};
static const uint8_t key_id[20] = {0xA0, 0xA1};
static const uint8_t loopback[4] = {127, 0, 0, 1};
static const uint8_t name_der[] = {0x30, 0x0C, 0x31, 0x0A, 0x30, 0x08, 0x06,
                                   0x03, 0x55, 0x04, 0x03, 0x0C, 0x01, 'x'};

#define ARRAY_SPAN(a) ((struct span){(a), sizeof(a)})

static const struct x509_name names[] = {
    {false, {(const uint8_t *)"play.example", 12}},
    {true, {loopback, sizeof loopback}},
};

static struct x509_template leaf_template(void)
{
    return (struct x509_template){
        .serial = ARRAY_SPAN(serial),
        .issuer = ARRAY_SPAN(name_der),
        .subject = ARRAY_SPAN(name_der),
        .not_before = 1700000000,
        .not_after = 2600000000,
        .public_key = ARRAY_SPAN(point),
        .subject_key = ARRAY_SPAN(key_id),
        .issuer_key = ARRAY_SPAN(key_id),
        .names = names,
        .name_count = 2,
    };
}

static struct span build(const struct x509_template *t, uint8_t *mem,
                         size_t cap)
{
    uint8_t tbs_mem[1024];
    struct x509_signed s = {.signature = ARRAY_SPAN(signature)};
    struct span cert;

    assert_true(x509_build_tbs(t, tbs_mem, sizeof tbs_mem, &s.tbs));
    assert_true(x509_build_cert(&s, mem, cap, &cert));
    return cert;
}

static bool contains(struct span all, const char *bytes, size_t len)
{
    return memmem(all.ptr, all.len, bytes, len) != NULL;
}

static void test_dns_names(void **state)
{
    static const char *const good[] = {
        "localhost",
        "a",
        "play.example.org",
        "xn--bcher-kva.ch",
        "1.example",
        "a-b.c-d",
        "*.example.org",
        "A.Example",
        "a.1b",
        "3com.com",
        "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk.de"};
    static const char *const bad[] = {
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "-a",
        "a-",
        "a.-b",
        "a_b",
        "a b",
        "*",
        "*.",
        "a.*",
        "*a.b",
        "a.*.b",
        "*.*.a",
        "1.2.3.4",
        "256.1.1.1",
        "127.1",
        "1",
        "[::1]",
        "::1",
        "a/b",
        "host:8443",
        "b\xC3\xBC.de",
        "a\nb",
        "http://a",
        "a.b.",
        "*..a",
        "*.1",
        "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl.de"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (!x509_is_dns_name(span_of(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (x509_is_dns_name(span_of(bad[i])))
            fail_msg("accepted: %s", bad[i]);
}

static void test_dns_name_length(void **state)
{
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 50 == 49 ? '.' : 'a';
    text[253] = 'a';
    assert_true(x509_is_dns_name((struct span){(uint8_t *)text, 253}));
    assert_false(x509_is_dns_name((struct span){(uint8_t *)text, 254}));
    /* A NUL inside is a bad byte like any other. */
    assert_false(x509_is_dns_name((struct span){(const uint8_t *)"a\0b", 3}));
}

static void test_name(void **state)
{
    uint8_t mem[sizeof name_der];
    struct span name;

    (void)state;
    assert_true(x509_build_name(span_of("x"), mem, sizeof mem, &name));
    assert_true(span_equals(name, ARRAY_SPAN(name_der)));
    assert_false(x509_build_name(span_of("x"), mem, sizeof mem - 1, &name));
}

/* The last commonName, or organizationName; nothing else, nothing cut. */
static void test_name_text(void **state)
{
    static const struct {
        const char *der; /* hexadecimal, without the outer SEQUENCE */
        const char *text;
    } cases[] = {
        {"310a 3008 0603550403 0c0178", "x"},
        {"310b 3009 0603550403 0c026162", "ab"},
        {"310a 3008 0603550403 130179", "y"},
        {"310a 3008 0603550403 16017a", "z"},
        {"310a 3008 060355040a 0c0141", "A"},
        {"310a3008060355040a0c0141 310a300806035504030c0178", "x"},
        {"310a300806035504030c0178 310a3008060355040a0c0141", "x"},
        {"310a300806035504030c0178 310a300806035504030c0179", "y"},
        {"3114 300806035504030c0178 3008060355040a0c0141", "x"},
        {"310b 3009 0603550403 0c0178", NULL},   /* lengths that lie */
        {"310b 3009 0603550406 13024445", NULL}, /* a country only */
        {"310b 3009 0603550403 1e020078", NULL}, /* BMPString */
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t der[64] = {0x30};
        size_t len = 2;
        struct span text = {NULL, 0};

        for (const char *c = cases[i].der; *c != '\0';) {
            char pair[3] = {0};
            for (size_t n = 0; n < 2; c++)
                if (*c != ' ')
                    pair[n++] = *c;
            der[len++] = (uint8_t)strtoul(pair, NULL, 16);
        }
        der[1] = (uint8_t)(len - 2);
        uint8_t *exact = guard_copy(der, len);
        bool has = x509_name_text((struct span){exact, len}, &text);
        if (cases[i].text == NULL)
            assert_false(has);
        else
            assert_true(has && span_equals(text, span_of(cases[i].text)));
        for (size_t cut = 0; cut < len; cut++)
            assert_false(x509_name_text((struct span){der, cut}, &text));
        free(exact);
    }
}

static void test_names_one_by_one(void **state)
{
    /* mail, DNS "a", URI, an address of 5 bytes, IPv4, DNS "b" */
    static const uint8_t der[] = {
        0x81, 1, 'm', 0x82, 1, 'a', 0x86, 1, 'u', 0x87, 5, 1,  2,
        3,    4, 5,   0x87, 4, 192, 0,    2, 7,   0x82, 1, 'b'};
    struct span rest = ARRAY_SPAN(der);
    struct x509_name name;

    (void)state;
    assert_true(x509_next_name(&rest, &name));
    assert_true(!name.is_ip && span_equals(name.bytes, span_of("a")));
    assert_true(x509_next_name(&rest, &name));
    assert_true(name.is_ip && name.bytes.len == 4 && name.bytes.ptr[3] == 7);
    assert_true(x509_next_name(&rest, &name));
    assert_true(!name.is_ip && span_equals(name.bytes, span_of("b")));
    assert_false(x509_next_name(&rest, &name));
    assert_false(x509_next_name(&rest, &name));
}

static void test_leaf_reads_back(void **state)
{
    struct x509_template t = leaf_template();
    uint8_t mem[1024];
    struct x509_info info;
    struct span cert = build(&t, mem, sizeof mem);

    (void)state;
    assert_true(x509_parse(cert, &info));
    assert_true(span_equals(info.issuer, t.issuer));
    assert_true(span_equals(info.subject, t.subject));
    assert_true(span_equals(info.subject_key, t.subject_key));
    assert_true(info.not_before == t.not_before);
    assert_true(info.not_after == t.not_after);
    assert_true(x509_has_name(&info, &names[0]));
    assert_true(x509_has_name(&info, &names[1]));
    struct x509_name upper = {false, span_of("PLAY.example")};
    struct x509_name other = {false, span_of("play.exampl")};
    struct x509_name as_dns = {false, ARRAY_SPAN(loopback)};
    assert_true(x509_has_name(&info, &upper));
    assert_false(x509_has_name(&info, &other));
    assert_false(x509_has_name(&info, &as_dns));
}

/* Extensions, byte for byte as RFC 5280 section 4.2 writes them. */
static void test_leaf_extensions(void **state)
{
    struct x509_template t = leaf_template();
    uint8_t mem[1024];
    struct span c = build(&t, mem, sizeof mem);

    (void)state;
    /* basicConstraints: critical, empty sequence */
    assert_true(contains(c,
                         "\x30\x0C\x06\x03\x55\x1D\x13\x01\x01\xFF\x04\x02"
                         "\x30\x00",
                         14));
    /* keyUsage: critical, digitalSignature */
    assert_true(contains(c,
                         "\x30\x0E\x06\x03\x55\x1D\x0F\x01\x01\xFF\x04\x04"
                         "\x03\x02\x07\x80",
                         16));
    /* extKeyUsage: serverAuth */
    assert_true(contains(c,
                         "\x30\x13\x06\x03\x55\x1D\x25\x04\x0C\x30\x0A\x06"
                         "\x08\x2B\x06\x01\x05\x05\x07\x03\x01",
                         21));
    /* subjectAltName: DNS and address */
    assert_true(contains(c,
                         "\x55\x1D\x11\x04\x16\x30\x14\x82\x0Cplay.example"
                         "\x87\x04\x7F\x00\x00\x01",
                         27));
    assert_true(
        contains(c, "\x55\x1D\x23\x04\x18\x30\x16\x80\x14\xA0\xA1", 11));
}

static void test_ca_extensions(void **state)
{
    struct x509_template t = leaf_template();
    uint8_t mem[1024];
    struct x509_info info;

    (void)state;
    t.is_ca = true;
    t.issuer_key = (struct span){NULL, 0};
    t.name_count = 0;
    struct span c = build(&t, mem, sizeof mem);
    /* basicConstraints: critical, CA, pathlen 0 */
    assert_true(contains(c,
                         "\x06\x03\x55\x1D\x13\x01\x01\xFF\x04\x08\x30\x06"
                         "\x01\x01\xFF\x02\x01\x00",
                         18));
    /* keyUsage: critical, keyCertSign and cRLSign */
    assert_true(contains(c,
                         "\x06\x03\x55\x1D\x0F\x01\x01\xFF\x04\x04\x03\x02"
                         "\x01\x06",
                         14));
    assert_false(contains(c, "\x55\x1D\x23", 3));
    assert_false(contains(c, "\x55\x1D\x25", 3));
    assert_false(contains(c, "\x55\x1D\x11", 3));
    assert_true(x509_parse(c, &info));
    assert_int_equal(info.alt_names.len, 0);
    assert_false(x509_has_name(&info, &names[0]));
}

static void test_too_small(void **state)
{
    struct x509_template t = leaf_template();
    uint8_t whole_mem[1024];
    uint8_t cert_mem[1024];
    struct x509_signed s = {.signature = ARRAY_SPAN(signature)};
    struct span cert;

    (void)state;
    assert_true(x509_build_tbs(&t, whole_mem, sizeof whole_mem, &s.tbs));
    for (size_t cap = 0; cap < s.tbs.len; cap++) {
        uint8_t *mem = guard_copy(whole_mem, cap);
        struct span tbs = {NULL, 7};
        assert_false(x509_build_tbs(&t, mem, cap, &tbs));
        assert_int_equal(tbs.len, 7);
        free(mem);
    }
    assert_true(x509_build_cert(&s, cert_mem, sizeof cert_mem, &cert));
    size_t need = cert.len;
    for (size_t cap = 0; cap < need; cap++) {
        uint8_t *mem = guard_copy(cert_mem, cap);
        assert_false(x509_build_cert(&s, mem, cap, &cert));
        free(mem);
    }
}

static void test_every_cut_is_refused(void **state)
{
    struct x509_template t = leaf_template();
    uint8_t mem[1024];
    struct x509_info info;
    struct span cert = build(&t, mem, sizeof mem);

    (void)state;
    for (size_t len = 0; len < cert.len; len++) {
        uint8_t *exact = guard_copy(cert.ptr, len);
        assert_false(x509_parse((struct span){exact, len}, &info));
        free(exact);
    }
    /* One byte more is refused as well. */
    assert_true(cert.len < sizeof mem);
    mem[cert.len] = 0;
    assert_false(x509_parse((struct span){cert.ptr, cert.len + 1}, &info));
}

/* Damage may go unseen, but every span stays within the certificate. */
static void test_every_damaged_byte(void **state)
{
    static const uint8_t flips[] = {0x01, 0x20, 0x80, 0xFF};
    struct x509_template t = leaf_template();
    uint8_t mem[1024];
    struct x509_info info;
    struct span cert = build(&t, mem, sizeof mem);

    (void)state;
    for (size_t i = 0; i < cert.len; i++)
        for (size_t f = 0; f < sizeof flips; f++) {
            uint8_t *exact = guard_copy(cert.ptr, cert.len);
            exact[i] ^= flips[f];
            if (x509_parse((struct span){exact, cert.len}, &info))
                x509_has_name(&info, &names[1]);
            free(exact);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dns_names),
        cmocka_unit_test(test_dns_name_length),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_name_text),
        cmocka_unit_test(test_names_one_by_one),
        cmocka_unit_test(test_leaf_reads_back),
        cmocka_unit_test(test_leaf_extensions),
        cmocka_unit_test(test_ca_extensions),
        cmocka_unit_test(test_too_small),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_every_damaged_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
