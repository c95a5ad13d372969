/*
 * TLS 1.2 server (RFC 5246) as a machine without descriptors, over BearSSL.
 *
 * Suites: ECDHE with ECDSA or RSA, whichever the key is, and AES-128-GCM,
 * AES-256-GCM or ChaCha20-Poly1305, in the server's order. Curves: X25519
 * before P-256. No renegotiation. Sessions can be resumed from a cache.
 *
 * Buffers come in pairs: a *_space or *_bytes call lends memory, the call
 * named after it says how much of it was used. A lent length of 0 means: not
 * now. What can be done changes with every call.
 */
#ifndef SYS_TLS_H
#define SYS_TLS_H

#include "base/error.h"
#include "base/span.h"
#include "sys/cert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What all connections share: certificate, suites, session cache. */
struct tls_server;

/* One connection; lives in tls_conn_size() bytes of the caller's. */
struct tls_conn;

/*
 * Prepare to serve this certificate.
 * owns:    takes the certificate over, also on failure
 * returns: NULL with the reason
 */
struct tls_server *tls_server_new(struct cert *cert, struct error *err);

/* Handshakes: full ones at their end, others when the session was found. */
struct tls_counts {
    uint64_t full, resumed;
};

struct tls_counts tls_server_counts(const struct tls_server *t);

/*
 * Serve this certificate from now on. Connections that are there keep theirs,
 * and the counts go on. When it is the one served already nothing changes:
 * sessions can still be resumed.
 * in:      *t  NULL at first
 * out:     *t  untouched on failure
 * owns:    takes the certificate over, also on failure
 * returns: 0, or -1 with the reason
 */
int tls_server_use(struct tls_server **t, struct cert *cert, struct error *err);

/* When its certificate ends: UTC seconds. */
int64_t tls_server_not_after(const struct tls_server *t);

/*
 * Give up the owner's hold. It is freed, its key wiped, when the last
 * connection made with it has ended. NULL is allowed.
 */
void tls_server_release(struct tls_server *t);

/* Bytes of memory, aligned for any type, that a connection needs. */
size_t tls_conn_size(void);

/*
 * Start waiting for a ClientHello.
 * owns:    borrows mem until tls_conn_end; the connection holds t
 * returns: NULL with the reason when there is no entropy or the engine refuses
 */
struct tls_conn *tls_conn_start(struct tls_server *t, void *mem,
                                struct error *err);

/* End it and wipe its keys. */
void tls_conn_end(struct tls_conn *c);

/* Room for bytes from the network. */
uint8_t *tls_cipher_space(struct tls_conn *c, size_t *len);
void tls_cipher_received(struct tls_conn *c, size_t len);

/* Bytes for the network. */
const uint8_t *tls_cipher_bytes(struct tls_conn *c, size_t *len);
void tls_cipher_sent(struct tls_conn *c, size_t len);

/* Plaintext from the peer. */
const uint8_t *tls_plain_bytes(struct tls_conn *c, size_t *len);
void tls_plain_taken(struct tls_conn *c, size_t len);

/* Room for plaintext to the peer; tls_flush makes a record of it. */
uint8_t *tls_plain_space(struct tls_conn *c, size_t *len);
void tls_plain_put(struct tls_conn *c, size_t len);
void tls_flush(struct tls_conn *c);

/* Send close_notify (RFC 5246 section 7.2.1) and wait for the peer's. */
void tls_close(struct tls_conn *c);

/* Is the handshake complete? */
bool tls_is_established(const struct tls_conn *c);

/* Is the engine closed, orderly or not? */
bool tls_is_closed(const struct tls_conn *c);

/* BearSSL's error number; 0 = none. */
int tls_error(const struct tls_conn *c);

#endif
