/*
 * Implementation notes: the order in which a local set is written is what
 * makes a crash harmless. A private key goes to disk before the certificate
 * that names it, so a certificate without its key is never ours; a key without
 * its certificate is picked up again and the certificate made for it.
 */
#include "sys/cert.h"

#include "base/wipe.h"
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

/* A certificate and its key on disk. */
struct pair {
    char cert[PATH_MAX];
    char key[PATH_MAX];
};

/* DATA_DIR/tls and what is in it. */
struct local {
    char dir[PATH_MAX];
    struct pair ca;
    struct pair leaf;
    struct cert_hosts hosts;
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

/* A certificate whose key is gone is of no use, but it is not ours to drop. */
static int check_not_widowed(const struct pair *p, struct error *err)
{
    if (!file_exists(p->cert) || file_exists(p->key))
        return 0;
    return error_set(err,
                     "%s: missing, though %s is there; put it back, or move "
                     "the certificate away to have both made",
                     p->key, p->cert);
}

static int make_ca(const struct pair *p, int64_t now, struct error *err)
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

/* The local CA, made if need be. returns: NULL with err set */
static struct cert *open_ca(const struct local *l, int64_t now,
                            struct error *err)
{
    if (check_not_widowed(&l->ca, err) != 0)
        return NULL;
    if (!file_exists(l->ca.cert) && make_ca(&l->ca, now, err) != 0)
        return NULL;
    struct cert *ca = open_pair(l->ca.cert, l->ca.key, now, err);
    if (ca == NULL)
        return NULL;
    if (cert_ec_key(ca) != NULL && now <= ca->leaf.not_after)
        return ca;
    cert_free(ca);
    error_set(err,
              "%s: no CA with an EC key that is still valid; move it and %s "
              "away to have a new one made",
              l->ca.cert, l->ca.key);
    return NULL;
}

static int make_leaf(const struct local *l, const struct cert *ca, int64_t now,
                     struct error *err)
{
    struct cert_key key;
    struct cert_text text;
    struct cert_leaf leaf = {ca, &key, &l->hosts, now};

    int result = load_or_make_key(l->leaf.key, &key, err);
    if (result == 0)
        result = cert_make_leaf(&leaf, &text, err);
    if (result == 0)
        result = write_text(l->leaf.cert, &text, MODE_PUBLIC, err);
    wipe(&key, sizeof key);
    return result;
}

/* Complete the set. out: *created  a leaf was made */
static int complete(const struct local *l, int64_t now, bool *created,
                    struct error *err)
{
    *created = false;
    if (check_not_widowed(&l->leaf, err) != 0)
        return -1;
    if (file_exists(l->leaf.cert))
        return 0;
    struct cert *ca = open_ca(l, now, err);
    if (ca == NULL)
        return -1;
    int result = make_leaf(l, ca, now, err);
    cert_free(ca);
    *created = result == 0;
    return result;
}

/* complete(), alone: two servers that start at once must not mix their sets. */
static int complete_locked(const struct local *l, int64_t now, bool *created,
                           struct error *err)
{
    int fd = open(l->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        error_set(err, "%s: %s", l->dir, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    int result = complete(l, now, created, err);
    close(fd);
    return result;
}

static void warn_about_hosts(struct cert *c, const struct local *l)
{
    for (size_t i = 0; i < l->hosts.count; i++) {
        if (x509_has_name(&c->leaf, &l->hosts.names[i]))
            continue;
        snprintf(
            c->warning, sizeof c->warning,
            "%.200s: made for other hosts than those given now; move it and "
            "%.200s away to have a new one made",
            l->leaf.cert, l->leaf.key);
        return;
    }
}

static bool join(char out[PATH_MAX], const char *dir, const char *name)
{
    return snprintf(out, PATH_MAX, "%s/%s", dir, name) < PATH_MAX;
}

static int locate(struct local *l, const struct cert_source *src,
                  struct error *err)
{
    if (join(l->dir, src->data_dir, "tls") &&
        join(l->ca.cert, l->dir, "ca.pem") &&
        join(l->ca.key, l->dir, "ca-key.pem") &&
        join(l->leaf.cert, l->dir, "cert.pem") &&
        join(l->leaf.key, l->dir, "key.pem"))
        return cert_hosts_parse(src->hosts, src->host_count, &l->hosts, err);
    return error_set(err, "%.256s: the path is too long", src->data_dir);
}

static struct cert *open_local(const struct cert_source *src, struct error *err)
{
    struct local l;
    bool created;

    if (locate(&l, src, err) != 0 || file_make_dir(l.dir, MODE_DIR, err) != 0 ||
        complete_locked(&l, src->now, &created, err) != 0)
        return NULL;
    struct cert *c = open_pair(l.leaf.cert, l.leaf.key, src->now, err);
    if (c == NULL)
        return NULL;
    c->created = created;
    if (src->host_count > 0 && c->warning[0] == '\0')
        warn_about_hosts(c, &l);
    return c;
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
