/*
 * An echo server on the server's own HTTP, WebSocket, TLS and loop, so that
 * conformance suites can be run against them.
 */
#include "app/limits.h"
#include "app/options.h"
#include "app/server.h"
#include "sys/cert.h"
#include "sys/clock.h"

#include <stdio.h>

enum { CONNECTIONS = 64, MESSAGE_DEFAULT = 16 << 20, MESSAGE_TOP = 64 << 20 };

#define LISTEN_DEFAULT "127.0.0.1:9001"

struct echo_options {
    const char *data;
    struct option_list listen, listen_plain;
    uint64_t max_message;
};

static const struct option_spec specs[] = {
    {"data", "DIR", "directory for the certificate", OPTION_TEXT,
     offsetof(struct echo_options, data), 0, 0},
    {"listen", "ADDR:PORT", "where to serve wss://", OPTION_LIST,
     offsetof(struct echo_options, listen), 0, 0},
    {"listen-plain", "ADDR:PORT", "where to serve ws://", OPTION_LIST,
     offsetof(struct echo_options, listen_plain), 0, 0},
    {"max-message", "BYTES", "longest message", OPTION_BYTES,
     offsetof(struct echo_options, max_message), 1, MESSAGE_TOP},
};

static const struct option_table table = {
    "echo [--data DIR --listen ADDR:PORT] [--listen-plain ADDR:PORT]\n"
    "       any path; without an address ws://" LISTEN_DEFAULT,
    specs, sizeof specs / sizeof *specs};

static void echo_message(void *ctx, struct session *s, enum ws_opcode opcode,
                         struct span payload)
{
    (void)ctx;
    session_reply(s, opcode, payload, 0);
}

static const char *always_ready(void *ctx)
{
    (void)ctx;
    return NULL;
}

static struct cert *load_cert(void *ctx, enum cert_use use, struct error *err)
{
    const struct echo_options *options = ctx;
    const struct cert_source source = {
        .data_dir = options->data, .now = clock_utc_s(), .use = use};

    return cert_open(&source, err);
}

static struct server_options make_options(struct echo_options *echo,
                                          struct log *log)
{
    struct server_options o = {
        .log = log,
        .max_connections = CONNECTIONS,
        .peers = {.connections = CONNECTIONS},
        .load_cert = echo->listen.count > 0 ? load_cert : NULL,
        .cert_ctx = echo,
    };

    o.rules = (struct conn_rules){
        .session =
            {
                .app =
                    {
                        .on_message = echo_message,
                        .unready_reason = always_ready,
                        .reply_max = echo->max_message,
                        .accepts_binary = true,
                    },
                .header_max = LIMIT_HEADER,
                .message_max = echo->max_message,
                .output_max = LIMIT_OUTPUT,
                .handshake_ms = LIMIT_HANDSHAKE_MS,
                .ping_ms = LIMIT_PING_MS,
                .pong_ms = LIMIT_PONG_MS,
                .close_ms = LIMIT_CLOSE_MS,
            },
        .flush_ms = LIMIT_FLUSH_MS,
        .linger_ms = LIMIT_CLOSE_MS,
    };
    return o;
}

static int run(struct echo_options *echo)
{
    struct log log;
    struct server_options options = make_options(echo, &log);
    struct metrics metrics;
    struct server *server = NULL;
    struct error err;

    log_init(&log, LOG_LOGFMT);
    metrics_init(&metrics);
    options.metrics = &metrics;
    if (listeners_open(&options.listeners, &echo->listen, LISTENER_TLS, &err) ==
            0 &&
        listeners_open(&options.listeners, &echo->listen_plain, LISTENER_PLAIN,
                       &err) == 0)
        server = server_new(&options, &err);
    if (server == NULL) {
        fprintf(stderr, "echo: %s\n", err.text);
        return 1;
    }
    server_run(server);
    server_free(server);
    return 0;
}

int main(int argc, char **argv)
{
    struct echo_options echo = {.max_message = MESSAGE_DEFAULT};
    struct error err;
    int rest;

    switch (options_parse(&table, argc, argv, &echo, &rest, &err)) {
    case OPTIONS_HELP:
        return 0;
    case OPTIONS_BAD:
        return options_complain("echo", &err);
    case OPTIONS_OK:
        break;
    }
    if (echo.listen.count > 0 && echo.data == NULL) {
        error_set(&err, "--listen needs --data DIR");
        return options_complain("echo", &err);
    }
    if (echo.listen.count + echo.listen_plain.count == 0)
        echo.listen_plain =
            (struct option_list){.item = {LISTEN_DEFAULT}, .count = 1};
    return run(&echo);
}
