/*
 * Text to UTC seconds since 1970, and back. What is read:
 *   2026-11-24 08:20:05[.448196][+05:30]   as PostgreSQL writes it
 *   2026-11-24T08:20:05[.448196]Z          RFC 3339
 *   1795508405                             epoch seconds, 9 or 10 digits
 *   infinity, -infinity                    PostgreSQL
 *
 * Proleptic Gregorian calendar, years 0001 to 9999 (as written and in UTC). A
 * fraction (1 to 9 digits) is cut, which is the floor. A zone is Z, +HH, +HH:MM
 * or +HH:MM:SS; without one the caller's offset applies. Second 60 is taken at
 * 23:59:60 UTC only, and is read as :59. Epoch numbers of another length are
 * refused: they are more likely milliseconds or a date without separators.
 */
#ifndef PROTO_TIMESTAMP_H
#define PROTO_TIMESTAMP_H

#include "base/span.h"

enum timestamp_result {
    TIMESTAMP_OK = 0,
    TIMESTAMP_INFINITY = 1,       /* later than every time */
    TIMESTAMP_MINUS_INFINITY = 2, /* earlier than every time */
    TIMESTAMP_BAD_FORM = -1,
    TIMESTAMP_BAD_DATE = -2,
    TIMESTAMP_BAD_TIME = -3,
    TIMESTAMP_BAD_ZONE = -4,
    TIMESTAMP_BAD_LEAP = -5,
    TIMESTAMP_BAD_YEAR = -6,
    TIMESTAMP_BC = -7,
    TIMESTAMP_BAD_EPOCH = -8
};

/* Offsets from UTC are within one day. */
#define TIMESTAMP_ZONE_MAX_S 86399

/*
 * Read the whole text as a time.
 * in:      zone_s  seconds east of UTC, for a text without a zone;
 *          -TIMESTAMP_ZONE_MAX_S..TIMESTAMP_ZONE_MAX_S
 * out:     *utc_s only when TIMESTAMP_OK
 * returns: enum timestamp_result; negative when it is no time
 * spec:    RFC 3339 section 5.6
 */
int timestamp_parse(struct span text, int zone_s, int64_t *utc_s);

/*
 * Read an offset from UTC as a person gives it: UTC, Z, +HH, +HH:MM, +HHMM or
 * +HH:MM:SS, with + or -; east is positive.
 * out:     *zone_s  -TIMESTAMP_ZONE_MAX_S..TIMESTAMP_ZONE_MAX_S, only when true
 * returns: false when it is none; names of zones are none
 */
bool timestamp_parse_zone(struct span text, int *zone_s);

/* What is wrong, as a phrase for a person; static. needs: result < 0 */
const char *timestamp_reason(int result);

/* 0001-01-01T00:00:00Z, the earliest time that can be read. */
#define TIMESTAMP_FIRST_S INT64_C(-62135596800)

/* Bytes of "2026-11-24T08:20:05Z" and its NUL. */
#define TIMESTAMP_TEXT_SIZE 21

/*
 * Write a time in UTC as RFC 3339 has it; timestamp_parse reads it back.
 * in: utc_s: of the years 0001 to 9999; another is written as the nearest of
 *     these
 */
void timestamp_format(int64_t utc_s, char out[TIMESTAMP_TEXT_SIZE]);

#endif
