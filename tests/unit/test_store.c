/* Unit tests of sys/store, on real LMDB files. */
#include "sys/store.h"

#include "base/bytes.h"
#include "sys/journal.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch_store.h"

static struct scratch d;
static struct store *s;
static struct error err;

static int begin(void **state)
{
    (void)state;
    s = NULL;
    return scratch_make(&d);
}

static int end(void **state)
{
    (void)state;
    store_close(s);
    s = NULL;
    return scratch_remove(&d);
}

static void open_store(enum store_access access)
{
    store_close(s);
    s = store_open(d.dir, access, SCRATCH_MAP, &err);
    if (s == NULL)
        fail_msg("%s", err.text);
}

static void close_store(void)
{
    store_close(s);
    s = NULL;
}

static void expect_refusal(enum store_access access, const char *why)
{
    close_store();
    err.text[0] = '\0';
    assert_null(store_open(d.dir, access, SCRATCH_MAP, &err));
    if (strstr(err.text, why) == NULL || strstr(err.text, d.dir) == NULL)
        fail_msg("'%s' does not say: %s", err.text, why);
    assert_null(strchr(err.text, '\n'));
}

static enum store_import_result put(struct store_import *im, unsigned n,
                                    int64_t last_used)
{
    uint8_t key[TOKEN_KEY_LEN];
    struct token_record record = scratch_record(n);
    struct store_row row = {scratch_key(key, n), &record, last_used};

    return store_import_put(im, &row, &err);
}

static struct store_import *begin_import(void)
{
    struct store_import *im = store_import_begin(s, &err);

    assert_non_null(im);
    return im;
}

/* Import the tokens first, first + step, … */
static void import_tokens(unsigned first, unsigned step, unsigned count)
{
    struct store_import *im = begin_import();

    for (unsigned i = 0; i < count; i++)
        assert_int_equal(put(im, first + i * step, 0), STORE_IMPORT_CREATED);
    assert_int_equal(store_import_commit(im, &err), 0);
}

static enum store_found find(unsigned n, struct token_record *record)
{
    uint8_t key[TOKEN_KEY_LEN];
    enum store_found found = store_find(s, scratch_key(key, n), record, &err);

    store_end_reads(s);
    return found;
}

static void expect_token(unsigned n)
{
    struct token_record got, wanted = scratch_record(n);

    if (find(n, &got) != STORE_FOUND)
        fail_msg("token %u is not there", n);
    assert_int_equal(got.created, wanted.created);
    assert_int_equal(got.not_before, wanted.not_before);
    assert_int_equal(got.expires, wanted.expires);
    assert_int_equal(got.revoked, wanted.revoked);
    assert_int_equal(got.username_len, wanted.username_len);
    assert_memory_equal(got.username, wanted.username, got.username_len);
}

static bool exists(const char *name)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", d.dir, name);
    return access(path, F_OK) == 0;
}

/* --- Opening --- */

static void create_and_reopen(void **state)
{
    struct token_record record;
    struct stat file;
    (void)state;

    open_store(STORE_CREATE);
    assert_int_equal(find(1, &record), STORE_ABSENT);
    assert_false(exists("store.mdb.new"));
    assert_false(exists("store.mdb.new-lock"));
    assert_int_equal(stat(d.file, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    import_tokens(1, 1, 3);
    open_store(STORE_EXISTING);
    expect_token(2);
    open_store(STORE_CREATE);
    expect_token(3);
}

static void left_over_creation(void **state)
{
    char path[256];
    (void)state;

    snprintf(path, sizeof path, "%s.new", d.file);
    FILE *file = fopen(path, "w");
    fputs("half a store", file);
    fclose(file);
    open_store(STORE_CREATE);
    assert_false(exists("store.mdb.new"));
    import_tokens(1, 1, 1);
    expect_token(1);
}

static void missing(void **state)
{
    (void)state;
    expect_refusal(STORE_EXISTING, "does not exist");
    assert_null(store_open("no/such/dir", STORE_CREATE, SCRATCH_MAP, &err));
    assert_string_equal(err.text, "data directory no/such/dir: it does not "
                                  "exist; create it with mkdir -m 700");
    assert_false(exists("store.mdb"));
}

static void not_a_directory(void **state)
{
    char path[256];
    (void)state;

    snprintf(path, sizeof path, "%s/file", d.dir);
    fclose(fopen(path, "w"));
    assert_null(store_open(path, STORE_CREATE, SCRATCH_MAP, &err));
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "Not a directory"));
}

