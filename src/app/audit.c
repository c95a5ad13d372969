#include "app/audit.h"

#include "base/deadline.h"
#include "proto/token.h"
#include "sys/appender.h"
#include "sys/clock.h"

#include <stdlib.h>
#include <string.h>

enum { REOPEN_LOOK_MS = 100 /* between two looks whether it is done */ };

struct audit {
    struct log *log;
    const char *path;
    struct appender *file; /* NULL: none */
    bool is_failing;       /* as it was logged */
    uint64_t lost;         /* lines, at the last look */
    unsigned reopens;      /* likewise */
    bool is_reopening;
};

static void log_opened(const struct audit *a)
{
    log_event(a->log, LOG_INFO, "audit_opened", LOG_TEXT("file", a->path));
}

struct audit *audit_open(const char *path, struct log *log, struct error *err)
{
    struct audit *a = calloc(1, sizeof *a);
    struct error why;

    if (a == NULL) {
        error_set(err, "out of memory");
        return NULL;
    }
    a->log = log;
    a->path = path;
    if (path == NULL)
        return a;
    a->file = appender_open(path, &why);
    if (a->file != NULL) {
        log_opened(a);
        return a;
    }
    error_set(err, "--audit: %.500s", why.text);
    free(a);
    return NULL;
}

void audit_close(struct audit *a)
{
    if (a == NULL)
        return;
    appender_close(a->file);
    free(a);
}

static void write_line(struct audit *a, const struct log_field *fields)
{
    const struct log_line line = {
        .utc_ms = clock_utc_ms(), .event = "login", .fields = fields};
    char text[LOG_LINE_MAX];
    size_t len = log_line_format(&line, LOG_JSON, text);

    appender_put(a->file, (struct span){(uint8_t *)text, len});
}

/* The username only of who is let in: else its length would cost time. */
void audit_note(struct audit *a, const struct conn *c,
                const struct login *login)
{
    static const char *const results[] = {
        [LOGIN_OK] = "ok",
        [LOGIN_UNKNOWN] = "unknown",
        [LOGIN_EXPIRED] = "expired",
        [LOGIN_REVOKED] = "revoked",
        [LOGIN_EARLY] = "early",
        [LOGIN_DAMAGED] = "damaged",
        [LOGIN_MALFORMED] = "malformed",
        [LOGIN_UNAVAILABLE] = "unavailable",
    };
    char peer[NET_NAME_MAX], id[TOKEN_ID_LEN + 1] = "";
    bool is_ok = login->result == LOGIN_OK;
    const char *event = is_ok ? "login" : "login_failed";
    bool is_logged = log_admits(a->log, event);

    if (!is_logged && a->file == NULL)
        return;
    net_format(&c->address, peer);
    if (login->key != NULL)
        token_format_id(login->key, id);
    const struct log_field fields[] = {
        LOG_TEXT("peer", peer),
        LOG_NUMBER("conn", c->id),
        LOG_TEXT("result", results[login->result]),
        LOG_TEXT(login->key != NULL ? "token" : NULL, id),
        LOG_SPAN(is_ok ? "user" : NULL, login->username),
        {0},
    };
    if (is_logged)
        log_write_admitted(a->log, LOG_INFO, event, fields);
    if (a->file != NULL)
        write_line(a, fields);
}

static void tell_reopened(struct audit *a, const struct appender_state *now)
{
    if (now->reopens == a->reopens)
        return;
    a->reopens = now->reopens;
    a->is_reopening = false;
    if (now->reopen_error == 0)
        log_opened(a);
    else
        log_event(a->log, LOG_ERROR, "reload_failed", LOG_TEXT("file", a->path),
                  LOG_TEXT("reason", strerror(now->reopen_error)),
                  LOG_TEXT("kept", "the audit file in use"));
}

int64_t audit_settle(struct audit *a, int64_t now_ms)
{
    struct appender_state now;

    if (a->file == NULL)
        return DEADLINE_NEVER;
    appender_submit(a->file, &now);
    tell_reopened(a, &now);
    if (!a->is_failing && (now.error != 0 || now.lost > a->lost)) {
        a->is_failing = true;
        log_event(a->log, LOG_ERROR, "audit_failed", LOG_TEXT("file", a->path),
                  LOG_TEXT("reason", now.error != 0 ? strerror(now.error)
                                                    : "it is too slow"),
                  LOG_TEXT("effect", "players are let in; lines are kept while "
                                     "there is room, and tried again"));
    } else if (a->is_failing && now.error == 0 && !now.is_crowded) {
        a->is_failing = false;
        log_event(a->log, LOG_INFO, "audit_recovered",
                  LOG_TEXT("file", a->path), LOG_NUMBER("lost", now.lost));
    }
    a->lost = now.lost;
    return a->is_reopening ? now_ms + REOPEN_LOOK_MS : DEADLINE_NEVER;
}

void audit_reopen(struct audit *a)
{
    if (a->file == NULL)
        return;
    a->is_reopening = true;
    appender_reopen(a->file, a->path);
}
