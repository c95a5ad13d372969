#include "sys/cert_load.h"

#include "base/ec.h"
#include "base/wipe.h"
#include "proto/timestamp.h"
#include "sys/cert_bearssl.h"
#include "sys/cert_pem.h"

#include <stdio.h>
#include <stdlib.h>

#define SECONDS_PER_DAY 86400
#define RSA_BYTES_MAX   (CERT_RSA_BITS_MAX / 8)

static int no_memory(struct error *err)
{
    return error_set(err, "out of memory while reading a certificate");
}

static bool text_contains(struct span text, const char *what)
{
    return memmem(text.ptr, text.len, what, strlen(what)) != NULL;
}

static int not_pem(const char *name, const char *command, struct error *err)
{
    return error_set(err,
                     "%s: not PEM (no -----BEGIN line); if it is DER, convert "
                     "it with: openssl %s -inform der -in %s -out FILE.pem",
                     name, command, name);
}

/* Keep one certificate of the file. */
static int add_certificate(struct cert *c, const struct cert_pem *pem,
                           struct span der, struct error *err)
{
    struct x509_info info;

    if (c->count == CERT_CHAIN_MAX)
        return error_set(err,
                         "%s: more than %d certificates; keep the server's own "
                         "and its intermediates, leaf first",
                         pem->cert_name, CERT_CHAIN_MAX);
    if (!x509_parse(der, &info))
        return error_set(err, "%s: certificate %zu is damaged", pem->cert_name,
                         c->count + 1);
    if (c->count == 0)
        c->leaf = info;
    /* BearSSL's type lacks a const; it only reads. */
    c->chain[c->count].data = c->der + (der.ptr - c->der);
    c->chain[c->count].data_len = der.len;
    c->count++;
    return 0;
}

static bool is_certificate(const struct pem_reader *r)
{
    return strcmp(r->name, "CERTIFICATE") == 0 ||
           strcmp(r->name, "X509 CERTIFICATE") == 0;
}

static int load_chain(struct cert *c, const struct cert_pem *pem,
                      struct error *err)
{
    struct pem_reader r;
    enum pem_event event;

    if (!text_contains(pem->cert, "-----BEGIN "))
        return not_pem(pem->cert_name, "x509", err);
    c->der = malloc(pem->cert.len);
    if (c->der == NULL)
        return no_memory(err);
    pem_init(&r, pem->cert, c->der);
    while ((event = pem_next(&r)) != PEM_DONE) {
        if (!is_certificate(&r)) {
            pem_forget(&r); /* a key may stand in the same file */
            continue;
        }
        if (event == PEM_DAMAGED)
            return error_set(err, "%s: certificate %zu is damaged or cut off",
                             pem->cert_name, c->count + 1);
        if (add_certificate(c, pem, r.der, err) != 0)
            return -1;
    }
    if (c->count == 0)
        return error_set(err, "%s: holds no certificate", pem->cert_name);
    digest_sha256(c->chain[0].data, c->chain[0].data_len, c->fingerprint);
    return 0;
}
static bool is_private_key(const char *label)
{
    static const char end[] = "PRIVATE KEY";
    size_t len = strlen(label);

    return len >= sizeof end - 1 &&
           strcmp(label + len - (sizeof end - 1), end) == 0;
}

/* Does the object just read hold a key under a passphrase? */
static bool is_encrypted(const struct pem_reader *r, enum pem_event event,
                         struct span pem)
{
    if (strcmp(r->name, "ENCRYPTED PRIVATE KEY") == 0)
        return true;
    /* The traditional form has header lines, which are no base64. */
    return event == PEM_DAMAGED && text_contains(pem, "Proc-Type: 4,ENCRYPTED");
}

static int unsupported_key(const char *name, struct error *err)
{
    return error_set(err,
                     "%s: unsupported private key: give EC P-256, P-384 or "
                     "P-521, or RSA of %d to %d bits",
                     name, CERT_RSA_BITS_MIN, CERT_RSA_BITS_MAX);
}

static int check_key(const char *name, const br_skey_decoder_context *key,
                     struct error *err)
{
    const br_rsa_private_key *rsa = br_skey_decoder_get_rsa(key);
    int code = br_skey_decoder_last_error(key);

    if (code == BR_ERR_X509_UNSUPPORTED || code == BR_ERR_X509_LIMIT_EXCEEDED)
        return unsupported_key(name, err);
    if (code != 0)
        return error_set(err, "%s: the private key is damaged", name);
    if (rsa != NULL && (rsa->n_bitlen < CERT_RSA_BITS_MIN ||
                        rsa->n_bitlen > CERT_RSA_BITS_MAX))
        return unsupported_key(name, err);
    return 0;
}

