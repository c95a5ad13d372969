/*
 * The inside of struct server, for the files that make up the server
 * (server*.c). Nobody else includes this.
 */
#ifndef APP_SERVER_STATE_H
#define APP_SERVER_STATE_H

#include "app/pool.h"
#include "app/server.h"
#include "sys/loop.h"

/* When something was last told of. */
struct complaint {
    const char *why; /* static */
    int64_t told_ms;
};

enum { COMPLAINTS_MAX = 16 };

struct server {
    const struct server_options *options;
    struct loop loop;
    struct pool pool;
    struct peers *peers;
    struct timer_heap timers;
    struct timer wake; /* for the server itself: paused accepts, the drain */
    struct timer cert_check; /* the next look at the certificate's files */
    struct tls_server *tls;
    struct listeners listeners;
    int signal_fd;
    size_t signal_fixed, service_fixed;

    struct conn **live;
    size_t live_count;
    size_t metrics_count; /* of these, come for metrics */
    struct list waiting;  /* connections whose output waits for a commit */
    struct list runnable; /* those with input left from the last turn */
    struct list dead;     /* those to be swept at the end of this one */
    uint64_t turn;        /* number of this one, from 1 */
    uint64_t accepted;    /* connections, since the start */

    int64_t now_ms;          /* of this turn */
    int64_t paused_until_ms; /* accepting; INT64_MIN = not paused */
    struct complaint complaints[COMPLAINTS_MAX];
    int64_t drain_until_ms; /* DEADLINE_NEVER: serving */
    int64_t review_at_ms;   /* next look whether one is due */
    size_t review_left;     /* of live, from its start: not judged yet */
    bool is_ended, is_forced;
};

/*
 * Log a limit that was met: of each reason one line in ten seconds.
 * in: why: static; from: who has met it; NULL: nobody
 */
void server_complain(struct server *s, const char *what, const char *why,
                     const struct net_address *from);

/*
 * Follow what has changed about a connection: its limits, interest, lists and
 * timer. Call it after everything that touches one.
 */
void server_settle(struct server *s, struct conn *c);

/* Free the connections that are dead. */
void server_sweep(struct server *s);

/* Accept what waits, on the listeners that are ready. */
void server_accept(struct server *s);

/* Accept again after a pause. */
void server_resume_accepting(struct server *s);

/* Judge some of those who are logged in, when that is due. */
void server_review(struct server *s);

/* When server_review is due; DEADLINE_NEVER while nobody is there. */
int64_t server_review_ms(const struct server *s);

/* Block the signals, and take them in the loop. returns: 0, or -1 with err */
int server_open_signals(struct server *s, struct error *err);

/* Act on the signals that have come. */
void server_handle_signals(struct server *s);

/*
 * Load the certificate, in place of the one in use, if any.
 * returns: 0; or -1 with err, and the old one stays
 */
int server_load_cert(struct server *s, enum cert_use use, struct error *err);

/* The same, with a log line when it cannot be done. */
void server_reload_cert(struct server *s, enum cert_use use);

/* Load it when it is due, and look again later. */
void server_check_cert(struct server *s);

#define CONN_OF(node, member) LIST_OWNER(node, struct conn, member)

enum {
    COMPLAINT_MS = 10000,   /* between two log lines about a limit */
    SERVER_METRICS_MAX = 16 /* connections for metrics, beside the others */
};

#endif
