/*
 * A file that lines are appended to by a thread of its own, so that a disk
 * that is slow, hung or full stops nobody else.
 *
 * Lines that cannot be written are kept, up to APPENDER_QUEUE bytes, and tried
 * again each second. A line is in one file whole, also when it was begun in
 * one that was full and has been replaced since.
 */
#ifndef SYS_APPENDER_H
#define SYS_APPENDER_H

#include "base/error.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum { APPENDER_QUEUE = 1 << 20 /* bytes; 5,000 lines */ };

struct appender;

/* How it fares. */
struct appender_state {
    int error;        /* errno of the last write; 0: it went well */
    uint64_t lost;    /* lines for which there was no room, since the start */
    bool is_crowded;  /* half of the queue is in use */
    unsigned reopens; /* that have been tried */
    int reopen_error; /* errno of the last of these; 0: it went well */
};

/*
 * Open the file for appending, made with mode 0600 if need be, and start the
 * thread.
 * returns: NULL with the reason, which names the file
 */
struct appender *appender_open(const char *path, struct error *err);

/*
 * Queue one line, its newline included. It waits for appender_submit.
 * in: line: less than 16 KiB
 */
void appender_put(struct appender *a, struct span line);

/* Let what is queued be written. out: *state, as of now */
void appender_submit(struct appender *a, struct appender_state *state);

/*
 * Let the thread open the path anew: the file may have been renamed. What is
 * queued may still go to the old one, which stays in use when that fails: see
 * appender_state.
 * owns: borrows the path until the end
 */
void appender_reopen(struct appender *a, const char *path);

/*
 * Write what is queued and close the file; within a second, or the thread is
 * left to the end of the process. NULL is allowed.
 */
void appender_close(struct appender *a);

#endif
