#include "app/server.h"

#include "app/pool.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/loop.h"
#include "sys/process.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    ACCEPTS_PER_TURN = 64,  /* of one listener */
    ACCEPT_PAUSE_MS = 500,  /* when there is no descriptor for a connection */
    COMPLAINT_MS = 10000,   /* between two log lines about a limit */
    DRAIN_MS = 9000,        /* from SIGTERM to the end at the latest */
    OTHER_DESCRIPTORS = 64, /* besides the connections */
};

struct server {
    const struct server_options *options;
    struct loop loop;
    struct pool pool;
    struct peers *peers;
    struct timer_heap timers;
    struct timer wake; /* for the server itself: paused accepts, the drain */
    struct tls_server *tls;
    struct listeners listeners;
    int signal_fd;
    size_t signal_fixed, service_fixed;

    struct conn **live;
    size_t live_count;
    struct list waiting;  /* connections whose output waits for a commit */
    struct list runnable; /* those with input left from the last turn */
    struct list dead;     /* those to be swept at the end of this one */
    uint64_t turn;        /* number of this one, from 1 */

    int64_t now_ms;          /* of this turn */
    int64_t paused_until_ms; /* accepting; INT64_MIN = not paused */
    int64_t complained_ms;   /* last log line about a limit */
    int64_t drain_until_ms;  /* DEADLINE_NEVER: serving */
    bool is_ended, is_forced;
};

/* At most one line each ten seconds, whatever peers do. */
static void complain(struct server *s, const char *what, const char *why)
{
    if (s->now_ms - s->complained_ms < COMPLAINT_MS)
        return;
    s->complained_ms = s->now_ms;
    log_event(LOG_WARNING, what, LOG_TEXT("reason", why),
              LOG_NUMBER("connections", s->live_count));
}

/* --- After every change of a connection --- */

#define CONN_OF(node, member) LIST_OWNER(node, struct conn, member)

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
    complain(s, "connection_refused", why);
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

static void settle(struct server *s, struct conn *c)
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

static void log_end(const struct conn *c)
{
    char peer[NET_NAME_MAX];
    int number;
    const char *failure = link_failure(&c->link, &number);

    net_format(&c->address, peer);
    log_event(LOG_INFO, "closed", LOG_TEXT("peer", peer),
              LOG_TEXT("reason", conn_end(c)),
              LOG_NUMBER("logins", c->session.logins),
              LOG_NUMBER("failures", c->session.failures),
              LOG_NUMBER(failure, number));
}

