/* Unit tests of sys/store_stage, and of who must not see what is staged. */
#include "sys/store_stage.h"

#include "sys/store_copy.h"
#include "sys/store_edit.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "scratch_store.h"

/* Tokens of even numbers are there, those of odd ones are staged. */
enum { OLD = 40, NEW = 2500, NOW = 5100 };

static struct scratch d;
static struct store *s;
static struct store_stage stage;
static struct error err;

static int begin(void **state)
{
    (void)state;
    stage = (struct store_stage){.lock_fd = -1};
    if (scratch_make(&d) != 0)
        return -1;
    s = store_open(d.dir, STORE_CREATE, SCRATCH_MAP, &err);
    return s == NULL ? -1 : 0;
}

static int end(void **state)
{
    (void)state;
    store_stage_close(&stage);
    store_close(s);
    s = NULL;
    return scratch_remove(&d);
}

static void reopen(void)
{
    store_stage_close(&stage);
    store_close(s);
    s = store_open(d.dir, STORE_CREATE, SCRATCH_MAP, &err);
    assert_non_null(s);
}

/* --- Rows --- */

struct made {
    uint8_t key[TOKEN_KEY_LEN];
    struct token_record record;
    struct store_row row;
};

static const struct store_row *make(struct made *made, unsigned n)
{
    made->record = scratch_record(n);
    made->row =
        (struct store_row){scratch_key(made->key, n), &made->record, 7000 + n};
    return &made->row;
}

static void import_old(void)
{
    struct store_import *im = store_import_begin(s, &err);
    struct made made;

    assert_non_null(im);
    for (unsigned i = 0; i < OLD; i++)
        assert_int_equal(store_import_put(im, make(&made, 2 * i), &err),
                         STORE_IMPORT_CREATED);
    assert_int_equal(store_import_commit(im, &err), 0);
}

static void stage_new(void)
{
    struct made made;

    assert_int_equal(store_stage_open(s, &stage, &err), 0);
    assert_int_equal(store_stage_begin(&stage, NEW, &err), 0);
    for (unsigned i = 0; i < NEW; i++)
        assert_int_equal(store_stage_put(&stage, make(&made, 2 * i + 1), &err),
                         STORE_IMPORT_CREATED);
    assert_int_equal(store_stage_end(&stage, &err), 0);
}

static void commit(void)
{
    struct store_import *im = store_import_begin(s, &err);

    assert_non_null(im);
    assert_int_equal(store_import_commit(im, &err), 0);
}

/* --- What is seen --- */

struct seen {
    size_t even, odd;
    int64_t used; /* sum */
};

static bool see(void *ctx, const struct store_listed *token)
{
    struct seen *seen = ctx;

    assert_non_null(token->record);
    if (token->key[3] % 2 == 0)
        seen->even++;
    else
        seen->odd++;
    seen->used += token->last_used;
    return true;
}

static void expect_listed(size_t old, size_t new)
{
    struct seen listed = {0}, scanned = {0};

    assert_int_equal(store_list(s, see, &listed, &err), 0);
    assert_int_equal(store_scan(s, NULL, see, &scanned, &err), 0);
    assert_int_equal(listed.even, old);
    assert_int_equal(listed.odd, new);
    assert_int_equal(scanned.even, old);
    assert_int_equal(scanned.odd, new);
}

static enum store_found find(unsigned n)
{
    struct token_record record;
    uint8_t key[TOKEN_KEY_LEN];
    enum store_found found = store_find(s, scratch_key(key, n), &record, &err);

    store_end_reads(s);
    return found;
}

static bool no_fault(void *ctx, const struct store_fault *fault)
{
    (void)ctx;
    fail_msg("%s", fault->what);
    return false;
}

static struct store_counts count(void)
{
    const struct store_verifier verifier = {no_fault, NULL, NULL, NOW};
    struct store_counts counts;
    struct store *unchecked =
        store_open(d.dir, STORE_UNCHECKED, SCRATCH_MAP, &err);

    assert_non_null(unchecked);
    assert_int_equal(store_verify(unchecked, &verifier, &counts, &err), 0);
    store_close(unchecked);
    assert_int_equal(counts.faults, 0);
    return counts;
}

static uint64_t revision(void)
{
    uint64_t number;

    assert_int_equal(store_revision(s, &number, &err), 0);
    store_end_reads(s);
    return number;
}

/* --- Tests --- */

