/* Unit tests of sys/store_verify and sys/store_copy. */
#include "sys/store_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "scratch_store.h"

enum { PAGE = 4096, TOKENS = 400, USED = 300, NOW = 5100 };

static struct scratch d;
static char copy[200]; /* where copies go */
static struct error err;

static int begin(void **state)
{
    (void)state;
    if (scratch_make(&d) != 0)
        return -1;
    snprintf(copy, sizeof copy, "%s/copy.mdb", d.dir);
    return 0;
}

static int end(void **state)
{
    (void)state;
    return scratch_remove(&d);
}

static struct store *open_as(enum store_access access)
{
    struct store *s = store_open(d.dir, access, SCRATCH_MAP, &err);

    if (s == NULL)
        fail_msg("%s", err.text);
    return s;
}

/* Tokens, last uses of each, and two batches, of which one is large. */
static void fill(void)
{
    static struct sort_pair touches[USED];
    struct store *s = open_as(STORE_CREATE);
    struct store_import *im = store_import_begin(s, &err);
    uint8_t key[TOKEN_KEY_LEN];

    assert_non_null(im);
    for (unsigned n = 0; n < TOKENS; n++) {
        struct token_record record = scratch_record(n);
        struct store_row row = {scratch_key(key, n), &record, 50 + n};
        assert_int_equal(store_import_put(im, &row, &err),
                         STORE_IMPORT_CREATED);
    }
    assert_int_equal(store_import_commit(im, &err), 0);
    for (unsigned i = 0; i < USED; i++)
        touches[i] = (struct sort_pair){1 + i, 9000};
    assert_int_equal(journal_append(s, touches, USED, &err), 0);
    assert_int_equal(journal_append(s, touches, 1, &err), 0);
    store_close(s);
}

/* --- What was told --- */

static struct {
    char text[4096];
    struct store_counts counts;
    unsigned faults, most; /* told, and after how many it is stopped */
} told;

static bool tell(void *ctx, const struct store_fault *fault)
{
    size_t len = strlen(told.text);
    (void)ctx;

    snprintf(told.text + len, sizeof told.text - len, "%llu %s %s: %s\n",
             (unsigned long long)fault->page,
             fault->table == NULL ? "-" : fault->table,
             fault->key == NULL ? "-" : fault->key, fault->what);
    return ++told.faults != told.most;
}

/* returns: as store_verify; closes the store */
static int verify(struct store *s)
{
    struct store_verifier verifier = {tell, NULL, NULL, NOW};

    assert_non_null(s);
    told.text[0] = '\0';
    told.faults = 0;
    int rc = store_verify(s, &verifier, &told.counts, &err);
    store_close(s);
    return rc;
}

/* Both ways to read it say the same. */
static void expect_told(unsigned faults, const char *text)
{
    for (int i = 0; i < 2; i++) {
        assert_int_equal(verify(i == 0 ? open_as(STORE_UNCHECKED)
                                       : store_open_file(d.file, &err)),
                         0);
        if (told.faults != faults || strstr(told.text, text) == NULL)
            fail_msg("%u faults: %s(not %u: %s)", told.faults, told.text,
                     faults, text);
        assert_int_equal(told.counts.faults, faults);
    }
}

/* --- Verifying --- */

static void a_sound_store(void **state)
{
    unsigned expired = 0, revoked = 0;
    (void)state;

    fill();
    expect_told(0, "");
    for (unsigned n = 0; n < TOKENS; n++) {
        struct token_record r = scratch_record(n);
        expired += r.expires != TOKEN_NEVER && r.expires <= NOW;
        revoked += r.revoked;
    }
    assert_int_equal(told.counts.tokens, TOKENS);
    assert_int_equal(told.counts.expired, expired);
    assert_int_equal(told.counts.revoked, revoked);
    assert_int_equal(told.counts.last_uses, TOKENS);
    assert_int_equal(told.counts.journal_records, 2);
    assert_int_equal(told.counts.touches, USED + 1);
    assert_int_equal(told.counts.greatest_row, TOKENS);
    assert_true(told.counts.free_pages < told.counts.pages);
    assert_true(told.counts.bytes <= told.counts.pages * PAGE);
}

static void flip(const char *table, unsigned flags, MDB_val key, long at)
{
    struct raw r = raw_open(&d, table, flags);

    raw_flip(&r, key.mv_data, key.mv_size, at);
    raw_close(&r);
}

static void flip_token(unsigned n)
{
    uint8_t key[TOKEN_KEY_LEN];

    flip("tokens", 0, val_of(scratch_key(key, n), TOKEN_KEY_LEN), 40);
}

