/*
 * Certificates loaded from files and made on the first run, judged by OpenSSL's
 * command and by BearSSL's own validator.
 */
#include "sys/cert.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cert_dir.h"
#include "guard.h"
#include "proto/der.h"
#include "sys/cert_bearssl.h"
#include "sys/cert_load.h"
#include "sys/cert_make.h"
#include "sys/file_io.h"

/* Keys and certificates that the tests load, made once. */
static const char *const fixtures[] = {
    "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
    " -out p256.key",
    "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384"
    " -out p384.key",
    "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521"
    " -out p521.key",
    "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1"
    " -out k256.key",
    "openssl ecparam -name prime256v1 -genkey -out params.key",
    "openssl genrsa -out rsa1024.key 1024",
    "openssl genrsa -out rsa2048.key 2048",
    "openssl genrsa -out rsa4096.key 4096",
    "openssl genpkey -algorithm ED25519 -out ed25519.key",
    "openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048"
    " -out pss.key",
    "for k in p256 p384 p521 k256 params rsa1024 rsa2048 rsa4096 ed25519 pss;"
    " do openssl req -x509 -new -key $k.key -subj /CN=$k -days 100"
    " -out $k.pem || exit 1; done",
    "openssl ec -in p256.key -out p256-sec1.key",
    "openssl rsa -in rsa2048.key -traditional -out rsa2048-pkcs1.key",
    "openssl pkcs8 -topk8 -in p256.key -passout pass:x -out locked.key",
    "openssl ec -in p256.key -aes128 -passout pass:x -out locked-sec1.key",
    "openssl pkey -in p256.key -outform der -out p256-key.der",
    "openssl x509 -in p256.pem -outform der -out p256.der",
    "cat p256.pem rsa2048.pem p384.pem > chain.pem",
    "cat rsa2048.pem p256.pem > disorder.pem",
    "cat p256.key p256.pem > both.pem && chmod 600 both.pem",
    "cat p256.pem locked.key > both-locked.pem && chmod 600 both-locked.pem",
    "cat p256.key p384.key > twokeys.key",
    "sed 's/$/\\r/' p256.pem > crlf.pem; sed 's/$/\\r/' p256.key > crlf.key",
    "printf '%s' \"$(cat p256.pem)\" > nonl.pem;"
    " printf '%s' \"$(cat p256.key)\" > nonl.key",
    "openssl x509 -in p256.pem -text > text.pem",
    "for i in 1 2 3 4 5 6 7 8 9 10; do cat p256.pem; done > ten.pem",
    "cat ten.pem p256.pem > eleven.pem",
    "head -c 200 p256.pem > cut.pem; head -c 120 p256.key > cut.key",
    "sed '3s/./!/' p256.pem > damaged.pem; sed '3s/./!/' p256.key > "
    "damaged.key",
    "{ echo '-----BEGIN CERTIFICATE-----'; head -c 60 /dev/zero | base64;"
    " echo '-----END CERTIFICATE-----'; } > zeros.pem",
    "{ echo '-----BEGIN PRIVATE KEY-----'; head -c 60 /dev/zero | base64;"
    " echo '-----END PRIVATE KEY-----'; } > zeros.key",
    "{ echo '-----BEGIN OPENSSH PRIVATE KEY-----'; base64 p256.key;"
    " echo '-----END OPENSSH PRIVATE KEY-----'; } > ssh.key",
    ": > empty.pem; echo hello > hello.txt",
    "head -c 70000 /dev/zero > large.pem; cp p256.key group.key;"
    " cp p256.key world.key",
    "chmod 600 *.key *.txt large.pem *.der; chmod 640 group.key;"
    " chmod 604 world.key",
};

static int setup(void **state)
{
    (void)state;
    if (enter_work_dir() != 0)
        return -1;
    for (size_t i = 0; i < COUNT(fixtures); i++)
        if (sh("%s", fixtures[i]) != 0) {
            fprintf(stderr, "failed: %s\n", fixtures[i]);
            return -1;
        }
    return 0;
}

static struct cert_source given(const char *cert, const char *key)
{
    return (struct cert_source){
        .cert_file = cert, .key_file = key, .now = (int64_t)time(NULL)};
}

/* Opening fails and the reason holds each of the words. */
static void assert_refused(const struct cert_source *src, const char *words[])
{
    struct error err = {""};
    struct cert *c = cert_open(src, &err);

    if (c != NULL)
        fail_msg("accepted: %s", src->cert_file);
    assert_null(strchr(err.text, '\n'));
    for (; *words != NULL; words++)
        if (strstr(err.text, *words) == NULL)
            fail_msg("'%s' not in: %s", *words, err.text);
}

#define REFUSED(source, ...) \
    assert_refused(source, (const char *[]){__VA_ARGS__, NULL})

/* Loading */

