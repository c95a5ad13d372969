/*
 * Every number that bounds something, with its unit and its reason. Those with
 * a flag are its default.
 */
#ifndef APP_LIMITS_H
#define APP_LIMITS_H

#include <stddef.h>

#define LIMIT_LISTEN "[::]:8443" /* all addresses, IPv4 as well */

/* Counts and bytes. */
#define LIMIT_CONNECTIONS      10000
#define LIMIT_CONNECTIONS_TOP  1000000
#define LIMIT_ADDRESS          256 /* connections of one address: a LAN party */
#define LIMIT_FAILURES         20  /* of one connection */
#define LIMIT_ADDRESS_FAILURES 120 /* a minute, of one address */
#define LIMIT_HEADER           8192  /* browsers with many cookies need 4 KiB */
#define LIMIT_MESSAGE          4096  /* a login takes 92 bytes */
#define LIMIT_MESSAGE_TOP      65536 /* the arena for it is 48 times as large */
#define LIMIT_OUTPUT           32768 /* 300 logins in flight on a connection */
#define LIMIT_MAP_SIZE         (16ULL << 30) /* address space; 100 M tokens */
#define LIMIT_MAP_SIZE_LEAST   (1ULL << 20)
#define LIMIT_MAP_SIZE_TOP     (1ULL << 44)

_Static_assert(sizeof(size_t) >= 8, "the map needs a 64-bit address space");

/* Bad rows of an import that are named one by one. */
#define LIMIT_IMPORT_ERRORS     100
#define LIMIT_IMPORT_ERRORS_TOP 10000

/* Milliseconds. */
#define LIMIT_HANDSHAKE_MS 10000 /* accept to 101, TLS included */
#define LIMIT_AUTH_MS      10000 /* 101 to the first login */
#define LIMIT_PING_MS      30000 /* below the idle limits of home routers */
#define LIMIT_PONG_MS      10000
#define LIMIT_CLOSE_MS     2000 /* our Close to the end of TCP */
#define LIMIT_FLUSH_MS     5000 /* for the peer to take what is queued */
#define LIMIT_TIME_TOP_MS  3600000

#endif
