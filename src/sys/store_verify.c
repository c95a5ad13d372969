#include "sys/store_verify.h"

#include "base/bytes.h"
#include "base/wipe.h"
#include "proto/last_use.h"
#include "sys/journal.h"
#include "sys/store_env.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { KEY_TEXT = 24, ENTRY_MAX = 32 /* bytes */ };

/* Of meta, in the order of its keys. */
enum which { MAGIC, NEXT_ROW, REVISION, SECRET, STAGED, VERSION, ENTRIES };

static const char *const entry_names[ENTRIES] = {META_MAGIC,    META_NEXT_ROW,
                                                 META_REVISION, META_SECRET,
                                                 META_STAGED,   META_VERSION};

/* Numbers come before the secret that seals them: all are kept. */
struct entry {
    bool is_there;
    uint8_t len; /* longer ones are cut, and no good either */
    uint8_t bytes[ENTRY_MAX];
};

struct verification {
    const struct store_verifier *with;
    struct store_counts *counts;
    struct entry entries[ENTRIES];
    bool has_judged_entries;
    const uint8_t *secret;
    uint64_t next_row; /* 0 = not known */
    struct store_staged staged;
    uint64_t meta_page; /* the last one seen */
    bool is_stopped;    /* by whom it is for */
    bool is_staged;     /* the record at hand */
};

/* --- Faults --- */

static bool tell(struct verification *v, const struct store_fault *fault)
{
    v->counts->faults++;
    v->is_stopped = !v->with->fault(v->with->ctx, fault);
    return !v->is_stopped;
}

static bool tell_page(void *ctx, const struct store_table *table,
                      const struct store_damage *damage)
{
    struct store_fault fault = {damage->page, NULL, NULL, damage->what};

    if (table != NULL)
        fault.table = table->name;
    return tell(ctx, &fault);
}

/* A key as people read it: public id, number, or name. */
static void format_key(const struct store_record *record, char out[KEY_TEXT])
{
    if (record->table == STORE_TOKENS)
        token_format_id(record->key.ptr, out);
    else if (store_tables[record->table].is_integer)
        snprintf(out, KEY_TEXT, "%" PRIu64, page_u64(record->key.ptr));
    else
        snprintf(out, KEY_TEXT, "%.*s", (int)record->key.len,
                 (const char *)record->key.ptr);
}

static bool tell_record(struct verification *v,
                        const struct store_record *record, const char *what)
{
    char key[KEY_TEXT];
    struct store_fault fault = {record->page, store_tables[record->table].name,
                                key, what};

    format_key(record, key);
    return tell(v, &fault);
}

/* What verifies. */
static bool pass_on(struct verification *v, const struct store_record *record)
{
    if (v->with->record != NULL)
        v->is_stopped = !v->with->record(v->with->ctx, record);
    return !v->is_stopped;
}

/* --- Meta --- */

/* returns: NULL, or what is wrong */
static const char *check_entry(struct verification *v, enum which which,
                               struct span value)
{
    uint64_t number;

    switch (which) {
    case MAGIC:
        return value.len == sizeof STORE_MAGIC_TEXT &&
                       memcmp(value.ptr, STORE_MAGIC_TEXT, value.len) == 0
                   ? NULL
                   : "it is not that of this program";
    case VERSION:
        return value.len == 8 && load_le64(value.ptr) == STORE_FORMAT
                   ? NULL
                   : "it is not the format that this program knows";
    case SECRET:
        return value.len == SIPHASH_KEY_LEN ? NULL : "its length is impossible";
    case STAGED:
        return store_decode_staged(v->secret, value, &v->staged)
                   ? NULL
                   : "its checksum is wrong; rows of an import that has not "
                     "ended may count as tokens";
    default:
        break;
    }
    if (!store_decode_number(v->secret, entry_names[which], value, &number))
        return "its checksum is wrong";
    if (which == NEXT_ROW)
        v->next_row = number;
    return NULL;
}

static bool judge_entry(struct verification *v, enum which which)
{
    const struct entry *entry = &v->entries[which];
    struct store_record record = {STORE_META,
                                  v->meta_page,
                                  span_of(entry_names[which]),
                                  {entry->bytes, entry->len}};
    const char *what = "it is missing";

    if (!entry->is_there && (which == REVISION || which == STAGED))
        return true; /* nobody has changed it yet; there is none */
    if (entry->is_there)
        what = check_entry(v, which, record.value);
    if (what != NULL)
        return tell_record(v, &record, what);
    /* What is staged is not passed on either. */
    return which == STAGED || pass_on(v, &record);
}

/* When all of meta has been seen. */
static bool judge_entries(struct verification *v)
{
    if (v->has_judged_entries)
        return true;
    v->has_judged_entries = true;
    v->secret = v->entries[SECRET].bytes;
    for (int i = 0; i < ENTRIES; i++)
        if (!judge_entry(v, (enum which)i))
            return false;
    return true;
}

