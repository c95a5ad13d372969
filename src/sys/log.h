/*
 * The log: one line an event on stderr, in logfmt.
 *
 *   time=2026-11-24T08:20:05Z level=info event=closed peer=[::1]:40112 …
 *
 * Values with blanks, quotes or control bytes are quoted and escaped, so that
 * nothing a peer sends can begin a line or a field. Tokens and keys must not
 * be passed to it.
 */
#ifndef SYS_LOG_H
#define SYS_LOG_H

#include <stdint.h>

enum log_level { LOG_INFO, LOG_WARNING, LOG_ERROR };

enum { LOG_LINE_MAX = 1024 /* bytes; longer lines are cut */ };

/* One field: a text, a word by itself, or a number when text is NULL. */
struct log_field {
    const char *name; /* NULL ends a list */
    const char *text; /* the name again: the field is only this word */
    int64_t number;
};

#define LOG_TEXT(name_, text_) \
    ((struct log_field){.name = (name_), .text = (text_)})
#define LOG_WORD(word_) ((struct log_field){.name = (word_), .text = (word_)})
#define LOG_NUMBER(name_, number_) \
    ((struct log_field){.name = (name_), .number = (int64_t)(number_)})

/*
 * Write one line at once. A line that cannot be written now (a full disk, a
 * pipe that nobody reads) is lost.
 * in: fields: ended by one without a name
 */
void log_write(enum log_level level, const char *event,
               const struct log_field *fields);

/* log_write with the fields as arguments, at least one. */
#define log_event(level, event, ...) \
    log_write((level), (event), (const struct log_field[]){__VA_ARGS__, {0}})

#endif
