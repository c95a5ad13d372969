/*
 * openchampps restore: a backup, verified, in the place of a store.
 */
#include "tools/command.h"

#include "sys/clock.h"
#include "sys/store.h"
#include "sys/store_copy.h"
#include "tools/counts.h"

struct restore_options {
    const char *data;
    bool is_forced, is_json;
};

static const struct option_spec specs[] = {
    {"data", "DIR", "data directory (required); no server may be using it",
     OPTION_TEXT, offsetof(struct restore_options, data), 0, 0},
    {"force", NULL, "replace the store that is there", OPTION_ACTION,
     offsetof(struct restore_options, is_forced), 0, 0},
    {"json", NULL, "answer with a JSON object", OPTION_FLAG,
     offsetof(struct restore_options, is_json), 0, 0},
};

static const struct option_table table = {"openchampps restore --data DIR FILE",
                                          specs, sizeof specs / sizeof *specs};

static int restore(struct store *from, const struct restore_options *options,
                   struct error *err)
{
    const struct store_copy_options how = {options->is_forced, false,
                                           clock_utc_s()};
    struct store_counts counts;
    struct store_alone alone;
    int rc = store_alone_begin(&alone, options->data, err);

    if (rc == 0)
        rc = store_alone_replace(&alone, from, &how, &counts, err);
    store_alone_end(&alone);
    return rc == 0 ? counts_print(&counts, options->is_json, err) : rc;
}

int command_restore(int argc, char **argv)
{
    struct command c = {"restore", &table, argc, argv, 0};
    struct restore_options options = {0};
    struct error err;
    int status;

    if (!command_parse(&c, &options, &status))
        return status;
    if (options.data == NULL || argc - c.first != 1)
        return command_misused(&c, "--data DIR and a FILE are needed");
    struct store *from = store_open_file(argv[c.first], &err);
    if (from == NULL)
        return command_refuse(&c, &err);
    int rc = restore(from, &options, &err);
    store_close(from);
    return rc == 0 ? EXIT_OK : command_refuse(&c, &err);
}
