/*
 * Changing tokens one by one, in a store that a server may have open. Many of
 * them take many transactions, so that no login waits long: whoever asks for a
 * revocation of all tokens of a user gets no moment in which none is valid any
 * more but all were before.
 *
 * Nothing on a damaged page, and nothing beside one that LMDB would touch, is
 * changed. The last use of a deleted token is deleted after it, where that is
 * safe. One that stays, or that a fold of the journal brings back, does no
 * harm: rows are numbered once and for all, so it is nobody's.
 */
#ifndef SYS_STORE_EDIT_H
#define SYS_STORE_EDIT_H

#include "sys/store.h"

/*
 * Add a token, durably.
 * in:      record: its row is ignored, and assigned
 * returns: 0, or -1 with the reason, also when the key is there already
 */
int store_add(struct store *s, const uint8_t key[TOKEN_KEY_LEN],
              const struct token_record *record, struct error *err);

enum store_edit_kind { STORE_REVOKE, STORE_DELETE };

/* What is to be done, and what has come of it so far. */
struct store_edit {
    enum store_edit_kind kind;
    /* Asked again right before the change; NULL: all are meant. */
    bool (*is_meant)(const void *ctx, const struct token_record *record);
    const void *ctx;
    bool of_staged; /* meant is what is staged (store_stage.h), no token */

    uint64_t done;        /* tokens */
    uint64_t already;     /* revoked before */
    uint64_t absent;      /* not there, or not meant */
    uint64_t damaged;     /* records that do not verify; of all that are meant
                             those are deleted nevertheless, and not counted */
    uint64_t refused;     /* not changed because of a damaged page */
    struct error refusal; /* why the first of these were */
    bool took_ballast;    /* the disk is full, and the ballast is gone */
};

/*
 * Revoke or delete tokens, durably, a thousand in a transaction. Keys in
 * ascending order take fewer transactions. On a full disk the ballast is given
 * up, and smaller transactions are made.
 * returns: 0 when all keys were gone through; or -1 with the reason: those that
 *          are not counted are not changed
 */
int store_edit(struct store *s, struct store_edit *edit,
               const uint8_t (*keys)[TOKEN_KEY_LEN], size_t count,
               struct error *err);

#endif
