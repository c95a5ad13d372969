#include "app/certificate.h"

#include "base/hex.h"
#include "proto/timestamp.h"
#include "sys/clock.h"
#include "sys/file_io.h"
#include "sys/log.h"

enum {
    SECONDS_PER_DAY = 86400,
    CA_WARN_DAYS = 90 /* all clients have to be given another one in time */
};

int certificate_init(struct certificate *c, const struct config *config,
                     struct log *log, struct error *err)
{
    *c = (struct certificate){
        .log = log,
        .source =
            {
                .cert_file = config->cert_file,
                .key_file = config->key_file,
                .data_dir = config->data_dir,
                .hosts = config->hosts.item,
                .host_count = config->hosts.count,
            },
    };
    return cert_locate(&c->source, &c->files, err);
}

static bool is_local(const struct certificate *c)
{
    return c->files.dir[0] != '\0';
}

static uint64_t stamp_files(const struct certificate *c)
{
    /* Not their sum: a file may be both. */
    return file_stamp(c->files.leaf.cert) + 3 * file_stamp(c->files.leaf.key);
}

/* --- What the operator is told --- */

static void tell_about_ca(const struct certificate *c)
{
    struct error err;
    struct cert *ca = is_local(c) ? cert_open_ca(&c->source, &err) : NULL;

    /* It may be kept elsewhere. */
    if (ca == NULL)
        return;
    int64_t days = cert_days_left(ca, c->source.now);
    if (days < CA_WARN_DAYS)
        log_event(c->log, LOG_ERROR, "ca_ending",
                  LOG_TEXT("ca", c->files.ca.cert),
                  LOG_NUMBER("days_left", days),
                  LOG_TEXT("advice", "then no client trusts this server any "
                                     "more: give them a new CA before, as "
                                     "docs/trust.md says"));
    cert_free(ca);
}

static void tell_if_made(const struct certificate *c, const struct cert *cert)
{
    if (cert_was_renewed(cert))
        log_event(c->log, LOG_INFO, "certificate_renewed",
                  LOG_TEXT("file", c->files.leaf.cert),
                  LOG_TEXT("advice", "none: the CA is the same"));
    if (cert_was_created(cert))
        log_event(c->log, LOG_INFO, "certificate_created",
                  LOG_TEXT("ca", c->files.ca.cert),
                  LOG_TEXT("advice", "clients must trust this CA: openchampps "
                                     "cert --ca pem writes it; or use --cert "
                                     "and --key"));
}

static void tell(const struct certificate *c, const struct cert *cert)
{
    int64_t days = cert_days_left(cert, c->source.now);
    char hex[2 * CERT_FINGERPRINT_LEN + 1];
    char date[TIMESTAMP_TEXT_SIZE];

    hex_encode(cert_fingerprint(cert), CERT_FINGERPRINT_LEN, hex);
    timestamp_format(cert_info(cert)->not_after, date);
    log_event(c->log, LOG_INFO, "certificate", LOG_TEXT("sha256", hex),
              LOG_TEXT("not_after", date), LOG_NUMBER("days_left", days));
    if (cert_warning(cert) != NULL)
        log_event(c->log, LOG_WARNING, "certificate_trouble",
                  LOG_TEXT("reason", cert_warning(cert)),
                  LOG_NUMBER("days_left", days));
    tell_if_made(c, cert);
    tell_about_ca(c);
}

/* --- Loading --- */

struct cert *certificate_load(void *ctx, enum cert_use use, struct error *err)
{
    struct certificate *c = ctx;

    c->source.now = clock_utc_s();
    c->source.use = use;
    c->day = c->source.now / SECONDS_PER_DAY;
    /* Before it is read: a change after that is one to come. */
    c->seen = c->tried = stamp_files(c);
    struct cert *cert = cert_open(&c->source, err);
    if (cert == NULL)
        return NULL;
    if (cert_was_created(cert) || cert_was_renewed(cert))
        c->seen = c->tried = stamp_files(c); /* it was us */
    tell(c, cert);
    return cert;
}

bool certificate_is_due(void *ctx)
{
    struct certificate *c = ctx;
    uint64_t now = stamp_files(c);
    bool is_quiet = now == c->seen;

    c->seen = now;
    return is_quiet &&
           (now != c->tried || clock_utc_s() / SECONDS_PER_DAY != c->day);
}
