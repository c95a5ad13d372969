/*
 * Making keys and certificates, as PEM text in memory; the inside of
 * sys/cert, which brings the files.
 */
#ifndef SYS_CERT_MAKE_H
#define SYS_CERT_MAKE_H

#include "base/error.h"
#include "proto/x509.h"
#include "sys/cert.h"
#include "sys/cert_load.h"

#include <bearssl.h>

/* The names of a leaf. Not to be moved: names points into ip. */
struct cert_hosts {
    struct x509_name names[CERT_HOSTS_MAX]; /* DNS text is borrowed */
    uint8_t ip[CERT_HOSTS_MAX][16];         /* bytes of the addresses */
    size_t count;                           /* at least 1 */
    struct span first;                      /* the commonName; borrowed */
};

/* A private key with its public half. Not to be moved; wipe it after use. */
struct cert_key {
    br_ec_private_key secret; /* points into secret_bytes */
    uint8_t secret_bytes[BR_EC_KBUF_PRIV_MAX_SIZE];
    uint8_t point[BR_EC_KBUF_PUB_MAX_SIZE]; /* uncompressed public point */
    size_t point_len;                       /* bytes */
    uint8_t id[20];                         /* key identifier */
};

#define CERT_TEXT_MAX 16384 /* bytes: CERT_HOSTS_MAX long names, and more */

/* PEM text. Wipe it when it held a key. */
struct cert_text {
    char text[CERT_TEXT_MAX];
    size_t len; /* bytes, no NUL counted */
};

/*
 * Understand a list of host names and addresses.
 * in:      hosts  borrowed by *out; count 0: localhost, 127.0.0.1 and ::1
 * returns: 0, or -1 with err naming the bad one, or when there are too many
 */
int cert_hosts_parse(const char *const *hosts, size_t count,
                     struct cert_hosts *out, struct error *err);

/*
 * Take over the names of a certificate, which must outlive *out.
 * returns: 0, or -1 with err set when it has none, or too many
 */
int cert_hosts_of(const struct cert *c, struct cert_hosts *out,
                  struct error *err);

/*
 * Make a P-256 key from fresh randomness.
 * returns: 0, or -1 with err set when the kernel gives no randomness
 */
int cert_key_make(struct cert_key *key, struct error *err);

/*
 * Compute what belongs to a private key that was loaded.
 * returns: false when it is not P-256
 */
bool cert_key_complete(const br_ec_private_key *secret, struct cert_key *key);

/* The key as PKCS#8 PEM. spec: RFC 5958, RFC 7468 section 10 */
void cert_key_format(const struct cert_key *key, struct cert_text *out);

/*
 * Make a CA that signs itself, valid for 10 years.
 * in:      now  seconds since 1970
 * returns: 0, or -1 with err set
 */
int cert_make_ca(const struct cert_key *key, int64_t now, struct cert_text *out,
                 struct error *err);

/* What a leaf is made from. */
struct cert_leaf {
    const struct cert *ca;      /* with an EC key */
    const struct cert_key *key; /* the leaf's own */
    const struct cert_hosts *hosts;
    int64_t now; /* seconds since 1970 */
};

/*
 * Make a leaf, valid for 820 days (browsers refuse more than 825) but no
 * longer than its CA.
 * returns: 0; or -1 with err set, also when the CA has expired
 */
int cert_make_leaf(const struct cert_leaf *leaf, struct cert_text *out,
                   struct error *err);

#endif
