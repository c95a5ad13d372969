/*
 * GET /metrics: what the server counts, as Prometheus reads it.
 */
#ifndef APP_METRICS_PAGE_H
#define APP_METRICS_PAGE_H

#include "app/lobby.h"
#include "app/metrics.h"
#include "app/server.h"

struct metrics_page;

/*
 * needs:   before the sandbox: it opens what tells of the process's memory
 * owns:    borrows the metrics, which must outlive it
 * returns: NULL with the reason
 */
struct metrics_page *metrics_page_new(const struct metrics *metrics,
                                      struct error *err);
void metrics_page_free(struct metrics_page *page);

/* What else it tells of; before the first request. */
void metrics_page_watch(struct metrics_page *page, struct lobby *lobby,
                        const struct server *server);

/* The app of the sessions that come for it: GET and nothing else. */
struct session_app metrics_page_app(struct metrics_page *page);

/* Bytes of the longest page. */
enum { METRICS_PAGE_MAX = 32768 };

#endif
