#include "sys/journal.h"

#include "base/bytes.h"
#include "sys/store_env.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    TOUCH_LEN = 16,
    CHECKSUM_LEN = 8,
    /* What one step of a fold writes; it bounds how long a login waits. */
    FOLD_ROWS = 1024,
    FOLD_RECORDS = 1024
};

/* --- Records --- */

static uint64_t record_checksum(const uint8_t *secret, uint64_t seq,
                                const uint8_t *touches, size_t len)
{
    uint8_t joined[16];

    store_le64(joined, seq);
    store_le64(joined + 8, siphash(secret, touches, len));
    return siphash(secret, joined, sizeof joined);
}

size_t journal_record_count(const uint8_t *secret, uint64_t seq,
                            struct span value)
{
    if (value.len < TOUCH_LEN + CHECKSUM_LEN ||
        (value.len - CHECKSUM_LEN) % TOUCH_LEN != 0)
        return 0;
    size_t len = value.len - CHECKSUM_LEN;
    uint64_t wanted = record_checksum(secret, seq, value.ptr, len);
    return load_le64(value.ptr + len) == wanted ? len / TOUCH_LEN : 0;
}

struct sort_pair journal_record_touch(struct span value, size_t i)
{
    const uint8_t *touch = value.ptr + i * TOUCH_LEN;

    return (struct sort_pair){load_le64(touch), load_le64(touch + 8)};
}

static void write_record(const struct store *s, uint64_t seq,
                         const struct sort_pair *touches, size_t count,
                         uint8_t *out)
{
    for (size_t i = 0; i < count; i++) {
        store_le64(out + i * TOUCH_LEN, touches[i].key);
        store_le64(out + i * TOUCH_LEN + 8, touches[i].value);
    }
    size_t len = count * TOUCH_LEN;
    store_le64(out + len, record_checksum(s->secret, seq, out, len));
}

static int next_seq(MDB_cursor *cursor, uint64_t *seq)
{
    MDB_val key, value;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);

    *seq = 1;
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc == 0 && key.mv_size != sizeof *seq)
        return MDB_CORRUPTED;
    if (rc == 0) {
        memcpy(seq, key.mv_data, sizeof *seq);
        ++*seq;
    }
    return rc;
}

static int append(struct store *s, MDB_txn *txn,
                  const struct sort_pair *touches, size_t count)
{
    MDB_cursor *cursor;
    uint64_t seq;
    int rc = mdb_cursor_open(txn, s->journal, &cursor);

    if (rc != 0)
        return rc;
    rc = next_seq(cursor, &seq);
    if (rc == 0) {
        MDB_val key = {sizeof seq, &seq};
        MDB_val value = {count * TOUCH_LEN + CHECKSUM_LEN, NULL};
        /* LMDB gives the place on its page: the batch is written there. */
        rc = mdb_cursor_put(cursor, &key, &value, MDB_APPEND | MDB_RESERVE);
        if (rc == 0)
            write_record(s, seq, touches, count, value.mv_data);
    }
    mdb_cursor_close(cursor);
    return rc;
}

int journal_append(struct store *s, const struct sort_pair *touches,
                   size_t count, struct error *err)
{
    MDB_txn *txn;

    if (store_begin(s, 0, &txn, err) != 0)
        return -1;
    int rc = append(s, txn, touches, count);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return store_explain(s, rc, "write the journal", err);
    }
    return store_commit(s, txn, err);
}

/* --- Loading --- */

typedef void record_visitor(void *ctx, const struct store *s,
                            const MDB_val *key, const MDB_val *value);

static int for_each_record(const struct store *s, MDB_txn *txn,
                           record_visitor *visit, void *ctx)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, s->journal, &cursor);

    if (rc != 0)
        return rc;
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        visit(ctx, s, &key, &value);
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static void count_record(void *ctx, const struct store *s, const MDB_val *key,
                         const MDB_val *value)
{
    size_t *count = ctx;

    (void)s;
    (void)key;
    *count += value->mv_size / TOUCH_LEN;
}

