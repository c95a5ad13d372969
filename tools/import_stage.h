/*
 * What of an import is done ahead of its transaction, so that a server's logins
 * do not wait for it (sys/store_stage.h): rows whose tokens the store does not
 * have are staged, and those that change nothing are looked up. The others are
 * judged in the transaction, where nobody else changes them.
 */
#ifndef TOOLS_IMPORT_STAGE_H
#define TOOLS_IMPORT_STAGE_H

#include "sys/store_stage.h"
#include "tools/import_progress.h"
#include "tools/import_set.h"

struct import_stage {
    struct store_stage *stage;
    struct import_set *set; /* sorted, no token twice */
    struct import_progress *progress;
    bool may_conflict; /* records that the store has otherwise stop nothing */
    bool skips_conflicts; /* and nothing is done about them */

    bool is_hopeless; /* one was found that does stop it; nothing is staged */
    uint64_t staged;  /* rows that are out of the set */
    uint64_t unchanged, skipped; /* rows that are put aside in the set */
    uint64_t revision;           /* the store's, by which they were judged */
};

/*
 * Do what is worth it. Rows that are put aside have to be judged again when the
 * store's revision has moved on.
 * needs:   store_find may be called
 * returns: 0, also when there was nothing to do; or -1 with the reason
 */
int import_stage_rows(struct import_stage *st, struct error *err);

#endif
