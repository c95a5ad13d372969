/*
 * Which pages LMDB may touch when it deletes a key, and how that is known in a
 * transaction that has deleted others.
 *
 * We see the tree as it was before the transaction. As long as no branch has
 * lost a child but by a merge of leaves, a leaf of LMDB's own tree is made of
 * neighbours in ours, below the same branch. Those it may have been made of
 * are [first, end), and the next deletion can add one at either side. How many
 * children a branch has left is told by the number of leaf pages, which LMDB
 * keeps while it writes. When branches may have changed, the transaction has
 * to end first.
 */
#include "sys/store_check.h"
#include "sys/store_env.h"

enum { NARROW = 2 /* children; with one less, LMDB merges branches */ };

int store_eraser_open(struct store *s, MDB_txn *txn, enum store_table_id id,
                      struct store_eraser *eraser)
{
    *eraser = (struct store_eraser){
        .txn = txn,
        .dbi = id == STORE_TOKENS ? s->tokens : s->last_used,
    };
    return store_tree_open(s, txn, id, &eraser->tree);
}

/* The count in the file may be damaged; differences are right all the same. */
static uint64_t count_leaf_pages(const struct store_eraser *e)
{
    MDB_stat stats;

    return mdb_stat(e->txn, e->dbi, &stats) == 0 ? stats.ms_leaf_pages : 0;
}

/* Which child of a branch that was checked would hold the key? */
static size_t child_of(const struct store_tree *tree,
                       const struct store_step *step, struct span key)
{
    size_t low = 1, high = store_page_count(&step->page);

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct store_node node = store_page_node(&step->page, false, middle);
        if (store_key_compare(tree->table, node.key, key) > 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low - 1;
}

/* Come to the branch above the key's leaf. needs: a depth of 2 or more */
static bool enter(struct store_eraser *e, struct span key,
                  struct store_damage *damage)
{
    struct store_step step = store_step_root(&e->tree);

    for (;;) {
        if (!store_step_check(&e->tree, &step, damage))
            return false;
        if (step.level + 1 == e->tree.depth)
            break;
        step = store_step_child(&step, child_of(&e->tree, &step, key));
    }
    e->parent = step;
    e->has_parent = true;
    e->first = e->end = 0;
    e->leaf_pages = count_leaf_pages(e);
    return true;
}

/* The key's leaf, what it may be merged with by now, and one more around. */
static bool check_leaves(struct store_eraser *e, struct span key,
                         struct store_damage *damage)
{
    size_t count = store_page_count(&e->parent.page);
    size_t i = child_of(&e->tree, &e->parent, key);
    bool is_first = e->first == e->end;
    size_t first = is_first || i < e->first ? i : e->first;
    size_t end = is_first || i >= e->end ? i + 1 : e->end;

    first -= first > 0;
    end += end < count;
    for (size_t j = first; j < end; j++) {
        struct store_step leaf = store_step_child(&e->parent, j);
        bool is_known = j >= e->first && j < e->end;
        if (!is_known && !store_step_check(&e->tree, &leaf, damage))
            return false;
    }
    e->first = first;
    e->end = end;
    return true;
}

static bool check_lowest(const struct store_tree *tree, struct store_step step,
                         struct store_damage *damage)
{
    while (!store_step_is_leaf(tree, &step)) {
        if (!store_step_check(tree, &step, damage))
            return false;
        step = store_step_child(&step, 0);
    }
    return store_step_check(tree, &step, damage);
}

/* For each branch on the way that has neighbours: its own, and the next. */
static bool check_branches(const struct store_tree *tree, struct span key,
                           struct store_damage *damage)
{
    struct store_step step = store_step_root(tree);

    while (step.level + 1 < tree->depth) {
        if (!store_step_check(tree, &step, damage))
            return false;
        size_t i = child_of(tree, &step, key);
        struct store_step child = store_step_child(&step, i);
        if (!check_lowest(tree, child, damage) ||
            (i + 1 < store_page_count(&step.page) &&
             !check_lowest(tree, store_step_child(&step, i + 1), damage)))
            return false;
        step = child;
    }
    return true;
}

static bool is_narrow(const struct store_eraser *e, uint64_t leaf_pages)
{
    uint64_t merged = e->leaf_pages - leaf_pages;

    return e->tree.depth > 2 &&
           store_page_count(&e->parent.page) <= merged + NARROW;
}

enum store_erasable store_eraser_ask(struct store_eraser *e, struct span key,
                                     struct store_damage *damage)
{
    const struct store_table *table = e->tree.table;
    struct store_step root = store_step_root(&e->tree);

    if (e->tree.depth < 2)
        return e->tree.depth == 0 || store_step_check(&e->tree, &root, damage)
                   ? STORE_ERASE_SAFE
                   : STORE_ERASE_DAMAGED;
    uint64_t leaf_pages = count_leaf_pages(e);
    if (e->is_narrow && leaf_pages != e->narrow_at)
        return STORE_ERASE_LATER;
    if (!e->has_parent || !store_range_has(table, &e->parent.range, key)) {
        struct span low = e->parent.range.low;
        /* What was deleted there is forgotten. */
        if (e->has_parent && low.ptr != NULL &&
            store_key_compare(table, key, low) < 0)
            return STORE_ERASE_LATER;
        if (!enter(e, key, damage))
            return STORE_ERASE_DAMAGED;
    }
    e->is_narrow = is_narrow(e, leaf_pages);
    e->narrow_at = leaf_pages;
    return check_leaves(e, key, damage) &&
                   (!e->is_narrow || check_branches(&e->tree, key, damage))
               ? STORE_ERASE_SAFE
               : STORE_ERASE_DAMAGED;
}
