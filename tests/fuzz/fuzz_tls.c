/*
 * sys/tls against bytes from the network. An honest client of BearSSL's talks
 * to it through somebody who may drop, repeat, cut, join, change and invent
 * records. Kernel and clock have no part in it and the entropy is a counter, so
 * an input always gives the same conversation, however it is cut into pieces.
 *
 * Byte 0: 1 = no honest client, the rest is what the server hears;
 *         2 = the client has talked before and resumes its session;
 *         4 = it offers only ChaCha20-Poly1305.
 * The others are read as steps, one for each record of the client's: see
 * enum step.
 */
#include "base/bytes.h"
#include "sys/cert_load.h"
#include "sys/tls.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RAW = 1, RESUME = 2, CHACHA = 4 };

enum step {
    PASS,
    DROP,
    REPEAT,
    CHANGE,  /* a byte of it: where (2), with what (1) */
    CUT,     /* to two records: where (2) */
    SHORTEN, /* its body, and its length: by how much (1) */
    INVENT,  /* before it: how much (1), and the bytes */
    TALK,    /* before it: the client sends that much (1) plaintext */
    HANG_UP, /* before it: the client sends close_notify */
    RENEGOTIATE,
    STEPS
};

enum { ALERT = 21, RECORD_HEAD = 5, RECORD_MAX = RECORD_HEAD + 16384 + 2048 };

/* A self-signed certificate for tests, and its key. */
static const char pem[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBfzCCASWgAwIBAgIUYJGRp/TQM3QkH/Zea5+4v9eiGygwCgYIKoZIzj0EAwIw\n"
    "FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNDEzMDY1MFoYDzIxMjYxMDMx\n"
    "MTMwNjUwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO\n"
    "PQMBBwNCAASCd3PW0PAwoDjfQ+zkqDitr9g3YEZ0YvKqIkNtzBAv2W90JsV+A3TO\n"
    "iXfNaXcK1HhNGXV86CCqyt62wdbuDeblo1MwUTAdBgNVHQ4EFgQUwXa3lGFclLCh\n"
    "AENYIO3tb/ukuVEwHwYDVR0jBBgwFoAUwXa3lGFclLChAENYIO3tb/ukuVEwDwYD\n"
    "VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiBN+fj4D/mnnmWoJoeW8+aD\n"
    "pAokkxiSsdesdG8WvBS1QAIhAIaiLbC4qZL6QUZAJlAZy0BeTSHMTYF3yweI3Ahg\n"
    "eyN6\n"
    "-----END CERTIFICATE-----\n"
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgY3VogATGR6E4C4Iz\n"
    "IxHIYQ+CyhB0GJFGgWJIbyl5U0ehRANCAASCd3PW0PAwoDjfQ+zkqDitr9g3YEZ0\n"
    "YvKqIkNtzBAv2W90JsV+A3TOiXfNaXcK1HhNGXV86CCqyt62wdbuDebl\n"
    "-----END PRIVATE KEY-----\n";

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* Stands in for libc's: a counter. */
static uint8_t entropy;

int getentropy(void *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)out)[i] = entropy++;
    return 0;
}

/* --- The server --- */

/* A conversation as the server sees it: all that it says and hears. */
struct talk {
    struct tls_conn *c;
    void *mem;
    size_t step;   /* bytes in one piece */
    uint64_t said; /* FNV-1a over its bytes */
    size_t said_len, heard_len;
    int error;                 /* that it ended with, 0 = none */
    uint8_t head[RECORD_HEAD]; /* of the record being said */
    size_t record_at, record_len;
    struct client *client; /* who listens; NULL: nobody */
};

/* Read once. */
static const struct cert *test_cert(void)
{
    static const struct cert *cert;
    const struct span text = span_of(pem);
    struct error err;

    if (cert == NULL)
        cert = cert_load(&(struct cert_pem){"cert", text, "key", text},
                         1800000000, &err);
    must(cert != NULL && cert->count == 1);
    return cert;
}

