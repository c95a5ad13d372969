/*
 * openchampps cert: what is served, or would be, and the local CA for clients.
 * It only reads, so it works beside a running server.
 */
#include "tools/command.h"

#include "base/base64.h"
#include "base/hex.h"
#include "sys/cert.h"
#include "sys/clock.h"
#include "tools/print.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct cert_options {
    const char *data, *cert, *key, *ca;
    bool wants_json;
};

static const struct option_spec specs[] = {
    {"data", "DIR", "data directory of the server", OPTION_TEXT,
     offsetof(struct cert_options, data), 0, 0},
    {"cert", "FILE", "what the server was given, if anything", OPTION_TEXT,
     offsetof(struct cert_options, cert), 0, 0},
    {"key", "FILE", "likewise", OPTION_TEXT, offsetof(struct cert_options, key),
     0, 0},
    {"ca", "pem|der", "write the local CA: pem is what most programs take",
     OPTION_TEXT, offsetof(struct cert_options, ca), 0, 0},
    {"json", NULL, "print it for scripts", OPTION_FLAG,
     offsetof(struct cert_options, wants_json), 0, 0},
};

static const struct option_table table = {
    "openchampps cert --data DIR [--cert FILE --key FILE] [--json]\n"
    "       openchampps cert --data DIR --ca pem|der >FILE",
    specs, sizeof specs / sizeof *specs};

/* --- The CA --- */

enum { LINE = 48 /* bytes that become a line of 64 characters */ };

static void put_pem(struct span der)
{
    char text[BASE64_LEN(LINE)];

    puts("-----BEGIN CERTIFICATE-----");
    while (der.len > 0) {
        size_t len = der.len < LINE ? der.len : LINE;

        fwrite(text, 1, base64_encode(der.ptr, len, text), stdout);
        putchar('\n');
        der = (struct span){der.ptr + len, der.len - len};
    }
    puts("-----END CERTIFICATE-----");
}

static int put_ca(const struct cert_source *source, const char *form,
                  struct error *err)
{
    struct cert *ca = cert_open_ca(source, err);

    if (ca == NULL)
        return -1;
    struct span der = cert_der(ca);
    if (strcmp(form, "pem") == 0)
        put_pem(der);
    else
        fwrite(der.ptr, 1, der.len, stdout);
    cert_free(ca);
    return 0;
}

/* --- What is served --- */

static const struct print_field fields[] = {
    {"subject", PRINT_TEXT, 0},      {"names", PRINT_TEXT, 0},
    {"issuer", PRINT_TEXT, 0},       {"sha256", PRINT_TEXT, 0},
    {"key", PRINT_TEXT, 0},          {"not_before", PRINT_TIME, 0},
    {"not_after", PRINT_TIME, 0},    {"days_left", PRINT_NUMBER, 0},
    {"warning", PRINT_TEXT, 0},      {"ca_sha256", PRINT_TEXT, 0},
    {"ca_not_after", PRINT_TIME, 0}, {"ca_days_left", PRINT_NUMBER, 0},
};

enum {
    LEAF_FIELDS = 9,
    ALL_FIELDS = sizeof fields / sizeof *fields,
    HEX_SIZE = 2 * CERT_FINGERPRINT_LEN + 1,
    /* 16 characters for 6 bytes of DER, which are 8 of the file. */
    NAMES_SIZE = 3 * CERT_FILE_MAX
};

static size_t put_name(const struct x509_name *name, char *out)
{
    if (!name->is_ip) {
        memcpy(out, name->bytes.ptr, name->bytes.len);
        return name->bytes.len;
    }
    int family = name->bytes.len == 4 ? AF_INET : AF_INET6;
    inet_ntop(family, name->bytes.ptr, out, INET6_ADDRSTRLEN);
    return strlen(out);
}

/* All alternative names, a blank between two. */
static struct span format_names(const struct cert *c, char out[NAMES_SIZE])
{
    struct span rest = cert_info(c)->alt_names;
    struct x509_name name;
    size_t len = 0;

    while (x509_next_name(&rest, &name)) {
        if (len > 0)
            out[len++] = ' ';
        len += put_name(&name, out + len);
    }
    return (struct span){(const uint8_t *)out, len};
}

