#include "tools/token_view.h"

#include "base/hex.h"

#include <string.h>

const struct print_field token_fields[TOKEN_FIELDS] = {
    {"token_sha256", PRINT_TEXT, 0},  {"created_at", PRINT_TIME, 0},
    {"not_before", PRINT_TIME, 0},    {"id", PRINT_TEXT, 12},
    {"state", PRINT_TEXT, 7},         {"expires_at", PRINT_TIME, 20},
    {"last_used_at", PRINT_TIME, 20}, {"username", PRINT_TEXT, 0},
};

static const char *state_of(const struct token_record *record, int64_t now)
{
    if (record == NULL)
        return "damaged";
    if (record->revoked)
        return "revoked";
    if (token_is_valid(record, now))
        return "valid";
    return now < record->not_before ? "not yet" : "expired";
}

void token_view_make(struct token_view *view, const struct store_listed *token,
                     size_t digits, int64_t now)
{
    static const struct token_record none;
    const struct token_record *record =
        token->record == NULL ? &none : token->record;
    struct span username = {(const uint8_t *)record->username,
                            record->username_len};

    if (token->record == NULL)
        username.ptr = NULL;
    hex_encode(token->key, TOKEN_KEY_LEN, view->hash);
    memcpy(view->id, view->hash, sizeof view->id);
    view->id[digits] = '\0';
    const struct print_value values[TOKEN_FIELDS] = {
        PRINT_STRING(view->hash),
        PRINT_INTEGER(record->created),
        PRINT_INTEGER(record->not_before),
        PRINT_STRING(view->id),
        PRINT_STRING(state_of(token->record, now)),
        PRINT_INTEGER(record->expires),
        PRINT_INTEGER(token->last_used),
        PRINT_SPAN(username),
    };
    memcpy(view->values, values, sizeof values);
}
