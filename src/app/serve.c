/*
 * Start-up in a fixed order: options, listeners, user, store, files given up,
 * audit file, committer, certificate, calls given up, loop. Whatever cannot be
 * had ends the start with one line and exit status 1.
 */
#include "app/serve.h"

#include "app/certificate.h"
#include "app/config.h"
#include "app/licenses.h"
#include "app/limits.h"
#include "app/lobby.h"
#include "app/metrics_page.h"
#include "app/server.h"
#include "sys/log.h"
#include "sys/notify.h"
#include "sys/passed.h"
#include "sys/sandbox.h"
#include "sys/user.h"
#include "versions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the server is made of; lives as long as it. */
struct appliance {
    struct config config;
    struct log log;
    struct metrics metrics;
    struct metrics_page *page;
    struct certificate certificate;
    struct notify notify;
    struct audit *audit;
    struct lobby *lobby;
};

/* --- Serving --- */

static struct server_options make_options(struct appliance *app)
{
    const struct config *config = &app->config;
    struct server_options options = {
        .log = &app->log,
        .metrics = &app->metrics,
        .notify = &app->notify,
        .rules =
            {
                .session =
                    {
                        .path = "/ws",
                        .header_max = config->max_header,
                        .message_max = config->max_message,
                        .output_max = config->max_output,
                        .failure_max = (unsigned)config->max_failures,
                        .handshake_ms = (int64_t)config->handshake_ms,
                        .auth_ms = (int64_t)config->auth_ms,
                        .ping_ms = (int64_t)config->ping_ms,
                        .pong_ms = (int64_t)config->pong_ms,
                        .close_ms = (int64_t)config->close_ms,
                        .origins = config->origins.item,
                        .origin_count = config->origins.count,
                    },
                .flush_ms = (int64_t)config->flush_ms,
                .linger_ms = (int64_t)config->close_ms,
            },
        .max_connections = config->max_connections,
        .peers =
            {
                .connections = config->max_connections,
                .address_connections = config->max_address,
                .address_failures = (unsigned)config->max_address_failures,
                .trust = config->trust,
            },
        .proxy_protocol = config->proxy_protocol,
        .metrics_rules =
            {
                .session =
                    {
                        .path = "", /* no WebSocket */
                        .header_max = LIMIT_HEADER,
                        .output_max = METRICS_PAGE_MAX,
                        .handshake_ms = LIMIT_HANDSHAKE_MS,
                        .close_ms = LIMIT_CLOSE_MS,
                    },
                .flush_ms = LIMIT_FLUSH_MS,
                .linger_ms = LIMIT_CLOSE_MS,
            },
        .load_cert = certificate_load,
        .cert_is_due = certificate_is_due,
        .cert_ctx = &app->certificate,
    };

    return options;
}

static int refuse(const struct error *err)
{
    fprintf(stderr, "openchampps: %s\n", err->text);
    return EXIT_REFUSED;
}

/* --- Sandbox --- */

/* Before there are files, so that they are this user's, and the key is read
 * as it will be read by a reload. */
static int become_user(const struct config *config, struct error *err)
{
    struct user user;

    if (config->user == NULL)
        return 0;
    if (user_parse(config->user, &user, err) != 0 ||
        user_become(&user, err) != 0)
        return -1;
    /* Other reasons are the store's to tell. */
    if (access(config->data_dir, W_OK | X_OK) == 0 || errno != EACCES)
        return 0;
    return error_set(err,
                     "data directory %.200s: user %u:%u cannot write to it; "
                     "run: chown -R %u:%u %.200s",
                     config->data_dir, user.uid, user.gid, user.uid, user.gid,
                     config->data_dir);
}

static int limit_files(const struct config *config, struct error *err)
{
    const struct sandbox_files files = {
        .data_dir = config->data_dir,
        .cert_file = config->cert_file,
        .key_file = config->key_file,
        .audit_file = config->audit_file,
    };

    return sandbox_limit_files(&files, err);
}

static void complain(struct log *log, const struct error *why)
{
    if (why != NULL)
        log_event(log, LOG_WARNING, "sandbox_incomplete",
                  LOG_TEXT("reason", why->text));
}

/* What the kernel lacks does not keep players out. NULL: it is in force. */
static void limit_calls(struct log *log, const struct error *no_landlock)
{
    struct error err, *no_seccomp = NULL;
    char user[32];

    snprintf(user, sizeof user, "%u:%u", geteuid(), getegid());
    if (sandbox_limit_calls(&err) != 0)
        no_seccomp = &err;
    log_event(log, LOG_INFO, "sandbox",
              LOG_TEXT("seccomp", no_seccomp == NULL ? "yes" : "no"),
              LOG_TEXT("landlock", no_landlock == NULL ? "yes" : "no"),
              LOG_TEXT("user", user));
    complain(log, no_landlock);
    complain(log, no_seccomp);
}

/* --- Start and end --- */

