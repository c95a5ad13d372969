/*
 * The server's certificate chain and private key: loaded from the operator's
 * files, or made on the first run under DATA_DIR/tls.
 *
 * DATA_DIR/tls (0700) holds ca.pem (0644), ca-key.pem (0600), cert.pem (0644)
 * and key.pem (0600). Nothing that exists is overwritten: to have a new leaf
 * made, move cert.pem and key.pem away. After a crash half way the rest is
 * made at the next start. Once cert.pem and key.pem exist, ca-key.pem is no
 * longer read and may be kept elsewhere.
 */
#ifndef SYS_CERT_H
#define SYS_CERT_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CERT_FINGERPRINT_LEN 32    /* bytes: SHA-256 */
#define CERT_CHAIN_MAX       10    /* certificates in one chain */
#define CERT_FILE_MAX        65536 /* bytes of a PEM file */
#define CERT_HOSTS_MAX       32    /* names in a certificate made here */
#define CERT_RSA_BITS_MIN    2048  /* clients refuse smaller keys */
#define CERT_RSA_BITS_MAX    4096  /* BearSSL's limit */

/* Chain, private key and their kind; immutable once opened. */
struct cert;

/* Where the certificate comes from. All strings are borrowed. */
struct cert_source {
    const char *cert_file;    /* PEM chain, leaf first; NULL: local one */
    const char *key_file;     /* PEM private key; NULL with cert_file NULL */
    const char *data_dir;     /* existing directory; used without cert_file */
    const char *const *hosts; /* names and addresses of a leaf made now */
    size_t host_count;        /* 0: localhost, 127.0.0.1 and ::1 */
    int64_t now;              /* seconds since 1970 */
};

/*
 * Load the given pair, or load or make the local one.
 * Keys: EC on P-256, P-384 or P-521 and RSA of 2048 to 4096 bits, as PKCS#1,
 * SEC1 or unencrypted PKCS#8.
 * owns:    the caller frees the result with cert_free
 * returns: NULL with err set: a file missing, unreadable, not PEM, too large
 *          or holding too much; a key that is encrypted, unsupported, open to
 *          group or others, or not that of the first certificate; a bad host
 */
struct cert *cert_open(const struct cert_source *src, struct error *err);

/* Wipe the key and free everything. NULL is fine. */
void cert_free(struct cert *c);

/*
 * SHA-256 of the leaf's DER.
 * returns: CERT_FINGERPRINT_LEN bytes that live as long as c
 */
const uint8_t *cert_fingerprint(const struct cert *c);

/*
 * One line for the operator: expired, not yet valid, or a local leaf that
 * lacks a host asked for. returns: NULL when there is nothing to say; else
 * text that lives as long as c
 */
const char *cert_warning(const struct cert *c);

/* Was a leaf made by this cert_open? */
bool cert_was_created(const struct cert *c);

#endif
