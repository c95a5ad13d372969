/* Unit tests of sys/store_edit and of the eraser of sys/store_check. */
#include "sys/store_edit.h"

#include "sys/journal.h"
#include "sys/store_env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch_store.h"

enum {
    PAGE = 4096,
    FILE_MAX = 8 << 20,
    MANY = 12000, /* tokens: three levels, of more than two branches */
    LEAVES_MAX = 1024
};

typedef uint8_t key_bytes[TOKEN_KEY_LEN];

static struct scratch d;
static struct store *s;
static struct error err;
static uint8_t file[FILE_MAX];  /* what load_file read */
static bool is_there[MANY + 1]; /* by number: what has to be in the store */
static key_bytes keys[MANY];    /* of one edit */

static int begin(void **state)
{
    (void)state;
    s = NULL;
    memset(is_there, 0, sizeof is_there);
    return scratch_make(&d);
}

static int end(void **state)
{
    (void)state;
    store_close(s);
    s = NULL;
    return scratch_remove(&d);
}

static void open_store(void)
{
    store_close(s);
    s = store_open(d.dir, STORE_CREATE, SCRATCH_MAP, &err);
    if (s == NULL)
        fail_msg("%s", err.text);
}

static void import_tokens(unsigned first, unsigned step, unsigned end_at)
{
    struct store_import *im = store_import_begin(s, &err);
    key_bytes key;

    assert_non_null(im);
    for (unsigned n = first; n < end_at; n += step) {
        struct token_record record = scratch_record(n);
        struct store_row row = {scratch_key(key, n), &record, 50 + n};
        assert_int_equal(store_import_put(im, &row, &err),
                         STORE_IMPORT_CREATED);
        is_there[n] = true;
    }
    assert_int_equal(store_import_commit(im, &err), 0);
}

static enum store_found find(unsigned n, struct token_record *record)
{
    key_bytes key;
    enum store_found found = store_find(s, scratch_key(key, n), record, &err);

    store_end_reads(s);
    return found;
}

static size_t put_keys(unsigned first, unsigned step, unsigned end_at)
{
    size_t count = 0;

    for (unsigned n = first; n < end_at; n += step)
        scratch_key(keys[count++], n);
    return count;
}

static void forget(unsigned first, unsigned step, unsigned end_at)
{
    for (unsigned n = first; n < end_at; n += step)
        is_there[n] = false;
}

static void edit_keys(struct store_edit *edit, size_t count)
{
    int rc =
        store_edit(s, edit, (const uint8_t(*)[TOKEN_KEY_LEN])keys, count, &err);

    if (rc != 0)
        fail_msg("%s", err.text);
}

/* --- Looking --- */

static bool check_one(void *ctx, const struct store_listed *token)
{
    unsigned *next = ctx;
    key_bytes key;

    while (*next <= MANY && !is_there[*next])
        ++*next;
    assert_true(*next <= MANY);
    assert_memory_equal(token->key, scratch_key(key, *next), TOKEN_KEY_LEN);
    assert_non_null(token->record);
    assert_int_equal(token->record->created, 1000 + *next);
    assert_int_equal(token->last_used, 50 + *next);
    ++*next;
    return true;
}

/* Opened again, is it sound, and does it hold what it has to? */
static void check_all(void)
{
    unsigned next = 0;

    open_store();
    if (store_list(s, check_one, &next, &err) != 0)
        fail_msg("%s", err.text);
    for (; next <= MANY; next++)
        assert_false(is_there[next]);
}

static size_t count_entries(MDB_dbi table)
{
    MDB_stat stats;
    MDB_txn *txn;

    assert_int_equal(store_begin(s, MDB_RDONLY, &txn, &err), 0);
    assert_int_equal(mdb_stat(txn, table, &stats), 0);
    mdb_txn_abort(txn);
    return stats.ms_entries;
}

static uint64_t revision(void)
{
    uint64_t number = 0;
    MDB_txn *txn;

    assert_int_equal(store_begin(s, MDB_RDONLY, &txn, &err), 0);
    (void)store_get_number(s, txn, META_REVISION, &number);
    mdb_txn_abort(txn);
    return number;
}

struct leaves {
    uint64_t page[LEAVES_MAX];
    size_t count;
    unsigned depth;
};

static void gather(const struct store_tree *tree, struct store_step *step,
                   struct leaves *leaves)
{
    struct store_damage damage;

