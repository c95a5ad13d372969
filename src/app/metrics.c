#include "app/metrics.h"

#include <string.h>

/* Microseconds: a loopback login takes some hundred, a slow disk seconds. */
static const uint64_t time_bounds[] = {
    500,    1000,   2500,   5000,    10000,   25000,   50000,
    100000, 250000, 500000, 1000000, 2500000, 5000000, 0,
};

static const uint64_t touch_bounds[] = {
    1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 0,
};

void metrics_init(struct metrics *m)
{
    *m = (struct metrics){
        .login_us.bounds = time_bounds,
        .commit_us.bounds = time_bounds,
        .commit_touches.bounds = touch_bounds,
    };
}

void metrics_count(struct metrics_reasons *r, const char *text)
{
    size_t i = 0;

    while (i < r->used && strcmp(r->text[i], text) != 0)
        i++;
    if (i == METRICS_REASONS_MAX) {
        r->text[--i] = "another";
    } else if (i == r->used) {
        r->text[i] = text;
        r->used++;
    }
    r->count[i]++;
}
