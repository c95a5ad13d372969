/*
 * tools/import_row: a file's first row as the header, the others as tokens.
 * What is taken is a whole record: it packs, unpacks to the same, and its
 * times are those of the store; what is refused has a place and a reason.
 */
#include "proto/utf8.h"
#include "tools/import_row.h"

#include <stdlib.h>

enum { ROW_CAP = 2048 };

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void check_fault(const struct import_fault *fault, const struct csv *c)
{
    must(fault->reason != NULL && fault->reason[0] != '\0');
    must(fault->line >= 1 && fault->column >= 1);
    must(fault->line >= c->fields[0].line && fault->other == 0);
}

static void check_record(const struct import_row *row)
{
    static const uint8_t secret[SIPHASH_KEY_LEN] = "for tests only";
    const struct token_record *r = &row->record;
    const struct token_seal seal = {row->key, secret};
    uint8_t packed[TOKEN_RECORD_MAX];
    struct token_record again;

    must(r->username_len >= 1 && r->row == 0);
    must(utf8_is_valid(
        (struct span){(const uint8_t *)r->username, r->username_len}));
    size_t len = token_encode(r, &seal, packed);
    must(len <= sizeof packed && token_decode(packed, len, &seal, &again));
    must(again.created == r->created && again.not_before == r->not_before);
    must(again.expires == r->expires && again.revoked == r->revoked);
    must(again.username_len == r->username_len);
    must(memcmp(again.username, r->username, r->username_len) == 0);
}

static bool read_header(struct import_header *header, const struct csv *c)
{
    struct import_fault fault;

    if (!import_header_read(header, c, &fault)) {
        check_fault(&fault, c);
        return false;
    }
    must(header->field_count == c->field_count);
    for (int i = 0; i < IMPORT_COLUMNS; i++)
        must(header->field[i] < (int)c->field_count);
    must(header->field[header->token] >= 0);
    must(header->field[IMPORT_TOKEN] < 0 ||
         header->field[IMPORT_TOKEN_SHA256] < 0);
    must(header->field[IMPORT_USERNAME] >= 0);
    return true;
}

static void read_row(const struct import_header *header, const struct csv *c)
{
    struct import_fault fault;
    struct import_row row;

    if (import_row_read(header, c, &row, &fault))
        check_record(&row);
    else
        check_fault(&fault, c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *mem = malloc(ROW_CAP);
    struct import_header header = {.zone_s = -12600};
    bool has_header = false;
    struct csv c;

    must(mem != NULL);
    csv_init(&c, mem, ROW_CAP);
    for (size_t done = 0; done <= size;) {
        enum csv_event event = CSV_NONE;
        bool is_end = done == size;
        done += is_end ? 1 : csv_feed(&c, data + done, size - done, &event);
        if (is_end)
            event = csv_finish(&c);
        if (event != CSV_ROW)
            continue;
        if (has_header)
            read_row(&header, &c);
        else if (!read_header(&header, &c))
            break;
        has_header = true;
    }
    free(mem);
    return 0;
}
