/*
 * A load generator for token_auth over WebSocket and TLS: one thread, epoll,
 * OpenSSL. It verifies every answer and prints one line of JSON.
 *
 *   load reauth --port N [--ca FILE] [--connections N] [--depth N]
 *   load login  --port N  --ca FILE  [--connections N] [--resume]
 *   load idle   --port N [--ca FILE] [--connections N]
 *
 * reauth: connections stay; when all have logged in, each has --depth logins
 *         in flight, or, with --rate, all together send so many a second,
 *         whether answered or not: a latency counts from when the login was
 *         due (no coordinated omission).
 * login:  connect, handshake (full, or resumed), upgrade, log in, close; so
 *         many at once.
 * idle:   connect and log in, say so on stdout, and hold until stdin ends.
 *
 * Token i of the store is 00000000-0000-4000-8000-<i as 12 hex digits>, and
 * its player is player<i>. --invalid P asks for an unknown one P times in 100.
 */
#include "latency.h"
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    IN_MAX = 65536,
    REQUEST_MAX = 160, /* bytes of one login, framed */
    OUT_MAX = DEPTH_MAX * REQUEST_MAX + 1024,
    EVENTS = 512,
    SECOND_NS = 1000000000
};

/* --- A client --- */

enum state { CONNECTING, HANDSHAKE, UPGRADE, LIVE, CLOSING };

/* A login that has been sent. */
struct asked {
    uint64_t at_ns; /* sent, or due */
    uint64_t token;
    bool is_valid;
};

struct client {
    int fd;
    SSL *ssl; /* NULL: plain */
    SSL_SESSION *session;
    enum state state;
    bool wants_write;
    uint64_t began_ns;
    struct asked asked[DEPTH_MAX]; /* a ring */
    unsigned first, in_flight;
    size_t in_len, out_len;
    uint8_t in[IN_MAX];
    uint8_t out[OUT_MAX];
};

struct load {
    struct options o;
    SSL_CTX *tls;
    int epoll;
    struct client *clients;
    uint64_t random;
    uint64_t begin_ns;          /* of the logins of --rate */
    uint64_t from_ns, until_ns; /* what is measured */
    uint64_t done, invalid, live;
    bool repeats; /* an answer is followed by the next login */
    uint64_t due; /* logins that --rate has made due so far */
    struct histogram latencies;
};

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    ERR_print_errors_fp(stderr);
    exit(1);
}

static uint64_t next_random(struct load *l)
{
    l->random ^= l->random << 13;
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return l->random;
}

/* --- Bytes --- */

static void watch(struct load *l, struct client *c, int op)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};

    if (c->wants_write)
        e.events |= EPOLLOUT;
    if (epoll_ctl(l->epoll, op, c->fd, &e) != 0)
        die("epoll_ctl");
}

/* returns: bytes, 0 = later, -1 = ended */
static ssize_t judge(const struct client *c, ssize_t n)
{
    if (n > 0)
        return n;
    if (c->ssl == NULL)
        return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
    int error = SSL_get_error(c->ssl, (int)n);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0
                                                                         : -1;
}

/* Bytes that have been read from the socket, but not from the TLS engine. */
static bool has_more(const struct client *c)
{
    return c->ssl != NULL && SSL_has_pending(c->ssl);
}

static ssize_t get(struct client *c)
{
    size_t room = IN_MAX - c->in_len;

    return judge(c, c->ssl != NULL
                        ? SSL_read(c->ssl, c->in + c->in_len, (int)room)
                        : recv(c->fd, c->in + c->in_len, room, 0));
}

static void flush(struct load *l, struct client *c)
{
    bool wanted = c->wants_write;

    while (c->out_len > 0) {
        ssize_t n = judge(
            c, c->ssl != NULL ? SSL_write(c->ssl, c->out, (int)c->out_len)
                              : send(c->fd, c->out, c->out_len, MSG_NOSIGNAL));
        if (n < 0)
            die("the server hung up");
        if (n == 0)
            break;
        c->out_len -= (size_t)n;
        memmove(c->out, c->out + n, c->out_len);
    }
    c->wants_write = c->out_len > 0;
    if (c->wants_write != wanted)
        watch(l, c, EPOLL_CTL_MOD);
}

