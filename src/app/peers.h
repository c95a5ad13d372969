/*
 * What is known of each remote address: how many connections it has, and how
 * many failed logins it may still make.
 *
 * IPv6 addresses count by their /64, which is what one customer gets. Failures
 * are a token bucket: it holds a minute's worth and refills steadily.
 *
 * The table is bounded. An address with connections is never forgotten; of the
 * others the one that was seen least recently makes room.
 */
#ifndef APP_PEERS_H
#define APP_PEERS_H

#include "app/options.h"
#include "sys/net.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peers;

/* The entry of an address; valid while it has connections. */
struct peer;

struct peers_rules {
    size_t connections;         /* at once, in all: bounds the table */
    size_t address_connections; /* at once, of one address; 0 = any number */
    unsigned address_failures;  /* failed logins a minute, of one address */
    struct option_list trust;   /* ranges that neither applies to */
};

/* returns: NULL with the reason */
struct peers *peers_new(const struct peers_rules *rules, struct error *err);
void peers_free(struct peers *p);

/*
 * A connection has come from this address.
 * in:      fewer than rules.connections peers are joined
 * out:     *peer, to be given back with peers_leave; NULL: it is trusted
 * returns: NULL, or why it may not come in; static text
 */
const char *peers_join(struct peers *p, const struct net_address *from,
                       int64_t now_ms, struct peer **peer);

/* It has ended. */
void peers_leave(struct peers *p, struct peer *e, int64_t now_ms);

/*
 * Take one of the few handshakes that an address may go on with in a turn.
 * in:      turn: the turn's number, from 1
 * returns: false when this turn's are used up
 */
bool peers_take_handshake(struct peer *e, uint64_t turn);

/*
 * It has made so many failed logins.
 * returns: false when it has used up what it may make for now
 */
bool peers_note_failures(struct peers *p, struct peer *e, unsigned failures,
                         int64_t now_ms);

#endif
