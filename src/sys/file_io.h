/*
 * Small whole files: read with a cap, written so that a crash leaves either
 * the old content or the new one. (Named so that <sys/file.h> stays reachable
 * for whoever compiles with -Isrc.)
 */
#ifndef SYS_FILE_IO_H
#define SYS_FILE_IO_H

#include "base/error.h"
#include "base/span.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A file's content in memory. */
struct file_bytes {
    uint8_t *ptr;  /* heap, len bytes and a NUL that len does not count */
    size_t len;    /* bytes */
    unsigned mode; /* permission bits of the file that was read, 0 to 07777 */
};

/*
 * Read a regular file (symbolic links are followed).
 * in:      max  largest accepted size in bytes
 * out:     *out  untouched on failure
 * owns:    the caller releases *out with file_bytes_fini
 * returns: 0; or -1 with err naming path and reason: missing, no permission,
 *          not a regular file, larger than max
 */
int file_read(const char *path, size_t max, struct file_bytes *out,
              struct error *err);

/* Wipe and free the content; out is empty after it. Empty is fine. */
void file_bytes_fini(struct file_bytes *out);

/* Does something, of any kind, stand at path? (A dangling link counts.) */
bool file_exists(const char *path);

/*
 * A number that changes when the file (links are followed) is written,
 * replaced, or given another mode or owner; 0 when there is none.
 */
uint64_t file_stamp(const char *path);

/*
 * Put content at path through a temporary file in the same directory:
 * written, synced, renamed, directory synced. A crash leaves at most
 * `path.tmp`, which the next call replaces.
 * in:      mode  permission bits, applied whatever the umask is
 * returns: 0; or -1 with err naming path and reason, the old file in place
 */
int file_write(const char *path, struct span content, unsigned mode,
               struct error *err);

/* Write all of it. returns: 0, or -1 with errno */
int file_write_all(int fd, struct span content);

/* A file that is still written, beside the one that it will be: mode 0600. */
struct file_draft {
    int fd; /* -1: none */
    char path[PATH_MAX];
};

/*
 * Begin a file that is to stand at path. It is there under another name until
 * file_draft_drop; a process that ends before leaves it.
 * returns: 0; or -1 with err naming path and reason
 */
int file_draft_begin(struct file_draft *draft, const char *path,
                     struct error *err);

/*
 * Put what is written, synced, at path as well, unless something is there.
 * returns: 0; or -1 with err naming path and reason: nothing was put there
 */
int file_draft_publish(const struct file_draft *draft, const char *path,
                       struct error *err);

/* Remove the draft; what was published stays. */
void file_draft_drop(const struct file_draft *draft);

/* Make the entry of path in its directory durable. returns: 0, or -1: errno */
int file_sync_parent(const char *path);

/*
 * Make one directory unless it is there, with these permission bits whatever
 * the umask is; an existing one keeps its own. The parent must exist.
 * returns: 0; or -1 with err set, also when path is no directory
 */
int file_make_dir(const char *path, unsigned mode, struct error *err);

#endif
