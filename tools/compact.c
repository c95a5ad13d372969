/*
 * openchampps compact: the store written anew without its free pages, and put
 * in its own place; killed at any moment, it is the old one or the new one.
 */
#include "tools/command.h"

#include "sys/clock.h"
#include "sys/store.h"
#include "sys/store_copy.h"
#include "tools/counts.h"

struct compact_options {
    const char *data;
    bool is_json;
};

static const struct option_spec specs[] = {
    {"data", "DIR", "data directory (required); no server may be using it",
     OPTION_TEXT, offsetof(struct compact_options, data), 0, 0},
    {"json", NULL, "answer with a JSON object", OPTION_FLAG,
     offsetof(struct compact_options, is_json), 0, 0},
};

static const struct option_table table = {"openchampps compact --data DIR",
                                          specs, sizeof specs / sizeof *specs};

static int compact(const char *dir, bool is_json, struct error *err)
{
    const struct store_copy_options how = {true, false, clock_utc_s()};
    struct store_counts counts;
    struct store_alone alone;
    struct store *store = NULL;
    int rc = store_alone_begin(&alone, dir, err);

    if (rc == 0) {
        store = store_open_file(alone.path, err);
        rc = store == NULL ? -1 : 0;
    }
    if (rc == 0)
        rc = store_alone_replace(&alone, store, &how, &counts, err);
    store_close(store);
    store_alone_end(&alone);
    return rc == 0 ? counts_print(&counts, is_json, err) : rc;
}

int command_compact(int argc, char **argv)
{
    struct command c = {"compact", &table, argc, argv, 0};
    struct compact_options options = {0};
    struct error err;
    int status;

    if (!command_parse(&c, &options, &status))
        return status;
    if (options.data == NULL || c.first != argc)
        return command_misused(&c, "--data DIR is needed, and nothing else");
    return compact(options.data, options.is_json, &err) == 0
               ? EXIT_OK
               : command_refuse(&c, &err);
}
