/*
 * X.509 certificates: building the two kinds that the server issues itself
 * (a local CA and a leaf, both with P-256 keys and ecdsa-with-SHA256) and
 * reading the few fields that it looks at.
 *
 * No key, hash, randomness or clock in here: the caller brings serial, times,
 * key identifiers and the signature. spec: RFC 5280, RFC 5480, RFC 5758
 */
#ifndef PROTO_X509_H
#define PROTO_X509_H

#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define X509_POINT_LEN 65  /* bytes of an uncompressed P-256 point */
#define X509_CN_MAX    64  /* bytes: ub-common-name */
#define X509_DNS_MAX   253 /* bytes of a DNS name in text */

/* One subject alternative name. */
struct x509_name {
    bool is_ip;        /* bytes is 4 or 16 address bytes, else a DNS name */
    struct span bytes; /* borrowed */
};

/* What goes into a certificate. All spans are borrowed. */
struct x509_template {
    struct span serial;            /* big-endian, 1 to 20 bytes, > 0 */
    struct span issuer;            /* a Name, DER */
    struct span subject;           /* a Name, DER */
    int64_t not_before;            /* seconds since 1970 */
    int64_t not_after;             /* seconds since 1970, inclusive */
    struct span public_key;        /* X509_POINT_LEN bytes */
    struct span subject_key;       /* SubjectKeyIdentifier, 1 to 32 bytes */
    struct span issuer_key;        /* AuthorityKeyIdentifier; empty: left out */
    bool is_ca;                    /* CA:TRUE, pathlen 0, may sign certificates;
                                      else a TLS server's leaf */
    const struct x509_name *names; /* SubjectAltName; may be NULL with 0 */
    size_t name_count;
};

/*
 * Is this a DNS name that a certificate may carry: letters, digits and inner
 * hyphens in labels of 1 to 63 bytes, X509_DNS_MAX in all, `*` allowed as the
 * whole leftmost of several labels, the last label not all digits, no final
 * dot?
 * spec: RFC 5280, 4.2.1.6; RFC 6125, 6.4.3
 */
bool x509_is_dns_name(struct span text);

/*
 * A Name with one commonName attribute (UTF8String).
 * in:      cn  1 to X509_CN_MAX bytes of UTF-8
 * out:     *name  points into out
 * returns: false, *name untouched, when out is too small
 */
bool x509_build_name(struct span cn, uint8_t *out, size_t cap,
                     struct span *name);

/*
 * The part of a certificate that is signed.
 * out:     *tbs  points into out; sign SHA-256 of these bytes
 * returns: false, *tbs untouched, when out is too small
 */
bool x509_build_tbs(const struct x509_template *t, uint8_t *out, size_t cap,
                    struct span *tbs);

/* The certificate, from its signed part and an ECDSA signature. */
struct x509_signed {
    struct span tbs;       /* from x509_build_tbs */
    struct span signature; /* ECDSA-Sig-Value, DER, over SHA-256 */
};

/*
 * Put a certificate together.
 * out:     *cert  points into out
 * returns: false, *cert untouched, when out is too small
 */
bool x509_build_cert(const struct x509_signed *s, uint8_t *out, size_t cap,
                     struct span *cert);

/* What x509_parse reads. The spans point into the certificate. */
struct x509_info {
    struct span issuer;      /* Name, DER */
    struct span subject;     /* Name, DER */
    int64_t not_before;      /* seconds since 1970 */
    int64_t not_after;       /* seconds since 1970, inclusive */
    struct span subject_key; /* SubjectKeyIdentifier; empty when absent */
    struct span alt_names;   /* GeneralNames' content; empty when absent */
};

/*
 * Read the fields above; verifies no signature and no semantics.
 * returns: false, *info undefined, when it is no X.509 certificate
 */
bool x509_parse(struct span cert, struct x509_info *info);

/*
 * What a Name calls its owner: the last commonName in it or, without one, the
 * last organizationName.
 * in:      name  DER
 * out:     *text  points into name; UTF-8 or ASCII, unless it is very old
 * returns: false, *text untouched, when it has neither as such a string
 */
bool x509_name_text(struct span name, struct span *text);

/*
 * Take the next DNS name or IP address off alternative names; those of other
 * kinds are passed over.
 * in:      *rest  alt_names at first
 * out:     *name  points into the certificate
 * returns: false when there is none left
 */
bool x509_next_name(struct span *rest, struct x509_name *name);

/*
 * Does the certificate carry exactly this alternative name? DNS names are
 * compared without case; wildcards are not expanded.
 */
bool x509_has_name(const struct x509_info *info, const struct x509_name *name);

#endif
