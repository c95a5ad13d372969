/*
 * From a listener to a connection.
 */
#include "app/server_state.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    ACCEPTS_PER_TURN = 64, /* of one listener */
    ACCEPT_PAUSE_MS = 500  /* when there is no descriptor for a connection */
};

static void set_accepting(struct server *s, bool is_accepting)
{
    for (size_t i = 0; i < s->listeners.count; i++)
        loop_enable_fixed(&s->loop, s->listeners.item[i].fixed, is_accepting);
}

static void pause_accepting(struct server *s)
{
    server_complain(s, "accepting_paused", strerror(errno), NULL);
    set_accepting(s, false);
    s->paused_until_ms = s->now_ms + ACCEPT_PAUSE_MS;
    timer_set(&s->timers, &s->wake, s->paused_until_ms);
}

static void add_conn(struct server *s, struct conn *c, struct peer *peer)
{
    c->id = ++s->accepted;
    c->peer = peer;
    c->live_index = s->live_count;
    s->live[s->live_count++] = c;
    c->interest = EPOLLIN;
    if (loop_add(&s->loop, c->link.fd, c->interest, c) != 0)
        conn_hang_up(c);
    server_settle(s, c);
}

/*
 * Players and those that come for metrics do not take each other's places.
 * returns: NULL, or why there is none; static text, as all of these
 */
static const char *find_place(const struct server *s, enum listener_kind kind)
{
    if (kind == LISTENER_METRICS)
        return s->metrics_count < SERVER_METRICS_MAX
                   ? NULL
                   : "too many connections for metrics";
    return s->live_count - s->metrics_count < s->options->max_connections
               ? NULL
               : "--max-connections is reached";
}

/* Whoever may reach the port of the metrics is trusted. */
static const char *judge_arrival(struct server *s, enum listener_kind kind,
                                 struct conn_arrival *arrival,
                                 struct peer **peer)
{
    *peer = NULL;
    arrival->is_trusted = true;
    if (kind == LISTENER_METRICS)
        return NULL;
    const char *why = peers_join(s->peers, &arrival->address, s->now_ms, peer);
    arrival->is_trusted = *peer == NULL;
    arrival->expects_proxy = s->options->proxy_protocol && arrival->is_trusted;
    return why;
}

static const char *open_conn(struct server *s, enum listener_kind kind,
                             const struct conn_arrival *arrival,
                             struct peer *peer)
{
    const struct conn_rules *rules = kind == LISTENER_METRICS
                                         ? &s->options->metrics_rules
                                         : &s->options->rules;
    struct conn *c = pool_take(&s->pool);
    struct error err;

    assert(c != NULL); /* there is a place */
    if (conn_open(c, rules, c + 1, arrival, s->now_ms, &err) != 0) {
        log_event(s->options->log, LOG_WARNING, "connection_failed",
                  LOG_TEXT("reason", err.text));
        pool_give_back(&s->pool, c);
        return "it could not be begun";
    }
    s->metrics_count += kind == LISTENER_METRICS;
    add_conn(s, c, peer);
    return NULL;
}

static const char *admit(struct server *s, enum listener_kind kind,
                         struct conn_arrival *arrival)
{
    struct peer *peer = NULL;
    const char *why = find_place(s, kind);

    if (why == NULL)
        why = judge_arrival(s, kind, arrival, &peer);
    if (why == NULL)
        why = open_conn(s, kind, arrival, peer);
    if (why != NULL && peer != NULL)
        peers_leave(s->peers, peer, s->now_ms);
    return why;
}

static void start_conn(struct server *s, enum listener_kind kind,
                       struct conn_arrival *arrival)
{
    struct metrics *m = s->options->metrics;
    const char *why = admit(s, kind, arrival);

    if (kind != LISTENER_METRICS)
        m->accepted++;
    if (why == NULL)
        return;
    if (kind != LISTENER_METRICS)
        metrics_count(&m->refused, why);
    server_complain(s, "connection_refused", why, &arrival->address);
    close(arrival->fd);
}

/* returns: may there be more to accept? */
static bool accept_one(struct server *s, const struct listener *l)
{
    struct conn_arrival arrival = {
        .tls = l->kind == LISTENER_TLS ? s->tls : NULL,
    };

    arrival.fd = net_accept(l->fd, &arrival.address);
    if (arrival.fd >= 0) {
        start_conn(s, l->kind, &arrival);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
        errno == ENOMEM)
        pause_accepting(s);
    /* The peer may be gone already; others are not. */
    return errno == ECONNABORTED || errno == EINTR;
}

void server_accept(struct server *s)
{
    for (size_t i = 0; i < s->listeners.count; i++) {
        const struct listener *l = &s->listeners.item[i];

        for (int n = 0; n < ACCEPTS_PER_TURN; n++)
            if (!loop_fixed_is_ready(&s->loop, l->fixed) || !accept_one(s, l))
                break;
    }
}

void server_resume_accepting(struct server *s)
{
    s->paused_until_ms = INT64_MIN;
    set_accepting(s, true);
}
