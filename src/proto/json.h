/*
 * Is a text strict JSON (RFC 8259)? Judged before cJSON reads it, since that
 * accepts raw control characters, leading zeros, bad escapes and more.
 */
#ifndef PROTO_JSON_H
#define PROTO_JSON_H

#include "base/span.h"

#include <stdbool.h>

/*
 * Does the whole text form one JSON value, nested at most max_depth deep?
 * in:    text: valid UTF-8 (the caller has checked that)
 * bound: linear; the stack holds max_depth frames
 * spec:  RFC 8259 sections 2 to 7
 */
bool json_is_strict(struct span text, unsigned max_depth);

/*
 * Change every escape of the character NUL to that of U+FFFD, which is as long.
 * A C string ends at the first NUL, so "type\u0000x" would be taken for "type".
 * needs: json_is_strict
 */
void json_mask_nul(uint8_t *text, size_t len);

#endif
