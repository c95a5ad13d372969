/* Unit tests of sys/journal, on real LMDB files. */
#include "sys/journal.h"

#include "base/bytes.h"
#include "sys/store_env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "scratch_store.h"

static struct scratch d;
static struct store *s;
static struct error err;

static void open_store(void)
{
    s = store_open(d.dir, STORE_CREATE, SCRATCH_MAP, &err);
    if (s == NULL)
        fail_msg("%s", err.text);
}

static void close_store(void)
{
    store_close(s);
    s = NULL;
}

static int begin(void **state)
{
    (void)state;
    if (scratch_make(&d) != 0)
        return -1;
    open_store();
    return 0;
}

static int end(void **state)
{
    (void)state;
    close_store();
    return scratch_remove(&d);
}

static void append(const struct sort_pair *touches, size_t count)
{
    if (journal_append(s, touches, count, &err) != 0)
        fail_msg("%s", err.text);
}

#define APPEND(...)                                          \
    append((const struct sort_pair[]){__VA_ARGS__},          \
           sizeof((const struct sort_pair[]){__VA_ARGS__}) / \
               sizeof(struct sort_pair))

/* Append for each of n records: row `first + i`, time. */
static void append_rows(uint64_t first, size_t n, uint64_t time)
{
    struct sort_pair *touches = calloc(n, sizeof *touches);

    for (size_t i = 0; i < n; i++)
        touches[i] = (struct sort_pair){first + i, time};
    append(touches, n);
    free(touches);
}

static size_t count(void)
{
    size_t n;

    assert_int_equal(journal_count(s, &n, &err), 0);
    return n;
}

static struct journal_uses load(void)
{
    struct journal_uses uses;
    MDB_txn *txn;

    assert_int_equal(store_begin(s, MDB_RDONLY, &txn, &err), 0);
    assert_int_equal(journal_uses_load(s, txn, &uses), 0);
    mdb_txn_abort(txn);
    return uses;
}

static size_t records(void)
{
    MDB_stat stat;
    MDB_txn *txn;

    assert_int_equal(store_begin(s, MDB_RDONLY, &txn, &err), 0);
    assert_int_equal(mdb_stat(txn, s->journal, &stat), 0);
    mdb_txn_abort(txn);
    return stat.ms_entries;
}

static struct journal_fold *begin_fold(void)
{
    struct journal_fold *fold = journal_fold_begin(s, &err);

    assert_non_null(fold);
    return fold;
}

/* Fold to the end. returns: steps taken */
static size_t fold_all(size_t *damaged)
{
    struct journal_fold *fold = begin_fold();
    enum journal_fold_result result;
    size_t steps = 0;

    do {
        result = journal_fold_step(fold, &err);
        steps++;
    } while (result == JOURNAL_FOLD_MORE);
    assert_int_equal(result, JOURNAL_FOLD_DONE);
    if (damaged != NULL)
        *damaged = journal_fold_damaged(fold);
    journal_fold_free(fold);
    return steps;
}

static void flip(uint64_t seq, long at)
{
    close_store();
    struct raw r = raw_open(&d, "journal", MDB_INTEGERKEY);
    raw_flip(&r, &seq, sizeof seq, at);
    raw_close(&r);
    open_store();
}

/* --- Records --- */

static void empty_journal(void **state)
{
    struct journal_uses none = {0};
    (void)state;

    assert_int_equal(count(), 0);
    struct journal_uses uses = load();
    assert_int_equal(uses.count, 0);
    assert_int_equal(uses.last_seq, 0);
    assert_int_equal(journal_uses_find(&uses, 1), 0);
    journal_uses_free(&uses);
    journal_uses_free(&none);
    assert_int_equal(fold_all(NULL), 1);
    assert_int_equal(records(), 0);
    journal_fold_free(NULL);
}

static void append_and_load(void **state)
{
    (void)state;
    APPEND({7, 100});
    APPEND({3, 200}, {9, 150}, {3, 190});
    assert_int_equal(count(), 4);
    close_store();
    open_store();
    struct journal_uses uses = load();
    assert_int_equal(uses.count, 3);
    assert_int_equal(uses.damaged, 0);
    assert_int_equal(uses.last_seq, 2);
    assert_int_equal(uses.pairs[0].key, 3);
    assert_int_equal(uses.pairs[2].key, 9);
    assert_int_equal(journal_uses_find(&uses, 3), 200);
    assert_int_equal(journal_uses_find(&uses, 7), 100);
    assert_int_equal(journal_uses_find(&uses, 9), 150);
    for (uint64_t row = 0; row < 12; row++)
        if (row != 3 && row != 7 && row != 9)
            assert_int_equal(journal_uses_find(&uses, row), 0);
    journal_uses_free(&uses);
}

