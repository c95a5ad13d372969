/*
 * The messages of the OpenChampPS lobby protocol: one JSON object each.
 *
 * Reading is strict, so that no two parsers can disagree about a message;
 * it allocates from an arena of the caller's only.
 */
#ifndef PROTO_MSG_H
#define PROTO_MSG_H

#include "base/span.h"
#include "proto/token.h"

#include <stddef.h>
#include <stdint.h>

enum {
    MSG_DEPTH_MAX = 8, /* nested objects and arrays */
    /* Bytes of the longest reply: each byte of a name may become \u00xx. */
    MSG_REPLY_MAX = 6 * TOKEN_USERNAME_MAX + 128
};

/* Memory for reading messages of up to max_message bytes. */
#define MSG_ARENA_SIZE(max_message) (49 * (size_t)(max_message) + 1024)

struct msg_arena {
    uint8_t *mem; /* caller's, aligned for any type */
    size_t cap;   /* bytes; MSG_ARENA_SIZE of the longest message */
    size_t used;
};

enum msg_kind {
    MSG_TOKEN_AUTH, /* a well-formed login; the token is set */
    MSG_MALFORMED,  /* to be answered as a malformed token_auth */
    MSG_OTHER       /* a well-formed message of another type */
};

/*
 * Start using mem[0..cap). Also tells cJSON to allocate from arenas only, for
 * the whole process; call it once before the threads start.
 */
void msg_arena_init(struct msg_arena *arena, void *mem, size_t cap);

/*
 * Read one message.
 * in:      text: valid UTF-8
 * out:     token, with MSG_TOKEN_AUTH only
 * bound:   linear time; the arena is empty again afterwards
 * spec:    docs/wire.md
 */
enum msg_kind msg_parse(struct msg_arena *arena, struct span text,
                        uint8_t token[TOKEN_LEN]);

/*
 * Write a reply.
 * in:      username: UTF-8, at most TOKEN_USERNAME_MAX bytes
 * out:     at most MSG_REPLY_MAX bytes, no NUL
 * returns: bytes written
 */
size_t msg_format_auth_success(struct span username,
                               const uint8_t token[TOKEN_LEN],
                               char out[MSG_REPLY_MAX]);

/* The replies that never vary, as whole messages. */
extern const char msg_invalid_format[];
extern const char msg_invalid_token[];
extern const char msg_auth_required[];
extern const char msg_unknown_type[];

#endif
