#include "app/metrics_page.h"

#include "proto/prometheus.h"
#include "sys/clock.h"
#include "versions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct metrics_page {
    const struct metrics *metrics;
    struct lobby *lobby;
    const struct server *server;
    int64_t started; /* UTC seconds */
    int memory_fd;   /* of /proc/self/statm, or -1 */
    struct prometheus out;
    struct buf buf;
    uint8_t mem[METRICS_PAGE_MAX];
};

/* --- The parts --- */

static void put_family(struct prometheus *p, const char *name, const char *type,
                       const char *help, uint64_t value)
{
    prometheus_family(p, name, type, help);
    prometheus_value(p, value);
}

/* Of counters that stand in a row, by the value of one label. */
struct named {
    const char *name;
    uint64_t value;
};

static void put_named(struct prometheus *p, const char *label,
                      const struct named *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        prometheus_labelled(p, label, values[i].name, values[i].value);
}

static void put_reasons(struct prometheus *p, const struct metrics_reasons *r)
{
    for (size_t i = 0; i < r->used; i++)
        prometheus_labelled(p, "reason", r->text[i], r->count[i]);
}

static void put_build(struct prometheus *p)
{
    prometheus_family(p, "openchampps_build_info", "gauge",
                      "The version, as a label; always 1.");
    prometheus_labelled(p, "version", OPENCHAMPPS_VERSION, 1);
}

static void put_connections(const struct metrics_page *page,
                            struct prometheus *p)
{
    const struct metrics *m = page->metrics;
    struct server_census census = server_census(page->server);
    const struct named states[] = {
        {"handshake", census.handshake},
        {"login", census.login},
        {"live", census.live},
        {"closing", census.closing},
    };
    const struct named handshakes[] = {
        {"full", census.handshakes.full},
        {"resumed", census.handshakes.resumed},
        {"failed", m->handshakes_failed},
    };

    prometheus_family(p, "openchampps_connections", "gauge",
                      "Connections by what they are doing.");
    put_named(p, "state", states, sizeof states / sizeof *states);
    put_family(p, "openchampps_connections_accepted_total", "counter",
               "Connections that came in.", m->accepted);
    prometheus_family(p, "openchampps_connections_refused_total", "counter",
                      "Of these, ended at once by a limit.");
    put_reasons(p, &m->refused);
    prometheus_family(p, "openchampps_connections_closed_total", "counter",
                      "Connections that ended, by reason.");
    put_reasons(p, &m->closed);
    prometheus_family(p, "openchampps_tls_handshakes_total", "counter",
                      "TLS handshakes by result.");
    put_named(p, "result", handshakes, sizeof handshakes / sizeof *handshakes);
    if (census.cert_not_after > 0)
        put_family(p, "openchampps_certificate_end_timestamp_seconds", "gauge",
                   "When the served certificate ends, seconds since 1970.",
                   (uint64_t)census.cert_not_after);
    put_family(p, "openchampps_received_bytes_total", "counter",
               "Bytes from sockets.", census.received);
    put_family(p, "openchampps_sent_bytes_total", "counter",
               "Bytes to sockets.", census.sent);
}

static void put_logins(const struct metrics *m, struct prometheus *p)
{
    static const char *const names[METRICS_LOGINS] = {
        "success", "invalid", "malformed", "damaged", "failed",
    };

    prometheus_family(p, "openchampps_logins_total", "counter",
                      "token_auth messages by result.");
    for (size_t i = 0; i < METRICS_LOGINS; i++)
        prometheus_labelled(p, "result", names[i], m->logins[i]);
    prometheus_family(
        p, "openchampps_login_seconds", "histogram",
        "From a valid token_auth to its answer, commit included.");
    prometheus_histogram(p, &m->login_us, 6);
    prometheus_family(p, "openchampps_commit_seconds", "histogram",
                      "Time that a commit took.");
    prometheus_histogram(p, &m->commit_us, 6);
    prometheus_family(p, "openchampps_commit_touches", "histogram",
                      "Last uses in one commit.");
    prometheus_histogram(p, &m->commit_touches, 0);
    put_family(p, "openchampps_commits_failed_total", "counter",
               "Commits that failed; their last uses are queued.",
               m->commits_failed);
}

