/*
 * The addresses that a server listens on. They are opened before anything else
 * is touched: when one is taken, nothing has been written yet. Peers that come
 * before the server runs wait in the kernel.
 */
#ifndef APP_LISTENERS_H
#define APP_LISTENERS_H

#include "app/options.h"
#include "sys/log.h"
#include "sys/passed.h"

#include <stdbool.h>
#include <stddef.h>

enum { LISTENERS_MAX = 2 * OPTION_LIST_MAX + 1 };

enum listener_kind { LISTENER_TLS, LISTENER_PLAIN, LISTENER_METRICS };

struct listener {
    int fd; /* listening, non-blocking */
    enum listener_kind kind;
    size_t fixed; /* the server's: index in its loop */
};

struct listeners {
    struct listener item[LISTENERS_MAX];
    size_t count;
};

/*
 * Listen on more addresses, each ADDR:PORT.
 * in:      l: zeroed before the first call
 * returns: 0, or -1 with the reason
 */
int listeners_open(struct listeners *l, const struct option_list *addresses,
                   enum listener_kind kind, struct error *err);

/*
 * Take over sockets that were passed on. Their names are wss (also when they
 * have none), ws and metrics.
 * in:      l: zeroed before; plain_anywhere: is ws allowed beyond loopback?
 * returns: 0, or -1 with the reason
 */
int listeners_take(struct listeners *l, const struct passed *passed,
                   bool plain_anywhere, struct error *err);

/* Log one line each: `listening wss://ADDR:PORT/ws`, or `http://…/metrics`. */
void listeners_log(const struct listeners *l, struct log *log);

/* Close them; l is empty after it. */
void listeners_close(struct listeners *l);

#endif