static void test_loads(void **state)
{
    static const struct {
        const char *cert, *key;
        size_t chain;
        int curve; /* 0: RSA */
        const char *kind;
    } cases[] = {
        {"p256.pem", "p256.key", 1, BR_EC_secp256r1, "EC P-256"},
        {"p256.pem", "p256-sec1.key", 1, BR_EC_secp256r1, "EC P-256"},
        {"params.pem", "params.key", 1, BR_EC_secp256r1, "EC P-256"},
        {"p384.pem", "p384.key", 1, BR_EC_secp384r1, "EC P-384"},
        {"p521.pem", "p521.key", 1, BR_EC_secp521r1, "EC P-521"},
        {"rsa2048.pem", "rsa2048.key", 1, 0, "RSA 2048"},
        {"rsa2048.pem", "rsa2048-pkcs1.key", 1, 0, "RSA 2048"},
        {"rsa4096.pem", "rsa4096.key", 1, 0, "RSA 4096"},
        {"chain.pem", "p256.key", 3, BR_EC_secp256r1, "EC P-256"},
        {"disorder.pem", "rsa2048.key", 2, 0, "RSA 2048"},
        {"ten.pem", "p256.key", 10, BR_EC_secp256r1, "EC P-256"},
        {"both.pem", "both.pem", 1, BR_EC_secp256r1, "EC P-256"},
        {"crlf.pem", "crlf.key", 1, BR_EC_secp256r1, "EC P-256"},
        {"nonl.pem", "nonl.key", 1, BR_EC_secp256r1, "EC P-256"},
        {"text.pem", "p256.key", 1, BR_EC_secp256r1, "EC P-256"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cert_source src = given(cases[i].cert, cases[i].key);
        struct cert *c = open_or_fail(&src);
        char kind[CERT_KEY_KIND_SIZE];
        size_t count;
        assert_non_null(cert_chain(c, &count));
        assert_int_equal(count, cases[i].chain);
        assert_null(cert_warning(c));
        assert_false(cert_was_created(c));
        cert_describe_key(c, kind);
        assert_string_equal(kind, cases[i].kind);
        if (cases[i].curve == 0) {
            assert_non_null(cert_rsa_key(c));
            assert_null(cert_ec_key(c));
            assert_int_equal(cert_issuer_key_type(c), BR_KEYTYPE_RSA);
        } else {
            assert_null(cert_rsa_key(c));
            assert_int_equal(cert_ec_key(c)->curve, cases[i].curve);
            assert_int_equal(cert_issuer_key_type(c), BR_KEYTYPE_EC);
        }
        cert_free(c);
    }
    cert_free(NULL);
}

/* The chain keeps the order of the file and its exact bytes. */
static void test_chain_order(void **state)
{
    struct cert_source src = given("chain.pem", "p256.key");
    struct cert *c = open_or_fail(&src);
    struct file_bytes leaf;
    struct error err;
    size_t count;

    (void)state;
    assert_int_equal(file_read("p256.der", 4096, &leaf, &err), 0);
    const br_x509_certificate *chain = cert_chain(c, &count);
    assert_int_equal(chain[0].data_len, leaf.len);
    assert_memory_equal(chain[0].data, leaf.ptr, leaf.len);
    file_bytes_fini(&leaf);
    cert_free(c);
}

static void test_refuses(void **state)
{
    static const struct {
        const char *cert, *key;
        const char *words[4];
    } cases[] = {
        {"none.pem", "p256.key", {"none.pem", "No such file"}},
        {"p256.pem", "none.key", {"none.key", "No such file"}},
        {".", "p256.key", {".: not a regular file"}},
        {"p256.pem", ".", {".: not a regular file"}},
        {"large.pem", "p256.key", {"large.pem: larger than 65536 bytes"}},
        {"p256.pem", "large.pem", {"large.pem: larger than 65536 bytes"}},
        {"empty.pem", "p256.key", {"empty.pem: not PEM"}},
        {"hello.txt", "p256.key", {"hello.txt: not PEM"}},
        {"p256.der",
         "p256.key",
         {"p256.der: not PEM", "openssl x509 -inform der -in p256.der"}},
        {"p256.pem", "hello.txt", {"hello.txt: not PEM"}},
        {"p256.pem",
         "p256-key.der",
         {"p256-key.der: not PEM", "openssl pkey -inform der"}},
        {"p256.key", "p256.key", {"p256.key: holds no certificate"}},
        {"both.pem", "zeros.key", {"zeros.key", "damaged"}},
        {"p256.pem", "group.key", {"group.key", "0640", "chmod 600 group.key"}},
        {"p256.pem", "world.key", {"world.key", "0604", "chmod 600 world.key"}},
        {"p256.pem",
         "locked.key",
         {"locked.key", "encrypted", "openssl pkey -in locked.key"}},
        {"p256.pem",
         "locked-sec1.key",
         {"locked-sec1.key", "encrypted", "openssl pkey -in"}},
        {"both-locked.pem", "both-locked.pem", {"encrypted"}},
        {"ed25519.pem",
         "ed25519.key",
         {"ed25519.key: unsupported private key", "P-256", "RSA"}},
        {"k256.pem", "k256.key", {"k256.key: unsupported private key"}},
        {"pss.pem", "pss.key", {"pss.key: unsupported private key"}},
        {"p256.pem", "ssh.key", {"ssh.key: unsupported private key"}},
        {"rsa1024.pem",
         "rsa1024.key",
         {"rsa1024.key: unsupported", "2048 to 4096"}},
        {"ed25519.pem", "p256.key", {"ed25519.pem: unsupported certificate"}},
        {"p256.pem",
         "twokeys.key",
         {"twokeys.key: holds more than one private key"}},
        {"p256.pem", "cut.key", {"cut.key", "damaged or cut off"}},
        {"p256.pem", "damaged.key", {"damaged.key", "damaged or cut off"}},
        {"cut.pem", "p256.key", {"cut.pem", "certificate 1", "cut off"}},
        {"damaged.pem", "p256.key", {"damaged.pem", "certificate 1"}},
        {"zeros.pem", "p256.key", {"zeros.pem", "certificate 1 is damaged"}},
        {"eleven.pem", "p256.key", {"eleven.pem: more than 10 certificates"}},
        {"p256.pem",
         "params.key",
         {"params.key: the key does not match the certificate p256.pem"}},
        {"p256.pem", "p384.key", {"p384.key", "does not match"}},
        {"p256.pem", "rsa2048.key", {"rsa2048.key", "does not match"}},
        {"rsa4096.pem", "rsa2048.key", {"rsa2048.key", "does not match"}},
        {"rsa2048.pem", "p256.key", {"p256.key", "does not match"}},
        {"disorder.pem",
         "p256.key",
         {"p256.key", "certificate 2 of disorder.pem", "must come first"}},
        {"p256.pem", NULL, {"--cert", "--key"}},
        {NULL, "p256.key", {"--cert", "--key"}},
    };

    (void)state;
    /* A key without certificate in its file: the reverse mix-up. */
    sh_or_fail("cp p256.pem onlycert.key && chmod 600 onlycert.key");
    struct cert_source mixed = given("p256.pem", "onlycert.key");
    REFUSED(&mixed, "onlycert.key: holds no private key");
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *words[5] = {NULL};
        struct cert_source src = given(cases[i].cert, cases[i].key);
        memcpy(words, cases[i].words, sizeof cases[i].words);
        assert_refused(&src, words);
    }
}

