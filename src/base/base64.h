/*
 * Base64 with the standard alphabet and padding (RFC 4648 section 4).
 *
 * Only what a WebSocket handshake needs: an encoder, and a check of the
 * client's key. Nothing is decoded.
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* Characters that n bytes become, padding included, no NUL. */
#define BASE64_LEN(n) (((n) + 2) / 3 * 4)

/*
 * Encode data[0..len) into out.
 * out:     BASE64_LEN(len) characters, no NUL; must not overlap data
 * returns: BASE64_LEN(len)
 */
size_t base64_encode(const uint8_t *data, size_t len, char *out);

/*
 * Is text the base64 form of 16 bytes: 22 characters of the alphabet and `==`?
 * The four bits that the last character has to spare may have any value.
 * spec: RFC 6455 section 4.2.1 item 5
 */
bool base64_is_16_bytes(struct span text);

#endif
