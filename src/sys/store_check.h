/*
 * The structure of the store's file, checked before LMDB may follow it, so
 * that no damage makes LMDB crash, loop, or write over what is in use.
 *
 * At the start (bounded by branch pages, about a hundredth of the file, and
 * by the journal and the lists of free pages): both meta pages; all pages of
 * the main table, of meta, of the journal and of the free pages; the branch
 * pages of tokens and last_used. Each page in use is in the file, in use once
 * and not free.
 *
 * The leaves of tokens and last_used are checked when they are needed: reads
 * do not go through LMDB at all, but down the tree here; and before LMDB
 * changes a key, a guard checks the pages on the way to it; before it deletes
 * one, an eraser checks those beside it as well. store_check_all visits them
 * all.
 *
 * A file that is damaged or truncated while it is open is not covered.
 */
#ifndef SYS_STORE_CHECK_H
#define SYS_STORE_CHECK_H

#include "base/error.h"
#include "sys/store_check_page.h"

#include <stdatomic.h>

/* Rules of all tables. */
extern const struct store_table store_tables[];

struct MDB_env;
struct MDB_txn;
struct store;

enum store_table_id {
    STORE_FREE, /* LMDB's own: the free pages of each transaction */
    STORE_MAIN, /* LMDB's own: the other tables' roots */
    STORE_META,
    STORE_TOKENS,
    STORE_JOURNAL,
    STORE_LAST_USED,
    STORE_TABLES
};

/* What is wrong, and where. */
struct store_damage {
    uint64_t page;
    const char *what; /* a clause: "it …" */
};

/* --- The file, mapped once more, for reading by ourselves --- */

struct store_view {
    const uint8_t *map; /* NULL = not open */
    size_t map_len;     /* bytes of address space */
    size_t page_size;
    int fd;              /* LMDB's */
    atomic_size_t pages; /* that the file has, as far as seen */
};

/* returns: 0 or an errno */
int store_view_open(struct store_view *view, struct MDB_env *env);

/* The same of a file that LMDB has not open. in: fd: stays the caller's */
int store_view_open_file(struct store_view *view, int fd, size_t page_size);

/* Not open is fine. */
void store_view_close(struct store_view *view);

/*
 * Page of this number, or NULL when the file has none (out: *damage).
 * owns: borrowed as long as the transaction lasts that holds its snapshot
 */
const uint8_t *store_view_page(struct store_view *view, uint64_t number,
                               struct store_damage *damage);

/* --- Trees, for reading --- */

struct store_tree {
    struct store_view *view;
    const struct store_table *table;
    uint64_t root;   /* page number */
    unsigned depth;  /* levels; 0 = the tree is empty, and has no root */
    bool is_checked; /* all of it was visited, and is sound */
};

/* A place on the way down. */
struct store_step {
    uint64_t number;          /* of its page */
    unsigned level;           /* from 1 to the tree's depth */
    struct store_range range; /* the keys that belong there */
    struct store_page page;   /* when it was checked */
};

/* The tree's root, not yet checked. needs: a tree that is not empty */
struct store_step store_step_root(const struct store_tree *tree);

bool store_step_is_leaf(const struct store_tree *tree,
                        const struct store_step *step);

/*
 * Check its page, whose bytes the caller has.
 * owns:    they must outlive the step and those below it
 * returns: false with *damage
 */
bool store_step_verify(const struct store_tree *tree, struct store_step *step,
                       const uint8_t *bytes, struct store_damage *damage);

/* Get its page from the map, and check it. returns: false with *damage */
bool store_step_check(const struct store_tree *tree, struct store_step *step,
                      struct store_damage *damage);

/* Child i of a branch that was checked; itself not yet checked. */
struct store_step store_step_child(const struct store_step *step, size_t i);

/*
 * A table as it was when the transaction began, without what that has written.
 * returns: an LMDB result
 */
int store_tree_open(struct store *s, struct MDB_txn *txn,
                    enum store_table_id id, struct store_tree *tree);

enum store_seek { STORE_SEEK_FOUND, STORE_SEEK_ABSENT, STORE_SEEK_DAMAGED };

/*
 * Find a key's value. Whatever is followed is checked, and all of the leaf:
 * what is absent was not lost by damage that can be seen.
 * out:     *value, as long as the transaction lasts; or *damage
 */
enum store_seek store_tree_find(const struct store_tree *tree, struct span key,
                                struct span *value,
                                struct store_damage *damage);

struct store_visitor {
    bool (*visit)(void *ctx, struct span key, struct span value);
    void *ctx; /* visit returns false to stop */
};

/*
 * Visit what is on sound pages, in the order of keys.
 * out:     *damage, the first page left out
 * returns: pages left out
 */
