/*
 * The token store: one LMDB environment in the data directory
 * (store.mdb, store.mdb-lock).
 *
 * Tables: meta (format, checksum secret, next row, revision, what is staged),
 * tokens (SHA-256 of the token -> record), journal (sequence -> one batch of
 * touches), last_used (row -> UTC seconds). journal.h says how the last two
 * work together.
 *
 * Values are copied out before a read transaction ends; none spans a loop
 * turn. Records are verified when read: a damaged one is never returned.
 */
#ifndef SYS_STORE_H
#define SYS_STORE_H

#include "base/error.h"
#include "proto/token.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

enum store_access {
    STORE_CREATE,    /* read and write; made when it does not exist */
    STORE_EXISTING,  /* read and write; an error when it does not exist */
    STORE_UNCHECKED, /* only for store_verify and store_copy; likewise */
    STORE_RESCUE     /* likewise; on a full disk it gives the ballast up */
};

/*
 * Open the store of a data directory.
 * in:      dir is an existing directory; map_size bytes bound the file
 *          (address space, not memory)
 * returns: NULL, with the reason, when the directory or file is missing,
 *          unreadable, foreign, damaged or of a newer format
 */
struct store *store_open(const char *dir, enum store_access access,
                         size_t map_size, struct error *err);

/*
 * Is there something that store_open would take for the store?
 * returns: 1 or 0; or -1 with the reason when there is no such directory
 */
int store_exists(const char *dir, struct error *err);

/*
 * Open a store's file that nobody writes to, a backup, for store_verify and
 * store_copy. Nothing is written, not beside it either.
 * returns: NULL with the reason, as store_open
 */
struct store *store_open_file(const char *path, struct error *err);

/* Close it; NULL is allowed. needs: no import and no other thread in it. */
void store_close(struct store *s);

/*
 * Does the environment have to be closed and opened again (LMDB's MDB_PANIC,
 * or a map that another process enlarged)? Until then every call fails.
 */
bool store_needs_reopen(const struct store *s);

/*
 * Close and open the environment again.
 * needs: as store_close
 * returns: 0, or -1 with the reason: still in need of a reopen
 */
int store_reopen(struct store *s, struct error *err);

enum store_found {
    STORE_FOUND,
    STORE_ABSENT,
    STORE_DAMAGED, /* a record is there, but does not verify */
    STORE_FAILED   /* could not be read; err says why */
};

/*
 * Look a token up by the SHA-256 of its bytes.
 * needs: called from one thread only; store_end_reads at the end of the turn
 * out:   *record when STORE_FOUND; *err when STORE_FAILED
 */
enum store_found store_find(struct store *s, const uint8_t key[TOKEN_KEY_LEN],
                            struct token_record *record, struct error *err);

/*
 * A number that every change of tokens raises, whichever process makes it.
 * needs:   as store_find, and in its transaction
 * returns: 0, or -1 with the reason
 */
int store_revision(struct store *s, uint64_t *revision, struct error *err);

struct store_usage {
    uint64_t used, max; /* bytes of the map */
};

/* Zeros when the store is not open. */
struct store_usage store_usage(const struct store *s);

/* End the turn's read transaction, if one was begun. */
void store_end_reads(struct store *s);

/* --- Import: many tokens in one transaction, all or nothing; store_stage.h
 * is what goes before it. --- */

struct store_import;

enum store_import_result {
    STORE_IMPORT_CREATED,   /* also in place of a damaged record */
    STORE_IMPORT_REPLACED,  /* another record was there; store_import_replace */
    STORE_IMPORT_UNCHANGED, /* the same record was there */
    STORE_IMPORT_CONFLICT,  /* another record was there; nothing was changed */
    STORE_IMPORT_FAILED     /* err says why; only abort may follow */
};

/* One token to import. */
struct store_row {
    const uint8_t *key;          /* TOKEN_KEY_LEN bytes */
    struct token_record *record; /* its row is ignored, and overwritten */
    int64_t last_used;           /* UTC seconds; 0 = never used */
};

/*
 * Begin an import. Waits for the writer of another process.
 * returns: NULL with the reason
 */
struct store_import *store_import_begin(struct store *s, struct error *err);

/*
 * Add one token. Keys in ascending order are several times faster.
 * A last use that is newer than the stored one is taken over, also for an
 * unchanged record.
 */
enum store_import_result store_import_put(struct store_import *import,
                                          const struct store_row *row,
                                          struct error *err);

/*
 * Add one token, also where another record of it is: the new one takes over its
 * row, and so its last use if that is newer.
 */
enum store_import_result store_import_replace(struct store_import *import,
                                              const struct store_row *row,
                                              struct error *err);

/*
 * What would store_import_put do, outside of an import? Nothing is written.
 * needs: as store_find
 */
enum store_import_result store_import_foresee(struct store *s,
                                              const struct store_row *row,
                                              struct error *err);

/* store_revision, in the import's transaction. returns: 0, or -1 with *err */
int store_import_revision(struct store_import *import, uint64_t *revision,
                          struct error *err);

/*
 * Make all of it durable, and free the import.
 * returns: 0, or -1 with the reason: nothing was written
 */
int store_import_commit(struct store_import *import, struct error *err);

/* Forget all of it, and free the import; NULL is allowed. */
void store_import_abort(struct store_import *import);

/* --- Listing --- */

/* One token of a listing. */
struct store_listed {
    const uint8_t *key;                /* TOKEN_KEY_LEN bytes */
    const struct token_record *record; /* NULL when it does not verify */
    int64_t last_used;                 /* UTC seconds; 0 = never used */
};

typedef bool store_visit(void *ctx, const struct store_listed *token);

/*
 * Visit every token in the order of its key, in one consistent snapshot. The
 * last uses that are still in the journal are merged in. What is on damaged
 * pages is left out.
 * in:      visit returns false to stop
 * returns: 0 when all were visited or visit stopped; or -1 with the reason,
 *          also when something was left out
 */
int store_list(struct store *s, store_visit *visit, void *ctx,
               struct error *err);

/* As store_list, from this key on (TOKEN_KEY_LEN bytes; NULL: the first). */
int store_list_from(struct store *s, const uint8_t *from, store_visit *visit,
                    void *ctx, struct error *err);

/* As store_list_from, without last uses: all are 0, and none is missed. */
int store_scan(struct store *s, const uint8_t *from, store_visit *visit,
               void *ctx, struct error *err);

/* --- The ballast: DIR/ballast, 1 MiB to give up when the disk is full --- */

/*
 * Make it where it is missing and the disk has room for several of it. LMDB
 * cannot even delete on a full disk: without it a stolen token could not be
 * revoked there.
 * needs: an open store
 */
void store_keep_ballast(struct store *s);

/* returns: was there one to give up? */
bool store_drop_ballast(const struct store *s);

#endif