    if (store_step_is_leaf(tree, step)) {
        assert_true(leaves->count < LEAVES_MAX);
        leaves->page[leaves->count++] = step->number;
        return;
    }
    assert_true(store_step_check(tree, step, &damage));
    for (size_t i = 0; i < store_page_count(&step->page); i++) {
        struct store_step child = store_step_child(step, i);
        gather(tree, &child, leaves);
    }
}

static void leaves_of(enum store_table_id id, struct leaves *leaves)
{
    struct store_tree tree;
    MDB_txn *txn;

    leaves->count = 0;
    assert_int_equal(store_begin(s, MDB_RDONLY, &txn, &err), 0);
    assert_int_equal(store_tree_open(s, txn, id, &tree), 0);
    struct store_step root = store_step_root(&tree);
    if (tree.depth > 0)
        gather(&tree, &root, leaves);
    leaves->depth = tree.depth;
    mdb_txn_abort(txn);
}

/* The greatest number of the token on a leaf. */
static unsigned last_on(uint64_t leaf)
{
    struct store_damage damage;
    const uint8_t *bytes = store_view_page(&s->view, leaf, &damage);
    struct store_page page = {bytes, PAGE, leaf};
    struct store_node node =
        store_page_node(&page, true, store_page_count(&page) - 1);
    const uint8_t *k = node.key.ptr;

    return (unsigned)k[0] << 24 | (unsigned)k[1] << 16 | (unsigned)k[2] << 8 |
           k[3];
}

/* --- Adding --- */

static void adding(void **state)
{
    struct token_record record = scratch_record(3), got;
    key_bytes key;
    (void)state;

    open_store();
    assert_int_equal(store_add(s, scratch_key(key, 3), &record, &err), 0);
    assert_int_equal(revision(), 1);
    assert_int_equal(find(3, &got), STORE_FOUND);
    assert_int_equal(got.row, 1);
    assert_int_equal(got.expires, record.expires);
    assert_int_equal(got.username_len, record.username_len);
    assert_memory_equal(got.username, record.username, got.username_len);
    assert_int_equal(store_add(s, key, &record, &err), -1);
    assert_non_null(strstr(err.text, "cannot add a token"));
    assert_int_equal(revision(), 1);
    assert_int_equal(store_add(s, scratch_key(key, 4), &record, &err), 0);
    assert_int_equal(find(4, &got), STORE_FOUND);
    assert_int_equal(got.row, 2);
    import_tokens(5, 1, 6);
    assert_int_equal(find(5, &got), STORE_FOUND);
    assert_int_equal(got.row, 3);
}

/* --- Revoking --- */

static void revoking(void **state)
{
    struct store_edit edit = {.kind = STORE_REVOKE}, again = edit;
    struct token_record got, was = scratch_record(5);
    (void)state;

    open_store();
    import_tokens(0, 1, 3000);
    uint64_t before = revision();
    /* 0, 5, 10, …; each seventh is revoked; 20 are not there. */
    size_t count = put_keys(0, 5, 3100);
    edit_keys(&edit, count);
    assert_int_equal(edit.done, 514);
    assert_int_equal(edit.already, 86);
    assert_int_equal(edit.absent, 20);
    assert_int_equal(edit.damaged + edit.refused, 0);
    assert_int_equal(revision(), before + 1);
    assert_int_equal(find(5, &got), STORE_FOUND);
    assert_true(got.revoked);
    assert_int_equal(got.created, was.created);
    assert_int_equal(got.expires, was.expires);
    assert_memory_equal(got.username, was.username, was.username_len);
    assert_int_equal(find(6, &got), STORE_FOUND);
    assert_false(got.revoked);
    edit_keys(&again, count);
    assert_int_equal(again.done, 0);
    assert_int_equal(again.already, 600);
    assert_int_equal(revision(), before + 1);
    check_all();
}

static bool is_odd(const void *ctx, const struct token_record *record)
{
    (void)ctx;
    return record->created % 2 == 1;
}

/* What has become another's in the meantime is left as it is. */
static void those_that_are_meant(void **state)
{
    struct store_edit edit = {.kind = STORE_DELETE, .is_meant = is_odd};
    (void)state;

    open_store();
    import_tokens(0, 1, 100);
    edit_keys(&edit, put_keys(0, 1, 100));
    assert_int_equal(edit.done, 50);
    assert_int_equal(edit.absent, 50);
    forget(1, 2, 100);
    check_all();
}

