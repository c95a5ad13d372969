/*
 * openchampps import: a CSV file into the store, all or nothing.
 *
 * The whole file is read and judged before the store is opened; then the rows
 * go in by ascending key, in one transaction.
 */
#include "tools/command.h"

#include "app/limits.h"
#include "base/wipe.h"
#include "sys/store.h"
#include "tools/import_faults.h"
#include "tools/import_row.h"
#include "tools/import_set.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CHUNK_LEN = 256 << 10, /* bytes read at once */
    ROW_CAP = 64 << 10     /* bytes of the longest row */
};

struct import_options {
    const char *data;
    uint64_t map_size; /* bytes */
};

struct import {
    const char *name; /* of the file, for messages */
    struct csv csv;
    struct import_header header;
    bool has_header;
    struct import_set set;
    struct import_faults faults;
    uint64_t created, unchanged;
    uint8_t row[ROW_CAP];     /* holds tokens */
    uint8_t chunk[CHUNK_LEN]; /* holds tokens */
};

/* --- Reading --- */

/* Control bytes of a file must not reach a terminal. */
static void print_name(struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        fputc(name.ptr[i] < ' ' || name.ptr[i] == 0x7f ? '?' : name.ptr[i],
              stderr);
}

static void print_ignored(const struct import *im)
{
    bool is_first = true;

    for (size_t i = 0; i < im->csv.field_count; i++) {
        if (im->header.is_used[i])
            continue;
        if (is_first)
            fprintf(stderr, "%s: columns ignored: ", im->name);
        else
            fputs(", ", stderr);
        print_name(im->csv.fields[i].text);
        is_first = false;
    }
    if (!is_first)
        fputc('\n', stderr);
}

static int read_header(struct import *im, struct error *err)
{
    struct import_fault fault;

    if (!import_header_read(&im->header, &im->csv, &fault))
        return error_set(err, "%s:%" PRIu64 ":%" PRIu64 ": column %s %s",
                         im->name, fault.line, fault.column, fault.name,
                         fault.reason);
    im->has_header = true;
    print_ignored(im);
    return 0;
}

static int read_row(struct import *im, struct error *err)
{
    const struct csv_field *token =
        &im->csv.fields[im->header.field[IMPORT_TOKEN]];
    struct import_fault fault;
    struct import_row row;

    if (!import_row_read(&im->header, &im->csv, &row, &fault)) {
        import_faults_add(&im->faults, &fault);
        return 0;
    }
    struct import_place place = {token->line, token->column};
    if (!import_set_add(&im->set, &row, place))
        return error_set(err, "%s:%" PRIu64 ": out of memory", im->name,
                         place.line);
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
    if (!im->has_header)
        return error_set(err, "%s:%" PRIu64 ":%" PRIu64 ": %s", im->name,
                         fault.line, fault.column, fault.reason);
    import_faults_add(&im->faults, &fault);
    return 0;
}

static int take_chunk(struct import *im, size_t len, struct error *err)
{
    for (size_t done = 0; done < len;) {
        enum csv_event event;
        done += csv_feed(&im->csv, im->chunk + done, len - done, &event);
        if (take_event(im, event, err) != 0)
            return -1;
    }
    return 0;
}

static int read_all(struct import *im, int fd, struct error *err)
{
    for (;;) {
        ssize_t n = read(fd, im->chunk, CHUNK_LEN);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, "%s: %s", im->name, strerror(errno));
        if (n == 0)
            break;
        if (take_chunk(im, (size_t)n, err) != 0)
            return -1;
    }
    if (take_event(im, csv_finish(&im->csv), err) != 0)
        return -1;
    if (!im->has_header)
        return error_set(err,
                         "%s: no header line; the first line has to name "
                         "the columns",
                         im->name);
    return 0;
}

static int read_file(struct import *im, const char *path, struct error *err)
{
    if (strcmp(path, "-") == 0) {
        im->name = "stdin";
        return read_all(im, STDIN_FILENO, err);
    }
    im->name = path;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, "%s: %s", path, strerror(errno));
    int rc = read_all(im, fd, err);
    close(fd);
    return rc;
}

/* --- Judging --- */

static int refuse_faults(const struct import *im, struct error *err)
{
    import_faults_print(&im->faults, im->name, stderr);
    return error_set(err, "%s: %" PRIu64 " bad row%s, nothing was imported",
                     im->name, im->faults.count,
                     im->faults.count == 1 ? "" : "s");
}

static void add_fault_at(struct import *im, const struct import_place *place,
                         const char *reason, uint64_t other)
{
    struct import_fault fault = {
        .line = place->line,
        .column = place->column,
        .name = "token",
        .reason = reason,
        .other = other,
    };

    import_faults_add(&im->faults, &fault);
}

