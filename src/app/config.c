#include "app/config.h"

#include "app/limits.h"
#include "sys/net.h"
#include "sys/user.h"

#include <string.h>

#define FIELD(name) offsetof(struct config, name)

static const struct option_spec specs[] = {
    {"data", "DIR", "data directory, mode 0700 (required)", OPTION_TEXT,
     FIELD(data_dir), 0, 0},
    {"listen", "ADDR:PORT", "where to serve wss:// [" LIMIT_LISTEN "]",
     OPTION_LIST, FIELD(listen), 0, 0},
    {"listen-plain", "ADDR:PORT", "where to serve ws:// as well", OPTION_LIST,
     FIELD(listen_plain), 0, 0},
    {"metrics", "ADDR:PORT",
     "where to serve http://…/metrics, /health and /ready; keep it private",
     OPTION_LIST, FIELD(metrics), 0, 0},
    {"plain-anywhere", NULL, "allow ws:// beyond loopback", OPTION_FLAG,
     FIELD(plain_anywhere), 0, 0},
    {"cert", "FILE", "certificate chain, PEM; else a local CA makes one",
     OPTION_TEXT, FIELD(cert_file), 0, 0},
    {"key", "FILE", "its private key, PEM, mode 0600", OPTION_TEXT,
     FIELD(key_file), 0, 0},
    {"host", "NAME", "name or address in the local certificate", OPTION_LIST,
     FIELD(hosts), 0, 0},
    {"user", "UID[:GID]", "whom to serve as, when started as root", OPTION_TEXT,
     FIELD(user), 0, 0},
    {"allow-origin", "ORIGIN", "browser origin to allow beside the own one",
     OPTION_LIST, FIELD(origins), 0, 0},
    {"max-connections", "N", "connections at once", OPTION_COUNT,
     FIELD(max_connections), 1, LIMIT_CONNECTIONS_TOP},
    {"max-address-connections", "N", "of one address, or IPv6 /64, at once",
     OPTION_COUNT, FIELD(max_address), 1, LIMIT_CONNECTIONS_TOP},
    {"max-failures", "N", "failed logins of one connection", OPTION_COUNT,
     FIELD(max_failures), 1, LIMIT_CONNECTIONS_TOP},
    {"max-address-failures", "N", "failed logins a minute of one address",
     OPTION_COUNT, FIELD(max_address_failures), 1, LIMIT_CONNECTIONS_TOP},
    {"trust", "CIDR", "addresses that the last three do not apply to",
     OPTION_LIST, FIELD(trust), 0, 0},
    {"proxy-protocol", NULL, "these begin with a PROXY v2 header", OPTION_FLAG,
     FIELD(proxy_protocol), 0, 0},
    {"max-message", "BYTES", "longest message", OPTION_BYTES,
     FIELD(max_message), 128, LIMIT_MESSAGE_TOP},
    {"max-header", "BYTES", "longest HTTP request header", OPTION_BYTES,
     FIELD(max_header), 512, LIMIT_MESSAGE_TOP},
    {"max-output", "BYTES", "queued per connection before reading stops",
     OPTION_BYTES, FIELD(max_output), 1024, 1 << 24},
    {"handshake-timeout", "SECONDS", "from accept to the WebSocket",
     OPTION_SECONDS, FIELD(handshake_ms), 100, LIMIT_TIME_TOP_MS},
    {"auth-timeout", "SECONDS", "from there to the first login", OPTION_SECONDS,
     FIELD(auth_ms), 100, LIMIT_TIME_TOP_MS},
    {"ping-interval", "SECONDS", "between Pings", OPTION_SECONDS,
     FIELD(ping_ms), 100, LIMIT_TIME_TOP_MS},
    {"pong-timeout", "SECONDS", "from a Ping to its Pong", OPTION_SECONDS,
     FIELD(pong_ms), 100, LIMIT_TIME_TOP_MS},
    {"close-timeout", "SECONDS", "from our Close to the end", OPTION_SECONDS,
     FIELD(close_ms), 100, LIMIT_TIME_TOP_MS},
    {"flush-timeout", "SECONDS", "for a peer to take what is queued",
     OPTION_SECONDS, FIELD(flush_ms), 100, LIMIT_TIME_TOP_MS},
    {"map-size", "BYTES", "most that the store can hold", OPTION_BYTES,
     FIELD(map_size), LIMIT_MAP_SIZE_LEAST, LIMIT_MAP_SIZE_TOP},
    {"log", "FORMAT", "of the log on stderr, logfmt or json", OPTION_TEXT,
     FIELD(log_format), 0, 0},
    {"audit", "FILE", "append a JSON line for each login", OPTION_TEXT,
     FIELD(audit_file), 0, 0},
    {"version", NULL, "print the version and exit", OPTION_ACTION,
     FIELD(wants_version), 0, 0},
    {"licenses", NULL, "print the licences of all parts and exit",
     OPTION_ACTION, FIELD(wants_licenses), 0, 0},
};

