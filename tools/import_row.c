#include "tools/import_row.h"

#include "base/digest.h"
#include "base/hex.h"
#include "base/wipe.h"
#include "proto/timestamp.h"
#include "proto/utf8.h"
#include "proto/uuid.h"

/* Arrays of characters: a pointer costs a relocation more. */
static const char names[IMPORT_COLUMNS][16] = {
    [IMPORT_TOKEN] = "token",
    [IMPORT_TOKEN_SHA256] = "token_sha256",
    [IMPORT_USERNAME] = "username",
    [IMPORT_CREATED_AT] = "created_at",
    [IMPORT_EXPIRES_AT] = "expires_at",
    [IMPORT_NOT_BEFORE] = "not_before",
    [IMPORT_LAST_USED_AT] = "last_used_at",
    [IMPORT_IS_REVOKED] = "is_revoked",
};

const char *import_column_name(enum import_column column)
{
    return names[column];
}

static bool refuse(struct import_fault *fault, const struct csv_field *place,
                   const char *name, const char *reason)
{
    *fault = (struct import_fault){
        .line = place->line,
        .column = place->column,
        .name = name,
        .reason = reason,
    };
    return false;
}

/* --- The header --- */

static int find_column(struct span name)
{
    for (int i = 0; i < IMPORT_COLUMNS; i++)
        if (span_equals(name, span_of(names[i])))
            return i;
    return -1;
}

static void clear_header(struct import_header *header)
{
    for (int i = 0; i < IMPORT_COLUMNS; i++)
        header->field[i] = -1;
    memset(header->is_used, 0, sizeof header->is_used);
}

static bool check_columns(struct import_header *header, const struct csv *c,
                          struct import_fault *fault)
{
    int hash = header->field[IMPORT_TOKEN_SHA256];
    bool has_token = header->field[IMPORT_TOKEN] >= 0;

    if (has_token && hash >= 0)
        return refuse(fault, &c->fields[hash], names[IMPORT_TOKEN_SHA256],
                      "is there beside token; a file has one of the two");
    header->token = hash >= 0 ? IMPORT_TOKEN_SHA256 : IMPORT_TOKEN;
    const enum import_column needed[] = {header->token, IMPORT_USERNAME};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (header->field[needed[i]] < 0)
            return refuse(fault, &c->fields[0], names[needed[i]],
                          "is missing in the header line (names with commas "
                          "between them)");
    return true;
}

bool import_header_read(struct import_header *header, const struct csv *c,
                        struct import_fault *fault)
{
    clear_header(header);
    header->field_count = c->field_count;
    for (size_t i = 0; i < c->field_count; i++) {
        int column = find_column(c->fields[i].text);
        if (column < 0)
            continue;
        if (header->field[column] >= 0)
            return refuse(fault, &c->fields[i], names[column],
                          "is there twice in the header line");
        header->field[column] = (int)i;
        header->is_used[i] = true;
    }
    return check_columns(header, c, fault);
}

/* --- The columns. Each returns NULL, or what is wrong. --- */

static bool is_null(const struct csv_field *field)
{
    return field->text.len == 0 && !field->quoted;
}

static const char *read_token(const struct csv_field *field,
                              uint8_t key[TOKEN_KEY_LEN])
{
    uint8_t uuid[UUID_LEN];

    if (is_null(field))
        return "is empty";
    if (!uuid_parse(field->text, uuid))
        return "not a UUID (8-4-4-4-12 hex digits)";
    if (uuid_is_nil(uuid))
        return "the nil UUID is never a token";
    digest_sha256(uuid, sizeof uuid, key);
    wipe(uuid, sizeof uuid);
    return NULL;
}

static const char *read_hash(const struct csv_field *field,
                             uint8_t key[TOKEN_KEY_LEN])
{
    if (is_null(field))
        return "is empty";
    if (field->text.len != 2 * TOKEN_KEY_LEN ||
        !hex_decode(field->text.ptr, key, TOKEN_KEY_LEN))
        return "not a SHA-256 (64 hex digits)";
    return NULL;
}

