/*
 * Our own way down a tree, for reading and for guarding LMDB's.
 */
#include "sys/store_check.h"
#include "sys/store_check_meta.h"
#include "sys/store_env.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { MAIN_TABLE = 1 }; /* LMDB's own handle */

/* --- The view --- */

static size_t count_pages(struct store_view *view)
{
    struct stat file;

    if (fstat(view->fd, &file) != 0)
        return 0;
    size_t len = (size_t)file.st_size;
    size_t pages =
        (len < view->map_len ? len : view->map_len) / view->page_size;
    atomic_store(&view->pages, pages);
    return pages;
}

static int map_file(struct store_view *view, size_t len)
{
    void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, view->fd, 0);

    if (map == MAP_FAILED)
        return errno;
    view->map = map;
    view->map_len = len;
    count_pages(view);
    return 0;
}

int store_view_open(struct store_view *view, struct MDB_env *env)
{
    MDB_envinfo info;
    MDB_stat stats;
    int rc = mdb_env_get_fd(env, &view->fd);

    if (rc == 0)
        rc = mdb_env_info(env, &info);
    if (rc == 0)
        rc = mdb_env_stat(env, &stats);
    if (rc != 0)
        return rc;
    view->page_size = stats.ms_psize;
    return map_file(view, info.me_mapsize);
}

int store_view_open_file(struct store_view *view, int fd, size_t page_size)
{
    struct stat file;

    if (fstat(fd, &file) != 0)
        return errno;
    view->fd = fd;
    view->page_size = page_size;
    return map_file(view, (size_t)file.st_size);
}

void store_view_close(struct store_view *view)
{
    if (view->map != NULL)
        munmap((void *)(uintptr_t)view->map, view->map_len);
    view->map = NULL;
}

const uint8_t *store_view_page(struct store_view *view, uint64_t number,
                               struct store_damage *damage)
{
    if (number >= atomic_load(&view->pages) && number >= count_pages(view)) {
        *damage = (struct store_damage){number, "it is cut short"};
        return NULL;
    }
    return view->map + number * view->page_size;
}

/* --- Steps --- */

struct store_step store_step_root(const struct store_tree *tree)
{
    return (struct store_step){.number = tree->root, .level = 1};
}

bool store_step_is_leaf(const struct store_tree *tree,
                        const struct store_step *step)
{
    return step->level == tree->depth;
}

bool store_step_verify(const struct store_tree *tree, struct store_step *step,
                       const uint8_t *bytes, struct store_damage *damage)
{
    bool is_leaf = store_step_is_leaf(tree, step);

    step->page =
        (struct store_page){bytes, tree->view->page_size, step->number};
    if (tree->is_checked)
        return true;
    *damage = (struct store_damage){step->number, NULL};
    damage->what =
        store_page_check(&step->page, tree->table, is_leaf, &step->range);
    return damage->what == NULL;
}

bool store_step_check(const struct store_tree *tree, struct store_step *step,
                      struct store_damage *damage)
{
    const uint8_t *bytes = store_view_page(tree->view, step->number, damage);

    return bytes != NULL && store_step_verify(tree, step, bytes, damage);
}

struct store_step store_step_child(const struct store_step *step, size_t i)
{
    struct store_node node = store_page_node(&step->page, false, i);
    struct store_step child = {
        .number = node.child,
        .level = step->level + 1,
        .range = step->range,
    };

    if (i > 0)
        child.range.low = node.key;
    if (i + 1 < store_page_count(&step->page))
        child.range.high = store_page_node(&step->page, false, i + 1).key;
    return child;
}

/* --- Trees --- */

int store_tree_open(struct store *s, MDB_txn *txn, enum store_table_id id,
                    struct store_tree *tree)
{
    const char *name = store_tables[id].name;
    MDB_val key = val_of(name, strlen(name)), value;
    struct store_root root;
    int rc = mdb_get(txn, MAIN_TABLE, &key, &value);

    if (rc != 0)
        return rc;
    if (value.mv_size != STORE_TREE_RECORD_LEN ||
        !store_root_parse(value.mv_data, &root))
        return MDB_CORRUPTED;
    *tree = (struct store_tree){&s->view, &store_tables[id], root.page,
                                root.depth, false};
    return 0;
}

/* One level down from a branch, towards a key. */
static bool step_down(const struct store_tree *tree, struct span key,
                      struct store_step *step, struct store_damage *damage)
{
    const uint8_t *bytes = store_view_page(tree->view, step->number, damage);

