/*
 * The rows that an import leaves out: which they are, and a file of them that
 * can be mended and imported. It grows by 32 bytes a rejected row, and holds
 * none of them: they are copied from the input when all are known.
 */
#ifndef TOOLS_IMPORT_REJECTS_H
#define TOOLS_IMPORT_REJECTS_H

#include "base/sort.h"
#include "tools/import_input.h"

#include <stdbool.h>

struct import_rejects {
    struct sort_pair *lines; /* key: a line of the row */
    size_t count;            /* rows */
    size_t cap;              /* rows that there is room for */
};

/* Start with none. owns: release with import_rejects_fini */
void import_rejects_init(struct import_rejects *rejects);

/* Free all; empty afterwards. */
void import_rejects_fini(struct import_rejects *rejects);

/*
 * Note one row, once, by a line of the input that is in it.
 * returns: false when there is no memory
 */
bool import_rejects_add(struct import_rejects *rejects, uint64_t line);

/*
 * Put the header line and the rows at path (0600), byte for byte and in their
 * order; blank lines behind a row come along. The file is whole or not there.
 * needs:   an input that is kept and read to its end; signals are held
 * returns: 0; or -1 with the reason, also when a signal asks to end, and when
 *          something is at path already
 */
int import_rejects_write(struct import_rejects *rejects,
                         const struct import_input *in, const char *path,
                         struct error *err);

#endif
