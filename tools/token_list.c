/*
 * openchampps token list: in the order of the hashes, so that a listing can be
 * continued behind any of its lines.
 */
#include "tools/token.h"

#include "app/limits.h"
#include "sys/clock.h"
#include "tools/token_keys.h"
#include "tools/token_view.h"

#include <stdio.h>
#include <string.h>

struct list_options {
    const char *data, *user, *unused_since, *after;
    uint64_t limit;
    bool only_expired, only_revoked, is_json;
};

#define FIELD(name) offsetof(struct list_options, name)

static const struct option_spec specs[] = {
    {"data", "DIR", "data directory (required)", OPTION_TEXT, FIELD(data), 0,
     0},
    {"user", "NAME", "only those of this user", OPTION_WORD, FIELD(user), 0, 0},
    {"expired", NULL, "only those that have expired", OPTION_ACTION,
     FIELD(only_expired), 0, 0},
    {"revoked", NULL, "only those that were revoked", OPTION_ACTION,
     FIELD(only_revoked), 0, 0},
    {"unused-since", "TIME",
     "only those made and used last before this, or so long ago (90d)",
     OPTION_WORD, FIELD(unused_since), 0, 0},
    {"limit", "N", "at most so many", OPTION_COUNT, FIELD(limit), 1,
     UINT64_MAX},
    {"after", "ID", "only those behind this one in the list", OPTION_WORD,
     FIELD(after), 0, 0},
    {"json", NULL, "print a JSON object a line", OPTION_FLAG, FIELD(is_json), 0,
     0},
};

static const struct option_table table = {
    "openchampps token list --data DIR [option...]", specs,
    sizeof specs / sizeof *specs};

/* A token that waits to be printed until the next one is known: its id has as
 * many digits as tell it from the tokens before and behind it. */
struct pending {
    uint8_t key[TOKEN_KEY_LEN];
    struct token_record record;
    bool is_damaged;
    int64_t last_used;
    size_t digits;
};

struct listing {
    const struct list_options *options;
    int64_t now, unused_since; /* UTC seconds */
    uint8_t from[TOKEN_KEY_LEN];
    uint8_t last[TOKEN_KEY_LEN]; /* the key seen last, or asked for */
    bool has_last, has_pending;
    struct pending pending;
    struct printer printer;
    uint64_t printed, damaged;
};

/* --- What is wanted --- */

static bool is_of_user(const struct token_record *record, const char *user)
{
    return record->username_len == strlen(user) &&
           memcmp(record->username, user, record->username_len) == 0;
}

/* A damaged record may be any of them. */
static bool is_wanted(const struct listing *l, const struct store_listed *token)
{
    const struct list_options *o = l->options;
    const struct token_record *record = token->record;

    if (record == NULL)
        return true;
    if (o->user != NULL && !is_of_user(record, o->user))
        return false;
    if (o->only_expired &&
        (record->expires == TOKEN_NEVER || record->expires > l->now))
        return false;
    if (o->only_revoked && !record->revoked)
        return false;
    return o->unused_since == NULL || (record->created < l->unused_since &&
                                       token->last_used < l->unused_since);
}

/* --- Printing --- */

static size_t shared_digits(const uint8_t *a, const uint8_t *b)
{
    size_t i = 0;

    while (i < TOKEN_KEY_LEN && a[i] == b[i])
        i++;
    return 2 * i + (i < TOKEN_KEY_LEN && a[i] >> 4 == b[i] >> 4);
}

/* in: shared: digits that the next token's id shares */
static void print_pending(struct listing *l, size_t shared)
{
    const struct pending *p = &l->pending;
    const struct store_listed token = {
        p->key, p->is_damaged ? NULL : &p->record, p->last_used};
    struct token_view view;
    size_t skipped = l->options->is_json ? 0 : TOKEN_FIELDS_WIDE;

    if (!l->has_pending)
        return;
    l->has_pending = false;
    l->printed++;
    l->damaged += p->is_damaged;
    token_view_make(&view, &token, p->digits > shared ? p->digits : shared + 1,
                    l->now);
    print_row(&l->printer, view.values + skipped);
}

static void note_pending(struct listing *l, const struct store_listed *token,
                         size_t shared)
{
    struct pending *p = &l->pending;

    l->has_pending = true;
    memcpy(p->key, token->key, TOKEN_KEY_LEN);
    p->is_damaged = token->record == NULL;
    if (token->record != NULL)
        p->record = *token->record;
    p->last_used = token->last_used;
    p->digits = shared < TOKEN_ID_LEN ? TOKEN_ID_LEN : shared + 1;
}

static bool visit(void *ctx, const struct store_listed *token)
{
    struct listing *l = ctx;
    size_t shared = l->has_last ? shared_digits(l->last, token->key) : 0;

    print_pending(l, shared);
    if (l->options->limit != 0 && l->printed == l->options->limit)
        return false;
    if (is_wanted(l, token))
        note_pending(l, token, shared);
    memcpy(l->last, token->key, TOKEN_KEY_LEN);
    l->has_last = true;
    return ferror(stdout) == 0;
}

static int list_all(struct listing *l, struct store *store, struct error *err)
{
    struct error why;
    int rc =
        store_list_from(store, l->has_last ? l->from : NULL, visit, l, err);

    print_pending(l, 0);
    if (print_finish(&why) != 0) {
        *err = why;
        return -1;
    }
    if (rc != 0 || l->damaged == 0)
        return rc;
    return error_set(err,
                     "%llu records are damaged; import them again, or "
                     "restore a backup",
                     (unsigned long long)l->damaged);
}

/* --- The command --- */

/* returns: 0; 1 when nothing can come after it; or -1 with the reason */
static int read_options(struct listing *l, struct error *err)
{
    const struct list_options *o = l->options;
    uint8_t first[TOKEN_KEY_LEN];

    if (o->data == NULL)
        return error_set(err, "--data DIR is missing");
    if (o->unused_since != NULL &&
        token_parse_past("unused-since", o->unused_since, l->now,
                         &l->unused_since, err) != 0)
        return -1;
    if (o->after == NULL)
        return 0;
    if (token_id_parse(o->after, first, l->last, err) != 0)
        return -1;
    l->has_last = true;
    memcpy(l->from, l->last, TOKEN_KEY_LEN);
    return token_key_next(l->from) ? 0 : 1;
}

int token_list(int argc, char **argv)
{
    struct command c = {"token list", &table, argc, argv, 0};
    struct list_options options = {0};
    struct listing l = {.options = &options, .now = clock_utc_s()};
    struct error err;
    int status;

    if (!command_parse(&c, &options, &status))
        return status;
    if (c.first != argc)
        return command_misused(&c, "it takes options only");
    int rc = read_options(&l, &err);
    if (rc < 0)
        return command_misused(&c, err.text);
    size_t skipped = options.is_json ? 0 : TOKEN_FIELDS_WIDE;
    l.printer = (struct printer){token_fields + skipped, TOKEN_FIELDS - skipped,
                                 options.is_json, false};
    struct store *store =
        store_open(options.data, STORE_EXISTING, LIMIT_MAP_SIZE, &err);
    if (store == NULL)
        return command_refuse(&c, &err);
    if (rc == 0)
        rc = list_all(&l, store, &err);
    store_close(store);
    return rc >= 0 ? EXIT_OK : command_refuse(&c, &err);
}
