/*
 * Reading: one token of a login, and all tokens of a listing.
 */
#include "proto/last_use.h"
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
    rc = store_tree_open(s, s->reader, STORE_TOKENS, &s->tree);
    if (rc == 0)
        rc = store_get_staged(s, s->reader, &s->staged);
    if (rc != 0) {
        mdb_txn_reset(s->reader);
        return store_explain(s, rc, "read", err);
    }
    s->reading = true;
    return 0;
}

void store_end_reads(struct store *s)
{
    if (s->reading)
        mdb_txn_reset(s->reader);
    s->reading = false;
}

static bool decode(const struct store *s, struct span key, struct span value,
                   struct token_record *record)
{
    struct token_seal seal = {.key = key.ptr, .secret = s->secret};

    return token_decode(value.ptr, value.len, &seal, record);
}

/* As much work as for a record, so that the time does not tell them apart. */
static void decode_nothing(const struct store *s, struct span key,
                           struct token_record *record)
{
    static const uint8_t nothing[TOKEN_RECORD_MIN + 8];
    struct span value = {nothing, sizeof nothing};

    (void)decode(s, key, value, record);
}

enum store_found store_find(struct store *s, const uint8_t key[TOKEN_KEY_LEN],
                            struct token_record *record, struct error *err)
{
    struct span name = {key, TOKEN_KEY_LEN}, value;
    struct store_damage damage;

    if (begin_reads(s, err) != 0)
        return STORE_FAILED;
    switch (store_tree_find(&s->tree, name, &value, &damage)) {
    case STORE_SEEK_ABSENT:
        decode_nothing(s, name, record);
        return STORE_ABSENT;
    case STORE_SEEK_DAMAGED:
        store_explain_damage(s, &damage, err);
        return STORE_FAILED;
    case STORE_SEEK_FOUND:
        break;
    }
    if (!decode(s, name, value, record))
        return STORE_DAMAGED;
    return store_is_staged(&s->staged, record->row) ? STORE_ABSENT
                                                    : STORE_FOUND;
}

int store_revision(struct store *s, uint64_t *revision, struct error *err)
{
    if (begin_reads(s, err) != 0)
        return -1;
    int rc = store_get_revision(s, s->reader, revision);
    return rc == 0 ? 0 : store_explain(s, rc, "read its revision", err);
}

struct store_usage store_usage(const struct store *s)
{
    struct store_usage usage = {0, 0};
    MDB_envinfo info;

    if (s->env == NULL || mdb_env_info(s->env, &info) != 0)
        return usage;
    usage.used = (info.me_last_pgno + 1) * s->view.page_size;
    usage.max = info.me_mapsize;
    return usage;
}

/* --- The checksum key --- */

enum { SAMPLE_MAX = 256, SAMPLE_LEAST = 8 }; /* records */

struct sample {
    struct store *s;
    size_t seen;
    bool any_verifies;
};

static bool sample_one(void *ctx, struct span key, struct span value)
{
    struct sample *sample = ctx;
    struct token_record record;

    sample->any_verifies = decode(sample->s, key, value, &record);
    return !sample->any_verifies && ++sample->seen < SAMPLE_MAX;
}

int store_check_secret(struct store *s, MDB_txn *txn, struct error *err)
{
    struct sample sample = {.s = s};
    struct store_visitor visitor = {sample_one, &sample};
    struct store_damage damage;
    struct store_tree tree;
    int rc = store_tree_open(s, txn, STORE_TOKENS, &tree);

    if (rc != 0)
        return store_explain(s, rc, "read its tokens", err);
    store_tree_each(&tree, &visitor, &damage);
    if (sample.any_verifies || sample.seen < SAMPLE_LEAST)
        return 0;
    return error_set(err,
                     "store %s: no record verifies, so its checksum key must "
                     "be damaged; restore a backup",
                     s->path);
}

/* --- Last uses --- */

