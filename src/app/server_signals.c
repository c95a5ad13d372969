/*
 * SIGTERM and SIGINT end the server in order, SIGHUP loads the certificate and
 * tells the service.
 */
#include "app/server_state.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { DRAIN_MS = 9000 /* from SIGTERM to the end at the latest */ };

int server_open_signals(struct server *s, struct error *err)
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

static void begin_drain(struct server *s)
{
    log_event(s->options->log, LOG_INFO, "stopping",
              LOG_NUMBER("connections", s->live_count));
    notify_stopping(s->options->notify);
    for (size_t i = 0; i < s->listeners.count; i++)
        loop_remove_fixed(&s->loop, s->listeners.item[i].fixed);
    listeners_close(&s->listeners);
    s->drain_until_ms = s->now_ms + DRAIN_MS;
    s->paused_until_ms = INT64_MIN;
    timer_set(&s->timers, &s->wake, s->drain_until_ms);
    for (size_t i = 0; i < s->live_count; i++) {
        struct conn *c = s->live[i];

        /* A login that has come and was not read yet is answered first, for
         * behind session_close nothing is. Handshakes would take too long. */
        if (link_is_established(&c->link))
            conn_pump(c, s->now_ms);
        session_close(&c->session, WS_CLOSE_GOING_AWAY,
                      "the server is going away", s->now_ms);
        conn_pump(c, s->now_ms);
        server_settle(s, c);
    }
}

static void reload(struct server *s)
{
    const struct server_service *service = s->options->service;

    server_reload_cert(s, CERT_MAKE);
    if (service != NULL)
        service->reload(service->ctx);
}

void server_handle_signals(struct server *s)
{
    struct signalfd_siginfo signal;

    if (!loop_fixed_is_ready(&s->loop, s->signal_fixed))
        return;
    while (read(s->signal_fd, &signal, sizeof signal) == sizeof signal) {
        if (signal.ssi_signo == SIGHUP) {
            notify_reloading(s->options->notify);
            reload(s);
            notify_ready(s->options->notify);
        } else if (s->drain_until_ms != DEADLINE_NEVER) {
            s->is_ended = s->is_forced = true;
        } else {
            begin_drain(s);
        }
    }
}