/* An INTEGER of `len` bytes, odd and with its top bit set. */
static void put_number(struct der *d, size_t len)
{
    uint8_t bytes[1024];

    memset(bytes, 0xA5, sizeof bytes);
    der_put_unsigned(d, (struct span){bytes, len});
}

static void write_pem(const char *path, const char *label, struct span der)
{
    char text[16384];
    struct error err;
    size_t len = br_pem_encode(text, der.ptr, der.len, label, BR_PEM_LINE64);
    struct span pem = {(const uint8_t *)text, len};

    assert_int_equal(file_write(path, pem, 0600, &err), 0);
}

/* Making a real key of 8192 bits takes a minute; only its shape matters. */
static void test_rsa_8192_key(void **state)
{
    uint8_t mem[8192];
    struct span der;
    struct der d;
    struct cert_source src = given("rsa2048.pem", "rsa8192.key");

    (void)state;
    der_init(&d, mem, sizeof mem);
    size_t key = der_open(&d, DER_SEQUENCE);
    der_put_unsigned(&d, (struct span){NULL, 0});
    put_number(&d, 1024);
    put_number(&d, 3);
    put_number(&d, 1024);
    for (int i = 0; i < 5; i++)
        put_number(&d, 512);
    der_close(&d, key);
    assert_true(der_finish(&d, &der));
    write_pem("rsa8192.key", "RSA PRIVATE KEY", der);
    REFUSED(&src, "rsa8192.key: unsupported private key", "2048 to 4096");
}

static void test_rsa_8192_certificate(void **state)
{
    static const uint8_t rsa_encryption[] = {0x30, 0x0D, 0x06, 0x09, 0x2A,
                                             0x86, 0x48, 0x86, 0xF7, 0x0D,
                                             0x01, 0x01, 0x01, 0x05, 0x00};
    uint8_t mem[2048];
    uint8_t key_mem[2048];
    struct span key;
    struct span der;
    struct der d;
    struct cert_source src = given("rsa8192.pem", "rsa2048.key");

    (void)state;
    der_init(&d, key_mem, sizeof key_mem);
    size_t sequence = der_open(&d, DER_SEQUENCE);
    put_number(&d, 1024);
    put_number(&d, 3);
    der_close(&d, sequence);
    assert_true(der_finish(&d, &key));
    der_init(&d, mem, sizeof mem);
    sequence = der_open(&d, DER_SEQUENCE);
    der_put_raw(&d, (struct span){rsa_encryption, sizeof rsa_encryption});
    der_put_bits(&d, key, 0);
    der_close(&d, sequence);
    assert_true(der_finish(&d, &der));
    write_pem("rsa8192.pub", "PUBLIC KEY", der);
    sh_or_fail("openssl req -new -key p256.key -subj /CN=x -out x.csr &&"
               " openssl x509 -req -in x.csr -force_pubkey rsa8192.pub"
               " -CA p256.pem -CAkey p256.key -out rsa8192.pem");
    REFUSED(&src, "rsa8192.pem: unsupported certificate", "2048 to 4096");
}

