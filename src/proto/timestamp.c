#include "proto/timestamp.h"

#include "base/civil.h"

#include <assert.h>

enum { MINUTE_S = 60, HOUR_S = 3600, DAY_S = 86400 };

#define LAST_S INT64_C(253402300799) /* 9999-12-31 23:59:59 */

/* The rest of the text, while it is read. */
struct cursor {
    const uint8_t *at, *end;
};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static size_t count_digits(const struct cursor *c)
{
    size_t n = 0;

    while (c->at + n < c->end && is_digit(c->at[n]))
        n++;
    return n;
}

static bool is_at_end(const struct cursor *c)
{
    return c->at == c->end;
}

/* Take one byte if it is one of two. */
static bool take_either(struct cursor *c, char a, char b)
{
    if (is_at_end(c) || (*c->at != (uint8_t)a && *c->at != (uint8_t)b))
        return false;
    c->at++;
    return true;
}

static bool take(struct cursor *c, char byte)
{
    return take_either(c, byte, byte);
}

/* Take exactly n digits. returns: their value, or -1 */
static int take_digits(struct cursor *c, size_t n)
{
    int value = 0;

    if ((size_t)(c->end - c->at) < n)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(c->at[i]))
            return -1;
        value = value * 10 + (c->at[i] - '0');
    }
    c->at += n;
    return value;
}

static int parse_date(struct cursor *c, struct civil *t)
{
    size_t digits = count_digits(c);

    /* The check that the form is a date comes first: only then is the number
     * in front a year. */
    if (digits < 4 || c->at + digits == c->end || c->at[digits] != '-')
        return TIMESTAMP_BAD_FORM;
    if (digits > 4)
        return TIMESTAMP_BAD_YEAR;
    t->year = take_digits(c, 4);
    take(c, '-');
    t->month = take_digits(c, 2);
    if (!take(c, '-'))
        return TIMESTAMP_BAD_FORM;
    t->day = take_digits(c, 2);
    if (t->month < 0 || t->day < 0)
        return TIMESTAMP_BAD_FORM;
    if (t->year == 0)
        return TIMESTAMP_BAD_YEAR;
    return civil_is_date(t) ? TIMESTAMP_OK : TIMESTAMP_BAD_DATE;
}

static int parse_time(struct cursor *c, struct civil *t)
{
    t->hour = take_digits(c, 2);
    if (!take(c, ':'))
        return TIMESTAMP_BAD_FORM;
    t->minute = take_digits(c, 2);
    if (!take(c, ':'))
        return TIMESTAMP_BAD_FORM;
    t->second = take_digits(c, 2);
    if (t->hour < 0 || t->minute < 0 || t->second < 0)
        return TIMESTAMP_BAD_FORM;
    if (take(c, '.')) {
        size_t digits = count_digits(c);
        if (digits < 1 || digits > 9)
            return TIMESTAMP_BAD_FORM;
        c->at += digits;
    }
    if (t->hour > 23 || t->minute > 59 || t->second > 60)
        return TIMESTAMP_BAD_TIME;
    return TIMESTAMP_OK;
}

/* out: *zone_s stays when the text has no zone */
static int parse_zone(struct cursor *c, int *zone_s)
{
    if (take_either(c, 'Z', 'z')) {
        *zone_s = 0;
        return TIMESTAMP_OK;
    }
    bool is_west = !is_at_end(c) && *c->at == '-';
    if (!take_either(c, '+', '-'))
        return TIMESTAMP_OK;
    int part[3] = {take_digits(c, 2), 0, 0}; /* hours, minutes, seconds */
    for (int i = 1; i < 3 && take(c, ':'); i++)
        part[i] = take_digits(c, 2);
    if (part[0] < 0 || part[1] < 0 || part[2] < 0 || part[0] > 23 ||
        part[1] > 59 || part[2] > 59)
        return TIMESTAMP_BAD_ZONE;
    int offset = part[0] * HOUR_S + part[1] * MINUTE_S + part[2];
    *zone_s = is_west ? -offset : offset;
    return TIMESTAMP_OK;
}

/* +HHMM: as people type it, but as no time in a file has it */
static bool expand_zone(struct span text, uint8_t expanded[6])
{
    if (text.len != 5 || !is_digit(text.ptr[3]))
        return false;
    memcpy(expanded, text.ptr, 3);
    expanded[3] = ':';
    memcpy(expanded + 4, text.ptr + 3, 2);
    return true;
}

