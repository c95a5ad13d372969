/* Unit tests of sys/store_check*: stores as LMDB writes them, and damage. */
#include "sys/store_check.h"

#include "sys/journal.h"
#include "sys/store_check_meta.h"
#include "sys/store_copy.h"
#include "sys/store_edit.h"
#include "sys/store_env.h"

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

#include "guard.h"
#include "scratch_store.h"

enum { PAGE = 4096, FILE_MAX = 4 << 20, TOKENS = 400 };

static struct scratch d;
static struct store *s;
static struct error err;
static uint8_t file[FILE_MAX]; /* what load_file read */
static size_t file_len;

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

static void close_store(void)
{
    store_close(s);
    s = NULL;
}

static void open_store(void)
{
    close_store();
    s = store_open(d.dir, STORE_CREATE, SCRATCH_MAP, &err);
    if (s == NULL)
        fail_msg("%s", err.text);
}

static void load_file(void)
{
    FILE *in = fopen(d.file, "r");

    assert_non_null(in);
    file_len = fread(file, 1, sizeof file, in);
    fclose(in);
    assert_true(file_len > 0 && file_len < sizeof file);
}

static void write_file(const uint8_t *bytes, size_t len)
{
    FILE *out = fopen(d.file, "w");

    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, len, out), len);
    fclose(out);
}

static void expect_refusal(const char *why)
{
    close_store();
    write_file(file, file_len);
    s = store_open(d.dir, STORE_EXISTING, SCRATCH_MAP, &err);
    if (s != NULL)
        fail_msg("served in spite of: %s", why);
    if (strstr(err.text, why) == NULL || strstr(err.text, d.file) == NULL ||
        strstr(err.text, "restore a backup") == NULL)
        fail_msg("'%s' does not say: %s", err.text, why);
}

/* --- Filling --- */

static void import_tokens(unsigned first, unsigned step, unsigned count)
{
    struct store_import *im = store_import_begin(s, &err);
    uint8_t key[TOKEN_KEY_LEN];

    assert_non_null(im);
    for (unsigned i = 0; i < count; i++) {
        unsigned n = first + i * step;
        struct token_record record = scratch_record(n);
        struct store_row row = {scratch_key(key, n), &record, 50 + n};
        assert_int_equal(store_import_put(im, &row, &err),
                         STORE_IMPORT_CREATED);
    }
    assert_int_equal(store_import_commit(im, &err), 0);
}

static void append(uint64_t row, size_t count, uint64_t time)
{
    struct sort_pair *touches = calloc(count, sizeof *touches);

    for (size_t i = 0; i < count; i++)
        touches[i] = (struct sort_pair){row + i, time};
    assert_int_equal(journal_append(s, touches, count, &err), 0);
    free(touches);
}

static enum journal_fold_result fold(void)
{
    struct journal_fold *f = journal_fold_begin(s, &err);
    enum journal_fold_result result = JOURNAL_FOLD_MORE;

    assert_non_null(f);
    while (result == JOURNAL_FOLD_MORE)
        result = journal_fold_step(f, &err);
    journal_fold_free(f);
    return result;
}

/* Several leaves of tokens and of last uses, free pages, a long journal. */
static void fill(void)
{
    open_store();
    import_tokens(0, 2, TOKENS / 2);
    append(1, 30, 1000);
    append(1, 300, 1001);
    assert_int_equal(fold(), JOURNAL_FOLD_DONE);
    append(1, 400, 1002);
    append(7, 3, 1003);
    import_tokens(1, 2, TOKENS / 2);
}

/* --- Looking --- */

struct seen {
    unsigned tokens, damaged, uses;
};

static bool count_one(void *ctx, const struct store_listed *token)
{
    struct seen *seen = ctx;

    seen->tokens++;
    if (token->record == NULL)
        seen->damaged++;
    else if (token->last_used != 0)
        seen->uses++;
    return true;
}

