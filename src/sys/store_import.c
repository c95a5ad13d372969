/*
 * Importing: one write transaction, so that a reader sees all of it or none.
 * A step of what is staged before it is such a transaction too, with row
 * numbers of its own.
 */
#include "sys/store_env.h"
#include "sys/store_stage.h"

#include <stdlib.h>
#include <string.h>

struct store_import {
    struct store *s;
    MDB_txn *txn;
    MDB_cursor *tokens;
    struct store_guard token_guard, use_guard;
    struct store_damage damage; /* what a guard met */
    uint64_t next_row;
    bool has_changes;                /* of tokens */
    uint8_t last_key[TOKEN_KEY_LEN]; /* the table's greatest */
    bool has_last_key;
};

/* --- Damage --- */

/* returns: 0, or MDB_CORRUPTED with im->damage */
static int guard_token(struct store_import *im, const uint8_t *key)
{
    struct span name = {key, TOKEN_KEY_LEN};

    return store_guard_key(&im->token_guard, name, &im->damage) ? 0
                                                                : MDB_CORRUPTED;
}

static int raise_last_used(struct store_import *im, uint64_t row, int64_t time)
{
    struct span name = {(const uint8_t *)&row, sizeof row};

    if (time == 0)
        return 0;
    if (!store_guard_key(&im->use_guard, name, &im->damage))
        return MDB_CORRUPTED;
    return store_raise_last_used(im->s, im->txn, row, time);
}

static int explain(struct store_import *im, int rc, const char *doing,
                   struct error *err)
{
    if (im->damage.what != NULL)
        return store_explain_damage(im->s, &im->damage, err);
    return store_explain(im->s, rc, doing, err);
}

/* --- Begin --- */

static int open_guards(struct store_import *im)
{
    int rc = store_guard_open(im->s, im->txn, STORE_TOKENS, &im->token_guard);

    if (rc == 0)
        rc = store_guard_open(im->s, im->txn, STORE_LAST_USED, &im->use_guard);
    return rc;
}

static int begin(struct store_import *im)
{
    uint8_t greatest[TOKEN_KEY_LEN];
    MDB_val key, value;
    int rc = store_get_number(im->s, im->txn, META_NEXT_ROW, &im->next_row);

    memset(greatest, 0xff, sizeof greatest);
    if (rc == 0)
        rc = open_guards(im);
    if (rc == 0)
        rc = guard_token(im, greatest);
    if (rc == 0)
        rc = mdb_cursor_open(im->txn, im->s->tokens, &im->tokens);
    if (rc != 0)
        return rc;
    rc = mdb_cursor_get(im->tokens, &key, &value, MDB_LAST);
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc == 0 && key.mv_size != TOKEN_KEY_LEN)
        return MDB_CORRUPTED;
    if (rc == 0) {
        memcpy(im->last_key, key.mv_data, TOKEN_KEY_LEN);
        im->has_last_key = true;
    }
    return rc;
}

struct store_import *store_import_begin(struct store *s, struct error *err)
{
    struct store_import *im = calloc(1, sizeof *im);

    if (im == NULL) {
        error_set(err, "import: out of memory");
        return NULL;
    }
    im->s = s;
    if (store_begin(s, 0, &im->txn, err) != 0) {
        free(im);
        return NULL;
    }
    int rc = begin(im);
    if (rc != 0) {
        explain(im, rc, "begin an import", err);
        store_import_abort(im);
        return NULL;
    }
    return im;
}

static bool is_same(const struct token_record *a, const struct token_record *b)
{
    return a->created == b->created && a->not_before == b->not_before &&
           a->expires == b->expires && a->revoked == b->revoked &&
           a->username_len == b->username_len &&
           memcmp(a->username, b->username, a->username_len) == 0;
}

/* A key after all others goes to the end of the tree without a search. */
static unsigned put_flags(const struct store_import *im, const uint8_t *key)
{
    bool is_last =
        !im->has_last_key || memcmp(key, im->last_key, TOKEN_KEY_LEN) > 0;

    return is_last ? MDB_APPEND : MDB_NOOVERWRITE;
}

/*
 * Write a record under its row number. in: flags as LMDB's
 * out: *value is the record that was there, with MDB_KEYEXIST
 */
static int write_record(struct store_import *im, const struct store_row *row,
                        uint64_t number, unsigned flags, MDB_val *value)
{
    struct token_seal seal = {.key = row->key, .secret = im->s->secret};
    uint8_t packed[TOKEN_RECORD_MAX];
    MDB_val key = val_of(row->key, TOKEN_KEY_LEN);

    row->record->row = number;
    value->mv_size = token_encode(row->record, &seal, packed);
    value->mv_data = packed;
    int rc = mdb_cursor_put(im->tokens, &key, value, flags);
    if (rc != 0)
        return rc;
    im->has_changes = true;
    return raise_last_used(im, number, row->last_used);
}

/* Put a record that was not there, or a damaged one, under a new number. */
static int insert(struct store_import *im, const struct store_row *row,
                  unsigned flags, MDB_val *value)
{
    int rc = write_record(im, row, im->next_row, flags, value);

    if (rc != 0)
        return rc;
    im->next_row++;
    if (flags == MDB_APPEND) {
        memcpy(im->last_key, row->key, TOKEN_KEY_LEN);
        im->has_last_key = true;
    }
    return 0;
}

