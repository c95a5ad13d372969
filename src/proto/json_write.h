/*
 * Writing JSON strings (RFC 8259 section 7).
 */
#ifndef PROTO_JSON_WRITE_H
#define PROTO_JSON_WRITE_H

#include "base/span.h"

/* Room for a text of len bytes as a JSON string. */
#define JSON_STRING_MAX(len) (2 + 6 * (len))

/*
 * Write a text as a JSON string, with its quotes. Control characters are
 * escaped, and what JSON would allow but breaks a line or steers a terminal
 * (U+007F to U+009F, U+2028, U+2029); so are braces: the Godot client finds the
 * end of a message by counting them, strings included. In a text that is not
 * UTF-8 each byte above 0x7f becomes the character of that number.
 * out:     JSON_STRING_MAX(text.len) bytes of room; no NUL is written
 * returns: bytes written
 */
size_t json_write_string(struct span text, char *out);

#endif
