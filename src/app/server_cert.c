/*
 * The certificate while the server runs: when it is asked for, and when it is
 * due, it is loaded anew. Connections keep the one that they began with.
 */
#include "app/server_state.h"

#include "sys/log.h"

enum { CHECK_MS = 2000 /* between two looks at the certificate's files */ };

int server_load_cert(struct server *s, enum cert_use use, struct error *err)
{
    const struct server_options *o = s->options;
    struct cert *cert = o->load_cert(o->cert_ctx, use, err);

    return cert == NULL ? -1 : tls_server_use(&s->tls, cert, err);
}

void server_reload_cert(struct server *s, enum cert_use use)
{
    struct error err;

    if (s->options->load_cert == NULL || server_load_cert(s, use, &err) == 0)
        return;
    log_event(s->options->log, LOG_ERROR, "reload_failed",
              LOG_TEXT("reason", err.text),
              LOG_TEXT("kept", "the certificate in use"));
}

void server_check_cert(struct server *s)
{
    const struct server_options *o = s->options;

    if (o->cert_is_due == NULL)
        return;
    if (o->cert_is_due(o->cert_ctx))
        server_reload_cert(s, CERT_RENEW);
    timer_set(&s->timers, &s->cert_check, s->now_ms + CHECK_MS);
}