/* --- Logins --- */

static void format_token(uint64_t token, bool is_valid, char out[37])
{
    snprintf(out, 37, "%s-0000-4000-8000-%012" PRIx64,
             is_valid ? "00000000" : "ffffffff", token & 0xffffffffffff);
}

static void ask(struct load *l, struct client *c, uint64_t at_ns)
{
    struct asked *a = &c->asked[(c->first + c->in_flight++) % DEPTH_MAX];
    uint8_t *out = c->out + c->out_len;
    char text[128], token[37];

    a->at_ns = at_ns;
    a->token = next_random(l) % l->o.tokens;
    a->is_valid = next_random(l) % 100 >= l->o.invalid;
    format_token(a->token, a->is_valid, token);
    int len = snprintf(
        text, sizeof text,
        "{\"type\":\"token_auth\",\"payload\":{\"token\":\"%s\"}}", token);
    *out++ = 0x81;
    *out++ = (uint8_t)(0x80 | len);
    for (int i = 0; i < 4; i++)
        *out++ = (uint8_t)(next_random(l) >> 24);
    for (int i = 0; i < len; i++)
        out[i] = (uint8_t)text[i] ^ out[i % 4 - 4];
    c->out_len = (size_t)(out + len - c->out);
}

static void expect(const char *text, const char *what)
{
    if (strstr(text, what) != NULL)
        return;
    fprintf(stderr, "load: '%s' is not in the answer %s\n", what, text);
    exit(1);
}

static void check_answer(struct load *l, struct client *c, char *text)
{
    struct asked *a = &c->asked[c->first];
    char token[37], player[48];
    uint64_t now = now_ns();

    if (c->in_flight == 0)
        expect(text, "nothing was asked");
    c->first = (c->first + 1) % DEPTH_MAX;
    c->in_flight--;
    format_token(a->token, a->is_valid, token);
    snprintf(player, sizeof player, "\"player%" PRIu64 "\"", a->token);
    expect(text, a->is_valid ? "auth_success" : "auth_error");
    if (a->is_valid) {
        expect(text, player);
        expect(text, token);
    }
    if (now < l->from_ns || now >= l->until_ns)
        return;
    l->done++;
    l->invalid += !a->is_valid;
    note(&l->latencies, now - (l->o.mode == LOGIN ? c->began_ns : a->at_ns));
}

/* Take one frame off the input. returns: is there one? */
static bool take_frame(struct load *l, struct client *c)
{
    if (c->in_len < 2)
        return false;
    size_t head = 2, len = c->in[1] & 0x7f;
    if (len == 126) {
        if (c->in_len < 4)
            return false;
        len = (size_t)c->in[2] << 8 | c->in[3];
        head = 4;
    }
    if (c->in_len < head + len)
        return false;
    uint8_t opcode = c->in[0] & 15, *payload = c->in + head;
    if (opcode == 1) {
        uint8_t after = payload[len];
        payload[len] = '\0';
        check_answer(l, c, (char *)payload);
        payload[len] = after;
    } else if (opcode == 9) {
        const uint8_t pong[] = {0x8a, 0x80, 0, 0, 0, 0};
        memcpy(c->out + c->out_len, pong, sizeof pong);
        c->out_len += sizeof pong;
    } else if (opcode == 8) {
        errno = 0;
        die("the server closed a connection");
    }
    c->in_len -= head + len;
    memmove(c->in, payload + len, c->in_len);
    return true;
}

/* --- A connection's life --- */

static void begin(struct load *l, struct client *c)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons(l->o.port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int one = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->state = CONNECTING;
    c->wants_write = true;
    c->in_len = c->out_len = 0;
    c->first = c->in_flight = 0;
    c->began_ns = now_ns();
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0 &&
        errno != EINPROGRESS)
        die("connect");
    watch(l, c, EPOLL_CTL_ADD);
}

static void end(struct load *l, struct client *c)
{
    if (c->ssl != NULL) {
        if (l->o.resume && c->session == NULL)
            c->session = SSL_get1_session(c->ssl);
        SSL_shutdown(c->ssl);
        SSL_free(c->ssl);
        c->ssl = NULL;
    }
    close(c->fd);
}

