#include "sys/log.h"

#include "base/deadline.h"
#include "sys/clock.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { LINE_COST = 1000, FULL_CREDIT = LOG_BURST * LINE_COST };

void log_init(struct log *log, enum log_format format)
{
    *log = (struct log){.format = format};
}

void log_write_admitted(const struct log *log, enum log_level level,
                        const char *event, const struct log_field *fields)
{
    static const char *const levels[] = {"info", "warning", "error"};
    const struct log_line line = {.utc_ms = clock_utc_ms(),
                                  .level = levels[level],
                                  .event = event,
                                  .fields = fields};
    char text[LOG_LINE_MAX];
    size_t len = log_line_format(&line, log->format, text);
    /* A reader that has stopped reading must not stop the server. */
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};

    if (poll(&out, 1, 0) != 1 || (out.revents & POLLOUT) == 0)
        return;
    ssize_t written = write(STDERR_FILENO, text, len);
    (void)written; /* there is nobody else to tell */
}

/* --- What a flood may write --- */

static struct log_kind *kind_of(struct log *log, const char *event,
                                int64_t now_ms)
{
    for (size_t i = 0; i < log->count; i++)
        if (strcmp(log->kinds[i].event, event) == 0)
            return &log->kinds[i];
    if (log->count == LOG_KINDS)
        return &log->kinds[LOG_KINDS - 1];
    struct log_kind *kind = &log->kinds[log->count++];
    *kind = (struct log_kind){
        .event = event, .credit = FULL_CREDIT, .credited_ms = now_ms};
    return kind;
}

static bool may_write(struct log_kind *kind, int64_t now_ms)
{
    /* A line costs 1000, and a second has as many milliseconds. */
    int64_t gained = (now_ms - kind->credited_ms) * LOG_PER_SECOND;

    kind->credit = gained > FULL_CREDIT - kind->credit ? FULL_CREDIT
                                                       : kind->credit + gained;
    kind->credited_ms = now_ms;
    if (kind->credit >= LINE_COST) {
        kind->credit -= LINE_COST;
        return true;
    }
    if (kind->left_out++ == 0)
        kind->tell_at_ms = now_ms + LOG_TELL_MS;
    return false;
}

bool log_admits(struct log *log, const char *event)
{
    int64_t now_ms = clock_monotonic_ms();

    return may_write(kind_of(log, event, now_ms), now_ms);
}

void log_write(struct log *log, enum log_level level, const char *event,
               const struct log_field *fields)
{
    if (log_admits(log, event))
        log_write_admitted(log, level, event, fields);
}

int64_t log_settle(struct log *log, int64_t now_ms)
{
    int64_t due = DEADLINE_NEVER;

    for (size_t i = 0; i < log->count; i++) {
        struct log_kind *kind = &log->kinds[i];

        if (kind->left_out == 0)
            continue;
        if (now_ms < kind->tell_at_ms) {
            due = deadline_first(due, kind->tell_at_ms);
            continue;
        }
        log_write_admitted(log, LOG_WARNING, "left_out",
                           (const struct log_field[]){
                               LOG_TEXT("kind", kind->event),
                               LOG_NUMBER("lines", kind->left_out),
                               {0},
                           });
        kind->left_out = 0;
    }
    return due;
}