static void test_dates(void **state)
{
    struct cert_source src = given("p256.pem", "p256.key");
    static const struct {
        int64_t after; /* seconds */
        const char *words;
    } cases[] = {
        {-2 * DAY, "p256.pem: the certificate is not valid before 20"},
        {0, NULL},
        {85 * DAY, NULL},
        {87 * DAY, "p256.pem: the certificate expires on 20"},
        {101 * DAY, "p256.pem: the certificate expired on 20"},
    };
    int64_t now = src.now;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        src.now = now + cases[i].after;
        struct cert *c = open_or_fail(&src);
        const char *warning = cert_warning(c);
        if (cases[i].words == NULL) {
            assert_null(warning);
        } else {
            assert_non_null(warning);
            assert_non_null(strstr(warning, cases[i].words));
            assert_null(strchr(warning, '\n'));
        }
        cert_free(c);
    }
}

/* Every cut of both texts is refused without reading past its end. */
static void test_every_cut(void **state)
{
    struct file_bytes cert;
    struct file_bytes key;
    struct error err;

    (void)state;
    assert_int_equal(file_read("p256.pem", 4096, &cert, &err), 0);
    assert_int_equal(file_read("p256.key", 4096, &key, &err), 0);
    struct cert_pem pem = {
        "cert", {cert.ptr, cert.len}, "key", {key.ptr, key.len}};
    /* Without its last five dashes and newline PEM still ends. */
    for (size_t len = 0; len + 32 < cert.len; len++) {
        uint8_t *exact = guard_copy(cert.ptr, len);
        pem.cert = (struct span){exact, len};
        assert_null(cert_load(&pem, 0, &err));
        free(exact);
    }
    pem.cert = (struct span){cert.ptr, cert.len};
    for (size_t len = 0; len + 32 < key.len; len++) {
        uint8_t *exact = guard_copy(key.ptr, len);
        pem.key = (struct span){exact, len};
        assert_null(cert_load(&pem, 0, &err));
        free(exact);
    }
    file_bytes_fini(&cert);
    file_bytes_fini(&key);
}

/* Making */

static unsigned mode_of(const char *dir, const char *name)
{
    char path[256];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(lstat(path, &st), 0);
    return st.st_mode & 07777;
}

static void assert_modes(const char *dir)
{
    assert_int_equal(mode_of(dir, "tls"), 0700);
    assert_int_equal(mode_of(dir, "tls/ca.pem"), 0644);
    assert_int_equal(mode_of(dir, "tls/ca-key.pem"), 0600);
    assert_int_equal(mode_of(dir, "tls/cert.pem"), 0644);
    assert_int_equal(mode_of(dir, "tls/key.pem"), 0600);
    in_dir("test \"$(ls -A $D/tls | tr '\\n' ' ')\" ="
           " 'ca-key.pem ca.pem cert.pem key.pem '",
           dir);
}

static void test_first_run(void **state)
{
    char dir[32];
    struct cert_source src = local(dir);
    struct cert *c = open_or_fail(&src);
    char hex[2 * CERT_FINGERPRINT_LEN + 1];
    size_t count;

    (void)state;
    assert_true(cert_was_created(c));
    assert_null(cert_warning(c));
    cert_chain(c, &count);
    assert_int_equal(count, 1);
    assert_int_equal(cert_ec_key(c)->curve, BR_EC_secp256r1);
    assert_int_equal(cert_issuer_key_type(c), BR_KEYTYPE_EC);
    assert_modes(dir);
    in_dir(VERIFY "-verify_hostname localhost $D/tls/cert.pem", dir);
    in_dir(VERIFY "-verify_ip 127.0.0.1 $D/tls/cert.pem", dir);
    in_dir(VERIFY "-verify_ip ::1 $D/tls/cert.pem", dir);
    in_dir("! " VERIFY "-verify_ip 127.0.0.2 $D/tls/cert.pem", dir);
    in_dir("openssl pkey -in $D/tls/key.pem -check -noout", dir);
    in_dir("openssl pkey -in $D/tls/ca-key.pem -check -noout", dir);
    for (size_t i = 0; i < CERT_FINGERPRINT_LEN; i++)
        snprintf(hex + 2 * i, 3, "%02X", cert_fingerprint(c)[i]);
    setenv("HEX", hex, 1);
    in_dir("openssl x509 -in $D/tls/cert.pem -noout -fingerprint -sha256"
           " | tr -d : | grep -q =$HEX",
           dir);
    cert_free(c);
}

