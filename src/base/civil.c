/*
 * Arithmetic on years that begin in March, so that the leap day is the last of
 * its year, and on eras of 400 years, after which the calendar repeats.
 */
#include "base/civil.h"

enum {
    SECONDS_PER_DAY = 86400,
    DAYS_PER_ERA = 146097,
    DAYS_TO_1970 = 719468 /* from 1 March of year 0 */
};

/* needs: month 1 to 12 */
static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month == 2 && is_leap ? 29 : days[month - 1];
}

bool civil_is_date(const struct civil *c)
{
    return c->month >= 1 && c->month <= 12 && c->day >= 1 &&
           c->day <= days_in_month(c->year, c->month);
}

int64_t civil_to_unix(const struct civil *c)
{
    /* Year -1 is in the era before: begin one era earlier. */
    int year = c->year - (c->month <= 2) + 400;
    int month = c->month > 2 ? c->month - 3 : c->month + 9; /* 0 is March */
    int in_year = (153 * month + 2) / 5 + c->day - 1;
    int64_t days = 365 * year + year / 4 - year / 100 + year / 400 + in_year -
                   DAYS_PER_ERA - DAYS_TO_1970;

    return days * SECONDS_PER_DAY + c->hour * 3600 + c->minute * 60 + c->second;
}

static void set_date(struct civil *c, int64_t days)
{
    int64_t era = (days >= 0 ? days : days - DAYS_PER_ERA + 1) / DAYS_PER_ERA;
    int in_era = (int)(days - era * DAYS_PER_ERA);
    int year =
        (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int in_year = in_era - (365 * year + year / 4 - year / 100);
    int month = (5 * in_year + 2) / 153; /* 0 is March */

    c->day = in_year - (153 * month + 2) / 5 + 1;
    c->month = month < 10 ? month + 3 : month - 9;
    c->year = (int)era * 400 + year + (c->month <= 2);
}

struct civil civil_from_unix(int64_t unix_s)
{
    int64_t days = unix_s / SECONDS_PER_DAY;
    int second = (int)(unix_s % SECONDS_PER_DAY);

    if (second < 0) {
        second += SECONDS_PER_DAY;
        days--;
    }
    struct civil c = {
        .hour = second / 3600,
        .minute = second / 60 % 60,
        .second = second % 60,
    };
    set_date(&c, days + DAYS_TO_1970);
    return c;
}