/* Rows are made up here: that there are none of them is no damage. */
static bool count_fault(void *ctx, const struct store_fault *fault)
{
    uint64_t *count = ctx;

    *count += strcmp(fault->what, "it is not above all rows") != 0;
    return true;
}

/* Damaged pages and records; 1 when it cannot even be opened. */
static uint64_t faults_of(enum store_access access)
{
    uint64_t faults = 0;
    struct store_verifier verifier = {count_fault, NULL, &faults, 0};
    struct store_counts counts;
    struct store *store = access == STORE_UNCHECKED
                              ? store_open(d.dir, access, SCRATCH_MAP, &err)
                              : store_open_file(d.file, &err);

    if (store == NULL)
        return 1;
    if (store_verify(store, &verifier, &counts, &err) != 0)
        fail_msg("%s", err.text);
    store_close(store);
    return faults;
}

static enum store_found find(unsigned n)
{
    uint8_t key[TOKEN_KEY_LEN];
    struct token_record got, wanted = scratch_record(n);
    enum store_found found = store_find(s, scratch_key(key, n), &got, &err);

    store_end_reads(s);
    if (found != STORE_FOUND)
        return found;
    /* Whatever happens, never another's. */
    assert_int_equal(got.username_len, wanted.username_len);
    assert_memory_equal(got.username, wanted.username, got.username_len);
    assert_int_equal(got.created, wanted.created);
    return found;
}

struct leaves {
    uint64_t page[512];
    size_t count;
};

static void gather(const struct store_tree *tree, struct store_step *step,
                   struct leaves *leaves)
{
    struct store_damage damage;

    if (store_step_is_leaf(tree, step)) {
        leaves->page[leaves->count++] = step->number;
        return;
    }
    assert_true(store_step_check(tree, step, &damage));
    for (size_t i = 0; i < store_page_count(&step->page); i++) {
        struct store_step child = store_step_child(step, i);
        gather(tree, &child, leaves);
    }
}

/* The leaves of a table of the open store. */
static struct leaves leaves_of(enum store_table_id id)
{
    struct leaves leaves = {.count = 0};
    struct store_tree tree;
    MDB_txn *txn;

    assert_int_equal(store_begin(s, MDB_RDONLY, &txn, &err), 0);
    assert_int_equal(store_tree_open(s, txn, id, &tree), 0);
    struct store_step root = store_step_root(&tree);
    if (tree.depth > 0)
        gather(&tree, &root, &leaves);
    mdb_txn_abort(txn);
    return leaves;
}

static uint64_t root_of(enum store_table_id id)
{
    struct store_tree tree;
    MDB_txn *txn;

    assert_int_equal(store_begin(s, MDB_RDONLY, &txn, &err), 0);
    assert_int_equal(store_tree_open(s, txn, id, &tree), 0);
    mdb_txn_abort(txn);
    return tree.root;
}

/* --- Pages --- */

static const struct store_table plain = {"plain", false, 4, 0};
static const struct store_range all = {{NULL, 0}, {NULL, 0}};

static void put16(uint8_t *page, size_t at, unsigned value)
{
    page[at] = (uint8_t)value;
    page[at + 1] = (uint8_t)(value >> 8);
}

/* A leaf, page 9, with keys "aaaa", "bbbb", "cccc" and values of 5 bytes. */
static void make_leaf(uint8_t *page)
{
    memset(page, 0, PAGE);
    page[0] = 9;
    put16(page, 10, PAGE_LEAF);
    put16(page, 12, STORE_PAGE_HEAD + 6);
    put16(page, 14, PAGE - 3 * 18);
    for (unsigned i = 0; i < 3; i++) {
        size_t at = PAGE - 18 * (i + 1);
        put16(page, STORE_PAGE_HEAD + 2 * i, (unsigned)at);
        put16(page, at, 5);
        put16(page, at + 6, 4);
        memset(page + at + 8, (int)('a' + i), 4);
    }
}

static const char *verdict(const uint8_t *bytes,
                           const struct store_range *range)
{
    uint8_t *copy = guard_copy(bytes, PAGE);
    struct store_page page = {copy, PAGE, 9};
    const char *what = store_page_check(&page, &plain, true, range);

    free(copy);
    return what == NULL ? "sound" : what;
}

