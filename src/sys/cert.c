/*
 * Implementation notes: the order in which a local set is written is what
 * makes a crash harmless. A private key goes to disk before the certificate
 * that names it, so a certificate without its key is never ours; a key without
 * its certificate is picked up again and the certificate made for it.
 */
#include "sys/cert.h"

#include "base/wipe.h"
#include "proto/timestamp.h"
#include "proto/x509.h"
#include "sys/cert_bearssl.h"
#include "sys/cert_load.h"
#include "sys/cert_make.h"
#include "sys/file_io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define MODE_DIR    0700
#define MODE_PUBLIC 0644
#define MODE_SECRET 0600
#define MODE_OTHERS 0077 /* what group and others may do */

/* A set in DATA_DIR/tls. */
struct local {
    struct cert_files files;
    struct cert_hosts hosts; /* of a leaf made now */
    int64_t now;             /* seconds since 1970 */
};

static int read_key_file(const char *path, struct file_bytes *out,
                         struct error *err)
{
    if (file_read(path, CERT_FILE_MAX, out, err) != 0)
        return -1;
    if ((out->mode & MODE_OTHERS) == 0)
        return 0;
    unsigned mode = out->mode;
    file_bytes_fini(out);
    return error_set(err,
                     "%s: the private key is open to group or others (mode "
                     "%04o); run: chmod 600 %s",
                     path, mode, path);
}

static struct span bytes_span(const struct file_bytes *f)
{
    return (struct span){f->ptr, f->len};
}

static struct cert *open_pair(const char *cert_file, const char *key_file,
                              int64_t now, struct error *err)
{
    struct file_bytes cert;
    struct file_bytes key;

    if (file_read(cert_file, CERT_FILE_MAX, &cert, err) != 0)
        return NULL;
    if (read_key_file(key_file, &key, err) != 0) {
        file_bytes_fini(&cert);
        return NULL;
    }
    struct cert_pem pem = {cert_file, bytes_span(&cert), key_file,
                           bytes_span(&key)};
    struct cert *c = cert_load(&pem, now, err);
    file_bytes_fini(&key);
    file_bytes_fini(&cert);
    return c;
}

static int write_text(const char *path, const struct cert_text *t,
                      unsigned mode, struct error *err)
{
    return file_write(path, (struct span){(const uint8_t *)t->text, t->len},
                      mode, err);
}

static int load_key(const char *path, struct cert_key *key, struct error *err)
{
    br_skey_decoder_context decoder;
    struct file_bytes file;

    if (read_key_file(path, &file, err) != 0)
        return -1;
    int result = cert_load_key(path, bytes_span(&file), &decoder, err);
    file_bytes_fini(&file);
    if (result == 0) {
        const br_ec_private_key *ec = br_skey_decoder_get_ec(&decoder);
        if (ec == NULL || !cert_key_complete(ec, key))
            result = error_set(err,
                               "%s: no P-256 key, so no certificate is made "
                               "for it; move it away to have both made",
                               path);
    }
    wipe(&decoder, sizeof decoder);
    return result;
}

/* The key that stands at path, or a new one written there. */
static int load_or_make_key(const char *path, struct cert_key *key,
                            struct error *err)
{
    struct cert_text text;

    if (file_exists(path))
        return load_key(path, key, err);
    if (cert_key_make(key, err) != 0)
        return -1;
    cert_key_format(key, &text);
    int result = write_text(path, &text, MODE_SECRET, err);
    wipe(&text, sizeof text);
    return result;
}

/* --- Making --- */

/* A certificate whose key is gone is of no use, but it is not ours to drop. */
static int check_not_widowed(const struct cert_pair *p, struct error *err)
{
    if (!file_exists(p->cert) || file_exists(p->key))
        return 0;
    return error_set(err,
                     "%s: missing, though %s is there; put it back, or move "
                     "the certificate away to have both made",
                     p->key, p->cert);
}

static int make_ca(const struct cert_pair *p, int64_t now, struct error *err)
{
    struct cert_key key;
    struct cert_text text;

    int result = load_or_make_key(p->key, &key, err);
    if (result == 0)
        result = cert_make_ca(&key, now, &text, err);
    if (result == 0)
        result = write_text(p->cert, &text, MODE_PUBLIC, err);
    wipe(&key, sizeof key);
    return result;
}

