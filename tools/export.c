/*
 * openchampps export: every token as CSV on stdout, with its hash in place of
 * the token, which nobody has any more.
 */
#include "tools/command.h"

#include "app/limits.h"
#include "proto/timestamp.h"
#include "sys/store.h"
#include "tools/print.h"

#include <stdio.h>

struct export_options {
    const char *data;
};

static const struct option_spec specs[] = {
    {"data", "DIR", "data directory (required)", OPTION_TEXT,
     offsetof(struct export_options, data), 0, 0},
};

static const struct option_table table = {
    "openchampps export --data DIR >FILE.csv", specs,
    sizeof specs / sizeof *specs};

static void put_hash(const uint8_t *key)
{
    for (size_t i = 0; i < TOKEN_KEY_LEN; i++)
        printf("%02x", key[i]);
}

/* RFC 4180: always quoted, so that an empty-looking or odd name stays one. */
static void put_text(const char *text, size_t len)
{
    putchar('"');
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"')
            putchar('"');
        putchar(text[i]);
    }
    putchar('"');
}

/* An unquoted empty field stands for "none". */
static void put_time(int64_t utc_s, int64_t none)
{
    char text[TIMESTAMP_TEXT_SIZE];

    if (utc_s == none)
        return;
    timestamp_format(utc_s, text);
    fputs(text, stdout);
}

static void put_row(const struct store_listed *token)
{
    const struct token_record *record = token->record;

    put_hash(token->key);
    putchar(',');
    put_text(record->username, record->username_len);
    putchar(',');
    put_time(record->created, 0);
    putchar(',');
    put_time(record->not_before, 0);
    putchar(',');
    put_time(record->expires, TOKEN_NEVER);
    putchar(',');
    put_time(token->last_used, 0);
    printf(",%c\n", record->revoked ? 't' : 'f');
}

static bool visit(void *ctx, const struct store_listed *token)
{
    size_t *damaged = ctx;

    if (token->record != NULL)
        put_row(token);
    else
        ++*damaged;
    return ferror(stdout) == 0;
}

static int export_all(struct store *store, struct error *err)
{
    size_t damaged = 0;

    puts("token_sha256,username,created_at,not_before,expires_at,last_used_at,"
         "is_revoked");
    if (store_list(store, visit, &damaged, err) != 0 || print_finish(err) != 0)
        return -1;
    if (damaged == 0)
        return 0;
    return error_set(err, "%zu damaged records were left out; restore a backup",
                     damaged);
}

int command_export(int argc, char **argv)
{
    struct command c = {"export", &table, argc, argv, 0};
    struct export_options options = {0};
    struct error err;
    int status;

    if (!command_parse(&c, &options, &status))
        return status;
    if (options.data == NULL || c.first != argc)
        return command_misused(&c, "--data DIR is needed, and nothing else");
    struct store *store =
        store_open(options.data, STORE_EXISTING, LIMIT_MAP_SIZE, &err);
    if (store == NULL)
        return command_refuse(&c, &err);
    int rc = export_all(store, &err);
    store_close(store);
    return rc == 0 ? EXIT_OK : command_refuse(&c, &err);
}
