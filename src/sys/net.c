#include "sys/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

/* --- Addresses --- */

static bool parse_port(const char *text, in_port_t *port)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    unsigned long value = strtoul(text, &end, 10);
    *port = htons((uint16_t)value);
    return *end == '\0' && value <= 65535;
}

static bool parse_ipv6(const char *text, in_port_t port,
                       struct net_address *address)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = port};

    if (inet_pton(AF_INET6, text, &in6.sin6_addr) != 1)
        return false;
    memcpy(&address->socket, &in6, sizeof in6);
    address->len = sizeof in6;
    return true;
}

static bool parse_ipv4(const char *text, in_port_t port,
                       struct net_address *address)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = port};

    if (inet_pton(AF_INET, text, &in4.sin_addr) != 1)
        return false;
    memcpy(&address->socket, &in4, sizeof in4);
    address->len = sizeof in4;
    return true;
}

int net_parse(const char *text, struct net_address *address, struct error *err)
{
    const char *colon = strrchr(text, ':');
    char host[NET_NAME_MAX];
    in_port_t port;

    memset(address, 0, sizeof *address);
    if (colon == NULL || !parse_port(colon + 1, &port) ||
        (size_t)(colon - text) >= sizeof host)
        return error_set(err, "'%s' is not ADDR:PORT", text);
    size_t len = (size_t)(colon - text);
    memcpy(host, text, len);
    host[len] = '\0';
    bool is_ipv6 = len >= 2 && host[0] == '[' && host[len - 1] == ']';
    if (is_ipv6)
        host[len - 1] = '\0';
    if (is_ipv6 ? parse_ipv6(host + 1, port, address)
                : parse_ipv4(host, port, address))
        return 0;
    return error_set(err,
                     "'%s' is not ADDR:PORT with a numeric address, as "
                     "127.0.0.1:8443 or [::]:8443",
                     text);
}

void net_format(const struct net_address *address, char out[NET_NAME_MAX])
{
    char host[INET6_ADDRSTRLEN] = "?";
    struct sockaddr_in6 in6;
    struct sockaddr_in in4;

    if (address->socket.ss_family == AF_INET) {
        memcpy(&in4, &address->socket, sizeof in4);
        inet_ntop(AF_INET, &in4.sin_addr, host, sizeof host);
        snprintf(out, NET_NAME_MAX, "%s:%u", host, ntohs(in4.sin_port));
        return;
    }
    memcpy(&in6, &address->socket, sizeof in6);
    bool is_mapped = IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
    if (is_mapped)
        inet_ntop(AF_INET, &in6.sin6_addr.s6_addr[12], host, sizeof host);
    else
        inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof host);
    snprintf(out, NET_NAME_MAX, is_mapped ? "%s:%u" : "[%s]:%u", host,
             ntohs(in6.sin6_port));
}

/* All 16 bytes, IPv4 mapped into IPv6. */
static void address_bytes(const struct net_address *address, uint8_t out[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct sockaddr_in6 in6;
    struct sockaddr_in in4;

    if (address->socket.ss_family == AF_INET) {
        memcpy(&in4, &address->socket, sizeof in4);
        memcpy(out, mapped, sizeof mapped);
        memcpy(out + 12, &in4.sin_addr, 4);
        return;
    }
    memcpy(&in6, &address->socket, sizeof in6);
    memcpy(out, &in6.sin6_addr, 16);
}

static bool is_mapped(const uint8_t bytes[16])
{
    struct in6_addr in6;

    memcpy(&in6, bytes, sizeof in6);
    return IN6_IS_ADDR_V4MAPPED(&in6);
}

void net_set(struct net_address *address, const uint8_t bytes[16],
             uint16_t port)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
                               .sin6_port = htons(port)};

    memcpy(&in6.sin6_addr, bytes, 16);
    memset(address, 0, sizeof *address);
    memcpy(&address->socket, &in6, sizeof in6);
    address->len = sizeof in6;
}

void net_key(const struct net_address *address, uint8_t key[NET_KEY_LEN])
{
    address_bytes(address, key);
    if (!is_mapped(key))
        memset(key + 8, 0, 8);
}

static bool parse_range_address(const char *text, uint8_t out[16],
                                bool *is_ipv4)
{
    struct net_address address;

    *is_ipv4 = parse_ipv4(text, 0, &address);
    if (!*is_ipv4 && !parse_ipv6(text, 0, &address))
        return false;
    address_bytes(&address, out);
    return true;
}

