/*
 * openchampps token revoke, delete, purge: which tokens are meant, and what
 * has come of it.
 */
#include "tools/token.h"

#include "app/limits.h"
#include "sys/clock.h"
#include "sys/store_edit.h"
#include "tools/print.h"
#include "tools/token_keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct edit_options {
    const char *data, *user, *expired_before;
    bool is_dry, is_json;
};

#define FIELD(name) offsetof(struct edit_options, name)

#define SPEC_DATA                                                             \
    {                                                                         \
        "data", "DIR", "data directory (required)", OPTION_TEXT, FIELD(data), \
            0, 0                                                              \
    }
#define SPEC_USER                                                          \
    {                                                                      \
        "user", "NAME", "all of this user", OPTION_WORD, FIELD(user), 0, 0 \
    }
#define SPEC_DRY                                                         \
    {                                                                    \
        "dry-run", NULL, "only say how many it would be", OPTION_ACTION, \
            FIELD(is_dry), 0, 0                                          \
    }
#define SPEC_JSON                                                        \
    {                                                                    \
        "json", NULL, "print the summary as a JSON object", OPTION_FLAG, \
            FIELD(is_json), 0, 0                                         \
    }

static const struct option_spec revoke_specs[] = {SPEC_DATA, SPEC_USER,
                                                  SPEC_JSON};
static const struct option_spec delete_specs[] = {SPEC_DATA, SPEC_USER,
                                                  SPEC_DRY, SPEC_JSON};
static const struct option_spec purge_specs[] = {
    SPEC_DATA,
    {"expired-before", "TIME", "all expired before this, or so long ago (90d)",
     OPTION_WORD, FIELD(expired_before), 0, 0},
    SPEC_DRY,
    SPEC_JSON,
};

static const struct option_table revoke_table = {
    "openchampps token revoke --data DIR ID...|--user NAME|-\n"
    "       (- reads tokens from standard input, one a line)",
    revoke_specs, sizeof revoke_specs / sizeof *revoke_specs};
static const struct option_table delete_table = {
    "openchampps token delete --data DIR ID...|--user NAME|-\n"
    "       (- reads tokens from standard input, one a line)",
    delete_specs, sizeof delete_specs / sizeof *delete_specs};
static const struct option_table purge_table = {
    "openchampps token purge --data DIR --expired-before TIME", purge_specs,
    sizeof purge_specs / sizeof *purge_specs};

/* One command while it runs. */
struct work {
    struct command command;
    struct edit_options options;
    int64_t expired_before; /* UTC seconds */
    struct store *store;
    struct store_edit edit;
    struct token_keys set;
    bool is_out_of_memory;
};

/* --- Those that a rule names --- */

enum { ROUND = 1000 /* keys that are gathered before they are changed */ };

static bool is_of_user(const void *ctx, const struct token_record *record)
{
    const char *user = ((const struct work *)ctx)->options.user;

    return record->username_len == strlen(user) &&
           memcmp(record->username, user, record->username_len) == 0;
}

static bool is_long_expired(const void *ctx, const struct token_record *record)
{
    return record->expires != TOKEN_NEVER &&
           record->expires < ((const struct work *)ctx)->expired_before;
}

static bool gather(void *ctx, const struct store_listed *token)
{
    struct work *w = ctx;

    if (token->record == NULL)
        w->edit.damaged++;
    else if (w->edit.is_meant(w, token->record))
        w->is_out_of_memory = !token_keys_add(&w->set, token->key);
    return w->set.count < ROUND && !w->is_out_of_memory;
}

/* Change what was gathered, or say that it would be. */
static int change(struct work *w, struct error *err)
{
    if (w->options.is_dry) {
        w->edit.done += w->set.count;
        return 0;
    }
    return store_edit(w->store, &w->edit,
                      (const uint8_t(*)[TOKEN_KEY_LEN])w->set.keys,
                      w->set.count, err);
}

/* What is on damaged pages is left out, and told at the end. */
static int change_by_rule(struct work *w, struct error *err)
{
    uint8_t from[TOKEN_KEY_LEN] = {0};
    struct error why, *first = NULL;
    bool has_more = true;

    while (has_more) {
        w->set.count = 0;
        bool is_whole = store_scan(w->store, from, gather, w, &why) == 0;
        if (!is_whole && first == NULL) {
            *err = why;
            first = err;
        }
        if (w->is_out_of_memory)
            return error_set(err, "out of memory");
        if (change(w, &why) != 0) {
            *err = why;
            return -1;
        }
        has_more = w->set.count == ROUND;
        if (has_more) {
            memcpy(from, w->set.keys[ROUND - 1], TOKEN_KEY_LEN);
            has_more = token_key_next(from);
        }
    }
    return first == NULL ? 0 : -1;
}

/* --- Those that are named --- */

static int change_named(struct work *w, struct error *err)
{
    const struct command *c = &w->command;

    for (int i = c->first; i < c->argc; i++) {
        int rc = strcmp(c->argv[i], "-") == 0
                     ? token_keys_read(&w->set, err)
                     : token_keys_add_id(&w->set, w->store, c->argv[i], err);
        if (rc != 0)
            return -1;
    }
    token_keys_sort(&w->set);
    return change(w, err);
}

/* --- The summary --- */

