#include "proto/json_write.h"

#include "proto/utf8.h"

static bool needs_escape(uint8_t c)
{
    return c < 0x20 || c == 0x7f || c == '"' || c == '\\' || c == '{' ||
           c == '}';
}

static char *put_escape(char *out, unsigned c)
{
    static const char hex[] = "0123456789abcdef";

    memcpy(out, "\\u", 2);
    for (int i = 0; i < 4; i++)
        out[2 + i] = hex[c >> (12 - 4 * i) & 15];
    return out + 6;
}

/*
 * Does a longer character that would break a line or steer a terminal begin
 * here (U+0080 to U+009F, U+2028, U+2029)? returns: its number, or 0
 */
static unsigned control_at(struct span text, size_t i)
{
    const uint8_t *c = text.ptr + i;
    size_t left = text.len - i;

    if (left >= 2 && c[0] == 0xc2 && c[1] < 0xa0)
        return c[1];
    if (left >= 3 && c[0] == 0xe2 && c[1] == 0x80 && (c[2] | 1) == 0xa9)
        return 0x1f80U + c[2];
    return 0;
}

size_t json_write_string(struct span text, char *out)
{
    bool is_utf8 = utf8_is_valid(text);
    char *at = out;

    *at++ = '"';
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        unsigned control = is_utf8 ? control_at(text, i) : 0;
        if (control != 0) {
            at = put_escape(at, control);
            i += control < 0x100 ? 1 : 2;
        } else if (needs_escape(c) || (c >= 0x80 && !is_utf8)) {
            at = put_escape(at, c);
        } else {
            *at++ = (char)c;
        }
    }
    *at++ = '"';
    return (size_t)(at - out);
}