static int judge(struct import *im, struct error *err)
{
    if (!import_set_sort(&im->set))
        return error_set(err, "%s: out of memory", im->name);
    for (size_t i = 0; i < im->set.count; i++) {
        uint64_t other = import_set_repeats(&im->set, i);
        if (other == 0)
            continue;
        struct import_place place;
        struct import_row row;
        import_set_get(&im->set, i, &row, &place);
        add_fault_at(im, &place, "the same token as in line", other);
    }
    return im->faults.count == 0 ? 0 : refuse_faults(im, err);
}

/* --- Writing --- */

static int put_row(struct import *im, struct store_import *into, size_t i,
                   struct error *err)
{
    struct import_place place;
    struct import_row row;

    import_set_get(&im->set, i, &row, &place);
    struct store_row out = {row.key, &row.record, row.last_used};
    switch (store_import_put(into, &out, err)) {
    case STORE_IMPORT_CREATED:
        im->created++;
        return 0;
    case STORE_IMPORT_UNCHANGED:
        im->unchanged++;
        return 0;
    case STORE_IMPORT_CONFLICT:
        add_fault_at(im, &place, "is in the store already, with another record",
                     0);
        return 0;
    default:
        return -1;
    }
}

static int put_all(struct import *im, struct store_import *into,
                   struct error *err)
{
    for (size_t i = 0; i < im->set.count; i++)
        if (put_row(im, into, i, err) != 0)
            return -1;
    return im->faults.count == 0 ? 0 : refuse_faults(im, err);
}

static int write_all(struct import *im, const struct import_options *options,
                     struct error *err)
{
    struct store *s =
        store_open(options->data, STORE_CREATE, options->map_size, err);
    int rc = -1;

    if (s == NULL)
        return -1;
    struct store_import *into = store_import_begin(s, err);
    if (into != NULL && put_all(im, into, err) == 0) {
        rc = store_import_commit(into, err);
        into = NULL;
    }
    store_import_abort(into);
    store_close(s);
    return rc;
}

/* --- The command --- */

static const struct option_spec specs[] = {
    {.name = "data",
     .value = "DIR",
     .help = "the data directory; its store is made when there is none",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct import_options, data)},
    {.name = "map-size",
     .value = "BYTES",
     .help = "most that the store can hold",
     .kind = OPTION_BYTES,
     .offset = offsetof(struct import_options, map_size),
     .min = LIMIT_MAP_SIZE_LEAST,
     .max = LIMIT_MAP_SIZE_TOP},
};

static const struct option_table table = {
    .usage = "openchampps import --data DIR FILE.csv|-",
    .specs = specs,
    .count = sizeof specs / sizeof *specs,
};

static int check_usage(const struct import_options *options, int operands,
                       struct error *err)
{
    if (operands == 0)
        return error_set(err, "FILE.csv is missing (- reads from stdin)");
    if (operands > 1)
        return error_set(err, "one FILE at a time");
    if (options->data == NULL)
        return error_set(err, "--data DIR is missing");
    return 0;
}

static int run(struct import *im, const char *path,
               const struct import_options *options, struct error *err)
{
    if (read_file(im, path, err) != 0 || judge(im, err) != 0 ||
        write_all(im, options, err) != 0)
        return -1;
    printf("%s: created %" PRIu64 ", unchanged %" PRIu64 "\n", im->name,
           im->created, im->unchanged);
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return 0;
    return error_set(err,
                     "%s: all is imported, but the summary cannot be "
                     "written: %s",
                     im->name, strerror(errno));
}

static int import_file(const char *path, const struct import_options *options,
                       struct error *err)
{
    struct import *im = malloc(sizeof *im);

    if (im == NULL)
        return error_set(err, "import: out of memory");
    im->has_header = false;
    im->created = 0;
    im->unchanged = 0;
    csv_init(&im->csv, im->row, ROW_CAP);
    import_set_init(&im->set);
    import_faults_init(&im->faults);
    int rc = run(im, path, options, err);
    import_set_fini(&im->set);
    wipe(im, sizeof *im);
    free(im);
    return rc;
}

int command_import(int argc, char **argv)
{
    struct command c = {"import", &table, argc, argv, 0};
    struct import_options options = {.map_size = LIMIT_MAP_SIZE};
    struct error err;
    int status;

    if (!command_parse(&c, &options, &status))
        return status;
    if (check_usage(&options, argc - c.first, &err) != 0)
        return command_misused(&c, err.text);
    if (import_file(argv[c.first], &options, &err) == 0)
        return EXIT_OK;
    return command_refuse(&c, &err);
}
