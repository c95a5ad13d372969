#include "sys/tls.h"

#include "base/ec.h"
#include "base/wipe.h"
#include "sys/cert_bearssl.h"
#include "sys/entropy.h"

#include <stdlib.h>
#include <string.h>

enum {
    /* BearSSL takes some 100 bytes a session: about 2,600 of them. */
    SESSION_CACHE_LEN = 256 * 1024,
    /* Answers are short; the certificate chain goes out in several records. */
    OUTPUT_LEN = 4096 + BR_SSL_BUFSIZE_OUTPUT - 16384,
    SEED_LEN = 32
};

/* 2 to the power of the curve's number, as BearSSL has it. */
#define CURVE(id) ((uint32_t)1 << (id))

/* BearSSL's cache, with an eye on what it is asked. */
struct session_cache {
    const br_ssl_session_cache_class *vtable;
    br_ssl_session_cache_lru lru;
    struct tls_counts counts;
};

struct tls_server {
    br_ssl_server_context template; /* set up once, copied per connection */
    struct session_cache cache;
    struct cert *cert;
    size_t holders; /* owner and connections */
    br_ec_impl curves;
    uint8_t cache_mem[SESSION_CACHE_LEN];
};

struct tls_conn {
    br_ssl_server_context engine;
    struct tls_server *server;
    bool is_established; /* application data could flow, once */
    /* In this order short records of both share pages with the engine. */
    uint8_t output[OUTPUT_LEN];
    uint8_t input[BR_SSL_BUFSIZE_INPUT];
};

/* --- Sessions: the engine saves one at the end of a full handshake --- */

static void save_session(const br_ssl_session_cache_class **ctx,
                         br_ssl_server_context *engine,
                         const br_ssl_session_parameters *session)
{
    struct session_cache *c = (struct session_cache *)(void *)ctx;

    c->counts.full++;
    c->lru.vtable->save(&c->lru.vtable, engine, session);
}

static int load_session(const br_ssl_session_cache_class **ctx,
                        br_ssl_server_context *engine,
                        br_ssl_session_parameters *session)
{
    struct session_cache *c = (struct session_cache *)(void *)ctx;
    int found = c->lru.vtable->load(&c->lru.vtable, engine, session);

    if (found)
        c->counts.resumed++;
    return found;
}

static const br_ssl_session_cache_class cache_class = {
    sizeof(struct session_cache), save_session, load_session};

/* --- What all connections share --- */

/* AES first where the processor has instructions for it. */
static size_t list_suites(bool is_rsa, uint16_t suites[3])
{
    static const uint16_t ecdsa[3] = {
        BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    };
    static const uint16_t rsa[3] = {
        BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    };
    const uint16_t *from = is_rsa ? rsa : ecdsa;
    bool has_fast_aes = br_aes_x86ni_ctr_get_vtable() != NULL ||
                        br_aes_pwr8_ctr_get_vtable() != NULL;
    size_t first = has_fast_aes ? 0 : 2;

    for (size_t i = 0; i < 3; i++)
        suites[i] = from[(first + i) % 3];
    return 3;
}

static void set_hashes(br_ssl_engine_context *engine)
{
    br_ssl_engine_set_hash(engine, br_sha256_ID, &br_sha256_vtable);
    br_ssl_engine_set_hash(engine, br_sha384_ID, &br_sha384_vtable);
    br_ssl_engine_set_prf_sha256(engine, &br_tls12_sha256_prf);
    br_ssl_engine_set_prf_sha384(engine, &br_tls12_sha384_prf);
}

static void set_key(br_ssl_server_context *engine, struct cert *cert)
{
    size_t count;
    const br_x509_certificate *chain = cert_chain(cert, &count);
    const br_ec_private_key *ec = cert_ec_key(cert);

    if (ec != NULL)
        br_ssl_server_set_single_ec(engine, chain, count, ec, BR_KEYTYPE_SIGN,
                                    cert_issuer_key_type(cert), ec_curves(),
                                    ec_sign_asn1);
    else
        br_ssl_server_set_single_rsa(
            engine, chain, count, cert_rsa_key(cert), BR_KEYTYPE_SIGN,
            br_rsa_private_get_default(), br_rsa_pkcs1_sign_get_default());
}

/*
 * The engine picks the first curve of its own that the client has, in the
 * order of their numbers, unless X25519 is among them, which it prefers; the
 * mask leaves only the two that are fast and constant-time.
 */
static void set_curves(struct tls_server *t)
{
    t->curves = *ec_curves();
    t->curves.supported_curves =
        CURVE(BR_EC_curve25519) | CURVE(BR_EC_secp256r1);
    br_ssl_engine_set_ec(&t->template.eng, &t->curves);
}

static void set_up(struct tls_server *t)
{
    br_ssl_engine_context *engine = &t->template.eng;
    uint16_t suites[3];
    size_t count = list_suites(cert_ec_key(t->cert) == NULL, suites);

    br_ssl_server_zero(&t->template);
    br_ssl_engine_set_versions(engine, BR_TLS12, BR_TLS12);
    br_ssl_engine_set_suites(engine, suites, count);
    br_ssl_engine_set_default_aes_gcm(engine);
    br_ssl_engine_set_default_chapol(engine);
    set_hashes(engine);
    set_curves(t);
    set_key(&t->template, t->cert);
    br_ssl_engine_add_flags(engine, BR_OPT_ENFORCE_SERVER_PREFERENCES |
                                        BR_OPT_NO_RENEGOTIATION);
    br_ssl_session_cache_lru_init(&t->cache.lru, t->cache_mem,
                                  SESSION_CACHE_LEN);
    t->cache.vtable = &cache_class;
    br_ssl_server_set_cache(&t->template, &t->cache.vtable);
}

