#include "proto/csv.h"

#include "base/bytes.h"

/* Bytes that end a run of plain field content. */
static const bool plain_stop[256] = {
    ['\0'] = true, ['\n'] = true, ['\r'] = true, ['"'] = true, [','] = true,
};

/* Bytes that end a run inside quotes. */
static const bool quoted_stop[256] = {
    ['\0'] = true,
    ['\n'] = true,
    ['\r'] = true,
    ['"'] = true,
};

static const uint8_t bom[3] = {0xEF, 0xBB, 0xBF};

void csv_init(struct csv *c, uint8_t *row, size_t cap)
{
    memset(c, 0, sizeof *c);
    c->row = row;
    c->row_cap = cap;
    c->state = CSV_BOM;
    c->row_line = 1;
    c->line = 1;
    c->column = 1;
}

static enum csv_event fail_at(struct csv *c, const char *reason, uint64_t line,
                              uint64_t column)
{
    c->reason = reason;
    c->error_line = line;
    c->error_column = column;
    c->state = CSV_SKIP;
    return CSV_ERROR;
}

static enum csv_event fail(struct csv *c, const char *reason)
{
    return fail_at(c, reason, c->line, c->column);
}

/* Placed where the open field starts. */
static enum csv_event fail_field(struct csv *c, const char *reason)
{
    const struct csv_field *field = &c->fields[c->field_count];

    return fail_at(c, reason, field->line, field->column);
}

static enum csv_event fail_long(struct csv *c)
{
    return fail_field(c, "row too long (is a closing quote missing?)");
}

/* Add to the open field. */
static enum csv_event add_bytes(struct csv *c, const uint8_t *in, size_t len)
{
    if (len > c->row_cap - c->row_len)
        return fail_long(c);
    memcpy(c->row + c->row_len, in, len);
    c->row_len += len;
    c->column += len;
    return CSV_NONE;
}

static enum csv_event begin_field(struct csv *c)
{
    if (c->field_count == CSV_FIELD_MAX)
        return fail(c, "too many fields in one row");
    c->fields[c->field_count] = (struct csv_field){
        .text = {c->row + c->row_len, 0},
        .line = c->line,
        .column = c->column,
    };
    c->state = CSV_PLAIN;
    return CSV_NONE;
}

static void end_field(struct csv *c)
{
    struct csv_field *field = &c->fields[c->field_count++];

    field->text.len = (size_t)(c->row + c->row_len - field->text.ptr);
    c->state = CSV_FIELD;
}

static enum csv_event end_row(struct csv *c)
{
    end_field(c);
    c->state = CSV_START;
    return CSV_ROW;
}

/* Step over one CR or LF. The CR of a CR LF has counted the line already. */
static void pass_newline(struct csv *c, uint8_t byte)
{
    if (byte == '\r' || !c->after_cr)
        c->line++;
    c->after_cr = byte == '\r';
    c->column = 1;
}

/* 0x80 in the first byte that is zero, and perhaps in some after it. */
static uint64_t find_zero(uint64_t bytes)
{
    return (bytes - each_byte(1)) & ~bytes & each_byte(0x80);
}

/* 0x80 in the first byte that may be in a stop set, if one may. */
static uint64_t find_stop(uint64_t text)
{
    uint64_t is_control =
        (text - each_byte('\r' + 1)) & ~text & each_byte(0x80);

    return is_control | find_zero(text ^ each_byte('"')) |
           find_zero(text ^ each_byte(','));
}

/*
 * Add to the open field the run at in[0..len) that holds no byte of the stop
 * set. Fields are short: copied in one pass with the search, eight bytes at
 * once where there is room for as many.
 * out: *run bytes added
 */
static enum csv_event add_run(struct csv *c, const bool stop[256],
                              const uint8_t *in, size_t len, size_t *run)
{
    size_t room = c->row_cap - c->row_len, n = 0;
    size_t end = len < room ? len : room;
    uint8_t *out = c->row + c->row_len;

    while (n < end) {
        if (end - n >= 8) {
            uint64_t text = load_le64(in + n), stops = find_stop(text);
            store_le64(out + n, text);
            if (stops == 0) {
                n += 8;
                continue;
            }
            n += (size_t)__builtin_ctzll(stops) / 8;
        }
        if (stop[in[n]])
            break;
        out[n] = in[n];
        n++;
    }
    *run = n;
    c->row_len += n;
    c->column += n;
    return n == room && n < len && !stop[in[n]] ? fail_long(c) : CSV_NONE;
}

/*
 * The byte that ends a field or stands where only an end may stand.
 * out: *used is 1 unless the byte is at fault.
 */
static enum csv_event pass_end(struct csv *c, uint8_t byte, size_t *used)
{
    *used = 1;
    switch (byte) {
    case ',':
        c->column++;
        end_field(c);
        return CSV_NONE;
    case '\r':
    case '\n':
        pass_newline(c, byte);
        return end_row(c);
    default:
        *used = 0;
        if (byte == '\0')
            return fail(c, "NUL byte");
        if (c->state == CSV_PLAIN)
            return fail(c, "quote inside an unquoted field");
        return fail(c, "text after a closing quote");
    }
}

