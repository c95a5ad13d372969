/*
 * Touches: "this row was used at this time", made durable cheaply.
 *
 * A touch of the last_used table rewrites a page of its own. So a commit
 * appends one record with its whole batch to the journal table, and a fold
 * moves the journal into last_used later, in steps that are transactions of
 * their own. A fold that is cut off, or made by two processes at once, only
 * raises times again: it needs no state on disk.
 *
 * Journal record: key = sequence (8, native), value = row (8), time (8) for
 * each touch, then SipHash-2-4 over sequence and touches (8), little-endian.
 * A record that does not verify is left out and counted. Rows whose page of
 * last_used is damaged stay in the journal, in a new record.
 */
#ifndef SYS_JOURNAL_H
#define SYS_JOURNAL_H

#include "base/error.h"
#include "base/sort.h"
#include "base/span.h"
#include "sys/store.h"

struct MDB_txn;

/* One touch is a pair: key = row, value = UTC seconds. */

/*
 * Append one batch as one record, and wait until it is durable.
 * needs:   count >= 1
 * returns: 0, or -1 with the reason: nothing of it was written
 */
int journal_append(struct store *s, const struct sort_pair *touches,
                   size_t count, struct error *err);

/*
 * How many touches does the journal hold?
 * returns: 0, or -1 with the reason
 */
int journal_count(struct store *s, size_t *count, struct error *err);

/* --- Records --- */

/*
 * in:      secret: SIPHASH_KEY_LEN bytes, the store's
 * returns: touches in a record's value, or 0 when it does not verify
 */
size_t journal_record_count(const uint8_t *secret, uint64_t seq,
                            struct span value);

/* Touch i of a record that verifies. */
struct sort_pair journal_record_touch(struct span value, size_t i);

/* --- The newest time of each row in the journal --- */

struct journal_uses {
    struct sort_pair *pairs; /* ascending rows, each once */
    size_t count;
    size_t damaged;    /* records left out */
    uint64_t last_seq; /* of the last record read; 0 = none */
};

/*
 * Read the whole journal.
 * in:      txn: an LMDB transaction of the store
 * out:     *uses, to be freed with journal_uses_free in any case
 * returns: an LMDB result
 * bound:   memory 32 bytes a touch
 */
int journal_uses_load(struct store *s, struct MDB_txn *txn,
                      struct journal_uses *uses);

/* Last use of a row in the journal; 0 = none. */
int64_t journal_uses_find(const struct journal_uses *uses, uint64_t row);

/* Free what was loaded; a zeroed struct is allowed. */
void journal_uses_free(struct journal_uses *uses);

/* --- Fold --- */

struct journal_fold;

enum journal_fold_result {
    JOURNAL_FOLD_MORE,
    JOURNAL_FOLD_DONE,
    JOURNAL_FOLD_FAILED /* err says why; the journal still holds what is left */
};

/* Take a snapshot of the journal to fold. returns: NULL with the reason */
struct journal_fold *journal_fold_begin(struct store *s, struct error *err);

/* One bounded, durable step: first the rows, then the records they were in. */
enum journal_fold_result journal_fold_step(struct journal_fold *fold,
                                           struct error *err);

/* Journal records of the snapshot that did not verify. */
size_t journal_fold_damaged(const struct journal_fold *fold);

/* Free it, done or not; NULL is allowed. */
void journal_fold_free(struct journal_fold *fold);

#endif
