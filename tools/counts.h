/*
 * What a store or a backup holds, as verify, backup, compact and restore
 * answer it.
 */
#ifndef TOOLS_COUNTS_H
#define TOOLS_COUNTS_H

#include "sys/store_verify.h"

/* Print them all. returns: 0, or -1 with the reason: they were not written */
int counts_print(const struct store_counts *counts, bool is_json,
                 struct error *err);

#endif