bool timestamp_parse_zone(struct span text, int *zone_s)
{
    uint8_t expanded[6];
    int offset = 0;

    if (expand_zone(text, expanded))
        text = (struct span){expanded, sizeof expanded};
    if (!span_equals_nocase(text, span_of("UTC"))) {
        struct cursor c = {text.ptr, text.ptr + text.len};
        if (is_at_end(&c) || parse_zone(&c, &offset) != TIMESTAMP_OK ||
            !is_at_end(&c))
            return false;
    }
    *zone_s = offset;
    return true;
}

static int parse_epoch(struct span text, int64_t *utc_s)
{
    int64_t value = 0;

    if (text.len < 9 || text.len > 10)
        return TIMESTAMP_BAD_EPOCH;
    for (size_t i = 0; i < text.len; i++)
        value = value * 10 + (text.ptr[i] - '0');
    *utc_s = value;
    return TIMESTAMP_OK;
}

static int to_utc(struct civil t, int zone_s, int64_t *utc_s)
{
    bool is_leap_second = t.second == 60;

    if (is_leap_second)
        t.second = 59;
    int64_t utc = civil_to_unix(&t) - zone_s;
    if (is_leap_second && (utc + 1) % DAY_S != 0)
        return TIMESTAMP_BAD_LEAP;
    if (utc < TIMESTAMP_FIRST_S || utc > LAST_S)
        return TIMESTAMP_BAD_YEAR;
    *utc_s = utc;
    return TIMESTAMP_OK;
}

static int parse_civil(struct cursor *c, int zone_s, int64_t *utc_s)
{
    struct civil t;
    int result = parse_date(c, &t);

    if (result != TIMESTAMP_OK)
        return result;
    if (!take(c, ' ') && !take_either(c, 'T', 't'))
        return TIMESTAMP_BAD_FORM;
    result = parse_time(c, &t);
    if (result == TIMESTAMP_OK)
        result = parse_zone(c, &zone_s);
    if (result != TIMESTAMP_OK)
        return result;
    if (span_equals((struct span){c->at, (size_t)(c->end - c->at)},
                    span_of(" BC")))
        return TIMESTAMP_BC;
    if (!is_at_end(c))
        return TIMESTAMP_BAD_FORM;
    return to_utc(t, zone_s, utc_s);
}

int timestamp_parse(struct span text, int zone_s, int64_t *utc_s)
{
    if (text.len == 0)
        return TIMESTAMP_BAD_FORM;
    if (span_equals(text, span_of("infinity")))
        return TIMESTAMP_INFINITY;
    if (span_equals(text, span_of("-infinity")))
        return TIMESTAMP_MINUS_INFINITY;
    struct cursor c = {text.ptr, text.ptr + text.len};
    if (count_digits(&c) == text.len)
        return parse_epoch(text, utc_s);
    return parse_civil(&c, zone_s, utc_s);
}

const char *timestamp_reason(int result)
{
    switch (result) {
    case TIMESTAMP_BAD_FORM:
        return "not a time (expected 2026-11-24 08:20:05, with or without "
               "fraction and zone, or epoch seconds)";
    case TIMESTAMP_BAD_DATE:
        return "no such date";
    case TIMESTAMP_BAD_TIME:
        return "no such time of day";
    case TIMESTAMP_BAD_ZONE:
        return "not a zone (expected Z, +HH, +HH:MM or +HH:MM:SS)";
    case TIMESTAMP_BAD_LEAP:
        return "second 60 outside 23:59:60 UTC";
    case TIMESTAMP_BAD_YEAR:
        return "year outside 0001 to 9999";
    case TIMESTAMP_BC:
        return "years before Christ are not supported";
    case TIMESTAMP_BAD_EPOCH:
        return "not epoch seconds (9 or 10 digits; are these milliseconds?)";
    default:
        assert(false);
        return "";
    }
}

/* Write a number as so many digits and a byte behind them. */
static char *put_digits(char *out, int number, int digits, char after)
{
    for (int i = digits - 1; i >= 0; i--) {
        out[i] = (char)('0' + number % 10);
        number /= 10;
    }
    out[digits] = after;
    return out + digits + 1;
}

void timestamp_format(int64_t utc_s, char out[TIMESTAMP_TEXT_SIZE])
{
    struct civil t =
        civil_from_unix(utc_s < TIMESTAMP_FIRST_S ? TIMESTAMP_FIRST_S
                        : utc_s > LAST_S          ? LAST_S
                                                  : utc_s);

    out = put_digits(out, t.year, 4, '-');
    out = put_digits(out, t.month, 2, '-');
    out = put_digits(out, t.day, 2, 'T');
    out = put_digits(out, t.hour, 2, ':');
    out = put_digits(out, t.minute, 2, ':');
    out = put_digits(out, t.second, 2, 'Z');
    *out = '\0';
}
