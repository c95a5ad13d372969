/*
 * Incremental check of UTF-8 (RFC 3629): no overlong forms, no surrogates,
 * nothing above U+10FFFF. How the bytes are cut into calls changes nothing.
 */
#ifndef PROTO_UTF8_H
#define PROTO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct utf8 {
    uint8_t need; /* continuation bytes still missing, 0 to 3 */
    uint8_t low;  /* smallest byte that may come next; used when need > 0 */
    uint8_t high; /* largest byte that may come next; used when need > 0 */
};

/* Start at the beginning of a text. */
void utf8_init(struct utf8 *u);

/*
 * Take the next bytes of the text. data may be NULL when len is 0.
 * returns: false as soon as the bytes so far begin no valid text; the state is
 *          then of no use until utf8_init
 */
bool utf8_feed(struct utf8 *u, const uint8_t *data, size_t len);

/* Does the text so far end at the end of a character? True when empty. */
bool utf8_is_complete(const struct utf8 *u);

/* Is the whole text valid UTF-8? */
bool utf8_is_valid(struct span text);

/*
 * Where to cut a text that is too long.
 * in:      max: at least 4
 * returns: bytes, at most max, that do not end within a character
 */
size_t utf8_cut(struct span text, size_t max);

#endif
