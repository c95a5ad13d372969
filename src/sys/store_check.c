#include "sys/store_check.h"

#include "base/bytes.h"
#include "sys/store_check_meta.h"
#include "sys/store_env.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { SNAPSHOT_TRIES = 100 };

const struct store_table store_tables[] = {
    [STORE_FREE] = {"free pages", true, 8, NODE_OVERFLOW},
    [STORE_MAIN] = {"main", false, 0, NODE_OVERFLOW | NODE_TABLE},
    [STORE_META] = {"meta", false, 0, NODE_OVERFLOW},
    [STORE_TOKENS] = {"tokens", false, TOKEN_KEY_LEN, 0},
    [STORE_JOURNAL] = {"journal", true, 8, NODE_OVERFLOW},
    [STORE_LAST_USED] = {"last_used", true, 8, 0},
};

struct store_check {
    struct store *s;
    const struct store_survey *survey; /* NULL: damage ends the check */
    struct store_meta meta;
    uint8_t *taken;        /* a bit for each page: in use, or free */
    uint64_t newest_freed; /* transaction */
    uint64_t free_pages;
    unsigned tables; /* of ours, that the main table names */
    struct store_tree trees[STORE_TABLES];
    const struct store_table *table; /* which is being walked */
    struct store_damage damage;
    bool is_stopped; /* by whom the survey is for */
    uint8_t *buffer; /* the pages on the way down, one for each level */
};

static bool fail(struct store_check *c, uint64_t page, const char *what)
{
    c->damage = (struct store_damage){page, what};
    return false;
}

/*
 * After damage: may the walk go on? In a survey it is told, and what lies
 * below it is left out.
 */
static bool may_go_on(struct store_check *c)
{
    if (c->survey == NULL || c->is_stopped)
        return false;
    c->is_stopped = !c->survey->damage(c->survey->ctx, c->table, &c->damage);
    return !c->is_stopped;
}

/* --- Which pages are taken --- */

static bool take(struct store_check *c, uint64_t number)
{
    if (number < 2 || number > c->meta.last_page)
        return fail(c, number, "it is in use, or free, but no page of it");
    uint8_t bit = (uint8_t)(1 << number % 8);
    if ((c->taken[number / 8] & bit) != 0)
        return fail(c, number, "it is in use, or free, more than once");
    c->taken[number / 8] |= bit;
    return true;
}

static bool is_taken(const struct store_check *c, uint64_t number)
{
    return (c->taken[number / 8] >> number % 8 & 1) != 0;
}

/* A page that is in use has to be in the file. */
static bool use(struct store_check *c, uint64_t number)
{
    struct store_view *view = &c->s->view;

    return take(c, number) &&
           (number < atomic_load(&view->pages) ||
            store_view_page(view, number, &c->damage) != NULL);
}

/*
 * LMDB does not write a page that it has taken and freed in one transaction:
 * pages may be missing at the end, but only free ones.
 */
static bool check_end(struct store_check *c)
{
    struct store_view *view = &c->s->view;
    uint64_t page = atomic_load(&view->pages);

    for (; page <= c->meta.last_page; page++)
        if (!is_taken(c, page) &&
            store_view_page(view, page, &c->damage) == NULL)
            return false;
    return true;
}

/* --- Values --- */

/* out: *value, also where it is on pages of its own */
static bool use_value(struct store_check *c, const struct store_node *node,
                      struct span *value)
{
    struct store_page page = {.size = c->s->view.page_size};
    uint64_t run;

    *value = node->value;
    if ((node->flags & NODE_OVERFLOW) == 0)
        return true;
    page.number = page_u64(node->value.ptr);
    if (!use(c, page.number))
        return false;
    page.bytes = store_view_page(&c->s->view, page.number, &c->damage);
    const char *what = store_overflow_check(&page, node->value_len, &run);
    if (what != NULL)
        return fail(c, page.number, what);
    for (uint64_t i = 1; i < run; i++)
        if (!use(c, page.number + i))
            return false;
    *value = (struct span){page.bytes + STORE_PAGE_HEAD, node->value_len};
    return true;
}

/* A count, then as many page numbers, descending; there may be room left. */
static bool take_free(struct store_check *c, const struct store_step *step,
                      struct span key, struct span ids)
{
    uint64_t txnid = page_u64(key.ptr), last = UINT64_MAX;

    if (txnid == 0 || txnid > c->meta.txnid)
        return fail(c, step->number, "it is of another time");
    c->newest_freed = txnid;
    if (ids.len < 8 || ids.len % 8 != 0 || page_u64(ids.ptr) > ids.len / 8 - 1)
        return fail(c, step->number, "a list of free pages is too long");
    uint64_t count = page_u64(ids.ptr);
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t id = page_u64(ids.ptr + 8 * i);
        if (id >= last)
            return fail(c, step->number, "free pages are not in order");
        if (!take(c, id) && !may_go_on(c))
            return false;
        last = id;
    }
    c->free_pages += count;
    return true;
}