static void pages(void **state)
{
    static const struct {
        size_t at;
        unsigned value;
        const char *verdict;
    } changes[] = {
        {0, 8, "it does not bear its own number"},
        {10, PAGE_BRANCH, "it is not a leaf"},
        {10, PAGE_LEAF | 0x10, "it is not a leaf"},
        {12, 14, "its bounds are impossible"},
        {12, 23, "its bounds are impossible"},
        {12, PAGE - 3 * 18 + 2, "its bounds are impossible"},
        {14, PAGE + 2, "its bounds are impossible"},
        {12, STORE_PAGE_HEAD, "it has too few entries"},
        {12, STORE_PAGE_HEAD + 8, "an entry lies outside of it"},
        {16, PAGE - 6, "an entry lies outside of it"},
        {16, PAGE - 17, "an entry lies outside of it"},
        {16, PAGE - 36, "its keys are not in order"}, /* "bbbb" twice */
        {12, STORE_PAGE_HEAD + 4, "its entries are not end to end"},
        {PAGE - 18, 6, "sound"}, /* one byte of padding becomes value */
        {PAGE - 18, 7, "an entry reaches beyond its end"},
        {PAGE - 16, 1, "an entry reaches beyond its end"},
        {PAGE - 36, 7, "its entries are not end to end"},
        {PAGE - 36, 3, "its entries are not end to end"},
        {PAGE - 12, 3, "a key has an impossible length"},
        {PAGE - 32, 1, "an entry is of an impossible kind"},
        {PAGE - 10, 'c' | 'c' << 8, "its keys are not in order"},
        {PAGE - 28, 'a' | 'a' << 8, "sound"}, /* "aabb" */
    };
    uint8_t page[PAGE];
    (void)state;

    make_leaf(page);
    assert_string_equal(verdict(page, &all), "sound");
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        make_leaf(page);
        put16(page, changes[i].at, changes[i].value);
        if (strcmp(verdict(page, &all), changes[i].verdict) != 0)
            fail_msg("change %zu: %s, not %s", i, verdict(page, &all),
                     changes[i].verdict);
    }
}

/* After insertions and deletions entries lie in another order than keys. */
static void shuffled(void **state)
{
    uint8_t page[PAGE];
    (void)state;

    make_leaf(page);
    put16(page, STORE_PAGE_HEAD, PAGE - 36);
    put16(page, STORE_PAGE_HEAD + 2, PAGE - 18);
    memset(page + PAGE - 36 + 8, 'a', 4);
    memset(page + PAGE - 18 + 8, 'b', 4);
    assert_string_equal(verdict(page, &all), "sound");
    put16(page, PAGE - 36, 7);
    assert_string_equal(verdict(page, &all), "its entries are not end to end");
    put16(page, PAGE - 36, 3);
    assert_string_equal(verdict(page, &all), "its entries are not end to end");
}

/* A branch's first key means nothing, so it may lie upon another entry. */
static void shared_place(void **state)
{
    struct store_page branch = {.size = PAGE, .number = 9};
    uint8_t page[PAGE];
    (void)state;

    make_leaf(page);
    put16(page, 10, PAGE_BRANCH);
    put16(page, 14, PAGE - 3 * 12);
    for (unsigned i = 0; i < 3; i++) {
        size_t at = PAGE - 12 * (i + 1);
        put16(page, STORE_PAGE_HEAD + 2 * i, (unsigned)at);
        memset(page + at, 0, 8);
        put16(page, at + 6, 4);
        memset(page + at + 8, (int)('a' + i), 4);
    }
    branch.bytes = page;
    assert_null(store_page_check(&branch, &plain, false, &all));
    put16(page, STORE_PAGE_HEAD, PAGE - 24);
    assert_string_equal(store_page_check(&branch, &plain, false, &all),
                        "its entries are not end to end");
}