static void print_json(const struct work *w)
{
    const struct store_edit *edit = &w->edit;
    const bool is_revoke = edit->kind == STORE_REVOKE;
    const struct print_field fields[] = {
        {w->options.is_dry ? "would_delete"
         : is_revoke       ? "revoked"
                           : "deleted",
         PRINT_NUMBER, 0},
        {"unknown", PRINT_NUMBER, 0},
        {"damaged", PRINT_NUMBER, 0},
        {"refused", PRINT_NUMBER, 0},
        {"already_revoked", PRINT_NUMBER, 0},
    };
    const struct print_value values[] = {
        PRINT_INTEGER(edit->done),    PRINT_INTEGER(edit->absent),
        PRINT_INTEGER(edit->damaged), PRINT_INTEGER(edit->refused),
        PRINT_INTEGER(edit->already),
    };
    const struct printer printer = {
        fields, sizeof fields / sizeof *fields - !is_revoke, true, false};

    print_record(&printer, values);
}

static void put_more(uint64_t count, const char *what)
{
    if (count > 0)
        printf(", %s %" PRIu64, what, count);
}

static void print_summary(const struct work *w)
{
    const struct store_edit *edit = &w->edit;

    if (w->options.is_json) {
        print_json(w);
        return;
    }
    printf("%s %" PRIu64,
           w->options.is_dry            ? "would delete"
           : edit->kind == STORE_REVOKE ? "revoked"
                                        : "deleted",
           edit->done);
    put_more(edit->already, "already revoked");
    put_more(edit->absent, "unknown");
    put_more(edit->damaged, "damaged");
    put_more(edit->refused, "refused");
    putchar('\n');
}

static int judge(const struct work *w, struct error *err)
{
    const struct store_edit *edit = &w->edit;

    if (edit->refused > 0) {
        *err = edit->refusal;
        return -1;
    }
    if (edit->damaged > 0)
        return error_set(err,
                         "%" PRIu64 " records are damaged and were passed "
                         "over: they log nobody in",
                         edit->damaged);
    if (edit->absent > 0 && edit->is_meant == NULL)
        return error_set(err, "%" PRIu64 " of the tokens are not in the store",
                         edit->absent);
    return 0;
}

static void tell_about_ballast(const struct work *w)
{
    if (w->edit.took_ballast)
        fprintf(stderr,
                "openchampps %s: the disk is full: %s/ballast was given up for "
                "this, and is made again when there is room\n",
                w->command.name, w->options.data);
    if (w->edit.took_ballast)
        store_keep_ballast(w->store);
}

/* --- The commands --- */

static int check_usage(struct work *w, struct error *err)
{
    const struct edit_options *o = &w->options;
    int operands = w->command.argc - w->command.first;

    if (o->data == NULL)
        return error_set(err, "--data DIR is missing");
    if (w->edit.is_meant == is_long_expired) {
        if (operands > 0 || o->expired_before == NULL)
            return error_set(err, "--expired-before TIME is needed, and "
                                  "nothing else");
        return token_parse_past("expired-before", o->expired_before,
                                clock_utc_s(), &w->expired_before, err);
    }
    if ((o->user != NULL) == (operands > 0))
        return error_set(err, "one of these is needed: ID..., --user NAME, or "
                              "- for tokens on standard input");
    if (o->user != NULL)
        w->edit.is_meant = is_of_user;
    return 0;
}

static int change_all(struct work *w, struct error *err)
{
    struct error why;

    w->store = store_open(w->options.data, STORE_RESCUE, LIMIT_MAP_SIZE, err);
    if (w->store == NULL)
        return -1;
    int rc = w->edit.is_meant != NULL ? change_by_rule(w, err)
                                      : change_named(w, err);
    uint64_t some = w->edit.done + w->edit.already + w->edit.absent +
                    w->edit.damaged + w->edit.refused;
    /* Nothing is to be summed up when nothing was begun. */
    if (rc == 0 || some > 0)
        print_summary(w);
    if (rc == 0)
        rc = judge(w, err);
    if (print_finish(&why) != 0 && rc == 0) {
        *err = why;
        rc = -1;
    }
    tell_about_ballast(w);
    token_keys_fini(&w->set);
    store_close(w->store);
    return rc;
}

static int run(struct work *w)
{
    struct error err;
    int status;

    w->edit.ctx = w;
    if (!command_parse(&w->command, &w->options, &status))
        return status;
    if (check_usage(w, &err) != 0)
        return command_misused(&w->command, err.text);
    return change_all(w, &err) == 0 ? EXIT_OK
                                    : command_refuse(&w->command, &err);
}

int token_revoke(int argc, char **argv)
{
    struct work w = {
        .command = {"token revoke", &revoke_table, argc, argv, 0},
        .edit = {.kind = STORE_REVOKE},
    };

    return run(&w);
}

int token_delete(int argc, char **argv)
{
    struct work w = {
        .command = {"token delete", &delete_table, argc, argv, 0},
        .edit = {.kind = STORE_DELETE},
    };

    return run(&w);
}

int token_purge(int argc, char **argv)
{
    struct work w = {
        .command = {"token purge", &purge_table, argc, argv, 0},
        .edit = {.kind = STORE_DELETE, .is_meant = is_long_expired},
    };

    return run(&w);
}
