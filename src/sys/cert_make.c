#include "sys/cert_make.h"

#include "base/ec.h"
#include "base/wipe.h"
#include "sys/cert_bearssl.h"
#include "sys/entropy.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>

#define SECONDS_PER_HOUR 3600
#define SECONDS_PER_DAY  (24 * SECONDS_PER_HOUR)
#define CA_DAYS          3650
#define LEAF_DAYS        820
#define SERIAL_LEN       16
#define SIGNATURE_MAX    139 /* for P-521, as BearSSL states */
#define SEED_LEN         32
#define NAME_OF_NOTHING  "openchampps"
#define NAME_CAP         (X509_CN_MAX + 32)

/* Room for CERT_HOSTS_MAX names of full length and all else. */
#define DER_CAP (CERT_HOSTS_MAX * (X509_DNS_MAX + 4) + 2048)

static int parse_host(const char *host, struct cert_hosts *out,
                      struct error *err)
{
    struct x509_name *name = &out->names[out->count];
    uint8_t *ip = out->ip[out->count];

    if (inet_pton(AF_INET, host, ip) == 1)
        *name = (struct x509_name){true, {ip, 4}};
    else if (inet_pton(AF_INET6, host, ip) == 1)
        *name = (struct x509_name){true, {ip, 16}};
    else if (x509_is_dns_name(span_of(host)))
        *name = (struct x509_name){false, span_of(host)};
    else
        return error_set(err,
                         "host '%.256s': neither a DNS name (letters, digits, "
                         "hyphens and dots; IDNs as xn--) nor an IP address",
                         host);
    out->count++;
    return 0;
}

int cert_hosts_parse(const char *const *hosts, size_t count,
                     struct cert_hosts *out, struct error *err)
{
    static const char *const usual[] = {"localhost", "127.0.0.1", "::1"};

    if (count == 0) {
        hosts = usual;
        count = sizeof usual / sizeof usual[0];
    }
    if (count > CERT_HOSTS_MAX)
        return error_set(err, "%zu hosts: a certificate takes at most %d",
                         count, CERT_HOSTS_MAX);
    out->count = 0;
    out->first = span_of(hosts[0]);
    for (size_t i = 0; i < count; i++)
        if (parse_host(hosts[i], out, err) != 0)
            return -1;
    return 0;
}

int cert_hosts_of(const struct cert *c, struct cert_hosts *out,
                  struct error *err)
{
    struct span rest = c->leaf.alt_names;
    struct x509_name name;

    out->count = 0;
    while (x509_next_name(&rest, &name)) {
        if (out->count == CERT_HOSTS_MAX)
            return error_set(err, "it has more than %d names", CERT_HOSTS_MAX);
        out->names[out->count++] = name;
    }
    out->first = span_of(NAME_OF_NOTHING);
    x509_name_text(c->leaf.subject, &out->first);
    return out->count > 0 ? 0 : error_set(err, "it has no names");
}

/* needs: secret and its bytes set; P-256 */
static void derive_public(struct cert_key *key)
{
    uint8_t hash[DIGEST_SHA256_LEN];

    key->point_len =
        br_ec_compute_pub(ec_curves(), NULL, key->point, &key->secret);
    assert(key->point_len == X509_POINT_LEN);
    /* RFC 7093, section 2, method 1 */
    digest_sha256(key->point, key->point_len, hash);
    memcpy(key->id, hash, sizeof key->id);
}

int cert_key_make(struct cert_key *key, struct error *err)
{
    br_hmac_drbg_context drbg;
    uint8_t seed[SEED_LEN];

    if (entropy_fill(seed, sizeof seed, err) != 0)
        return -1;
    br_hmac_drbg_init(&drbg, &br_sha256_vtable, seed, sizeof seed);
    br_ec_keygen(&drbg.vtable, ec_curves(), &key->secret, key->secret_bytes,
                 BR_EC_secp256r1);
    wipe(seed, sizeof seed);
    wipe(&drbg, sizeof drbg);
    derive_public(key);
    return 0;
}

bool cert_key_complete(const br_ec_private_key *secret, struct cert_key *key)
{
    if (secret->curve != BR_EC_secp256r1 ||
        secret->xlen > sizeof key->secret_bytes)
        return false;
    memcpy(key->secret_bytes, secret->x, secret->xlen);
    key->secret = *secret;
    key->secret.x = key->secret_bytes;
    derive_public(key);
    return true;
}

static void format_pem(const char *label, struct span der,
                       struct cert_text *out)
{
    unsigned flags = BR_PEM_LINE64;

    /* Its result and what it writes differ by the NUL. */
    assert(br_pem_encode(NULL, NULL, der.len, label, flags) < sizeof out->text);
    out->len = br_pem_encode(out->text, der.ptr, der.len, label, flags);
}

