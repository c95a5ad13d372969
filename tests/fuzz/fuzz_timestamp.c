/*
 * proto/timestamp: what is accepted lies in the years 0001 to 9999, and
 * written out again it reads as itself; an offset is within a day.
 */
#include "proto/timestamp.h"

#include <stdlib.h>

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void check_round_trip(int64_t utc_s)
{
    char text[TIMESTAMP_TEXT_SIZE];
    int64_t again;

    timestamp_format(utc_s, text);
    must(timestamp_parse(span_of(text), 3600, &again) == TIMESTAMP_OK);
    must(again == utc_s);
}

static void check_zone(struct span text)
{
    int zone_s = TIMESTAMP_ZONE_MAX_S + 1;
    bool is_zone = timestamp_parse_zone(text, &zone_s);

    must(is_zone == (zone_s <= TIMESTAMP_ZONE_MAX_S));
    must(zone_s >= -TIMESTAMP_ZONE_MAX_S);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int64_t untouched = INT64_MIN;
    int64_t utc_s = untouched, shifted;
    struct span text = {data, size};
    int result = timestamp_parse(text, 0, &utc_s);

    check_zone(text);
    /* The caller's zone decides whether a second 60 or a year can be. */
    int elsewhere = timestamp_parse(text, 3600, &shifted);
    must(elsewhere == result || elsewhere == TIMESTAMP_BAD_LEAP ||
         result == TIMESTAMP_BAD_LEAP || elsewhere == TIMESTAMP_BAD_YEAR ||
         result == TIMESTAMP_BAD_YEAR);
    if (result < 0)
        must(timestamp_reason(result)[0] != '\0');
    if (result == TIMESTAMP_OK)
        check_round_trip(utc_s);
    else
        must(utc_s == untouched);
    return 0;
}
