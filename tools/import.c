/*
 * openchampps import: a CSV file into the store, all or nothing.
 *
 * The whole file is read and judged before the store is opened; then the rows
 * go in by ascending key, in one transaction.
 */
#include "tools/command.h"

#include "app/limits.h"
#include "base/wipe.h"
#include "sys/file_io.h"
#include "sys/process.h"
#include "sys/store.h"
#include "tools/import_faults.h"
#include "tools/import_input.h"
#include "tools/import_options.h"
#include "tools/import_progress.h"
#include "tools/import_rejects.h"
#include "tools/import_row.h"
#include "tools/import_set.h"
#include "tools/import_stage.h"
#include "tools/print.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CHUNK_LEN = 256 << 10, /* bytes read at once */
    SHOW_ROWS = 4096       /* rows written between two looks at the clock */
};

struct import_counts {
    uint64_t created, replaced, unchanged, skipped;
};

struct import {
    const struct import_options *options;
    struct import_input input;
    struct csv csv;
    struct import_header header;
    bool has_header;
    struct import_set set;
    struct import_faults faults;
    struct import_rejects rejects;
    struct import_counts counts;
    struct import_progress progress;
    struct store *store; /* NULL in a dry run where there is none */
    struct store_stage stage;
    uint64_t revision; /* of the store, when rows of the set were put aside */
    struct store_import *into;   /* NULL in a dry run */
    uint8_t row[IMPORT_ROW_CAP]; /* holds tokens */
    uint8_t chunk[CHUNK_LEN];    /* holds tokens */
};

/* --- Reading --- */

static void print_ignored(const struct import *im)
{
    bool is_first = true;

    for (size_t i = 0; i < im->csv.field_count; i++) {
        if (im->header.is_used[i])
            continue;
        if (is_first)
            fprintf(stderr, "%s: columns ignored: ", im->input.name);
        else
            fputs(", ", stderr);
        print_plain(stderr, im->csv.fields[i].text);
        is_first = false;
    }
    if (!is_first)
        fputc('\n', stderr);
}

static int read_header(struct import *im, struct error *err)
{
    struct import_fault fault;

    im->header.zone_s = im->options->zone_s;
    if (!import_header_read(&im->header, &im->csv, &fault))
        return error_set(err, "%s:%" PRIu64 ":%" PRIu64 ": column %s %s",
                         im->input.name, fault.line, fault.column, fault.name,
                         fault.reason);
    im->has_header = true;
    import_progress_clear(&im->progress);
    print_ignored(im);
    return 0;
}

static int run_out(const struct import *im, uint64_t line, struct error *err)
{
    return error_set(err, "%s:%" PRIu64 ": out of memory", im->input.name,
                     line);
}

/* A row that will not be imported. */
static int reject(struct import *im, const struct import_fault *fault,
                  struct error *err)
{
    import_faults_add(&im->faults, fault);
    if (im->options->rejects == NULL ||
        import_rejects_add(&im->rejects, fault->line))
        return 0;
    return run_out(im, fault->line, err);
}

static int read_row(struct import *im, struct error *err)
{
    const struct csv_field *token =
        &im->csv.fields[im->header.field[im->header.token]];
    struct import_fault fault;
    struct import_row row;

    if (!import_row_read(&im->header, &im->csv, &row, &fault))
        return reject(im, &fault, err);
    struct import_place place = {token->line, token->column};
    if (!import_set_add(&im->set, &row, place))
        return run_out(im, place.line, err);
    return 0;
}

/* returns: -1 with the reason when reading has to end here */
static int take_event(struct import *im, enum csv_event event,
                      struct error *err)
{
    if (event == CSV_NONE)
        return 0;
    if (event == CSV_ROW)
        return im->has_header ? read_row(im, err) : read_header(im, err);
    struct import_fault fault = {
        .line = im->csv.error_line,
        .column = im->csv.error_column,
        .reason = im->csv.reason,
    };
    if (im->has_header)
        return reject(im, &fault, err);
    return error_set(err, "%s:%" PRIu64 ":%" PRIu64 ": %s", im->input.name,
                     fault.line, fault.column, fault.reason);
}

static int take_chunk(struct import *im, size_t len, struct error *err)
{
    for (size_t done = 0; done < len;) {
        enum csv_event event;
        done += csv_feed(&im->csv, im->chunk + done, len - done, &event);
        if (take_event(im, event, err) != 0)
            return -1;
    }
    import_progress_show(&im->progress, im->csv.offset,
                         im->set.count + im->faults.count);
    return 0;
}

static int read_rows(struct import *im, struct error *err)
{
    ssize_t n;

    while ((n = import_input_read(&im->input, im->chunk, CHUNK_LEN, err)) > 0)
        if (take_chunk(im, (size_t)n, err) != 0)
            return -1;
    if (n < 0 || take_event(im, csv_finish(&im->csv), err) != 0)
        return -1;
    if (im->has_header)
        return 0;
    return error_set(err,
                     "%s: no header line; the first line has to name the "
                     "columns",
                     im->input.name);
}