/* What `openssl x509 -text` prints, line by line in this order. */
static void assert_text(const char *file, const char *const *lines)
{
    static char text[8192];

    in_dir(
        "openssl x509 -in $D -noout -text -nameopt RFC2253 | tr -s ' \\n' ' '"
        " > text.log",
        file);
    FILE *f = fopen("text.log", "r");
    if (f == NULL) {
        fail_msg("no output of openssl x509");
        return;
    }
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    const char *at = text;
    for (; *lines != NULL; lines++) {
        at = strstr(at, *lines);
        if (at == NULL) {
            fail_msg("'%s' not (in order) in: %s", *lines, text);
            return;
        }
    }
}

static void test_made_certificates(void **state)
{
    static const char *const hosts[] = {"play.example.org", "*.example.org",
                                        "192.0.2.7", "2001:db8::7"};
    char dir[32];
    char path[64];
    struct cert_source src = local(dir);

    (void)state;
    src.hosts = hosts;
    src.host_count = COUNT(hosts);
    src.now = 1800000000; /* 2027-01-15 08:00:00 UTC */
    cert_free(open_or_fail(&src));
    snprintf(path, sizeof path, "%s/tls/ca.pem", dir);
    assert_text(
        path, (const char *const[]){
                  "Version: 3 (0x2)", "Signature Algorithm: ecdsa-with-SHA256",
                  "Issuer: CN=openchampps local CA ",
                  "Not Before: Jan 15 07:00:00 2027 GMT",
                  "Not After : Jan 12 08:00:00 2037 GMT",
                  "Subject: CN=openchampps local CA ", "NIST CURVE: P-256",
                  "Basic Constraints: critical CA:TRUE, pathlen:0 ",
                  "Key Usage: critical Certificate Sign, CRL Sign ",
                  "Subject Key Identifier: ",
                  "Signature Algorithm: ecdsa-with-SHA256", NULL});
    snprintf(path, sizeof path, "%s/tls/cert.pem", dir);
    assert_text(
        path, (const char *const[]){
                  "Version: 3 (0x2)", "Signature Algorithm: ecdsa-with-SHA256",
                  "Issuer: CN=openchampps local CA ",
                  "Not Before: Jan 15 07:00:00 2027 GMT",
                  "Not After : Apr 14 08:00:00 2029 GMT",
                  "Subject: CN=play.example.org ", "NIST CURVE: P-256",
                  "Basic Constraints: critical CA:FALSE ",
                  "Key Usage: critical Digital Signature ",
                  "Extended Key Usage: TLS Web Server Authentication ",
                  "Subject Key Identifier: ", "Authority Key Identifier: ",
                  "DNS:play.example.org, DNS:*.example.org, ",
                  "IP Address:192.0.2.7, ", "IP Address:2001:DB8:0:0:0:0:0:7 ",
                  NULL});
    in_dir(VERIFY "-attime 1800000000 -verify_hostname www.example.org"
                  " $D/tls/cert.pem",
           dir);
    /* 16 bytes, positive, of full length */
    in_dir("openssl x509 -in $D/tls/cert.pem -noout -serial"
           " | grep -Eq '^serial=[4-7][0-9A-F]{31}$'",
           dir);
}

/* 2050 and later needs GeneralizedTime. */
static void test_made_late(void **state)
{
    char dir[32];
    struct cert_source src = local(dir);

    (void)state;
    src.now = 2524608000 - 4 * 365 * DAY;
    cert_free(open_or_fail(&src));
    in_dir("openssl x509 -in $D/tls/ca.pem -noout -dates | grep 2055", dir);
    in_dir("openssl asn1parse -in $D/tls/ca.pem | grep GENERALIZEDTIME", dir);
    in_dir("openssl asn1parse -in $D/tls/ca.pem | grep UTCTIME", dir);
    in_dir(VERIFY "-attime 2398464000 $D/tls/cert.pem", dir);
}

