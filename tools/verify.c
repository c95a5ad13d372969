/*
 * openchampps verify: every page and record of a store or a backup checked.
 * The answer is a line for each damage, up to a limit, and then the counts.
 */
#include "tools/command.h"

#include "app/limits.h"
#include "sys/clock.h"
#include "sys/store.h"
#include "tools/counts.h"
#include "tools/print.h"

#include <inttypes.h>

enum { SHOWN_MAX = 100 /* damages */ };

struct verify_options {
    const char *data;
    bool is_json;
};

static const struct option_spec specs[] = {
    {"data", "DIR", "data directory; a server may be using it", OPTION_TEXT,
     offsetof(struct verify_options, data), 0, 0},
    {"json", NULL, "a JSON object for each damage, then one of the counts",
     OPTION_FLAG, offsetof(struct verify_options, is_json), 0, 0},
};

static const struct option_table table = {
    "openchampps verify --data DIR\n"
    "       openchampps verify FILE    a backup, or a store that nobody uses",
    specs, sizeof specs / sizeof *specs};

struct listing {
    struct printer printer;
    unsigned shown;
};

static bool show_fault(void *ctx, const struct store_fault *fault)
{
    struct listing *listing = ctx;
    const struct span none = {NULL, 0};
    const struct print_value values[] = {
        PRINT_INTEGER(fault->page),
        PRINT_SPAN(fault->table == NULL ? none : span_of(fault->table)),
        PRINT_SPAN(fault->key == NULL ? none : span_of(fault->key)),
        PRINT_STRING(fault->what),
    };

    if (listing->shown++ < SHOWN_MAX)
        print_row(&listing->printer, values);
    return true;
}

static int verify(struct store *store, const char *name, bool is_json,
                  struct error *err)
{
    static const struct print_field fields[] = {
        {"page", PRINT_NUMBER, 8},
        {"table", PRINT_TEXT, 10},
        {"record", PRINT_TEXT, 12},
        {"what", PRINT_TEXT, 0},
    };
    struct listing listing = {
        {fields, sizeof fields / sizeof *fields, is_json, false}, 0};
    struct store_verifier verifier = {show_fault, NULL, &listing,
                                      clock_utc_s()};
    struct store_counts counts;

    if (store_verify(store, &verifier, &counts, err) != 0 ||
        counts_print(&counts, is_json, err) != 0)
        return -1;
    if (counts.faults == 0)
        return 0;
    return error_set(err,
                     "%s: %" PRIu64 " pages or records are damaged; restore a "
                     "backup",
                     name, counts.faults);
}

int command_verify(int argc, char **argv)
{
    struct command c = {"verify", &table, argc, argv, 0};
    struct verify_options options = {0};
    struct error err;
    int status;

    if (!command_parse(&c, &options, &status))
        return status;
    const char *file = argc - c.first == 1 ? argv[c.first] : NULL;
    if (argc - c.first > 1 || (file == NULL && options.data == NULL))
        return command_misused(&c, "--data DIR or a FILE is needed");
    struct store *store =
        file != NULL
            ? store_open_file(file, &err)
            : store_open(options.data, STORE_UNCHECKED, LIMIT_MAP_SIZE, &err);
    if (store == NULL)
        return command_refuse(&c, &err);
    int rc = verify(store, file != NULL ? file : options.data, options.is_json,
                    &err);
    store_close(store);
    return rc == 0 ? EXIT_OK : command_refuse(&c, &err);
}
