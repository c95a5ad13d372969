#include "tools/import_faults.h"

#include <inttypes.h>
#include <stdlib.h>

bool import_faults_init(struct import_faults *faults, size_t max)
{
    faults->kept = malloc((max + 1) * sizeof *faults->kept);
    faults->kept_count = 0;
    faults->max = max;
    faults->count = 0;
    return faults->kept != NULL;
}

void import_faults_fini(struct import_faults *faults)
{
    free(faults->kept);
    faults->kept = NULL;
}

static bool is_before(const struct import_fault *a,
                      const struct import_fault *b)
{
    return a->line < b->line || (a->line == b->line && a->column < b->column);
}

void import_faults_add(struct import_faults *faults,
                       const struct import_fault *fault)
{
    size_t place = faults->kept_count;

    faults->count++;
    while (place > 0 && is_before(fault, &faults->kept[place - 1]))
        place--;
    if (place == faults->max)
        return;
    if (faults->kept_count < faults->max)
        faults->kept_count++;
    memmove(&faults->kept[place + 1], &faults->kept[place],
            (faults->kept_count - 1 - place) * sizeof *faults->kept);
    faults->kept[place] = *fault;
}

void import_faults_print(const struct import_faults *faults, const char *file,
                         FILE *out)
{
    for (size_t i = 0; i < faults->kept_count; i++) {
        const struct import_fault *f = &faults->kept[i];
        fprintf(out, "%s:%" PRIu64 ":%" PRIu64 ": ", file, f->line, f->column);
        if (f->name != NULL)
            fprintf(out, "column %s: ", f->name);
        fputs(f->reason, out);
        if (f->other != 0)
            fprintf(out, " %" PRIu64, f->other);
        fputc('\n', out);
    }
    if (faults->count > faults->kept_count)
        fprintf(out, "… and %" PRIu64 " more\n",
                faults->count - faults->kept_count);
}