/* Each server gets a copy, and with it an empty cache of sessions. */
static struct tls_server *make_server(void)
{
    const struct cert *original = test_cert();
    struct cert *copy = malloc(sizeof *copy);
    size_t len = original->chain[0].data_len;
    struct error err;

    must(copy != NULL);
    *copy = *original;
    copy->der = malloc(len);
    must(copy->der != NULL);
    memcpy(copy->der, original->chain[0].data, len);
    copy->chain[0].data = copy->der;
    /* The decoded key points into itself. */
    copy->key.key.ec.x = copy->key.key_data;
    struct tls_server *t = tls_server_new(copy, &err);
    must(t != NULL);
    return t;
}

static void begin(struct talk *t, struct tls_server *server, size_t step)
{
    struct error err;

    *t = (struct talk){.step = step, .said = 0xcbf29ce484222325};
    t->mem = malloc(tls_conn_size());
    must(t->mem != NULL);
    t->c = tls_conn_start(server, t->mem, &err);
    must(t->c != NULL);
}

static void client_hear(struct client *c, const uint8_t *bytes, size_t len);

/* What it says is whole records of known types (RFC 5246 section 6.2.1). */
static void note_said(struct talk *t, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        t->said = (t->said ^ bytes[i]) * 0x100000001b3;
        if (t->record_at < RECORD_HEAD)
            t->head[t->record_at] = bytes[i];
        if (++t->record_at == RECORD_HEAD) {
            must(t->head[0] >= ALERT - 1 && t->head[0] <= ALERT + 2);
            /* Before it knows the client's version BearSSL says 0.0. */
            must(t->head[1] == 3 || (t->head[0] == ALERT && t->head[1] == 0));
            t->record_len = (size_t)t->head[3] * 256 + t->head[4];
            must(t->record_len > 0 && t->record_len <= 16384 + 256);
        }
        if (t->record_at == RECORD_HEAD + t->record_len)
            t->record_at = t->record_len = 0;
    }
    t->said_len += len;
    if (t->client != NULL)
        client_hear(t->client, bytes, len);
}

static void check_state(const struct talk *t)
{
    must(tls_error(t->c) == 0 || tls_is_closed(t->c));
    must(t->heard_len == 0 || tls_is_established(t->c));
}

/* Plaintext is said back as far as there is room, records are sent. */
static void drain(struct talk *t)
{
    size_t len, room;
    const uint8_t *bytes;

    for (bool moved = true; moved;) {
        moved = false;
        while ((bytes = tls_plain_bytes(t->c, &len)) != NULL && len > 0) {
            uint8_t *space = tls_plain_space(t->c, &room);
            size_t n = space == NULL || room == 0 ? 0 : len < room ? len : room;
            if (n > 0) {
                memcpy(space, bytes, n);
                tls_plain_put(t->c, n);
                tls_flush(t->c);
            }
            /* What there is no room for is dropped. */
            tls_plain_taken(t->c, n > 0 ? n : len);
            t->heard_len += n > 0 ? n : len;
            moved = true;
        }
        bytes = tls_cipher_bytes(t->c, &len);
        if (bytes != NULL && len > 0) {
            size_t n = len < t->step ? len : t->step;
            note_said(t, bytes, n);
            tls_cipher_sent(t->c, n);
            moved = true;
        }
        check_state(t);
    }
}

/* Let the server hear bytes. returns: whether it has taken all */
static bool hear(struct talk *t, const uint8_t *in, size_t len)
{
    while (len > 0) {
        size_t room = 0;
        uint8_t *space = tls_cipher_space(t->c, &room);
        size_t n = len < room ? len : room;

        if (space == NULL || n == 0) {
            /* All is drained: only an end makes it deaf. */
            must(tls_is_closed(t->c));
            return false;
        }
        n = n < t->step ? n : t->step;
        memcpy(space, in, n);
        tls_cipher_received(t->c, n);
        in += n;
        len -= n;
        drain(t);
    }
    return true;
}

static void finish(struct talk *t)
{
    tls_close(t->c);
    drain(t);
    must(t->record_at == 0);
    t->error = tls_error(t->c);
    tls_conn_end(t->c);
    free(t->mem);
}

