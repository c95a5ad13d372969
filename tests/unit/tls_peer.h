/*
 * A TLS client on a non-blocking socket, driven by hand, and a server's
 * certificate for it. Shared by the tests of links and connections.
 */
#ifndef TESTS_TLS_PEER_H
#define TESTS_TLS_PEER_H

#include "sys/cert_load.h"
#include "sys/tls.h"

#include <bearssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct tls_peer {
    br_ssl_client_context client;
    br_x509_minimal_context unused;
    br_x509_knownkey_context known;
    br_x509_decoder_context decoder; /* holds the server's public key */
    uint8_t buffer[BR_SSL_BUFSIZE_BIDI];
    int fd;
};

/* A server with a certificate that was made just now; NULL on failure. */
static inline struct tls_server *tls_peer_server(struct tls_peer *p)
{
    char dir[128], command[160];
    const char *tmp = getenv("TMPDIR");
    struct error err;

    snprintf(dir, sizeof dir, "%s/tls-XXXXXX", tmp != NULL ? tmp : P_tmpdir);
    if (mkdtemp(dir) == NULL)
        return NULL;
    struct cert *cert = cert_open(
        &(struct cert_source){.data_dir = dir, .now = time(NULL)}, &err);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0 || cert == NULL)
        return NULL;
    br_x509_decoder_init(&p->decoder, NULL, NULL);
    br_x509_decoder_push(&p->decoder, cert->chain[0].data,
                         cert->chain[0].data_len);
    return tls_server_new(cert, &err);
}

/* A client and the server it knows. returns: 0, or -1 */
static inline int tls_peer_new(struct tls_peer **p, struct tls_server **server)
{
    *p = calloc(1, sizeof **p);
    *server = *p == NULL ? NULL : tls_peer_server(*p);
    return *server == NULL ? -1 : 0;
}

static inline void tls_peer_free(struct tls_peer *p, struct tls_server *server)
{
    tls_server_release(server);
    free(p);
}

/* Begin a handshake on a socket. needs: tls_peer_server */
static inline void tls_peer_start(struct tls_peer *p, int fd)
{
    const br_x509_pkey *key = br_x509_decoder_get_pkey(&p->decoder);
    static const uint16_t suites[] = {
        BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    };
    static const uint8_t seed[32] = "not random: for tests only";

    p->fd = fd;
    br_ssl_client_init_full(&p->client, &p->unused, NULL, 0);
    /* The library is built with room for a few suites only. */
    br_ssl_engine_set_suites(&p->client.eng, suites, 2);
    br_ssl_engine_set_buffer(&p->client.eng, p->buffer, sizeof p->buffer, 1);
    br_ssl_engine_inject_entropy(&p->client.eng, seed, sizeof seed);
    br_x509_knownkey_init_ec(&p->known, &key->key.ec,
                             BR_KEYTYPE_KEYX | BR_KEYTYPE_SIGN);
    br_ssl_engine_set_x509(&p->client.eng, &p->known.vtable);
    br_ssl_client_reset(&p->client, "localhost", 0);
}

/* Move records between engine and socket as far as they go. */
static inline void tls_peer_pump(struct tls_peer *p)
{
    br_ssl_engine_context *engine = &p->client.eng;
    size_t len;
    unsigned char *bytes;
    ssize_t n;

    do {
        n = 0;
        bytes = br_ssl_engine_sendrec_buf(engine, &len);
        if (bytes != NULL)
            n = send(p->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            br_ssl_engine_sendrec_ack(engine, (size_t)n);
            continue;
        }
        bytes = br_ssl_engine_recvrec_buf(engine, &len);
        if (bytes != NULL)
            n = recv(p->fd, bytes, len, MSG_DONTWAIT);
        if (bytes != NULL && n > 0)
            br_ssl_engine_recvrec_ack(engine, (size_t)n);
    } while (n > 0);
}

/* returns: bytes taken, to be sent by the next tls_peer_pump */
static inline size_t tls_peer_write(struct tls_peer *p, const void *data,
                                    size_t len)
{
    size_t room = 0;
    unsigned char *space = br_ssl_engine_sendapp_buf(&p->client.eng, &room);
    size_t n = space == NULL ? 0 : len < room ? len : room;

    if (n == 0)
        return 0;
    memcpy(space, data, n);
    br_ssl_engine_sendapp_ack(&p->client.eng, n);
    br_ssl_engine_flush(&p->client.eng, 0);
    return n;
}

/* returns: bytes of plaintext that were there */
static inline size_t tls_peer_read(struct tls_peer *p, void *out, size_t cap)
{
    size_t len = 0;
    unsigned char *bytes = br_ssl_engine_recvapp_buf(&p->client.eng, &len);
    size_t n = bytes == NULL ? 0 : len < cap ? len : cap;

    if (n == 0)
        return 0;
    memcpy(out, bytes, n);
    br_ssl_engine_recvapp_ack(&p->client.eng, n);
    return n;
}

/* Has the engine ended? Then *error is BearSSL's number, 0 for an orderly end.
 */
static inline bool tls_peer_is_closed(const struct tls_peer *p, int *error)
{
    *error = br_ssl_engine_last_error(&p->client.eng);
    return br_ssl_engine_current_state(&p->client.eng) == BR_SSL_CLOSED;
}

#endif