int journal_count(struct store *s, size_t *count, struct error *err)
{
    MDB_txn *txn;

    *count = 0;
    if (store_begin(s, MDB_RDONLY, &txn, err) != 0)
        return -1;
    int rc = for_each_record(s, txn, count_record, count);
    mdb_txn_abort(txn);
    return rc == 0 ? 0 : store_explain(s, rc, "read the journal", err);
}

static void load_record(void *ctx, const struct store *s, const MDB_val *key,
                        const MDB_val *value)
{
    struct journal_uses *uses = ctx;
    struct span bytes = {value->mv_data, value->mv_size};
    size_t count = 0;

    if (key->mv_size == sizeof uses->last_seq) {
        memcpy(&uses->last_seq, key->mv_data, sizeof uses->last_seq);
        count = journal_record_count(s->secret, uses->last_seq, bytes);
    }
    if (count == 0)
        uses->damaged++;
    for (size_t i = 0; i < count; i++)
        uses->pairs[uses->count++] = journal_record_touch(bytes, i);
}

int journal_uses_load(struct store *s, MDB_txn *txn, struct journal_uses *uses)
{
    size_t most = 0;
    int rc = for_each_record(s, txn, count_record, &most);

    *uses = (struct journal_uses){0};
    if (rc != 0)
        return rc;
    /* One more than needed: of nothing calloc may make NULL. */
    struct sort_pair *scratch = calloc(most + 1, sizeof *scratch);
    uses->pairs = calloc(most + 1, sizeof *uses->pairs);
    if (uses->pairs == NULL || scratch == NULL)
        rc = ENOMEM;
    if (rc == 0)
        rc = for_each_record(s, txn, load_record, uses);
    if (rc == 0) {
        sort_pairs(uses->pairs, scratch, uses->count);
        uses->count = sort_keep_greatest(uses->pairs, uses->count);
    }
    free(scratch);
    return rc;
}

int64_t journal_uses_find(const struct journal_uses *uses, uint64_t row)
{
    size_t low = 0, high = uses->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (uses->pairs[middle].key < row)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == uses->count || uses->pairs[low].key != row)
        return 0;
    return (int64_t)uses->pairs[low].value;
}

void journal_uses_free(struct journal_uses *uses)
{
    free(uses->pairs);
    *uses = (struct journal_uses){0};
}

/* --- Fold --- */

struct journal_fold {
    struct store *s;
    struct journal_uses uses;
    size_t rows_done;           /* of uses.pairs */
    size_t stuck;               /* of these, now the first ones of the array */
    struct store_damage damage; /* why the last of them are */
    bool is_carried;            /* are they in a record of their own? */
};

struct journal_fold *journal_fold_begin(struct store *s, struct error *err)
{
    struct journal_fold *fold = calloc(1, sizeof *fold);
    MDB_txn *txn;

    if (fold == NULL) {
        error_set(err, "journal: out of memory");
        return NULL;
    }
    fold->s = s;
    /* The slot of a process that was killed would keep old pages alive. */
    mdb_reader_check(s->env, NULL);
    if (store_begin(s, MDB_RDONLY, &txn, err) != 0) {
        free(fold);
        return NULL;
    }
    int rc = journal_uses_load(s, txn, &fold->uses);
    mdb_txn_abort(txn);
    if (rc == 0)
        return fold;
    store_explain(s, rc, "read the journal", err);
    journal_fold_free(fold);
    return NULL;
}

/* A row whose page is damaged must not be touched: its time is kept here. */
static int fold_row(struct journal_fold *fold, MDB_txn *txn,
                    struct store_guard *guard, struct sort_pair use)
{
    struct span key = {(const uint8_t *)&use.key, sizeof use.key};

