/*
 * The bytes of an import's file: read in order, and, when it is asked to keep
 * them, once more from anywhere.
 */
#ifndef TOOLS_IMPORT_INPUT_H
#define TOOLS_IMPORT_INPUT_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct import_input {
    const char *name; /* for messages: the path, or "stdin" */
    int fd;           /* -1: not open */
    int kept;         /* fd, or a copy without a name; -1: nothing is kept */
    uint64_t begin;   /* bytes of the file before the input */
    uint64_t size;    /* bytes from there to its end; 0 = not known */
};

/*
 * Open a file, or stdin when path is "-".
 * owns:    release with import_input_close, also after a failure
 * returns: 0, or -1 with the reason
 */
int import_input_open(struct import_input *in, const char *path,
                      struct error *err);

/* Close it, and forget what was kept. */
void import_input_close(struct import_input *in);

/*
 * Keep the bytes for import_input_read_at: what is not a regular file is
 * copied while it is read, into a file without a name.
 * in:      beside  a path whose directory has room for the copy
 * needs:   nothing has been read
 * returns: 0, or -1 with the reason
 */
int import_input_keep(struct import_input *in, const char *beside,
                      struct error *err);

/* Read on. returns: bytes, 0 at the end, or -1 with the reason */
ssize_t import_input_read(struct import_input *in, void *out, size_t cap,
                          struct error *err);

/* As that, from a place. needs: import_input_keep */
ssize_t import_input_read_at(const struct import_input *in, uint64_t offset,
                             void *out, size_t cap, struct error *err);

#endif
