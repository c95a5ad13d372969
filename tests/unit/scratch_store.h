/*
 * A store in a directory of its own, and a way past the store's own code to
 * look at its file and to damage it: plain LMDB, while the store is closed.
 */
#ifndef TESTS_SCRATCH_STORE_H
#define TESTS_SCRATCH_STORE_H

#include "sys/journal.h"
#include "sys/store_env.h"

#include <dirent.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCRATCH_MAP ((size_t)64 << 20)

struct scratch {
    char dir[128];
    char file[160]; /* of store.mdb */
};

static inline int scratch_make(struct scratch *d)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(d->dir, sizeof d->dir, "%s/store-XXXXXX",
             tmp != NULL ? tmp : P_tmpdir);
    if (mkdtemp(d->dir) == NULL)
        return -1;
    snprintf(d->file, sizeof d->file, "%s/store.mdb", d->dir);
    return 0;
}

/* Remove the directory with the files in it. */
static inline int scratch_remove(const struct scratch *d)
{
    DIR *dir = opendir(d->dir);
    struct dirent *entry;
    char path[512];

    if (dir == NULL)
        return -1;
    while ((entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof path, "%s/%s", d->dir, entry->d_name);
        if (entry->d_name[0] != '.')
            unlink(path);
    }
    closedir(dir);
    return rmdir(d->dir);
}

/* One transaction on one table of the closed store; any failure aborts. */
struct raw {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;
};

static inline void raw_must(int rc)
{
    if (rc != 0) {
        fprintf(stderr, "raw LMDB: %s\n", mdb_strerror(rc));
        abort();
    }
}

static inline struct raw raw_open(const struct scratch *d, const char *table,
                                  unsigned flags)
{
    struct raw r;

    raw_must(mdb_env_create(&r.env));
    raw_must(mdb_env_set_maxdbs(r.env, 8));
    raw_must(mdb_env_set_mapsize(r.env, SCRATCH_MAP));
    raw_must(mdb_env_open(r.env, d->file, MDB_NOSUBDIR, 0600));
    raw_must(mdb_txn_begin(r.env, NULL, 0, &r.txn));
    raw_must(mdb_dbi_open(r.txn, table, flags, &r.table));
    return r;
}

static inline void raw_close(struct raw *r)
{
    raw_must(mdb_txn_commit(r->txn));
    mdb_env_close(r->env);
}

/* How many entries has the table? */
static inline size_t raw_count(struct raw *r)
{
    MDB_stat stat;

    raw_must(mdb_stat(r->txn, r->table, &stat));
    return stat.ms_entries;
}

/* Change one byte of a value. at: from the front, or negative from the end */
static inline void raw_flip(struct raw *r, const void *key, size_t key_len,
                            long at)
{
    MDB_val k = {key_len, (void *)(uintptr_t)key}, v;
    uint8_t bytes[1024];

    raw_must(mdb_get(r->txn, r->table, &k, &v));
    if (v.mv_size > sizeof bytes)
        abort();
    memcpy(bytes, v.mv_data, v.mv_size);
    bytes[at >= 0 ? (size_t)at : v.mv_size - (size_t)-at] ^= 0x10;
    v.mv_data = bytes;
    raw_must(mdb_put(r->txn, r->table, &k, &v, 0));
}

static inline void raw_put(struct raw *r, const char *key, const void *value,
                           size_t len)
{
    MDB_val k = {strlen(key), (void *)(uintptr_t)key};
    MDB_val v = {len, (void *)(uintptr_t)value};

    raw_must(mdb_put(r->txn, r->table, &k, &v, 0));
}

/* --- Tokens --- */

/* A key of which n is the number; those of greater numbers are greater. */
static inline const uint8_t *scratch_key(uint8_t key[TOKEN_KEY_LEN], unsigned n)
{
    memset(key, 0x40, TOKEN_KEY_LEN);
    for (int i = 0; i < 4; i++)
        key[i] = (uint8_t)(n >> (24 - 8 * i));
    return key;
}

static inline struct token_record scratch_record(unsigned n)
{
    struct token_record r = {.created = 1000 + n,
                             .not_before = n % 3,
                             .expires = n % 5 == 0 ? TOKEN_NEVER : 5000 + n,
                             .revoked = n % 7 == 0};

    r.username_len =
        (uint8_t)snprintf(r.username, sizeof r.username, "player %u", n);
    return r;
}

/* What the journal alone knows of a row's last use; 0 = nothing. */
static inline int64_t scratch_in_journal(struct store *s, uint64_t row)
{
    struct journal_uses uses;
    struct error err;
    MDB_txn *txn;

    assert_int_equal(store_begin(s, MDB_RDONLY, &txn, &err), 0);
    assert_int_equal(journal_uses_load(s, txn, &uses), 0);
    mdb_txn_abort(txn);
    int64_t time = journal_uses_find(&uses, row);
    journal_uses_free(&uses);
    return time;
}

/* What the last_used table alone knows. */
static inline int64_t scratch_in_table(struct store *s, uint64_t row)
{
    struct error err;
    int64_t time;
    MDB_txn *txn;

    assert_int_equal(store_begin(s, MDB_RDONLY, &txn, &err), 0);
    assert_int_equal(store_get_last_used(s, txn, row, &time), 0);
    mdb_txn_abort(txn);
    return time;
}

#endif
