/*
 * A certificate as BearSSL wants it; for the TLS module only, so that nobody
 * else sees the vendor's types. Everything lives as long as the certificate.
 */
#ifndef SYS_CERT_BEARSSL_H
#define SYS_CERT_BEARSSL_H

#include "sys/cert.h"

#include <bearssl.h>

/* The chain, leaf first. out: *count  1 to CERT_CHAIN_MAX */
const br_x509_certificate *cert_chain(const struct cert *c, size_t *count);

/* The EC private key, or NULL when the key is RSA. */
const br_ec_private_key *cert_ec_key(const struct cert *c);

/* The RSA private key, or NULL when the key is EC. */
const br_rsa_private_key *cert_rsa_key(const struct cert *c);

/* What signed the leaf: BR_KEYTYPE_RSA or BR_KEYTYPE_EC; 0 when unknown. */
unsigned cert_issuer_key_type(const struct cert *c);

#endif
