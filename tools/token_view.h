/*
 * A token as `list` and `show` print it.
 */
#ifndef TOOLS_TOKEN_VIEW_H
#define TOOLS_TOKEN_VIEW_H

#include "sys/store.h"
#include "tools/print.h"

/* Fields of a token; the first ones are not for a table. */
enum { TOKEN_FIELDS = 8, TOKEN_FIELDS_WIDE = 3, TOKEN_HASH_DIGITS = 64 };

extern const struct print_field token_fields[TOKEN_FIELDS];

struct token_view {
    struct print_value values[TOKEN_FIELDS];
    char hash[TOKEN_HASH_DIGITS + 1], id[TOKEN_HASH_DIGITS + 1];
};

/*
 * Make the values of a token.
 * in:   digits: of its id; now: UTC seconds
 * owns: they point into *view and to the token's record
 */
void token_view_make(struct token_view *view, const struct store_listed *token,
                     size_t digits, int64_t now);

#endif
