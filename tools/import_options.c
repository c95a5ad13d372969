#include "tools/import_options.h"

#include "app/limits.h"
#include "proto/timestamp.h"

#include <stddef.h>
#include <string.h>

#define FIELD(name_) .offset = offsetof(struct import_options, name_)

static const struct option_spec specs[] = {
    {.name = "data",
     .value = "DIR",
     .help = "the data directory; its store is made when there is none",
     .kind = OPTION_TEXT,
     FIELD(data)},
    {.name = "dry-run",
     .help = "judge every row, write nothing",
     .kind = OPTION_FLAG,
     FIELD(dry_run)},
    {.name = "on-conflict",
     .value = "WHAT",
     .help = "for a token that has another record: error, skip, replace",
     .kind = OPTION_TEXT,
     FIELD(on_conflict)},
    {.name = "skip-invalid",
     .help = "import the good rows, leave out the bad ones",
     .kind = OPTION_FLAG,
     FIELD(skip_invalid)},
    {.name = "rejects",
     .value = "FILE",
     .help = "put those left out into a new file",
     .kind = OPTION_TEXT,
     FIELD(rejects)},
    {.name = "tz",
     .value = "OFFSET",
     .help = "from UTC, of times without a zone: +02, -03:30",
     .kind = OPTION_TEXT,
     FIELD(tz)},
    {.name = "max-errors",
     .value = "N",
     .help = "bad rows to name one by one",
     .kind = OPTION_COUNT,
     FIELD(max_errors),
     .max = LIMIT_IMPORT_ERRORS_TOP},
    {.name = "map-size",
     .value = "BYTES",
     .help = "most that the store can hold",
     .kind = OPTION_BYTES,
     FIELD(map_size),
     .min = LIMIT_MAP_SIZE_LEAST,
     .max = LIMIT_MAP_SIZE_TOP},
};

const struct option_table import_option_table = {
    .usage = "openchampps import --data DIR FILE.csv|-",
    .specs = specs,
    .count = sizeof specs / sizeof *specs,
};

static int read_policy(struct import_options *options, struct error *err)
{
    static const char names[][8] = {
        [CONFLICT_ERROR] = "error",
        [CONFLICT_SKIP] = "skip",
        [CONFLICT_REPLACE] = "replace",
    };

    for (int i = CONFLICT_ERROR; i <= CONFLICT_REPLACE; i++)
        if (strcmp(options->on_conflict, names[i]) == 0) {
            options->conflict = (enum conflict_policy)i;
            return 0;
        }
    return error_set(err, "--on-conflict '%s' is none of error, skip, replace",
                     options->on_conflict);
}

int import_options_check(struct import_options *options, int operands,
                         struct error *err)
{
    if (operands == 0)
        return error_set(err, "FILE.csv is missing (- reads from stdin)");
    if (operands > 1)
        return error_set(err, "one FILE at a time");
    if (options->data == NULL)
        return error_set(err, "--data DIR is missing");
    if (options->rejects != NULL && !options->skip_invalid)
        return error_set(err, "--rejects goes with --skip-invalid only");
    if (!timestamp_parse_zone(span_of(options->tz), &options->zone_s))
        return error_set(err,
                         "--tz '%s' is no offset from UTC; names of zones are "
                         "not known here, give UTC, +02 or -03:30",
                         options->tz);
    if (options->dry_run)
        options->rejects = NULL; /* nothing is written */
    return read_policy(options, err);
}