static void damaged_records(void **state)
{
    struct store_edit revoke = {.kind = STORE_REVOKE};
    struct store_edit meant = {.kind = STORE_DELETE, .is_meant = is_odd};
    struct store_edit named = {.kind = STORE_DELETE};
    (void)state;

    open_store();
    import_tokens(0, 1, 9);
    store_close(s);
    s = NULL;
    size_t count = put_keys(1, 2, 4); /* 1 and 3 */
    struct raw r = raw_open(&d, "tokens", 0);
    raw_flip(&r, keys[0], TOKEN_KEY_LEN, 40);
    raw_close(&r);
    open_store();
    edit_keys(&revoke, count);
    assert_int_equal(revoke.damaged, 1);
    assert_int_equal(revoke.done, 1);
    edit_keys(&meant, count);
    assert_int_equal(meant.damaged, 1);
    assert_int_equal(meant.done, 1);
    edit_keys(&named, count);
    assert_int_equal(named.done, 1);
    assert_int_equal(named.absent, 1);
    forget(1, 2, 4);
    /* Nobody knows which last use was its. */
    assert_int_equal(count_entries(s->last_used), 8);
    check_all();
}

/* --- Deleting --- */

static void delete_some(unsigned first, unsigned step, unsigned end_at)
{
    struct store_edit edit = {.kind = STORE_DELETE};
    uint64_t expected = 0;

    for (unsigned n = first; n < end_at; n += step)
        expected += is_there[n];
    edit_keys(&edit, put_keys(first, step, end_at));
    assert_int_equal(edit.done, expected);
    assert_int_equal(edit.refused, 0);
    forget(first, step, end_at);
    check_all();
    /* Rows are numbered in the order of the import: all are found. */
    assert_int_equal(count_entries(s->last_used), count_entries(s->tokens));
}

static void deleting_all(void **state)
{
    struct leaves leaves;
    (void)state;

    open_store();
    import_tokens(0, 1, MANY);
    leaves_of(STORE_TOKENS, &leaves);
    assert_true(leaves.depth == 3);
    delete_some(1000, 1, 1001);
    delete_some(2000, 1, 9000);
    delete_some(0, 3, MANY);
    delete_some(0, 1, MANY);
    assert_int_equal(count_entries(s->tokens), 0);
    import_tokens(0, 1, 10);
    check_all();
}

/* Rows and keys in any order, over and over. */
static void deleting_at_random(void **state)
{
    (void)state;

    srand(5);
    open_store();
    import_tokens(1, 7, MANY);
    import_tokens(0, 7, MANY);
    for (unsigned round = 0; round < 25; round++) {
        struct store_edit edit = {.kind = STORE_DELETE};
        size_t count = 0;
        for (unsigned i = (unsigned)rand() % 400; i > 0; i--) {
            unsigned n = (unsigned)rand() % MANY;
            scratch_key(keys[count++], n);
            is_there[n] = false;
        }
        edit_keys(&edit, count);
        assert_int_equal(edit.done + edit.absent, count);
        delete_some(round * 400, 1 + (unsigned)rand() % 2, round * 400 + 350);
    }
    check_all();
}

/* --- What LMDB touches --- */

static FILE *on_disk;

static void load_file(void)
{
    rewind(on_disk);
    assert_true(fread(file, 1, sizeof file, on_disk) < sizeof file);
}

static void put_page(uint64_t page, const uint8_t *bytes)
{
    assert_int_equal(fseek(on_disk, (long)(page * PAGE), SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, PAGE, on_disk), PAGE);
    assert_int_equal(fflush(on_disk), 0);
}

static void poison(const struct leaves *leaves)
{
    uint8_t bytes[PAGE];

    memset(bytes, 0xa5, sizeof bytes);
    for (size_t i = 0; i < leaves->count; i++)
        put_page(leaves->page[i], bytes);
}

static void heal(const struct leaves *leaves)
{
    uint8_t bytes[PAGE];

    for (size_t i = 0; i < leaves->count; i++) {
        fseek(on_disk, (long)(leaves->page[i] * PAGE), SEEK_SET);
        assert_int_equal(fread(bytes, 1, PAGE, on_disk), PAGE);
        if (bytes[0] == 0xa5 && bytes[PAGE - 1] == 0xa5)
            put_page(leaves->page[i], file + leaves->page[i] * PAGE);
    }
}

struct poisoned {
    MDB_txn *txn;
    struct store_eraser eraser;
    size_t healed, transactions;
};