/* The part behind the slash. returns: false when it is no such number */
static bool parse_bits(const char *text, unsigned most, unsigned *bits)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    unsigned long value = strtoul(text, &end, 10);
    *bits = (unsigned)value;
    return *end == '\0' && value <= most;
}

int net_parse_range(const char *text, struct net_range *range,
                    struct error *err)
{
    const char *slash = strchr(text, '/');
    size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
    char host[NET_NAME_MAX];
    bool is_ipv4 = false;

    memset(host, 0, sizeof host);
    if (len < sizeof host)
        memcpy(host, text, len);
    if (!parse_range_address(host, range->prefix, &is_ipv4))
        return error_set(err, "'%s' is not an address or ADDR/BITS", text);
    range->bits = is_ipv4 ? 32 : 128;
    if (slash != NULL && !parse_bits(slash + 1, range->bits, &range->bits))
        return error_set(err,
                         "'%s': the number behind the slash is not "
                         "between 0 and %u",
                         text, range->bits);
    range->bits += is_ipv4 ? 96 : 0;
    return 0;
}

bool net_is_in_range(const struct net_address *address,
                     const struct net_range *range)
{
    size_t whole = range->bits / 8;
    unsigned rest = range->bits % 8;
    uint8_t bytes[16];

    address_bytes(address, bytes);
    if (memcmp(bytes, range->prefix, whole) != 0)
        return false;
    uint8_t mask = (uint8_t)(0xff00 >> rest);
    return rest == 0 || ((bytes[whole] ^ range->prefix[whole]) & mask) == 0;
}

bool net_is_loopback(const struct net_address *address)
{
    struct sockaddr_in6 in6;
    struct sockaddr_in in4;

    if (address->socket.ss_family == AF_INET) {
        memcpy(&in4, &address->socket, sizeof in4);
        return ntohl(in4.sin_addr.s_addr) >> 24 == 127;
    }
    memcpy(&in6, &address->socket, sizeof in6);
    return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}

/* --- Sockets --- */

static int set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value);
}

static int prepare_listener(int fd, const struct net_address *address)
{
    if (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) != 0)
        return -1;
    if (address->socket.ss_family == AF_INET6 &&
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) != 0)
        return -1;
    if (bind(fd, (const struct sockaddr *)&address->socket, address->len) != 0)
        return -1;
    return listen(fd, BACKLOG);
}

static const char *listen_advice(int error)
{
    if (error == EADDRINUSE)
        return "; another program listens there: stop it, or choose another "
               "--listen";
    if (error == EACCES)
        return "; ports below 1024 need a privilege";
    if (error == EADDRNOTAVAIL)
        return "; this machine does not have that address";
    return "";
}

/* A kernel without IPv6 can still listen on "all addresses". */
static void use_ipv4_for_all(struct net_address *address)
{
    struct sockaddr_in6 in6;

    memcpy(&in6, &address->socket, sizeof in6);
    if (IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr))
        parse_ipv4("0.0.0.0", in6.sin6_port, address);
}

static int open_listener(struct net_address *address)
{
    const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(address->socket.ss_family, type, 0);

    if (fd < 0 && errno == EAFNOSUPPORT) {
        use_ipv4_for_all(address);
        fd = socket(address->socket.ss_family, type, 0);
    }
    return fd;
}

int net_listen(const struct net_address *wanted, struct error *err)
{
    struct net_address address = *wanted;
    char name[NET_NAME_MAX];
    int fd = open_listener(&address);

    if (fd >= 0 && prepare_listener(fd, &address) == 0)
        return fd;
    int error = errno;
    net_format(&address, name);
    if (fd >= 0)
        close(fd);
    errno = error;
    return error_set(err, "cannot listen on %s: %s%s", name, strerror(error),
                     listen_advice(error));
}

void net_local(int fd, struct net_address *address)
{
    memset(address, 0, sizeof *address);
    address->len = sizeof address->socket;
    getsockname(fd, (struct sockaddr *)&address->socket, &address->len);
}

int net_accept(int listener, struct net_address *peer)
{
    peer->len = sizeof peer->socket;
    int fd = accept4(listener, (struct sockaddr *)&peer->socket, &peer->len,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    return fd;
}

int net_connect(const struct net_address *address, int timeout_ms,
                struct error *err)
{
    struct timeval limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    char name[NET_NAME_MAX];
    int fd = socket(address->socket.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0 &&
        connect(fd, (const struct sockaddr *)&address->socket, address->len) ==
            0)
        return fd;
    net_format(address, name);
    error_set(err, "cannot connect to %s: %s", name, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}
