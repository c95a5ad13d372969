#include "tools/import_stage.h"

#include "sys/process.h"

enum { SHOW_ROWS = 4096 /* between two looks at the clock */ };

static void row_of(const struct import_set *set, size_t i,
                   struct import_row *row, struct store_row *out)
{
    struct import_place place;

    import_set_get(set, i, row, &place);
    *out = (struct store_row){row->key, &row->record, row->last_used};
}

/* A last use may have to be taken over from a row that is else unchanged. */
static enum import_mark mark_for(struct import_stage *st,
                                 enum store_import_result result,
                                 const struct store_row *row)
{
    switch (result) {
    case STORE_IMPORT_CREATED:
        return IMPORT_ROW_NEW;
    case STORE_IMPORT_UNCHANGED:
        if (row->last_used != 0)
            return IMPORT_ROW_OPEN;
        st->unchanged++;
        return IMPORT_ROW_SAME;
    case STORE_IMPORT_CONFLICT:
        st->is_hopeless = !st->may_conflict;
        if (!st->skips_conflicts)
            return IMPORT_ROW_OPEN;
        st->skipped++;
        return IMPORT_ROW_SAME;
    default:
        return IMPORT_ROW_OPEN;
    }
}

/* out: *count of rows that are new */
static int look_up(struct import_stage *st, size_t *count, struct error *err)
{
    *count = 0;
    if (store_revision(st->stage->s, &st->revision, err) != 0)
        return -1;
    import_progress_begin(st->progress, "judging", st->set->count);
    for (size_t i = 0; i < st->set->count && !st->is_hopeless; i++) {
        struct import_row row;
        struct store_row out;
        row_of(st->set, i, &row, &out);
        enum store_import_result result =
            store_import_foresee(st->stage->s, &out, err);
        if (result == STORE_IMPORT_FAILED)
            return -1;
        enum import_mark mark = mark_for(st, result, &out);
        import_set_mark(st->set, i, mark);
        *count += mark == IMPORT_ROW_NEW;
        if (i % SHOW_ROWS == 0)
            import_progress_show(st->progress, i, i);
    }
    import_progress_clear(st->progress);
    return 0;
}

/* Another process may have added the token meanwhile. */
static int stage_one(struct import_stage *st, size_t i, struct error *err)
{
    struct import_row row;
    struct store_row out;

    row_of(st->set, i, &row, &out);
    switch (store_stage_put(st->stage, &out, err)) {
    case STORE_IMPORT_CREATED:
        st->staged++;
        import_set_mark(st->set, i, IMPORT_ROW_DONE);
        return 0;
    case STORE_IMPORT_FAILED:
        return -1;
    default:
        return 0;
    }
}

static int stage_new(struct import_stage *st, size_t count, struct error *err)
{
    if (store_stage_begin(st->stage, count, err) != 0)
        return -1;
    import_progress_begin(st->progress, "writing", count);
    for (size_t i = 0; i < st->set->count; i++) {
        if (import_set_mark_of(st->set, i) != IMPORT_ROW_NEW)
            continue;
        if (stage_one(st, i, err) != 0)
            return -1;
        if (st->staged % SHOW_ROWS == 0)
            import_progress_show(st->progress, st->staged, st->staged);
    }
    import_progress_clear(st->progress);
    return store_stage_end(st->stage, err);
}

int import_stage_rows(struct import_stage *st, struct error *err)
{
    size_t count;

    if (!store_stage_is_due(st->stage, st->set->count))
        return 0;
    int rc = look_up(st, &count, err);
    store_end_reads(st->stage->s); /* else it would keep old pages alive */
    if (rc != 0 || st->is_hopeless)
        return rc;
    if (store_stage_is_due(st->stage, count))
        rc = stage_new(st, count, err);
    import_set_sift(st->set);
    return rc;
}
