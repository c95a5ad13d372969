/*
 * What is wrong with an import's file: the first faults in the order of their
 * lines, and how many there are in all.
 */
#ifndef TOOLS_IMPORT_FAULTS_H
#define TOOLS_IMPORT_FAULTS_H

#include "tools/import_row.h"

#include <stdio.h>

struct import_faults {
    struct import_fault *kept; /* by line and column */
    size_t kept_count;
    size_t max;     /* that are kept */
    uint64_t count; /* all of them */
};

/*
 * Start with none; max of them will be kept.
 * owns:    release with import_faults_fini
 * returns: false when there is no memory
 */
bool import_faults_init(struct import_faults *faults, size_t max);

/* Free all. */
void import_faults_fini(struct import_faults *faults);

/* Count a fault, and keep it if it is among the first. */
void import_faults_add(struct import_faults *faults,
                       const struct import_fault *fault);

/*
 * Print one line for each that is kept,
 *     FILE:LINE:COLUMN: column NAME: reason
 * and how many more there are.
 */
void import_faults_print(const struct import_faults *faults, const char *file,
                         FILE *out);

#endif
