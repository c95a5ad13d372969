/*
 * openchampps token add: the one moment in which the token is known here.
 */
#include "tools/token.h"

#include "app/limits.h"
#include "base/digest.h"
#include "base/wipe.h"
#include "proto/timestamp.h"
#include "proto/utf8.h"
#include "proto/uuid.h"
#include "sys/clock.h"
#include "sys/entropy.h"
#include "sys/store_edit.h"
#include "tools/print.h"

#include <stdio.h>
#include <string.h>

struct add_options {
    const char *data, *username, *expires, *not_before;
    uint64_t ttl_ms, map_size;
    bool is_json;
};

#define FIELD(name) offsetof(struct add_options, name)

static const struct option_spec specs[] = {
    {"data", "DIR", "the data directory; its store is made when there is none",
     OPTION_TEXT, FIELD(data), 0, 0},
    {"username", "NAME", "whom it logs in: UTF-8, 1 to 255 bytes (required)",
     OPTION_WORD, FIELD(username), 0, 0},
    {"ttl", "TIME", "how long from now on, as 7d or 12h; else without end",
     OPTION_SECONDS, FIELD(ttl_ms), 1000, 100ULL * 366 * 86400000},
    {"expires", "TIME", "or until when, as 2026-11-24T08:20:05Z", OPTION_WORD,
     FIELD(expires), 0, 0},
    {"not-before", "TIME", "not before this", OPTION_WORD, FIELD(not_before), 0,
     0},
    {"map-size", "BYTES", "most that the store can hold", OPTION_BYTES,
     FIELD(map_size), LIMIT_MAP_SIZE_LEAST, LIMIT_MAP_SIZE_TOP},
    {"json", NULL, "print a JSON object", OPTION_FLAG, FIELD(is_json), 0, 0},
};

static const struct option_table table = {
    "openchampps token add --data DIR --username NAME [option...]", specs,
    sizeof specs / sizeof *specs};

/* --- The command line --- */

static int read_username(const char *name, struct token_record *record,
                         struct error *err)
{
    size_t len = name == NULL ? 0 : strlen(name);

    if (len == 0)
        return error_set(err, "--username NAME is missing");
    if (len > TOKEN_USERNAME_MAX)
        return error_set(err, "--username: longer than 255 bytes");
    if (!utf8_is_valid(span_of(name)))
        return error_set(err, "--username: not UTF-8");
    memcpy(record->username, name, len);
    record->username_len = (uint8_t)len;
    return 0;
}

/* out: *utc_s stays as it is without a text, and for infinity */
static int read_time(const char *option, const char *text, int64_t *utc_s,
                     struct error *err)
{
    if (text == NULL)
        return 0;
    int result = timestamp_parse(span_of(text), 0, utc_s);
    if (result < 0)
        return error_set(err, "--%s: %s", option, timestamp_reason(result));
    if (result == TIMESTAMP_MINUS_INFINITY)
        return error_set(err, "--%s: -infinity is not possible here", option);
    return 0;
}

static int read_times(const struct add_options *o, struct token_record *record,
                      struct error *err)
{
    if (o->expires != NULL && o->ttl_ms != 0)
        return error_set(err, "--ttl and --expires exclude each other");
    int64_t expires = INT64_MAX; /* never */
    if (read_time("expires", o->expires, &expires, err) != 0 ||
        read_time("not-before", o->not_before, &record->not_before, err) != 0)
        return -1;
    if (expires != INT64_MAX)
        record->expires = token_expiry(expires);
    if (o->ttl_ms != 0)
        record->expires = record->created + (int64_t)(o->ttl_ms / 1000);
    if (record->expires == TOKEN_NEVER)
        return 0;
    if (record->expires <= record->created)
        return error_set(err, "--expires: it is not in the future");
    if (record->expires <= record->not_before)
        return error_set(err, "it would expire before it is valid");
    return 0;
}

static int read_record(const struct add_options *o, struct token_record *record,
                       struct error *err)
{
    if (o->data == NULL)
        return error_set(err, "--data DIR is missing");
    record->created = clock_utc_s();
    if (read_username(o->username, record, err) != 0)
        return -1;
    return read_times(o, record, err);
}

/* --- The token --- */

/* A random UUID. spec: RFC 9562 section 5.4 */
static int make_token(uint8_t token[UUID_LEN], struct error *err)
{
    if (entropy_fill(token, UUID_LEN, err) != 0)
        return -1;
    token[6] = (uint8_t)((token[6] & 0x0f) | 0x40);
    token[8] = (uint8_t)((token[8] & 0x3f) | 0x80);
    return 0;
}

static void print_token(const char text[UUID_TEXT_LEN], const char *id,
                        const struct token_record *record, bool is_json)
{
    static const struct print_field fields[] = {
        {"token", PRINT_TEXT, 0},      {"id", PRINT_TEXT, 0},
        {"username", PRINT_TEXT, 0},   {"not_before", PRINT_TIME, 0},
        {"expires_at", PRINT_TIME, 0},
    };
    struct span token = {(const uint8_t *)text, UUID_TEXT_LEN};
    struct span username = {(const uint8_t *)record->username,
                            record->username_len};
    const struct print_value values[] = {
        PRINT_SPAN(token),
        PRINT_STRING(id),
        PRINT_SPAN(username),
        PRINT_INTEGER(record->not_before),
        PRINT_INTEGER(record->expires),
    };
    const struct printer printer = {fields, sizeof fields / sizeof *fields,
                                    true, false};

    if (is_json)
        print_record(&printer, values);
    else
        printf("%.*s\n", UUID_TEXT_LEN, text);
}

static int store_token(const struct add_options *o, const uint8_t *key,
                       const struct token_record *record, struct error *err)
{
    struct store *store =
        store_open(o->data, STORE_CREATE, (size_t)o->map_size, err);

    if (store == NULL)
        return -1;
    int rc = store_add(store, key, record, err);
    store_close(store);
    return rc;
}

static int add(const struct add_options *o, const struct token_record *record,
               struct error *err)
{
    uint8_t token[UUID_LEN], key[TOKEN_KEY_LEN];
    char text[UUID_TEXT_LEN], id[TOKEN_ID_LEN + 1];
    struct error why;

    if (make_token(token, err) != 0)
        return -1;
    digest_sha256(token, sizeof token, key);
    token_format_id(key, id);
    int rc = store_token(o, key, record, err);
    if (rc == 0) {
        uuid_format(token, text);
        print_token(text, id, record, o->is_json);
        rc = print_finish(&why);
        if (rc != 0)
            error_set(err,
                      "token %s is stored, but was not printed: %s; "
                      "delete it",
                      id, why.text);
    }
    wipe(token, sizeof token);
    wipe(text, sizeof text);
    return rc;
}

int token_add(int argc, char **argv)
{
    struct command c = {"token add", &table, argc, argv, 0};
    struct add_options options = {.map_size = LIMIT_MAP_SIZE};
    struct token_record record = {0};
    struct error err;
    int status;

    if (!command_parse(&c, &options, &status))
        return status;
    if (c.first != argc)
        return command_misused(&c, "it takes options only");
    if (read_record(&options, &record, &err) != 0)
        return command_misused(&c, err.text);
    return add(&options, &record, &err) == 0 ? EXIT_OK
                                             : command_refuse(&c, &err);
}