/* Decode the private key that r has just read. */
static int take_key(const char *name, const struct pem_reader *r,
                    br_skey_decoder_context *key, struct error *err)
{
    if (br_skey_decoder_last_error(key) == 0)
        return error_set(err, "%s: holds more than one private key", name);
    if (strcmp(r->name, "PRIVATE KEY") != 0 &&
        strcmp(r->name, "EC PRIVATE KEY") != 0 &&
        strcmp(r->name, "RSA PRIVATE KEY") != 0)
        return unsupported_key(name, err);
    br_skey_decoder_push(key, r->der.ptr, r->der.len);
    return check_key(name, key, err);
}

static int find_key(struct pem_reader *r, const char *name,
                    br_skey_decoder_context *key, struct error *err)
{
    struct span pem = r->rest;
    enum pem_event event;

    while ((event = pem_next(r)) != PEM_DONE) {
        if (!is_private_key(r->name))
            continue;
        if (is_encrypted(r, event, pem))
            return error_set(err,
                             "%s: the private key is encrypted; decrypt it "
                             "with: (umask 077; openssl pkey -in %s -out "
                             "KEY.pem)",
                             name, name);
        if (event == PEM_DAMAGED)
            return error_set(err, "%s: the private key is damaged or cut off",
                             name);
        if (take_key(name, r, key, err) != 0)
            return -1;
    }
    if (br_skey_decoder_last_error(key) != 0)
        return error_set(err, "%s: holds no private key", name);
    return 0;
}

int cert_load_key(const char *name, struct span pem,
                  br_skey_decoder_context *key, struct error *err)
{
    struct pem_reader r;

    br_skey_decoder_init(key);
    if (!text_contains(pem, "-----BEGIN "))
        return not_pem(name, "pkey", err);
    uint8_t *mem = malloc(pem.len);
    if (mem == NULL)
        return no_memory(err);
    pem_init(&r, pem, mem);
    int result = find_key(&r, name, key, err);
    wipe(&r, sizeof r);
    wipe(mem, pem.len);
    free(mem);
    return result;
}

/* Sign a hash and verify it: proves the key usable and the right one. */
static bool rsa_matches(const br_rsa_private_key *key,
                        const br_rsa_public_key *public, const uint8_t *hash)
{
    uint8_t signature[RSA_BYTES_MAX];
    uint8_t recovered[DIGEST_SHA256_LEN];
    size_t len = (key->n_bitlen + 7) / 8;

    return br_rsa_pkcs1_sign_get_default()(BR_HASH_OID_SHA256, hash,
                                           DIGEST_SHA256_LEN, key,
                                           signature) != 0 &&
           br_rsa_pkcs1_vrfy_get_default()(signature, len, BR_HASH_OID_SHA256,
                                           sizeof recovered, public,
                                           recovered) != 0 &&
           memcmp(recovered, hash, sizeof recovered) == 0;
}

/* Signing proves the key usable, its point that it is the right one. */
static bool ec_matches(const br_ec_private_key *key,
                       const br_ec_public_key *public, const uint8_t *hash)
{
    uint8_t signature[139]; /* largest for P-521, as BearSSL states */
    uint8_t point[BR_EC_KBUF_PUB_MAX_SIZE];

    return key->curve == public->curve &&
           ec_sign_asn1(ec_curves(), &br_sha256_vtable, hash, key, signature) !=
               0 &&
           br_ec_compute_pub(ec_curves(), NULL, point, key) == public->qlen &&
           memcmp(point, public->q, public->qlen) == 0;
}

static bool key_matches(const struct cert *c, const br_x509_pkey *public)
{
    const br_rsa_private_key *rsa = cert_rsa_key(c);
    const br_ec_private_key *ec = cert_ec_key(c);

    if (public->key_type == BR_KEYTYPE_RSA)
        return rsa != NULL &&
               rsa_matches(rsa, &public->key.rsa, c->fingerprint);
    return ec != NULL && ec_matches(ec, &public->key.ec, c->fingerprint);
}

static void decode_certificate(const struct cert *c, size_t i,
                               br_x509_decoder_context *d)
{
    br_x509_decoder_init(d, NULL, NULL);
    br_x509_decoder_push(d, c->chain[i].data, c->chain[i].data_len);
}

/* The certificate after the leaf that the key belongs to; 0: none */
static size_t find_match(const struct cert *c)
{
    for (size_t i = 1; i < c->count; i++) {
        br_x509_decoder_context d;
        decode_certificate(c, i, &d);
        const br_x509_pkey *public = br_x509_decoder_get_pkey(&d);
        if (public != NULL && key_matches(c, public))
            return i;
    }
    return 0;
}

static int check_pair(struct cert *c, const struct cert_pem *pem,
                      struct error *err)
{
    br_x509_decoder_context d;