static void ranges(void **state)
{
    static const struct {
        const char *low, *high, *verdict;
    } cases[] = {
        {"aaaa", "cccd", "sound"},
        {"aaab", NULL, "a key does not belong on it"},
        {NULL, "cccc", "a key does not belong on it"},
        {"aaaa", NULL, "sound"},
    };
    uint8_t page[PAGE];
    (void)state;

    make_leaf(page);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct store_range range = all;
        if (cases[i].low != NULL)
            range.low = span_of(cases[i].low);
        if (cases[i].high != NULL)
            range.high = span_of(cases[i].high);
        assert_string_equal(verdict(page, &range), cases[i].verdict);
    }
}

/* No bytes make the check, or the search, read outside of the page. */
static void any_page(void **state)
{
    struct store_range range;
    uint8_t page[PAGE];
    uint64_t child;
    (void)state;

    srand(1);
    for (int round = 0; round < 30000; round++) {
        make_leaf(page);
        for (int i = rand() % 4; i >= 0; i--) {
            size_t at = (size_t)rand() % 22;
            page[rand() % 2 ? at : PAGE - 54 + (size_t)rand() % 54] =
                (uint8_t)rand();
        }
        verdict(page, &all);
        uint8_t *copy = guard_copy(page, PAGE);
        copy[10] = PAGE_BRANCH;
        struct store_page branch = {copy, PAGE, 9};
        range = all;
        store_page_check(&branch, &plain, false, &all);
        store_branch_find(&branch, &plain, span_of("bbbb"), &range, &child);
        free(copy);
    }
}

/* --- Meta pages --- */

static void metas(void **state)
{
    static const struct {
        size_t at;
        unsigned value;
        const char *why;
    } changes[] = {
        {0, 1, "page 0: it does not bear its own number"},
        {10, 0, "page 0: it is not a database of this program"},
        {16, 0, "page 0: it is not a database of this program"},
        {20, 2, "page 0: another version of LMDB wrote it"},
        {PAGE + 20, 2, "page 1: another version of LMDB wrote it"},
        {PAGE + 16, 0, "page 1: it is not a database of this program"},
        {40, 0, "page 0: it says an impossible page size"},
        {40, PAGE + 2, "page 0: it says an impossible page size"},
        {40, 8192, "page 1: it"},
        {PAGE + 40, 8192, "page 1: it says another page size than page 0"},
        {44, MDB_DUPSORT, "page 0: it holds impossible values"},
        {46, 33, "page 0: it holds impossible values"},
        {46, 0, "page 0: it holds impossible values"},
        {94, 0, "page 0: it holds impossible values"},
        {136 + 2, 0xffff, "page 1: it is cut short"},
        {144, 0x7770, "page 1: it does not belong to the same store"},
        {144 + 6, 0x4000, "page 0: it holds impossible values"},
    };
    static uint8_t whole[FILE_MAX];
    (void)state;

    fill();
    close_store();
    load_file();
    /* The newer one has to be page 0. */
    if (page_u64(file + 144) < page_u64(file + PAGE + 144)) {
        open_store();
        append(1, 1, 2000);
        close_store();
        load_file();
    }
    assert_true(page_u64(file + 144) > page_u64(file + PAGE + 144));
    memcpy(whole, file, file_len);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        memcpy(file, whole, file_len);
        put16(file, changes[i].at, changes[i].value);
        expect_refusal(changes[i].why);
    }
    memcpy(file, whole, file_len);
    file[92] = 4; /* the main table's flags */
    expect_refusal("page 0: it belongs to a database of another program");
    memcpy(file, whole, file_len);
    file[136]--; /* last page */
    expect_refusal("it is in use, or free, but no page of it");
    write_file(whole, file_len);
    open_store();
    assert_int_equal(find(1), STORE_FOUND);
}

/* --- Sound stores --- */