static void put_store(const struct metrics_page *page, struct prometheus *p)
{
    struct lobby_gauges gauges = lobby_gauges(page->lobby);

    put_family(p, "openchampps_ready", "gauge", "As GET /ready says.",
               gauges.is_ready);
    put_family(p, "openchampps_touches_dropped_total", "counter",
               "Last uses given up while commits failed.", gauges.dropped);
    put_family(p, "openchampps_journal_touches", "gauge",
               "Last uses in the journal, about.", gauges.journal_len);
    put_family(p, "openchampps_store_used_bytes", "gauge",
               "Bytes of the store's file in use.", gauges.store.used);
    put_family(p, "openchampps_store_max_bytes", "gauge",
               "Bytes that it may have (--map-size).", gauges.store.max);
}

/* The second number of /proc/self/statm: resident pages. */
static uint64_t resident_bytes(const struct metrics_page *page)
{
    char text[128];
    ssize_t n = pread(page->memory_fd, text, sizeof text - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *second = strchr(text, ' ');
    return second == NULL
               ? 0
               : strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void put_process(const struct metrics_page *page, struct prometheus *p)
{
    put_family(p, "process_start_time_seconds", "gauge",
               "When it started, seconds since 1970.", (uint64_t)page->started);
    if (page->memory_fd >= 0)
        put_family(p, "process_resident_memory_bytes", "gauge",
                   "Resident memory.", resident_bytes(page));
}

/* --- The page --- */

static struct span document(void *ctx, struct span path)
{
    struct metrics_page *page = ctx;
    struct prometheus *p = &page->out;

    if (!span_equals(path, span_of("/metrics")))
        return (struct span){0};
    buf_init(&page->buf, page->mem, sizeof page->mem);
    *p = (struct prometheus){.out = &page->buf};
    put_build(p);
    put_connections(page, p);
    put_logins(page->metrics, p);
    put_store(page, p);
    put_process(page, p);
    if (p->is_full)
        return (struct span){0};
    return (struct span){buf_peek(&page->buf), buf_len(&page->buf)};
}

/* There is no WebSocket here. */
static void on_message(void *ctx, struct session *s, enum ws_opcode opcode,
                       struct span payload)
{
    (void)ctx;
    (void)opcode;
    (void)payload;
    session_fail(s, WS_CLOSE_POLICY, "no messages here");
}

static const char *unready_reason(void *ctx)
{
    struct metrics_page *page = ctx;
    struct session_app lobby = lobby_app(page->lobby);

    return lobby.unready_reason(lobby.ctx);
}

struct session_app metrics_page_app(struct metrics_page *page)
{
    return (struct session_app){
        .ctx = page,
        .on_message = on_message,
        .unready_reason = unready_reason,
        .document = document,
        .document_type = "text/plain; version=0.0.4; charset=utf-8",
    };
}

struct metrics_page *metrics_page_new(const struct metrics *metrics,
                                      struct error *err)
{
    struct metrics_page *page = calloc(1, sizeof *page);

    if (page == NULL) {
        error_set(err, "metrics: out of memory");
        return NULL;
    }
    page->metrics = metrics;
    page->started = clock_utc_s();
    page->memory_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    return page;
}

void metrics_page_free(struct metrics_page *page)
{
    if (page == NULL)
        return;
    if (page->memory_fd >= 0)
        close(page->memory_fd);
    free(page);
}

void metrics_page_watch(struct metrics_page *page, struct lobby *lobby,
                        const struct server *server)
{
    page->lobby = lobby;
    page->server = server;
}
