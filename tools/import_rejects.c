/*
 * A second reading of the input finds the rows again, by their lines. Where a
 * row ends is known when the next one begins.
 */
#include "tools/import_rejects.h"

#include "base/wipe.h"
#include "sys/file_io.h"
#include "sys/process.h"
#include "tools/import_row.h"

#include <errno.h>
#include <stdlib.h>

enum {
    FIRST_ROWS = 256,
    CHUNK_LEN = 64 << 10 /* bytes read at once */
};

struct copier {
    const struct import_rejects *rejects;
    const struct import_input *in;
    const char *path; /* for messages */
    int out;
    size_t rows;                  /* seen, the header among them */
    size_t found;                 /* rejected ones */
    uint64_t row_offset;          /* of the last row seen */
    uint64_t copy_from, copy_end; /* bytes to copy, not yet copied */
    struct csv csv;
    uint8_t row[IMPORT_ROW_CAP]; /* holds tokens, as do these */
    uint8_t chunk[CHUNK_LEN];
    uint8_t piece[CHUNK_LEN];
};

void import_rejects_init(struct import_rejects *rejects)
{
    memset(rejects, 0, sizeof *rejects);
}

void import_rejects_fini(struct import_rejects *rejects)
{
    free(rejects->lines);
    import_rejects_init(rejects);
}

bool import_rejects_add(struct import_rejects *rejects, uint64_t line)
{
    if (rejects->count == rejects->cap) {
        size_t cap = rejects->cap == 0 ? FIRST_ROWS : 2 * rejects->cap;
        struct sort_pair *lines = realloc(rejects->lines, cap * sizeof *lines);
        if (lines == NULL)
            return false;
        rejects->lines = lines;
        rejects->cap = cap;
    }
    rejects->lines[rejects->count++] = (struct sort_pair){.key = line};
    return true;
}

static bool sort_lines(struct import_rejects *rejects)
{
    struct sort_pair *spare = malloc(rejects->count * sizeof *spare);

    if (spare == NULL)
        return false;
    sort_pairs(rejects->lines, spare, rejects->count);
    free(spare);
    return true;
}

/* --- Copying --- */

static int copy_pending(struct copier *c, struct error *err)
{
    while (c->copy_from < c->copy_end) {
        uint64_t left = c->copy_end - c->copy_from;
        size_t len = left < CHUNK_LEN ? (size_t)left : CHUNK_LEN;
        ssize_t n =
            import_input_read_at(c->in, c->copy_from, c->piece, len, err);
        if (n < 0)
            return -1;
        if (n == 0)
            return error_set(err, "%s: changed while it was read", c->in->name);
        if (file_write_all(c->out, (struct span){c->piece, (size_t)n}) != 0)
            return error_set(err, "%s: %s", c->path, strerror(errno));
        c->copy_from += (uint64_t)n;
    }
    return 0;
}

/* Rows that follow each other are copied in one go. */
static int copy_bytes(struct copier *c, uint64_t from, uint64_t end,
                      struct error *err)
{
    if (from != c->copy_end) {
        if (copy_pending(c, err) != 0)
            return -1;
        c->copy_from = from;
    }
    c->copy_end = end;
    return 0;
}

/* The last row ends before this line, at this offset. */
static int end_row(struct copier *c, uint64_t line, uint64_t offset,
                   struct error *err)
{
    bool is_rejected =
        c->found < c->rejects->count && c->rejects->lines[c->found].key < line;

    if (c->rows > 1 && !is_rejected)
        return 0;
    c->found += is_rejected;
    return copy_bytes(c, c->row_offset, offset, err);
}

static int begin_row(struct copier *c, struct error *err)
{
    if (c->rows > 0 && end_row(c, c->csv.row_line, c->csv.row_offset, err) != 0)
        return -1;
    /* What stands before the header line (a byte order mark) belongs to it. */
    c->row_offset = c->rows++ == 0 ? 0 : c->csv.row_offset;
    return 0;
}

static int take_chunk(struct copier *c, size_t len, struct error *err)
{
    for (size_t done = 0; done < len;) {
        enum csv_event event;
        done += csv_feed(&c->csv, c->chunk + done, len - done, &event);
        if (event != CSV_NONE && begin_row(c, err) != 0)
            return -1;
    }
    return process_is_asked_to_end() ? error_set(err, "interrupted") : 0;
}

static int copy_rows(struct copier *c, struct error *err)
{
    uint64_t offset = 0;
    ssize_t n;

    while ((n = import_input_read_at(c->in, offset, c->chunk, CHUNK_LEN, err)) >
           0) {
        if (take_chunk(c, (size_t)n, err) != 0)
            return -1;
        offset += (uint64_t)n;
    }
    if (n < 0)
        return -1;
    if (csv_finish(&c->csv) != CSV_NONE && begin_row(c, err) != 0)
        return -1;
    if (end_row(c, UINT64_MAX, offset, err) != 0 || copy_pending(c, err) != 0)
        return -1;
    if (c->found == c->rejects->count)
        return 0;
    return error_set(err, "%s: changed while it was read", c->in->name);
}

static int write_draft(struct copier *c, struct error *err)
{
    struct file_draft draft;
    int rc = file_draft_begin(&draft, c->path, err);

    c->out = draft.fd;
    csv_init(&c->csv, c->row, sizeof c->row);
    if (rc == 0)
        rc = copy_rows(c, err);
    if (rc == 0)
        rc = file_draft_publish(&draft, c->path, err);
    file_draft_drop(&draft);
    return rc;
}

int import_rejects_write(struct import_rejects *rejects,
                         const struct import_input *in, const char *path,
                         struct error *err)
{
    struct copier *c = malloc(sizeof *c);

    if (c == NULL || !sort_lines(rejects)) {
        free(c);
        return error_set(err, "%s: out of memory", path);
    }
    c->rejects = rejects;
    c->in = in;
    c->path = path;
    c->rows = 0;
    c->found = 0;
    c->row_offset = 0;
    c->copy_from = 0;
    c->copy_end = 0;
    int rc = write_draft(c, err);
    wipe(c, sizeof *c);
    free(c);
    return rc;
}