static int read_file(struct import *im, const char *path, struct error *err)
{
    const char *rejects = im->options->rejects;

    if (import_input_open(&im->input, path, err) != 0)
        return -1;
    if (rejects != NULL && import_input_keep(&im->input, rejects, err) != 0)
        return -1;
    import_progress_begin(&im->progress, "reading", im->input.size);
    int rc = read_rows(im, err);
    import_progress_clear(&im->progress);
    return rc;
}

/* --- Judging --- */

/* Are there faults that stand in the way? */
static bool is_refused(const struct import *im)
{
    return im->faults.count > 0 && !im->options->skip_invalid;
}

/* Tell what is wrong with the rows. returns: -1 when it stands in the way */
static int tell_faults(struct import *im, struct error *err)
{
    import_faults_print(&im->faults, im->input.name, stderr);
    if (!is_refused(im))
        return 0;
    return error_set(err, "%s: %" PRIu64 " bad row%s, nothing was imported",
                     im->input.name, im->faults.count,
                     im->faults.count == 1 ? "" : "s");
}

static int reject_at(struct import *im, const struct import_place *place,
                     const char *reason, uint64_t other, struct error *err)
{
    struct import_fault fault = {
        .line = place->line,
        .column = place->column,
        .name = import_column_name(im->header.token),
        .reason = reason,
        .other = other,
    };

    return reject(im, &fault, err);
}

static int reject_repeats(struct import *im, struct error *err)
{
    if (!import_set_sort(&im->set))
        return error_set(err, "%s: out of memory", im->input.name);
    uint64_t before = im->faults.count;
    for (size_t i = 0; i < im->set.count; i++) {
        uint64_t other = import_set_repeats(&im->set, i);
        if (other == 0)
            continue;
        struct import_place place;
        struct import_row row;
        import_set_get(&im->set, i, &row, &place);
        import_set_mark(&im->set, i, IMPORT_ROW_DONE);
        if (reject_at(im, &place, "the same token as in line", other, err) != 0)
            return -1;
    }
    if (im->faults.count > before)
        import_set_sift(&im->set);
    return 0;
}

/* --- Writing, or in a dry run foreseeing --- */

static enum store_import_result
put_row(const struct import *im, const struct store_row *row, struct error *err)
{
    if (im->into != NULL && im->options->conflict == CONFLICT_REPLACE)
        return store_import_replace(im->into, row, err);
    if (im->into != NULL)
        return store_import_put(im->into, row, err);
    return im->store == NULL ? STORE_IMPORT_CREATED
                             : store_import_foresee(im->store, row, err);
}

static int meet_conflict(struct import *im, const struct import_place *place,
                         struct error *err)
{
    switch (im->options->conflict) {
    case CONFLICT_SKIP:
        im->counts.skipped++;
        return 0;
    case CONFLICT_REPLACE:
        im->counts.replaced++;
        return 0;
    default:
        return reject_at(
            im, place, "is in the store already, with another record", 0, err);
    }
}

static int take_row(struct import *im, size_t i, struct error *err)
{
    struct import_place place;
    struct import_row row;

    import_set_get(&im->set, i, &row, &place);
    struct store_row out = {row.key, &row.record, row.last_used};
    switch (put_row(im, &out, err)) {
    case STORE_IMPORT_CREATED:
        im->counts.created++;
        return 0;
    case STORE_IMPORT_REPLACED:
        im->counts.replaced++;
        return 0;
    case STORE_IMPORT_UNCHANGED:
        im->counts.unchanged++;
        return 0;
    case STORE_IMPORT_CONFLICT:
        return meet_conflict(im, &place, err);
    default:
        return -1;
    }
}

static int take_rows(struct import *im, struct error *err)
{
    int rc = 0;

    import_progress_begin(&im->progress,
                          im->options->dry_run ? "judging" : "writing",
                          im->set.count);
    for (size_t i = 0; i < im->set.count && rc == 0; i++) {
        rc = take_row(im, i, err);
        if (i % SHOW_ROWS == 0)
            import_progress_show(&im->progress, i, i);
    }
    import_progress_clear(&im->progress);
    return rc == 0 ? tell_faults(im, err) : -1;
}

/* The rejects are there before the commit: else a crash could lose them. */
static int finish(struct import *im, struct error *err)
{
    const char *rejects = im->rejects.count > 0 ? im->options->rejects : NULL;
    struct store_import *into = im->into;

    if (rejects != NULL &&
        import_rejects_write(&im->rejects, &im->input, rejects, err) != 0)
        return -1;
    im->into = NULL;
    if (store_import_commit(into, err) == 0)
        return 0;
    if (rejects != NULL)
        unlink(rejects);
    return -1;
}

