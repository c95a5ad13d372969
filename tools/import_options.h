/*
 * The command line of an import.
 */
#ifndef TOOLS_IMPORT_OPTIONS_H
#define TOOLS_IMPORT_OPTIONS_H

#include "app/options.h"

/* What becomes of a row whose token has another record in the store. */
enum conflict_policy { CONFLICT_ERROR, CONFLICT_SKIP, CONFLICT_REPLACE };

struct import_options {
    const char *data, *tz, *on_conflict, *rejects;
    uint64_t map_size; /* bytes */
    uint64_t max_errors;
    bool dry_run, skip_invalid;
    /* What their texts mean */
    enum conflict_policy conflict;
    int zone_s;
};

extern const struct option_table import_option_table;

/*
 * Do the options fit together? in: operands: how many names follow them
 * out:     what their texts mean
 * returns: 0, or -1 with the reason
 */
int import_options_check(struct import_options *options, int operands,
                         struct error *err);

#endif