static void newest_time_wins(void **state)
{
    (void)state;
    APPEND({1, 50}, {2, 10}, {1, 70}, {1, 60});
    APPEND({2, 30}, {1, 65});
    APPEND({2, 20});
    assert_int_equal(scratch_in_journal(s, 1), 70);
    assert_int_equal(scratch_in_journal(s, 2), 30);
    fold_all(NULL);
    assert_int_equal(scratch_in_table(s, 1), 70);
    assert_int_equal(scratch_in_table(s, 2), 30);
}

static void large_batches(void **state)
{
    (void)state;
    append_rows(1, 100000, 5);
    append_rows(100001, 1, 6);
    assert_int_equal(count(), 100001);
    assert_int_equal(scratch_in_journal(s, 100000), 5);
    assert_int_equal(scratch_in_journal(s, 100001), 6);
}

/* --- Damage --- */

static void every_byte_is_covered(void **state)
{
    (void)state;
    APPEND({1, 100}, {2, 100});
    for (long at = 0; at < 40; at++) {
        flip(1, at);
        struct journal_uses uses = load();
        assert_int_equal(uses.count, 0);
        assert_int_equal(uses.damaged, 1);
        journal_uses_free(&uses);
        flip(1, at);
    }
    assert_int_equal(scratch_in_journal(s, 1), 100);
}

static void damaged_records_are_left_out(void **state)
{
    size_t damaged;
    (void)state;

    APPEND({1, 100});
    APPEND({1, 900}, {2, 900});
    APPEND({3, 300});
    flip(2, 8);
    struct journal_uses uses = load();
    assert_int_equal(uses.damaged, 1);
    assert_int_equal(uses.count, 2);
    assert_int_equal(uses.last_seq, 3);
    journal_uses_free(&uses);
    fold_all(&damaged);
    assert_int_equal(damaged, 1);
    assert_int_equal(scratch_in_table(s, 1), 100);
    assert_int_equal(scratch_in_table(s, 2), 0);
    assert_int_equal(scratch_in_table(s, 3), 300);
    assert_int_equal(records(), 1);
    fold_all(&damaged);
    assert_int_equal(damaged, 0);
}

/* A record at another's sequence number is no record. */
static void moved_records(void **state)
{
    uint64_t seq = 1, other = 7;
    uint8_t bytes[24];
    (void)state;

    APPEND({1, 100});
    close_store();
    struct raw r = raw_open(&d, "journal", MDB_INTEGERKEY);
    MDB_val key = {8, &seq}, value;
    raw_must(mdb_get(r.txn, r.table, &key, &value));
    assert_int_equal(value.mv_size, sizeof bytes);
    memcpy(bytes, value.mv_data, sizeof bytes);
    value.mv_data = bytes;
    key.mv_data = &other;
    raw_must(mdb_put(r.txn, r.table, &key, &value, 0));
    raw_close(&r);
    open_store();
    struct journal_uses uses = load();
    assert_int_equal(uses.damaged, 1);
    assert_int_equal(uses.last_seq, 7);
    journal_uses_free(&uses);
    APPEND({2, 200});
    uses = load();
    assert_int_equal(uses.last_seq, 8);
    journal_uses_free(&uses);
}

static void records_of_odd_lengths(void **state)
{
    static const uint8_t bytes[64];
    (void)state;

    APPEND({1, 100});
    close_store();
    struct raw r = raw_open(&d, "journal", MDB_INTEGERKEY);
    for (uint64_t n = 0; n < sizeof bytes; n++) {
        uint64_t seq = 2 + n;
        MDB_val key = {8, &seq}, value = {n, (void *)(uintptr_t)bytes};
        raw_must(mdb_put(r.txn, r.table, &key, &value, 0));
    }
    raw_close(&r);
    open_store();
    struct journal_uses uses = load();
    assert_int_equal(uses.damaged, sizeof bytes);
    assert_int_equal(uses.count, 1);
    journal_uses_free(&uses);
    size_t damaged;
    fold_all(&damaged);
    assert_int_equal(damaged, sizeof bytes);
    assert_int_equal(scratch_in_table(s, 1), 100);
    assert_int_equal(records(), 1);
}

