/*
 * The loop: listeners, signals, connections, deadlines, and one service beside
 * them. It owns no policy: what messages do is the session's app, what commits
 * is the service.
 *
 * SIGTERM, SIGINT: stop accepting, close all with 1001, let everything be
 * committed, end; a second one ends at once. SIGHUP: load the certificate
 * anew, as when it is due; when that fails the old one stays. Tell the service.
 */
#ifndef APP_SERVER_H
#define APP_SERVER_H

#include "app/conn.h"
#include "app/listeners.h"
#include "app/metrics.h"
#include "app/peers.h"
#include "sys/log.h"
#include "sys/notify.h"

#include <stddef.h>
#include <stdint.h>

/* What answers wait for. All functions are called by the loop. */
struct server_service {
    void *ctx;
    int fd; /* readable when something has finished */
    /* Take what has finished. returns: is there a ticket to release? */
    bool (*collect)(void *ctx, uint64_t *ticket);
    void (*begin_turn)(void *ctx, int64_t now_ms);
    void (*reload)(void *ctx); /* SIGHUP */
    /* returns: when the next turn is due at the latest; DEADLINE_NEVER */
    int64_t (*end_turn)(void *ctx);
    bool (*is_settled)(void *ctx); /* may the process end? */
    /* Four times a second: are those who are logged in to be judged again? */
    bool (*begin_review)(void *ctx);
    /* Judge one of them. returns: why it has to go, static; NULL: it stays */
    const char *(*judge)(void *ctx,
                         const uint8_t identity[SESSION_IDENTITY_LEN]);
};

struct server_options {
    struct log *log;
    struct conn_rules rules;
    struct listeners listeners;
    size_t max_connections;
    struct peers_rules peers; /* limits by address */

    bool proxy_protocol; /* trusted peers begin with a PROXY header */
    struct conn_rules metrics_rules;      /* of those that come for metrics */
    struct metrics *metrics;              /* where to count */
    const struct server_service *service; /* NULL: none */
    /* Load the certificate. NULL when no listener has TLS. */
    struct cert *(*load_cert)(void *ctx, enum cert_use use, struct error *err);
    /* Asked every two seconds: is it to be loaded anew? NULL: it never is */
    bool (*cert_is_due)(void *ctx);
    void *cert_ctx;
    struct notify *notify; /* told how it goes; NULL: nobody */
};

struct server;

/*
 * How many connections are in which state, and what they have moved; without
 * those for metrics.
 */
struct server_census {
    size_t handshake, login, live, closing;
    uint64_t received, sent; /* bytes, of these and of all that have ended */
    struct tls_counts handshakes;
    int64_t cert_not_after; /* UTC seconds; 0 = no TLS */
};

struct server_census server_census(const struct server *s);

/*
 * Take memory and certificate, and block the signals.
 * owns:    borrows the options, which must outlive it, and takes the
 *          listeners in them over, also on failure
 * returns: NULL with the reason
 */
struct server *server_new(const struct server_options *options,
                          struct error *err);

/*
 * Serve until a signal ends it. Logs `listening` and notifies once it accepts.
 * returns: false when it had to end before everything was committed
 */
bool server_run(struct server *s);

/* Close everything. NULL is allowed. */
void server_free(struct server *s);

#endif
