#include "sys/store_edit.h"

#include "base/sort.h"
#include "sys/store_env.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
    STEP = 1000,      /* tokens in one transaction */
    RESCUE_STEP = 32, /* likewise on a full disk: their pages fit the ballast */
    LATER = 1         /* beside LMDB's results: not in this transaction */
};

static int begin(struct store *s, MDB_txn **txn)
{
    return s->env == NULL ? MDB_PANIC : mdb_txn_begin(s->env, NULL, 0, txn);
}

/* --- Add --- */

static int put_new(struct store *s, MDB_txn *txn, const uint8_t *key,
                   const struct token_record *record)
{
    struct token_seal seal = {.key = key, .secret = s->secret};
    struct token_record numbered = *record;
    uint8_t packed[TOKEN_RECORD_MAX];
    MDB_val name = val_of(key, TOKEN_KEY_LEN);
    int rc = store_get_number(s, txn, META_NEXT_ROW, &numbered.row);

    if (rc != 0)
        return rc;
    MDB_val value = val_of(packed, token_encode(&numbered, &seal, packed));
    rc = mdb_put(txn, s->tokens, &name, &value, MDB_NOOVERWRITE);
    if (rc == 0)
        rc = store_put_number(s, txn, META_NEXT_ROW, numbered.row + 1);
    return rc == 0 ? store_note_change(s, txn) : rc;
}

int store_add(struct store *s, const uint8_t key[TOKEN_KEY_LEN],
              const struct token_record *record, struct error *err)
{
    struct span name = {key, TOKEN_KEY_LEN};
    struct store_damage damage = {0, NULL};
    struct store_guard guard;
    MDB_txn *txn;

    if (store_begin(s, 0, &txn, err) != 0)
        return -1;
    int rc = store_guard_open(s, txn, STORE_TOKENS, &guard);
    if (rc == 0 && !store_guard_key(&guard, name, &damage))
        rc = MDB_CORRUPTED;
    if (rc == 0)
        rc = put_new(s, txn, key, record);
    if (rc == 0)
        return store_commit(s, txn, err);
    mdb_txn_abort(txn);
    return damage.what != NULL ? store_explain_damage(s, &damage, err)
                               : store_explain(s, rc, "add a token", err);
}

/* --- One transaction --- */

struct step {
    struct store *s;
    struct store_edit *edit;
    MDB_txn *txn;
    struct store_guard guard;   /* for STORE_REVOKE */
    struct store_eraser eraser; /* for STORE_DELETE */
    struct store_staged staged;
    struct store_edit now;       /* what comes of this one */
    struct sort_pair rows[STEP]; /* key: of a deleted token */
    size_t row_count;
};

static void note_refusal(struct step *step, const struct store_damage *damage)
{
    if (step->edit->refused + step->now.refused++ == 0)
        store_explain_damage(step->s, damage, &step->now.refusal);
}

/* May the key be changed? in: is_first: of this transaction */
static int ask(struct step *step, const uint8_t *key, bool is_first)
{
    struct span name = {key, TOKEN_KEY_LEN};
    enum store_erasable answer = STORE_ERASE_SAFE;
    struct store_damage damage;

    if (step->edit->kind == STORE_DELETE)
        answer = store_eraser_ask(&step->eraser, name, &damage);
    else if (!store_guard_key(&step->guard, name, &damage))
        answer = STORE_ERASE_DAMAGED;
    if (answer == STORE_ERASE_SAFE)
        return 0;
    /* What is damaged may be in the way of others only. */
    if (answer == STORE_ERASE_LATER || !is_first)
        return LATER;
    note_refusal(step, &damage);
    return MDB_CORRUPTED;
}

static int revoke(struct step *step, MDB_val *key, struct token_record *record)
{
    struct token_seal seal = {.key = key->mv_data, .secret = step->s->secret};
    uint8_t packed[TOKEN_RECORD_MAX];

    if (record->revoked) {
        step->now.already++;
        return 0;
    }
    record->revoked = true;
    MDB_val value = val_of(packed, token_encode(record, &seal, packed));
    int rc = mdb_put(step->txn, step->s->tokens, key, &value, 0);
    step->now.done += rc == 0;
    return rc;
}

static int erase(struct step *step, MDB_val *key,
                 const struct token_record *record)
{
    int rc = mdb_del(step->txn, step->s->tokens, key, NULL);

    if (rc != 0)
        return rc;
    step->now.done++;
    if (record != NULL)
        step->rows[step->row_count++].key = record->row;
    return 0;
}

static bool is_meant(const struct step *step, const struct token_record *record)
{
    const struct store_edit *edit = step->edit;

    return store_is_staged(&step->staged, record->row) == edit->of_staged &&
           (edit->is_meant == NULL || edit->is_meant(edit->ctx, record));
}

static int change(struct step *step, const uint8_t *name)
{
    struct token_seal seal = {.key = name, .secret = step->s->secret};
    struct store_edit *edit = step->edit;
    MDB_val key = val_of(name, TOKEN_KEY_LEN), value;
    struct token_record record;
    int rc = mdb_get(step->txn, step->s->tokens, &key, &value);

    if (rc == MDB_NOTFOUND) {
        step->now.absent++;
        return 0;
    }
    if (rc != 0)
        return rc;
    if (!token_decode(value.mv_data, value.mv_size, &seal, &record)) {
        if (edit->kind == STORE_DELETE && edit->is_meant == NULL)
            return erase(step, &key, NULL);
        step->now.damaged++;
        return 0;
    }
    if (!is_meant(step, &record)) {
        step->now.absent++;
        return 0;
    }
    return edit->kind == STORE_REVOKE ? revoke(step, &key, &record)
                                      : erase(step, &key, &record);
}