/* Too short to hold a touch, and alone: still damage. */
static void only_a_stub(void **state)
{
    uint64_t seq = 5;
    size_t damaged;
    (void)state;

    close_store();
    struct raw r = raw_open(&d, "journal", MDB_INTEGERKEY);
    MDB_val key = {8, &seq}, value = {3, "abc"};
    raw_must(mdb_put(r.txn, r.table, &key, &value, 0));
    raw_close(&r);
    open_store();
    fold_all(&damaged);
    assert_int_equal(damaged, 1);
}

/* --- Folding --- */

enum { ROWS = 2500, RECORDS = 2600 };

/* More rows than a step takes, and more records. */
static void fill_journal(void)
{
    struct sort_pair touch;

    append_rows(1, ROWS, 1000);
    mdb_env_set_flags(s->env, MDB_NOSYNC, 1); /* only to be quick */
    for (uint64_t i = 0; i < RECORDS - 1; i++) {
        touch = (struct sort_pair){i % 100 + 1, 2000 + i};
        append(&touch, 1);
    }
}

static int64_t newest(uint64_t row)
{
    int64_t last = RECORDS - 2; /* of i */

    if (row > 100)
        return 1000;
    int64_t i = last / 100 * 100 + (int64_t)row - 1;
    return 2000 + (i <= last ? i : i - 100);
}

static void check_folded(void)
{
    for (uint64_t row = 1; row <= ROWS; row++)
        assert_int_equal(scratch_in_table(s, row), newest(row));
    assert_int_equal(scratch_in_table(s, ROWS + 1), 0);
    assert_int_equal(records(), 1);
    struct journal_uses uses = load();
    assert_int_equal(uses.last_seq, RECORDS);
    journal_uses_free(&uses);
}

static void fold_in_steps(void **state)
{
    (void)state;
    fill_journal();
    assert_int_equal(count(), ROWS + RECORDS - 1);
    size_t steps = fold_all(NULL);
    /* 2500 rows by 1024, 2599 records by 1024 */
    assert_int_equal(steps, 3 + 3);
    check_folded();
    assert_int_equal(count(), 1);
    fold_all(NULL);
    check_folded();
}

static void fold_only_raises(void **state)
{
    MDB_txn *txn;
    (void)state;

    assert_int_equal(store_begin(s, 0, &txn, &err), 0);
    assert_int_equal(store_raise_last_used(s, txn, 1, 500), 0);
    assert_int_equal(store_raise_last_used(s, txn, 2, 500), 0);
    assert_int_equal(store_raise_last_used(s, txn, 2, 400), 0);
    assert_int_equal(store_commit(s, txn, &err), 0);
    APPEND({1, 600}, {2, 450}, {3, 1});
    fold_all(NULL);
    assert_int_equal(scratch_in_table(s, 1), 600);
    assert_int_equal(scratch_in_table(s, 2), 500);
    assert_int_equal(scratch_in_table(s, 3), 1);
}

/* Cut off after any step, the next fold ends with the same. */
static void interrupted_folds(void **state)
{
    (void)state;
    fill_journal();
    for (int steps = 0; steps < 6; steps++) {
        struct journal_fold *fold = begin_fold();
        for (int i = 0; i < steps; i++)
            journal_fold_step(fold, &err);
        journal_fold_free(fold);
        close_store();
        open_store();
        mdb_env_set_flags(s->env, MDB_NOSYNC, 1);
        for (uint64_t row = 1; row <= ROWS; row += 7) {
            int64_t here = scratch_in_table(s, row),
                    there = scratch_in_journal(s, row);
            assert_int_equal(here > there ? here : there, newest(row));
        }
    }
    fold_all(NULL);
    check_folded();
}

static void two_folds_at_once(void **state)
{
    (void)state;
    fill_journal();
    struct journal_fold *a = begin_fold(), *b = begin_fold();
    enum journal_fold_result ra = JOURNAL_FOLD_MORE, rb = JOURNAL_FOLD_MORE;
    for (int i = 0; ra == JOURNAL_FOLD_MORE || rb == JOURNAL_FOLD_MORE; i++) {
        if (ra == JOURNAL_FOLD_MORE)
            ra = journal_fold_step(a, &err);
        if (rb == JOURNAL_FOLD_MORE && i % 2 == 0)
            rb = journal_fold_step(b, &err);
    }
    assert_int_equal(ra, JOURNAL_FOLD_DONE);
    assert_int_equal(rb, JOURNAL_FOLD_DONE);
    journal_fold_free(a);
    journal_fold_free(b);
    check_folded();
}

