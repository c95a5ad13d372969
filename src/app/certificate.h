/*
 * The certificate that is served: loads it for the server, tells the operator
 * about it, and knows when it has to be loaded anew: when its files have
 * changed and come to rest, and once a day, which is when a local one is
 * renewed and when the days that are left are told.
 */
#ifndef APP_CERTIFICATE_H
#define APP_CERTIFICATE_H

#include "app/config.h"
#include "sys/cert.h"
#include "sys/log.h"

#include <stdbool.h>
#include <stdint.h>

struct certificate {
    struct log *log;
    struct cert_source source;
    struct cert_files files;
    uint64_t seen;  /* stamp of the files at the last look */
    uint64_t tried; /* and when they were last loaded */
    int64_t day;    /* of the last load, since 1970 */
};

/*
 * Take what the operator asked for.
 * owns:    borrows the strings of config, and the log
 * returns: 0, or -1 with err when a path is too long
 */
int certificate_init(struct certificate *c, const struct config *config,
                     struct log *log, struct error *err);

/*
 * Load it, and log what it is and what is wrong with it.
 * in:      ctx  a struct certificate
 * owns:    the caller frees the result with cert_free
 * returns: NULL with err; then it is not due until its files change again, or
 *          the next day
 */
struct cert *certificate_load(void *ctx, enum cert_use use, struct error *err);

/*
 * Is it to be loaded anew? Changed files count once they were the same at two
 * calls: a pair is written one after the other.
 * in: ctx  a struct certificate, loaded once
 */
bool certificate_is_due(void *ctx);

#endif