/* The local CA, which is there. returns: NULL with err set */
static struct cert *load_ca(const struct local *l, struct error *err)
{
    const struct cert_pair *p = &l->files.ca;
    struct cert *ca = open_pair(p->cert, p->key, l->now, err);

    if (ca == NULL)
        return NULL;
    if (cert_ec_key(ca) != NULL && l->now <= ca->leaf.not_after)
        return ca;
    cert_free(ca);
    error_set(err,
              "%s: no CA with an EC key that is still valid; move it and %s "
              "away to have a new one made",
              p->cert, p->key);
    return NULL;
}

static struct cert *load_or_make_ca(const struct local *l, struct error *err)
{
    const struct cert_pair *p = &l->files.ca;

    if (check_not_widowed(p, err) != 0)
        return NULL;
    if (!file_exists(p->cert) && make_ca(p, l->now, err) != 0)
        return NULL;
    return load_ca(l, err);
}

static int make_leaf(const struct local *l, const struct cert *ca,
                     struct error *err)
{
    struct cert_key key;
    struct cert_text text;
    struct cert_leaf leaf = {ca, &key, &l->hosts, l->now};

    int result = load_or_make_key(l->files.leaf.key, &key, err);
    if (result == 0)
        result = cert_make_leaf(&leaf, &text, err);
    if (result == 0)
        result = write_text(l->files.leaf.cert, &text, MODE_PUBLIC, err);
    wipe(&key, sizeof key);
    return result;
}

/* Complete the set. out: *created  a leaf was made */
static int complete(const struct local *l, bool *created, struct error *err)
{
    if (check_not_widowed(&l->files.leaf, err) != 0)
        return -1;
    if (file_exists(l->files.leaf.cert))
        return 0;
    struct cert *ca = load_or_make_ca(l, err);
    if (ca == NULL)
        return -1;
    int result = make_leaf(l, ca, err);
    cert_free(ca);
    *created = result == 0;
    return result;
}

/* --- Renewing --- */

/* Also when a wrong clock has dated it into the future. */
static bool is_stale(const struct cert *c, int64_t now)
{
    return now < c->leaf.not_before || cert_days_left(c, now) < CERT_RENEW_DAYS;
}

/* Would this CA give a leaf that is better than the old one? */
static int check_renewable(const struct local *l, const struct cert *old,
                           const struct cert *ca, struct error *err)
{
    if (!span_equals(old->leaf.issuer, ca->leaf.subject))
        return error_set(err, "%s has not issued it", l->files.ca.cert);
    if (l->now < ca->leaf.not_before)
        return error_set(err, "%s is not valid yet", l->files.ca.cert);
    if (l->now >= old->leaf.not_before &&
        ca->leaf.not_after <= old->leaf.not_after)
        return error_set(err, "%s ends as well", l->files.ca.cert);
    return 0;
}

/*
 * The same key: so one rename replaces the pair, and whatever a crash leaves
 * is one. The same names, unless others are asked for now.
 */
static int renew(struct local *l, const struct cert_source *src,
                 const struct cert *old, struct error *err)
{
    struct cert *ca = load_ca(l, err);

    if (ca == NULL)
        return -1;
    int result = check_renewable(l, old, ca, err);
    if (result == 0 && src->host_count == 0)
        result = cert_hosts_of(old, &l->hosts, err);
    if (result == 0)
        result = make_leaf(l, ca, err);
    cert_free(ca);
    return result;
}

/* A leaf that is stale, or the one in its place. */
static struct cert *replace(struct local *l, const struct cert_source *src,
                            struct cert *old, struct error *err)
{
    const struct cert_pair *p = &l->files.leaf;
    char date[TIMESTAMP_TEXT_SIZE];
    struct error why;

    if (renew(l, src, old, &why) != 0) {
        timestamp_format(old->leaf.not_after, date);
        snprintf(old->warning, sizeof old->warning,
                 "%.180s: the certificate, which ends on %s, cannot be "
                 "renewed: %.240s",
                 p->cert, date, why.text);
        return old;
    }
    cert_free(old);
    struct cert *c = open_pair(p->cert, p->key, l->now, err);
    if (c != NULL)
        c->renewed = true;
    return c;
}

