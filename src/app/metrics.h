/*
 * What the server counts about itself, without those who come for metrics.
 * Counters are plain increments in the loop's thread; whoever counts has a
 * pointer to them.
 */
#ifndef APP_METRICS_H
#define APP_METRICS_H

#include "base/histogram.h"

#include <stddef.h>
#include <stdint.h>

/* Counts by a static text, as it stands in the log. */
enum { METRICS_REASONS_MAX = 64 };

struct metrics_reasons {
    const char *text[METRICS_REASONS_MAX];
    uint64_t count[METRICS_REASONS_MAX];
    size_t used; /* when all are, the last one takes the rest */
};

enum metrics_login {
    METRICS_LOGIN_SUCCESS,
    METRICS_LOGIN_INVALID,   /* unknown, expired, revoked, not yet valid */
    METRICS_LOGIN_MALFORMED, /* what was sent is no token */
    METRICS_LOGIN_DAMAGED,   /* its record does not verify */
    METRICS_LOGIN_FAILED,    /* the store could not be read, or overload */
    METRICS_LOGINS
};

struct metrics {
    /* Connections: accepted = refused + closed + those that are there. */
    uint64_t accepted;
    uint64_t handshakes_failed;      /* TLS */
    uint64_t received, sent;         /* bytes, of connections that have ended */
    struct metrics_reasons refused;  /* by a limit, at once */
    struct metrics_reasons closed;   /* at their end */
    uint64_t logins[METRICS_LOGINS]; /* answers */
    uint64_t commits_failed;
    struct histogram login_us;  /* from the message to its answer's release */
    struct histogram commit_us; /* of one batch */
    struct histogram commit_touches;
};

/* Start at zero. */
void metrics_init(struct metrics *m);

/* in: text: static */
void metrics_count(struct metrics_reasons *r, const char *text);

#endif