/* The main table holds the roots of the others. */
static bool note_table(struct store_check *c, const struct store_step *step,
                       const struct store_node *node)
{
    struct store_root root;

    for (size_t id = STORE_META; id < STORE_TABLES; id++) {
        const struct store_table *table = &store_tables[id];
        if (!span_equals(node->key, span_of(table->name)) ||
            (node->flags & NODE_TABLE) == 0)
            continue;
        if (!store_root_parse(node->value.ptr, &root) ||
            root.flags != (table->is_integer ? MDB_INTEGERKEY : 0))
            return fail(c, step->number, "a table's root is impossible");
        c->trees[id].root = root.page;
        c->trees[id].depth = root.depth;
        c->tables++;
    }
    return true;
}

static bool show_record(struct store_check *c, const struct store_step *step,
                        struct span key, struct span value)
{
    enum store_table_id id = (enum store_table_id)(c->table - store_tables);
    struct store_record record = {id, step->number, key, value};

    if (c->survey != NULL)
        c->is_stopped = !c->survey->record(c->survey->ctx, &record);
    return !c->is_stopped;
}

static bool check_value(struct store_check *c, const struct store_tree *tree,
                        const struct store_step *step,
                        const struct store_node *node)
{
    struct span value;

    if (!use_value(c, node, &value))
        return false;
    if (tree->table == &store_tables[STORE_FREE])
        return take_free(c, step, node->key, value);
    if (tree->table == &store_tables[STORE_MAIN])
        return note_table(c, step, node);
    return show_record(c, step, node->key, value);
}

/* --- Trees --- */

/* The leaves of these two are most of the store: at the start they wait. */
static bool has_lazy_leaves(const struct store_check *c)
{
    return c->survey == NULL && (c->table == &store_tables[STORE_TOKENS] ||
                                 c->table == &store_tables[STORE_LAST_USED]);
}

/* Read, not mapped: pages that are used only now would be mapped for good. */
static bool load(struct store_check *c, const struct store_tree *tree,
                 struct store_step *step)
{
    size_t size = tree->view->page_size;
    uint8_t *bytes = c->buffer + (step->level - 1) * size;
    ssize_t n =
        pread(tree->view->fd, bytes, size, (off_t)(step->number * size));

    if (n != (ssize_t)size)
        return fail(c, step->number,
                    n < 0 ? strerror(errno) : "it is cut short");
    return store_step_verify(tree, step, bytes, &c->damage);
}

/* The leaves below a branch that wait: in use all the same. */
static bool use_leaves(struct store_check *c, const struct store_step *step)
{
    size_t count = store_page_count(&step->page);

    for (size_t i = 0; i < count; i++)
        if (!use(c, store_page_child(&step->page, i)))
            return false;
    return true;
}

static bool walk(struct store_check *c, const struct store_tree *tree,
                 struct store_step *step);

static bool walk_children(struct store_check *c, const struct store_tree *tree,
                          const struct store_step *step)
{
    size_t count = store_page_count(&step->page);

    if (step->level + 1 == tree->depth && has_lazy_leaves(c))
        return use_leaves(c, step);
    for (size_t i = 0; i < count; i++) {
        struct store_step child = store_step_child(step, i);
        if (!walk(c, tree, &child) && !may_go_on(c))
            return false;
    }
    return true;
}

static bool check_values(struct store_check *c, const struct store_tree *tree,
                         const struct store_step *step)
{
    size_t count = store_page_count(&step->page);

    for (size_t i = 0; i < count; i++) {
        struct store_node node = store_page_node(&step->page, true, i);
        if (!check_value(c, tree, step, &node) && !may_go_on(c))
            return false;
    }
    return true;
}

/* Each page is used once: the walk ends. */
static bool walk(struct store_check *c, const struct store_tree *tree,
                 struct store_step *step)
{
    bool is_leaf = store_step_is_leaf(tree, step);

    if (!use(c, step->number))
        return false;
    if (is_leaf && has_lazy_leaves(c))
        return true;
    if (!load(c, tree, step))
        return false;
    return is_leaf ? check_values(c, tree, step) : walk_children(c, tree, step);
}

static bool walk_table(struct store_check *c, enum store_table_id id)
{
    const struct store_tree *tree = &c->trees[id];
    struct store_step root = store_step_root(tree);

    c->table = tree->table;
    return tree->depth == 0 || walk(c, tree, &root);
}

/* --- The snapshot --- */

/*
 * The meta page of a transaction; LMDB does not give the roots away. The page
 * is written over by the commit after the next one. As long as a transaction
 * that begins gets the same number, the next one has not ended.
 */