static void send_upgrade(struct load *l, struct client *c)
{
    int len = snprintf(
        (char *)c->out, OUT_MAX,
        "GET /ws HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n",
        l->o.name, l->o.port);

    c->out_len = (size_t)len;
    c->state = UPGRADE;
}

static void start_tls(struct load *l, struct client *c)
{
    c->state = HANDSHAKE;
    if (l->tls == NULL)
        return;
    c->ssl = SSL_new(l->tls);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1 ||
        SSL_set_tlsext_host_name(c->ssl, l->o.name) != 1 ||
        SSL_set1_host(c->ssl, l->o.name) != 1)
        die("TLS");
    if (c->session != NULL)
        SSL_set_session(c->ssl, c->session);
    SSL_set_connect_state(c->ssl);
}

static void shake_hands(struct load *l, struct client *c)
{
    if (c->ssl != NULL) {
        int rc = SSL_do_handshake(c->ssl);
        int error = rc == 1 ? 0 : SSL_get_error(c->ssl, rc);
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
            return;
        if (rc != 1)
            die("TLS handshake");
        if (c->session != NULL && !SSL_session_reused(c->ssl))
            expect("a full handshake", "resumed");
    }
    send_upgrade(l, c);
}

static void go_live(struct load *l, struct client *c)
{
    uint8_t *head_end = memmem(c->in, c->in_len, "\r\n\r\n", 4);

    if (head_end == NULL)
        return;
    if (memcmp(c->in, "HTTP/1.1 101", 12) != 0)
        expect("another answer", "HTTP/1.1 101");
    head_end += 4;
    c->in_len -= (size_t)(head_end - c->in);
    memmove(c->in, head_end, c->in_len);
    c->state = LIVE;
    l->live++;
    ask(l, c, now_ns());
}

/* The server is to answer, and to end the connection. */
static void send_close(struct client *c)
{
    const uint8_t close_1000[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8};

    memcpy(c->out + c->out_len, close_1000, sizeof close_1000);
    c->out_len += sizeof close_1000;
    c->state = CLOSING;
}

static void be_live(struct load *l, struct client *c)
{
    while (take_frame(l, c)) {
        if (l->repeats)
            ask(l, c, now_ns());
        if (l->o.mode == LOGIN) {
            send_close(c);
            return;
        }
    }
}

/* Level-triggered: what is in the socket still makes another event. */
static void take_input(struct load *l, struct client *c)
{
    ssize_t n;

    do {
        n = get(c);
        if (n < 0 && c->state == CLOSING) {
            end(l, c);
            begin(l, c);
            return;
        }
        if (n < 0)
            die("the server hung up");
        c->in_len = c->state == CLOSING ? 0 : c->in_len + (size_t)n;
        if (c->state == UPGRADE)
            go_live(l, c);
        if (c->state == LIVE)
            be_live(l, c);
    } while (n > 0 && has_more(c));
}

static void handle(struct load *l, struct client *c)
{
    if (c->state == CONNECTING) {
        c->wants_write = false;
        watch(l, c, EPOLL_CTL_MOD);
        start_tls(l, c);
    }
    if (c->state == HANDSHAKE)
        shake_hands(l, c);
    if (c->state >= UPGRADE)
        take_input(l, c);
    if (c->state >= UPGRADE)
        flush(l, c);
}

/* --- The run --- */

static void turn(struct load *l, uint64_t wait_ns)
{
    struct epoll_event events[EVENTS];
    struct timespec wait = {(time_t)(wait_ns / SECOND_NS),
                            (long)(wait_ns % SECOND_NS)};
    int n = epoll_pwait2(l->epoll, events, EVENTS, &wait, NULL);

    for (int i = 0; i < n; i++)
        handle(l, events[i].data.ptr);
}

/* At most 64 handshakes at once: the server is not what is overloaded here. */
static void connect_all(struct load *l)
{
    for (unsigned i = 0; i < l->o.connections; i++) {
        begin(l, &l->clients[i]);
        while (l->o.mode != LOGIN && i + 1 - l->live >= 64)
            turn(l, SECOND_NS);
    }
    while (l->o.mode != LOGIN && l->live < l->o.connections)
        turn(l, SECOND_NS);
}

