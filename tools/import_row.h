/*
 * What the rows of an import mean: the header line names the columns, every
 * other row becomes one token. Pure: no files, no allocation.
 */
#ifndef TOOLS_IMPORT_ROW_H
#define TOOLS_IMPORT_ROW_H

#include "proto/csv.h"
#include "proto/token.h"

/* Bytes of the longest row. */
enum { IMPORT_ROW_CAP = 64 << 10 };

enum import_column {
    IMPORT_TOKEN,
    IMPORT_TOKEN_SHA256, /* in place of the token, as an export has it */
    IMPORT_USERNAME,
    IMPORT_CREATED_AT,
    IMPORT_EXPIRES_AT,
    IMPORT_NOT_BEFORE,
    IMPORT_LAST_USED_AT,
    IMPORT_IS_REVOKED,
    IMPORT_COLUMNS
};

/* Which field of a row holds which column. */
struct import_header {
    int field[IMPORT_COLUMNS];   /* 0-based, or -1: not in the file */
    enum import_column token;    /* IMPORT_TOKEN or IMPORT_TOKEN_SHA256 */
    size_t field_count;          /* of the header, and so of every row */
    bool is_used[CSV_FIELD_MAX]; /* fields that are not ignored */
    int zone_s; /* the caller's: seconds east of UTC, for times without zone */
};

/* Why a row is refused. It holds nothing of the row's content. */
struct import_fault {
    uint64_t line;      /* 1-based */
    uint64_t column;    /* byte in the line, 1-based */
    const char *name;   /* static: the CSV's column, or NULL for the row */
    const char *reason; /* static: a phrase for a person */
    uint64_t other;     /* line to name after the reason, or 0 */
};

/* One token, as the store takes it. */
struct import_row {
    uint8_t key[TOKEN_KEY_LEN];
    struct token_record record; /* record.row is 0 */
    int64_t last_used;          /* UTC seconds; 0 = never */
};

/* What a column is called in the header line; static. */
const char *import_column_name(enum import_column column);

/*
 * Find the columns. Names are matched as they are, case included; unknown ones
 * are ignored.
 * in:      c holds the first row
 * out:     *header, its zone_s excepted; *fault when false
 * returns: false when a required column is missing, a known one is there
 *          twice, or both token and token_sha256 are
 */
bool import_header_read(struct import_header *header, const struct csv *c,
                        struct import_fault *fault);

/*
 * Read a row. Of a PostgreSQL NULL (empty without quotes) an optional column
 * becomes unknown, never or false; an empty text in quotes is an error there.
 * -infinity is as NULL, but an expiry becomes the earliest time there is;
 * infinity is an expiry only: never.
 * in:      c holds the row
 * out:     *row when true, *fault when false: the first thing wrong with it
 */
bool import_row_read(const struct import_header *header, const struct csv *c,
                     struct import_row *row, struct import_fault *fault);

#endif
