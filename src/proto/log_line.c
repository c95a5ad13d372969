#include "proto/log_line.h"

#include "proto/json_write.h"
#include "proto/timestamp.h"
#include "proto/utf8.h"

#include <inttypes.h>
#include <stdio.h>

enum { END_LEN = 2 /* of the end: a brace, the newline */ };

struct writer {
    char *out;
    size_t len;
    bool is_json;
    bool is_full; /* something has not been written */
};

static void put(struct writer *w, const void *text, size_t len)
{
    if (len > LOG_LINE_MAX - END_LEN - w->len) {
        w->is_full = true;
        return;
    }
    memcpy(w->out + w->len, text, len);
    w->len += len;
}

static void put_text(struct writer *w, const char *text)
{
    put(w, text, strlen(text));
}

static void put_name(struct writer *w, const char *name)
{
    if (w->len > 0)
        put_text(w, w->is_json ? "," : " ");
    if (w->is_json)
        put_text(w, w->len == 0 ? "{\"" : "\"");
    put_text(w, name);
    put_text(w, w->is_json ? "\":" : "=");
}

static bool is_bare(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return text.len > 0;
}

static void put_value(struct writer *w, struct span text)
{
    char string[JSON_STRING_MAX(LOG_VALUE_MAX)];

    text.len = utf8_cut(text, LOG_VALUE_MAX);
    if (!w->is_json && is_bare(text))
        put(w, text.ptr, text.len);
    else
        put(w, string, json_write_string(text, string));
}

static void put_number(struct writer *w, int64_t number)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, number);
    put_text(w, text);
}

/* The whole field or nothing of it. */
static void put_field(struct writer *w, const struct log_field *field)
{
    size_t before = w->len;

    w->is_full = false;
    if (field->is_word && !w->is_json)
        put_text(w, " ");
    else
        put_name(w, field->name);
    if (field->text.ptr == NULL)
        put_number(w, field->number);
    else
        put_value(w, field->text);
    if (w->is_full)
        w->len = before;
}

static void put_time(struct writer *w, int64_t utc_ms)
{
    char text[TIMESTAMP_TEXT_SIZE + 4];

    timestamp_format(utc_ms / 1000, text);
    /* In place of the Z. */
    snprintf(text + TIMESTAMP_TEXT_SIZE - 2, 6, ".%03uZ",
             (unsigned)(utc_ms % 1000));
    put_field(w, &LOG_TEXT("time", text));
}

size_t log_line_format(const struct log_line *line, enum log_format format,
                       char out[LOG_LINE_MAX])
{
    struct writer w = {.out = out, .is_json = format == LOG_JSON};

    put_time(&w, line->utc_ms);
    if (line->level != NULL)
        put_field(&w, &LOG_TEXT("level", line->level));
    put_field(&w, &LOG_TEXT("event", line->event));
    for (const struct log_field *f = line->fields; f->name != NULL; f++)
        put_field(&w, f);
    if (w.is_json)
        out[w.len++] = '}';
    out[w.len++] = '\n';
    return w.len;
}
