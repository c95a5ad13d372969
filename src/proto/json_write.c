#include "proto/json_write.h"

#include "proto/utf8.h"

static bool needs_escape(uint8_t c)
{
    return c < 0x20 || c == 0x7f || c == '"' || c == '\\' || c == '{' ||
           c == '}';
}

static char *put_escape(char *out, uint8_t c)
{
    static const char hex[] = "0123456789abcdef";

    memcpy(out, "\\u00", 4);
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return out + 6;
}

size_t json_write_string(struct span text, char *out)
{
    bool is_utf8 = utf8_is_valid(text);
    char *at = out;

    *at++ = '"';
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (needs_escape(c) || (c >= 0x80 && !is_utf8))
            at = put_escape(at, c);
        else
            *at++ = (char)c;
    }
    *at++ = '"';
    return (size_t)(at - out);
}
