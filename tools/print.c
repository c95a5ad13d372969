#include "tools/print.h"

#include "proto/json_write.h"
#include "proto/timestamp.h"
#include "proto/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- For scripts --- */

enum { PIECE = 256 /* bytes of a text escaped at once */ };

static void put_json_text(struct span text)
{
    char out[JSON_STRING_MAX(PIECE)];

    putchar('"');
    while (text.len > 0) {
        struct span piece = {text.ptr, utf8_cut(text, PIECE)};
        size_t len = json_write_string(piece, out);
        fwrite(out + 1, 1, len - 2, stdout);
        text = (struct span){text.ptr + piece.len, text.len - piece.len};
    }
    putchar('"');
}

static void put_json_time(int64_t utc_s)
{
    char text[TIMESTAMP_TEXT_SIZE];

    timestamp_format(utc_s, text);
    printf("\"%s\"", text);
}

static bool is_none(const struct print_field *field,
                    const struct print_value *value)
{
    return (field->kind == PRINT_TEXT && value->text.ptr == NULL) ||
           (field->kind == PRINT_TIME && value->number == 0);
}

static void put_json_value(const struct print_field *field,
                           const struct print_value *value)
{
    if (is_none(field, value))
        fputs("null", stdout);
    else if (field->kind == PRINT_TEXT)
        put_json_text(value->text);
    else if (field->kind == PRINT_TIME)
        put_json_time(value->number);
    else if (field->kind == PRINT_YES_NO)
        fputs(value->number != 0 ? "true" : "false", stdout);
    else
        printf("%" PRId64, value->number);
}

static void put_json_object(const struct printer *p,
                            const struct print_value *values)
{
    for (size_t i = 0; i < p->count; i++) {
        printf("%s\"%s\":", i == 0 ? "{" : ",", p->fields[i].name);
        put_json_value(&p->fields[i], &values[i]);
    }
    puts("}");
}

/* --- For people --- */

int print_plain(FILE *to, struct span text)
{
    int characters = 0;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        /* U+0080 to U+009F are 0xc2 and the byte: controls as well. */
        bool is_control = c < ' ' || c == 0x7f ||
                          (c < 0xa0 && i > 0 && text.ptr[i - 1] == 0xc2);
        putc(is_control ? '?' : c, to);
        characters += (c & 0xc0) != 0x80;
    }
    return characters;
}

/* returns: characters */
static int put_plain_value(const struct print_field *field,
                           const struct print_value *value)
{
    char text[TIMESTAMP_TEXT_SIZE];

    if (is_none(field, value))
        return printf("-");
    if (field->kind == PRINT_TEXT)
        return print_plain(stdout, value->text);
    if (field->kind == PRINT_YES_NO)
        return printf("%s", value->number != 0 ? "yes" : "no");
    if (field->kind == PRINT_NUMBER)
        return printf("%" PRId64, value->number);
    timestamp_format(value->number, text);
    return printf("%s", text);
}

static void put_column(const struct printer *p, size_t i, int used)
{
    if (i + 1 == p->count) {
        putchar('\n');
        return;
    }
    do
        putchar(' ');
    while (++used <= p->fields[i].width);
}

static void put_header(const struct printer *p)
{
    for (size_t i = 0; i < p->count; i++)
        put_column(p, i, printf("%s", p->fields[i].name));
}

/* --- Both --- */

void print_row(struct printer *p, const struct print_value *values)
{
    if (p->is_json) {
        put_json_object(p, values);
        return;
    }
    if (!p->has_header)
        put_header(p);
    p->has_header = true;
    for (size_t i = 0; i < p->count; i++)
        put_column(p, i, put_plain_value(&p->fields[i], &values[i]));
}

void print_record(const struct printer *p, const struct print_value *values)
{
    if (p->is_json) {
        put_json_object(p, values);
        return;
    }
    for (size_t i = 0; i < p->count; i++) {
        printf("%s: ", p->fields[i].name);
        put_plain_value(&p->fields[i], &values[i]);
        putchar('\n');
    }
}

int print_finish(struct error *err)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return 0;
    return error_set(err, "cannot write: %s", strerror(errno));
}
