#include "proto/msg.h"

#include "base/wipe.h"
#include "proto/json.h"
#include "proto/json_write.h"
#include "proto/uuid.h"

#include <cJSON.h>
#include <string.h>

const char msg_invalid_format[] =
    "{\"type\":\"auth_error\","
    "\"payload\":{\"message\":\"Invalid token format\"}}";
const char msg_invalid_token[] =
    "{\"type\":\"auth_error\","
    "\"payload\":{\"message\":\"Invalid or expired token\"}}";
const char msg_auth_required[] =
    "{\"type\":\"error\",\"payload\":{\"message\":\"Authentication required\","
    "\"code\":\"AUTH_REQUIRED\"}}";
const char msg_unknown_type[] =
    "{\"type\":\"error\",\"payload\":{\"message\":\"Unknown message type\","
    "\"code\":\"UNKNOWN_TYPE\"}}";

/* --- Reading --- */

/* cJSON's hooks carry no context; this is set during one msg_parse only. */
static _Thread_local struct msg_arena *current;

static void *arena_malloc(size_t size)
{
    size_t aligned = (size + 15) & ~(size_t)15;

    if (current == NULL || aligned > current->cap - current->used)
        return NULL;
    void *p = current->mem + current->used;
    current->used += aligned;
    return p;
}

/* The arena is emptied as a whole. */
static void arena_free(void *p)
{
    (void)p;
}

void msg_arena_init(struct msg_arena *arena, void *mem, size_t cap)
{
    cJSON_Hooks hooks = {.malloc_fn = arena_malloc, .free_fn = arena_free};

    *arena = (struct msg_arena){.mem = mem, .cap = cap};
    cJSON_InitHooks(&hooks);
}

/*
 * Find a member.
 * returns: false when it is there twice: parsers differ in which one counts
 */
static bool find_once(const cJSON *object, const char *name,
                      const cJSON **member)
{
    *member = NULL;
    for (const cJSON *item = object->child; item != NULL; item = item->next) {
        if (strcmp(item->string, name) != 0)
            continue;
        if (*member != NULL)
            return false;
        *member = item;
    }
    return true;
}

static bool read_token(const cJSON *payload, uint8_t token[TOKEN_LEN])
{
    const cJSON *text;

    return payload != NULL && cJSON_IsObject(payload) &&
           find_once(payload, "token", &text) && text != NULL &&
           cJSON_IsString(text) &&
           uuid_parse(span_of(text->valuestring), token);
}

static enum msg_kind read_message(const cJSON *message,
                                  uint8_t token[TOKEN_LEN])
{
    const cJSON *type, *payload;

    if (message == NULL || !cJSON_IsObject(message) ||
        !find_once(message, "type", &type) ||
        !find_once(message, "payload", &payload) || type == NULL ||
        !cJSON_IsString(type))
        return MSG_MALFORMED;
    if (strcmp(type->valuestring, "token_auth") != 0)
        return MSG_OTHER;
    return read_token(payload, token) ? MSG_TOKEN_AUTH : MSG_MALFORMED;
}

static const cJSON *parse_copy(struct span text)
{
    uint8_t *copy = arena_malloc(text.len);

    if (copy == NULL)
        return NULL;
    memcpy(copy, text.ptr, text.len);
    json_mask_nul(copy, text.len);
    return cJSON_ParseWithLength((const char *)copy, text.len);
}

enum msg_kind msg_parse(struct msg_arena *arena, struct span text,
                        uint8_t token[TOKEN_LEN])
{
    if (!json_is_strict(text, MSG_DEPTH_MAX))
        return MSG_MALFORMED;
    arena->used = 0;
    current = arena;
    enum msg_kind kind = read_message(parse_copy(text), token);
    current = NULL;
    wipe(arena->mem, arena->used); /* it holds the token's text */
    return kind;
}

/* --- Writing --- */

static char *put_text(char *out, const char *text)
{
    size_t len = strlen(text);

    memcpy(out, text, len);
    return out + len;
}

size_t msg_format_auth_success(struct span username,
                               const uint8_t token[TOKEN_LEN],
                               char out[MSG_REPLY_MAX])
{
    char *at = out;

    at = put_text(at, "{\"type\":\"auth_success\",\"payload\":{\"username\":");
    at += json_write_string(username, at);
    at = put_text(at, ",\"token\":\"");
    uuid_format(token, at);
    at = put_text(at + 36, "\"}}");
    return (size_t)(at - out);
}