static void path_too_long(void **state)
{
    static char path[2 * 4096];
    (void)state;

    memset(path, 'a', sizeof path - 1);
    assert_null(store_open(path, STORE_CREATE, SCRATCH_MAP, &err));
    assert_non_null(strstr(err.text, "too long"));
}

static void write_file(const void *data, size_t len)
{
    FILE *file = fopen(d.file, "w");

    assert_non_null(file);
    fwrite(data, 1, len, file);
    fclose(file);
}

static void empty_or_foreign_file(void **state)
{
    static char page[16384];
    (void)state;

    write_file("", 0);
    expect_refusal(STORE_CREATE, "it is empty (0 bytes)");
    expect_refusal(STORE_EXISTING, "it is empty (0 bytes)");
    write_file("hello", 5);
    expect_refusal(STORE_CREATE, "not a database of this program");
    memset(page, 'x', sizeof page);
    write_file(page, sizeof page);
    expect_refusal(STORE_CREATE, "not a database of this program");
    unlink(d.file);
    mkdir(d.file, 0700);
    expect_refusal(STORE_CREATE, "not a regular file");
    rmdir(d.file);
}

static void foreign_database(void **state)
{
    (void)state;
    struct raw r = raw_open(&d, "theirs", MDB_CREATE);
    raw_put(&r, "a", "b", 1);
    raw_close(&r);
    expect_refusal(STORE_CREATE, "database of another program");
    /* One that has tables of our names. */
    r = raw_open(&d, "meta", MDB_CREATE);
    MDB_dbi other;
    raw_must(mdb_dbi_open(r.txn, "tokens", MDB_CREATE, &other));
    raw_must(
        mdb_dbi_open(r.txn, "journal", MDB_CREATE | MDB_INTEGERKEY, &other));
    raw_must(
        mdb_dbi_open(r.txn, "last_used", MDB_CREATE | MDB_INTEGERKEY, &other));
    raw_close(&r);
    expect_refusal(STORE_EXISTING, "database of another program");
    r = raw_open(&d, "meta", 0);
    raw_put(&r, "magic", "openchampps stolen", 17);
    raw_close(&r);
    expect_refusal(STORE_EXISTING, "database of another program");
    r = raw_open(&d, "theirs", 0);
    assert_int_equal(raw_count(&r), 1);
    raw_close(&r);
}

static void other_formats(void **state)
{
    static const uint64_t versions[] = {0, 1, UINT64_MAX};
    uint8_t bytes[8];
    char why[64];
    (void)state;

    open_store(STORE_CREATE);
    for (size_t i = 0; i < 3; i++) {
        close_store();
        struct raw r = raw_open(&d, "meta", 0);
        store_le64(bytes, versions[i]);
        raw_put(&r, "version", bytes, 8);
        raw_close(&r);
        snprintf(why, sizeof why, "it has format %llu,",
                 (unsigned long long)versions[i]);
        expect_refusal(STORE_EXISTING, why);
        assert_non_null(strstr(err.text, "knows format 2"));
    }
    struct raw r = raw_open(&d, "meta", 0);
    raw_put(&r, "version", bytes, 7);
    raw_close(&r);
    expect_refusal(STORE_EXISTING, "cannot read its format");
}

static void damaged_secret(void **state)
{
    (void)state;
    open_store(STORE_CREATE);
    close_store();
    struct raw r = raw_open(&d, "meta", 0);
    raw_put(&r, "secret", "short", 5);
    raw_close(&r);
    expect_refusal(STORE_EXISTING, "cannot read its checksum key");
}

/* A shorter file is refused, or it was whole without the missing pages. */
static void cut_files(void **state)
{
    enum { TOKENS = 1000 };
    static uint8_t whole[1 << 20];
    size_t refused = 0;
    (void)state;

    signal(SIGBUS, SIG_DFL); /* cmocka's handler would outlive a fork */
    open_store(STORE_CREATE);
    import_tokens(0, 1, TOKENS);
    close_store();
    FILE *file = fopen(d.file, "r");
    size_t len = fread(whole, 1, sizeof whole, file);
    fclose(file);
    assert_true(len > 0 && len < sizeof whole);
    for (size_t cut = len - 1; cut > 0; cut = cut > 4096 ? cut - 4095 : 0) {
        write_file(whole, cut);
        s = store_open(d.dir, STORE_EXISTING, SCRATCH_MAP, &err);
        if (s == NULL) {
            assert_non_null(strstr(err.text, d.dir));
            refused++;
            continue;
        }
        for (unsigned n = 0; n < TOKENS; n++)
            expect_token(n);
        close_store();
    }
    assert_true(refused >= len / 4096 - 3);
    write_file(whole, len - 4096);
    expect_refusal(STORE_EXISTING, "it is cut short; restore a backup");
    write_file(whole, len);
    open_store(STORE_EXISTING);
    expect_token(TOKENS - 1);
}

