#include "tools/import_set.h"

#include "base/bytes.h"

#include <stdlib.h>

/* A row in memory, the username behind it. */
struct packed {
    uint8_t key[TOKEN_KEY_LEN];
    int64_t created, not_before, expires, last_used;
    uint64_t line;
    uint32_t column;
    bool revoked;
    uint8_t mark; /* enum import_mark */
    uint8_t username_len;
    char username[];
};

enum {
    ALIGNMENT = _Alignof(struct packed),
    FIRST_BYTES = 1 << 12,
    FIRST_ROWS = 1 << 10,
    PREFETCH_ROWS = 8
};

void import_set_init(struct import_set *set)
{
    memset(set, 0, sizeof *set);
}

void import_set_fini(struct import_set *set)
{
    for (size_t i = 0; i < IMPORT_SET_PARTS; i++)
        free(set->parts[i].mem);
    free(set->order);
    import_set_init(set);
}

static struct packed *row_at(const struct import_set *set, size_t i)
{
    const struct sort_pair *at = &set->order[i];

    return (struct packed *)(void *)(set->parts[at->key >> 56].mem + at->value);
}

static bool reserve_bytes(struct import_part *part, size_t len)
{
    if (len <= part->cap - part->len)
        return true;
    size_t cap = part->cap == 0 ? FIRST_BYTES : 2 * part->cap;
    uint8_t *mem = realloc(part->mem, cap);
    if (mem == NULL)
        return false;
    part->mem = mem;
    part->cap = cap;
    return true;
}

static bool reserve_row(struct import_set *set)
{
    if (set->count < set->order_cap)
        return true;
    size_t cap = set->order_cap == 0 ? FIRST_ROWS : 2 * set->order_cap;
    struct sort_pair *order = realloc(set->order, cap * sizeof *order);
    if (order == NULL)
        return false;
    set->order = order;
    set->order_cap = cap;
    return true;
}

bool import_set_add(struct import_set *set, const struct import_row *row,
                    struct import_place place)
{
    const struct token_record *record = &row->record;
    struct import_part *part = &set->parts[row->key[0]];
    size_t len = offsetof(struct packed, username) + record->username_len;

    len = (len + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (!reserve_bytes(part, len) || !reserve_row(set))
        return false;
    set->order[set->count].key = load_be64(row->key);
    set->order[set->count].value = part->len;
    struct packed *packed = row_at(set, set->count);
    memcpy(packed->key, row->key, TOKEN_KEY_LEN);
    packed->created = record->created;
    packed->not_before = record->not_before;
    packed->expires = record->expires;
    packed->last_used = row->last_used;
    packed->line = place.line;
    packed->column =
        place.column < UINT32_MAX ? (uint32_t)place.column : UINT32_MAX;
    packed->revoked = record->revoked;
    packed->mark = IMPORT_ROW_OPEN;
    packed->username_len = record->username_len;
    memcpy(packed->username, record->username, record->username_len);
    part->len += len;
    set->count++;
    return true;
}

bool import_set_sort(struct import_set *set)
{
    if (set->count == 0)
        return true;
    struct sort_pair *spare = malloc(set->count * sizeof *spare);
    if (spare == NULL)
        return false;
    sort_pairs(set->order, spare, set->count);
    free(spare);
    return true;
}

/* The first cache line, and that where the name begins. */
static void prefetch(const struct packed *row)
{
    __builtin_prefetch(row);
    __builtin_prefetch(row->username);
}

void import_set_get(const struct import_set *set, size_t i,
                    struct import_row *row, struct import_place *place)
{
    const struct packed *packed = row_at(set, i);
    struct token_record *record = &row->record;

    /* By key the rows lie all over their part: fetch those that come next. */
    if (i + PREFETCH_ROWS < set->count)
        prefetch(row_at(set, i + PREFETCH_ROWS));
    memcpy(row->key, packed->key, TOKEN_KEY_LEN);
    record->row = 0;
    record->created = packed->created;
    record->not_before = packed->not_before;
    record->expires = packed->expires;
    record->revoked = packed->revoked;
    record->username_len = packed->username_len;
    memcpy(record->username, packed->username, packed->username_len);
    row->last_used = packed->last_used;
    place->line = packed->line;
    place->column = packed->column;
}

uint64_t import_set_repeats(const struct import_set *set, size_t i)
{
    const struct packed *row = row_at(set, i);

    /* Other tokens of the same prefix may lie between: in theory. */
    for (size_t j = i; j > 0 && set->order[j - 1].key == set->order[i].key;
         j--) {
        const struct packed *earlier = row_at(set, j - 1);
        if (memcmp(earlier->key, row->key, TOKEN_KEY_LEN) == 0)
            return earlier->line;
    }
    return 0;
}

void import_set_mark(struct import_set *set, size_t i, enum import_mark mark)
{
    row_at(set, i)->mark = (uint8_t)mark;
}

enum import_mark import_set_mark_of(const struct import_set *set, size_t i)
{
    return (enum import_mark)row_at(set, i)->mark;
}

static void drop_done(struct import_set *set)
{
    size_t kept = 0;

    for (size_t i = 0; i < set->count; i++)
        if (import_set_mark_of(set, i) != IMPORT_ROW_DONE)
            set->order[kept++] = set->order[i];
    set->count = kept;
}

static void swap(struct sort_pair *a, struct sort_pair *b)
{
    struct sort_pair t = *a;

    *a = *b;
    *b = t;
}

void import_set_sift(struct import_set *set)
{
    size_t kept = 0;

    drop_done(set);
    for (size_t i = 0; i < set->count; i++)
        if (import_set_mark_of(set, i) != IMPORT_ROW_SAME)
            swap(&set->order[kept++], &set->order[i]);
    set->aside = set->count - kept;
    set->count = kept;
}

void import_set_take_back(struct import_set *set)
{
    set->count += set->aside;
    set->aside = 0;
}
