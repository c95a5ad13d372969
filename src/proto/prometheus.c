#include "proto/prometheus.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void put(struct prometheus *p, const char *text)
{
    if (!buf_append(p->out, text, strlen(text)))
        p->is_full = true;
}

/* A whole number of 10^-decimals, without zeros at its end. */
static void format_number(uint64_t value, unsigned decimals, char out[32])
{
    uint64_t unit = 1;

    for (unsigned i = 0; i < decimals; i++)
        unit *= 10;
    int len = snprintf(out, 32, "%" PRIu64, value / unit);
    if (value % unit == 0)
        return;
    len += snprintf(out + len, 32 - (size_t)len, ".%0*" PRIu64, (int)decimals,
                    value % unit);
    while (out[len - 1] == '0')
        out[--len] = '\0';
}

static void put_number(struct prometheus *p, uint64_t value, unsigned decimals)
{
    char text[32];

    format_number(value, decimals, text);
    put(p, text);
}

static void put_escaped(struct prometheus *p, const char *text)
{
    for (; *text != '\0'; text++) {
        char one[3] = {*text};

        if (*text == '\n')
            memcpy(one, "\\n", 3);
        else if (*text == '"' || *text == '\\')
            memcpy(one, (char[]){'\\', *text, '\0'}, 3);
        put(p, one);
    }
}

void prometheus_family(struct prometheus *p, const char *name, const char *type,
                       const char *help)
{
    const char *const parts[] = {"# HELP ", name, " ",  help, "\n# TYPE ",
                                 name,      " ",  type, "\n"};

    p->family = name;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        put(p, parts[i]);
}

void prometheus_value(struct prometheus *p, uint64_t value)
{
    put(p, p->family);
    put(p, " ");
    put_number(p, value, 0);
    put(p, "\n");
}

void prometheus_labelled(struct prometheus *p, const char *label,
                         const char *text, uint64_t value)
{
    put(p, p->family);
    put(p, "{");
    put(p, label);
    put(p, "=\"");
    put_escaped(p, text);
    put(p, "\"} ");
    put_number(p, value, 0);
    put(p, "\n");
}

/* A line of a histogram, up to its value. */
static void put_part(struct prometheus *p, const char *suffix,
                     const char *bound)
{
    put(p, p->family);
    put(p, suffix);
    if (bound != NULL) {
        put(p, "{le=\"");
        put(p, bound);
        put(p, "\"}");
    }
    put(p, " ");
}

void prometheus_histogram(struct prometheus *p, const struct histogram *h,
                          unsigned decimals)
{
    uint64_t total = 0;
    char bound[32];
    size_t i = 0;

    for (; h->bounds[i] != 0; i++) {
        total += h->counts[i];
        format_number(h->bounds[i], decimals, bound);
        put_part(p, "_bucket", bound);
        put_number(p, total, 0);
        put(p, "\n");
    }
    total += h->counts[i];
    put_part(p, "_bucket", "+Inf");
    put_number(p, total, 0);
    put(p, "\n");
    put_part(p, "_sum", NULL);
    put_number(p, h->sum, decimals);
    put(p, "\n");
    put_part(p, "_count", NULL);
    put_number(p, total, 0);
    put(p, "\n");
}
