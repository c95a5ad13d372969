/*
 * Listening sockets and the addresses of peers. Numeric addresses only: a
 * scratch container has no resolver.
 */
#ifndef SYS_NET_H
#define SYS_NET_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { NET_NAME_MAX = 64 /* bytes of "[ADDR]:PORT" and its NUL */ };

struct net_address {
    struct sockaddr_storage socket;
    socklen_t len;
};

/*
 * Read ADDR:PORT, as 127.0.0.1:8443 or [::1]:8443; [::] takes IPv4 as well.
 * returns: 0, or -1 with the reason
 */
int net_parse(const char *text, struct net_address *address, struct error *err);

/* Write it as net_parse reads it. An IPv4 peer on [::] is written as IPv4. */
void net_format(const struct net_address *address, char out[NET_NAME_MAX]);

/* Make an address of 16 bytes (IPv4 as ::ffff:a.b.c.d) and a port. */
void net_set(struct net_address *address, const uint8_t bytes[16],
             uint16_t port);

/*
 * What an address counts as: IPv4 by itself (also when it is mapped into
 * IPv6), IPv6 by its /64. The port makes no difference.
 */
enum { NET_KEY_LEN = 16 };
void net_key(const struct net_address *address, uint8_t key[NET_KEY_LEN]);

/* A range of addresses; IPv4 as ::ffff:0:0/96. */
struct net_range {
    uint8_t prefix[16];
    unsigned bits; /* 0 to 128 */
};

/*
 * Read ADDR/BITS, or ADDR for one address.
 * returns: 0, or -1 with the reason
 */
int net_parse_range(const char *text, struct net_range *range,
                    struct error *err);

bool net_is_in_range(const struct net_address *address,
                     const struct net_range *range);

/* Can only this machine reach it? */
bool net_is_loopback(const struct net_address *address);

/*
 * Listen for TCP; non-blocking.
 * returns: the descriptor, or -1 with the reason, which names the address
 */
int net_listen(const struct net_address *wanted, struct error *err);

/* The address that a socket is bound to (the port, where 0 was asked for). */
void net_local(int fd, struct net_address *address);

/*
 * Take one connection; non-blocking, no delay.
 * returns: the descriptor, or -1 with errno
 */
int net_accept(int listener, struct net_address *peer);

/*
 * Connect and wait for it, at most timeout_ms; the socket then blocks, with
 * the same limit on each read and write.
 * returns: the descriptor, or -1 with the reason
 */
int net_connect(const struct net_address *address, int timeout_ms,
                struct error *err);

#endif