/* --- Opening --- */

static struct cert *open_leaf(struct local *l, const struct cert_source *src,
                              struct error *err)
{
    const struct cert_pair *p = &l->files.leaf;
    bool created = false;

    if (src->use == CERT_MAKE && complete(l, &created, err) != 0)
        return NULL;
    struct cert *c = open_pair(p->cert, p->key, l->now, err);
    if (c == NULL)
        return NULL;
    c->created = created;
    if (src->use == CERT_LOOK || created || !is_stale(c, l->now))
        return c;
    return replace(l, src, c, err);
}

/* Alone: two servers that start at once must not mix their sets. */
static struct cert *open_leaf_locked(struct local *l,
                                     const struct cert_source *src,
                                     struct error *err)
{
    const char *dir = l->files.dir;

    if (src->use == CERT_LOOK)
        return open_leaf(l, src, err);
    if (src->use == CERT_MAKE && file_make_dir(dir, MODE_DIR, err) != 0)
        return NULL;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        error_set(err, "%s: %s", dir, strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    struct cert *c = open_leaf(l, src, err);
    close(fd);
    return c;
}

static void warn_about_hosts(struct cert *c, const struct cert_hosts *hosts,
                             const struct cert_pair *p)
{
    for (size_t i = 0; i < hosts->count; i++) {
        if (x509_has_name(&c->leaf, &hosts->names[i]))
            continue;
        snprintf(
            c->warning, sizeof c->warning,
            "%.200s: made for other hosts than those given now; move it and "
            "%.200s away to have a new one made",
            p->cert, p->key);
        return;
    }
}

static struct cert *open_local(const struct cert_source *src, struct error *err)
{
    struct local l = {.now = src->now};

    if (cert_locate(src, &l.files, err) != 0 ||
        cert_hosts_parse(src->hosts, src->host_count, &l.hosts, err) != 0)
        return NULL;
    struct cert *c = open_leaf_locked(&l, src, err);
    if (c != NULL && src->host_count > 0 && c->warning[0] == '\0')
        warn_about_hosts(c, &l.hosts, &l.files.leaf);
    return c;
}

static bool join(char out[PATH_MAX], const char *dir, const char *name)
{
    return snprintf(out, PATH_MAX, "%s%s", dir, name) < PATH_MAX;
}

int cert_locate(const struct cert_source *src, struct cert_files *out,
                struct error *err)
{
    if (src->cert_file != NULL && src->key_file != NULL) {
        out->dir[0] = out->ca.cert[0] = out->ca.key[0] = '\0';
        if (join(out->leaf.cert, src->cert_file, "") &&
            join(out->leaf.key, src->key_file, ""))
            return 0;
        return error_set(err, "--cert, --key: the path is too long");
    }
    if (join(out->dir, src->data_dir, "/tls") &&
        join(out->ca.cert, out->dir, "/ca.pem") &&
        join(out->ca.key, out->dir, "/ca-key.pem") &&
        join(out->leaf.cert, out->dir, "/cert.pem") &&
        join(out->leaf.key, out->dir, "/key.pem"))
        return 0;
    return error_set(err, "%.256s: the path is too long", src->data_dir);
}

struct cert *cert_open(const struct cert_source *src, struct error *err)
{
    if (src->cert_file == NULL && src->key_file == NULL)
        return open_local(src, err);
    if (src->cert_file == NULL || src->key_file == NULL) {
        error_set(err, "--cert and --key go together: give both or neither");
        return NULL;
    }
    return open_pair(src->cert_file, src->key_file, src->now, err);
}

struct cert *cert_open_ca(const struct cert_source *src, struct error *err)
{
    struct cert_files files;
    struct file_bytes file;

    if (cert_locate(src, &files, err) != 0 ||
        file_read(files.ca.cert, CERT_FILE_MAX, &file, err) != 0)
        return NULL;
    struct cert_pem pem = {.cert_name = files.ca.cert,
                           .cert = bytes_span(&file)};
    struct cert *ca = cert_load(&pem, src->now, err);
    file_bytes_fini(&file);
    return ca;
}
