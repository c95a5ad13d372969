#include "tools/counts.h"

#include "tools/print.h"

int counts_print(const struct store_counts *counts, bool is_json,
                 struct error *err)
{
    static const struct print_field fields[] = {
        {"tokens", PRINT_NUMBER, 0},          {"expired", PRINT_NUMBER, 0},
        {"revoked", PRINT_NUMBER, 0},         {"last_uses", PRINT_NUMBER, 0},
        {"journal_records", PRINT_NUMBER, 0}, {"touches", PRINT_NUMBER, 0},
        {"pages", PRINT_NUMBER, 0},           {"free_pages", PRINT_NUMBER, 0},
        {"bytes", PRINT_NUMBER, 0},           {"staged", PRINT_NUMBER, 0},
        {"damaged", PRINT_NUMBER, 0},
    };
    const struct print_value values[] = {
        PRINT_INTEGER(counts->tokens),
        PRINT_INTEGER(counts->expired),
        PRINT_INTEGER(counts->revoked),
        PRINT_INTEGER(counts->last_uses),
        PRINT_INTEGER(counts->journal_records),
        PRINT_INTEGER(counts->touches),
        PRINT_INTEGER(counts->pages),
        PRINT_INTEGER(counts->free_pages),
        PRINT_INTEGER(counts->bytes),
        PRINT_INTEGER(counts->staged),
        PRINT_INTEGER(counts->faults),
    };
    struct printer p = {fields, sizeof fields / sizeof *fields, is_json, false};

    print_record(&p, values);
    return print_finish(err);
}
