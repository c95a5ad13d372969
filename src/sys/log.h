/*
 * The log: one line an event on stderr (proto/log_line.h).
 *
 * Each kind of event may write a burst of lines, and then so many a second;
 * what is more is counted, and a line says how many were left out:
 *
 *   … level=warning event=left_out kind=closed lines=5123
 */
#ifndef SYS_LOG_H
#define SYS_LOG_H

#include "proto/log_line.h"

enum log_level { LOG_INFO, LOG_WARNING, LOG_ERROR };

enum {
    LOG_KINDS = 48,      /* of events; further ones share the last place */
    LOG_BURST = 1000,    /* lines of one kind at once: everybody comes back */
    LOG_PER_SECOND = 20, /* in the long run: 400 MB a day at most */
    LOG_TELL_MS = 1000   /* from the first one left out to the line about it */
};

/* What is known of one kind of event. */
struct log_kind {
    const char *event;   /* static */
    int64_t credit;      /* lines that it may write, times 1000 */
    int64_t credited_ms; /* monotonic; when that was counted */
    int64_t tell_at_ms;  /* monotonic; needs left_out > 0 */
    uint64_t left_out;   /* lines since the last line about it */
};

struct log {
    enum log_format format;
    size_t count; /* of kinds */
    struct log_kind kinds[LOG_KINDS];
};

/* Start a log. */
void log_init(struct log *log, enum log_format format);

/*
 * Write one line at once. One that cannot be written now (a full disk, a pipe
 * that nobody reads) is lost.
 * in: event: static
 *     fields: ended by one without a name
 */
void log_write(struct log *log, enum log_level level, const char *event,
               const struct log_field *fields);

/*
 * log_write in two steps, for whom the fields cost something: may a line of
 * this kind be written? One that may not has been left out.
 */
bool log_admits(struct log *log, const char *event);
void log_write_admitted(const struct log *log, enum log_level level,
                        const char *event, const struct log_field *fields);

/* log_write with the fields as arguments, at least one. */
#define log_event(log, level, event, ...) \
    log_write((log), (level), (event),    \
              (const struct log_field[]){__VA_ARGS__, {0}})

/*
 * Say what was left out, where that is due.
 * in:      now_ms: monotonic; INT64_MAX: all of it
 * returns: when it is due next; DEADLINE_NEVER
 */
int64_t log_settle(struct log *log, int64_t now_ms);

#endif