size_t store_tree_each(const struct store_tree *tree,
                       const struct store_visitor *visitor,
                       struct store_damage *damage);

/* As store_tree_each, from a key on; NULL = from the first. */
size_t store_tree_each_from(const struct store_tree *tree, struct span from,
                            const struct store_visitor *visitor,
                            struct store_damage *damage);

/* Is this key one of the range? */
bool store_range_has(const struct store_table *table,
                     const struct store_range *range, struct span key);

/* --- All pages --- */

/* A record on a sound page. */
struct store_record {
    enum store_table_id table; /* one of ours */
    uint64_t page;
    struct span key, value; /* as long as the call that shows it */
};

struct store_survey {
    /* Each returns false to stop. table: NULL = none in particular */
    bool (*damage)(void *ctx, const struct store_table *table,
                   const struct store_damage *damage);
    bool (*record)(void *ctx, const struct store_record *record);
    void *ctx;
    uint64_t txnid;             /* out: the snapshot's transaction */
    uint64_t pages, free_pages; /* out: in all, and not in use */
};

/*
 * Check every page of one snapshot, leaves as well, and go on after damage.
 * What is sound is shown: meta, then tokens, journal and last_used, each in
 * the order of its keys.
 * in:      txn: a read transaction, or NULL when nobody writes to the file
 * returns: 0, or -1 with the reason when there was no memory for it
 */
int store_check_all(struct store *s, struct MDB_txn *txn,
                    struct store_survey *survey, struct error *err);

/* --- Start --- */

/*
 * Check the meta pages of a closed store's file: LMDB may open it then.
 * out:     s->newest
 * returns: 0, or -1 with the reason
 */
int store_check_meta(struct store *s, struct error *err);

/* A check of one snapshot, in two steps. */
struct store_check;

/*
 * First step: LMDB's own tables, and meta. LMDB may open the tables then and
 * read meta; what it says goes before the second step's verdict.
 * in:      txn: a read transaction; the view is open
 * returns: NULL with the reason
 */
struct store_check *store_check_begin(struct store *s, struct MDB_txn *txn,
                                      struct error *err);

/* Second step: the rest. returns: 0, or -1 with the reason */
int store_check_finish(struct store_check *check, struct error *err);

/* NULL is allowed. */
void store_check_free(struct store_check *check);

/* --- Guards, for writing --- */

/* Of one write transaction and table. */
struct store_guard {
    struct store_tree tree;
    struct store_range range; /* of keys that have been found safe */
    bool has_range;
};

/* returns: an LMDB result */
int store_guard_open(struct store *s, struct MDB_txn *txn,
                     enum store_table_id id, struct store_guard *guard);

/*
 * May LMDB look for this key and put it? Pages that the transaction itself
 * has made come from pages that were asked for before.
 * out:     *damage when it must not
 */
bool store_guard_key(struct store_guard *guard, struct span key,
                     struct store_damage *damage);

/* --- Erasers, for deleting --- */

/*
 * Of one write transaction and table, while keys are deleted in ascending
 * order. A leaf that becomes thin is merged with the one to its left (of the
 * first one below a branch: to its right), or gets an entry from there. When a
 * branch has but one child left, the same happens to branches, for which LMDB
 * reads the lowest key below them.
 */
struct store_eraser {
    struct MDB_txn *txn;
    unsigned dbi;             /* LMDB's handle of the table */
    struct store_tree tree;   /* before the transaction */
    struct store_step parent; /* branch above the leaf of the last key */
    bool has_parent;
    size_t first, end;   /* its children that have been found sound */
    uint64_t leaf_pages; /* of the table, when the parent was come to */
    bool is_narrow;      /* the next merge will change branches as well */
    uint64_t narrow_at;  /* leaf pages, then */
};

/* returns: an LMDB result */
int store_eraser_open(struct store *s, struct MDB_txn *txn,
                      enum store_table_id id, struct store_eraser *eraser);

enum store_erasable {
    STORE_ERASE_SAFE,
    STORE_ERASE_LATER, /* it cannot be told in this transaction; the first key
                          of the next one never gets this answer */
    STORE_ERASE_DAMAGED
};

/*
 * May LMDB look for this key and delete it?
 * out:     *damage when STORE_ERASE_DAMAGED; of the first key of a transaction
 *          only what LMDB might have touched
 */
enum store_erasable store_eraser_ask(struct store_eraser *eraser,
                                     struct span key,
                                     struct store_damage *damage);

/* Word a damage, with the way out. returns: -1 */
int store_explain_damage(const struct store *s,
                         const struct store_damage *damage, struct error *err);

#endif