/*
 * One step in each state. in[0..len) is not empty.
 * out:     *used bytes consumed, 0..len
 * returns: the event that this step completes, or CSV_NONE
 */
static enum csv_event step_bom(struct csv *c, const uint8_t *in, size_t *used)
{
    if (in[0] == bom[c->bom_len]) {
        *used = 1;
        c->bom_len++;
        if (c->bom_len == sizeof bom)
            c->state = CSV_START;
        return CSV_NONE;
    }
    *used = 0;
    c->state = CSV_START;
    if (c->bom_len == 0)
        return CSV_NONE;
    /* It was no mark: what matched so far is the first field's text. */
    begin_field(c);
    return add_bytes(c, bom, c->bom_len);
}

static enum csv_event step_start(struct csv *c, const uint8_t *in, size_t *used)
{
    if (in[0] == '\n' || in[0] == '\r') {
        pass_newline(c, in[0]);
        *used = 1;
        return CSV_NONE;
    }
    c->after_cr = false;
    c->row_offset = c->offset;
    c->row_line = c->line;
    c->row_len = 0;
    c->field_count = 0;
    c->state = CSV_FIELD;
    *used = 0;
    return CSV_NONE;
}

static enum csv_event step_field(struct csv *c, const uint8_t *in, size_t *used)
{
    enum csv_event event = begin_field(c);

    *used = 0;
    if (event != CSV_NONE || in[0] != '"')
        return event;
    c->fields[c->field_count].quoted = true;
    c->state = CSV_QUOTED;
    c->column++;
    *used = 1;
    return CSV_NONE;
}

static enum csv_event step_plain(struct csv *c, const uint8_t *in, size_t len,
                                 size_t *used)
{
    size_t run;
    enum csv_event event = add_run(c, plain_stop, in, len, &run);

    *used = run;
    if (event != CSV_NONE || run == len)
        return event;
    event = pass_end(c, in[run], used);
    *used += run;
    return event;
}

static enum csv_event step_quoted(struct csv *c, const uint8_t *in, size_t len,
                                  size_t *used)
{
    size_t run;
    enum csv_event event = add_run(c, quoted_stop, in, len, &run);

    *used = run;
    if (run > 0)
        c->after_cr = false;
    if (event != CSV_NONE || run == len)
        return event;
    if (in[run] == '\0')
        return fail(c, "NUL byte");
    if (in[run] == '"') {
        *used = run + 1;
        c->column++;
        c->after_cr = false;
        c->state = CSV_UNQUOTED;
        return CSV_NONE;
    }
    event = add_bytes(c, in + run, 1);
    if (event != CSV_NONE)
        return event;
    *used = run + 1;
    pass_newline(c, in[run]);
    return CSV_NONE;
}

static enum csv_event step_unquoted(struct csv *c, const uint8_t *in,
                                    size_t *used)
{
    if (in[0] != '"')
        return pass_end(c, in[0], used);
    *used = 1;
    c->state = CSV_QUOTED;
    return add_bytes(c, in, 1);
}

static enum csv_event step_skip(struct csv *c, const uint8_t *in, size_t len,
                                size_t *used)
{
    size_t n = 0;

    while (n < len && in[n] != '\n' && in[n] != '\r')
        n++;
    *used = n;
    if (n > 0)
        c->after_cr = false;
    if (n == len)
        return CSV_NONE;
    pass_newline(c, in[n]);
    c->state = CSV_START;
    *used = n + 1;
    return CSV_NONE;
}

static enum csv_event step(struct csv *c, const uint8_t *in, size_t len,
                           size_t *used)
{
    switch (c->state) {
    case CSV_BOM:
        return step_bom(c, in, used);
    case CSV_START:
        return step_start(c, in, used);
    case CSV_FIELD:
        return step_field(c, in, used);
    case CSV_PLAIN:
        return step_plain(c, in, len, used);
    case CSV_QUOTED:
        return step_quoted(c, in, len, used);
    case CSV_UNQUOTED:
        return step_unquoted(c, in, used);
    default:
        return step_skip(c, in, len, used);
    }
}

size_t csv_feed(struct csv *c, const uint8_t *in, size_t len,
                enum csv_event *event)
{
    size_t done = 0;

    *event = CSV_NONE;
    while (done < len && *event == CSV_NONE) {
        size_t used;
        *event = step(c, in + done, len - done, &used);
        done += used;
        c->offset += used;
    }
    return done;
}

enum csv_event csv_finish(struct csv *c)
{
    enum csv_event event = CSV_NONE;

    if (c->state == CSV_BOM && c->bom_len > 0) {
        begin_field(c);
        event = add_bytes(c, bom, c->bom_len);
    }
    if (c->state == CSV_FIELD)
        event = begin_field(c);
    if (event != CSV_NONE)
        return event;
    switch (c->state) {
    case CSV_PLAIN:
    case CSV_UNQUOTED:
        return end_row(c);
    case CSV_QUOTED:
        return fail_field(c, "unterminated quote");
    default:
        return CSV_NONE;
    }
}