/* The first certificate made must satisfy the library that serves it too. */
static void test_bearssl_accepts(void **state)
{
    char dir[32];
    char ca_cert[64];
    char ca_key[64];
    struct cert_source src = local(dir);
    struct cert *leaf = open_or_fail(&src);
    br_x509_decoder_context d;
    br_x509_minimal_context m;
    size_t count;

    (void)state;
    snprintf(ca_cert, sizeof ca_cert, "%s/tls/ca.pem", dir);
    snprintf(ca_key, sizeof ca_key, "%s/tls/ca-key.pem", dir);
    struct cert_source ca_src = given(ca_cert, ca_key);
    struct cert *ca = open_or_fail(&ca_src);
    const br_x509_certificate *ca_chain = cert_chain(ca, &count);
    br_x509_decoder_init(&d, NULL, NULL);
    br_x509_decoder_push(&d, ca_chain->data, ca_chain->data_len);
    assert_int_equal(br_x509_decoder_isCA(&d), 1);
    struct span name = ca->leaf.subject;
    br_x509_trust_anchor anchor = {
        .dn = {(unsigned char *)name.ptr, name.len},
        .flags = BR_X509_TA_CA,
        .pkey = *br_x509_decoder_get_pkey(&d),
    };
    br_x509_minimal_init(&m, &br_sha256_vtable, &anchor, 1);
    br_x509_minimal_set_hash(&m, br_sha256_ID, &br_sha256_vtable);
    br_x509_minimal_set_ecdsa(&m, br_ec_get_default(),
                              br_ecdsa_vrfy_asn1_get_default());
    br_x509_minimal_set_time(&m, (uint32_t)(src.now / DAY + 719528),
                             (uint32_t)(src.now % DAY));
    const br_x509_certificate *chain = cert_chain(leaf, &count);
    m.vtable->start_chain(&m.vtable, "localhost");
    m.vtable->start_cert(&m.vtable, (uint32_t)chain->data_len);
    m.vtable->append(&m.vtable, chain->data, chain->data_len);
    m.vtable->end_cert(&m.vtable);
    assert_int_equal(m.vtable->end_chain(&m.vtable), 0);
    cert_free(ca);
    cert_free(leaf);
}

static void test_second_run_changes_nothing(void **state)
{
    char dir[32];
    uint8_t fingerprint[CERT_FINGERPRINT_LEN];
    struct cert_source src = local(dir);
    struct cert *c = open_or_fail(&src);

    (void)state;
    memcpy(fingerprint, cert_fingerprint(c), sizeof fingerprint);
    cert_free(c);
    in_dir("stat -c '%n %i %Y %s' $D/tls/* $D/tls > before.log", dir);
    c = open_or_fail(&src);
    assert_false(cert_was_created(c));
    assert_memory_equal(cert_fingerprint(c), fingerprint, sizeof fingerprint);
    cert_free(c);
    in_dir("stat -c '%n %i %Y %s' $D/tls/* $D/tls | diff before.log -", dir);
}

static void test_no_two_alike(void **state)
{
    char one[32];
    char two[32];
    struct cert_source src = local(one);

    (void)state;
    cert_free(open_or_fail(&src));
    src = local(two);
    cert_free(open_or_fail(&src));
    setenv("OTHER", two, 1);
    in_dir("for f in ca-key key ca cert; do"
           " ! cmp -s $D/tls/$f.pem $OTHER/tls/$f.pem || exit 1; done",
           one);
    in_dir("! openssl verify -CAfile $D/tls/ca.pem $OTHER/tls/cert.pem", one);
}

static void test_modes_under_any_umask(void **state)
{
    static const mode_t masks[] = {0, 022, 077, 0777};

    (void)state;
    for (size_t i = 0; i < COUNT(masks); i++) {
        char dir[32];
        struct cert_source src = local(dir);
        mode_t before = umask(masks[i]);
        struct cert *c = open_or_fail(&src);
        umask(before);
        cert_free(c);
        assert_modes(dir);
    }
}

/* What a crash can leave is completed; what was there stays. */
static void test_crash_leftovers(void **state)
{
    static const char *const lost[] = {
        "ca.pem key.pem cert.pem",            /* after ca-key.pem */
        "key.pem cert.pem",                   /* after ca.pem */
        "cert.pem",                           /* after key.pem */
        "ca-key.pem ca.pem key.pem cert.pem", /* after the directory */
    };

    (void)state;
    for (size_t i = 0; i < COUNT(lost); i++) {
        char dir[32];
        struct cert_source src = local(dir);
        cert_free(open_or_fail(&src));
        setenv("LOST", lost[i], 1);
        in_dir("(cd $D/tls && rm $LOST && for f in $LOST; do"
               " printf half > $f.tmp; done) && rm -rf old &&"
               " cp -a $D/tls old && rm -f old/*.tmp",
               dir);
        struct cert *c = open_or_fail(&src);
        assert_true(cert_was_created(c));
        assert_null(cert_warning(c));
        cert_free(c);
        assert_modes(dir);
        in_dir(VERIFY "-verify_hostname localhost $D/tls/cert.pem", dir);
        in_dir("(cd old; for f in *; do test ! -e $f || cmp $f ../$D/tls/$f"
               " || exit 1; done)",
               dir);
    }
}

