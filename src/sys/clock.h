/*
 * The two clocks. The loop reads each once a turn and hands the value down.
 */
#ifndef SYS_CLOCK_H
#define SYS_CLOCK_H

#include <stdint.h>

/* Milliseconds that only go forward, for deadlines. */
int64_t clock_monotonic_ms(void);

/* The same in microseconds, to measure with. */
int64_t clock_monotonic_us(void);

/* UTC seconds since 1970, for tokens. */
int64_t clock_utc_s(void);

/* UTC milliseconds since 1970, for the log. */
int64_t clock_utc_ms(void);

#endif
