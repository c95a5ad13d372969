#include "sys/store_check_page.h"

#include "base/bytes.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "LMDB's file has the byte order of the machine");

enum {
    NODE_HEAD = 8,
    KEY_MAX = 511,
    /* Entries begin at even offsets. */
    STARTS = STORE_PAGE_SIZE_MAX / 2
};

/* --- Fields: number 8, pad 2, flags 2, lower 2, upper 2, offsets 2 each --- */

static unsigned flags_of(const struct store_page *page)
{
    return page_u16(page->bytes + 10);
}

static size_t lower_of(const struct store_page *page)
{
    return page_u16(page->bytes + 12);
}

static size_t upper_of(const struct store_page *page)
{
    return page_u16(page->bytes + 14);
}

static size_t offset_of(const struct store_page *page, size_t i)
{
    return page_u16(page->bytes + STORE_PAGE_HEAD + 2 * i);
}

size_t store_page_count(const struct store_page *page)
{
    return (lower_of(page) - STORE_PAGE_HEAD) / 2;
}

static uint64_t child_at(const uint8_t *at)
{
    return page_u32(at) | (uint64_t)page_u16(at + 4) << 32;
}

/* An entry: low 2, high 2, flags 2, key length 2, key, value. */
static struct store_node node_at(const uint8_t *at, bool is_leaf)
{
    struct store_node node = {
        .key = {at + NODE_HEAD, page_u16(at + 6)},
    };

    if (!is_leaf) {
        node.child = child_at(at);
        return node;
    }
    node.value_len = page_u32(at);
    node.flags = page_u16(at + 4);
    node.value.ptr = node.key.ptr + node.key.len;
    node.value.len = (node.flags & NODE_OVERFLOW) != 0 ? 8 : node.value_len;
    return node;
}

uint64_t store_page_child(const struct store_page *page, size_t i)
{
    return child_at(page->bytes + offset_of(page, i));
}

struct store_node store_page_node(const struct store_page *page, bool is_leaf,
                                  size_t i)
{
    return node_at(page->bytes + offset_of(page, i), is_leaf);
}

static size_t size_of(const struct store_node *node)
{
    return (NODE_HEAD + node->key.len + node->value.len + 1) & ~(size_t)1;
}

/* --- Order --- */

