#include "sys/tls_client.h"

#include "base/ec.h"
#include "base/wipe.h"
#include "sys/entropy.h"

#include <bearssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* --- An X.509 engine that takes the first certificate's key as it is --- */

struct any_cert {
    const br_x509_class *vtable;
    br_x509_decoder_context decoder;
    bool is_past_leaf;
};

static struct any_cert *any_cert_of(const br_x509_class **ctx)
{
    return (struct any_cert *)(void *)ctx;
}

static void start_chain(const br_x509_class **ctx, const char *name)
{
    struct any_cert *c = any_cert_of(ctx);

    (void)name;
    c->is_past_leaf = false;
    br_x509_decoder_init(&c->decoder, NULL, NULL);
}

static void start_cert(const br_x509_class **ctx, uint32_t len)
{
    (void)ctx;
    (void)len;
}

static void append(const br_x509_class **ctx, const unsigned char *buf,
                   size_t len)
{
    struct any_cert *c = any_cert_of(ctx);

    if (!c->is_past_leaf)
        br_x509_decoder_push(&c->decoder, buf, len);
}

static void end_cert(const br_x509_class **ctx)
{
    any_cert_of(ctx)->is_past_leaf = true;
}

static unsigned end_chain(const br_x509_class **ctx)
{
    return (unsigned)br_x509_decoder_last_error(&any_cert_of(ctx)->decoder);
}

static const br_x509_pkey *get_pkey(const br_x509_class *const *ctx,
                                    unsigned *usages)
{
    struct any_cert *c =
        any_cert_of((const br_x509_class **)(uintptr_t)(const void *)ctx);

    if (usages != NULL)
        *usages = BR_KEYTYPE_KEYX | BR_KEYTYPE_SIGN;
    return br_x509_decoder_get_pkey(&c->decoder);
}

static const br_x509_class any_cert_class = {
    .context_size = sizeof(struct any_cert),
    .start_chain = start_chain,
    .start_cert = start_cert,
    .append = append,
    .end_cert = end_cert,
    .end_chain = end_chain,
    .get_pkey = get_pkey,
};

/* --- The request --- */

struct client {
    br_ssl_client_context engine;
    struct any_cert any;
    br_sslio_context io;
    uint8_t buffer[BR_SSL_BUFSIZE_BIDI];
};

static int read_some(void *ctx, unsigned char *buf, size_t len)
{
    ssize_t n = recv(*(const int *)ctx, buf, len, 0);

    return n > 0 ? (int)n : -1;
}

static int write_some(void *ctx, const unsigned char *buf, size_t len)
{
    ssize_t n = send(*(const int *)ctx, buf, len, MSG_NOSIGNAL);

    return n > 0 ? (int)n : -1;
}

/* br_ssl_client_init_full would link every algorithm there is. */
static void set_up(struct client *c)
{
    static const uint16_t suites[] = {
        BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    };
    br_ssl_engine_context *engine = &c->engine.eng;

    br_ssl_client_zero(&c->engine);
    br_ssl_engine_set_versions(engine, BR_TLS12, BR_TLS12);
    br_ssl_engine_set_suites(engine, suites, sizeof suites / sizeof *suites);
    br_ssl_engine_set_default_aes_gcm(engine);
    br_ssl_engine_set_default_chapol(engine);
    br_ssl_engine_set_ec(engine, ec_curves());
    br_ssl_engine_set_ecdsa(engine, br_ecdsa_vrfy_asn1_get_default());
    br_ssl_engine_set_default_rsavrfy(engine);
    br_ssl_engine_set_hash(engine, br_sha256_ID, &br_sha256_vtable);
    br_ssl_engine_set_hash(engine, br_sha384_ID, &br_sha384_vtable);
    br_ssl_engine_set_prf_sha256(engine, &br_tls12_sha256_prf);
    br_ssl_engine_set_prf_sha384(engine, &br_tls12_sha384_prf);
    c->any.vtable = &any_cert_class;
    br_ssl_engine_set_x509(engine, &c->any.vtable);
    br_ssl_engine_set_buffer(engine, c->buffer, sizeof c->buffer, 1);
}

static int start(struct client *c, struct error *err)
{
    uint8_t seed[32];

    if (entropy_fill(seed, sizeof seed, err) != 0)
        return -1;
    set_up(c);
    br_ssl_engine_inject_entropy(&c->engine.eng, seed, sizeof seed);
    wipe(seed, sizeof seed);
    if (br_ssl_client_reset(&c->engine, NULL, 0))
        return 0;
    return error_set(err, "TLS: the engine refuses to start");
}

static int converse(struct client *c, struct span request, char *answer,
                    size_t cap)
{
    size_t len = 0;

    if (br_sslio_write_all(&c->io, request.ptr, request.len) != 0 ||
        br_sslio_flush(&c->io) != 0)
        return -1;
    while (len < cap) {
        int n = br_sslio_read(&c->io, answer + len, cap - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    return len > 0 ? (int)len : -1;
}

int tls_client_ask(int fd, struct span request, char *answer, size_t cap,
                   struct error *err)
{
    struct client *c = calloc(1, sizeof *c);

    if (c == NULL)
        return error_set(err, "out of memory");
    if (start(c, err) != 0) {
        free(c);
        return -1;
    }
    br_sslio_init(&c->io, &c->engine.eng, read_some, &fd, write_some, &fd);
    int len = converse(c, request, answer, cap);
    if (len < 0)
        error_set(err, "no answer over TLS (error %d)",
                  br_ssl_engine_last_error(&c->engine.eng));
    free(c);
    return len;
}