static int read_snapshot(struct store_check *c, MDB_txn *txn)
{
    uint8_t bytes[STORE_META_AT + STORE_META_LEN];
    const struct store_view *view = &c->s->view;
    int rc = 0;

    for (int i = 0; rc == 0 && i < SNAPSHOT_TRIES; i++) {
        uint64_t id = mdb_txn_id(txn);
        off_t at = (off_t)(id % 2 * view->page_size);
        if (pread(view->fd, bytes, sizeof bytes, at) != (ssize_t)sizeof bytes)
            return EIO;
        mdb_txn_reset(txn);
        rc = mdb_txn_renew(txn);
        if (rc == 0 && mdb_txn_id(txn) == id &&
            store_meta_parse(bytes, id % 2, &c->meta) == NULL &&
            c->meta.txnid == id)
            return 0;
    }
    return rc == 0 ? MDB_CORRUPTED : rc;
}

static void set_tree(struct store_check *c, enum store_table_id id,
                     const struct store_root *root)
{
    c->trees[id] = (struct store_tree){&c->s->view, &store_tables[id],
                                       root->page, root->depth, false};
}

static bool check_free(struct store_check *c)
{
    /* Each commit but the first one frees pages. */
    return walk_table(c, STORE_FREE) &&
           (c->newest_freed == c->meta.txnid || c->meta.txnid < 2 ||
            fail(c, c->meta.txnid % 2, "the free pages are of another time"));
}

static bool check_main(struct store_check *c)
{
    if (c->meta.main.flags != 0)
        return fail(c, c->meta.txnid % 2,
                    "it belongs to a database of another program");
    return walk_table(c, STORE_MAIN) &&
           (c->tables == 0 || c->tables == STORE_TABLES - STORE_META ||
            fail(c, c->meta.main.page, "a table is missing"));
}

static bool check_core(struct store_check *c)
{
    return check_free(c) && check_main(c) && walk_table(c, STORE_META);
}

/* in: txn: NULL = nobody writes to the file. returns: an LMDB result */
static int prepare(struct store_check *c, MDB_txn *txn)
{
    const struct store_root none = {.page = STORE_NO_PAGE};
    int rc = 0;

    c->meta = c->s->newest;
    if (txn != NULL)
        rc = read_snapshot(c, txn);
    if (rc != 0)
        return rc;
    c->taken = calloc(c->meta.last_page / 8 + 1, 1);
    c->buffer = calloc(STORE_DEPTH_MAX, c->s->view.page_size);
    if (c->taken == NULL || c->buffer == NULL)
        return ENOMEM;
    for (size_t id = STORE_META; id < STORE_TABLES; id++)
        set_tree(c, (enum store_table_id)id, &none);
    set_tree(c, STORE_FREE, &c->meta.free);
    set_tree(c, STORE_MAIN, &c->meta.main);
    return 0;
}

static struct store_check *new_check(struct store *s, MDB_txn *txn,
                                     struct error *err)
{
    struct store_check *c = calloc(1, sizeof *c);
    int rc = ENOMEM;

    if (c != NULL) {
        c->s = s;
        rc = prepare(c, txn);
    }
    if (rc == 0)
        return c;
    store_explain(s, rc, "check it", err);
    store_check_free(c);
    return NULL;
}

struct store_check *store_check_begin(struct store *s, MDB_txn *txn,
                                      struct error *err)
{
    struct store_check *c = new_check(s, txn, err);

    if (c == NULL || check_core(c))
        return c;
    store_explain_damage(s, &c->damage, err);
    store_check_free(c);
    return NULL;
}

int store_check_finish(struct store_check *c, struct error *err)
{
    if (walk_table(c, STORE_JOURNAL) && walk_table(c, STORE_TOKENS) &&
        walk_table(c, STORE_LAST_USED) && check_end(c))
        return 0;
    return store_explain_damage(c->s, &c->damage, err);
}

/* The free pages last: of a page that is also in use, the use is believed. */
static bool walk_all(struct store_check *c)
{
    if (!check_main(c) && !may_go_on(c))
        return false;
    for (size_t id = STORE_META; id < STORE_TABLES; id++)
        if (!walk_table(c, (enum store_table_id)id) && !may_go_on(c))
            return false;
    if (!check_free(c) && !may_go_on(c))
        return false;
    return check_end(c) || may_go_on(c);
}

int store_check_all(struct store *s, MDB_txn *txn, struct store_survey *survey,
                    struct error *err)
{
    struct store_check *c = new_check(s, txn, err);

    if (c == NULL)
        return -1;
    c->survey = survey;
    walk_all(c);
    survey->txnid = c->meta.txnid;
    survey->pages = c->meta.last_page + 1;
    survey->free_pages = c->free_pages;
    store_check_free(c);
    return 0;
}

void store_check_free(struct store_check *c)
{
    if (c == NULL)
        return;
    free(c->taken);
    free(c->buffer);
    free(c);
}