/* --- The honest client --- */

struct client {
    br_ssl_client_context ssl;
    br_x509_minimal_context unused;
    br_x509_knownkey_context known;
    uint8_t buffer[BR_SSL_BUFSIZE_BIDI];
    uint8_t record[RECORD_MAX]; /* what it wants to send */
    size_t record_len;
};

static void client_start(struct client *c, const br_x509_pkey *key, int flags)
{
    static const uint16_t suites[] = {
        BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    };
    static const uint8_t seed[32] = "not random: for tests only";
    size_t skipped = (flags & CHACHA) != 0 ? 2 : 0;

    br_ssl_client_init_full(&c->ssl, &c->unused, NULL, 0);
    br_ssl_engine_set_suites(&c->ssl.eng, suites + skipped, 3 - skipped);
    br_ssl_engine_set_buffer(&c->ssl.eng, c->buffer, sizeof c->buffer, 1);
    br_ssl_engine_inject_entropy(&c->ssl.eng, seed, sizeof seed);
    br_x509_knownkey_init_ec(&c->known, &key->key.ec,
                             BR_KEYTYPE_KEYX | BR_KEYTYPE_SIGN);
    br_ssl_engine_set_x509(&c->ssl.eng, &c->known.vtable);
}

static void client_hear(struct client *c, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        size_t room = 0;
        uint8_t *space = br_ssl_engine_recvrec_buf(&c->ssl.eng, &room);
        size_t n = len < room ? len : room;

        if (space == NULL || n == 0)
            return; /* it has ended, or has something to say first */
        memcpy(space, bytes, n);
        br_ssl_engine_recvrec_ack(&c->ssl.eng, n);
        bytes += n;
        len -= n;
        /* What the server echoes is of no use to anybody. */
        while (br_ssl_engine_recvapp_buf(&c->ssl.eng, &room) != NULL)
            br_ssl_engine_recvapp_ack(&c->ssl.eng, room);
    }
}

/* The next record that the client wants to send. returns: is there one? */
static bool client_say(struct client *c)
{
    size_t len = 0;
    const uint8_t *bytes = br_ssl_engine_sendrec_buf(&c->ssl.eng, &len);

    if (bytes == NULL || len < RECORD_HEAD)
        return false;
    c->record_len = RECORD_HEAD + (size_t)bytes[3] * 256 + bytes[4];
    must(c->record_len <= len && c->record_len <= sizeof c->record);
    memcpy(c->record, bytes, c->record_len);
    br_ssl_engine_sendrec_ack(&c->ssl.eng, c->record_len);
    return true;
}

static void client_write(struct client *c, size_t len)
{
    size_t room = 0;
    uint8_t *space = br_ssl_engine_sendapp_buf(&c->ssl.eng, &room);

    if (space == NULL || room == 0)
        return;
    len = len < room ? len : room;
    memset(space, 'x', len);
    br_ssl_engine_sendapp_ack(&c->ssl.eng, len);
    br_ssl_engine_flush(&c->ssl.eng, 1);
}

/* --- Who stands between them --- */

static uint8_t take(struct span *in)
{
    if (in->len == 0)
        return 0;
    in->len--;
    return *in->ptr++;
}

static size_t take_two(struct span *in)
{
    size_t high = take(in);

    return high * 256 + take(in);
}

static void put_len(uint8_t *record, size_t len)
{
    record[3] = (uint8_t)(len >> 8);
    record[4] = (uint8_t)len;
}

/* One record of the client's in two, the second with a head of its own. */
static bool pass_cut(struct talk *t, struct client *c, size_t at)
{
    uint8_t second[RECORD_HEAD];
    size_t body = c->record_len - RECORD_HEAD;
    size_t first = body == 0 ? 0 : at % body;

    memcpy(second, c->record, RECORD_HEAD);
    put_len(c->record, first);
    put_len(second, body - first);
    return hear(t, c->record, RECORD_HEAD + first) &&
           hear(t, second, RECORD_HEAD) &&
           hear(t, c->record + RECORD_HEAD + first, body - first);
}