static int change_some(struct step *step, const uint8_t (*keys)[TOKEN_KEY_LEN],
                       size_t count, size_t *handled)
{
    for (size_t i = 0; i < count; i++) {
        int rc = ask(step, keys[i], i == 0);
        if (rc == LATER)
            return 0;
        ++*handled;
        if (rc == MDB_CORRUPTED)
            return 0;
        rc = change(step, keys[i]);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int open_guards(struct step *step)
{
    return step->edit->kind == STORE_REVOKE
               ? store_guard_open(step->s, step->txn, STORE_TOKENS,
                                  &step->guard)
               : store_eraser_open(step->s, step->txn, STORE_TOKENS,
                                   &step->eraser);
}

/* out: *handled: keys from the first on. returns: an LMDB result */
static int run_step(struct step *step, const uint8_t (*keys)[TOKEN_KEY_LEN],
                    size_t count, size_t *handled)
{
    int rc = begin(step->s, &step->txn);

    *handled = 0;
    step->row_count = 0;
    step->now = (struct store_edit){0};
    if (rc != 0)
        return rc;
    rc = open_guards(step);
    if (rc == 0)
        rc = store_get_staged(step->s, step->txn, &step->staged);
    if (rc == 0)
        rc = change_some(step, keys, count, handled);
    if (rc == 0 && step->now.done > 0 && !step->edit->of_staged)
        rc = store_note_change(step->s, step->txn);
    if (rc == 0 && step->now.done > 0)
        return mdb_txn_commit(step->txn);
    mdb_txn_abort(step->txn);
    return rc;
}

/* --- Last uses of what was deleted --- */

/* returns: rows gone through, or 0 when it failed */
static size_t forget_some(struct store *s, const struct sort_pair *rows,
                          size_t count)
{
    struct store_eraser eraser;
    struct store_damage damage;
    size_t i = 0;
    MDB_txn *txn;
    int rc = begin(s, &txn);

    if (rc != 0)
        return 0;
    rc = store_eraser_open(s, txn, STORE_LAST_USED, &eraser);
    for (; rc == 0 && i < count; i++) {
        struct span name = {(const uint8_t *)&rows[i].key, 8};
        enum store_erasable answer = store_eraser_ask(&eraser, name, &damage);
        if (answer != STORE_ERASE_SAFE && i > 0)
            break;
        MDB_val key = val_of(name.ptr, name.len);
        if (answer == STORE_ERASE_SAFE)
            rc = mdb_del(txn, s->last_used, &key, NULL);
        rc = rc == MDB_NOTFOUND ? 0 : rc;
    }
    if (rc == 0)
        return mdb_txn_commit(txn) == 0 ? i : 0;
    mdb_txn_abort(txn);
    return 0;
}

static void forget_uses(struct step *step)
{
    struct sort_pair scratch[STEP];
    struct error ignored;

    sort_pairs(step->rows, scratch, step->row_count);
    for (size_t at = 0; at < step->row_count;) {
        size_t n = forget_some(step->s, step->rows + at, step->row_count - at);
        if (n == 0) {
            store_reopen(step->s, &ignored); /* the next step says why */
            return;
        }
        at += n;
    }
}

/* --- All --- */

static void add_up(struct store_edit *edit, const struct store_edit *now)
{
    edit->done += now->done;
    edit->already += now->already;
    edit->absent += now->absent;
    edit->damaged += now->damaged;
    if (edit->refused == 0)
        edit->refusal = now->refusal;
    edit->refused += now->refused;
}

/* EIO: LMDB's word for a write that came short. */
static bool is_full(int rc)
{
    return rc == ENOSPC || rc == EDQUOT || rc == EIO;
}

/* returns: keys handled, or 0 with the reason */
static size_t run_patiently(struct step *step,
                            const uint8_t (*keys)[TOKEN_KEY_LEN], size_t count,
                            struct error *err)
{
    struct store_edit *edit = step->edit;
    size_t most = edit->took_ballast ? RESCUE_STEP : STEP, handled;
    int rc = run_step(step, keys, count < most ? count : most, &handled);

    if (is_full(rc) && !edit->of_staged && store_drop_ballast(step->s)) {
        edit->took_ballast = true;
        most = RESCUE_STEP;
        if (store_reopen(step->s, err) != 0)
            return 0;
        rc = run_step(step, keys, count < most ? count : most, &handled);
    }
    if (rc == 0)
        return handled;
    store_explain(step->s, rc, "change tokens", err);
    return 0;
}

int store_edit(struct store *s, struct store_edit *edit,
               const uint8_t (*keys)[TOKEN_KEY_LEN], size_t count,
               struct error *err)
{
    struct step step = {.s = s, .edit = edit};

    for (size_t at = 0; at < count;) {
        size_t n = run_patiently(&step, keys + at, count - at, err);
        if (n == 0)
            return -1;
        at += n;
        add_up(edit, &step.now);
        forget_uses(&step);
    }
    return 0;
}
