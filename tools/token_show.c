/*
 * openchampps token show: all about one token, but itself.
 */
#include "tools/token.h"

#include "app/limits.h"
#include "sys/clock.h"
#include "tools/token_keys.h"
#include "tools/token_view.h"

#include <string.h>

struct show_options {
    const char *data;
    bool is_json;
};

static const struct option_spec specs[] = {
    {"data", "DIR", "data directory (required)", OPTION_TEXT,
     offsetof(struct show_options, data), 0, 0},
    {"json", NULL, "print a JSON object", OPTION_FLAG,
     offsetof(struct show_options, is_json), 0, 0},
};

static const struct option_table table = {
    "openchampps token show --data DIR ID|-", specs,
    sizeof specs / sizeof *specs};

struct shown {
    const uint8_t *key;
    bool is_json, is_found, is_damaged;
};

static bool visit(void *ctx, const struct store_listed *token)
{
    struct shown *shown = ctx;
    struct token_view view;
    const struct printer printer = {token_fields, TOKEN_FIELDS, shown->is_json,
                                    false};

    if (memcmp(token->key, shown->key, TOKEN_KEY_LEN) != 0)
        return false;
    shown->is_found = true;
    shown->is_damaged = token->record == NULL;
    token_view_make(&view, token, TOKEN_ID_LEN, clock_utc_s());
    print_record(&printer, view.values);
    return false;
}

static int find_key(struct token_keys *set, struct store *store,
                    const char *word, struct error *err)
{
    if (strcmp(word, "-") != 0)
        return token_keys_add_id(set, store, word, err);
    if (token_keys_read(set, err) != 0)
        return -1;
    return set->count == 1
               ? 0
               : error_set(err,
                           "standard input: one token is expected, not "
                           "%zu",
                           set->count);
}

static int show(struct store *store, const uint8_t *key, bool is_json,
                struct error *err)
{
    struct shown shown = {.key = key, .is_json = is_json};

    if (store_list_from(store, key, visit, &shown, err) != 0)
        return -1;
    if (!shown.is_found)
        return error_set(err, "there is no such token");
    if (print_finish(err) != 0)
        return -1;
    return shown.is_damaged ? error_set(err, "its record is damaged; import it "
                                             "again, or restore a backup")
                            : 0;
}

static int show_one(const struct show_options *options, const char *word,
                    struct error *err)
{
    struct token_keys set = {0};
    struct store *store =
        store_open(options->data, STORE_EXISTING, LIMIT_MAP_SIZE, err);

    if (store == NULL)
        return -1;
    int rc = find_key(&set, store, word, err);
    if (rc == 0)
        rc = show(store, set.keys[0], options->is_json, err);
    token_keys_fini(&set);
    store_close(store);
    return rc;
}

int token_show(int argc, char **argv)
{
    struct command c = {"token show", &table, argc, argv, 0};
    struct show_options options = {0};
    struct error err;
    int status;

    if (!command_parse(&c, &options, &status))
        return status;
    if (options.data == NULL || c.first + 1 != argc)
        return command_misused(&c, "--data DIR is needed, and one ID, or - for "
                                   "a token on standard input");
    return show_one(&options, argv[c.first], &err) == 0
               ? EXIT_OK
               : command_refuse(&c, &err);
}