/* The table of free pages is whole, but what is missing is not in it. */
static void data_missing_at_the_end(void **state)
{
    static const uint8_t large[200000];
    struct stat file;
    (void)state;

    open_store(STORE_CREATE);
    import_tokens(0, 1, 300);
    close_store();
    /* The small ones take free pages from then on. */
    for (int i = 0; i < 6; i++) {
        struct raw r = raw_open(&d, "meta", 0);
        raw_put(&r, i == 2 ? "large" : "small", large,
                i == 2 ? sizeof large : 1 + (size_t)i);
        raw_close(&r);
    }
    open_store(STORE_EXISTING);
    close_store();
    assert_int_equal(stat(d.file, &file), 0);
    assert_int_equal(truncate(d.file, file.st_size - 4096), 0);
    expect_refusal(STORE_EXISTING, "it is cut short; restore a backup");
}

/* LMDB does not write pages that it took and freed in one transaction. */
static void short_by_right(void **state)
{
    static const uint8_t large[400000];
    MDB_val key = {1, "a"};
    struct stat file;
    MDB_envinfo info;
    (void)state;

    open_store(STORE_CREATE);
    import_tokens(0, 1, 10);
    close_store();
    /* Free pages first, and two transactions until they can be used. */
    for (int i = 0; i < 4; i++) {
        struct raw r = raw_open(&d, "meta", 0);
        raw_put(&r, "b", "x", 1);
        if (i == 1)
            raw_must(mdb_del(r.txn, r.table, &key, NULL));
        else if (i != 2)
            raw_put(&r, "a", large, i == 0 ? 50000 : sizeof large);
        if (i == 3)
            raw_must(mdb_del(r.txn, r.table, &key, NULL));
        raw_must(mdb_txn_commit(r.txn));
        mdb_env_info(r.env, &info);
        mdb_env_close(r.env);
    }
    assert_int_equal(stat(d.file, &file), 0);
    assert_true((size_t)file.st_size < (info.me_last_pgno + 1) * 4096);
    open_store(STORE_EXISTING);
    expect_token(9);
    import_tokens(10, 1, 2000);
    open_store(STORE_EXISTING);
    expect_token(2009);
}

/* Two stores do not share the key of their checksums. */
static void secrets_differ(void **state)
{
    uint8_t secret[2][16];
    (void)state;

    for (int i = 0; i < 2; i++) {
        open_store(STORE_CREATE);
        close_store();
        struct raw r = raw_open(&d, "meta", 0);
        MDB_val key = {6, "secret"}, value;
        raw_must(mdb_get(r.txn, r.table, &key, &value));
        assert_int_equal(value.mv_size, 16);
        memcpy(secret[i], value.mv_data, 16);
        raw_close(&r);
        unlink(d.file);
    }
    assert_memory_not_equal(secret[0], secret[1], 16);
}

static void reopening(void **state)
{
    (void)state;
    open_store(STORE_CREATE);
    import_tokens(1, 1, 5);
    expect_token(4);
    assert_false(store_needs_reopen(s));
    assert_int_equal(store_reopen(s, &err), 0);
    expect_token(5);
    import_tokens(6, 1, 1);
    expect_token(6);
    /* The file has gone: everything fails, until it is back. */
    char away[192];
    snprintf(away, sizeof away, "%s.away", d.file);
    rename(d.file, away);
    mkdir(d.file, 0700);
    assert_int_equal(store_reopen(s, &err), -1);
    struct token_record record;
    assert_int_equal(find(1, &record), STORE_FAILED);
    assert_true(store_needs_reopen(s));
    assert_null(store_import_begin(s, &err));
    rmdir(d.file);
    rename(away, d.file);
    assert_int_equal(store_reopen(s, &err), 0);
    assert_false(store_needs_reopen(s));
    expect_token(1);
}

