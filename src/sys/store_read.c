/*
 * Reading: one token of a login, and all tokens of a listing.
 */
#include "base/bytes.h"
#include "sys/journal.h"
#include "sys/store_env.h"

/* --- Logins --- */

static int begin_reads(struct store *s, struct error *err)
{
    if (s->reading)
        return 0;
    int rc = s->reader == NULL ? MDB_PANIC : mdb_txn_renew(s->reader);
    if (rc != 0)
        return store_explain(s, rc, "read", err);
    s->reading = true;
    return 0;
}

void store_end_reads(struct store *s)
{
    if (s->reading)
        mdb_txn_reset(s->reader);
    s->reading = false;
}

static bool decode(const struct store *s, const uint8_t *key,
                   const MDB_val *value, struct token_record *record)
{
    struct token_seal seal = {.key = key, .secret = s->secret};

    return token_decode(value->mv_data, value->mv_size, &seal, record);
}

/* As much work as for a record, so that the time does not tell them apart. */
static void decode_nothing(const struct store *s, const uint8_t *key,
                           struct token_record *record)
{
    static const uint8_t nothing[TOKEN_RECORD_MIN + 8];
    MDB_val value = val_of(nothing, sizeof nothing);

    (void)decode(s, key, &value, record);
}

enum store_found store_find(struct store *s, const uint8_t key[TOKEN_KEY_LEN],
                            struct token_record *record, struct error *err)
{
    MDB_val name = val_of(key, TOKEN_KEY_LEN), value;

    if (begin_reads(s, err) != 0)
        return STORE_FAILED;
    int rc = mdb_get(s->reader, s->tokens, &name, &value);
    if (rc == MDB_NOTFOUND) {
        decode_nothing(s, key, record);
        return STORE_ABSENT;
    }
    if (rc != 0) {
        store_explain(s, rc, "read", err);
        return STORE_FAILED;
    }
    return decode(s, key, &value, record) ? STORE_FOUND : STORE_DAMAGED;
}

int store_get_last_used(const struct store *s, MDB_txn *txn, uint64_t row,
                        int64_t *time)
{
    MDB_val key = val_of(&row, sizeof row), value;
    int rc = mdb_get(txn, s->last_used, &key, &value);

    *time = 0;
    if (rc == 0 && value.mv_size == 8)
        *time = (int64_t)load_le64(value.mv_data);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int store_raise_last_used(const struct store *s, MDB_txn *txn, uint64_t row,
                          int64_t time)
{
    int64_t stored;
    uint8_t bytes[8];
    int rc = store_get_last_used(s, txn, row, &stored);

    if (rc != 0 || stored >= time)
        return rc;
    store_le64(bytes, (uint64_t)time);
    MDB_val key = val_of(&row, sizeof row), value = val_of(bytes, sizeof bytes);
    return mdb_put(txn, s->last_used, &key, &value, 0);
}

/* --- Listing --- */

struct listing {
    struct store *s;
    MDB_txn *txn;
    struct journal_uses uses;
    bool (*visit)(void *ctx, const struct store_listed *token);
    void *ctx;
};

static int list_one(struct listing *l, const MDB_val *key, const MDB_val *value,
                    bool *go_on)
{
    struct token_record record;
    struct store_listed token = {.key = key->mv_data};

    if (key->mv_size != TOKEN_KEY_LEN)
        return MDB_CORRUPTED;
    if (decode(l->s, token.key, value, &record)) {
        int rc =
            store_get_last_used(l->s, l->txn, record.row, &token.last_used);
        if (rc != 0)
            return rc;
        int64_t in_journal = journal_uses_find(&l->uses, record.row);
        if (in_journal > token.last_used)
            token.last_used = in_journal;
        token.record = &record;
    }
    *go_on = l->visit(l->ctx, &token);
    return 0;
}

static int list_all(struct listing *l)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    bool go_on = true;
    int rc = mdb_cursor_open(l->txn, l->s->tokens, &cursor);

    if (rc != 0)
        return rc;
    while (go_on &&
           (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        rc = list_one(l, &key, &value, &go_on);
        if (rc != 0)
            break;
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int store_list(struct store *s,
               bool (*visit)(void *ctx, const struct store_listed *token),
               void *ctx, struct error *err)
{
    struct listing l = {.s = s, .visit = visit, .ctx = ctx};

    if (store_begin(s, MDB_RDONLY, &l.txn, err) != 0)
        return -1;
    int rc = journal_uses_load(s, l.txn, &l.uses);
    if (rc == 0)
        rc = list_all(&l);
    journal_uses_free(&l.uses);
    mdb_txn_abort(l.txn);
    return rc == 0 ? 0 : store_explain(s, rc, "list its tokens", err);
}