static void test_incomplete_sets_are_refused(void **state)
{
    static const struct {
        const char *damage;
        const char *words[3];
    } cases[] = {
        {"rm key.pem", {"tls/key.pem: missing", "tls/cert.pem is there"}},
        {"rm ca-key.pem key.pem cert.pem",
         {"tls/ca-key.pem: missing", "tls/ca.pem is there"}},
        {"rm ca.pem cert.pem; : > ca-key.pem", {"tls/ca-key.pem: not PEM"}},
        {"rm cert.pem; : > key.pem", {"tls/key.pem: not PEM"}},
        {"rm cert.pem; : > ca.pem", {"tls/ca.pem: not PEM"}},
        {": > cert.pem", {"tls/cert.pem: not PEM"}},
        {"rm cert.pem; cp key.pem ca-key.pem",
         {"tls/ca-key.pem: the key does not match", "tls/ca.pem"}},
        {"cp ca-key.pem key.pem",
         {"tls/key.pem: the key does not match", "tls/cert.pem"}},
        {"rm cert.pem; cp ../../rsa2048.key key.pem",
         {"tls/key.pem: no P-256 key", "move it away"}},
        {"rm cert.pem; cp ../../p384.key key.pem",
         {"tls/key.pem: no P-256 key"}},
        {"chmod 644 key.pem", {"tls/key.pem", "0644", "chmod 600"}},
        {"rm cert.pem; chmod 640 ca-key.pem",
         {"tls/ca-key.pem", "0640", "chmod 600"}},
        {"rm cert.pem key.pem; cp ../../rsa2048.pem ca.pem;"
         " cp ../../rsa2048.key ca-key.pem",
         {"tls/ca.pem: no CA with an EC key"}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char dir[32];
        const char *words[4] = {NULL};
        struct cert_source src = local(dir);
        cert_free(open_or_fail(&src));
        setenv("DAMAGE", cases[i].damage, 1);
        in_dir("(cd $D/tls && eval \"$DAMAGE\") && rm -rf old &&"
               " cp -a $D/tls old",
               dir);
        memcpy(words, cases[i].words, sizeof cases[i].words);
        assert_refused(&src, words);
        in_dir("diff -r old $D/tls", dir); /* and nothing was touched */
    }
}

/* Only the leaf and its key are needed once they are there. */
static void test_ca_may_be_moved_away(void **state)
{
    char dir[32];
    struct cert_source src = local(dir);

    (void)state;
    cert_free(open_or_fail(&src));
    in_dir("rm $D/tls/ca-key.pem", dir);
    cert_free(open_or_fail(&src));
    in_dir("rm $D/tls/ca.pem", dir);
    struct cert *c = open_or_fail(&src);
    assert_false(cert_was_created(c));
    cert_free(c);
    in_dir("test ! -e $D/tls/ca.pem", dir);
}

/* A new leaf comes from the old CA, which clients trust already. */
static void test_renewal(void **state)
{
    static const char *const hosts[] = {"new.example"};
    char dir[32];
    struct cert_source src = local(dir);

    (void)state;
    cert_free(open_or_fail(&src));
    in_dir("cp $D/tls/ca.pem old-ca.pem", dir);
    src.hosts = hosts;
    src.host_count = 1;
    struct cert *c = open_or_fail(&src);
    assert_false(cert_was_created(c));
    assert_non_null(cert_warning(c));
    assert_non_null(strstr(cert_warning(c), "tls/cert.pem: made for other"));
    cert_free(c);
    in_dir("rm $D/tls/cert.pem $D/tls/key.pem", dir);
    c = open_or_fail(&src);
    assert_true(cert_was_created(c));
    assert_null(cert_warning(c));
    cert_free(c);
    in_dir("cmp old-ca.pem $D/tls/ca.pem", dir);
    in_dir(VERIFY "-verify_hostname new.example $D/tls/cert.pem", dir);
}

/* A leaf never outlives its CA. */
static void test_old_ca(void **state)
{
    char dir[32];
    struct cert_source src = local(dir);

    (void)state;
    src.now = 1800000000;
    cert_free(open_or_fail(&src));
    in_dir("rm $D/tls/cert.pem", dir);
    src.now = 1800000000 + (int64_t)3600 * DAY;
    cert_free(open_or_fail(&src));
    in_dir("openssl x509 -in $D/tls/cert.pem -noout -enddate"
           " | grep -F 'Jan 12 08:00:00 2037 GMT'",
           dir);
    in_dir("rm $D/tls/cert.pem", dir);
    src.now = 1800000000 + (int64_t)3651 * DAY;
    REFUSED(&src, "tls/ca.pem", "still valid", "move it");
}

/* The operator's own CA in place of ours issues the leaf. */
static void test_foreign_ca(void **state)
{
    char dir[32];
    struct cert_source src = local(dir);

    (void)state;
    in_dir("mkdir -m 700 $D/tls && cp p384.key $D/tls/ca-key.pem &&"
           " openssl req -x509 -new -key p384.key -subj '/O=Club/CN=Root'"
           " -addext keyUsage=critical,keyCertSign -days 50"
           " -out $D/tls/ca.pem",
           dir);
    struct cert *c = open_or_fail(&src);
    assert_true(cert_was_created(c));
    cert_free(c);
    in_dir(VERIFY "-verify_hostname localhost $D/tls/cert.pem", dir);
}

static void test_bad_hosts(void **state)
{
    static const char *const bad[] = {"",          "a b",        "host:8443",
                                      "[::1]",     "1.2.3",      "fe80::1%lo",
                                      "a_b.local", "https://a.b"};
    const char *many[CERT_HOSTS_MAX + 1];
    char dir[32];
    struct cert_source src = local(dir);

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        const char *hosts[] = {"localhost", bad[i]};
        char quoted[64];
        src.hosts = hosts;
        src.host_count = 2;
        snprintf(quoted, sizeof quoted, "host '%s':", bad[i]);
        REFUSED(&src, quoted, "DNS name");
    }
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = "localhost";
    src.hosts = many;
    src.host_count = COUNT(many);
    REFUSED(&src, "33 hosts", "at most 32");
    in_dir("test ! -e $D/tls", dir); /* nothing was written */
}

