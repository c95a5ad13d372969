/*
 * What a message does: the login with a token. Ties messages, store and
 * committer together; the server knows it only as a session's app and as its
 * service.
 */
#ifndef APP_LOBBY_H
#define APP_LOBBY_H

#include "app/audit.h"
#include "app/metrics.h"
#include "app/server.h"
#include "sys/store.h"

struct lobby;

/* All borrowed; they must outlive the lobby. */
struct lobby_rules {
    size_t message_max; /* bytes of the longest message of a session */
    struct log *log;
    struct audit *audit;
    struct metrics *metrics;
};

/*
 * Start the committer on an open store.
 * owns:    takes the store over, also on failure
 * returns: NULL with the reason
 */
struct lobby *lobby_new(struct store *store, const struct lobby_rules *rules,
                        struct error *err);

/* Commit what is left and close the store. NULL is allowed. */
void lobby_free(struct lobby *l);

/* What can be measured now. */
struct lobby_gauges {
    struct store_usage store;
    uint64_t journal_len, dropped; /* touches */
    bool is_ready;
};

struct lobby_gauges lobby_gauges(struct lobby *l);

/* The app of the sessions; lives as long as the lobby. */
struct session_app lobby_app(struct lobby *l);

/* The service of the server; lives as long as the lobby. */
struct server_service lobby_service(struct lobby *l);

#endif
