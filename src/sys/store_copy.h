/*
 * A copy of a store: one snapshot, verified record by record and written in
 * the order of keys into a new file, so that it is compact. It gets its name
 * when it is whole, durable and verified once more; until then it is
 * FILE.partial, which a copy that was killed leaves behind and the next one
 * takes over.
 */
#ifndef SYS_STORE_COPY_H
#define SYS_STORE_COPY_H

#include "sys/store_verify.h"

struct store_copy_options {
    bool may_replace; /* a file of that name */
    bool may_lose;    /* leave out what is damaged, instead of failing */
    int64_t now;      /* UTC seconds, for the counts */
};

/*
 * Copy a store that was opened with STORE_UNCHECKED or store_open_file.
 * in:      path is not that of a store that is open
 * out:     *counts of the copy, but for `faults`: what was left out of it
 * returns: 0, or -1 with the reason: there is no new file then
 */
int store_copy(struct store *s, const char *path,
               const struct store_copy_options *options,
               struct store_counts *counts, struct error *err);

/* --- In place of a store --- */

/* A data directory whose store nobody has open, or can open. */
struct store_alone {
    int dir_fd, file_fd; /* locked; -1 = none */
    char path[4096];     /* of its store.mdb */
};

/*
 * Lock a data directory. The store need not exist.
 * out:     *alone, to be ended in any case
 * returns: 0, or -1 with the reason, also when a process has the store open
 */
int store_alone_begin(struct store_alone *alone, const char *dir,
                      struct error *err);

/* Who waits to open the store goes on. */
void store_alone_end(struct store_alone *alone);

/*
 * Put a whole copy in place of the directory's store. It is the directory's
 * owner's. in, out, returns: as store_copy
 */
int store_alone_replace(const struct store_alone *alone, struct store *from,
                        const struct store_copy_options *options,
                        struct store_counts *counts, struct error *err);

#endif