/* returns: -1 when that is the end of it */
static int stage_rows(struct import *im, struct error *err)
{
    const struct import_options *options = im->options;
    struct import_stage st = {
        .stage = &im->stage,
        .set = &im->set,
        .progress = &im->progress,
        .may_conflict =
            options->conflict != CONFLICT_ERROR || options->skip_invalid,
        .skips_conflicts = options->conflict == CONFLICT_SKIP,
    };

    if (import_stage_rows(&st, err) != 0)
        return -1;
    im->revision = st.revision;
    im->counts = (struct import_counts){
        .created = st.staged,
        .unchanged = st.unchanged,
        .skipped = st.skipped,
    };
    if (!st.is_hopeless)
        return 0;
    /* To say all that is wrong, nobody need be kept waiting. */
    int rc = take_rows(im, err);
    store_end_reads(im->store);
    im->counts = (struct import_counts){0};
    return rc;
}

/* Somebody has changed tokens since rows were put aside: judge them again. */
static int check_aside(struct import *im, struct error *err)
{
    uint64_t revision;

    if (im->set.aside == 0)
        return 0;
    if (store_import_revision(im->into, &revision, err) != 0)
        return -1;
    if (revision == im->revision)
        return 0;
    im->counts.unchanged = im->counts.skipped = 0;
    import_set_take_back(&im->set);
    return 0;
}

static int write_rows(struct import *im, struct error *err)
{
    if (store_stage_open(im->store, &im->stage, err) != 0 ||
        stage_rows(im, err) != 0)
        return -1;
    im->into = store_import_begin(im->store, err);
    if (im->into == NULL || check_aside(im, err) != 0 ||
        take_rows(im, err) != 0)
        return -1;
    /* Whoever interrupts from here on gets all of it or nothing, and an exit
     * status that tells which. */
    process_hold_signals();
    return finish(im, err);
}

static int write_all(struct import *im, struct error *err)
{
    const struct import_options *options = im->options;

    im->store = store_open(options->data, STORE_CREATE, options->map_size, err);
    int rc = im->store == NULL ? -1 : write_rows(im, err);
    store_import_abort(im->into);
    if (rc != 0) {
        process_release_signals();
        store_stage_undo(&im->stage);
    }
    store_stage_close(&im->stage);
    store_close(im->store);
    return rc;
}

static int foresee_all(struct import *im, struct error *err)
{
    const struct import_options *options = im->options;
    int there = store_exists(options->data, err);

    if (there < 0)
        return -1;
    if (there > 0) {
        im->store =
            store_open(options->data, STORE_EXISTING, options->map_size, err);
        if (im->store == NULL)
            return -1;
    }
    int rc = take_rows(im, err);
    store_close(im->store);
    return rc;
}

/* --- The command --- */

static int summarize(const struct import *im, struct error *err)
{
    const struct import_counts *n = &im->counts;
    bool is_dry = im->options->dry_run;

    printf("%s: %screated %" PRIu64 ", replaced %" PRIu64 ", unchanged %" PRIu64
           ", skipped %" PRIu64 ", rejected %" PRIu64 "\n",
           im->input.name, is_dry ? "dry run: " : "", n->created, n->replaced,
           n->unchanged, n->skipped, im->faults.count);
    if (print_finish(err) == 0)
        return 0;
    return error_set(err, "%s: %s, but the summary cannot be written: %s",
                     im->input.name, is_dry ? "judged" : "all is imported",
                     strerror(errno));
}

static int run(struct import *im, const char *path, struct error *err)
{
    const struct import_options *options = im->options;

    if (options->rejects != NULL && file_exists(options->rejects))
        return error_set(err, "%s: is there already; give another name",
                         options->rejects);
    if (read_file(im, path, err) != 0 || reject_repeats(im, err) != 0)
        return -1;
    if (!options->dry_run && is_refused(im))
        return tell_faults(im, err);
    if ((options->dry_run ? foresee_all(im, err) : write_all(im, err)) != 0)
        return -1;
    return summarize(im, err);
}

static int import_file(const char *path, const struct import_options *options,
                       struct error *err)
{
    struct import *im = malloc(sizeof *im);

    if (im == NULL)
        return error_set(err, "import: out of memory");
    memset(im, 0, offsetof(struct import, row));
    im->options = options;
    im->input.fd = -1;
    im->input.kept = -1;
    im->stage.lock_fd = -1;
    csv_init(&im->csv, im->row, sizeof im->row);
    import_set_init(&im->set);
    import_rejects_init(&im->rejects);
    int rc = import_faults_init(&im->faults, options->max_errors)
                 ? run(im, path, err)
                 : error_set(err, "import: out of memory");
    import_input_close(&im->input);
    import_set_fini(&im->set);
    import_rejects_fini(&im->rejects);
    import_faults_fini(&im->faults);
    wipe(im, sizeof *im);
    free(im);
    return rc;
}

int command_import(int argc, char **argv)
{
    struct command c = {"import", &import_option_table, argc, argv, 0};
    struct import_options options = {
        .tz = "UTC",
        .on_conflict = "error",
        .map_size = LIMIT_MAP_SIZE,
        .max_errors = LIMIT_IMPORT_ERRORS,
    };
    struct error err;
    int status;

    if (!command_parse(&c, &options, &status))
        return status;
    if (import_options_check(&options, argc - c.first, &err) != 0)
        return command_misused(&c, err.text);
    if (import_file(argv[c.first], &options, &err) == 0)
        return EXIT_OK;
    return command_refuse(&c, &err);
}