/* --- Finding --- */

static void reads_are_of_one_moment(void **state)
{
    uint8_t key[TOKEN_KEY_LEN];
    struct token_record record;
    (void)state;

    open_store(STORE_CREATE);
    import_tokens(1, 1, 1);
    assert_int_equal(store_find(s, scratch_key(key, 1), &record, &err),
                     STORE_FOUND);
    import_tokens(2, 1, 1);
    assert_int_equal(store_find(s, scratch_key(key, 2), &record, &err),
                     STORE_ABSENT);
    store_end_reads(s);
    store_end_reads(s);
    assert_int_equal(store_find(s, scratch_key(key, 2), &record, &err),
                     STORE_FOUND);
    store_end_reads(s);
}

static void damaged_records(void **state)
{
    struct token_record record;
    uint8_t key[TOKEN_KEY_LEN];
    (void)state;

    open_store(STORE_CREATE);
    import_tokens(1, 1, 4);
    close_store();
    struct raw r = raw_open(&d, "tokens", 0);
    raw_flip(&r, scratch_key(key, 1), TOKEN_KEY_LEN, TOKEN_RECORD_HEAD);
    raw_flip(&r, scratch_key(key, 2), TOKEN_KEY_LEN, -1);
    MDB_val k = {TOKEN_KEY_LEN, key}, v;
    uint8_t moved[TOKEN_RECORD_MAX];
    scratch_key(key, 4);
    raw_must(mdb_get(r.txn, r.table, &k, &v));
    memcpy(moved, v.mv_data, v.mv_size);
    v.mv_data = moved;
    scratch_key(key, 9);
    raw_must(mdb_put(r.txn, r.table, &k, &v, 0));
    raw_close(&r);
    open_store(STORE_EXISTING);
    assert_int_equal(find(1, &record), STORE_DAMAGED);
    assert_int_equal(find(2, &record), STORE_DAMAGED);
    expect_token(3);
    expect_token(4);
    assert_int_equal(find(9, &record), STORE_DAMAGED);
    assert_int_equal(find(8, &record), STORE_ABSENT);
}

/* --- Importing --- */

static void any_order_of_keys(void **state)
{
    enum { N = 3001 }; /* a prime */
    struct store_import *im;
    struct token_record record;
    bool rows[N + 1] = {false};
    (void)state;

    open_store(STORE_CREATE);
    im = begin_import();
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(put(im, i * 1237 % N, 0), STORE_IMPORT_CREATED);
    assert_int_equal(store_import_commit(im, &err), 0);
    for (unsigned n = 0; n < N; n++) {
        expect_token(n);
        find(n, &record);
        assert_true(record.row >= 1 && record.row <= N && !rows[record.row]);
        rows[record.row] = true;
    }
    import_tokens(N, 1, 10);
    find(N, &record);
    assert_int_equal(record.row, N + 1);
}

static void ascending_keys_between_others(void **state)
{
    (void)state;
    open_store(STORE_CREATE);
    import_tokens(0, 10, 200);
    import_tokens(5, 10, 300);
    for (unsigned i = 0; i < 200; i++) {
        expect_token(10 * i);
        expect_token(10 * i + 5);
    }
}

static void the_same_again(void **state)
{
    (void)state;
    open_store(STORE_CREATE);
    import_tokens(0, 2, 20);
    struct store_import *im = begin_import();
    for (unsigned n = 0; n < 40; n++)
        assert_int_equal(put(im, n, 0), n % 2 == 0 ? STORE_IMPORT_UNCHANGED
                                                   : STORE_IMPORT_CREATED);
    for (unsigned n = 0; n < 40; n++)
        assert_int_equal(put(im, n, 0), STORE_IMPORT_UNCHANGED);
    assert_int_equal(store_import_commit(im, &err), 0);
}

static void check_conflict(struct store_import *im, struct token_record *record)
{
    uint8_t key[TOKEN_KEY_LEN];
    struct store_row row = {scratch_key(key, 4), record, 0};

    assert_int_equal(store_import_put(im, &row, &err), STORE_IMPORT_CONFLICT);
}

