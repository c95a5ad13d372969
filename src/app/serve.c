/*
 * Start-up in a fixed order: options, store, certificate, listeners, loop.
 * Whatever cannot be had ends the start with one line and exit status 1.
 */
#include "app/serve.h"

#include "app/config.h"
#include "app/licenses.h"
#include "app/lobby.h"
#include "app/server.h"
#include "sys/cert.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "versions.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- Certificate --- */

static void log_cert(const struct cert *cert, const struct config *config)
{
    const uint8_t *fingerprint = cert_fingerprint(cert);
    char hex[2 * CERT_FINGERPRINT_LEN + 1];
    char ca[512];

    for (size_t i = 0; i < CERT_FINGERPRINT_LEN; i++)
        snprintf(hex + 2 * i, 3, "%02x", fingerprint[i]);
    log_event(LOG_INFO, "certificate", LOG_TEXT("sha256", hex));
    if (cert_warning(cert) != NULL)
        log_event(LOG_WARNING, "certificate_trouble",
                  LOG_TEXT("reason", cert_warning(cert)));
    if (!cert_was_created(cert))
        return;
    snprintf(ca, sizeof ca, "%s/tls/ca.pem", config->data_dir);
    log_event(LOG_INFO, "certificate_created", LOG_TEXT("ca", ca),
              LOG_TEXT("advice", "clients must trust this CA: import the file "
                                 "there, or use --cert and --key"));
}

static struct tls_server *load_tls(void *ctx, struct error *err)
{
    const struct config *config = ctx;
    const struct cert_source source = {
        .cert_file = config->cert_file,
        .key_file = config->key_file,
        .data_dir = config->data_dir,
        .hosts = config->hosts.item,
        .host_count = config->hosts.count,
        .now = clock_utc_s(),
    };
    struct cert *cert = cert_open(&source, err);

    if (cert == NULL)
        return NULL;
    log_cert(cert, config);
    return tls_server_new(cert, err);
}

/* --- Serving --- */

static struct server_options make_options(struct config *config)
{
    struct server_options options = {
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
        .load_tls = load_tls,
        .tls_ctx = config,
    };

    return options;
}

static int refuse(const struct error *err)
{
    fprintf(stderr, "openchampps: %s\n", err->text);
    return EXIT_REFUSED;
}

static int serve_lobby(struct server_options *options, struct lobby *lobby)
{
    const struct server_service service = lobby_service(lobby);
    struct error err;

    options->rules.session.app = lobby_app(lobby);
    options->service = &service;
    struct server *server = server_new(options, &err);
    if (server == NULL)
        return refuse(&err);
    bool is_settled = server_run(server);
    /* Ending in order would wait for the disk, maybe without end. */
    if (!is_settled)
        _exit(EXIT_REFUSED);
    server_free(server);
    return EXIT_OK;
}

/* The addresses first: when one is taken, nothing has been written yet. */
static int start(struct config *config)
{
    struct server_options options = make_options(config);
    struct error err;

    umask(077);
    if (listeners_open(&options.listeners, &config->listen, true, &err) != 0 ||
        listeners_open(&options.listeners, &config->listen_plain, false,
                       &err) != 0)
        return refuse(&err);
    struct store *store = store_open(config->data_dir, STORE_CREATE,
                                     (size_t)config->map_size, &err);
    if (store == NULL)
        return refuse(&err);
    struct lobby *lobby = lobby_new(store, (size_t)config->max_message, &err);
    if (lobby == NULL)
        return refuse(&err);
    int status = serve_lobby(&options, lobby);
    lobby_free(lobby);
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
    struct config config;
    struct error err;

    switch (config_parse(argc, argv, &config, &err)) {
    case OPTIONS_HELP:
        return EXIT_OK;
    case OPTIONS_BAD:
        return options_complain("", &err);
    case OPTIONS_OK:
        break;
    }
    if (config.wants_version)
        return print_version();
    if (config.wants_licenses)
        return fputs(licenses_text, stdout) < 0 ? EXIT_REFUSED : EXIT_OK;
    return start(&config);
}
