/*
 * The inside of struct store, for the files that make up the store
 * (store.c, store_import.c, journal.c). Nobody else includes this.
 */
#ifndef SYS_STORE_ENV_H
#define SYS_STORE_ENV_H

#include "sys/store.h"

#include <limits.h>
#include <lmdb.h>
#include <stdatomic.h>

struct store {
    MDB_env *env; /* NULL after a reopen that failed */
    MDB_dbi meta, tokens, journal, last_used;
    MDB_txn *reader; /* store_find's transaction: begun, or reset */
    bool reading;    /* is it begun? */
    size_t map_size; /* bytes */
    uint8_t secret[SIPHASH_KEY_LEN];
    atomic_bool needs_reopen; /* set by whichever thread meets the reason */
    char path[PATH_MAX];      /* of store.mdb */
};

/* A key or value for LMDB, which does not write to what it is given. */
static inline MDB_val val_of(const void *data, size_t len)
{
    return (MDB_val){.mv_size = len, .mv_data = (void *)(uintptr_t)data};
}

/*
 * Word an LMDB or errno result, and remember when it asks for a reopen.
 * returns: -1
 */
int store_explain(struct store *s, int rc, const char *doing,
                  struct error *err);

/* Begin a transaction; flags as LMDB's. returns: 0, or -1 with the reason */
int store_begin(struct store *s, unsigned flags, MDB_txn **txn,
                struct error *err);

/*
 * Commit and word the failure. The transaction is gone either way.
 * returns: 0, or -1 with the reason
 */
int store_commit(struct store *s, MDB_txn *txn, struct error *err);

/*
 * Raise a row's last use to this time, if that is later than what is stored.
 * returns: an LMDB result
 */
int store_raise_last_used(const struct store *s, MDB_txn *txn, uint64_t row,
                          int64_t time);

/* A row's folded last use, 0 = none. returns: an LMDB result */
int store_get_last_used(const struct store *s, MDB_txn *txn, uint64_t row,
                        int64_t *time);

/* A number of the meta table. returns: an LMDB result */
int store_get_number(const struct store *s, MDB_txn *txn, const char *name,
                     uint64_t *number);
int store_put_number(const struct store *s, MDB_txn *txn, const char *name,
                     uint64_t number);

/*
 * Does the file end before the last page that LMDB counts?
 * returns: an LMDB result
 */
int store_is_cut_short(const struct store *s, bool *is_short);

/*
 * Are all the missing pages of such a file free ones, so that it is whole
 * nevertheless? Asks a child process. needs: the environment is closed
 */
bool store_probe_short(const struct store *s);

#define META_NEXT_ROW "next_row"

#endif
