/*
 * What every command of the binary does to its own process first.
 */
#ifndef SYS_PROCESS_H
#define SYS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Open /dev/null in place of a standard descriptor that is closed. Else the
 * store's file could get its number, and a log line would land in it.
 * returns: false when that cannot be done: the process must not go on
 */
bool process_fill_std_fds(void);

/*
 * Raise the soft limit of open descriptors (often only 1024) to this number.
 * returns: false when the hard limit is lower; it is raised to that then
 */
bool process_raise_descriptors(size_t wanted);

/*
 * Hold back the signals that ask to end (SIGHUP, SIGINT, SIGQUIT, SIGTERM), so
 * that a step can be finished or undone. One that is ignored stays so.
 */
void process_hold_signals(void);

/* Has one of them come while they are held? */
bool process_is_asked_to_end(void);

/* Let them through again: one that has come ends the process here. */
void process_release_signals(void);

/* Tokens and keys are in memory: no core dump, no reading by other processes.
 */
void process_forbid_dumps(void);

#endif