static void staged_is_not_there(void **state)
{
    (void)state;
    import_old();
    uint64_t before = revision();
    stage_new();
    expect_listed(OLD, 0);
    assert_int_equal(find(1), STORE_ABSENT);
    assert_int_equal(find(2), STORE_FOUND);
    assert_int_equal(revision(), before);
    struct store_counts counts = count();
    assert_int_equal(counts.tokens, OLD);
    assert_int_equal(counts.staged, NEW);
}

static void commit_makes_it_count(void **state)
{
    struct seen listed = {0};
    (void)state;

    import_old();
    stage_new();
    uint64_t before = revision();
    commit();
    expect_listed(OLD, NEW);
    assert_int_equal(find(1), STORE_FOUND);
    assert_true(revision() > before);
    assert_int_equal(count().tokens, OLD + NEW);
    assert_int_equal(count().staged, 0);
    assert_int_equal(store_list(s, see, &listed, &err), 0);
    int64_t used = 0;
    for (int64_t i = 0; i < OLD; i++)
        used += 7000 + 2 * i;
    for (int64_t i = 0; i < NEW; i++)
        used += 7000 + 2 * i + 1;
    assert_int_equal(listed.used, used);
}

static void undone(void **state)
{
    (void)state;
    import_old();
    stage_new();
    uint64_t before = revision();
    store_stage_undo(&stage);
    assert_int_equal(revision(), before);
    expect_listed(OLD, 0);
    assert_int_equal(count().staged, 0);
    commit();
    expect_listed(OLD, 0);
}

/* Numbers are taken before the rows: nobody else gets one of them. */
static void token_added_meanwhile(void **state)
{
    struct made made;
    (void)state;

    import_old();
    stage_new();
    make(&made, 2 * OLD);
    assert_int_equal(store_add(s, made.key, &made.record, &err), 0);
    expect_listed(OLD + 1, 0);
    store_stage_undo(&stage);
    expect_listed(OLD + 1, 0);
}

static void what_a_killed_import_left(void **state)
{
    (void)state;
    import_old();
    stage_new();
    reopen();
    expect_listed(OLD, 0);
    assert_int_equal(count().staged, NEW);
    assert_int_equal(store_stage_open(s, &stage, &err), 0);
    assert_int_equal(count().staged, 0);
    expect_listed(OLD, 0);
}

static void row_that_is_there(void **state)
{
    struct made made;
    (void)state;

    import_old();
    assert_int_equal(store_stage_open(s, &stage, &err), 0);
    assert_int_equal(store_stage_begin(&stage, 2, &err), 0);
    assert_int_equal(store_stage_put(&stage, make(&made, 4), &err),
                     STORE_IMPORT_CONFLICT);
    assert_int_equal(store_stage_put(&stage, make(&made, 5), &err),
                     STORE_IMPORT_CREATED);
    assert_int_equal(store_stage_end(&stage, &err), 0);
    store_stage_undo(&stage);
    expect_listed(OLD, 0);
}

/* What is staged can be neither revoked nor deleted, nor can a token be taken
 * for it. */
static void edits(void **state)
{
    static const enum store_edit_kind kinds[] = {STORE_REVOKE, STORE_DELETE};
    uint8_t keys[2][TOKEN_KEY_LEN];
    (void)state;

    import_old();
    stage_new();
    scratch_key(keys[0], 1);
    for (size_t i = 0; i < 2; i++) {
        struct store_edit edit = {.kind = kinds[i]};
        assert_int_equal(store_edit(s, &edit, keys, 1, &err), 0);
        assert_int_equal(edit.absent, 1);
        assert_int_equal(edit.done, 0);
    }
    struct store_edit edit = {.kind = STORE_DELETE, .of_staged = true};
    scratch_key(keys[1], 2);
    assert_int_equal(store_edit(s, &edit, keys, 2, &err), 0);
    assert_int_equal(edit.done, 1);
    assert_int_equal(edit.absent, 1);
    expect_listed(OLD, 0);
    assert_int_equal(count().staged, NEW - 1);
}

static void unlink_copy(void)
{
    char path[200];

    snprintf(path, sizeof path, "%s/copy.mdb", d.dir);
    assert_int_equal(unlink(path), 0);
}

/* returns: as store_copy; out: *counts */
static int copy(bool may_lose, struct store_counts *counts)
{
    const struct store_copy_options options = {.may_lose = may_lose,
                                               .now = NOW};
    char path[200];

    snprintf(path, sizeof path, "%s/copy.mdb", d.dir);
    struct store *unchecked =
        store_open(d.dir, STORE_UNCHECKED, SCRATCH_MAP, &err);
    assert_non_null(unchecked);
    int rc = store_copy(unchecked, path, &options, counts, &err);
    store_close(unchecked);
    return rc;
}

