/*
 * From a listener to a connection.
 */
#include "app/server_state.h"

#include "sys/log.h"

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
    server_complain(s, "accepting_paused", strerror(errno));
    set_accepting(s, false);
    s->paused_until_ms = s->now_ms + ACCEPT_PAUSE_MS;
    timer_set(&s->timers, &s->wake, s->paused_until_ms);
}

static void add_conn(struct server *s, struct conn *c, struct peer *peer)
{
    c->peer = peer;
    c->live_index = s->live_count;
    s->live[s->live_count++] = c;
    c->interest = EPOLLIN;
    if (loop_add(&s->loop, c->link.fd, c->interest, c) != 0)
        conn_hang_up(c);
    server_settle(s, c);
}

static void refuse(struct server *s, const struct conn_arrival *arrival,
                   const char *why)
{
    server_complain(s, "connection_refused", why);
    close(arrival->fd);
}

static void start_conn(struct server *s, struct conn_arrival *arrival)
{
    struct conn *c = pool_take(&s->pool);
    struct peer *peer = NULL;
    struct error err;

    if (c == NULL) {
        refuse(s, arrival, "--max-connections is reached");
        return;
    }
    const char *why = peers_join(s->peers, &arrival->address, s->now_ms, &peer);
    arrival->is_trusted = peer == NULL;
    arrival->expects_proxy = s->options->proxy_protocol && arrival->is_trusted;
    if (why == NULL &&
        conn_open(c, &s->options->rules, c + 1, arrival, s->now_ms, &err) != 0)
        why = err.text;
    if (why == NULL) {
        add_conn(s, c, peer);
        return;
    }
    refuse(s, arrival, why);
    if (peer != NULL)
        peers_leave(s->peers, peer, s->now_ms);
    pool_give_back(&s->pool, c);
}

/* returns: may there be more to accept? */
static bool accept_one(struct server *s, const struct listener *l)
{
    struct conn_arrival arrival = {.tls = l->is_tls ? s->tls : NULL};

    arrival.fd = net_accept(l->fd, &arrival.address);
    if (arrival.fd >= 0) {
        start_conn(s, &arrival);
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