    if (bytes == NULL)
        return false;
    step->page =
        (struct store_page){bytes, tree->view->page_size, step->number};
    *damage = (struct store_damage){step->number, NULL};
    damage->what = store_branch_find(&step->page, tree->table, key,
                                     &step->range, &step->number);
    step->level++;
    return damage->what == NULL;
}

/* Down to the leaf where a key is or would be; the tree is not empty. */
static bool descend(const struct store_tree *tree, struct span key,
                    struct store_step *step, struct store_damage *damage)
{
    *step = store_step_root(tree);
    while (!store_step_is_leaf(tree, step))
        if (!step_down(tree, key, step, damage))
            return false;
    return store_step_check(tree, step, damage);
}

enum store_seek store_tree_find(const struct store_tree *tree, struct span key,
                                struct span *value, struct store_damage *damage)
{
    struct store_step step;

    if (tree->depth == 0)
        return STORE_SEEK_ABSENT;
    if (!descend(tree, key, &step, damage))
        return STORE_SEEK_DAMAGED;
    return store_leaf_find(&step.page, tree->table, key, value)
               ? STORE_SEEK_FOUND
               : STORE_SEEK_ABSENT;
}

/* --- All of a tree --- */

struct visiting {
    const struct store_tree *tree;
    struct span from; /* key; NULL = the first */
    const struct store_visitor *visitor;
    struct store_damage *first;
    size_t damaged; /* pages */
};

/* Below 0, 0, or above 0: before, at or behind the first key to visit. */
static int place_of(const struct visiting *v, struct span key)
{
    return v->from.ptr == NULL
               ? 1
               : store_key_compare(v->tree->table, key, v->from);
}

static bool visit_leaf(const struct visiting *v, const struct store_step *step)
{
    size_t count = store_page_count(&step->page);

    for (size_t i = 0; i < count; i++) {
        struct store_node node = store_page_node(&step->page, true, i);
        if (place_of(v, node.key) < 0)
            continue;
        if (!v->visitor->visit(v->visitor->ctx, node.key, node.value))
            return false;
    }
    return true;
}

/* Keys of each child lie in a range of its own: no page is visited twice. */
static bool visit_page(struct visiting *v, struct store_step *step)
{
    struct store_damage damage;

    if (!store_step_check(v->tree, step, &damage)) {
        if (v->damaged++ == 0)
            *v->first = damage;
        return true;
    }
    if (store_step_is_leaf(v->tree, step))
        return visit_leaf(v, step);
    size_t count = store_page_count(&step->page);
    for (size_t i = 0; i < count; i++) {
        struct store_step child = store_step_child(step, i);
        struct span high = child.range.high;
        if (high.ptr != NULL && place_of(v, high) <= 0)
            continue;
        if (!visit_page(v, &child))
            return false;
    }
    return true;
}

size_t store_tree_each_from(const struct store_tree *tree, struct span from,
                            const struct store_visitor *visitor,
                            struct store_damage *damage)
{
    struct visiting v = {tree, from, visitor, damage, 0};
    struct store_step root = store_step_root(tree);

    if (tree->depth > 0)
        visit_page(&v, &root);
    return v.damaged;
}

size_t store_tree_each(const struct store_tree *tree,
                       const struct store_visitor *visitor,
                       struct store_damage *damage)
{
    return store_tree_each_from(tree, (struct span){NULL, 0}, visitor, damage);
}

/* --- Guards --- */

int store_guard_open(struct store *s, MDB_txn *txn, enum store_table_id id,
                     struct store_guard *guard)
{
    *guard = (struct store_guard){0};
    return store_tree_open(s, txn, id, &guard->tree);
}

bool store_range_has(const struct store_table *table,
                     const struct store_range *range, struct span key)
{
    return (range->low.ptr == NULL ||
            store_key_compare(table, key, range->low) >= 0) &&
           (range->high.ptr == NULL ||
            store_key_compare(table, key, range->high) < 0);
}

bool store_guard_key(struct store_guard *guard, struct span key,
                     struct store_damage *damage)
{
    struct store_step step;

    if (guard->tree.depth == 0)
        return true;
    if (guard->has_range &&
        store_range_has(guard->tree.table, &guard->range, key))
        return true;
    guard->has_range = descend(&guard->tree, key, &step, damage);
    guard->range = step.range;
    return guard->has_range;
}

/* --- Words --- */

int store_explain_damage(const struct store *s,
                         const struct store_damage *damage, struct error *err)
{
    return error_set(err, "store %s: page %llu: %s; restore a backup", s->path,
                     (unsigned long long)damage->page, damage->what);
}