    decode_certificate(c, 0, &d);
    const br_x509_pkey *public = br_x509_decoder_get_pkey(&d);
    if (public == NULL)
        return error_set(err,
                         "%s: unsupported certificate (error %d): its key must "
                         "be EC P-256, P-384 or P-521, or RSA of %d to %d bits",
                         pem->cert_name, br_x509_decoder_last_error(&d),
                         CERT_RSA_BITS_MIN, CERT_RSA_BITS_MAX);
    c->issuer_key_type = (unsigned)br_x509_decoder_get_signer_key_type(&d);
    if (key_matches(c, public))
        return 0;
    size_t other = find_match(c);
    if (other > 0)
        return error_set(err,
                         "%s: the key matches certificate %zu of %s; the "
                         "server's own certificate must come first",
                         pem->key_name, other + 1, pem->cert_name);
    return error_set(err, "%s: the key does not match the certificate %s",
                     pem->key_name, pem->cert_name);
}

static void warn_about_dates(struct cert *c, const char *name, int64_t now)
{
    const char *what = "expires on";
    int64_t moment = c->leaf.not_after;
    char date[TIMESTAMP_TEXT_SIZE];

    if (now < c->leaf.not_before) {
        what = "is not valid before";
        moment = c->leaf.not_before;
    } else if (now > moment) {
        what = "expired on";
    } else if (cert_days_left(c, now) >= CERT_WARN_DAYS) {
        return;
    }
    timestamp_format(moment, date);
    snprintf(c->warning, sizeof c->warning, "%.400s: the certificate %s %s",
             name, what, date);
}

static int fill(struct cert *c, const struct cert_pem *pem, struct error *err)
{
    if (load_chain(c, pem, err) != 0)
        return -1;
    if (pem->key_name == NULL)
        return 0;
    if (cert_load_key(pem->key_name, pem->key, &c->key, err) != 0)
        return -1;
    return check_pair(c, pem, err);
}

struct cert *cert_load(const struct cert_pem *pem, int64_t now,
                       struct error *err)
{
    struct cert *c = calloc(1, sizeof *c);

    if (c == NULL) {
        no_memory(err);
        return NULL;
    }
    if (fill(c, pem, err) != 0) {
        cert_free(c);
        return NULL;
    }
    warn_about_dates(c, pem->cert_name, now);
    return c;
}

void cert_free(struct cert *c)
{
    if (c == NULL)
        return;
    free(c->der);
    wipe(&c->key, sizeof c->key);
    free(c);
}

const uint8_t *cert_fingerprint(const struct cert *c)
{
    return c->fingerprint;
}

const char *cert_warning(const struct cert *c)
{
    return c->warning[0] != '\0' ? c->warning : NULL;
}

bool cert_was_created(const struct cert *c)
{
    return c->created;
}

bool cert_was_renewed(const struct cert *c)
{
    return c->renewed;
}

struct span cert_der(const struct cert *c)
{
    return (struct span){c->chain[0].data, c->chain[0].data_len};
}

const struct x509_info *cert_info(const struct cert *c)
{
    return &c->leaf;
}

int64_t cert_days_left(const struct cert *c, int64_t now)
{
    int64_t left = c->leaf.not_after - now;

    /* Rounded down: what ended an hour ago has -1 days left, not 0. */
    return (left >= 0 ? left : left - SECONDS_PER_DAY + 1) / SECONDS_PER_DAY;
}

void cert_describe_key(const struct cert *c, char out[CERT_KEY_KIND_SIZE])
{
    const br_ec_private_key *ec = cert_ec_key(c);

    if (ec == NULL)
        snprintf(out, CERT_KEY_KIND_SIZE, "RSA %u",
                 (unsigned)cert_rsa_key(c)->n_bitlen);
    else
        snprintf(out, CERT_KEY_KIND_SIZE, "EC P-%d",
                 ec->curve == BR_EC_secp256r1   ? 256
                 : ec->curve == BR_EC_secp384r1 ? 384
                                                : 521);
}

bool cert_equals(const struct cert *a, const struct cert *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        struct span one = {a->chain[i].data, a->chain[i].data_len};
        struct span two = {b->chain[i].data, b->chain[i].data_len};
        if (!span_equals(one, two))
            return false;
    }
    return true;
}

const br_x509_certificate *cert_chain(const struct cert *c, size_t *count)
{
    *count = c->count;
    return c->chain;
}

const br_ec_private_key *cert_ec_key(const struct cert *c)
{
    return br_skey_decoder_get_ec(&c->key);
}

const br_rsa_private_key *cert_rsa_key(const struct cert *c)
{
    return br_skey_decoder_get_rsa(&c->key);
}

unsigned cert_issuer_key_type(const struct cert *c)
{
    return c->issuer_key_type;
}