static void random_step(unsigned round)
{
    static const uint8_t large[60000];

    switch (rand() % 6) {
    case 0:
        import_tokens(TOKENS + round * 1000, 1 + (unsigned)rand() % 3,
                      1 + (unsigned)rand() % 300);
        break;
    case 1:
        append(1 + (unsigned)rand() % 200, 1 + (unsigned)rand() % 5, round);
        break;
    case 2:
        append(1, 100 + (unsigned)rand() % 3000, round);
        break;
    case 3:
        assert_int_equal(fold(), JOURNAL_FOLD_DONE);
        break;
    default:
        close_store();
        struct raw r = raw_open(&d, "meta", 0);
        MDB_val key = {1, "x"};
        if (rand() % 2 == 0)
            raw_put(&r, "x", large, (size_t)rand() % sizeof large);
        else
            mdb_del(r.txn, r.table, &key, NULL);
        raw_close(&r);
    }
}

/* Whatever LMDB writes is sound: nobody is refused without a reason. */
static void sound_stores(void **state)
{
    struct seen seen;
    (void)state;

    srand(7);
    fill();
    for (unsigned round = 1; round < 100; round++) {
        random_step(round);
        if (rand() % 3 == 0)
            close_store();
        open_store();
        seen = (struct seen){0};
        assert_int_equal(store_list(s, count_one, &seen, &err), 0);
        assert_true(seen.tokens >= TOKENS && seen.damaged == 0);
        assert_int_equal(seen.uses, seen.tokens);
        assert_int_equal(faults_of(STORE_UNCHECKED), 0);
        assert_int_equal(faults_of(STORE_EXISTING), 0);
    }
}

/* A start among the commits of another process. */
static void live_stores(void **state)
{
    (void)state;

    fill();
    close_store();
    pid_t writer = fork();
    if (writer == 0) {
        s = store_open(d.dir, STORE_EXISTING, SCRATCH_MAP, &err);
        for (uint64_t i = 0; s != NULL; i++) {
            append(1 + i % 300, 1 + i % 150, i);
            if (i % 500 == 499)
                fold();
        }
        _exit(1);
    }
    for (int i = 0; i < 300; i++) {
        open_store();
        assert_int_equal(find(5), STORE_FOUND);
        close_store();
        if (i % 10 == 0)
            assert_int_equal(faults_of(STORE_UNCHECKED), 0);
    }
    assert_int_equal(waitpid(writer, NULL, WNOHANG), 0);
    kill(writer, SIGKILL);
    waitpid(writer, NULL, 0);
}

/* --- Damage --- */

static void damage_page(uint64_t number)
{
    close_store();
    load_file();
    memset(file + number * PAGE + STORE_PAGE_HEAD, 0x5a, 64);
    write_file(file, file_len);
    s = store_open(d.dir, STORE_EXISTING, SCRATCH_MAP, &err);
    if (s == NULL)
        fail_msg("%s", err.text);
}

static struct store_import *begin_one(unsigned n,
                                      enum store_import_result *result)
{
    struct store_import *im = store_import_begin(s, &err);
    uint8_t key[TOKEN_KEY_LEN];
    struct token_record record = scratch_record(n);
    struct store_row row = {scratch_key(key, n), &record, 77};

    assert_non_null(im);
    *result = store_import_put(im, &row, &err);
    return im;
}

static void a_leaf_of_tokens(void **state)
{
    enum store_import_result result;
    struct seen seen = {0};
    unsigned failed = 0, first = 0;
    char page[32];
    (void)state;

    fill();
    struct leaves leaves = leaves_of(STORE_TOKENS);
    assert_true(leaves.count >= 3);
    snprintf(page, sizeof page, "page %u: ", (unsigned)leaves.page[1]);
    damage_page(leaves.page[1]);
    for (unsigned n = 0; n < TOKENS; n++) {
        if (find(n) == STORE_FOUND)
            continue;
        assert_non_null(strstr(err.text, page));
        assert_non_null(strstr(err.text, "restore a backup"));
        first = failed++ == 0 ? n : first;
    }
    assert_true(failed > 10 && failed < TOKENS / 2);
    assert_int_equal(store_list(s, count_one, &seen, &err), -1);
    assert_non_null(strstr(err.text, page));
    assert_int_equal(seen.tokens + failed, TOKENS);
    /* Nothing is written there; elsewhere, all goes on. */
    store_import_abort(begin_one(first, &result));
    assert_int_equal(result, STORE_IMPORT_FAILED);
    assert_non_null(strstr(err.text, page));
    struct store_import *im = begin_one(TOKENS + 5, &result);
    assert_int_equal(result, STORE_IMPORT_CREATED);
    assert_int_equal(store_import_commit(im, &err), 0);
    assert_int_equal(find(TOKENS + 5), STORE_FOUND);
    assert_int_equal(find(first), STORE_FAILED);
}