    if (store_guard_key(guard, key, &fold->damage))
        return store_raise_last_used(fold->s, txn, use.key, (int64_t)use.value);
    fold->uses.pairs[fold->stuck++] = use;
    return 0;
}

static int fold_rows(struct journal_fold *fold, MDB_txn *txn)
{
    size_t end = fold->rows_done + FOLD_ROWS;
    struct store_guard guard;
    int rc = store_guard_open(fold->s, txn, STORE_LAST_USED, &guard);

    if (end > fold->uses.count)
        end = fold->uses.count;
    for (size_t i = fold->rows_done; rc == 0 && i < end; i++)
        rc = fold_row(fold, txn, &guard, fold->uses.pairs[i]);
    fold->rows_done = end;
    return rc;
}

/* What cannot be folded goes to the end, before its records are dropped. */
static int carry_stuck(struct journal_fold *fold, MDB_txn *txn)
{
    fold->is_carried = true;
    return append(fold->s, txn, fold->uses.pairs, fold->stuck);
}

/* Delete the oldest record that is older than the snapshot's last one. */
static int drop_oldest(const struct journal_fold *fold, MDB_cursor *cursor,
                       bool *done)
{
    MDB_val key, value;
    uint64_t seq = fold->uses.last_seq;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);

    if (rc != 0 && rc != MDB_NOTFOUND)
        return rc;
    if (rc == 0 && key.mv_size != sizeof seq)
        return MDB_CORRUPTED;
    if (rc == 0)
        memcpy(&seq, key.mv_data, sizeof seq);
    *done = seq >= fold->uses.last_seq;
    return *done ? 0 : mdb_cursor_del(cursor, 0);
}

/*
 * The snapshot's last record stays: the journal is never empty again, so that
 * sequence numbers never begin anew and no fold of another process can take a
 * new record for one that it has read.
 */
static int drop_records(const struct journal_fold *fold, MDB_txn *txn,
                        bool *done)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, fold->s->journal, &cursor);

    if (rc != 0)
        return rc;
    for (int n = 0; rc == 0 && n < FOLD_RECORDS && !*done; n++)
        rc = drop_oldest(fold, cursor, done);
    mdb_cursor_close(cursor);
    return rc;
}

static int step(struct journal_fold *fold, MDB_txn *txn, bool *done)
{
    if (fold->rows_done < fold->uses.count)
        return fold_rows(fold, txn);
    if (fold->stuck > 0 && !fold->is_carried)
        return carry_stuck(fold, txn);
    return drop_records(fold, txn, done);
}

static int explain_stuck(const struct journal_fold *fold, struct error *err)
{
    return error_set(err,
                     "store %s: page %llu: %s; %zu last uses stay in the "
                     "journal; restore a backup",
                     fold->s->path, (unsigned long long)fold->damage.page,
                     fold->damage.what, fold->stuck);
}

enum journal_fold_result journal_fold_step(struct journal_fold *fold,
                                           struct error *err)
{
    bool done = false;
    MDB_txn *txn;

    if (store_begin(fold->s, 0, &txn, err) != 0)
        return JOURNAL_FOLD_FAILED;
    int rc = step(fold, txn, &done);
    if (rc != 0) {
        mdb_txn_abort(txn);
        store_explain(fold->s, rc, "fold the journal", err);
        return JOURNAL_FOLD_FAILED;
    }
    if (store_commit(fold->s, txn, err) != 0)
        return JOURNAL_FOLD_FAILED;
    if (!done)
        return JOURNAL_FOLD_MORE;
    if (fold->stuck == 0)
        return JOURNAL_FOLD_DONE;
    explain_stuck(fold, err);
    return JOURNAL_FOLD_FAILED;
}

size_t journal_fold_damaged(const struct journal_fold *fold)
{
    return fold->uses.damaged;
}

void journal_fold_free(struct journal_fold *fold)
{
    if (fold == NULL)
        return;
    journal_uses_free(&fold->uses);
    free(fold);
}
