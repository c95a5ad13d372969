/*
 * The inside of struct store, for the files that make up the store
 * (store.c, store_import.c, journal.c). Nobody else includes this.
 */
#ifndef SYS_STORE_ENV_H
#define SYS_STORE_ENV_H

#include "sys/store.h"
#include "sys/store_check.h"
#include "sys/store_check_meta.h"

#include <limits.h>
#include <lmdb.h>
#include <stdatomic.h>

/* Row numbers that an import has taken for what does not count yet. */
struct store_staged {
    uint64_t first, end; /* none when they are the same */
};

struct store {
    MDB_env *env; /* NULL after a reopen that failed */
    MDB_dbi meta, tokens, journal, last_used;
    MDB_txn *reader;            /* store_find's transaction: begun, or reset */
    bool reading;               /* is it begun? */
    int file_fd;                /* of store.mdb, and locked; or -1 */
    struct store_meta newest;   /* as store_check_meta found it */
    struct store_view view;     /* of the same file */
    struct store_tree tree;     /* tokens, of that transaction */
    struct store_staged staged; /* likewise */
    size_t map_size;            /* bytes */
    bool is_unchecked;          /* STORE_UNCHECKED: no table is open */
    bool may_drop_ballast;      /* to be opened at all */
    int64_t ballast_at_ms;      /* monotonic; not tried to be made before */
    uint8_t secret[SIPHASH_KEY_LEN];
    atomic_bool needs_reopen; /* set by whichever thread meets the reason */
    char path[PATH_MAX];      /* of store.mdb */
};

/* A key or value for LMDB, which does not write to what it is given. */
static inline MDB_val val_of(const void *data, size_t len)
{
    return (MDB_val){.mv_size = len, .mv_data = (void *)(uintptr_t)data};
}

/* A store that is not open yet. returns: NULL with the reason */
struct store *store_new(size_t map_size, struct error *err);

/* Name its file. returns: 0, or -1 with the reason */
int store_set_path(struct store *s, const char *path, const char *suffix,
                   struct error *err);

/* Open a data directory. returns: a descriptor, or -1 with the reason */
int store_open_dir(const char *dir, struct error *err);

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

/* Open the handles of all tables; create: MDB_CREATE or 0. An LMDB result. */
int store_open_tables(struct store *s, MDB_txn *txn, unsigned create);

/*
 * Raise a row's last use to this time, if that is later than what is stored.
 * returns: an LMDB result
 */
int store_raise_last_used(const struct store *s, MDB_txn *txn, uint64_t row,
                          int64_t time);

/* A row's folded last use, 0 = none. returns: an LMDB result */
int store_get_last_used(const struct store *s, MDB_txn *txn, uint64_t row,
                        int64_t *time);

/* An entry of the meta table. returns: an LMDB result */
int store_get_meta(const struct store *s, MDB_txn *txn, const char *name,
                   MDB_val *value);
int store_put_meta(const struct store *s, MDB_txn *txn, const char *name,
                   MDB_val value);

/* A number of it, with a seal. returns: an LMDB result */
int store_get_number(const struct store *s, MDB_txn *txn, const char *name,
                     uint64_t *number);
int store_put_number(const struct store *s, MDB_txn *txn, const char *name,
                     uint64_t number);

/* Unpack a number of meta. returns: false when it does not verify */
bool store_decode_number(const uint8_t *secret, const char *name,
                         struct span value, uint64_t *number);

/*
 * Does anything verify under the checksum key that was read? A damaged key
 * would make every player unknown.
 * returns: 0, or -1 with the reason
 */
int store_check_secret(struct store *s, MDB_txn *txn, struct error *err);

/*
 * Note in a transaction that it changes tokens: every one that does must.
 * returns: an LMDB result
 */
int store_note_change(const struct store *s, MDB_txn *txn);

/* How often was that? 0 at first. returns: an LMDB result */
int store_get_revision(const struct store *s, MDB_txn *txn, uint64_t *revision);

/* As store_scan, of what is staged, and of damaged records. */
int store_scan_staged(struct store *s, const uint8_t *from, store_visit *visit,
                      void *ctx, struct error *err);

/*
 * A step of staging: a transaction that puts rows, with numbers from next_row
 * on, and leaves all else alone; to be ended as an import, or by:
 */
struct store_import *store_step_begin(struct store *s, uint64_t next_row,
                                      struct error *err);

/* STORE_IMPORT_CONFLICT: the key is there, and nothing was done. */
enum store_import_result store_step_put(struct store_import *step,
                                        const struct store_row *row,
                                        struct error *err);

/* As store_import_commit. out: *next_row after those that were put */
int store_step_commit(struct store_import *step, uint64_t *next_row,
                      struct error *err);

/* The rows that are staged (store_stage.h). returns: an LMDB result */
int store_get_staged(const struct store *s, MDB_txn *txn,
                     struct store_staged *staged);

/* None any more. returns: an LMDB result */
int store_end_staged(const struct store *s, MDB_txn *txn);

/* Unpack what meta says. returns: false when it does not verify */
bool store_decode_staged(const uint8_t *secret, struct span value,
                         struct store_staged *staged);

static inline bool store_is_staged(const struct store_staged *staged,
                                   uint64_t row)
{
    return row >= staged->first && row < staged->end;
}

#define META_MAGIC    "magic"
#define META_VERSION  "version"
#define META_SECRET   "secret"
#define META_NEXT_ROW "next_row"
#define META_REVISION "revision"
#define META_STAGED   "staged"

#define STORE_MAGIC_TEXT "openchampps store" /* with its NUL */
enum { STORE_FORMAT = 2 };

#endif