static bool pass_short(struct talk *t, struct client *c, size_t by)
{
    size_t body = c->record_len - RECORD_HEAD;

    body -= by < body ? by : body;
    put_len(c->record, body);
    return hear(t, c->record, RECORD_HEAD + body);
}

/* What comes before the next record. returns: is the server still there? */
static bool precede(struct talk *t, struct client *c, enum step step,
                    struct span *in)
{
    size_t len;

    switch (step) {
    case INVENT:
        len = take(in);
        len = len < in->len ? len : in->len;
        const uint8_t *bytes = in->ptr;
        in->ptr += len;
        in->len -= len;
        return hear(t, bytes, len);
    case TALK:
        client_write(c, 1 + (size_t)take(in) * 20);
        return true;
    case HANG_UP:
        br_ssl_engine_close(&c->ssl.eng);
        return true;
    case RENEGOTIATE:
        br_ssl_engine_renegotiate(&c->ssl.eng);
        return true;
    default:
        return true;
    }
}

static bool pass(struct talk *t, struct client *c, enum step step,
                 struct span *in)
{
    switch (step) {
    case DROP:
        return true;
    case REPEAT:
        return hear(t, c->record, c->record_len) &&
               hear(t, c->record, c->record_len);
    case CHANGE:
        c->record[take_two(in) % c->record_len] ^= take(in);
        return hear(t, c->record, c->record_len);
    case CUT:
        return pass_cut(t, c, take_two(in));
    case SHORTEN:
        return pass_short(t, c, take(in));
    default:
        return hear(t, c->record, c->record_len);
    }
}

static void converse(struct talk *t, struct client *c, struct span in)
{
    bool is_there = true, has_said = true;

    t->client = c;
    while (is_there && (in.len > 0 || has_said)) {
        enum step step = (enum step)(take(&in) % STEPS);
        is_there = precede(t, c, step, &in);
        has_said = client_say(c);
        if (is_there && has_said)
            is_there = pass(t, c, step, &in);
    }
    t->client = NULL;
}

/* --- Whole runs --- */

static void run_honest(struct talk *t, struct tls_server *server, int flags,
                       struct span in)
{
    struct client *c = calloc(1, sizeof *c);
    br_x509_decoder_context decoder;
    struct talk before;
    bool resumes = (flags & RESUME) != 0;

    must(c != NULL);
    br_x509_decoder_init(&decoder, NULL, NULL);
    br_x509_decoder_push(&decoder, test_cert()->chain[0].data,
                         test_cert()->chain[0].data_len);
    client_start(c, br_x509_decoder_get_pkey(&decoder), flags);
    br_ssl_client_reset(&c->ssl, "localhost", 0);
    if (resumes) {
        begin(&before, server, SIZE_MAX);
        converse(&before, c, (struct span){0});
        must(tls_is_established(before.c));
        finish(&before);
        br_ssl_client_reset(&c->ssl, "localhost", 1);
    }
    converse(t, c, in);
    /* Nobody has touched it: then it has worked. */
    must(in.len > 0 || tls_is_established(t->c));
    free(c);
}

static void run(struct talk *t, const uint8_t *data, size_t size, size_t step)
{
    struct tls_server *server;
    struct span in = {data + 1, size - 1};

    entropy = 0;
    server = make_server();
    begin(t, server, step);
    if ((data[0] & RAW) != 0)
        hear(t, in.ptr, in.len);
    else
        run_honest(t, server, data[0], in);
    finish(t);
    tls_server_release(server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct talk whole, cut;

    if (size < 1 || size > 40000)
        return 0;
    run(&whole, data, size, SIZE_MAX);
    run(&cut, data, size, 1 + size % 7);
    /* An error drops what has not been sent yet: in pieces there may have been
     * an end in good order before it. */
    must(whole.error != 0 || cut.error == 0);
    if (whole.error == 0)
        must(cut.said_len == whole.said_len && cut.said == whole.said);
    must(cut.heard_len == whole.heard_len);
    return 0;
}