/*
 * There is a record of this key: is it the same one?
 * in:  *result is what becomes of another one: conflict or replaced
 * out: *result
 */
static int meet(struct store_import *im, const struct store_row *row,
                const MDB_val *value, enum store_import_result *result)
{
    struct token_seal seal = {.key = row->key, .secret = im->s->secret};
    struct token_record stored;
    MDB_val old;

    if (!token_decode(value->mv_data, value->mv_size, &seal, &stored)) {
        *result = STORE_IMPORT_CREATED; /* damaged: mend it */
        return insert(im, row, 0, &old);
    }
    if (is_same(&stored, row->record)) {
        *result = STORE_IMPORT_UNCHANGED;
        return raise_last_used(im, stored.row, row->last_used);
    }
    if (*result == STORE_IMPORT_REPLACED)
        return write_record(im, row, stored.row, 0, &old);
    return 0;
}

/* out: *value is the record that is there, if there is one: MDB_KEYEXIST */
static int put_new(struct store_import *im, const struct store_row *row,
                   MDB_val *value)
{
    int rc = guard_token(im, row->key);

    return rc == 0 ? insert(im, row, put_flags(im, row->key), value) : rc;
}

static enum store_import_result put(struct store_import *im,
                                    const struct store_row *row,
                                    enum store_import_result result,
                                    struct error *err)
{
    MDB_val value;
    int rc = put_new(im, row, &value);

    if (rc == 0)
        return STORE_IMPORT_CREATED;
    if (rc == MDB_KEYEXIST)
        rc = meet(im, row, &value, &result);
    if (rc == 0)
        return result;
    explain(im, rc, "write", err);
    return STORE_IMPORT_FAILED;
}

enum store_import_result store_import_put(struct store_import *im,
                                          const struct store_row *row,
                                          struct error *err)
{
    return put(im, row, STORE_IMPORT_CONFLICT, err);
}

enum store_import_result store_import_replace(struct store_import *im,
                                              const struct store_row *row,
                                              struct error *err)
{
    return put(im, row, STORE_IMPORT_REPLACED, err);
}

enum store_import_result store_import_foresee(struct store *s,
                                              const struct store_row *row,
                                              struct error *err)
{
    struct token_record stored;

    switch (store_find(s, row->key, &stored, err)) {
    case STORE_FOUND:
        return is_same(&stored, row->record) ? STORE_IMPORT_UNCHANGED
                                             : STORE_IMPORT_CONFLICT;
    case STORE_FAILED:
        return STORE_IMPORT_FAILED;
    default:
        return STORE_IMPORT_CREATED;
    }
}

int store_import_revision(struct store_import *im, uint64_t *revision,
                          struct error *err)
{
    int rc = store_get_revision(im->s, im->txn, revision);

    return rc == 0 ? 0 : store_explain(im->s, rc, "read its revision", err);
}

static void free_import(struct store_import *im)
{
    if (im->tokens != NULL)
        mdb_cursor_close(im->tokens);
    free(im);
}

/* What is staged counts from now on. */
static int count_staged(struct store_import *im)
{
    struct store_staged staged;
    int rc = store_get_staged(im->s, im->txn, &staged);

    if (rc != 0 || staged.first == staged.end)
        return rc;
    im->has_changes = true;
    return store_end_staged(im->s, im->txn);
}

static int commit(struct store_import *im, int rc, struct error *err)
{
    struct store *s = im->s;

    if (rc != 0) {
        store_import_abort(im);
        return store_explain(s, rc, "write", err);
    }
    MDB_txn *txn = im->txn;
    /* A cursor of a write transaction must be closed before it ends. */
    free_import(im);
    return store_commit(s, txn, err);
}

int store_import_commit(struct store_import *im, struct error *err)
{
    int rc = store_put_number(im->s, im->txn, META_NEXT_ROW, im->next_row);

    if (rc == 0)
        rc = count_staged(im);
    if (rc == 0 && im->has_changes)
        rc = store_note_change(im->s, im->txn);
    return commit(im, rc, err);
}

void store_import_abort(struct store_import *im)
{
    if (im == NULL)
        return;
    if (im->tokens != NULL)
        mdb_cursor_close(im->tokens);
    im->tokens = NULL;
    mdb_txn_abort(im->txn);
    free_import(im);
}

/* --- Steps --- */

struct store_import *store_step_begin(struct store *s, uint64_t next_row,
                                      struct error *err)
{
    struct store_import *step = store_import_begin(s, err);

    if (step != NULL)
        step->next_row = next_row;
    return step;
}

enum store_import_result store_step_put(struct store_import *step,
                                        const struct store_row *row,
                                        struct error *err)
{
    MDB_val value;
    int rc = put_new(step, row, &value);

    if (rc == 0)
        return STORE_IMPORT_CREATED;
    if (rc == MDB_KEYEXIST)
        return STORE_IMPORT_CONFLICT;
    explain(step, rc, "write", err);
    return STORE_IMPORT_FAILED;
}

int store_step_commit(struct store_import *step, uint64_t *next_row,
                      struct error *err)
{
    *next_row = step->next_row;
    return commit(step, 0, err);
}