static void flip_meta(const char *name)
{
    flip("meta", 0, val_of(name, strlen(name)), 1);
}

static void lower_next_row(void)
{
    struct store *s = open_as(STORE_EXISTING);
    MDB_txn *txn;

    assert_int_equal(store_begin(s, 0, &txn, &err), 0);
    assert_int_equal(store_put_number(s, txn, META_NEXT_ROW, TOKENS), 0);
    assert_int_equal(store_commit(s, txn, &err), 0);
    store_close(s);
}

static void records(void **state)
{
    uint64_t seq = 2, row = 5;
    (void)state;

    fill();
    flip_token(7);
    expect_told(1, " tokens 000000074040: its checksum is wrong");
    assert_int_equal(told.counts.tokens, TOKENS - 1);
    flip("journal", MDB_INTEGERKEY, val_of(&seq, sizeof seq), 3);
    expect_told(2, " journal 2: its checksum is wrong");
    assert_int_equal(told.counts.touches, USED);
    flip("last_used", MDB_INTEGERKEY, val_of(&row, sizeof row), 3);
    expect_told(3, " last_used 5: its checksum is wrong");
    assert_int_equal(told.counts.last_uses, TOKENS - 1);
    lower_next_row();
    expect_told(4, " meta next_row: it is not above all rows");
    flip_meta(META_NEXT_ROW);
    expect_told(4, " meta next_row: its checksum is wrong");
    flip_meta(META_REVISION);
    expect_told(5, " meta revision: its checksum is wrong");
    flip_meta(META_VERSION);
    expect_told(6, " meta version: it is not the format that");
    struct raw r = raw_open(&d, "meta", 0);
    MDB_val key = val_of(META_MAGIC, strlen(META_MAGIC));
    raw_must(mdb_del(r.txn, r.table, &key, NULL));
    raw_close(&r);
    expect_told(7, " meta magic: it is missing");
}

static void it_can_be_stopped(void **state)
{
    (void)state;

    fill();
    for (unsigned n = 0; n < 10; n++)
        flip_token(n);
    told.most = 3;
    assert_int_equal(verify(store_open_file(d.file, &err)), 0);
    told.most = 0;
    assert_int_equal(told.faults, 3);
}

static void damage_page(uint64_t number)
{
    static const uint8_t bad[64] = {0x5a};
    int fd = open(d.file, O_WRONLY);

    assert_int_equal(pwrite(fd, bad, sizeof bad, (off_t)(number * PAGE)), 64);
    close(fd);
}

static uint64_t root_of(enum store_table_id id)
{
    struct store *s = open_as(STORE_EXISTING);
    struct store_tree tree;
    MDB_txn *txn;

    assert_int_equal(store_begin(s, MDB_RDONLY, &txn, &err), 0);
    assert_int_equal(store_tree_open(s, txn, id, &tree), 0);
    mdb_txn_abort(txn);
    store_close(s);
    return tree.root;
}

/* A root is lost with all below it; the other tables are read. */
static void pages(void **state)
{
    char text[64];
    (void)state;

    fill();
    uint64_t root = root_of(STORE_JOURNAL);
    damage_page(root);
    snprintf(text, sizeof text, "%u journal -: it does not bear",
             (unsigned)root);
    expect_told(1, text);
    assert_int_equal(told.counts.tokens, TOKENS);
    assert_int_equal(told.counts.journal_records, 0);
}

/* A server commits while the file, without a transaction, is read. */
static void a_file_that_moves(void **state)
{
    struct sort_pair touch = {1, 9001};
    (void)state;

    fill();
    for (int commits = 1; commits <= 2; commits++) {
        struct store *file = store_open_file(d.file, &err);
        struct store *s = open_as(STORE_EXISTING);
        for (int i = 0; i < commits; i++)
            assert_int_equal(journal_append(s, &touch, 1, &err), 0);
        store_close(s);
        assert_int_equal(verify(file), commits == 1 ? 0 : -1);
    }
    assert_non_null(strstr(err.text, "--data"));
}

/* --- Copying --- */

static int copy_as(struct store *s, struct store_copy_options options)
{
    options.now = NOW;
    assert_non_null(s);
    int rc = store_copy(s, copy, &options, &told.counts, &err);
    store_close(s);
    return rc;
}

static void put_in_place(void)
{
    assert_int_equal(rename(copy, d.file), 0);
}

