/*
 * The rows of an import between reading and writing: gathered, sorted by key,
 * searched for duplicates. Grows by about 110 bytes a row plus the username
 * (space grows in powers of two; what is not used is never touched); it holds
 * keys (hashes), never tokens.
 */
#ifndef TOOLS_IMPORT_SET_H
#define TOOLS_IMPORT_SET_H

#include "base/sort.h"
#include "tools/import_row.h"

/* Where a row's token stands in the file. */
struct import_place {
    uint64_t line;   /* 1-based */
    uint64_t column; /* 1-based */
};

enum { IMPORT_SET_PARTS = 256 };

/* Packed rows, one after the other. */
struct import_part {
    uint8_t *mem;
    size_t len, cap; /* bytes used and there */
};

/*
 * A part for each first byte of a key: in the keys' order, rows are read out
 * of one part after the other, and a part of many millions' still fits into
 * the processor's cache.
 */
struct import_set {
    struct import_part parts[IMPORT_SET_PARTS];
    struct sort_pair *order; /* key: first 8 bytes of the row's, big-endian;
                                value: the row's offset in its part */
    size_t count;            /* rows */
    size_t aside;            /* rows behind those, that are put aside */
    size_t order_cap;        /* rows that order has room for */
};

/* Start empty. owns: release with import_set_fini */
void import_set_init(struct import_set *set);

/* Free all; empty afterwards. */
void import_set_fini(struct import_set *set);

/* Keep a copy of a row. returns: false when there is no memory; unchanged */
bool import_set_add(struct import_set *set, const struct import_row *row,
                    struct import_place place);

/*
 * Order the rows by key; those of one token keep the file's order. Takes
 * another 16 bytes a row while it runs.
 * returns: false when there is no memory
 */
bool import_set_sort(struct import_set *set);

/*
 * Copy row number i out.
 * needs: i < set->count; the order is the file's, or the keys' after sorting
 */
void import_set_get(const struct import_set *set, size_t i,
                    struct import_row *row, struct import_place *place);

/*
 * Does an earlier row hold the token of row i?
 * needs:   a sorted set; i < set->count
 * returns: that row's line, or 0
 */
uint64_t import_set_repeats(const struct import_set *set, size_t i);

/* What is known of a row: nothing at first. */
enum import_mark {
    IMPORT_ROW_OPEN,
    IMPORT_ROW_NEW,  /* its token is not in the store */
    IMPORT_ROW_SAME, /* it changes nothing in the store */
    IMPORT_ROW_DONE
};

/* needs: i < set->count */
void import_set_mark(struct import_set *set, size_t i, enum import_mark mark);
enum import_mark import_set_mark_of(const struct import_set *set, size_t i);

/*
 * Leave out the rows that are done, and put those aside that are the same. The
 * others keep their order.
 */
void import_set_sift(struct import_set *set);

/* Take in again what was put aside, in no particular order. */
void import_set_take_back(struct import_set *set);

#endif
