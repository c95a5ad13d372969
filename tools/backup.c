/*
 * openchampps backup: a verified, compact copy of one snapshot of a store that
 * a server may be using.
 */
#include "tools/command.h"

#include "app/limits.h"
#include "sys/clock.h"
#include "sys/store.h"
#include "sys/store_copy.h"
#include "tools/counts.h"

#include <inttypes.h>

struct backup_options {
    const char *data;
    bool is_forced, is_salvage, is_json;
};

static const struct option_spec specs[] = {
    {"data", "DIR", "data directory (required)", OPTION_TEXT,
     offsetof(struct backup_options, data), 0, 0},
    {"force", NULL, "replace FILE when it exists", OPTION_ACTION,
     offsetof(struct backup_options, is_forced), 0, 0},
    {"salvage", NULL, "of a damaged store: write what is sound; exit 1",
     OPTION_ACTION, offsetof(struct backup_options, is_salvage), 0, 0},
    {"json", NULL, "answer with a JSON object", OPTION_FLAG,
     offsetof(struct backup_options, is_json), 0, 0},
};

static const struct option_table table = {"openchampps backup --data DIR FILE",
                                          specs, sizeof specs / sizeof *specs};

static int back_up(struct store *store, const char *file,
                   const struct backup_options *options, struct error *err)
{
    struct store_copy_options how = {options->is_forced, options->is_salvage,
                                     clock_utc_s()};
    struct store_counts counts;

    if (store_copy(store, file, &how, &counts, err) != 0 ||
        counts_print(&counts, options->is_json, err) != 0)
        return -1;
    if (counts.faults == 0)
        return 0;
    return error_set(err,
                     "%s: written without %" PRIu64 " pages or records that "
                     "are damaged",
                     file, counts.faults);
}

int command_backup(int argc, char **argv)
{
    struct command c = {"backup", &table, argc, argv, 0};
    struct backup_options options = {0};
    struct error err;
    int status;

    if (!command_parse(&c, &options, &status))
        return status;
    if (options.data == NULL || argc - c.first != 1)
        return command_misused(&c, "--data DIR and a FILE are needed");
    struct store *store =
        store_open(options.data, STORE_UNCHECKED, LIMIT_MAP_SIZE, &err);
    if (store == NULL)
        return command_refuse(&c, &err);
    int rc = back_up(store, argv[c.first], &options, &err);
    store_close(store);
    return rc == 0 ? EXIT_OK : command_refuse(&c, &err);
}