static const char *read_username(const struct csv_field *field,
                                 struct token_record *record)
{
    if (field->text.len == 0)
        return field->quoted ? "is an empty text" : "is empty (NULL)";
    if (field->text.len > TOKEN_USERNAME_MAX)
        return "longer than 255 bytes";
    if (!utf8_is_valid(field->text))
        return "not UTF-8";
    memcpy(record->username, field->text.ptr, field->text.len);
    record->username_len = (uint8_t)field->text.len;
    return NULL;
}

/* out: *time is 0 for NULL, and for what was before all times */
static const char *read_time(const struct csv_field *field, int zone_s,
                             int64_t *time)
{
    *time = 0;
    if (is_null(field))
        return NULL;
    int result = timestamp_parse(field->text, zone_s, time);
    if (result < 0)
        return timestamp_reason(result);
    return result == TIMESTAMP_INFINITY ? "infinity is not possible here"
                                        : NULL;
}

static const char *read_expiry(const struct csv_field *field, int zone_s,
                               int64_t *expires)
{
    int64_t time;

    *expires = TOKEN_NEVER;
    if (is_null(field))
        return NULL;
    int result = timestamp_parse(field->text, zone_s, &time);
    if (result < 0)
        return timestamp_reason(result);
    if (result == TIMESTAMP_OK)
        *expires = token_expiry(time);
    if (result == TIMESTAMP_MINUS_INFINITY)
        *expires = TIMESTAMP_FIRST_S;
    return NULL;
}

static const char *read_flag(const struct csv_field *field, bool *flag)
{
    static const char yes[][6] = {"t", "true", "1"};
    static const char no[][6] = {"f", "false", "0"};

    *flag = false;
    if (is_null(field))
        return NULL;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        *flag = span_equals(field->text, span_of(yes[i]));
        if (*flag || span_equals(field->text, span_of(no[i])))
            return NULL;
    }
    return "neither t nor f";
}

/* --- The row --- */

static const char *read_column(enum import_column column,
                               const struct csv_field *field, int zone_s,
                               struct import_row *row)
{
    switch (column) {
    case IMPORT_TOKEN:
        return read_token(field, row->key);
    case IMPORT_TOKEN_SHA256:
        return read_hash(field, row->key);
    case IMPORT_USERNAME:
        return read_username(field, &row->record);
    case IMPORT_CREATED_AT:
        return read_time(field, zone_s, &row->record.created);
    case IMPORT_EXPIRES_AT:
        return read_expiry(field, zone_s, &row->record.expires);
    case IMPORT_NOT_BEFORE:
        return read_time(field, zone_s, &row->record.not_before);
    case IMPORT_LAST_USED_AT:
        return read_time(field, zone_s, &row->last_used);
    default:
        return read_flag(field, &row->record.revoked);
    }
}

/* Of the two columns for a token there is one. */
static bool is_other_token(const struct import_header *header,
                           enum import_column column)
{
    return column <= IMPORT_TOKEN_SHA256 && column != header->token;
}

bool import_row_read(const struct import_header *header, const struct csv *c,
                     struct import_row *row, struct import_fault *fault)
{
    static const struct csv_field absent; /* reads as NULL */

    if (c->field_count < header->field_count)
        return refuse(fault, &c->fields[0], NULL,
                      "fewer fields than the header line");
    if (c->field_count > header->field_count)
        return refuse(fault, &c->fields[header->field_count], NULL,
                      "more fields than the header line");
    row->record.row = 0;
    for (enum import_column i = 0; i < IMPORT_COLUMNS; i++) {
        if (is_other_token(header, i))
            continue;
        const struct csv_field *field =
            header->field[i] < 0 ? &absent : &c->fields[header->field[i]];
        const char *reason = read_column(i, field, header->zone_s, row);
        if (reason != NULL)
            return refuse(fault, field, names[i], reason);
    }
    return true;
}
