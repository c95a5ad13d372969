/*
 * Points in time as the calendar writes them: proleptic Gregorian, UTC, days
 * of 86,400 seconds.
 */
#ifndef BASE_CIVIL_H
#define BASE_CIVIL_H

#include <stdbool.h>
#include <stdint.h>

struct civil {
    int year;   /* 0 to 9999 */
    int month;  /* 1 to 12 */
    int day;    /* 1 to the month's last */
    int hour;   /* 0 to 23 */
    int minute; /* 0 to 59 */
    int second; /* 0 to 59 */
};

/* Is there such a date? The time of day is not looked at. */
bool civil_is_date(const struct civil *c);

/* Seconds since 1970. needs: all fields in their ranges */
int64_t civil_to_unix(const struct civil *c);

/* The reverse. in: unix_s of the years 0 to 9999 */
struct civil civil_from_unix(int64_t unix_s);

#endif