static void sweep(struct server *s)
{
    while (!list_is_empty(&s->dead)) {
        struct conn *c = CONN_OF(s->dead.next, dead);
        struct conn *last = s->live[s->live_count - 1];

        log_end(c);
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

/* --- Accepting --- */

static void set_accepting(struct server *s, bool is_accepting)
{
    for (size_t i = 0; i < s->listeners.count; i++)
        loop_enable_fixed(&s->loop, s->listeners.item[i].fixed, is_accepting);
}

static void pause_accepting(struct server *s)
{
    complain(s, "accepting_paused", strerror(errno));
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
    settle(s, c);
}

static void refuse(struct server *s, const struct conn_arrival *arrival,
                   const char *why)
{
    complain(s, "connection_refused", why);
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

static void accept_all(struct server *s)
{
    for (size_t i = 0; i < s->listeners.count; i++) {
        const struct listener *l = &s->listeners.item[i];

        for (int n = 0; n < ACCEPTS_PER_TURN; n++)
            if (!loop_fixed_is_ready(&s->loop, l->fixed) || !accept_one(s, l))
                break;
    }
}

/* --- Signals --- */

static void begin_drain(struct server *s)
{
    log_event(LOG_INFO, "stopping", LOG_NUMBER("connections", s->live_count));
    for (size_t i = 0; i < s->listeners.count; i++)
        loop_remove_fixed(&s->loop, s->listeners.item[i].fixed);
    listeners_close(&s->listeners);
    s->drain_until_ms = s->now_ms + DRAIN_MS;
    s->paused_until_ms = INT64_MIN;
    timer_set(&s->timers, &s->wake, s->drain_until_ms);
    for (size_t i = 0; i < s->live_count; i++) {
        struct conn *c = s->live[i];

        session_close(&c->session, WS_CLOSE_GOING_AWAY,
                      "the server is going away", s->now_ms);
        conn_pump(c, s->now_ms);
        settle(s, c);
    }
}

static void reload(struct server *s)
{
    struct error err;

    if (s->options->load_tls == NULL)
        return;
    struct tls_server *tls = s->options->load_tls(s->options->tls_ctx, &err);
    if (tls == NULL) {
        log_event(LOG_ERROR, "reload_failed", LOG_TEXT("reason", err.text),
                  LOG_TEXT("kept", "the certificate in use"));
        return;
    }
    tls_server_release(s->tls);
    s->tls = tls;
}

static void handle_signals(struct server *s)
{
    struct signalfd_siginfo signal;

    if (!loop_fixed_is_ready(&s->loop, s->signal_fixed))
        return;
    while (read(s->signal_fd, &signal, sizeof signal) == sizeof signal) {
        if (signal.ssi_signo == SIGHUP)
            reload(s);
        else if (s->drain_until_ms != DEADLINE_NEVER)
            s->is_ended = s->is_forced = true;
        else
            begin_drain(s);
    }
}

/* --- One turn --- */

static void release_waiting(struct server *s)
{
    const struct server_service *service = s->options->service;
    uint64_t ticket;

    if (service == NULL || !loop_fixed_is_ready(&s->loop, s->service_fixed) ||
        !service->collect(service->ctx, &ticket))
        return;
    struct list released;
    list_init(&released);
    list_move_all(&s->waiting, &released);
    while (!list_is_empty(&released)) {
        struct conn *c = CONN_OF(released.next, waiting);
        list_remove(&c->waiting);
        session_release(&c->session, ticket, s->now_ms);
        conn_pump(c, s->now_ms);
        settle(s, c);
    }
}

/* Those that had more than their share, in the order of their turns. */
static void handle_runnable(struct server *s)
{
    struct list now;

    list_init(&now);
    list_move_all(&s->runnable, &now);
    while (!list_is_empty(&now)) {
        struct conn *c = CONN_OF(now.next, runnable);
        list_remove(&c->runnable);
        conn_pump(c, s->now_ms);
        settle(s, c);
    }
}

/*
 * Handshakes cost a hundred times what a message does. One address gets on
 * with a few in a turn; the others are reported again in the next.
 */
static bool is_its_turn(const struct server *s, const struct conn *c)
{
    return c->peer == NULL || link_is_established(&c->link) ||
           peers_take_handshake(c->peer, s->turn);
}

static void handle_ready(struct server *s)
{
    for (size_t i = 0; i < s->loop.ready_count; i++) {
        struct conn *c = s->loop.ready[i].data.ptr;
        unsigned events = s->loop.ready[i].events;

        if (c->state == CONN_DEAD || !is_its_turn(s, c))
            continue;
        conn_pump(c, s->now_ms);
        /* What had come before the end has been read by now. */
        if ((events & (EPOLLHUP | EPOLLERR)) != 0 && c->state != CONN_DEAD)
            conn_hang_up(c);
        settle(s, c);
    }
}

static void handle_wake(struct server *s)
{
    if (s->now_ms >= s->drain_until_ms) {
        s->is_ended = true;
    } else if (s->paused_until_ms != INT64_MIN) {
        s->paused_until_ms = INT64_MIN;
        set_accepting(s, true);
    }
}

static void handle_timers(struct server *s)
{
    struct timer *due;

    while ((due = timer_take_due(&s->timers, s->now_ms)) != NULL) {
        if (due == &s->wake) {
            handle_wake(s);
            continue;
        }
        struct conn *c =
            (struct conn *)((char *)due - offsetof(struct conn, timer));
        conn_tick(c, s->now_ms);
        settle(s, c);
    }
}

static bool service_is_settled(const struct server *s)
{
    const struct server_service *service = s->options->service;

    return service == NULL || service->is_settled(service->ctx);
}

static int64_t end_turn(struct server *s)
{
    const struct server_service *service = s->options->service;

    sweep(s);
    int64_t due = timer_next_ms(&s->timers);
    if (service != NULL)
        due = deadline_first(due, service->end_turn(service->ctx));
    if (s->drain_until_ms != DEADLINE_NEVER && s->live_count == 0 &&
        service_is_settled(s))
        s->is_ended = true;
    return due;
}

/* returns: milliseconds, negative = without end */
static int64_t time_to_wait(const struct server *s, int64_t due_ms)
{
    if (!list_is_empty(&s->runnable) || due_ms <= s->now_ms)
        return 0;
    return due_ms == DEADLINE_NEVER ? -1 : due_ms - s->now_ms;
}

static void turn(struct server *s, int64_t *due_ms)
{
    const struct server_service *service = s->options->service;

    loop_wait(&s->loop, time_to_wait(s, *due_ms));
    s->now_ms = clock_monotonic_ms();
    s->turn++;
    if (service != NULL)
        service->begin_turn(service->ctx, s->now_ms);
    handle_signals(s);
    release_waiting(s);
    handle_runnable(s);
    handle_ready(s);
    handle_timers(s);
    accept_all(s);
    *due_ms = end_turn(s);
}

bool server_run(struct server *s)
{
    int64_t due_ms = DEADLINE_NEVER;

    listeners_log(&s->listeners);
    s->now_ms = clock_monotonic_ms();
    s->complained_ms = s->now_ms - COMPLAINT_MS;
    while (!s->is_ended)
        turn(s, &due_ms);
    bool is_settled = !s->is_forced && service_is_settled(s);
    log_event(LOG_INFO, "stopped", LOG_NUMBER("connections", s->live_count),
              LOG_TEXT("settled", is_settled ? "yes" : "no"));
    return is_settled;
}

/* --- Start and end --- */

static void take_listeners(struct server *s)
{
    for (size_t i = 0; i < s->listeners.count; i++)
        s->listeners.item[i].fixed =
            loop_add_fixed(&s->loop, s->listeners.item[i].fd);
}

static int open_signals(struct server *s, struct error *err)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a log file at its limit is no reason to die */
    sigprocmask(SIG_BLOCK, &set, NULL);
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->signal_fd < 0)
        return error_set(err, "signalfd: %s", strerror(errno));
    s->signal_fixed = loop_add_fixed(&s->loop, s->signal_fd);
    return 0;
}

static int take_memory(struct server *s, struct error *err)
{
    size_t max = s->options->max_connections;
    size_t slot = sizeof(struct conn) + conn_mem_size(&s->options->rules);

    s->live = calloc(max, sizeof(struct conn *));
    if (s->live == NULL || !timer_heap_init(&s->timers, max + 1) ||
        !pool_init(&s->pool, max, slot))
        return error_set(err,
                         "no memory for %zu connections of %zu bytes; lower "
                         "--max-connections",
                         max, slot);
    return 0;
}

static int start(struct server *s, struct error *err)
{
    const struct server_options *o = s->options;

    if (loop_open(&s->loop, err) != 0)
        return -1;
    take_listeners(s);
    if (take_memory(s, err) != 0 ||
        (s->peers = peers_new(&o->peers, err)) == NULL ||
        open_signals(s, err) != 0)
        return -1;
    if (o->load_tls != NULL && (s->tls = o->load_tls(o->tls_ctx, err)) == NULL)
        return -1;
    if (o->service != NULL)
        s->service_fixed = loop_add_fixed(&s->loop, o->service->fd);
    if (!process_raise_descriptors(o->max_connections + OTHER_DESCRIPTORS))
        log_event(LOG_WARNING, "few_descriptors",
                  LOG_NUMBER("wanted", o->max_connections + OTHER_DESCRIPTORS),
                  LOG_TEXT("advice", "raise ulimit -n"));
    return 0;
}

struct server *server_new(const struct server_options *options,
                          struct error *err)
{
    struct server *s = calloc(1, sizeof *s);

    if (s == NULL) {
        struct listeners unused = options->listeners;
        listeners_close(&unused);
        error_set(err, "server: out of memory");
        return NULL;
    }
    s->options = options;
    s->listeners = options->listeners;
    list_init(&s->waiting);
    list_init(&s->runnable);
    list_init(&s->dead);
    s->signal_fd = -1;
    s->loop.fixed[0].fd = -1;
    s->paused_until_ms = INT64_MIN;
    s->drain_until_ms = DEADLINE_NEVER;
    if (start(s, err) == 0)
        return s;
    server_free(s);
    return NULL;
}

void server_free(struct server *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->live_count; i++)
        conn_shut(s->live[i]);
    listeners_close(&s->listeners);
    if (s->signal_fd >= 0)
        close(s->signal_fd);
    if (s->loop.fixed[0].fd >= 0)
        loop_close(&s->loop);
    tls_server_release(s->tls);
    peers_free(s->peers);
    pool_fini(&s->pool);
    timer_heap_fini(&s->timers);
    free(s->live);
    free(s);
}
