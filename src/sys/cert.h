/*
 * The server's certificate chain and private key: loaded from the operator's
 * files, or made on the first run under DATA_DIR/tls.
 *
 * DATA_DIR/tls (0700) holds ca.pem (0644), ca-key.pem (0600), cert.pem (0644)
 * and key.pem (0600). After a crash half way the rest is made at the next
 * start. A leaf of this CA that is near its end is replaced by one of the same
 * CA, key and names; nothing else that exists is ever overwritten. To have a
 * new leaf made, move cert.pem and key.pem away. Until it is renewed,
 * ca-key.pem is not read and may be kept elsewhere.
 */
#ifndef SYS_CERT_H
#define SYS_CERT_H

#include "base/error.h"
#include "proto/x509.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CERT_FINGERPRINT_LEN 32    /* bytes: SHA-256 */
#define CERT_CHAIN_MAX       10    /* certificates in one chain */
#define CERT_FILE_MAX        65536 /* bytes of a PEM file */
#define CERT_HOSTS_MAX       32    /* names in a certificate made here */
#define CERT_RSA_BITS_MIN    2048  /* clients refuse smaller keys */
#define CERT_RSA_BITS_MAX    4096  /* BearSSL's limit */

#define CERT_RENEW_DAYS    30 /* before its end a local leaf is renewed */
#define CERT_WARN_DAYS     14 /* before its end any leaf is complained of */
#define CERT_KEY_KIND_SIZE 16 /* bytes of "RSA 4096" and its NUL */

/* Chain, private key and their kind; immutable once opened. */
struct cert;

/* What may be done to a local set. */
enum cert_use {
    CERT_MAKE,  /* make what is missing, renew the leaf */
    CERT_RENEW, /* only renew */
    CERT_LOOK   /* only read */
};

/* Where the certificate comes from. All strings are borrowed. */
struct cert_source {
    const char *cert_file;    /* PEM chain, leaf first; NULL: local one */
    const char *key_file;     /* PEM private key; NULL with cert_file NULL */
    const char *data_dir;     /* existing directory; used without cert_file */
    const char *const *hosts; /* names and addresses of a leaf made now */
    size_t host_count;        /* 0: localhost, 127.0.0.1 and ::1 */
    int64_t now;              /* seconds since 1970 */
    enum cert_use use;
};

/* A certificate and its key on disk. */
struct cert_pair {
    char cert[PATH_MAX];
    char key[PATH_MAX];
};

/* Where everything is; what is not local has no dir and no ca (""). */
struct cert_files {
    char dir[PATH_MAX];
    struct cert_pair ca, leaf;
};

/* The paths of a source. returns: 0, or -1 with err when one is too long */
int cert_locate(const struct cert_source *src, struct cert_files *out,
                struct error *err);

/*
 * Load the given pair, or load, make or renew the local one. That it cannot be
 * renewed is a warning, not a failure.
 * Keys: EC on P-256, P-384 or P-521 and RSA of 2048 to 4096 bits, as PKCS#1,
 * SEC1 or unencrypted PKCS#8.
 * owns:    the caller frees the result with cert_free
 * returns: NULL with err set: a file missing, unreadable, not PEM, too large
 *          or holding too much; a key that is encrypted, unsupported, open to
 *          group or others, or not that of the first certificate; a bad host
 */
struct cert *cert_open(const struct cert_source *src, struct error *err);

/*
 * Load the local CA without its key: all that clients have to trust.
 * in:      src  without cert_file
 * owns:    the caller frees the result with cert_free
 * returns: NULL with err set
 */
struct cert *cert_open_ca(const struct cert_source *src, struct error *err);

/* Wipe the key and free everything. NULL is fine. */
void cert_free(struct cert *c);

/*
 * SHA-256 of the leaf's DER.
 * returns: CERT_FINGERPRINT_LEN bytes that live as long as c
 */
const uint8_t *cert_fingerprint(const struct cert *c);

/*
 * One line for the operator: expired, near its end, not yet valid, or a local
 * leaf that could not be renewed or lacks a host asked for.
 * returns: NULL when there is nothing to say; else text that lives as long as c
 */
const char *cert_warning(const struct cert *c);

/* Was the first leaf made by this cert_open? Was one renewed? */
bool cert_was_created(const struct cert *c);
bool cert_was_renewed(const struct cert *c);

/* The first certificate; the bytes, and those info points to, live with c. */
struct span cert_der(const struct cert *c);
const struct x509_info *cert_info(const struct cert *c);

/* Whole days until it ends; negative once it has ended. in: now  UTC seconds */
int64_t cert_days_left(const struct cert *c, int64_t now);

/* Its key for a person, as "EC P-256" or "RSA 2048". needs: it has its key */
void cert_describe_key(const struct cert *c, char out[CERT_KEY_KIND_SIZE]);

/* Is it the same chain, so that clients see no difference? */
bool cert_equals(const struct cert *a, const struct cert *b);

#endif