/* The end of the tree is what an import asks for first. */
static void the_last_leaf_of_tokens(void **state)
{
    (void)state;

    fill();
    struct leaves leaves = leaves_of(STORE_TOKENS);
    damage_page(leaves.page[leaves.count - 1]);
    assert_null(store_import_begin(s, &err));
    assert_non_null(strstr(err.text, "restore a backup"));
    assert_int_equal(find(1), STORE_FOUND);
    assert_int_equal(find(TOKENS - 1), STORE_FAILED);
}

/* Last uses whose page is damaged stay in the journal, and nowhere else. */
static void a_leaf_of_last_uses(void **state)
{
    struct seen seen = {0};
    size_t before, after;
    (void)state;

    fill();
    struct leaves leaves = leaves_of(STORE_LAST_USED);
    assert_true(leaves.count >= 3);
    damage_page(leaves.page[1]);
    assert_int_equal(fold(), JOURNAL_FOLD_FAILED);
    assert_non_null(strstr(err.text, "last uses stay in the journal"));
    assert_int_equal(journal_count(s, &before, &err), 0);
    assert_true(before > 3 && before < 400);
    assert_int_equal(fold(), JOURNAL_FOLD_FAILED);
    assert_int_equal(journal_count(s, &after, &err), 0);
    assert_true(after <= 2 * before);
    assert_int_equal(fold(), JOURNAL_FOLD_FAILED);
    assert_int_equal(journal_count(s, &before, &err), 0);
    assert_int_equal(before, after);
    assert_int_equal(store_list(s, count_one, &seen, &err), -1);
    assert_int_equal(seen.tokens, TOKENS);
    assert_int_equal(seen.uses, TOKENS);
    assert_non_null(strstr(err.text, "last uses could not be read"));
}

/* The first page of a value that has pages of its own, in a leaf. */
static uint64_t large_page(uint64_t leaf)
{
    struct store_page page = {file + leaf * PAGE, PAGE, leaf};
    struct store_node node = {.flags = 0};

    for (size_t i = 0; node.flags != NODE_OVERFLOW; i++) {
        assert_true(i < store_page_count(&page));
        node = store_page_node(&page, true, i);
    }
    return page_u64(node.value.ptr);
}

static void structure_at_the_start(void **state)
{
    static const enum store_table_id tables[] = {STORE_META, STORE_JOURNAL,
                                                 STORE_TOKENS, STORE_LAST_USED};
    static uint8_t whole[FILE_MAX];
    char page[32];
    (void)state;

    fill();
    uint64_t roots[4];
    for (int i = 0; i < 4; i++)
        roots[i] = root_of(tables[i]);
    close_store();
    load_file();
    memcpy(whole, file, file_len);
    for (int i = 0; i < 4; i++) {
        memcpy(file, whole, file_len);
        memset(file + roots[i] * PAGE, 0, PAGE);
        snprintf(page, sizeof page, "page %u: it does not bear",
                 (unsigned)roots[i]);
        expect_refusal(page);
    }
    /* Two branches of tokens lead to one leaf. */
    memcpy(file, whole, file_len);
    uint8_t *root = file + roots[2] * PAGE;
    memcpy(root + page_u16(root + 16), root + page_u16(root + 18), 6);
    expect_refusal("it is in use, or free, more than once");
    /* A large value that is said to take fewer pages. */
    memcpy(file, whole, file_len);
    put16(file + large_page(roots[1]) * PAGE, 12, 1);
    expect_refusal("it says that a large value is shorter than it is");
}

