#include "tools/token_keys.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/span.h"
#include "base/wipe.h"
#include "proto/uuid.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_CAP = 64, INPUT_CAP = 4096 };

void token_keys_fini(struct token_keys *set)
{
    free(set->keys);
    *set = (struct token_keys){0};
}

bool token_keys_add(struct token_keys *set, const uint8_t key[TOKEN_KEY_LEN])
{
    if (set->count == set->cap) {
        size_t cap = set->cap == 0 ? FIRST_CAP : 2 * set->cap;
        void *keys = realloc(set->keys, cap * sizeof *set->keys);
        if (keys == NULL)
            return false;
        set->keys = keys;
        set->cap = cap;
    }
    memcpy(set->keys[set->count++], key, TOKEN_KEY_LEN);
    return true;
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, TOKEN_KEY_LEN);
}

void token_keys_sort(struct token_keys *set)
{
    size_t kept = 0;

    if (set->count > 1)
        qsort(set->keys, set->count, sizeof *set->keys, compare);
    for (size_t i = 0; i < set->count; i++)
        if (kept == 0 || compare(set->keys[kept - 1], set->keys[i]) != 0)
            memmove(set->keys[kept++], set->keys[i], TOKEN_KEY_LEN);
    set->count = kept;
}

/* --- Public ids --- */

int token_id_parse(const char *text, uint8_t first[TOKEN_KEY_LEN],
                   uint8_t last[TOKEN_KEY_LEN], struct error *err)
{
    static const char digits[] = "0123456789abcdef";
    size_t len = strlen(text);

    memset(first, 0, TOKEN_KEY_LEN);
    memset(last, 0xff, TOKEN_KEY_LEN);
    if (len < TOKEN_ID_LEN || len > 2 * (size_t)TOKEN_KEY_LEN)
        len = 0;
    for (size_t i = 0; i < len; i++) {
        const char *at = strchr(digits, tolower((unsigned char)text[i]));
        int shift = i % 2 == 0 ? 4 : 0;
        if (at == NULL) {
            len = 0;
            break;
        }
        first[i / 2] |= (uint8_t)((at - digits) << shift);
        last[i / 2] &= (uint8_t)(~(15 << shift) | (at - digits) << shift);
    }
    if (len > 0)
        return 0;
    /* The word is not shown: it may be a token. */
    return error_set(err, "an id has 12 to 64 hex digits (a token itself is "
                          "read from standard input, with -)");
}

bool token_key_next(uint8_t key[TOKEN_KEY_LEN])
{
    for (int i = TOKEN_KEY_LEN - 1; i >= 0; i--)
        if (++key[i] != 0)
            return true;
    return false;
}

struct search {
    uint8_t last[TOKEN_KEY_LEN], found[TOKEN_KEY_LEN];
    int count;
};

static bool look(void *ctx, const struct store_listed *token)
{
    struct search *search = ctx;
    int order = compare(token->key, search->last);

    if (order > 0)
        return false;
    memcpy(search->found, token->key, TOKEN_KEY_LEN);
    return ++search->count < 2 && order < 0;
}

int token_keys_add_id(struct token_keys *set, struct store *store,
                      const char *id, struct error *err)
{
    struct search search = {.count = 0};
    uint8_t first[TOKEN_KEY_LEN];

    if (token_id_parse(id, first, search.last, err) != 0 ||
        store_scan(store, first, look, &search, err) != 0)
        return -1;
    if (search.count == 0)
        return error_set(err, "id %.12s: there is no such token", id);
    if (search.count > 1)
        return error_set(
            err,
            "id %.12s: several tokens begin so; give more digits of "
            "the hash (list prints as many as it takes)",
            id);
    return token_keys_add(set, search.found) ? 0
                                             : error_set(err, "out of memory");
}

/* --- Tokens --- */

static int add_line(struct token_keys *set, struct span line, size_t number,
                    struct error *err)
{
    uint8_t token[UUID_LEN], key[TOKEN_KEY_LEN];

    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    if (line.len == 0)
        return 0;
    if (!uuid_parse(line, token))
        return error_set(err,
                         "standard input, line %zu: not a token "
                         "(8-4-4-4-12 hex digits)",
                         number);
    digest_sha256(token, sizeof token, key);
    wipe(token, sizeof token);
    return token_keys_add(set, key) ? 0 : error_set(err, "out of memory");
}

/* Take the next line, without its end. in: is_end: no more will come */
static bool take_line(struct buf *in, bool is_end, struct span *line)
{
    const uint8_t *at = buf_peek(in);
    size_t len = buf_len(in);
    const uint8_t *end = len == 0 ? NULL : memchr(at, '\n', len);

    /* A line that does not fit is no token: its beginning will do. */
    if (end == NULL && (len == 0 || (!is_end && len < in->cap)))
        return false;
    line->ptr = at;
    line->len = end == NULL ? len : (size_t)(end - at);
    buf_consume(in, line->len + (end != NULL));
    return true;
}

static int read_all(struct token_keys *set, struct buf *in, struct error *err)
{
    size_t number = 0;
    struct span line;
    ssize_t n;

    do {
        size_t room = buf_room(in);
        do
            n = read(STDIN_FILENO, buf_reserve(in, room), room);
        while (n < 0 && errno == EINTR);
        if (n < 0)
            return error_set(err, "standard input: %s", strerror(errno));
        buf_commit(in, (size_t)n);
        while (take_line(in, n == 0, &line))
            if (add_line(set, line, ++number, err) != 0)
                return -1;
    } while (n > 0);
    return 0;
}

int token_keys_read(struct token_keys *set, struct error *err)
{
    uint8_t mem[INPUT_CAP];
    struct buf in;

    buf_init(&in, mem, sizeof mem);
    int rc = read_all(set, &in, err);
    wipe(mem, sizeof mem);
    wipe_stack();
    return rc;
}
