/*
 * A certificate pair from PEM text in memory; the inside of sys/cert, which
 * brings the files.
 */
#ifndef SYS_CERT_LOAD_H
#define SYS_CERT_LOAD_H

#include "base/digest.h"
#include "base/span.h"
#include "proto/x509.h"
#include "sys/cert.h"

#include <bearssl.h>

struct cert {
    uint8_t *der;                              /* heap; the chain's bytes */
    br_x509_certificate chain[CERT_CHAIN_MAX]; /* point into der */
    size_t count;                              /* 1 to CERT_CHAIN_MAX */
    struct x509_info leaf;                     /* of chain[0] */
    br_skey_decoder_context key;               /* wiped by cert_free */
    unsigned issuer_key_type;                  /* BR_KEYTYPE_*, 0 unknown */
    uint8_t fingerprint[DIGEST_SHA256_LEN];    /* of chain[0] */
    bool created, renewed;
    char warning[512]; /* empty: none */
};

/* Two texts and what to call them in errors. The same one twice is fine. */
struct cert_pem {
    const char *cert_name;
    struct span cert;     /* certificates, leaf first */
    const char *key_name; /* NULL: only the certificates are wanted */
    struct span key;      /* one private key */
};

/*
 * Read chain and key and check that they belong together, by a signature.
 * in:      now  seconds since 1970, for the warning
 * owns:    the caller frees the result with cert_free; pem may go
 * returns: NULL with err set
 */
struct cert *cert_load(const struct cert_pem *pem, int64_t now,
                       struct error *err);

/*
 * Read the one private key in a PEM text.
 * in:      name  what to call the text in errors
 * out:     *key  initialised in any case; the caller wipes it
 * returns: 0, or -1 with err set
 */
int cert_load_key(const char *name, struct span pem,
                  br_skey_decoder_context *key, struct error *err);

#endif
