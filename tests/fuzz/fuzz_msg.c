/*
 * proto/msg: an arena of the promised size is always enough, a smaller one only
 * makes messages malformed, the same text gives the same answer, and a name
 * comes back from the reply as it was.
 */
#include "proto/msg.h"

#include "proto/json.h"
#include "proto/utf8.h"

#include <cJSON.h>
#include <stdlib.h>
#include <string.h>

static void must(bool ok)
{
    if (!ok)
        abort();
}

static enum msg_kind parse(struct span text, size_t cap,
                           uint8_t token[TOKEN_LEN])
{
    struct msg_arena arena;
    void *mem = malloc(cap);

    must(mem != NULL);
    msg_arena_init(&arena, mem, cap);
    enum msg_kind kind = msg_parse(&arena, text, token);
    must(arena.used <= cap);
    free(mem);
    return kind;
}

static void check_parse(struct span text)
{
    uint8_t token[TOKEN_LEN] = {0}, again[TOKEN_LEN] = {0};
    enum msg_kind kind = parse(text, MSG_ARENA_SIZE(text.len), token);

    must(kind == MSG_MALFORMED || json_is_strict(text, MSG_DEPTH_MAX));
    must(parse(text, 4 * MSG_ARENA_SIZE(text.len), again) == kind);
    must(kind != MSG_TOKEN_AUTH || memcmp(token, again, TOKEN_LEN) == 0);
    enum msg_kind small = parse(text, text.len + 100, again);
    must(small == kind || small == MSG_MALFORMED);
    must(small != MSG_TOKEN_AUTH || memcmp(token, again, TOKEN_LEN) == 0);
}

static void check_reply(struct span name, const uint8_t token[TOKEN_LEN])
{
    char *out = malloc(MSG_REPLY_MAX);
    int depth = 0;

    must(out != NULL);
    size_t len = msg_format_auth_success(name, token, out);
    must(len <= MSG_REPLY_MAX);
    must(json_is_strict((struct span){(uint8_t *)out, len}, 2));
    /* The Godot client counts braces. */
    for (size_t i = 0; i < len; i++) {
        depth += (out[i] == '{') - (out[i] == '}');
        must(depth > 0 || i == len - 1);
    }
    must(depth == 0);
    cJSON_InitHooks(NULL);
    cJSON *tree = cJSON_ParseWithLength(out, len);
    const cJSON *payload = cJSON_GetObjectItem(tree, "payload");
    const cJSON *back = cJSON_GetObjectItem(payload, "username");
    must(cJSON_IsString(back) && strlen(back->valuestring) == name.len &&
         memcmp(back->valuestring, name.ptr, name.len) == 0);
    cJSON_Delete(tree);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t token[TOKEN_LEN] = {1, 2, 3};
    struct span text = {data, size};

    if (size == 0 || size > 4096 || !utf8_is_valid(text))
        return 0;
    check_parse(text);
    if (size <= TOKEN_USERNAME_MAX && memchr(data, 0, size) == NULL)
        check_reply(text, token);
    return 0;
}
