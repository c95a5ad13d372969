/*
 * Bytes from hex digits of any case, and as digits in lower case.
 */
#ifndef BASE_HEX_H
#define BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Read text[0..2 * len) as the bytes out[0..len), high digit first. Takes the
 * same time whatever the text says.
 * needs:   len is a multiple of 4; text and out do not overlap
 * returns: false if there is anything but hex digits; out is of no use then
 */
bool hex_decode(const uint8_t *text, uint8_t *out, size_t len);

/* Write bytes[0..len) as 2 * len digits and a NUL, high digit first. */
void hex_encode(const uint8_t *bytes, size_t len, char *out);

#endif
