/*
 * The header that a proxy sends before a connection it passes on: PROXY
 * protocol, version 2 (binary form; HAProxy's doc/proxy-protocol.txt, section
 * 2.2). It tells the address that the connection really comes from.
 */
#ifndef PROTO_PROXY_H
#define PROTO_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PROXY_HEAD_LEN = 16,   /* bytes that every header begins with */
    PROXY_HEADER_MAX = 536 /* bytes of the longest one that is taken */
};

/* Where a passed-on connection comes from. */
struct proxy_source {
    bool is_given;       /* false: the proxy speaks for itself (LOCAL) */
    uint8_t address[16]; /* IPv6, or IPv4 as ::ffff:a.b.c.d */
    uint16_t port;
};

/*
 * How long is the header that begins with these bytes?
 * returns: bytes of the whole header, PROXY_HEAD_LEN while fewer than those
 *          are there; 0 when this is no such header, or a longer one
 */
size_t proxy_header_len(const uint8_t *in, size_t len);

/*
 * Read a whole header.
 * in:      len: what proxy_header_len has said, all of it there
 * returns: false when it is malformed, or not of TCP over IPv4 or IPv6
 */
bool proxy_parse(const uint8_t *in, size_t len, struct proxy_source *source);

/* The header of one who speaks for himself, as a health check does. */
extern const uint8_t proxy_local_header[PROXY_HEAD_LEN];

#endif
