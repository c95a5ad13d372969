/*
 * openchampps health: is a server there, and does it answer? For a container's
 * HEALTHCHECK, which has no other program to ask with.
 */
#include "tools/command.h"

#include "app/limits.h"
#include "base/span.h"
#include "proto/proxy.h"
#include "sys/net.h"
#include "sys/tls_client.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    TIMEOUT_MS = 5000, /* for each step */
    ANSWER_MAX = 2048  /* bytes */
};

struct health_options {
    struct option_list listen;
    bool proxy_protocol;
};

static const struct option_spec specs[] = {
    {"listen", "ADDR:PORT", "what the server was given [" LIMIT_LISTEN "]",
     OPTION_LIST, offsetof(struct health_options, listen), 0, 0},
    {"proxy-protocol", NULL, "begin with a PROXY v2 header, as a proxy does",
     OPTION_FLAG, offsetof(struct health_options, proxy_protocol), 0, 0},
};

static const struct option_table table = {
    "openchampps health [URL]\n"
    "       URL is http[s]://ADDR:PORT/PATH; else /health is asked for over\n"
    "       TLS where --listen says. Exit status 0: the answer is 200.",
    specs, sizeof specs / sizeof *specs};

struct question {
    char authority[NET_NAME_MAX];
    const char *path;
    bool is_tls, proxy_protocol;
};

/* --- Where to ask --- */

static int read_url(const char *url, struct question *q, struct error *err)
{
    const char *rest = url;

    q->is_tls = strncmp(url, "https://", 8) == 0;
    if (q->is_tls)
        rest = url + 8;
    else if (strncmp(url, "http://", 7) == 0)
        rest = url + 7;
    size_t len = strcspn(rest, "/");
    if (rest == url || len >= sizeof q->authority)
        return error_set(err, "'%s' is not http[s]://ADDR:PORT/PATH", url);
    memcpy(q->authority, rest, len);
    q->authority[len] = '\0';
    q->path = rest[len] == '\0' ? "/health" : rest + len;
    return 0;
}

/* The address to listen on, as one to connect to. */
static int read_listen(const char *listen, struct question *q,
                       struct error *err)
{
    static const char any4[] = "0.0.0.0:", any6[] = "[::]:";
    const char *host = "";

    if (strncmp(listen, any4, sizeof any4 - 1) == 0) {
        host = "127.0.0.1:";
        listen += sizeof any4 - 1;
    } else if (strncmp(listen, any6, sizeof any6 - 1) == 0) {
        host = "127.0.0.1:"; /* [::] takes IPv4, and is not always there */
        listen += sizeof any6 - 1;
    }
    int len = snprintf(q->authority, sizeof q->authority, "%s%s", host, listen);
    if (len < 0 || (size_t)len >= sizeof q->authority)
        return error_set(err, "--listen '%s' is too long", listen);
    q->is_tls = true;
    q->path = "/health";
    return 0;
}

/* --- Asking --- */

static int ask_plain(int fd, struct span request, char *answer, size_t cap,
                     struct error *err)
{
    if (send(fd, request.ptr, request.len, MSG_NOSIGNAL) !=
        (ssize_t)request.len)
        return error_set(err, "the request could not be sent");
    ssize_t n = recv(fd, answer, cap, MSG_WAITALL);
    return n > 0 ? (int)n : error_set(err, "no answer");
}

static int ask(const struct question *q, char *answer, size_t cap,
               struct error *err)
{
    struct net_address address;
    char request[512];

    int len =
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n",
                 q->path, q->authority);
    if (len < 0 || (size_t)len >= sizeof request)
        return error_set(err, "the URL is too long");
    if (net_parse(q->authority, &address, err) != 0)
        return -1;
    int fd = net_connect(&address, TIMEOUT_MS, err);
    if (fd < 0)
        return -1;
    if (q->proxy_protocol)
        send(fd, proxy_local_header, sizeof proxy_local_header, MSG_NOSIGNAL);
    struct span bytes = {(const uint8_t *)request, (size_t)len};
    int n = q->is_tls ? tls_client_ask(fd, bytes, answer, cap, err)
                      : ask_plain(fd, bytes, answer, cap, err);
    close(fd);
    return n;
}

static int judge(const char *answer)
{
    static const char good[] = "HTTP/1.1 200 ";
    const char *body = strstr(answer, "\r\n\r\n");

    if (body == NULL || strncmp(answer, "HTTP/1.1 ", 9) != 0) {
        fprintf(stderr, "openchampps health: the answer is not HTTP\n");
        return EXIT_REFUSED;
    }
    printf("%.3s %s\n", answer + 9, body + 4);
    return strncmp(answer, good, sizeof good - 1) == 0 ? EXIT_OK : EXIT_REFUSED;
}

static int check(const struct question *q)
{
    char answer[ANSWER_MAX + 1];
    struct error err;
    int len = ask(q, answer, ANSWER_MAX, &err);

    if (len < 0) {
        fprintf(stderr, "openchampps health: %s\n", err.text);
        return EXIT_REFUSED;
    }
    answer[len] = '\0';
    return judge(answer);
}

int command_health(int argc, char **argv)
{
    struct command c = {"health", &table, argc, argv, 0};
    struct health_options options = {0};
    struct question question;
    struct error err;
    int status, rc;

    if (!command_parse(&c, &options, &status))
        return status;
    question.proxy_protocol = options.proxy_protocol;
    if (c.first + 1 < argc)
        rc = error_set(&err, "'%s': one URL at a time", argv[c.first + 1]);
    else if (c.first < argc)
        rc = read_url(argv[c.first], &question, &err);
    else
        rc = read_listen(options.listen.count > 0 ? options.listen.item[0]
                                                  : LIMIT_LISTEN,
                         &question, &err);
    return rc == 0 ? check(&question) : options_complain("health", &err);
}