static void begin_poisoned(struct poisoned *p)
{
    assert_int_equal(store_begin(s, 0, &p->txn, &err), 0);
    assert_int_equal(store_eraser_open(s, p->txn, STORE_TOKENS, &p->eraser), 0);
    p->transactions++;
}

static void delete_poisoned(struct poisoned *p, unsigned n)
{
    enum store_erasable answer;
    struct store_damage damage;
    key_bytes key;
    struct span name = {scratch_key(key, n), TOKEN_KEY_LEN};
    MDB_val k = val_of(key, TOKEN_KEY_LEN);

    while ((answer = store_eraser_ask(&p->eraser, name, &damage)) !=
           STORE_ERASE_SAFE) {
        if (answer == STORE_ERASE_LATER) {
            assert_int_equal(store_commit(s, p->txn, &err), 0);
            begin_poisoned(p);
            continue;
        }
        /* Each is healed once: there is an end. */
        put_page(damage.page, file + damage.page * PAGE);
        p->healed++;
    }
    int rc = mdb_del(p->txn, s->tokens, &k, NULL);
    assert_int_equal(rc, is_there[n] ? 0 : MDB_NOTFOUND);
    is_there[n] = false;
}

/*
 * All leaves are made useless; only those that the eraser asks for are sound
 * when LMDB deletes. Had it touched another, what is left would not be right.
 */
static void delete_among_poison(unsigned count, struct poisoned *p)
{
    static struct leaves leaves;

    on_disk = fopen(d.file, "r+");
    assert_non_null(on_disk);
    leaves_of(STORE_TOKENS, &leaves);
    load_file();
    poison(&leaves);
    begin_poisoned(p);
    unsigned n = (unsigned)rand() % MANY;
    for (unsigned tries = 0; count > 0 && tries < MANY; tries++) {
        n = rand() % 12 == 0 ? (unsigned)rand() % MANY : (n + 1) % MANY;
        if (!is_there[n] || rand() % 8 == 0)
            continue;
        delete_poisoned(p, n);
        count--;
    }
    assert_int_equal(store_commit(s, p->txn, &err), 0);
    heal(&leaves);
    fclose(on_disk);
    check_all();
}

/* Full leaves, thin ones, and branches of few leaves. */
static bool is_kept(unsigned shape, unsigned n)
{
    return shape == 0 || (shape == 1 && n % 4 == 0) ||
           (shape == 2 && n % 5 < 2) || (shape == 3 && n % 4000 < 130) ||
           (shape == 4 && n % 1000 < 90 && n % 3 == 0);
}

static void make_shape(unsigned shape)
{
    struct store_edit edit = {.kind = STORE_DELETE};
    size_t count = 0;

    import_tokens(0, 1, MANY);
    for (unsigned n = 0; n < MANY; n++)
        if (!is_kept(shape, n)) {
            scratch_key(keys[count++], n);
            is_there[n] = false;
        }
    edit_keys(&edit, count);
    check_all();
}

static void nothing_else_is_touched(void **state)
{
    struct poisoned many = {.healed = 0};
    unsigned rounds = 0;
    (void)state;

    srand(11);
    for (unsigned shape = 0; shape < 5; shape++) {
        end(NULL);
        begin(NULL);
        open_store();
        make_shape(shape);
        for (int i = 0; i < 12; i++) {
            struct poisoned one = {.healed = 0};
            delete_among_poison(1, &one);
            /* Its leaf, one at either side, in narrow places some more. */
            assert_true(one.healed <= 10);
            delete_among_poison(i % 2 == 0 ? 60 : 8, &many);
            rounds++;
        }
    }
    /* There were narrow places. */
    assert_true(many.transactions > rounds);
}

/* --- Damage --- */

static void damage_page(uint64_t number)
{
    uint8_t bytes[64];

    memset(bytes, 0x5a, sizeof bytes);
    FILE *out = fopen(d.file, "r+");
    assert_int_equal(fseek(out, (long)(number * PAGE) + 16, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, sizeof bytes, out), sizeof bytes);
    assert_int_equal(fclose(out), 0);
}