struct tls_server *tls_server_new(struct cert *cert, struct error *err)
{
    struct tls_server *t = calloc(1, sizeof *t);

    if (t == NULL) {
        error_set(err, "TLS: out of memory");
        cert_free(cert);
        return NULL;
    }
    t->cert = cert;
    t->holders = 1;
    set_up(t);
    return t;
}

struct tls_counts tls_server_counts(const struct tls_server *t)
{
    return t->cache.counts;
}

int tls_server_use(struct tls_server **t, struct cert *cert, struct error *err)
{
    if (*t != NULL && cert_equals((*t)->cert, cert)) {
        cert_free(cert);
        return 0;
    }
    struct tls_server *fresh = tls_server_new(cert, err);
    if (fresh == NULL)
        return -1;
    if (*t != NULL)
        fresh->cache.counts = (*t)->cache.counts;
    tls_server_release(*t);
    *t = fresh;
    return 0;
}

int64_t tls_server_not_after(const struct tls_server *t)
{
    return cert_info(t->cert)->not_after;
}

void tls_server_release(struct tls_server *t)
{
    if (t == NULL || --t->holders > 0)
        return;
    cert_free(t->cert);
    wipe(t, sizeof *t);
    free(t);
}

/* --- One connection --- */

size_t tls_conn_size(void)
{
    return sizeof(struct tls_conn);
}

struct tls_conn *tls_conn_start(struct tls_server *t, void *mem,
                                struct error *err)
{
    struct tls_conn *c = mem;
    br_ssl_engine_context *engine = &c->engine.eng;
    uint8_t seed[SEED_LEN];

    if (entropy_fill(seed, sizeof seed, err) != 0)
        return NULL;
    c->engine = t->template;
    c->server = t;
    c->is_established = false;
    br_ssl_engine_set_buffers_bidi(engine, c->input, sizeof c->input, c->output,
                                   sizeof c->output);
    br_ssl_engine_inject_entropy(engine, seed, sizeof seed);
    wipe(seed, sizeof seed);
    if (!br_ssl_server_reset(&c->engine)) {
        error_set(err, "TLS: the engine refuses to start (error %d)",
                  br_ssl_engine_last_error(engine));
        wipe(&c->engine, sizeof c->engine);
        return NULL;
    }
    t->holders++;
    return c;
}

void tls_conn_end(struct tls_conn *c)
{
    struct tls_server *server = c->server;

    wipe(&c->engine, sizeof c->engine);
    tls_server_release(server);
}

uint8_t *tls_cipher_space(struct tls_conn *c, size_t *len)
{
    return br_ssl_engine_recvrec_buf(&c->engine.eng, len);
}

/* The handshake ends with a record of the peer's, or with one of ours. */
static void note_progress(struct tls_conn *c)
{
    unsigned state = br_ssl_engine_current_state(&c->engine.eng);

    if ((state & (BR_SSL_SENDAPP | BR_SSL_RECVAPP)) != 0)
        c->is_established = true;
}

void tls_cipher_received(struct tls_conn *c, size_t len)
{
    br_ssl_engine_recvrec_ack(&c->engine.eng, len);
    note_progress(c);
}

const uint8_t *tls_cipher_bytes(struct tls_conn *c, size_t *len)
{
    return br_ssl_engine_sendrec_buf(&c->engine.eng, len);
}

void tls_cipher_sent(struct tls_conn *c, size_t len)
{
    br_ssl_engine_sendrec_ack(&c->engine.eng, len);
    note_progress(c);
}

const uint8_t *tls_plain_bytes(struct tls_conn *c, size_t *len)
{
    return br_ssl_engine_recvapp_buf(&c->engine.eng, len);
}

void tls_plain_taken(struct tls_conn *c, size_t len)
{
    br_ssl_engine_recvapp_ack(&c->engine.eng, len);
}

uint8_t *tls_plain_space(struct tls_conn *c, size_t *len)
{
    return br_ssl_engine_sendapp_buf(&c->engine.eng, len);
}

void tls_plain_put(struct tls_conn *c, size_t len)
{
    br_ssl_engine_sendapp_ack(&c->engine.eng, len);
}

void tls_flush(struct tls_conn *c)
{
    br_ssl_engine_flush(&c->engine.eng, 0);
}

void tls_close(struct tls_conn *c)
{
    br_ssl_engine_close(&c->engine.eng);
}

bool tls_is_established(const struct tls_conn *c)
{
    return c->is_established;
}

bool tls_is_closed(const struct tls_conn *c)
{
    return br_ssl_engine_current_state(&c->engine.eng) == BR_SSL_CLOSED;
}

int tls_error(const struct tls_conn *c)
{
    return br_ssl_engine_last_error(&c->engine.eng);
}
