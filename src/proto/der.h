/*
 * Writing and stepping through DER (ITU-T X.690, distinguished encoding).
 *
 * The writer appends to storage that the caller owns and always writes
 * definite lengths. Running out of room is sticky: later calls do nothing and
 * der_finish says so, so that callers check once, at the end. The reader
 * steps over one element at a time and never recurses.
 */
#ifndef PROTO_DER_H
#define PROTO_DER_H

#include "base/buf.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

/* Identifier octets: class, constructed bit and tag number. */
#define DER_BOOLEAN          0x01
#define DER_INTEGER          0x02
#define DER_BIT_STRING       0x03
#define DER_OCTET_STRING     0x04
#define DER_OID              0x06
#define DER_UTF8_STRING      0x0C
#define DER_PRINTABLE_STRING 0x13
#define DER_IA5_STRING       0x16
#define DER_UTC_TIME         0x17
#define DER_GENERALIZED_TIME 0x18
#define DER_SEQUENCE         0x30
#define DER_SET              0x31
#define DER_CONTEXT(n)       (0x80 | (n)) /* [n] primitive; n is 0 to 30 */
#define DER_CONTEXT_CONS(n)  (0xA0 | (n)) /* [n] constructed */

struct der {
    struct buf out; /* what was written */
    bool full;      /* something did not fit; nothing more is written */
};

/* Start an empty writer over mem[0..cap), which the caller keeps. */
void der_init(struct der *d, uint8_t *mem, size_t cap);

/*
 * Begin a constructed (or wrapping) element; what is written until the
 * matching der_close is its content.
 * returns: the mark that der_close needs
 */
size_t der_open(struct der *d, uint8_t tag);

/* End the element begun at mark: puts its length in front of its content. */
void der_close(struct der *d, size_t mark);

/* Append bytes that are DER already, or the content of an open element. */
void der_put_raw(struct der *d, struct span bytes);

/* Append a whole primitive element. */
void der_put(struct der *d, uint8_t tag, struct span content);

/*
 * Append a non-negative INTEGER in its shortest form.
 * in: magnitude  big-endian; leading zero bytes are dropped; empty is 0
 */
void der_put_unsigned(struct der *d, struct span magnitude);

/* Append BOOLEAN. */
void der_put_bool(struct der *d, bool value);

/*
 * Append a BIT STRING of len whole octets with `unused` low bits of the last
 * one unused. needs: unused 0 to 7, and 0 for empty bits
 */
void der_put_bits(struct der *d, struct span bits, uint8_t unused);

/*
 * Append a Time: UTCTime from 1950 to 2049, else GeneralizedTime, in UTC to
 * the second.
 * in:   unix_s  seconds since 1970; years 0 to 9999, else it counts as full
 * spec: RFC 5280, 4.1.2.5
 */
void der_put_time(struct der *d, int64_t unix_s);

/*
 * What was written.
 * out:     *written  points into the writer's storage
 * returns: false, *written untouched, when something did not fit
 */
bool der_finish(const struct der *d, struct span *written);

/* One element that der_next stepped over. */
struct der_element {
    uint8_t tag;         /* identifier octet */
    struct span content; /* without tag and length */
    struct span whole;   /* with them */
};

/*
 * Take the first element off *rest.
 * out:     *e points into *rest's bytes; *rest is what follows it
 * returns: false, both untouched, when *rest is empty, or the element is cut,
 *          has a multi-byte tag, or a length that is indefinite, not shortest
 *          or over four octets
 */
bool der_next(struct span *rest, struct der_element *e);

/* der_next that also fails, touching nothing, unless the tag is this one. */
bool der_expect(struct span *rest, uint8_t tag, struct der_element *e);

/*
 * Read a UTCTime or GeneralizedTime as RFC 5280 restricts them (seconds
 * present, Z, no fraction).
 * out:     *unix_s  seconds since 1970
 * returns: false, *unix_s untouched, for anything else
 */
bool der_parse_time(const struct der_element *e, int64_t *unix_s);

#endif