static void conflicts(void **state)
{
    struct token_record r;
    (void)state;

    open_store(STORE_CREATE);
    import_tokens(0, 2, 20);
    struct store_import *im = begin_import();
    r = scratch_record(4);
    r.created++;
    check_conflict(im, &r);
    r = scratch_record(4);
    r.not_before++;
    check_conflict(im, &r);
    r = scratch_record(4);
    r.expires++;
    check_conflict(im, &r);
    r = scratch_record(4);
    r.revoked = !r.revoked;
    check_conflict(im, &r);
    r = scratch_record(4);
    r.username_len--;
    check_conflict(im, &r);
    r = scratch_record(4);
    r.username[0] ^= 1;
    check_conflict(im, &r);
    r = scratch_record(4);
    r.row = 77; /* not compared */
    uint8_t key[TOKEN_KEY_LEN];
    struct store_row row = {scratch_key(key, 4), &r, 0};
    assert_int_equal(store_import_put(im, &row, &err), STORE_IMPORT_UNCHANGED);
    assert_int_equal(store_import_commit(im, &err), 0);
    expect_token(4);
}

static uint64_t revision(void)
{
    uint64_t number = 0;
    MDB_txn *txn;

    assert_int_equal(store_begin(s, MDB_RDONLY, &txn, &err), 0);
    assert_int_equal(store_get_number(s, txn, META_REVISION, &number), 0);
    mdb_txn_abort(txn);
    return number;
}

static void replacing_keeps_the_row(void **state)
{
    uint8_t key[TOKEN_KEY_LEN];
    struct token_record r, before;
    struct store_row row = {key, &r, 50};
    (void)state;

    open_store(STORE_CREATE);
    struct store_import *im = begin_import();
    for (unsigned n = 0; n < 300; n++)
        put(im, n, 100);
    assert_int_equal(store_import_commit(im, &err), 0);
    im = begin_import();
    for (unsigned n = 0; n < 600; n++) {
        scratch_key(key, n);
        r = scratch_record(n);
        bool is_longer = n % 2 == 0 && n < 300;
        if (is_longer)
            r.username_len = 200; /* the leaf will be split */
        enum store_import_result expected = n >= 300 ? STORE_IMPORT_CREATED
                                            : is_longer
                                                ? STORE_IMPORT_REPLACED
                                                : STORE_IMPORT_UNCHANGED;
        assert_int_equal(store_import_replace(im, &row, &err), expected);
    }
    find(6, &before);
    assert_int_equal(store_import_commit(im, &err), 0);
    store_end_reads(s);
    assert_int_equal(find(6, &r), STORE_FOUND);
    assert_int_equal(r.username_len, 200);
    assert_int_equal(r.row, before.row);
    assert_int_equal(scratch_in_table(s, r.row), 100);
    expect_token(7);
    expect_token(301);
}

static void foreseeing_writes_nothing(void **state)
{
    uint8_t key[TOKEN_KEY_LEN];
    struct token_record r = scratch_record(1);
    struct store_row row = {scratch_key(key, 1), &r, 0};
    (void)state;

    assert_int_equal(store_exists(d.dir, &err), 0);
    assert_int_equal(store_exists("no/such/place", &err), -1);
    open_store(STORE_CREATE);
    assert_int_equal(store_exists(d.dir, &err), 1);
    assert_int_equal(store_import_foresee(s, &row, &err), STORE_IMPORT_CREATED);
    store_end_reads(s);
    import_tokens(1, 1, 1);
    uint64_t before = revision();
    assert_int_equal(store_import_foresee(s, &row, &err),
                     STORE_IMPORT_UNCHANGED);
    r.created++;
    assert_int_equal(store_import_foresee(s, &row, &err),
                     STORE_IMPORT_CONFLICT);
    store_end_reads(s);
    assert_int_equal(revision(), before);
    expect_token(1);
}

/* What changes no token makes no server look at its connections again. */
static void only_changes_are_noted(void **state)
{
    (void)state;
    open_store(STORE_CREATE);
    import_tokens(1, 1, 2);
    uint64_t before = revision();
    struct store_import *im = begin_import();
    assert_int_equal(put(im, 1, 99), STORE_IMPORT_UNCHANGED);
    assert_int_equal(store_import_commit(im, &err), 0);
    assert_int_equal(revision(), before);
    import_tokens(3, 1, 1);
    assert_int_equal(revision(), before + 1);
}