/* The list of the first transaction that freed pages, in the file. */
static uint8_t *first_freed(void)
{
    size_t newest =
        page_u64(file + 144) > page_u64(file + PAGE + 144) ? 0 : PAGE;
    uint8_t *page = file + page_u64(file + newest + 80) * PAGE;

    assert_int_equal(page_u16(page + 10), PAGE_LEAF);
    return page + page_u16(page + 16) + 16;
}

static void put64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, sizeof value);
}

static void free_pages(void **state)
{
    static uint8_t whole[FILE_MAX];
    (void)state;

    fill();
    uint64_t tokens = leaves_of(STORE_TOKENS).page[2];
    close_store();
    load_file();
    memcpy(whole, file, file_len);
    put64(first_freed(), 1);
    put64(first_freed() + 8, tokens);
    expect_refusal("it is in use, or free, more than once");
    memcpy(file, whole, file_len);
    put64(first_freed(), 1);
    put64(first_freed() + 8, 1);
    expect_refusal("it is in use, or free, but no page of it");
    memcpy(file, whole, file_len);
    put64(first_freed(), 100000);
    expect_refusal("a list of free pages is too long");
    memcpy(file, whole, file_len);
    put64(first_freed() - 8, 0);
    expect_refusal("it is of another time");
    /* Two commits are claimed that no page knows of. */
    memcpy(file, whole, file_len);
    put64(file + 144, page_u64(file + 144) + 2);
    put64(file + PAGE + 144, page_u64(file + PAGE + 144) + 2);
    expect_refusal("the free pages are of another time");
}

static void a_missing_table(void **state)
{
    (void)state;

    fill();
    close_store();
    struct raw r = raw_open(&d, "journal", MDB_INTEGERKEY);
    raw_must(mdb_drop(r.txn, r.table, 1));
    raw_close(&r);
    load_file();
    expect_refusal("a table is missing");
}

static void a_damaged_secret(void **state)
{
    (void)state;

    fill();
    close_store();
    struct raw r = raw_open(&d, "meta", 0);
    raw_flip(&r, "secret", 6, 3);
    raw_close(&r);
    load_file();
    expect_refusal("no record verifies, so its checksum key must be damaged");
}

/* --- Any damage --- */

static void change(uint8_t *bytes)
{
    size_t page = (size_t)rand() % (file_len / PAGE) * PAGE;
    size_t other = (size_t)rand() % (file_len / PAGE) * PAGE;
    size_t lower = page_u16(bytes + page + 12);

    switch (rand() % 6) {
    case 0:
        bytes[page + (size_t)rand() % PAGE] ^= (uint8_t)(1 << rand() % 8);
        break;
    case 1: /* an offset, or a field of the header */
        if (lower > 16 && lower < PAGE)
            put16(bytes, page + (size_t)rand() % lower / 2 * 2,
                  (unsigned)rand() % (2 * PAGE));
        break;
    case 2: /* the head of an entry */
        if (lower > 16 && lower < PAGE)
            lower = page_u16(bytes + page + 16 +
                             (size_t)rand() % ((lower - 16) / 2) * 2);
        if (lower < PAGE - 8)
            bytes[page + lower + (size_t)rand() % 8] = (uint8_t)rand();
        break;
    case 3:
        memset(bytes + page, rand() % 2 ? 0 : rand(), PAGE);
        break;
    case 4:
        memcpy(bytes + page, bytes + other, PAGE);
        memcpy(bytes + page, (uint64_t[]){page / PAGE}, 8);
        break;
    default:
        bytes[page % (2 * PAGE) + (size_t)rand() % 152] ^= (uint8_t)rand();
    }
}

