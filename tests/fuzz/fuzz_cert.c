/*
 * Certificate and key from any bytes: as one PEM text that is both files, and
 * as bare DER. Whatever loads must have a usable key, and reading must not
 * depend on how the writer chopped or ended the lines.
 */
#include "proto/der.h"
#include "sys/cert_bearssl.h"
#include "sys/cert_load.h"

#include <stdlib.h>

#define REQUIRE(condition) \
    do {                   \
        if (!(condition))  \
            abort();       \
    } while (0)

static bool within(struct span inner, struct span outer)
{
    return inner.len == 0 ||
           (inner.ptr >= outer.ptr && inner.len <= outer.len &&
            inner.ptr <= outer.ptr + outer.len - inner.len);
}

/* Elements tile what was given, without gap or overlap. */
static void walk(struct span given)
{
    struct span rest = given;
    struct der_element e;

    while (der_next(&rest, &e)) {
        REQUIRE(within(e.content, e.whole) && within(e.whole, given));
        REQUIRE(e.whole.ptr + e.whole.len == rest.ptr);
        int64_t moment;
        if (der_parse_time(&e, &moment)) {
            uint8_t mem[32];
            struct der d;
            der_init(&d, mem, sizeof mem);
            der_put_time(&d, moment);
            REQUIRE(!d.full);
        }
        if ((e.tag & 0x20) != 0)
            REQUIRE(e.content.len < given.len);
    }
    REQUIRE(within(rest, given));
}

static void check_der(struct span given)
{
    struct x509_info info;
    struct x509_name name = {true, {(const uint8_t *)"\x7F\0\0\1", 4}};

    walk(given);
    if (!x509_parse(given, &info))
        return;
    REQUIRE(within(info.subject, given));
    REQUIRE(within(info.subject_key, given));
    REQUIRE(within(info.alt_names, given));
    REQUIRE(within(info.issuer, given));
    struct span text, rest = info.alt_names;
    if (x509_name_text(info.issuer, &text))
        REQUIRE(within(text, info.issuer));
    struct x509_name found;
    while (x509_next_name(&rest, &found))
        REQUIRE(within(found.bytes, info.alt_names) &&
                x509_has_name(&info, &found));
    x509_has_name(&info, &name);
}

static struct cert *load(struct span text, struct error *err)
{
    struct cert_pem pem = {"cert", text, "key", text};

    return cert_load(&pem, 1800000000, err);
}

static void check_loaded(const struct cert *c)
{
    size_t count;
    const br_x509_certificate *chain = cert_chain(c, &count);

    REQUIRE(count >= 1 && count <= CERT_CHAIN_MAX);
    for (size_t i = 0; i < count; i++)
        check_der((struct span){chain[i].data, chain[i].data_len});
    REQUIRE((cert_ec_key(c) == NULL) != (cert_rsa_key(c) == NULL));
}

/* The same text with CR LF for LF gives no other certificate. */
static void check_line_ends(struct span text, const uint8_t *fingerprint)
{
    uint8_t *copy = malloc(2 * text.len);
    size_t len = 0;
    struct error err;

    REQUIRE(copy != NULL);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\n')
            copy[len++] = '\r';
        copy[len++] = text.ptr[i];
    }
    struct cert *c = load((struct span){copy, len}, &err);
    /* The decoder lets missing padding pass before LF, but not before CR. */
    if (c != NULL)
        REQUIRE(memcmp(cert_fingerprint(c), fingerprint, DIGEST_SHA256_LEN) ==
                0);
    cert_free(c);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = {data, size};
    struct error err = {""};

    check_der(text);
    struct cert *c = load(text, &err);
    if (c == NULL) {
        REQUIRE(err.text[0] != '\0' && strchr(err.text, '\n') == NULL);
        return 0;
    }
    check_loaded(c);
    check_line_ends(text, cert_fingerprint(c));
    cert_free(c);
    return 0;
}
