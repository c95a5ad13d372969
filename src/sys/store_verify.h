/*
 * All of a store, or of a backup, checked: each page, each record's checksum,
 * and what must hold between them. Nothing is written.
 */
#ifndef SYS_STORE_VERIFY_H
#define SYS_STORE_VERIFY_H

#include "sys/store_check.h"

/* What one snapshot holds. Records that do not verify are not counted. */
struct store_counts {
    uint64_t tokens, expired, revoked; /* the last two are among the first */
    uint64_t staged; /* rows of an import that has not ended (store_stage.h) */
    uint64_t last_uses;                /* rows of last_used */
    uint64_t journal_records, touches; /* these are what those hold */
    uint64_t pages, free_pages, bytes; /* the second is among the first */
    uint64_t greatest_row;             /* of any record */
    uint64_t faults;                   /* that were told */
};

/* One thing that is wrong. */
struct store_fault {
    uint64_t page;
    const char *table; /* NULL: of none in particular */
    const char *key;   /* of the record; NULL: the page is damaged */
    const char *what;  /* a clause: "it …" */
};

struct store_verifier {
    /* Each returns false to stop; record, which gets what verifies, or NULL. */
    bool (*fault)(void *ctx, const struct store_fault *fault);
    bool (*record)(void *ctx, const struct store_record *record);
    void *ctx;
    int64_t now; /* UTC seconds: which tokens have expired? */
};

/*
 * Verify one snapshot; a server may be writing meanwhile when the store was
 * opened with STORE_UNCHECKED. A reader holds old pages: the file may grow.
 * out:     *counts, of what was seen
 * returns: 0 also after faults; or -1 with the reason when it could not be
 *          done, or the file was written to by somebody
 */
int store_verify(struct store *s, const struct store_verifier *verifier,
                 struct store_counts *counts, struct error *err);

#endif