static void edit_some(enum store_edit_kind kind)
{
    struct store_edit edit = {.kind = kind};
    uint8_t keys[40][TOKEN_KEY_LEN];
    unsigned n = (unsigned)rand() % TOKENS;

    for (unsigned i = 0; i < 40; i++)
        scratch_key(keys[i], n + i);
    assert_int_equal(
        store_edit(s, &edit, (const uint8_t(*)[TOKEN_KEY_LEN])keys, 40, &err),
        0);
}

/* A copy of what is sound is sound, or there is none. returns: its tokens */
static uint64_t salvage(void)
{
    const struct store_copy_options options = {.may_replace = true,
                                               .may_lose = true};
    struct store_counts counts = {0};
    char copy[200];
    struct store *from = store_open_file(d.file, &err);

    snprintf(copy, sizeof copy, "%s/copy", d.dir);
    if (from != NULL && store_copy(from, copy, &options, &counts, &err) != 0)
        counts.tokens = 0;
    store_close(from);
    return counts.tokens;
}

/*
 * All that this program does with a store. Whatever a start or a listing
 * refuses, verifying tells; whatever a listing shows, a copy holds.
 * returns: was it served?
 */
static bool use_all(void)
{
    enum store_import_result result;
    struct seen seen = {0};
    struct error ignored;
    uint64_t faults = faults_of(STORE_UNCHECKED), saved = salvage();

    s = store_open(d.dir, STORE_EXISTING, SCRATCH_MAP, &err);
    if (s == NULL)
        assert_true(faults > 0);
    if (s == NULL)
        return false;
    for (unsigned n = 0; n < TOKENS; n += 3)
        find(n);
    if (store_list(s, count_one, &seen, &ignored) != 0 || seen.damaged > 0)
        assert_true(faults > 0);
    assert_int_equal(saved, seen.tokens - seen.damaged);
    struct journal_fold *f = journal_fold_begin(s, &ignored);
    while (f != NULL && journal_fold_step(f, &ignored) == JOURNAL_FOLD_MORE)
        continue;
    journal_fold_free(f);
    for (unsigned i = 0; i < 3; i++) {
        struct sort_pair touch = {1 + (unsigned)rand() % TOKENS, 3000};
        assert_int_equal(journal_append(s, &touch, 1, &err), 0);
    }
    struct store_import *im = store_import_begin(s, &ignored);
    if (im != NULL) {
        store_import_abort(im);
        im = begin_one((unsigned)rand() % (2 * TOKENS), &result);
        if (result == STORE_IMPORT_FAILED)
            store_import_abort(im);
        else
            assert_int_equal(store_import_commit(im, &err), 0);
    }
    edit_some(STORE_REVOKE);
    edit_some(STORE_DELETE);
    close_store();
    return true;
}

static void any_damage(void **state)
{
    static uint8_t whole[FILE_MAX];
    const char *rounds = getenv("CHECK_ROUNDS"), *seed = getenv("CHECK_SEED");
    unsigned served = 0, refused = 0;
    (void)state;

    fill();
    close_store();
    load_file();
    memcpy(whole, file, file_len);
    srand(seed == NULL ? 3 : (unsigned)atol(seed));
    for (int i = rounds == NULL ? 250 : (int)atol(rounds); i > 0; i--) {
        memcpy(file, whole, file_len);
        change(file);
        write_file(file, file_len);
        if (!use_all()) {
            refused++;
            continue;
        }
        served++;
        /* What was written since does not make it worse. */
        if (!use_all())
            fail_msg("refused at the second start: %s", err.text);
    }
    assert_true(served > 10 && refused > 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pages),
        TEST(shuffled),
        TEST(shared_place),
        TEST(ranges),
        TEST(any_page),
        TEST(metas),
        TEST(sound_stores),
        TEST(live_stores),
        TEST(a_leaf_of_tokens),
        TEST(the_last_leaf_of_tokens),
        TEST(a_leaf_of_last_uses),
        TEST(structure_at_the_start),
        TEST(free_pages),
        TEST(a_missing_table),
        TEST(a_damaged_secret),
        TEST(any_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
