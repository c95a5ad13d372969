/*
 * CSV push parser: bytes in, one row at a time out.
 *
 * Reads RFC 4180 the way Python's csv module does (dialect excel, strict: text
 * after a closing quote and an unterminated quote are errors), with these
 * choices where the two leave room:
 * - CR LF, LF and CR each end a line; blank lines are skipped;
 * - a UTF-8 byte order mark before the first row is dropped;
 * - the last row needs no line end;
 * - stricter on purpose: a quote inside an unquoted field and a NUL byte are
 *   errors, and so is a row that is too long.
 * Fields are bytes: whether they are UTF-8 is for the caller to judge.
 *
 * After an error the parser skips to the next line end and goes on, so that
 * one reading finds every bad row.
 *
 * Invariant: a row is at most row_cap bytes and CSV_FIELD_MAX fields. The
 * parser copies every field into the caller's row buffer; it never allocates.
 */
#ifndef PROTO_CSV_H
#define PROTO_CSV_H

#include "base/span.h"

#define CSV_FIELD_MAX 64 /* fields in one row */

enum csv_event {
    CSV_NONE,  /* all input consumed, no row is complete */
    CSV_ROW,   /* fields[0..field_count) hold a row */
    CSV_ERROR, /* a row is bad: see reason, error_line, error_column */
};

enum csv_state {
    CSV_BOM,      /* before the first row: matching a byte order mark */
    CSV_START,    /* before a row */
    CSV_FIELD,    /* before a field */
    CSV_PLAIN,    /* inside an unquoted field */
    CSV_QUOTED,   /* inside a quoted field */
    CSV_UNQUOTED, /* after a quote in a quoted field */
    CSV_SKIP,     /* after an error: up to the line end */
};

struct csv_field {
    struct span text; /* in the row buffer, quotes removed */
    bool quoted;      /* PostgreSQL: an unquoted empty field is NULL */
    uint64_t line;    /* where the field starts, 1-based */
    uint64_t column;  /* its first byte (or quote) in that line, 1-based */
};

/*
 * Read by the caller after an event: fields and field_count after CSV_ROW;
 * reason, error_line and error_column after CSV_ERROR; row_offset and row_line
 * after both. The rest is the parser's own.
 */
struct csv {
    struct csv_field fields[CSV_FIELD_MAX];
    size_t field_count;
    const char *reason;    /* static text, a phrase for a person */
    uint64_t error_line;   /* 1-based */
    uint64_t error_column; /* in bytes, 1-based; a BOM does not count */
    uint64_t row_offset;   /* bytes of the input before this row */
    uint64_t row_line;     /* where it starts, 1-based */

    uint8_t *row;   /* caller's storage, row_cap bytes */
    size_t row_cap; /* bytes */
    size_t row_len; /* bytes used by the fields so far; <= row_cap */
    enum csv_state state;
    bool after_cr;   /* the byte before was CR: an LF belongs to it */
    size_t bom_len;  /* bytes of the BOM matched, 0..3 */
    uint64_t offset; /* bytes consumed */
    uint64_t line;   /* of the next byte, 1-based */
    uint64_t column; /* of the next byte, 1-based */
};

/*
 * Start before the first byte of the input.
 * owns: the caller keeps row[0..cap), which must live as long as the parser,
 * and wipes it when the input held secrets.
 */
void csv_init(struct csv *c, uint8_t *row, size_t cap);

/*
 * Consume input up to the end of one row, one error or all of it.
 * out:     *event; on CSV_ROW the fields, valid until the next call.
 * returns: bytes consumed, <= len; with CSV_NONE always len. Call again with
 *          the rest.
 */
size_t csv_feed(struct csv *c, const uint8_t *in, size_t len,
                enum csv_event *event);

/*
 * The input has ended: the last row without a line end, if there is one.
 * returns: CSV_ROW, CSV_ERROR (also for an unterminated quote, placed where
 *          its field starts) or CSV_NONE.
 * needs:   only csv_init may follow.
 */
enum csv_event csv_finish(struct csv *c);

#endif