int store_get_last_used(const struct store *s, MDB_txn *txn, uint64_t row,
                        int64_t *time)
{
    MDB_val key = val_of(&row, sizeof row), value;
    int rc = mdb_get(txn, s->last_used, &key, &value);

    *time = 0;
    /* A damaged time is none: the next use mends it. */
    if (rc == 0 && (value.mv_size != LAST_USE_LEN ||
                    !last_use_decode(s->secret, row, value.mv_data, time)))
        *time = 0;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int store_raise_last_used(const struct store *s, MDB_txn *txn, uint64_t row,
                          int64_t time)
{
    int64_t stored;
    uint8_t bytes[LAST_USE_LEN];
    int rc = store_get_last_used(s, txn, row, &stored);

    if (rc != 0 || stored >= time)
        return rc;
    last_use_encode(s->secret, row, time, bytes);
    MDB_val key = val_of(&row, sizeof row), value = val_of(bytes, sizeof bytes);
    return mdb_put(txn, s->last_used, &key, &value, 0);
}

/* --- Listing --- */

/* Looked up so often, last uses are worth being checked all at once. */
enum { CHECK_ALL_AFTER = 4096 };

struct listing {
    struct store *s;
    bool has_uses;  /* are last uses asked for? */
    bool of_staged; /* what is staged is asked for, instead of tokens */
    size_t lookups; /* of them */
    struct store_tree tokens, last_used;
    struct store_staged staged;
    struct journal_uses uses;
    store_visit *visit;
    void *ctx;
    struct store_damage damage; /* the first one */
    size_t lost_uses, lost_pages;
    size_t lost_values; /* last uses that do not verify */
};

static bool pass_by(void *ctx, struct span key, struct span value)
{
    (void)ctx;
    (void)key;
    (void)value;
    return true;
}

/* Once in a row here costs less than each time they are asked. */
static void check_last_used(struct listing *l)
{
    struct store_visitor visitor = {pass_by, NULL};
    struct store_damage damage;

    l->last_used.is_checked =
        store_tree_each(&l->last_used, &visitor, &damage) == 0;
}

static int64_t find_last_used(struct listing *l, uint64_t row)
{
    struct span key = {(const uint8_t *)&row, sizeof row}, value;
    int64_t folded, time = journal_uses_find(&l->uses, row);
    struct store_damage damage;

    if (++l->lookups == CHECK_ALL_AFTER)
        check_last_used(l);
    switch (store_tree_find(&l->last_used, key, &value, &damage)) {
    case STORE_SEEK_FOUND:
        if (value.len != LAST_USE_LEN ||
            !last_use_decode(l->s->secret, row, value.ptr, &folded))
            l->lost_values++;
        else if (folded > time)
            time = folded;
        break;
    case STORE_SEEK_DAMAGED:
        if (l->lost_uses++ == 0)
            l->damage = damage;
        break;
    case STORE_SEEK_ABSENT:
        break;
    }
    return time;
}

static bool list_one(void *ctx, struct span key, struct span value)
{
    struct listing *l = ctx;
    struct token_record record;
    struct store_listed token = {.key = key.ptr};

    if (decode(l->s, key, value, &record)) {
        if (store_is_staged(&l->staged, record.row) != l->of_staged)
            return true;
        if (l->has_uses)
            token.last_used = find_last_used(l, record.row);
        token.record = &record;
    }
    return l->visit(l->ctx, &token);
}

static int explain_values(const struct listing *l, struct error *err)
{
    if (l->lost_values + l->uses.damaged == 0)
        return 0;
    return error_set(
        err,
        "store %s: %zu last uses and %zu records of the journal do "
        "not verify; the next uses will mend them",
        l->s->path, l->lost_values, l->uses.damaged);
}

static int explain_losses(const struct listing *l, struct error *err)
{
    if (l->lost_pages + l->lost_uses == 0)
        return explain_values(l, err);
    return error_set(err,
                     "store %s: page %llu: %s; %zu pages of tokens and %zu "
                     "last uses could not be read; restore a backup",
                     l->s->path, (unsigned long long)l->damage.page,
                     l->damage.what, l->lost_pages, l->lost_uses);
}

static int open_uses(struct listing *l, MDB_txn *txn)
{
    int rc = journal_uses_load(l->s, txn, &l->uses);

    return rc == 0 ? store_tree_open(l->s, txn, STORE_LAST_USED, &l->last_used)
                   : rc;
}

static int list_from(struct listing *l, MDB_txn *txn, const uint8_t *from)
{
    struct store_visitor visitor = {list_one, l};
    struct span first = {from, from == NULL ? 0 : TOKEN_KEY_LEN};
    struct store_damage damage;
    int rc = store_tree_open(l->s, txn, STORE_TOKENS, &l->tokens);

    if (rc == 0)
        rc = store_get_staged(l->s, txn, &l->staged);
    if (rc == 0 && l->has_uses)
        rc = open_uses(l, txn);
    if (rc != 0)
        return rc;
    l->lost_pages = store_tree_each_from(&l->tokens, first, &visitor, &damage);
    if (l->lost_pages > 0)
        l->damage = damage;
    return 0;
}

static int list(struct listing *l, const uint8_t *from, struct error *err)
{
    MDB_txn *txn;

    if (store_begin(l->s, MDB_RDONLY, &txn, err) != 0)
        return -1;
    int rc = list_from(l, txn, from);
    rc = rc == 0 ? explain_losses(l, err)
                 : store_explain(l->s, rc, "list its tokens", err);
    journal_uses_free(&l->uses);
    mdb_txn_abort(txn);
    return rc;
}

int store_list(struct store *s, store_visit *visit, void *ctx,
               struct error *err)
{
    return store_list_from(s, NULL, visit, ctx, err);
}

int store_list_from(struct store *s, const uint8_t *from, store_visit *visit,
                    void *ctx, struct error *err)
{
    struct listing l = {.s = s, .has_uses = true, .visit = visit, .ctx = ctx};

    return list(&l, from, err);
}

int store_scan(struct store *s, const uint8_t *from, store_visit *visit,
               void *ctx, struct error *err)
{
    struct listing l = {.s = s, .visit = visit, .ctx = ctx};

    return list(&l, from, err);
}

int store_scan_staged(struct store *s, const uint8_t *from, store_visit *visit,
                      void *ctx, struct error *err)
{
    struct listing l = {.s = s, .of_staged = true, .visit = visit, .ctx = ctx};

    return list(&l, from, err);
}