/* From here on each of them has --depth logins in flight. */
static void repeat_all(struct load *l)
{
    l->repeats = true;
    for (unsigned i = 0; i < l->o.connections; i++) {
        struct client *c = &l->clients[i];
        while (c->in_flight < l->o.depth)
            ask(l, c, now_ns());
        flush(l, c);
    }
}

static void hold(struct load *l)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

    for (bool waits = true; waits;) {
        turn(l, SECOND_NS / 10);
        waits = false;
        for (unsigned i = 0; i < l->o.connections; i++)
            waits = waits || l->clients[i].in_flight > 0;
    }
    puts("{\"mode\":\"idle\"}");
    fflush(stdout);
    while (poll(&in, 1, 0) == 0)
        turn(l, SECOND_NS / 10);
}

/* When login number n of --rate is due. */
static uint64_t due_ns(const struct load *l, uint64_t n)
{
    return l->begin_ns + (uint64_t)((double)n * 1e9 / (double)l->o.rate);
}

/* What --rate has made due is sent by the clients in turn.
 * returns: when the next is due */
static uint64_t send_due(struct load *l)
{
    uint64_t now = now_ns();

    for (; due_ns(l, l->due) <= now; l->due++) {
        struct client *c = &l->clients[l->due % l->o.connections];
        if (c->in_flight == DEPTH_MAX) {
            errno = 0;
            die("the server is too slow for --rate");
        }
        ask(l, c, due_ns(l, l->due));
        flush(l, c);
    }
    return due_ns(l, l->due);
}

static void run_until(struct load *l, uint64_t end_ns)
{
    for (uint64_t now = now_ns(); now < end_ns; now = now_ns()) {
        uint64_t next_ns = l->o.rate > 0 ? send_due(l) : now + SECOND_NS / 100;

        now = now_ns();
        turn(l, next_ns > now ? next_ns - now : 0);
    }
}

/* Lines on stdout say when the measured time begins and ends. */
static void measure(struct load *l)
{
    if (l->o.mode == REAUTH && l->o.rate == 0)
        repeat_all(l);
    prctl(PR_SET_TIMERSLACK, 1);
    l->begin_ns = now_ns();
    l->from_ns = l->begin_ns + (uint64_t)(l->o.warmup * 1e9);
    l->until_ns = l->from_ns + (uint64_t)(l->o.seconds * 1e9);
    run_until(l, l->from_ns);
    puts("begin");
    fflush(stdout);
    double cpu = cpu_seconds();
    run_until(l, l->until_ns);
    puts("end");
    printf("{\"logins\":%" PRIu64 ",\"invalid\":%" PRIu64
           ",\"seconds\":%.3f,\"per_second\":%.1f,\"p50_us\":%.1f,"
           "\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,"
           "\"generator_cpu\":%.3f}\n",
           l->done, l->invalid, l->o.seconds, (double)l->done / l->o.seconds,
           percentile_us(&l->latencies, 0.5),
           percentile_us(&l->latencies, 0.99),
           percentile_us(&l->latencies, 0.999), (double)l->latencies.max / 1000,
           (cpu_seconds() - cpu) / l->o.seconds);
    fflush(stdout);
}

/* --- Start --- */

static SSL_CTX *open_tls(const struct options *o)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

    if (tls == NULL || SSL_CTX_load_verify_locations(tls, o->ca, NULL) != 1)
        die(o->ca);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_read_ahead(tls, 1);
    SSL_CTX_set_max_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_options(tls, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return tls;
}

int main(int argc, char **argv)
{
    struct load *l = calloc(1, sizeof *l);

    if (l == NULL)
        die("memory");
    read_options(&l->o, argc, argv);
    l->clients = calloc(l->o.connections, sizeof *l->clients);
    l->random = 0x9e3779b97f4a7c15;
    l->until_ns = UINT64_MAX;
    l->from_ns = UINT64_MAX;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->clients == NULL || l->epoll < 0)
        die("memory");
    if (l->o.ca != NULL)
        l->tls = open_tls(&l->o);
    connect_all(l);
    if (l->o.mode == IDLE)
        hold(l);
    else
        measure(l);
    return 0;
}
