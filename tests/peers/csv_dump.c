/*
 * Prints what proto/csv reads from stdin as one JSON array a row, for
 * comparison with other readers. `null` is an empty field without quotes. An
 * error prints {"line": …, "column": …, "reason": …}. argv[1]: bytes to feed at
 * once.
 */
#include "proto/csv.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROW_CAP = 1 << 16, INPUT_CAP = 1 << 20 };

static void print_text(struct span text)
{
    putchar('"');
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < ' ' || text.ptr[i] == '"' || text.ptr[i] == '\\')
            printf("\\u%04x", text.ptr[i]);
        else
            putchar(text.ptr[i]);
    putchar('"');
}

static void print_event(const struct csv *c, enum csv_event event)
{
    if (event == CSV_ERROR)
        printf("{\"line\": %llu, \"column\": %llu, \"reason\": \"%s\"}\n",
               (unsigned long long)c->error_line,
               (unsigned long long)c->error_column, c->reason);
    if (event != CSV_ROW)
        return;
    for (size_t i = 0; i < c->field_count; i++) {
        putchar(i == 0 ? '[' : ',');
        if (c->fields[i].text.len == 0 && !c->fields[i].quoted)
            printf("null");
        else
            print_text(c->fields[i].text);
    }
    printf("]\n");
}

int main(int argc, char **argv)
{
    static uint8_t in[INPUT_CAP], row[ROW_CAP];
    size_t chunk = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
    size_t len = fread(in, 1, sizeof in, stdin);
    struct csv c;

    csv_init(&c, row, sizeof row);
    for (size_t done = 0; done < len;) {
        size_t n = chunk < len - done ? chunk : len - done;
        enum csv_event event;
        done += csv_feed(&c, in + done, n, &event);
        print_event(&c, event);
    }
    print_event(&c, csv_finish(&c));
    return 0;
}
