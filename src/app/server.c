#include "app/server_state.h"

#include "sys/clock.h"
#include "sys/process.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    OTHER_DESCRIPTORS = 64, /* besides the connections */
    TIMERS_MAX = 256,       /* in one turn: thousands can be due together */
    OWN_TIMERS = 2          /* besides theirs */
};

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
        server_settle(s, c);
    }
}

/*
 * Handshakes cost a hundred times what a message does. One address gets on
 * with a few in a turn; the others have to wait for the next one.
 */
static bool is_its_turn(const struct server *s, const struct conn *c)
{
    return c->peer == NULL || link_is_established(&c->link) ||
           peers_take_handshake(c->peer, s->turn);
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
        if (!is_its_turn(s, c)) {
            list_append(&s->runnable, &c->runnable);
            continue;
        }
        conn_pump(c, s->now_ms);
        server_settle(s, c);
    }
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
        server_settle(s, c);
    }
}

static void handle_wake(struct server *s)
{
    if (s->now_ms >= s->drain_until_ms) {
        s->is_ended = true;
    } else if (s->paused_until_ms != INT64_MIN) {
        server_resume_accepting(s);
    }
}

static void handle_timers(struct server *s)
{
    for (int i = 0; i < TIMERS_MAX; i++) {
        struct timer *due = timer_take_due(&s->timers, s->now_ms);
        if (due == NULL)
            return;
        if (due == &s->wake) {
            handle_wake(s);
            continue;
        }
        if (due == &s->cert_check) {
            server_check_cert(s);
            continue;
        }
        struct conn *c =
            (struct conn *)((char *)due - offsetof(struct conn, timer));
        conn_tick(c, s->now_ms);
        server_settle(s, c);
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

    server_sweep(s);
    int64_t due =
        deadline_first(timer_next_ms(&s->timers), server_review_ms(s));
    if (service != NULL)
        due = deadline_first(due, service->end_turn(service->ctx));
    due = deadline_first(due, log_settle(s->options->log, s->now_ms));
    due = deadline_first(due, notify_beat(s->options->notify, s->now_ms));
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
    server_handle_signals(s);
    release_waiting(s);
    handle_runnable(s);
    handle_ready(s);
    handle_timers(s);
    server_review(s);
    server_accept(s);
    *due_ms = end_turn(s);
}

bool server_run(struct server *s)
{
    int64_t due_ms = 0; /* the first turn does not wait */

    listeners_log(&s->listeners, s->options->log);
    notify_ready(s->options->notify);
    s->now_ms = clock_monotonic_ms();
    server_check_cert(s);
    while (!s->is_ended)
        turn(s, &due_ms);
    bool is_settled = !s->is_forced && service_is_settled(s);
    log_settle(s->options->log, INT64_MAX);
    log_event(s->options->log, LOG_INFO, "stopped",
              LOG_NUMBER("connections", s->live_count),
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

static int take_memory(struct server *s, struct error *err)
{
    size_t max = s->options->max_connections + SERVER_METRICS_MAX;
    size_t mem = conn_mem_size(&s->options->rules);
    size_t metrics_mem = conn_mem_size(&s->options->metrics_rules);
    size_t slot = sizeof(struct conn) + (mem > metrics_mem ? mem : metrics_mem);

    s->live = calloc(max, sizeof(struct conn *));
    if (s->live == NULL || !timer_heap_init(&s->timers, max + OWN_TIMERS) ||
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
        server_open_signals(s, err) != 0)
        return -1;
    if (o->load_cert != NULL && server_load_cert(s, CERT_MAKE, err) != 0)
        return -1;
    if (o->service != NULL)
        s->service_fixed = loop_add_fixed(&s->loop, o->service->fd);
    if (!process_raise_descriptors(o->max_connections + OTHER_DESCRIPTORS))
        log_event(s->options->log, LOG_WARNING, "few_descriptors",
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