static void a_damaged_record_is_mended(void **state)
{
    uint8_t key[TOKEN_KEY_LEN];
    (void)state;

    open_store(STORE_CREATE);
    import_tokens(1, 1, 2);
    close_store();
    struct raw r = raw_open(&d, "tokens", 0);
    raw_flip(&r, scratch_key(key, 1), TOKEN_KEY_LEN, 20);
    raw_close(&r);
    open_store(STORE_EXISTING);
    struct store_import *im = begin_import();
    assert_int_equal(put(im, 1, 0), STORE_IMPORT_CREATED);
    assert_int_equal(store_import_commit(im, &err), 0);
    expect_token(1);
}

static void abort_leaves_nothing(void **state)
{
    struct token_record record;
    (void)state;

    open_store(STORE_CREATE);
    struct store_import *im = begin_import();
    for (unsigned n = 0; n < 500; n++)
        put(im, n, 1234);
    store_import_abort(im);
    store_import_abort(NULL);
    for (unsigned n = 0; n < 500; n++)
        assert_int_equal(find(n, &record), STORE_ABSENT);
    import_tokens(3, 1, 1);
    find(3, &record);
    assert_int_equal(record.row, 1);
    close_store();
    struct raw r = raw_open(&d, "last_used", 0);
    assert_int_equal(raw_count(&r), 0);
    raw_close(&r);
}

/* Nothing is seen before the commit, all of it afterwards. */
static void import_is_one_step(void **state)
{
    struct token_record record;
    (void)state;

    open_store(STORE_CREATE);
    struct store_import *im = begin_import();
    put(im, 1, 0);
    put(im, 2, 0);
    assert_int_equal(find(1, &record), STORE_ABSENT);
    assert_int_equal(store_import_commit(im, &err), 0);
    expect_token(1);
    expect_token(2);
}

static void full_map(void **state)
{
    struct token_record record;
    enum store_import_result result = STORE_IMPORT_CREATED;
    (void)state;

    s = store_open(d.dir, STORE_CREATE, 1 << 20, &err);
    assert_non_null(s);
    import_tokens(0, 1, 10);
    struct store_import *im = begin_import();
    for (unsigned n = 10; result == STORE_IMPORT_CREATED && n < 100000; n++)
        result = put(im, n, 1);
    assert_int_equal(result, STORE_IMPORT_FAILED);
    assert_non_null(strstr(err.text, "raise --map-size"));
    store_import_abort(im);
    expect_token(9);
    assert_int_equal(find(10, &record), STORE_ABSENT);
    assert_false(store_needs_reopen(s));
    open_store(STORE_EXISTING);
    import_tokens(10, 1, 20000);
    expect_token(20009);
}

/* Another process has more room, and has used it. */
static void grown_beyond_our_map(void **state)
{
    (void)state;
    open_store(STORE_CREATE);
    import_tokens(0, 1, 20000);
    store_close(s);
    s = store_open(d.dir, STORE_EXISTING, 1 << 20, &err);
    assert_non_null(s);
    import_tokens(20000, 1, 2000);
    expect_token(0);
    expect_token(21999);
}

/* --- Listing --- */

struct listing {
    unsigned next;
    size_t count, damaged, stop_after;
    int64_t used[64];
};

static bool visit(void *ctx, const struct store_listed *token)
{
    struct listing *l = ctx;
    uint8_t key[TOKEN_KEY_LEN];

    assert_memory_equal(token->key, scratch_key(key, l->next), TOKEN_KEY_LEN);
    if (token->record == NULL) {
        l->damaged++;
        assert_int_equal(token->last_used, 0);
    } else {
        struct token_record wanted = scratch_record(l->next);
        assert_int_equal(token->record->created, wanted.created);
    }
    if (l->next < 64)
        l->used[l->next] = token->last_used;
    l->next++;
    l->count++;
    return l->count != l->stop_after;
}

static struct listing list(size_t stop_after)
{
    struct listing l = {.stop_after = stop_after};

    assert_int_equal(store_list(s, visit, &l, &err), 0);
    return l;
}

static void listings(void **state)
{
    (void)state;
    open_store(STORE_CREATE);
    assert_int_equal(list(0).count, 0);
    import_tokens(0, 1, 1000);
    assert_int_equal(list(0).count, 1000);
    assert_int_equal(list(0).used[3], 0);
    assert_int_equal(list(1).count, 1);
    assert_int_equal(list(7).count, 7);
}

