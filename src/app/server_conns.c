/*
 * What follows from every change of a connection, and its end.
 */
#include "app/server_state.h"

/* The one that was told of least recently makes room. */
static bool may_complain(struct server *s, const char *why)
{
    struct complaint *c = &s->complaints[0];

    for (size_t i = 0; i < COMPLAINTS_MAX; i++) {
        struct complaint *other = &s->complaints[i];
        if (other->why != NULL && strcmp(other->why, why) == 0) {
            c = other;
            break;
        }
        if (other->told_ms < c->told_ms)
            c = other;
    }
    if (c->why != NULL && strcmp(c->why, why) == 0 &&
        s->now_ms - c->told_ms < COMPLAINT_MS)
        return false;
    *c = (struct complaint){why, s->now_ms};
    return true;
}

void server_complain(struct server *s, const char *what, const char *why,
                     const struct net_address *from)
{
    char peer[NET_NAME_MAX] = "";

    if (!may_complain(s, why))
        return;
    if (from != NULL)
        net_format(from, peer);
    log_event(s->options->log, LOG_WARNING, what, LOG_TEXT("reason", why),
              LOG_NUMBER("connections", s->live_count),
              LOG_TEXT(from == NULL ? NULL : "peer", peer));
}

static void set_listed(struct list *list, struct list *node, bool is_listed)
{
    if (!is_listed)
        list_remove(node);
    else if (!list_holds(node))
        list_append(list, node);
}

/* A proxy has named the address that the connection really comes from. */
static void judge_address(struct server *s, struct conn *c)
{
    if (!conn_take_address(c))
        return;
    const char *why = peers_join(s->peers, &c->address, s->now_ms, &c->peer);
    c->session.is_trusted = c->peer == NULL;
    if (why == NULL)
        return;
    c->refusal = why;
    server_complain(s, "connection_refused", why, &c->address);
    conn_hang_up(c);
}

static void watch_failures(struct server *s, struct conn *c)
{
    unsigned failures = c->session.failures - c->counted_failures;

    if (c->peer == NULL || failures == 0)
        return;
    c->counted_failures = c->session.failures;
    if (!peers_note_failures(s->peers, c->peer, failures, s->now_ms))
        session_close(&c->session, WS_CLOSE_POLICY,
                      "too many failed logins from this address", s->now_ms);
}

void server_settle(struct server *s, struct conn *c)
{
    judge_address(s, c);
    if (c->state == CONN_DEAD) {
        set_listed(&s->dead, &c->dead, true);
        return;
    }
    watch_failures(s, c);
    unsigned interest = conn_interest(c);
    if (interest != c->interest) {
        loop_change(&s->loop, c->link.fd, interest, c);
        c->interest = interest;
    }
    set_listed(&s->waiting, &c->waiting, session_is_waiting(&c->session));
    set_listed(&s->runnable, &c->runnable, conn_has_more(c));
    timer_set(&s->timers, &c->timer, conn_due_ms(c));
}

static bool is_for_metrics(const struct server *s, const struct conn *c)
{
    return c->rules == &s->options->metrics_rules;
}

static void count_end(struct server *s, const struct conn *c)
{
    struct metrics *m = s->options->metrics;

    m->received += c->link.received;
    m->sent += c->link.sent;
    if (c->refusal != NULL) {
        metrics_count(&m->refused, c->refusal);
        return;
    }
    metrics_count(&m->closed, conn_end(c));
    if (!link_is_established(&c->link))
        m->handshakes_failed++;
}

static void count_state(struct server_census *census, const struct conn *c)
{
    switch (c->state == CONN_CARRY ? c->session.state : SESSION_DONE) {
    case SESSION_UPGRADE:
        census->handshake++;
        break;
    case SESSION_AUTH:
        census->login++;
        break;
    case SESSION_LIVE:
        census->live++;
        break;
    case SESSION_CLOSING:
    case SESSION_DONE:
        census->closing++;
        break;
    }
}

struct server_census server_census(const struct server *s)
{
    struct server_census census = {
        .received = s->options->metrics->received,
        .sent = s->options->metrics->sent,
    };

    if (s->tls != NULL) {
        census.handshakes = tls_server_counts(s->tls);
        census.cert_not_after = tls_server_not_after(s->tls);
    }
    for (size_t i = 0; i < s->live_count; i++) {
        const struct conn *c = s->live[i];

        if (is_for_metrics(s, c))
            continue;
        census.received += c->link.received;
        census.sent += c->link.sent;
        count_state(&census, c);
    }
    return census;
}

static void log_end(const struct server *s, const struct conn *c)
{
    char peer[NET_NAME_MAX];
    int number;
    const char *failure = link_failure(&c->link, &number);

    net_format(&c->address, peer);
    log_event(s->options->log, LOG_INFO, "closed", LOG_TEXT("peer", peer),
              LOG_NUMBER("conn", c->id), LOG_TEXT("reason", conn_end(c)),
              LOG_NUMBER("logins", c->session.logins),
              LOG_NUMBER("failures", c->session.failures),
              LOG_NUMBER(failure, number));
}

void server_sweep(struct server *s)
{
    while (!list_is_empty(&s->dead)) {
        struct conn *c = CONN_OF(s->dead.next, dead);
        struct conn *last = s->live[s->live_count - 1];

        if (is_for_metrics(s, c)) {
            s->metrics_count--;
        } else {
            log_end(s, c);
            count_end(s, c);
        }
        list_remove(&c->dead);
        list_remove(&c->waiting);
        list_remove(&c->runnable);
        timer_set(&s->timers, &c->timer, DEADLINE_NEVER);
        s->live[c->live_index] = last;
        last->live_index = c->live_index;
        s->live_count--;
        if (c->peer != NULL)
            peers_leave(s->peers, c->peer, s->now_ms);
        conn_shut(c);
        pool_give_back(&s->pool, c);
    }
}