static void a_damaged_neighbour(void **state)
{
    static struct leaves leaves;
    struct store_edit edit = {.kind = STORE_DELETE};
    struct store_edit revoke = {.kind = STORE_REVOKE};
    struct token_record got;
    char page[32];
    (void)state;

    open_store();
    import_tokens(0, 1, MANY);
    leaves_of(STORE_TOKENS, &leaves);
    unsigned first = last_on(leaves.page[5]), behind = last_on(leaves.page[6]);
    unsigned next = last_on(leaves.page[7]), far = last_on(leaves.page[8]);
    uint64_t before = revision();
    damage_page(leaves.page[6]);
    open_store();
    snprintf(page, sizeof page, "page %u: ", (unsigned)leaves.page[6]);
    scratch_key(keys[0], first);
    scratch_key(keys[1], behind);
    scratch_key(keys[2], next);
    edit_keys(&edit, 3);
    assert_int_equal(edit.refused, 3);
    assert_int_equal(edit.done, 0);
    assert_non_null(strstr(edit.refusal.text, page));
    assert_int_equal(revision(), before);
    assert_int_equal(find(first, &got), STORE_FOUND);
    assert_int_equal(find(next, &got), STORE_FOUND);
    /* Elsewhere it is done, and a revocation needs no neighbour. */
    scratch_key(keys[3], far);
    scratch_key(keys[4], MANY - 1);
    edit_keys(&edit, 5);
    assert_int_equal(edit.refused, 6);
    assert_int_equal(edit.done, 2);
    assert_int_equal(find(far, &got), STORE_ABSENT);
    edit_keys(&revoke, 3);
    assert_int_equal(revoke.refused, 1);
    assert_int_equal(revoke.done + revoke.already, 2);
    assert_non_null(strstr(revoke.refusal.text, page));
    assert_int_equal(store_add(s, scratch_key(keys[0], behind), &got, &err),
                     -1);
    assert_non_null(strstr(err.text, page));
}

/* A last use that cannot be deleted stays, and is nobody's. */
static void damaged_last_uses(void **state)
{
    static struct leaves leaves;
    struct store_edit edit = {.kind = STORE_DELETE};
    (void)state;

    open_store();
    import_tokens(0, 1, 2000);
    leaves_of(STORE_LAST_USED, &leaves);
    size_t before = count_entries(s->last_used);
    damage_page(leaves.page[1]);
    open_store();
    edit_keys(&edit, put_keys(0, 2, 2000));
    assert_int_equal(edit.done, 1000);
    assert_int_equal(edit.refused, 0);
    size_t after = count_entries(s->last_used);
    assert_true(after > before - 1000 && after < before - 400);
}

/* The journal still names a token that is deleted; a fold brings it back. */
static void a_use_after_the_end(void **state)
{
    struct sort_pair touches[] = {{1, 777}, {2, 777}};
    struct store_edit edit = {.kind = STORE_DELETE};
    struct token_record got, record = scratch_record(8);
    (void)state;

    open_store();
    import_tokens(0, 1, 2);
    assert_int_equal(journal_append(s, touches, 2, &err), 0);
    edit_keys(&edit, put_keys(0, 1, 1));
    assert_int_equal(scratch_in_table(s, 1), 0);
    struct journal_fold *fold = journal_fold_begin(s, &err);
    assert_non_null(fold);
    while (journal_fold_step(fold, &err) == JOURNAL_FOLD_MORE)
        continue;
    journal_fold_free(fold);
    assert_int_equal(scratch_in_table(s, 1), 777);
    open_store();
    assert_int_equal(store_add(s, scratch_key(keys[0], 8), &record, &err), 0);
    assert_int_equal(find(8, &got), STORE_FOUND);
    assert_int_equal(got.row, 3);
    assert_int_equal(scratch_in_table(s, 3), 0);
}

/* --- The ballast --- */

static void ballast(void **state)
{
    struct stat info;
    char path[192];
    (void)state;

    snprintf(path, sizeof path, "%s/ballast", d.dir);
    open_store();
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_size, 1 << 20);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_true(info.st_blocks * 512 >= 1 << 20);
    assert_true(store_drop_ballast(s));
    assert_int_equal(stat(path, &info), -1);
    assert_false(store_drop_ballast(s));
    store_keep_ballast(s);
    assert_int_equal(stat(path, &info), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(adding),
        TEST(revoking),
        TEST(those_that_are_meant),
        TEST(damaged_records),
        TEST(deleting_all),
        TEST(deleting_at_random),
        TEST(nothing_else_is_touched),
        TEST(a_damaged_neighbour),
        TEST(damaged_last_uses),
        TEST(a_use_after_the_end),
        TEST(ballast),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
