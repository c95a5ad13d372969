#include "tools/import_progress.h"

#include "sys/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PAUSE_MS = 100, BAR_LEN = 20 };

void import_progress_begin(struct import_progress *p, const char *doing,
                           uint64_t total)
{
    p->doing = doing;
    p->total = total;
    p->begun_ms = clock_monotonic_ms();
    p->shown_ms = p->begun_ms;
    p->is_on = isatty(STDERR_FILENO) == 1;
    p->is_shown = false;
}

static void format_bar(const struct import_progress *p, uint64_t done,
                       char out[BAR_LEN + 16])
{
    char bar[BAR_LEN + 1];
    uint64_t percent = done * 100 / p->total;

    memset(bar, '.', BAR_LEN);
    memset(bar, '#', (size_t)percent * BAR_LEN / 100);
    bar[BAR_LEN] = '\0';
    snprintf(out, BAR_LEN + 16, "[%s] %3" PRIu64 "%% ", bar, percent);
}

void import_progress_format(const struct import_progress *p, uint64_t done,
                            uint64_t rows, int64_t elapsed_ms,
                            char out[IMPORT_PROGRESS_LINE])
{
    uint64_t elapsed = elapsed_ms > 0 ? (uint64_t)elapsed_ms : 1;
    char bar[BAR_LEN + 16] = "", left[40] = "";

    if (p->total > 0) {
        done = done < p->total ? done : p->total;
        uint64_t left_s =
            done == 0 ? 0 : (p->total - done) * elapsed / done / 1000;
        format_bar(p, done, bar);
        snprintf(left, sizeof left, ", %" PRIu64 ":%02" PRIu64 " left",
                 left_s / 60, left_s % 60);
    }
    snprintf(out, IMPORT_PROGRESS_LINE,
             "%s %s%" PRIu64 " rows, %" PRIu64 "/s%s", p->doing, bar, rows,
             rows * 1000 / elapsed, left);
}

void import_progress_show(struct import_progress *p, uint64_t done,
                          uint64_t rows)
{
    char text[IMPORT_PROGRESS_LINE];

    if (!p->is_on)
        return;
    int64_t now = clock_monotonic_ms();
    if (now - p->shown_ms < PAUSE_MS)
        return;
    import_progress_format(p, done, rows, now - p->begun_ms, text);
    fprintf(stderr, "\r\033[K%s", text);
    p->shown_ms = now;
    p->is_shown = true;
}

void import_progress_clear(struct import_progress *p)
{
    if (p->is_shown)
        fputs("\r\033[K", stderr);
    p->is_shown = false;
}