static const struct option_table table = {
    "openchampps --data DIR [option...]           serve\n"
    "       openchampps import --data DIR FILE.csv|-     add tokens\n"
    "       openchampps export --data DIR                list them, as CSV\n"
    "       openchampps token COMMAND --data DIR         add, list, revoke...\n"
    "       openchampps backup --data DIR FILE           copy the store\n"
    "       openchampps verify --data DIR | FILE         check it, or a copy\n"
    "       openchampps restore --data DIR FILE          put a copy in place\n"
    "       openchampps compact --data DIR               shrink its file\n"
    "       openchampps cert --data DIR                  show the certificate\n"
    "       openchampps health [URL]                     ask a server",
    specs,
    sizeof specs / sizeof *specs,
};

static int check_addresses(const char *option, const struct option_list *list,
                           bool only_loopback, struct error *err)
{
    struct net_address address;
    struct error why;

    for (size_t i = 0; i < list->count; i++) {
        if (net_parse(list->item[i], &address, &why) != 0)
            return error_set(err, "--%s: %s", option, why.text);
        if (only_loopback && !net_is_loopback(&address))
            return error_set(err,
                             "--%s %s: tokens would cross the network in "
                             "clear; use 127.0.0.1, or add --plain-anywhere "
                             "when something else encrypts",
                             option, list->item[i]);
    }
    return 0;
}

static int check_ranges(const char *option, const struct option_list *list,
                        struct error *err)
{
    struct net_range range;
    struct error why;

    for (size_t i = 0; i < list->count; i++)
        if (net_parse_range(list->item[i], &range, &why) != 0)
            return error_set(err, "--%s: %s", option, why.text);
    return 0;
}

static int check_user(const char *text, struct error *err)
{
    struct user user;
    struct error why;

    if (text == NULL || user_parse(text, &user, &why) == 0)
        return 0;
    return error_set(err, "--user: %s", why.text);
}

static int check(const struct config *c, struct error *err)
{
    if (c->data_dir == NULL)
        return error_set(err, "--data DIR is missing");
    if ((c->cert_file == NULL) != (c->key_file == NULL))
        return error_set(err, "--cert and --key go together");
    if (c->cert_file != NULL && c->hosts.count > 0)
        return error_set(err, "--host is for the local certificate; it cannot "
                              "go with --cert");
    if (strcmp(c->log_format, "logfmt") != 0 &&
        strcmp(c->log_format, "json") != 0)
        return error_set(err, "--log: '%s' is neither logfmt nor json",
                         c->log_format);
    if (check_user(c->user, err) != 0)
        return -1;
    if (c->proxy_protocol && c->trust.count == 0)
        return error_set(err, "--proxy-protocol needs --trust CIDR: the "
                              "addresses of the proxies");
    if (check_ranges("trust", &c->trust, err) != 0 ||
        check_addresses("listen", &c->listen, false, err) != 0 ||
        check_addresses("metrics", &c->metrics, false, err) != 0)
        return -1;
    if (c->metrics.count > 1)
        return error_set(err, "--metrics: one address is enough");
    return check_addresses("listen-plain", &c->listen_plain, !c->plain_anywhere,
                           err);
}

enum options_result config_parse(int argc, char **argv, struct config *c,
                                 struct error *err)
{
    int rest;

    *c = (struct config){
        .log_format = "logfmt",
        .max_connections = LIMIT_CONNECTIONS,
        .max_address = LIMIT_ADDRESS,
        .max_failures = LIMIT_FAILURES,
        .max_address_failures = LIMIT_ADDRESS_FAILURES,
        .max_header = LIMIT_HEADER,
        .max_message = LIMIT_MESSAGE,
        .max_output = LIMIT_OUTPUT,
        .map_size = LIMIT_MAP_SIZE,
        .handshake_ms = LIMIT_HANDSHAKE_MS,
        .auth_ms = LIMIT_AUTH_MS,
        .ping_ms = LIMIT_PING_MS,
        .pong_ms = LIMIT_PONG_MS,
        .close_ms = LIMIT_CLOSE_MS,
        .flush_ms = LIMIT_FLUSH_MS,
    };
    enum options_result result =
        options_parse(&table, argc, argv, c, &rest, err);
    if (result != OPTIONS_OK || c->wants_version || c->wants_licenses)
        return result;
    if (rest < argc) {
        error_set(err, "'%s' is neither a command nor an option", argv[rest]);
        return OPTIONS_BAD;
    }
    return check(c, err) == 0 ? OPTIONS_OK : OPTIONS_BAD;
}
