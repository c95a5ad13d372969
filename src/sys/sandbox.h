/*
 * What the process gives up before it serves, so that whoever takes it over
 * gains little: files by Landlock, system calls by seccomp. Neither can be
 * taken back. A kernel may lack either; the caller says so and goes on.
 */
#ifndef SYS_SANDBOX_H
#define SYS_SANDBOX_H

#include "base/error.h"

/* What must stay within reach. All strings are borrowed. */
struct sandbox_files {
    const char *data_dir;   /* read and write */
    const char *cert_file;  /* read; NULL: none */
    const char *key_file;   /* read; NULL: none */
    const char *audit_file; /* write; NULL: none */
};

/*
 * Give up new privileges (no_new_privs), then all files but these, TCP's bind
 * and connect, and signals to others. What is open stays open.
 *
 * Of cert_file and key_file the directories are meant, that of the name and
 * that of the file behind a link: a new file has to be found after a rename
 * or after a change of the link. Of audit_file it is that of the name: files
 * may be made there, and written.
 * needs:   called before any thread is started: only the caller and the
 *          threads it starts are held
 * returns: 0, or -1 with the reason: no file was given up
 */
int sandbox_limit_files(const struct sandbox_files *files, struct error *err);

/*
 * Give up all system calls but those in sandbox_seccomp.c, for every thread
 * and every child. Any other one kills the process with SIGSYS.
 * needs:   all sockets and threads exist: no more can be made
 * returns: 0, or -1 with the reason: no call was given up
 */
int sandbox_limit_calls(struct error *err);

#endif