static struct print_value name_of(struct span name)
{
    struct print_value value = {.number = 0};

    x509_name_text(name, &value.text);
    return value;
}

/* in: ca  NULL when it is kept elsewhere, or a given pair has none here */
static void show(const struct cert *cert, const struct cert *ca,
                 const struct cert_source *source, bool is_json)
{
    const struct x509_info *info = cert_info(cert);
    const char *warning = cert_warning(cert);
    char names[NAMES_SIZE], key[CERT_KEY_KIND_SIZE];
    char hex[HEX_SIZE], ca_hex[HEX_SIZE];

    hex_encode(cert_fingerprint(cert), CERT_FINGERPRINT_LEN, hex);
    cert_describe_key(cert, key);
    struct print_value values[ALL_FIELDS] = {
        name_of(info->subject),
        PRINT_SPAN(format_names(cert, names)),
        name_of(info->issuer),
        PRINT_STRING(hex),
        PRINT_STRING(key),
        PRINT_INTEGER(info->not_before),
        PRINT_INTEGER(info->not_after),
        PRINT_INTEGER(cert_days_left(cert, source->now)),
    };
    struct printer p = {fields, LEAF_FIELDS, is_json, false};
    if (warning != NULL)
        values[LEAF_FIELDS - 1] = PRINT_STRING(warning);
    if (ca != NULL) {
        hex_encode(cert_fingerprint(ca), CERT_FINGERPRINT_LEN, ca_hex);
        values[LEAF_FIELDS] = PRINT_STRING(ca_hex);
        values[LEAF_FIELDS + 1] = PRINT_INTEGER(cert_info(ca)->not_after);
        values[LEAF_FIELDS + 2] =
            PRINT_INTEGER(cert_days_left(ca, source->now));
        p.count = ALL_FIELDS;
    }
    print_record(&p, values);
}

static int show_served(const struct cert_source *source, bool is_json,
                       struct error *err)
{
    struct cert_files files;
    struct error no_ca;

    if (cert_locate(source, &files, err) != 0)
        return -1;
    if (access(files.leaf.cert, F_OK) != 0 && errno == ENOENT)
        return error_set(err, "%s: not there%s", files.leaf.cert,
                         files.dir[0] == '\0'
                             ? ""
                             : "; the server makes it when it first starts");
    struct cert *cert = cert_open(source, err);
    if (cert == NULL)
        return -1;
    struct cert *ca =
        files.dir[0] == '\0' ? NULL : cert_open_ca(source, &no_ca);
    show(cert, ca, source, is_json);
    cert_free(ca);
    cert_free(cert);
    return 0;
}

/* --- The command --- */

/* returns: what is wrong with the command line, or NULL */
static const char *find_misuse(const struct cert_options *o)
{
    if ((o->cert == NULL) != (o->key == NULL))
        return "--cert and --key go together";
    if (o->cert == NULL && o->data == NULL)
        return "--data DIR is needed, or --cert FILE and --key FILE";
    if (o->ca == NULL)
        return NULL;
    if (strcmp(o->ca, "pem") != 0 && strcmp(o->ca, "der") != 0)
        return "--ca is pem or der";
    if (o->cert != NULL)
        return "--ca is for the local CA; with --cert, clients trust whoever "
               "has issued that";
    return o->wants_json ? "--ca and --json do not go together" : NULL;
}

int command_cert(int argc, char **argv)
{
    struct command c = {"cert", &table, argc, argv, 0};
    struct cert_options options = {0};
    struct error err;
    int status;

    if (!command_parse(&c, &options, &status))
        return status;
    const char *misuse =
        c.first != argc ? "it takes options only" : find_misuse(&options);
    if (misuse != NULL)
        return command_misused(&c, misuse);
    const struct cert_source source = {.cert_file = options.cert,
                                       .key_file = options.key,
                                       .data_dir = options.data,
                                       .now = clock_utc_s(),
                                       .use = CERT_LOOK};
    int rc = options.ca != NULL
                 ? put_ca(&source, options.ca, &err)
                 : show_served(&source, options.wants_json, &err);
    if (rc == 0)
        rc = print_finish(&err);
    return rc == 0 ? EXIT_OK : command_refuse(&c, &err);
}