static int serve_lobby(struct appliance *app, struct server_options *options,
                       const struct error *no_landlock)
{
    const struct server_service service = lobby_service(app->lobby);
    struct error err;

    options->rules.session.app = lobby_app(app->lobby);
    options->metrics_rules.session.app = metrics_page_app(app->page);
    options->service = &service;
    struct server *server = server_new(options, &err);
    if (server == NULL)
        return refuse(&err);
    metrics_page_watch(app->page, app->lobby, server);
    limit_calls(&app->log, no_landlock);
    bool is_settled = server_run(server);
    /* Ending in order would wait for the disk, maybe without end. */
    if (!is_settled)
        _exit(EXIT_REFUSED);
    server_free(server);
    return EXIT_OK;
}

static int serve_store(struct appliance *app, struct server_options *options,
                       struct store *store)
{
    struct error err, no_landlock;
    bool has_landlock = limit_files(&app->config, &no_landlock) == 0;

    /* Held by Landlock: what cannot be opened now could not be later. */
    app->audit = audit_open(app->config.audit_file, &app->log, &err);
    if (app->audit == NULL) {
        store_close(store);
        return refuse(&err);
    }
    const struct lobby_rules rules = {
        .message_max = (size_t)app->config.max_message,
        .log = &app->log,
        .audit = app->audit,
        .metrics = &app->metrics,
    };
    app->lobby = lobby_new(store, &rules, &err);
    int status =
        app->lobby == NULL
            ? refuse(&err)
            : serve_lobby(app, options, has_landlock ? NULL : &no_landlock);
    lobby_free(app->lobby);
    audit_close(app->audit);
    return status;
}

static int open_listeners(struct listeners *l, const struct config *config,
                          struct error *err)
{
    static const struct option_list by_default = {.item = {LIMIT_LISTEN},
                                                  .count = 1};
    const struct option_list *tls =
        config->listen.count > 0 ? &config->listen : &by_default;

    if (listeners_open(l, tls, LISTENER_TLS, err) != 0 ||
        listeners_open(l, &config->listen_plain, LISTENER_PLAIN, err) != 0)
        return -1;
    return listeners_open(l, &config->metrics, LISTENER_METRICS, err);
}

static int take_listeners(struct listeners *l, const struct config *config,
                          struct error *err)
{
    struct passed passed;

    if (passed_read(&passed, err) != 0)
        return -1;
    if (passed.count == 0)
        return open_listeners(l, config, err);
    if (config->listen.count + config->listen_plain.count +
            config->metrics.count ==
        0)
        return listeners_take(l, &passed, config->plain_anywhere, err);
    return error_set(err, "sockets were passed on (LISTEN_FDS), so addresses "
                          "are not opened: leave out --listen, "
                          "--listen-plain and --metrics");
}

/* Who cannot be told is no reason to keep players out. */
static void open_notify(struct appliance *app)
{
    struct error err;

    if (notify_open(&app->notify, &err) != 0)
        log_event(&app->log, LOG_WARNING, "notify_failed",
                  LOG_TEXT("reason", err.text));
}

/* The addresses first: when one is taken, nothing has been written yet. */
static int start(struct appliance *app)
{
    const struct config *config = &app->config;
    struct server_options options = make_options(app);
    struct error err;

    umask(077);
    log_init(&app->log,
             strcmp(config->log_format, "json") == 0 ? LOG_JSON : LOG_LOGFMT);
    metrics_init(&app->metrics);
    if (certificate_init(&app->certificate, config, &app->log, &err) != 0 ||
        take_listeners(&options.listeners, config, &err) != 0)
        return refuse(&err);
    open_notify(app);
    if (become_user(config, &err) != 0 ||
        (app->page = metrics_page_new(&app->metrics, &err)) == NULL)
        return refuse(&err);
    struct store *store = store_open(config->data_dir, STORE_CREATE,
                                     (size_t)config->map_size, &err);
    if (store == NULL)
        return refuse(&err);
    int status = serve_store(app, &options, store);
    metrics_page_free(app->page);
    return status;
}

static int print_version(void)
{
    printf("openchampps " OPENCHAMPPS_VERSION "\nmusl " MUSL_VERSION
           "\nBearSSL " BEARSSL_VERSION "\nLMDB " LMDB_VERSION
           "\ncJSON " CJSON_VERSION "\n");
    return EXIT_OK;
}

int serve(int argc, char **argv)
{
    struct appliance app;
    struct error err;

    switch (config_parse(argc, argv, &app.config, &err)) {
    case OPTIONS_HELP:
        return EXIT_OK;
    case OPTIONS_BAD:
        return options_complain("", &err);
    case OPTIONS_OK:
        break;
    }
    if (app.config.wants_version)
        return print_version();
    if (app.config.wants_licenses)
        return fputs(licenses_text, stdout) < 0 ? EXIT_REFUSED : EXIT_OK;
    return start(&app);
}
