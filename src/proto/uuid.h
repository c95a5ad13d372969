/*
 * UUIDs: 16 bytes and their text form 8-4-4-4-12 (RFC 9562 section 4).
 */
#ifndef PROTO_UUID_H
#define PROTO_UUID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

#define UUID_LEN      16 /* bytes */
#define UUID_TEXT_LEN 36 /* characters, no NUL */

/*
 * Read the text form: 36 characters, hex digits of any case, any version and
 * variant. No braces, no `urn:uuid:`, no spaces, no bare 32 digits.
 * out:     the 16 bytes in text order; untouched on failure
 * returns: whether text is a UUID
 */
bool uuid_parse(struct span text, uint8_t out[UUID_LEN]);

/* Write the text form in lower case, without a NUL. */
void uuid_format(const uint8_t uuid[UUID_LEN], char out[UUID_TEXT_LEN]);

/* Are all 16 bytes zero? */
bool uuid_is_nil(const uint8_t uuid[UUID_LEN]);

#endif
