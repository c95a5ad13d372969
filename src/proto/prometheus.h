/*
 * The text format of Prometheus, version 0.0.4.
 *
 * A family is begun, then its samples are written. What does not fit into the
 * buffer sets is_full, and the whole text is of no use.
 */
#ifndef PROTO_PROMETHEUS_H
#define PROTO_PROMETHEUS_H

#include "base/buf.h"
#include "base/histogram.h"

struct prometheus {
    struct buf *out;
    const char *family; /* the one that samples belong to */
    bool is_full;
};

/* in: type: "counter", "gauge" or "histogram"; help: one line, no escapes */
void prometheus_family(struct prometheus *p, const char *name, const char *type,
                       const char *help);

/* A sample of the family without labels. */
void prometheus_value(struct prometheus *p, uint64_t value);

/* One with a label. in: text: any bytes up to a NUL; it is escaped */
void prometheus_labelled(struct prometheus *p, const char *label,
                         const char *text, uint64_t value);

/*
 * All of a histogram.
 * in: decimals: 6 when its values are microseconds and the family's unit is
 *     seconds, else 0
 */
void prometheus_histogram(struct prometheus *p, const struct histogram *h,
                          unsigned decimals);

#endif
