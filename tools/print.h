/*
 * What commands answer on stdout, for people and, with --json, for scripts:
 * rows of a table or one JSON object a line; or one record, a line a field or
 * one JSON object.
 */
#ifndef TOOLS_PRINT_H
#define TOOLS_PRINT_H

#include "base/error.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum print_kind {
    PRINT_TEXT,
    PRINT_NUMBER,
    PRINT_YES_NO, /* a number; true and false in JSON */
    PRINT_TIME    /* a number: UTC seconds; 0 = none */
};

struct print_field {
    const char *name; /* as in JSON: lower case, underscores */
    enum print_kind kind;
    int width; /* of the column in a table, in characters */
};

/* One value. A text without bytes (ptr NULL) and no time are null in JSON. */
struct print_value {
    struct span text;
    int64_t number;
};

#define PRINT_SPAN(span_)   ((struct print_value){.text = (span_)})
#define PRINT_STRING(text_) PRINT_SPAN(span_of(text_))
#define PRINT_INTEGER(number_) \
    ((struct print_value){.number = (int64_t)(number_)})

struct printer {
    const struct print_field *fields;
    size_t count;
    bool is_json;
    bool has_header; /* false at first */
};

/* Print one row; in a table the first one is preceded by the names. */
void print_row(struct printer *p, const struct print_value *values);

/* Print one record by itself. */
void print_record(const struct printer *p, const struct print_value *values);

/*
 * Print a text from outside, without what a terminal obeys.
 * returns: characters
 */
int print_plain(FILE *to, struct span text);

/*
 * Has all that was printed been written?
 * returns: 0, or -1 with the reason
 */
int print_finish(struct error *err);

#endif