/* What comes after the snapshot stays in the journal. */
static void appends_during_a_fold(void **state)
{
    (void)state;
    APPEND({1, 100});
    APPEND({2, 100});
    struct journal_fold *fold = begin_fold();
    APPEND({1, 300}, {5, 300});
    assert_int_equal(journal_fold_step(fold, &err), JOURNAL_FOLD_MORE);
    APPEND({2, 400});
    assert_int_equal(journal_fold_step(fold, &err), JOURNAL_FOLD_DONE);
    journal_fold_free(fold);
    assert_int_equal(scratch_in_table(s, 1), 100);
    assert_int_equal(scratch_in_table(s, 2), 100);
    assert_int_equal(scratch_in_table(s, 5), 0);
    assert_int_equal(records(), 3);
    assert_int_equal(scratch_in_journal(s, 1), 300);
    assert_int_equal(scratch_in_journal(s, 2), 400);
    assert_int_equal(scratch_in_journal(s, 5), 300);
    fold_all(NULL);
    assert_int_equal(scratch_in_table(s, 1), 300);
    assert_int_equal(scratch_in_table(s, 2), 400);
    assert_int_equal(scratch_in_table(s, 5), 300);
    assert_int_equal(records(), 1);
}

/* A fold that is late must not drop what came after another fold. */
static void a_late_fold_of_another_process(void **state)
{
    (void)state;
    APPEND({1, 100});
    APPEND({2, 100});
    struct journal_fold *late = begin_fold();
    fold_all(NULL);
    APPEND({3, 300});
    while (journal_fold_step(late, &err) == JOURNAL_FOLD_MORE)
        continue;
    journal_fold_free(late);
    assert_int_equal(scratch_in_journal(s, 3), 300);
    fold_all(NULL);
    assert_int_equal(scratch_in_table(s, 3), 300);
}

static void full_map(void **state)
{
    size_t before, n = 0;
    (void)state;

    close_store();
    s = store_open(d.dir, STORE_CREATE, 1 << 20, &err);
    assert_non_null(s);
    struct sort_pair touches[500];
    for (size_t i = 0; i < 500; i++)
        touches[i] = (struct sort_pair){i + 1, 77};
    while (journal_append(s, touches, 500, &err) == 0)
        assert_true(++n < 1000);
    assert_non_null(strstr(err.text, "raise --map-size"));
    assert_int_equal(records(), n);
    before = count();
    assert_int_equal(before, 500 * n);
    assert_int_equal(scratch_in_journal(s, 500), 77);
    assert_false(store_needs_reopen(s));
    close_store();
    open_store();
    fold_all(NULL);
    assert_int_equal(scratch_in_table(s, 500), 77);
}

static void closed_environment(void **state)
{
    struct sort_pair touch = {1, 1};
    size_t n;
    (void)state;

    char away[192];
    snprintf(away, sizeof away, "%s.away", d.file);
    rename(d.file, away);
    assert_int_equal(mkdir(d.file, 0700), 0);
    assert_int_equal(store_reopen(s, &err), -1);
    assert_int_equal(journal_append(s, &touch, 1, &err), -1);
    assert_int_equal(journal_count(s, &n, &err), -1);
    assert_null(journal_fold_begin(s, &err));
    assert_true(store_needs_reopen(s));
    rmdir(d.file);
    rename(away, d.file);
    assert_int_equal(store_reopen(s, &err), 0);
    APPEND({1, 1});
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(empty_journal),
        TEST(append_and_load),
        TEST(newest_time_wins),
        TEST(large_batches),
        TEST(every_byte_is_covered),
        TEST(damaged_records_are_left_out),
        TEST(moved_records),
        TEST(records_of_odd_lengths),
        TEST(only_a_stub),
        TEST(fold_in_steps),
        TEST(fold_only_raises),
        TEST(interrupted_folds),
        TEST(two_folds_at_once),
        TEST(appends_during_a_fold),
        TEST(a_late_fold_of_another_process),
        TEST(full_map),
        TEST(closed_environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
