/*
 * One event as one line of text: logfmt or JSON (RFC 8259).
 *
 *   time=2026-11-24T08:20:05.448Z level=info event=closed peer=[::1]:40112 …
 *   {"time":"2026-11-24T08:20:05.448Z","level":"info","event":"closed", …}
 *
 * In logfmt a value with blanks, quotes, control or other than ASCII bytes is
 * written as a JSON string. So nothing that a peer sends can begin a line or a
 * field. Tokens and keys must not be passed to it.
 */
#ifndef PROTO_LOG_LINE_H
#define PROTO_LOG_LINE_H

#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_format { LOG_LOGFMT, LOG_JSON };

enum {
    LOG_LINE_MAX = 4096, /* bytes with the newline: a pipe takes them whole */
    LOG_VALUE_MAX = 512  /* bytes of a text before escaping; the rest is cut */
};

/* One field: a text, or a number when the text has no pointer. */
struct log_field {
    const char *name; /* NULL ends a list */
    struct span text;
    int64_t number;
    bool is_word; /* in logfmt the text stands without its name */
};

#define LOG_SPAN(name_, span_) \
    ((struct log_field){.name = (name_), .text = (span_)})
#define LOG_TEXT(name_, text_) LOG_SPAN((name_), span_of(text_))
#define LOG_WORD(name_, text_) \
    ((struct log_field){       \
        .name = (name_), .text = span_of(text_), .is_word = true})
#define LOG_NUMBER(name_, number_) \
    ((struct log_field){.name = (name_), .number = (int64_t)(number_)})

/* All strings are borrowed; names, level and event are plain words. */
struct log_line {
    int64_t utc_ms;    /* since 1970 */
    const char *level; /* NULL: none */
    const char *event;
    const struct log_field *fields; /* ended by one without a name */
};

/*
 * Write the line and its newline. A field for which there is no room is left
 * out.
 * returns: bytes written, without a NUL; the line is whole in any case
 */
size_t log_line_format(const struct log_line *line, enum log_format format,
                       char out[LOG_LINE_MAX]);

#endif