void cert_key_format(const struct cert_key *key, struct cert_text *out)
{
    br_ec_public_key public = {.curve = BR_EC_secp256r1,
                               .q = (unsigned char *)key->point,
                               .qlen = key->point_len};
    uint8_t der[256];
    size_t len = br_encode_ec_pkcs8_der(NULL, &key->secret, &public);

    assert(len > 0 && len <= sizeof der);
    br_encode_ec_pkcs8_der(der, &key->secret, &public);
    format_pem("PRIVATE KEY", (struct span){der, len}, out);
    wipe(der, sizeof der);
}

/* spec: RFC 5280, 4.1.2.2: positive, unique without a count of those issued */
static int draw_serial(uint8_t out[SERIAL_LEN], struct error *err)
{
    if (entropy_fill(out, SERIAL_LEN, err) != 0)
        return -1;
    out[0] = (out[0] & 0x3F) | 0x40; /* positive, always this long */
    return 0;
}

/* Sign, and write as PEM. */
static int issue(const struct x509_template *t, const br_ec_private_key *signer,
                 struct cert_text *out, struct error *err)
{
    uint8_t tbs_mem[DER_CAP];
    uint8_t cert_mem[DER_CAP];
    uint8_t hash[DIGEST_SHA256_LEN];
    uint8_t signature[SIGNATURE_MAX];
    struct x509_signed s;
    struct span cert;

    if (!x509_build_tbs(t, tbs_mem, sizeof tbs_mem, &s.tbs))
        return error_set(err, "the certificate to be made is too large");
    digest_sha256(s.tbs.ptr, s.tbs.len, hash);
    size_t len =
        ec_sign_asn1(ec_curves(), &br_sha256_vtable, hash, signer, signature);
    s.signature = (struct span){signature, len};
    if (len == 0 || !x509_build_cert(&s, cert_mem, sizeof cert_mem, &cert))
        return error_set(err, "the certificate cannot be signed");
    format_pem("CERTIFICATE", cert, out);
    return 0;
}

int cert_make_ca(const struct cert_key *key, int64_t now, struct cert_text *out,
                 struct error *err)
{
    char cn[X509_CN_MAX];
    uint8_t name_mem[NAME_CAP];
    uint8_t serial[SERIAL_LEN];
    struct span name;

    if (draw_serial(serial, err) != 0)
        return -1;
    snprintf(cn, sizeof cn, "openchampps local CA %02x%02x%02x%02x", key->id[0],
             key->id[1], key->id[2], key->id[3]);
    if (!x509_build_name(span_of(cn), name_mem, sizeof name_mem, &name))
        return error_set(err, "the CA's name is too long");
    struct x509_template t = {
        .serial = {serial, sizeof serial},
        .issuer = name,
        .subject = name,
        .not_before = now - SECONDS_PER_HOUR,
        .not_after = now + (int64_t)CA_DAYS * SECONDS_PER_DAY,
        .public_key = {key->point, key->point_len},
        .subject_key = {key->id, sizeof key->id},
        .is_ca = true,
    };
    return issue(&t, &key->secret, out, err);
}

int cert_make_leaf(const struct cert_leaf *leaf, struct cert_text *out,
                   struct error *err)
{
    const struct x509_info *ca = &leaf->ca->leaf;
    /* commonName is shorter than a DNS name may be; clients ignore it. */
    bool fits = leaf->hosts->first.len <= X509_CN_MAX;
    struct span cn = fits ? leaf->hosts->first : span_of(NAME_OF_NOTHING);
    uint8_t name_mem[NAME_CAP];
    uint8_t serial[SERIAL_LEN];
    struct span name;
    int64_t end = leaf->now + (int64_t)LEAF_DAYS * SECONDS_PER_DAY;

    if (leaf->now > ca->not_after)
        return error_set(err, "the CA has expired");
    if (draw_serial(serial, err) != 0)
        return -1;
    if (!x509_build_name(cn, name_mem, sizeof name_mem, &name))
        return error_set(err, "the certificate's name is too long");
    struct x509_template t = {
        .serial = {serial, sizeof serial},
        .issuer = ca->subject,
        .subject = name,
        .not_before = leaf->now - SECONDS_PER_HOUR,
        .not_after = end < ca->not_after ? end : ca->not_after,
        .public_key = {leaf->key->point, leaf->key->point_len},
        .subject_key = {leaf->key->id, sizeof leaf->key->id},
        .issuer_key = ca->subject_key,
        .names = leaf->hosts->names,
        .name_count = leaf->hosts->count,
    };
    return issue(&t, cert_ec_key(leaf->ca), out, err);
}