static bool keep_entry(struct verification *v,
                       const struct store_record *record)
{
    size_t len = record->value.len < ENTRY_MAX ? record->value.len : ENTRY_MAX;

    v->meta_page = record->page;
    for (int i = 0; i < ENTRIES; i++) {
        if (!span_equals(record->key, span_of(entry_names[i])))
            continue;
        v->entries[i].is_there = true;
        v->entries[i].len = (uint8_t)len;
        memcpy(v->entries[i].bytes, record->value.ptr, len);
        return true;
    }
    return pass_on(v, record);
}

/* --- Records: NULL, or what is wrong --- */

static void note_row(struct verification *v, uint64_t row)
{
    if (row > v->counts->greatest_row)
        v->counts->greatest_row = row;
}

static const char *check_token(struct verification *v,
                               const struct store_record *record)
{
    struct token_seal seal = {record->key.ptr, v->secret};
    struct token_record token;

    if (!token_decode(record->value.ptr, record->value.len, &seal, &token))
        return "its checksum is wrong";
    note_row(v, token.row);
    v->is_staged = store_is_staged(&v->staged, token.row);
    if (v->is_staged) {
        v->counts->staged++;
        return NULL;
    }
    v->counts->tokens++;
    v->counts->revoked += token.revoked;
    v->counts->expired +=
        token.expires != TOKEN_NEVER && token.expires <= v->with->now;
    return NULL;
}

static const char *check_batch(struct verification *v,
                               const struct store_record *record)
{
    size_t count = journal_record_count(v->secret, page_u64(record->key.ptr),
                                        record->value);

    if (count == 0)
        return "its checksum is wrong";
    for (size_t i = 0; i < count; i++)
        note_row(v, journal_record_touch(record->value, i).key);
    v->counts->journal_records++;
    v->counts->touches += count;
    return NULL;
}

static const char *check_last_use(struct verification *v,
                                  const struct store_record *record)
{
    uint64_t row = page_u64(record->key.ptr);
    int64_t time;

    if (record->value.len != LAST_USE_LEN ||
        !last_use_decode(v->secret, row, record->value.ptr, &time))
        return "its checksum is wrong";
    note_row(v, row);
    v->is_staged = store_is_staged(&v->staged, row);
    v->counts->last_uses += !v->is_staged;
    return NULL;
}

static const char *check_record(struct verification *v,
                                const struct store_record *record)
{
    switch (record->table) {
    case STORE_TOKENS:
        return check_token(v, record);
    case STORE_JOURNAL:
        return check_batch(v, record);
    default:
        return check_last_use(v, record);
    }
}

static bool take_record(void *ctx, const struct store_record *record)
{
    struct verification *v = ctx;

    if (record->table == STORE_META)
        return keep_entry(v, record);
    if (!judge_entries(v))
        return false;
    v->is_staged = false;
    const char *what = check_record(v, record);
    if (what != NULL)
        return tell_record(v, record, what);
    return v->is_staged || pass_on(v, record);
}

/* --- All of it --- */

static void judge_rows(struct verification *v)
{
    const struct store_record record = {
        STORE_META, v->meta_page, span_of(META_NEXT_ROW), {NULL, 0}};

    if (v->next_row != 0 && v->next_row <= v->counts->greatest_row)
        tell_record(v, &record, "it is not above all rows");
}

/*
 * Pages of a snapshot that no transaction holds are written over by the third
 * commit after it. When the second one has ended, that may be under way.
 */
static int check_unmoved(struct store *s, uint64_t txnid, struct error *err)
{
    if (store_check_meta(s, err) != 0)
        return -1;
    if (s->newest.txnid <= txnid + 1)
        return 0;
    return error_set(err,
                     "%s: it was written to while it was read; if it is the "
                     "store of a server, name its directory with --data",
                     s->path);
}

static int verify(struct store *s, MDB_txn *txn, struct verification *v,
                  struct error *err)
{
    struct store_survey survey = {tell_page, take_record, v, 0, 0, 0};
    struct stat file;

    if (store_check_all(s, txn, &survey, err) != 0)
        return -1;
    if (!v->is_stopped && judge_entries(v))
        judge_rows(v);
    wipe(v->entries, sizeof v->entries);
    v->counts->pages = survey.pages;
    v->counts->free_pages = survey.free_pages;
    if (fstat(s->file_fd, &file) == 0)
        v->counts->bytes = (uint64_t)file.st_size;
    return txn == NULL ? check_unmoved(s, survey.txnid, err) : 0;
}

int store_verify(struct store *s, const struct store_verifier *verifier,
                 struct store_counts *counts, struct error *err)
{
    struct verification v = {.with = verifier, .counts = counts};
    MDB_txn *txn = NULL;

    *counts = (struct store_counts){0};
    if (s->env != NULL && store_begin(s, MDB_RDONLY, &txn, err) != 0)
        return -1;
    int rc = verify(s, txn, &v, err);
    if (txn != NULL)
        mdb_txn_abort(txn);
    return rc;
}