static void listings_with_damage(void **state)
{
    uint8_t key[TOKEN_KEY_LEN];
    (void)state;

    open_store(STORE_CREATE);
    import_tokens(0, 1, 10);
    close_store();
    struct raw r = raw_open(&d, "tokens", 0);
    raw_flip(&r, scratch_key(key, 4), TOKEN_KEY_LEN, 3);
    raw_close(&r);
    open_store(STORE_EXISTING);
    struct listing l = list(0);
    assert_int_equal(l.count, 10);
    assert_int_equal(l.damaged, 1);
}

static void listings_with_damaged_last_uses(void **state)
{
    const uint64_t row = 4;
    struct listing l = {0};
    (void)state;

    open_store(STORE_CREATE);
    struct store_import *im = begin_import();
    for (unsigned n = 0; n < 10; n++)
        put(im, n, 100);
    assert_int_equal(store_import_commit(im, &err), 0);
    close_store();
    struct raw r = raw_open(&d, "last_used", MDB_INTEGERKEY);
    raw_flip(&r, &row, sizeof row, 1);
    raw_close(&r);
    open_store(STORE_EXISTING);
    assert_int_equal(store_list(s, visit, &l, &err), -1);
    assert_non_null(strstr(err.text, "1 last uses and 0 records"));
    assert_int_equal(l.count, 10);
    assert_int_equal(l.used[3], 0);
    im = begin_import();
    put(im, 3, 50); /* lower than what was there, but nobody knows that now */
    assert_int_equal(store_import_commit(im, &err), 0);
    assert_int_equal(list(0).used[3], 50);
}

/* Imported last uses only ever rise. */
static void last_uses_of_imports(void **state)
{
    static const int64_t later[] = {0, 5, 99, 100, 101, 1 << 30};
    (void)state;

    open_store(STORE_CREATE);
    struct store_import *im = begin_import();
    for (unsigned n = 0; n < 6; n++)
        put(im, n, n == 0 ? 0 : 100);
    assert_int_equal(store_import_commit(im, &err), 0);
    assert_int_equal(list(0).used[0], 0);
    assert_int_equal(list(0).used[1], 100);
    im = begin_import();
    for (unsigned n = 0; n < 6; n++)
        assert_int_equal(put(im, n, later[n]), STORE_IMPORT_UNCHANGED);
    assert_int_equal(store_import_commit(im, &err), 0);
    struct listing l = list(0);
    for (unsigned n = 1; n < 6; n++)
        assert_int_equal(l.used[n], later[n] > 100 ? later[n] : 100);
}

static void listings_merge_the_journal(void **state)
{
    struct token_record record;
    struct sort_pair touches[3];
    (void)state;

    open_store(STORE_CREATE);
    struct store_import *im = begin_import();
    for (unsigned n = 0; n < 4; n++)
        put(im, n, 100);
    assert_int_equal(store_import_commit(im, &err), 0);
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(find(n, &record), STORE_FOUND);
        touches[n] = (struct sort_pair){record.row, 99 + n};
    }
    assert_int_equal(journal_append(s, touches, 3, &err), 0);
    struct listing l = list(0);
    assert_int_equal(l.used[0], 100);
    assert_int_equal(l.used[1], 100);
    assert_int_equal(l.used[2], 101);
    assert_int_equal(l.used[3], 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(create_and_reopen),
        TEST(left_over_creation),
        TEST(missing),
        TEST(not_a_directory),
        TEST(path_too_long),
        TEST(empty_or_foreign_file),
        TEST(foreign_database),
        TEST(other_formats),
        TEST(damaged_secret),
        TEST(cut_files),
        TEST(data_missing_at_the_end),
        TEST(short_by_right),
        TEST(secrets_differ),
        TEST(reopening),
        TEST(reads_are_of_one_moment),
        TEST(damaged_records),
        TEST(any_order_of_keys),
        TEST(ascending_keys_between_others),
        TEST(the_same_again),
        TEST(conflicts),
        TEST(replacing_keeps_the_row),
        TEST(foreseeing_writes_nothing),
        TEST(only_changes_are_noted),
        TEST(a_damaged_record_is_mended),
        TEST(abort_leaves_nothing),
        TEST(import_is_one_step),
        TEST(full_map),
        TEST(grown_beyond_our_map),
        TEST(listings),
        TEST(listings_with_damage),
        TEST(listings_with_damaged_last_uses),
        TEST(last_uses_of_imports),
        TEST(listings_merge_the_journal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
