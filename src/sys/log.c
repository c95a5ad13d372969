#include "sys/log.h"

#include "proto/timestamp.h"

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A line being built; what does not fit is left out. */
struct line {
    char text[LOG_LINE_MAX];
    size_t len;
};

static void put(struct line *l, const char *text, size_t len)
{
    size_t room = sizeof l->text - 1 - l->len; /* one for the newline */

    if (len > room)
        len = room;
    memcpy(l->text + l->len, text, len);
    l->len += len;
}

static void put_text(struct line *l, const char *text)
{
    put(l, text, strlen(text));
}

static bool is_bare(const char *text)
{
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++)
        if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f ||
            *text == '"' || *text == '=' || *text == '\\')
            return false;
    return true;
}

static void put_quoted(struct line *l, const char *text)
{
    put_text(l, "\"");
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        char escaped[8];

        if (c == '"' || c == '\\')
            snprintf(escaped, sizeof escaped, "\\%c", c);
        else if (c < ' ' || c == 0x7f)
            snprintf(escaped, sizeof escaped, "\\x%02x", c);
        else
            snprintf(escaped, sizeof escaped, "%c", c);
        put_text(l, escaped);
    }
    put_text(l, "\"");
}

static void put_field(struct line *l, const struct log_field *field)
{
    char number[32];

    put_text(l, " ");
    put_text(l, field->name);
    if (field->text == field->name)
        return;
    put_text(l, "=");
    if (field->text == NULL) {
        snprintf(number, sizeof number, "%lld", (long long)field->number);
        put_text(l, number);
    } else if (is_bare(field->text)) {
        put_text(l, field->text);
    } else {
        put_quoted(l, field->text);
    }
}

static void put_time(struct line *l)
{
    char text[TIMESTAMP_TEXT_SIZE];

    timestamp_format(time(NULL), text);
    put_text(l, "time=");
    put_text(l, text);
}

void log_write(enum log_level level, const char *event,
               const struct log_field *fields)
{
    static const char *const levels[] = {"info", "warning", "error"};
    struct line l = {.len = 0};

    put_time(&l);
    put_text(&l, " level=");
    put_text(&l, levels[level]);
    put_text(&l, " event=");
    put_text(&l, event);
    for (; fields->name != NULL; fields++)
        put_field(&l, fields);
    l.text[l.len++] = '\n';
    /* A reader that has stopped reading must not stop the server. */
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&out, 1, 0) != 1 || (out.revents & POLLOUT) == 0)
        return;
    ssize_t written = write(STDERR_FILENO, l.text, l.len);
    (void)written; /* there is nobody else to tell */
}
