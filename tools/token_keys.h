/*
 * Which tokens a command is about: keys (hashes), found by public id, or made
 * of tokens on standard input. 32 bytes each.
 */
#ifndef TOOLS_TOKEN_KEYS_H
#define TOOLS_TOKEN_KEYS_H

#include "sys/store.h"

/* Zeroed: empty. owns: release with token_keys_fini */
struct token_keys {
    uint8_t (*keys)[TOKEN_KEY_LEN];
    size_t count, cap;
};

void token_keys_fini(struct token_keys *set);

/* Keep a copy. returns: false when there is no memory */
bool token_keys_add(struct token_keys *set, const uint8_t key[TOKEN_KEY_LEN]);

/* In ascending order, each once. */
void token_keys_sort(struct token_keys *set);

/*
 * Read a public id: 12 to 64 hex digits.
 * out:     the first and the last key that begin so
 * returns: 0, or -1 with the reason
 */
int token_id_parse(const char *text, uint8_t first[TOKEN_KEY_LEN],
                   uint8_t last[TOKEN_KEY_LEN], struct error *err);

/* The key after this one, in place. returns: false when there is none */
bool token_key_next(uint8_t key[TOKEN_KEY_LEN]);

/*
 * Add the token of a public id.
 * returns: 0, or -1 with the reason: no id, none in the store, more than one
 */
int token_keys_add_id(struct token_keys *set, struct store *store,
                      const char *id, struct error *err);

/*
 * Add the tokens on standard input, one a line; empty lines are passed over.
 * returns: 0, or -1 with the line that is none, but not what it holds
 */
int token_keys_read(struct token_keys *set, struct error *err);

#endif
