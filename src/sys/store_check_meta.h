/*
 * The two meta pages at the beginning of an LMDB file, read without trust.
 * Each commit writes the older of them; the newer one is the store.
 */
#ifndef SYS_STORE_CHECK_META_H
#define SYS_STORE_CHECK_META_H

#include "sys/store_check_page.h"

#define STORE_NO_PAGE UINT64_MAX

/* A table, as a meta page or the main table records it. */
struct store_root {
    unsigned flags; /* LMDB's persistent ones */
    unsigned depth; /* levels; 0 = the table is empty */
    uint64_t page;  /* STORE_NO_PAGE when it is empty */
};

enum { STORE_DEPTH_MAX = 32 }; /* LMDB's cursors hold no more */

/* Read STORE_TREE_RECORD_LEN bytes. returns: false when it cannot be */
bool store_root_parse(const uint8_t *bytes, struct store_root *root);

struct store_meta {
    uint64_t txnid;
    uint64_t last_page; /* that the file may have; the last ones may be free */
    size_t page_size;
    struct store_root free, main;
};

enum {
    STORE_META_LEN = 136,
    STORE_META_AT = STORE_PAGE_HEAD /* on its page */
};

/*
 * Read and check one meta page.
 * in:      the first STORE_META_AT + STORE_META_LEN bytes of page 0 or 1
 * returns: NULL, or what is wrong
 */
const char *store_meta_parse(const uint8_t *bytes, uint64_t number,
                             struct store_meta *meta);

#endif
