/*
 * One page of an LMDB file (data version 1, 64-bit, little-endian), read
 * without trust. LMDB believes what a page says: a damaged one makes it read
 * or write outside of the page, loop, or abort.
 *
 * Pure: bytes in, verdict out.
 */
#ifndef SYS_STORE_CHECK_PAGE_H
#define SYS_STORE_CHECK_PAGE_H

#include "base/span.h"

enum {
    STORE_PAGE_SIZE_MIN = 4096,
    STORE_PAGE_SIZE_MAX = 32768,
    STORE_PAGE_HEAD = 16,      /* bytes before what a page holds */
    STORE_TREE_RECORD_LEN = 48 /* of a table, in the main table and in metas */
};

/* Flags of a page and of a node on a leaf, as LMDB has them. */
enum { PAGE_BRANCH = 1, PAGE_LEAF = 2, PAGE_OVERFLOW = 4, PAGE_META = 8 };
enum { NODE_OVERFLOW = 1, NODE_TABLE = 2 };

/* What the pages of a table may hold. */
struct store_table {
    char name[12];
    bool is_integer;     /* keys: 8 bytes, native; else compared as bytes */
    uint8_t key_len;     /* bytes; 0 = from 1 to LMDB's 511 */
    unsigned node_flags; /* which a node on a leaf may have */
};

/* The keys that belong on a page: low and above, below high; NULL = no end. */
struct store_range {
    struct span low, high;
};

/* The file has the machine's own byte order, and that is little-endian. */
static inline unsigned page_u16(const uint8_t *p)
{
    uint16_t x;

    memcpy(&x, p, sizeof x);
    return x;
}

static inline uint32_t page_u32(const uint8_t *p)
{
    uint32_t x;

    memcpy(&x, p, sizeof x);
    return x;
}

static inline uint64_t page_u64(const uint8_t *p)
{
    uint64_t x;

    memcpy(&x, p, sizeof x);
    return x;
}

/* A page where it lies; its bytes stay another's. */
struct store_page {
    const uint8_t *bytes; /* size of them */
    size_t size;
    uint64_t number;
};

/* An entry of a page that was checked. */
struct store_node {
    struct span key;
    struct span value; /* on a leaf; with NODE_OVERFLOW a page number (8) */
    uint64_t child;    /* on a branch: page number */
    size_t value_len;  /* bytes, also where they are on overflow pages */
    unsigned flags;
};

/*
 * Is it a sound branch or leaf page of this table: kind and number; entries
 * whole, packed, none over another; keys ascending, and in the range?
 * returns: NULL, or what is wrong as a clause ("it …")
 */
const char *store_page_check(const struct store_page *page,
                             const struct store_table *table, bool is_leaf,
                             const struct store_range *range);

/* Entries of a page that was checked; at least 1, on a branch 2. */
size_t store_page_count(const struct store_page *page);

/* The page below entry i of a branch that was checked. */
uint64_t store_page_child(const struct store_page *page, size_t i);

/* Entry i of a page that was checked. A branch's first key means nothing. */
struct store_node store_page_node(const struct store_page *page, bool is_leaf,
                                  size_t i);

/* Below 0, 0, or above 0: in the order of the table. */
int store_key_compare(const struct store_table *table, struct span a,
                      struct span b);

/*
 * Find a key on a leaf that was checked.
 * returns: is it there? out: *value then
 */
bool store_leaf_find(const struct store_page *page,
                     const struct store_table *table, struct span key,
                     struct span *value);

/*
 * The way down from a branch page to a key. The page need not have been
 * checked: what is read here is, and that is enough for reading.
 * out:     *child, a page number; *range, narrowed to what belongs there
 * returns: NULL, or what is wrong
 */
const char *store_branch_find(const struct store_page *page,
                              const struct store_table *table, struct span key,
                              struct store_range *range, uint64_t *child);

/*
 * Is it the first page of so large a value?
 * out:     *run: how many pages it takes
 * returns: NULL, or what is wrong
 */
const char *store_overflow_check(const struct store_page *page,
                                 size_t value_len, uint64_t *run);

#endif
