/*
 * What the operator asked the server to do: the command line and the
 * environment as one struct.
 */
#ifndef APP_CONFIG_H
#define APP_CONFIG_H

#include "app/options.h"

struct config {
    const char *data_dir;
    struct option_list listen, listen_plain, metrics; /* as given */
    const char *cert_file, *key_file, *user;
    const char *log_format, *audit_file;
    struct option_list hosts, origins, trust;
    uint64_t max_connections, max_address, max_failures, max_address_failures;
    uint64_t max_header, max_message, max_output, map_size;
    uint64_t handshake_ms, auth_ms, ping_ms, pong_ms, close_ms, flush_ms;
    bool plain_anywhere, proxy_protocol, wants_version, wants_licenses;
};

/*
 * Read and check the command line of the server.
 * returns: as options_parse; OPTIONS_BAD also for operands and for options
 *          that contradict each other or are missing
 */
enum options_result config_parse(int argc, char **argv, struct config *config,
                                 struct error *err);

#endif