static void a_copy(void **state)
{
    struct stat file;
    (void)state;

    fill();
    assert_int_equal(verify(open_as(STORE_UNCHECKED)), 0);
    struct store_counts before = told.counts;
    struct store_copy_options options = {.may_replace = false};
    assert_int_equal(copy_as(open_as(STORE_UNCHECKED), options), 0);
    assert_int_equal(told.counts.tokens, before.tokens);
    assert_int_equal(told.counts.touches, before.touches);
    assert_int_equal(stat(copy, &file), 0);
    assert_int_equal(file.st_mode & 07777, 0600);
    assert_int_equal(copy_as(open_as(STORE_UNCHECKED), options), -1);
    options.may_replace = true;
    assert_int_equal(copy_as(store_open_file(d.file, &err), options), 0);
    put_in_place();
    expect_told(0, "");
    struct store *s = open_as(STORE_EXISTING);
    assert_int_equal(scratch_in_journal(s, 5), 9000);
    assert_int_equal(scratch_in_table(s, 5), 54);
    store_close(s);
}

/* Many commits of the new file, all of its kinds of pages. */
static void a_long_copy(void **state)
{
    struct store_copy_options options = {.may_replace = true};
    struct sort_pair touch = {1, 9001};
    (void)state;

    fill();
    struct store *s = open_as(STORE_EXISTING);
    for (int i = 0; i < 300; i++)
        assert_int_equal(journal_append(s, &touch, 1, &err), 0);
    store_close(s);
    assert_int_equal(copy_as(open_as(STORE_UNCHECKED), options), 0);
    assert_int_equal(told.counts.journal_records, 302);
    put_in_place();
    expect_told(0, "");
}

static void damage_is_not_copied(void **state)
{
    (void)state;

    fill();
    flip_token(7);
    flip_meta(META_NEXT_ROW);
    damage_page(root_of(STORE_JOURNAL));
    struct store_copy_options options = {.may_replace = false};
    assert_int_equal(copy_as(open_as(STORE_UNCHECKED), options), -1);
    assert_non_null(strstr(err.text, "meta next_row: its checksum is wrong"));
    assert_non_null(strstr(err.text, "nothing was written"));
    assert_int_equal(access(copy, F_OK), -1);
    options.may_lose = true;
    assert_int_equal(copy_as(open_as(STORE_UNCHECKED), options), 0);
    assert_int_equal(told.counts.faults, 3);
    assert_int_equal(told.counts.tokens, TOKENS - 1);
    assert_int_equal(told.counts.last_uses, TOKENS);
    put_in_place();
    expect_told(0, "");
    struct store *s = open_as(STORE_EXISTING);
    uint64_t next;
    MDB_txn *txn;
    assert_int_equal(store_begin(s, MDB_RDONLY, &txn, &err), 0);
    assert_int_equal(store_get_number(s, txn, META_NEXT_ROW, &next), 0);
    assert_int_equal(next, TOKENS + 1);
    mdb_txn_abort(txn);
    store_close(s);
}

/* Without the checksum key nothing can be believed. */
static void nothing_to_salvage(void **state)
{
    struct store_copy_options options = {.may_lose = true};
    (void)state;

    fill();
    damage_page(root_of(STORE_META));
    assert_int_equal(copy_as(open_as(STORE_UNCHECKED), options), -1);
    assert_non_null(strstr(err.text, "does not verify"));
    assert_int_equal(access(copy, F_OK), -1);
}

/* --- Alone --- */

static void alone(void **state)
{
    const struct store_copy_options options = {.may_replace = true};
    struct store_alone a;
    (void)state;

    fill();
    struct store *s = open_as(STORE_EXISTING);
    assert_int_equal(store_alone_begin(&a, d.dir, &err), -1);
    assert_non_null(strstr(err.text, "another process has it open"));
    store_alone_end(&a);
    assert_int_equal(store_reopen(s, &err), 0);
    assert_int_equal(store_alone_begin(&a, d.dir, &err), -1);
    store_alone_end(&a);
    store_close(s);
    assert_int_equal(store_alone_begin(&a, d.dir, &err), 0);
    int dir = open(d.dir, O_RDONLY);
    assert_int_equal(flock(dir, LOCK_EX | LOCK_NB), -1); /* as who opens it */
    s = store_open_file(a.path, &err);
    assert_int_equal(store_alone_replace(&a, s, &options, &told.counts, &err),
                     0);
    store_close(s);
    store_alone_end(&a);
    assert_int_equal(flock(dir, LOCK_EX | LOCK_NB), 0);
    close(dir);
    expect_told(0, "");
    assert_int_equal(told.counts.tokens, TOKENS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sound_store),      TEST(records),
        TEST(it_can_be_stopped),  TEST(pages),
        TEST(a_file_that_moves),  TEST(a_copy),
        TEST(a_long_copy),        TEST(damage_is_not_copied),
        TEST(nothing_to_salvage), TEST(alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