/* As many and as long names as there may be. */
static void test_largest_certificate(void **state)
{
    static char text[CERT_HOSTS_MAX][X509_DNS_MAX + 1];
    const char *hosts[CERT_HOSTS_MAX];
    char dir[32];
    struct cert_source src = local(dir);

    (void)state;
    for (size_t i = 0; i < CERT_HOSTS_MAX; i++) {
        for (size_t k = 0; k < X509_DNS_MAX; k++)
            text[i][k] = k % 64 == 63 ? '.' : (char)('a' + (i + k) % 26);
        hosts[i] = text[i];
    }
    src.hosts = hosts;
    src.host_count = CERT_HOSTS_MAX;
    cert_free(open_or_fail(&src));
    setenv("NAME", hosts[CERT_HOSTS_MAX - 1], 1);
    in_dir(VERIFY "-verify_hostname $NAME $D/tls/cert.pem", dir);
    in_dir("openssl x509 -in $D/tls/cert.pem -noout -subject"
           " | grep -F 'CN = openchampps'",
           dir);
}

static void test_bad_places(void **state)
{
    char dir[32];
    struct cert_source src = local(dir);
    char *deep = calloc(1, 5000);

    (void)state;
    in_dir("echo x > $D/tls", dir);
    REFUSED(&src, "/tls: not a directory");
    src.data_dir = "nowhere";
    REFUSED(&src, "nowhere/tls: No such file");
    memset(deep, 'd', 4999);
    src.data_dir = deep;
    REFUSED(&src, "the path is too long");
    free(deep);
}

/* Servers that start at once in one directory end up with one set. */
static void test_started_at_once(void **state)
{
    char dir[32];
    struct cert_source src = local(dir);
    pid_t child[4];

    (void)state;
    for (size_t i = 0; i < COUNT(child); i++) {
        child[i] = fork();
        assert_true(child[i] >= 0);
        if (child[i] == 0) {
            struct error err;
            struct cert *c = cert_open(&src, &err);
            int created = c != NULL && cert_was_created(c);
            _exit(c == NULL ? 2 : created);
        }
    }
    int made = 0;
    for (size_t i = 0; i < COUNT(child); i++) {
        int status;
        assert_int_equal(waitpid(child[i], &status, 0), child[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        made += WEXITSTATUS(status);
    }
    assert_int_equal(made, 1);
    assert_modes(dir);
    in_dir(VERIFY "$D/tls/cert.pem", dir);
}

/* Keys drawn and read back agree; RFC 5915 keys come shorter sometimes. */
static void test_key_format_reads_back(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct cert_key key;
        struct cert_key back;
        struct cert_text text;
        struct error err;
        br_skey_decoder_context d;
        assert_int_equal(cert_key_make(&key, &err), 0);
        cert_key_format(&key, &text);
        struct span pem = {(const uint8_t *)text.text, text.len};
        assert_int_equal(cert_load_key("k", pem, &d, &err), 0);
        assert_true(cert_key_complete(br_skey_decoder_get_ec(&d), &back));
        assert_memory_equal(back.point, key.point, key.point_len);
        assert_memory_equal(back.id, key.id, sizeof key.id);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loads),
        cmocka_unit_test(test_chain_order),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_rsa_8192_key),
        cmocka_unit_test(test_rsa_8192_certificate),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_first_run),
        cmocka_unit_test(test_made_certificates),
        cmocka_unit_test(test_made_late),
        cmocka_unit_test(test_bearssl_accepts),
        cmocka_unit_test(test_second_run_changes_nothing),
        cmocka_unit_test(test_no_two_alike),
        cmocka_unit_test(test_modes_under_any_umask),
        cmocka_unit_test(test_crash_leftovers),
        cmocka_unit_test(test_incomplete_sets_are_refused),
        cmocka_unit_test(test_ca_may_be_moved_away),
        cmocka_unit_test(test_renewal),
        cmocka_unit_test(test_old_ca),
        cmocka_unit_test(test_foreign_ca),
        cmocka_unit_test(test_bad_hosts),
        cmocka_unit_test(test_largest_certificate),
        cmocka_unit_test(test_bad_places),
        cmocka_unit_test(test_started_at_once),
        cmocka_unit_test(test_key_format_reads_back),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
