/*
 * Staging: the rows of an import that are written ahead of its transaction, in
 * steps so short that no login waits long for the store. They have row numbers
 * of a range that meta names, and count for nobody; store_import_commit makes
 * all of them count at once. Without another process there is nobody to wait.
 *
 * An import that is killed leaves its range behind. The next one deletes what
 * has numbers of it; no copy takes it over.
 */
#ifndef SYS_STORE_STAGE_H
#define SYS_STORE_STAGE_H

#include "sys/store.h"

struct store_stage {
    struct store *s;
    int lock_fd;               /* an import's, of which there is one */
    struct store_import *step; /* or NULL */
    int64_t step_at_ms;        /* monotonic */
    uint64_t next_row;
    bool is_begun;
};

/*
 * Become the store's one import: waits for another to end, and deletes what
 * one that was killed has left. Every import must, before store_import_begin.
 * out:     *stage, to be closed in any case
 * returns: 0, or -1 with the reason
 */
int store_stage_open(struct store *s, struct store_stage *stage,
                     struct error *err);

/*
 * Would so many rows keep others waiting, and is there room to have them twice?
 * Else all can go into the import's own transaction.
 */
bool store_stage_is_due(const struct store_stage *stage, size_t rows);

/* Take numbers for so many rows. returns: 0, or -1 with the reason */
int store_stage_begin(struct store_stage *stage, size_t rows,
                      struct error *err);

/*
 * Stage a row, and let others have the store from time to time. Keys in
 * ascending order are several times faster.
 * needs:   no more rows than were taken numbers for
 * returns: STORE_IMPORT_CREATED; STORE_IMPORT_CONFLICT: its token is there, and
 *          nothing was done; STORE_IMPORT_FAILED with the reason
 */
enum store_import_result store_stage_put(struct store_stage *stage,
                                         const struct store_row *row,
                                         struct error *err);

/* End the last step. returns: 0, or -1 with the reason */
int store_stage_end(struct store_stage *stage, struct error *err);

/*
 * Delete what was staged, as far as that goes; the rest is for the next import.
 */
void store_stage_undo(struct store_stage *stage);

/* Let the next import begin. */
void store_stage_close(struct store_stage *stage);

#endif