int store_key_compare(const struct store_table *table, struct span a,
                      struct span b)
{
    if (table->is_integer) {
        uint64_t x = page_u64(a.ptr), y = page_u64(b.ptr);
        return x < y ? -1 : x > y;
    }
    if (a.len >= 8 && b.len >= 8) { /* most keys differ there */
        uint64_t x = load_be64(a.ptr), y = load_be64(b.ptr);
        if (x != y)
            return x < y ? -1 : 1;
    }
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

/* --- Checks --- */

static const char *check_head(const struct store_page *page, bool is_leaf)
{
    size_t lower = lower_of(page), upper = upper_of(page);

    if (page_u64(page->bytes) != page->number)
        return "it does not bear its own number";
    if (flags_of(page) != (is_leaf ? PAGE_LEAF : PAGE_BRANCH))
        return is_leaf ? "it is not a leaf" : "it is not a branch";
    if (lower < STORE_PAGE_HEAD || lower > upper || upper > page->size ||
        lower % 2 != 0 || upper % 2 != 0)
        return "its bounds are impossible";
    if (store_page_count(page) < (is_leaf ? 1 : 2))
        return "it has too few entries";
    return NULL;
}

static bool has_sound_value(const struct store_table *table,
                            const struct store_node *node)
{
    if ((node->flags & ~table->node_flags) != 0)
        return false;
    if ((node->flags & NODE_TABLE) != 0)
        return node->flags == NODE_TABLE &&
               node->value.len == STORE_TREE_RECORD_LEN;
    return true;
}

/* i = 0 of a branch has no key that means anything, but room for one. */
static bool has_sound_key(const struct store_table *table,
                          const struct store_node *node)
{
    if (table->key_len != 0)
        return node->key.len == table->key_len;
    return node->key.len >= 1 && node->key.len <= KEY_MAX;
}

/* Is entry i within the page, with key and value of the table? out: *node */
static const char *check_entry(const struct store_page *page,
                               const struct store_table *table, bool is_leaf,
                               size_t i, struct store_node *node)
{
    size_t offset = offset_of(page, i);

    if (offset < upper_of(page) || offset + NODE_HEAD > page->size ||
        offset % 2 != 0)
        return "an entry lies outside of it";
    *node = node_at(page->bytes + offset, is_leaf);
    if (size_of(node) > page->size - offset)
        return "an entry reaches beyond its end";
    if ((is_leaf || i > 0) && !has_sound_key(table, node))
        return "a key has an impossible length";
    if (is_leaf && !has_sound_value(table, node))
        return "an entry is of an impossible kind";
    return NULL;
}

/* last: NULL = none */
static bool is_in_order(const struct store_table *table, struct span last,
                        struct span key, bool may_equal)
{
    if (last.ptr == NULL)
        return true;
    int order = store_key_compare(table, key, last);
    return order > 0 || (order == 0 && may_equal);
}

/*
 * out: *is_stacked: each ends where the one before begins, as LMDB adds them;
 *      they are end to end then
 */
static const char *check_entries(const struct store_page *page,
                                 const struct store_table *table, bool is_leaf,
                                 const struct store_range *range,
                                 bool *is_stacked)
{
    size_t count = store_page_count(page), end = page->size;
    struct span last = range->low;
    struct store_node node;

    *is_stacked = true;
    for (size_t i = 0; i < count; i++) {
        const char *what = check_entry(page, table, is_leaf, i, &node);
        if (what != NULL)
            return what;
        *is_stacked &= offset_of(page, i) + size_of(&node) == end;
        end = offset_of(page, i);
        if (!is_leaf && i == 0)
            continue; /* its key means nothing */
        /* A leaf's first key may be the one that its parent has. */
        if (!is_in_order(table, last, node.key, i == 0))
            return i == 0 ? "a key does not belong on it"
                          : "its keys are not in order";
        last = node.key;
    }
    *is_stacked &= end == upper_of(page);
    return range->high.ptr == NULL ||
                   store_key_compare(table, last, range->high) < 0
               ? NULL
               : "a key does not belong on it";
}

/* Where entries begin; one bit for each even offset. */
struct starts {
    uint64_t bits[STARTS / 64];
};

static void note_start(struct starts *starts, size_t offset)
{
    starts->bits[offset / 2 / 64] |= (uint64_t)1 << (offset / 2 % 64);
}

static bool is_start(const struct starts *starts, size_t offset)
{
    return (starts->bits[offset / 2 / 64] >> (offset / 2 % 64) & 1) != 0;
}

/* LMDB keeps entries end to end, in any order, and moves them by size. */
static const char *check_packing(const struct store_page *page, bool is_leaf)
{
    size_t left = store_page_count(page), at = upper_of(page);
    struct starts starts;

    memset(&starts, 0, page->size / 16);
    for (size_t i = 0; i < left; i++)
        note_start(&starts, offset_of(page, i));
    for (; at < page->size && left > 0 && is_start(&starts, at); left--) {
        struct store_node node = node_at(page->bytes + at, is_leaf);
        at += size_of(&node);
    }
    return left == 0 && at == page->size ? NULL
                                         : "its entries are not end to end";
}

const char *store_page_check(const struct store_page *page,
                             const struct store_table *table, bool is_leaf,
                             const struct store_range *range)
{
    bool is_stacked;
    const char *what = check_head(page, is_leaf);

    if (what == NULL)
        what = check_entries(page, table, is_leaf, range, &is_stacked);
    if (what != NULL || is_stacked)
        return what;
    return check_packing(page, is_leaf);
}

const char *store_overflow_check(const struct store_page *page,
                                 size_t value_len, uint64_t *run)
{
    if (page_u64(page->bytes) != page->number)
        return "it does not bear its own number";
    if (flags_of(page) != PAGE_OVERFLOW)
        return "it is not the beginning of a large value";
    *run = page_u32(page->bytes + 12);
    if (*run == 0 || *run * page->size < STORE_PAGE_HEAD + value_len)
        return "it says that a large value is shorter than it is";
    return NULL;
}

/* --- Finding --- */

bool store_leaf_find(const struct store_page *page,
                     const struct store_table *table, struct span key,
                     struct span *value)
{
    size_t low = 0, high = store_page_count(page);

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct store_node node = store_page_node(page, true, middle);
        int order = store_key_compare(table, node.key, key);
        if (order == 0) {
            *value = node.value;
            return true;
        }
        if (order > 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

/* The last entry whose key is not above; the first one's is below all. */
static const char *find_child(const struct store_page *page,
                              const struct store_table *table, struct span key,
                              size_t *child)
{
    size_t low = 1, high = store_page_count(page);
    struct store_node node;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *what = check_entry(page, table, false, middle, &node);
        if (what != NULL)
            return what;
        if (store_key_compare(table, node.key, key) > 0)
            high = middle;
        else
            low = middle + 1;
    }
    *child = low - 1;
    return NULL;
}

const char *store_branch_find(const struct store_page *page,
                              const struct store_table *table, struct span key,
                              struct store_range *range, uint64_t *child)
{
    struct store_node here = {.child = 0}, next;
    size_t i = 0;
    const char *what = check_head(page, false);

    if (what == NULL)
        what = find_child(page, table, key, &i);
    if (what == NULL)
        what = check_entry(page, table, false, i, &here);
    if (what != NULL)
        return what;
    *child = here.child;
    if (i > 0)
        range->low = here.key;
    if (i + 1 == store_page_count(page))
        return NULL;
    what = check_entry(page, table, false, i + 1, &next);
    if (what == NULL)
        range->high = next.key;
    return what;
}
