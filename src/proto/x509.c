#include "proto/x509.h"

#include "proto/der.h"

#include <assert.h>

/* Object identifiers, content octets. */
static const uint8_t oid_common_name[] = {0x55, 0x04, 0x03};
static const uint8_t oid_organization[] = {0x55, 0x04, 0x0A};
static const uint8_t oid_subject_key[] = {0x55, 0x1D, 0x0E};
static const uint8_t oid_key_usage[] = {0x55, 0x1D, 0x0F};
static const uint8_t oid_alt_names[] = {0x55, 0x1D, 0x11};
static const uint8_t oid_basic_constraints[] = {0x55, 0x1D, 0x13};
static const uint8_t oid_authority_key[] = {0x55, 0x1D, 0x23};
static const uint8_t oid_ext_key_usage[] = {0x55, 0x1D, 0x25};
static const uint8_t oid_server_auth[] = {0x2B, 0x06, 0x01, 0x05,
                                          0x05, 0x07, 0x03, 0x01};
static const uint8_t oid_ec_public_key[] = {0x2A, 0x86, 0x48, 0xCE,
                                            0x3D, 0x02, 0x01};
static const uint8_t oid_prime256v1[] = {0x2A, 0x86, 0x48, 0xCE,
                                         0x3D, 0x03, 0x01, 0x07};
static const uint8_t oid_ecdsa_sha256[] = {0x2A, 0x86, 0x48, 0xCE,
                                           0x3D, 0x04, 0x03, 0x02};

#define SPAN_OF_ARRAY(a) ((struct span){(a), sizeof(a)})

/* GeneralName choices and AuthorityKeyIdentifier's keyIdentifier. */
#define NAME_DNS DER_CONTEXT(2)
#define NAME_IP  DER_CONTEXT(7)
#define KEY_ID   DER_CONTEXT(0)

/* An extension that is being written. */
struct extension {
    size_t whole; /* mark of the SEQUENCE */
    size_t value; /* mark of the OCTET STRING */
};