static void copies_are_without_it(void **state)
{
    struct store_counts counts;
    (void)state;

    import_old();
    stage_new();
    assert_int_equal(copy(false, &counts), 0);
    assert_int_equal(counts.tokens, OLD);
    assert_int_equal(counts.last_uses, OLD);
    assert_int_equal(counts.staged, 0);
}

/* A range that does not verify could hide tokens, or show what is staged. Any
 * bit of it. */
static void damaged_range(void **state)
{
    struct store_counts counts;
    (void)state;

    import_old();
    stage_new();
    for (long at = 0; at < 24; at++) {
        store_stage_close(&stage);
        store_close(s);
        struct raw r = raw_open(&d, "meta", 0);
        raw_flip(&r, "staged", 6, at);
        raw_close(&r);
        s = store_open(d.dir, STORE_EXISTING, SCRATCH_MAP, &err);
        assert_null(s);
        assert_non_null(strstr(err.text, "staged"));
        assert_int_equal(copy(false, &counts), -1);
        /* What is saved has all players; and is said to be damaged. */
        assert_int_equal(copy(true, &counts), 0);
        assert_int_equal(counts.tokens, OLD + NEW);
        assert_int_equal(counts.faults, 1);
        r = raw_open(&d, "meta", 0);
        raw_flip(&r, "staged", 6, at);
        raw_close(&r);
        reopen();
        unlink_copy();
    }
}

/* What no longer says anything cannot be damaged either. */
static void no_range_is_left(void **state)
{
    (void)state;
    import_old();
    stage_new();
    commit();
    store_stage_close(&stage);
    store_close(s);
    struct raw r = raw_open(&d, "meta", 0);
    MDB_val name = {6, (void *)(uintptr_t) "staged"}, value;
    assert_int_equal(mdb_get(r.txn, r.table, &name, &value), MDB_NOTFOUND);
    raw_close(&r);
    s = store_open(d.dir, STORE_EXISTING, SCRATCH_MAP, &err);
    assert_non_null(s);
}

/* --- Other processes --- */

/* Open the store, say so, and hold it until the pipe is closed. */
static void hold_store(int ready, int until)
{
    struct store *other = store_open(d.dir, STORE_EXISTING, SCRATCH_MAP, &err);
    char byte = other == NULL ? '-' : '+';

    if (write(ready, &byte, 1) == 1)
        (void)!read(until, &byte, 1);
    _exit(0);
}

static void due_only_for_others(void **state)
{
    int ready[2], until[2];
    char byte = 0;
    (void)state;

    store_close(s); /* LMDB does not bear a fork */
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(until), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(until[1]);
        hold_store(ready[1], until[0]);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, '+');
    s = store_open(d.dir, STORE_EXISTING, SCRATCH_MAP, &err);
    assert_non_null(s);
    assert_int_equal(store_stage_open(s, &stage, &err), 0);
    assert_true(store_stage_is_due(&stage, NEW));
    assert_false(store_stage_is_due(&stage, 10));
    /* More than the map has room for. */
    assert_false(store_stage_is_due(&stage, SCRATCH_MAP / 100));
    close(until[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(store_stage_is_due(&stage, NEW));
    close(until[0]);
    close(ready[0]);
    close(ready[1]);
}

/* The lock is that of an open file: another one is like another process. */
static void one_at_a_time(void **state)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    (void)state;

    assert_int_equal(store_stage_open(s, &stage, &err), 0);
    int fd = open(d.file, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &whole), -1);
    store_stage_close(&stage);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &whole), 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(staged_is_not_there, begin, end),
        cmocka_unit_test_setup_teardown(commit_makes_it_count, begin, end),
        cmocka_unit_test_setup_teardown(undone, begin, end),
        cmocka_unit_test_setup_teardown(token_added_meanwhile, begin, end),
        cmocka_unit_test_setup_teardown(what_a_killed_import_left, begin, end),
        cmocka_unit_test_setup_teardown(row_that_is_there, begin, end),
        cmocka_unit_test_setup_teardown(edits, begin, end),
        cmocka_unit_test_setup_teardown(copies_are_without_it, begin, end),
        cmocka_unit_test_setup_teardown(damaged_range, begin, end),
        cmocka_unit_test_setup_teardown(no_range_is_left, begin, end),
        cmocka_unit_test_setup_teardown(due_only_for_others, begin, end),
        cmocka_unit_test_setup_teardown(one_at_a_time, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
