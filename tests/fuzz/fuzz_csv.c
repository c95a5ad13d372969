/*
 * proto/csv: chunking changes nothing; fields lie in the row buffer one after
 * the other; a row written out again reads as the same row.
 */
#include "proto/csv.h"

#include <stdlib.h>

enum { ROW_CAP = 256 };

/* All that a reading gave, reduced to numbers that must not depend on cuts. */
struct reading {
    uint64_t hash; /* FNV-1a */
    size_t rows, errors;
};

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void mix(struct reading *r, const void *data, size_t len)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < len; i++)
        r->hash = (r->hash ^ bytes[i]) * 0x100000001b3;
}

static void mix_number(struct reading *r, uint64_t number)
{
    mix(r, &number, sizeof number);
}

static size_t write_field(uint8_t *out, struct span text, bool quoted)
{
    size_t n = 0;

    if (!quoted) {
        if (text.len > 0)
            memcpy(out, text.ptr, text.len);
        return text.len;
    }
    out[n++] = '"';
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"')
            out[n++] = '"';
        out[n++] = text.ptr[i];
    }
    out[n++] = '"';
    return n;
}

/* Write the row as CSV, read it back, compare. */
static void check_round_trip(const struct csv *c)
{
    static const uint8_t mark[] = {0xEF, 0xBB, 0xBF};
    uint8_t text[sizeof mark + 2 * ROW_CAP + 3 * CSV_FIELD_MAX];
    uint8_t row[ROW_CAP];
    struct csv again;
    enum csv_event event;
    size_t n = sizeof mark;

    memcpy(text, mark, sizeof mark);
    for (size_t i = 0; i < c->field_count; i++) {
        n += write_field(text + n, c->fields[i].text, c->fields[i].quoted);
        text[n++] = i + 1 < c->field_count ? ',' : '\n';
    }
    csv_init(&again, row, sizeof row);
    must(csv_feed(&again, text, n, &event) == n && event == CSV_ROW);
    must(again.field_count == c->field_count);
    for (size_t i = 0; i < c->field_count; i++) {
        must(span_equals(again.fields[i].text, c->fields[i].text));
        must(again.fields[i].quoted == c->fields[i].quoted);
    }
    must(csv_finish(&again) == CSV_NONE);
}

static void note_row(struct reading *r, const struct csv *c)
{
    const uint8_t *place = c->row;

    must(c->field_count >= 1 && c->field_count <= CSV_FIELD_MAX);
    for (size_t i = 0; i < c->field_count; i++) {
        const struct csv_field *f = &c->fields[i];
        must(f->text.ptr == place);
        place += f->text.len;
        mix_number(r, f->text.len);
        mix(r, f->text.ptr, f->text.len);
        mix_number(r, f->line);
        mix_number(r, f->column);
        mix_number(r, f->quoted);
    }
    must((size_t)(place - c->row) <= ROW_CAP);
    check_round_trip(c);
    r->rows++;
}

static void note(struct reading *r, const struct csv *c, enum csv_event event)
{
    mix_number(r, event);
    if (event == CSV_ROW)
        note_row(r, c);
    if (event != CSV_ERROR)
        return;
    mix(r, c->reason, strlen(c->reason));
    mix_number(r, c->error_line);
    mix_number(r, c->error_column);
    r->errors++;
}

static struct reading read_all(const uint8_t *data, size_t size, size_t chunk)
{
    struct reading r = {.hash = 0xcbf29ce484222325};
    uint8_t row[ROW_CAP];
    struct csv c;

    csv_init(&c, row, sizeof row);
    for (size_t done = 0; done < size;) {
        size_t len = chunk < size - done ? chunk : size - done;
        enum csv_event event;
        size_t used = csv_feed(&c, data + done, len, &event);
        must(used <= len && (event != CSV_NONE || used == len));
        if (event != CSV_NONE)
            note(&r, &c, event);
        done += used;
    }
    note(&r, &c, csv_finish(&c));
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reading whole = read_all(data, size, size + 1);
    const size_t chunks[] = {1, 2, 3, 7, size / 2 + 1};

    must(whole.rows + whole.errors <= size);
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        struct reading cut = read_all(data, size, chunks[i]);
        must(cut.hash == whole.hash && cut.rows == whole.rows &&
             cut.errors == whole.errors);
    }
    return 0;
}