static bool is_letter(uint8_t c)
{
    c = ascii_lower(c);
    return c >= 'a' && c <= 'z';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_label(struct span label)
{
    if (label.len < 1 || label.len > 63)
        return false;
    if (label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++) {
        uint8_t c = label.ptr[i];
        if (!is_letter(c) && !is_digit(c) && c != '-')
            return false;
    }
    return true;
}

static bool is_all_digits(struct span label)
{
    for (size_t i = 0; i < label.len; i++)
        if (!is_digit(label.ptr[i]))
            return false;
    return true;
}

/* Take what stands before the next dot off *rest, and the dot. */
static struct span take_label(struct span *rest)
{
    struct span label = {rest->ptr, 0};

    while (label.len < rest->len && rest->ptr[label.len] != '.')
        label.len++;
    size_t used = label.len < rest->len ? label.len + 1 : label.len;
    rest->ptr += used;
    rest->len -= used;
    return label;
}

bool x509_is_dns_name(struct span text)
{
    struct span rest = text;
    struct span label;

    if (text.len < 1 || text.len > X509_DNS_MAX)
        return false;
    if (text.ptr[text.len - 1] == '.')
        return false;
    if (text.len > 2 && text.ptr[0] == '*' && text.ptr[1] == '.')
        take_label(&rest);
    do {
        label = take_label(&rest);
        if (!is_label(label))
            return false;
    } while (rest.len > 0);
    /* A number at the end would be taken for an address. */
    return !is_all_digits(label);
}

bool x509_build_name(struct span cn, uint8_t *out, size_t cap,
                     struct span *name)
{
    struct der d;

    assert(cn.len >= 1 && cn.len <= X509_CN_MAX);
    der_init(&d, out, cap);
    size_t sequence = der_open(&d, DER_SEQUENCE);
    size_t set = der_open(&d, DER_SET);
    size_t attribute = der_open(&d, DER_SEQUENCE);
    der_put(&d, DER_OID, SPAN_OF_ARRAY(oid_common_name));
    der_put(&d, DER_UTF8_STRING, cn);
    der_close(&d, attribute);
    der_close(&d, set);
    der_close(&d, sequence);
    return der_finish(&d, name);
}

/* AlgorithmIdentifier; RFC 5758, 3.2: no parameters. */
static void put_signature_algorithm(struct der *d)
{
    size_t sequence = der_open(d, DER_SEQUENCE);

    der_put(d, DER_OID, SPAN_OF_ARRAY(oid_ecdsa_sha256));
    der_close(d, sequence);
}

static void put_validity(struct der *d, const struct x509_template *t)
{
    size_t sequence = der_open(d, DER_SEQUENCE);

    der_put_time(d, t->not_before);
    der_put_time(d, t->not_after);
    der_close(d, sequence);
}

/* SubjectPublicKeyInfo; RFC 5480, 2. */
static void put_public_key(struct der *d, struct span point)
{
    size_t info = der_open(d, DER_SEQUENCE);
    size_t algorithm = der_open(d, DER_SEQUENCE);

    der_put(d, DER_OID, SPAN_OF_ARRAY(oid_ec_public_key));
    der_put(d, DER_OID, SPAN_OF_ARRAY(oid_prime256v1));
    der_close(d, algorithm);
    der_put_bits(d, point, 0);
    der_close(d, info);
}

static struct extension open_extension(struct der *d, struct span oid,
                                       bool critical)
{
    struct extension e;

    e.whole = der_open(d, DER_SEQUENCE);
    der_put(d, DER_OID, oid);
    if (critical)
        der_put_bool(d, true); /* FALSE is the default: not written in DER */
    e.value = der_open(d, DER_OCTET_STRING);
    return e;
}

static void close_extension(struct der *d, struct extension e)
{
    der_close(d, e.value);
    der_close(d, e.whole);
}

static void put_basic_constraints(struct der *d, bool is_ca)
{
    struct extension e =
        open_extension(d, SPAN_OF_ARRAY(oid_basic_constraints), true);
    size_t sequence = der_open(d, DER_SEQUENCE);

    if (is_ca) {
        der_put_bool(d, true);
        der_put_unsigned(d, (struct span){NULL, 0}); /* pathLen 0 */
    }
    der_close(d, sequence);
    close_extension(d, e);
}

static void put_key_usage(struct der *d, bool is_ca)
{
    static const uint8_t sign_certs_and_crls = 0x06; /* bits 5 and 6 */
    static const uint8_t digital_signature = 0x80;   /* bit 0 */
    struct extension e = open_extension(d, SPAN_OF_ARRAY(oid_key_usage), true);

    if (is_ca)
        der_put_bits(d, (struct span){&sign_certs_and_crls, 1}, 1);
    else
        der_put_bits(d, (struct span){&digital_signature, 1}, 7);
    close_extension(d, e);
}

static void put_ext_key_usage(struct der *d)
{
    struct extension e =
        open_extension(d, SPAN_OF_ARRAY(oid_ext_key_usage), false);
    size_t sequence = der_open(d, DER_SEQUENCE);

    der_put(d, DER_OID, SPAN_OF_ARRAY(oid_server_auth));
    der_close(d, sequence);
    close_extension(d, e);
}

static void put_subject_key(struct der *d, struct span id)
{
    struct extension e =
        open_extension(d, SPAN_OF_ARRAY(oid_subject_key), false);

    der_put(d, DER_OCTET_STRING, id);
    close_extension(d, e);
}

static void put_authority_key(struct der *d, struct span id)
{
    struct extension e =
        open_extension(d, SPAN_OF_ARRAY(oid_authority_key), false);
    size_t sequence = der_open(d, DER_SEQUENCE);

    der_put(d, KEY_ID, id);
    der_close(d, sequence);
    close_extension(d, e);
}

static uint8_t name_tag(const struct x509_name *name)
{
    return name->is_ip ? NAME_IP : NAME_DNS;
}

static void put_alt_names(struct der *d, const struct x509_template *t)
{
    struct extension e = open_extension(d, SPAN_OF_ARRAY(oid_alt_names), false);
    size_t sequence = der_open(d, DER_SEQUENCE);

    for (size_t i = 0; i < t->name_count; i++)
        der_put(d, name_tag(&t->names[i]), t->names[i].bytes);
    der_close(d, sequence);
    close_extension(d, e);
}

static void put_extensions(struct der *d, const struct x509_template *t)
{
    size_t wrapper = der_open(d, DER_CONTEXT_CONS(3));
    size_t sequence = der_open(d, DER_SEQUENCE);

    put_basic_constraints(d, t->is_ca);
    put_key_usage(d, t->is_ca);
    if (!t->is_ca)
        put_ext_key_usage(d);
    put_subject_key(d, t->subject_key);
    if (t->issuer_key.len > 0)
        put_authority_key(d, t->issuer_key);
    if (t->name_count > 0)
        put_alt_names(d, t);
    der_close(d, sequence);
    der_close(d, wrapper);
}

bool x509_build_tbs(const struct x509_template *t, uint8_t *out, size_t cap,
                    struct span *tbs)
{
    static const uint8_t version_3 = 2;
    struct der d;

    assert(t->public_key.len == X509_POINT_LEN);
    der_init(&d, out, cap);
    size_t sequence = der_open(&d, DER_SEQUENCE);
    size_t version = der_open(&d, DER_CONTEXT_CONS(0));
    der_put_unsigned(&d, (struct span){&version_3, 1});
    der_close(&d, version);
    der_put_unsigned(&d, t->serial);
    put_signature_algorithm(&d);
    der_put_raw(&d, t->issuer);
    put_validity(&d, t);
    der_put_raw(&d, t->subject);
    put_public_key(&d, t->public_key);
    put_extensions(&d, t);
    der_close(&d, sequence);
    return der_finish(&d, tbs);
}

bool x509_build_cert(const struct x509_signed *s, uint8_t *out, size_t cap,
                     struct span *cert)
{
    struct der d;

    der_init(&d, out, cap);
    size_t sequence = der_open(&d, DER_SEQUENCE);
    der_put_raw(&d, s->tbs);
    put_signature_algorithm(&d);
    der_put_bits(&d, s->signature, 0);
    der_close(&d, sequence);
    return der_finish(&d, cert);
}

/* Step over an element of this tag. */
static bool skip(struct span *rest, uint8_t tag)
{
    struct der_element e;

    return der_expect(rest, tag, &e);
}

static bool parse_validity(struct span in, struct x509_info *info)
{
    struct der_element from;
    struct der_element to;

    return der_next(&in, &from) && der_next(&in, &to) && in.len == 0 &&
           der_parse_time(&from, &info->not_before) &&
           der_parse_time(&to, &info->not_after);
}

/* Keep an extension's value when it is one that x509_info has a field for. */
static bool parse_extension(struct span in, struct x509_info *info)
{
    struct der_element oid;
    struct der_element value;
    struct der_element inner;

    if (!der_expect(&in, DER_OID, &oid))
        return false;
    skip(&in, DER_BOOLEAN); /* critical: optional */
    if (!der_expect(&in, DER_OCTET_STRING, &value) || in.len != 0)
        return false;
    if (span_equals(oid.content, SPAN_OF_ARRAY(oid_alt_names))) {
        if (!der_expect(&value.content, DER_SEQUENCE, &inner))
            return false;
        info->alt_names = inner.content;
    } else if (span_equals(oid.content, SPAN_OF_ARRAY(oid_subject_key))) {
        if (!der_expect(&value.content, DER_OCTET_STRING, &inner))
            return false;
        info->subject_key = inner.content;
    }
    return true;
}

static bool parse_extensions(struct span in, struct x509_info *info)
{
    struct der_element list;
    struct der_element extension;

    if (!der_expect(&in, DER_SEQUENCE, &list) || in.len != 0)
        return false;
    while (list.content.len > 0)
        if (!der_expect(&list.content, DER_SEQUENCE, &extension) ||
            !parse_extension(extension.content, info))
            return false;
    return true;
}

static bool parse_tbs(struct span in, struct x509_info *info)
{
    struct der_element issuer;
    struct der_element validity;
    struct der_element subject;
    struct der_element extensions;

    skip(&in, DER_CONTEXT_CONS(0)); /* version: absent in version 1 */
    if (!skip(&in, DER_INTEGER) || !skip(&in, DER_SEQUENCE) ||
        !der_expect(&in, DER_SEQUENCE, &issuer) ||
        !der_expect(&in, DER_SEQUENCE, &validity) ||
        !der_expect(&in, DER_SEQUENCE, &subject) || !skip(&in, DER_SEQUENCE))
        return false;
    info->issuer = issuer.whole;
    info->subject = subject.whole;
    if (!parse_validity(validity.content, info))
        return false;
    skip(&in, DER_CONTEXT(1)); /* unique identifiers of version 2 */
    skip(&in, DER_CONTEXT(2));
    if (in.len == 0)
        return true;
    return der_expect(&in, DER_CONTEXT_CONS(3), &extensions) && in.len == 0 &&
           parse_extensions(extensions.content, info);
}

bool x509_parse(struct span cert, struct x509_info *info)
{
    struct der_element whole;
    struct der_element tbs;

    *info = (struct x509_info){.not_before = 0};
    if (!der_expect(&cert, DER_SEQUENCE, &whole) || cert.len != 0)
        return false;
    struct span in = whole.content;
    return der_expect(&in, DER_SEQUENCE, &tbs) && skip(&in, DER_SEQUENCE) &&
           skip(&in, DER_BIT_STRING) && in.len == 0 &&
           parse_tbs(tbs.content, info);
}

/* One attribute of a Name. returns: is it a string that we can show? */
static bool parse_attribute(struct span in, struct der_element *oid,
                            struct span *text)
{
    struct der_element value;

    if (!der_expect(&in, DER_OID, oid) || !der_next(&in, &value) ||
        (value.tag != DER_UTF8_STRING && value.tag != DER_PRINTABLE_STRING &&
         value.tag != DER_IA5_STRING))
        return false;
    *text = value.content;
    return true;
}

bool x509_name_text(struct span name, struct span *text)
{
    struct der_element sequence, set, attribute, oid;
    struct span value, organization = {NULL, 0}, common = {NULL, 0};

    if (!der_expect(&name, DER_SEQUENCE, &sequence))
        return false;
    while (der_expect(&sequence.content, DER_SET, &set))
        while (der_expect(&set.content, DER_SEQUENCE, &attribute)) {
            if (!parse_attribute(attribute.content, &oid, &value))
                continue;
            if (span_equals(oid.content, SPAN_OF_ARRAY(oid_common_name)))
                common = value;
            if (span_equals(oid.content, SPAN_OF_ARRAY(oid_organization)))
                organization = value;
        }
    if (common.ptr == NULL && organization.ptr == NULL)
        return false;
    *text = common.ptr != NULL ? common : organization;
    return true;
}

bool x509_next_name(struct span *rest, struct x509_name *name)
{
    struct der_element e;

    while (der_next(rest, &e)) {
        bool is_ip =
            e.tag == NAME_IP && (e.content.len == 4 || e.content.len == 16);
        if (!is_ip && e.tag != NAME_DNS)
            continue;
        *name = (struct x509_name){is_ip, e.content};
        return true;
    }
    return false;
}

bool x509_has_name(const struct x509_info *info, const struct x509_name *name)
{
    struct span rest = info->alt_names;
    struct x509_name other;

    while (x509_next_name(&rest, &other)) {
        if (other.is_ip != name->is_ip)
            continue;
        if (name->is_ip ? span_equals(other.bytes, name->bytes)
                        : span_equals_nocase(other.bytes, name->bytes))
            return true;
    }
    return false;
}
