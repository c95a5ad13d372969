/*
 * How far an import is, on a line that is written over and over: only when
 * stderr is a terminal, else nothing is printed.
 */
#ifndef TOOLS_IMPORT_PROGRESS_H
#define TOOLS_IMPORT_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct import_progress {
    const char *doing; /* "reading" */
    uint64_t total;    /* of what done counts; 0 = not known */
    int64_t begun_ms, shown_ms;
    bool is_on;    /* stderr is a terminal */
    bool is_shown; /* there is a line to clear */
};

/* Begin a phase of the import. */
void import_progress_begin(struct import_progress *p, const char *doing,
                           uint64_t total);

/*
 * Show where it is, ten times a second at most.
 * in: done  of total; rows  so far
 */
void import_progress_show(struct import_progress *p, uint64_t done,
                          uint64_t rows);

/* Clear the line, so that others can be printed. */
void import_progress_clear(struct import_progress *p);

/* Room for the line, its NUL included. */
enum { IMPORT_PROGRESS_LINE = 128 };

/*
 * The line itself: a bar and the time left where the total is known.
 *     reading [########............]  40% 400000 rows, 800000/s, 0:01 left
 * in: elapsed_ms  since the phase began
 */
void import_progress_format(const struct import_progress *p, uint64_t done,
                            uint64_t rows, int64_t elapsed_ms,
                            char out[IMPORT_PROGRESS_LINE]);

#endif
