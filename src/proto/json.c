#include "proto/json.h"

#include <string.h>

/* What is left of the text. Each skip_* drops what it recognises. */
struct cursor {
    const uint8_t *at;
    const uint8_t *end;
};

static bool next_is(const struct cursor *c, char byte)
{
    return c->at < c->end && *c->at == (uint8_t)byte;
}

static bool skip_byte(struct cursor *c, char byte)
{
    if (!next_is(c, byte))
        return false;
    c->at++;
    return true;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(uint8_t c)
{
    return is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

static void skip_space(struct cursor *c)
{
    while (next_is(c, ' ') || next_is(c, '\t') || next_is(c, '\n') ||
           next_is(c, '\r'))
        c->at++;
}

static bool skip_digits(struct cursor *c)
{
    const uint8_t *start = c->at;

    while (c->at < c->end && is_digit(*c->at))
        c->at++;
    return c->at > start;
}

static bool skip_number(struct cursor *c)
{
    skip_byte(c, '-');
    if (!skip_byte(c, '0') && !skip_digits(c))
        return false;
    if (skip_byte(c, '.') && !skip_digits(c))
        return false;
    if (skip_byte(c, 'e') || skip_byte(c, 'E')) {
        if (!skip_byte(c, '+'))
            skip_byte(c, '-');
        return skip_digits(c);
    }
    return true;
}

static bool skip_word(struct cursor *c, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0)
        return false;
    c->at += len;
    return true;
}

/* Behind the backslash and the u. */
static bool skip_hex4(struct cursor *c)
{
    if (c->end - c->at < 4)
        return false;
    for (int i = 0; i < 4; i++)
        if (!is_hex(*c->at++))
            return false;
    return true;
}

static bool skip_escape(struct cursor *c)
{
    if (c->at == c->end)
        return false;
    uint8_t kind = *c->at++;
    if (kind == 'u')
        return skip_hex4(c);
    return kind != '\0' && strchr("\"\\/bfnrt", kind) != NULL;
}

static bool skip_string(struct cursor *c)
{
    if (!skip_byte(c, '"'))
        return false;
    while (c->at < c->end) {
        uint8_t byte = *c->at++;
        if (byte == '"')
            return true;
        if (byte < 0x20 || (byte == '\\' && !skip_escape(c)))
            return false;
    }
    return false;
}

static bool skip_value(struct cursor *c, unsigned depth);

static bool skip_member(struct cursor *c, unsigned depth)
{
    skip_space(c);
    if (!skip_string(c))
        return false;
    skip_space(c);
    return skip_byte(c, ':') && skip_value(c, depth);
}

/* Behind the opening bracket, which `close` matches. */
static bool skip_elements(struct cursor *c, char close, unsigned depth)
{
    skip_space(c);
    if (skip_byte(c, close))
        return true;
    do {
        bool is_good =
            close == '}' ? skip_member(c, depth) : skip_value(c, depth);
        if (!is_good)
            return false;
    } while (skip_byte(c, ','));
    return skip_byte(c, close);
}

static bool skip_scalar(struct cursor *c)
{
    if (next_is(c, '"'))
        return skip_string(c);
    return skip_word(c, "true") || skip_word(c, "false") ||
           skip_word(c, "null") || skip_number(c);
}

/* One value and the white space around it; depth is the nesting left. */
static bool skip_value(struct cursor *c, unsigned depth)
{
    bool is_good;

    skip_space(c);
    if (next_is(c, '{') || next_is(c, '[')) {
        char close = *c->at++ == '{' ? '}' : ']';
        is_good = depth > 0 && skip_elements(c, close, depth - 1);
    } else {
        is_good = skip_scalar(c);
    }
    skip_space(c);
    return is_good;
}

bool json_is_strict(struct span text, unsigned max_depth)
{
    if (text.len == 0)
        return false;
    struct cursor c = {.at = text.ptr, .end = text.ptr + text.len};

    return skip_value(&c, max_depth) && c.at == c.end;
}

void json_mask_nul(uint8_t *text, size_t len)
{
    const uint8_t *end = text + len;

    /* In strict JSON a backslash always begins an escape. */
    for (uint8_t *c = text; (c = memchr(c, '\\', (size_t)(end - c))) != NULL;
         c += 2)
        if (c[1] == 'u' && memcmp(c + 2, "0000", 4) == 0)
            memcpy(c + 2, "fffd", 4);
}
