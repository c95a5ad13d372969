/*
 * A chained hash table over a fixed array of entries. Entries without
 * connections stand in a list, the least recently seen first.
 */
#include "app/peers.h"

#include "base/list.h"
#include "base/siphash.h"
#include "sys/entropy.h"

#include <stdlib.h>
#include <string.h>

enum {
    ENTRIES_PER_CONNECTION = 2,
    HANDSHAKES_PER_TURN = 2, /* of one address: a signature takes 0.3 ms */
    MINUTE_MS = 60000
};

struct peer {
    struct peer *chain; /* same bucket */
    struct list idle;   /* in the list of those without connections */
    uint8_t key[NET_KEY_LEN];
    size_t connections;
    int64_t credit;      /* failures it may still make, times MINUTE_MS */
    int64_t credited_ms; /* when the credit was counted */
    uint64_t turn;       /* when it shook hands last */
    unsigned handshakes; /* in that turn */
};

struct peers {
    struct peers_rules rules;
    struct net_range trust[OPTION_LIST_MAX]; /* rules.trust, parsed */
    uint8_t secret[SIPHASH_KEY_LEN]; /* so that nobody can choose a bucket */
    struct peer *entries;
    size_t entries_used; /* the others were never touched: they cost nothing */
    size_t entries_max;
    struct peer **buckets;
    size_t bucket_mask;
    struct list idle; /* the first was seen least recently */
};

/* --- Start and end --- */

static bool take_memory(struct peers *p)
{
    size_t buckets = 1;

    p->entries_max = p->rules.connections * ENTRIES_PER_CONNECTION;
    while (buckets < p->entries_max)
        buckets *= 2;
    p->bucket_mask = buckets - 1;
    p->entries = calloc(p->entries_max, sizeof *p->entries);
    p->buckets = calloc(buckets, sizeof(struct peer *));
    return p->entries != NULL && p->buckets != NULL;
}

static int set_up(struct peers *p, struct error *err)
{
    const struct option_list *trust = &p->rules.trust;

    for (size_t i = 0; i < trust->count; i++)
        if (net_parse_range(trust->item[i], &p->trust[i], err) != 0)
            return -1;
    if (!take_memory(p))
        return error_set(err, "no memory for the addresses of %zu connections",
                         p->rules.connections);
    return entropy_fill(p->secret, sizeof p->secret, err);
}

struct peers *peers_new(const struct peers_rules *rules, struct error *err)
{
    struct peers *p = calloc(1, sizeof *p);

    if (p == NULL) {
        error_set(err, "peers: out of memory");
        return NULL;
    }
    p->rules = *rules;
    list_init(&p->idle);
    if (set_up(p, err) == 0)
        return p;
    peers_free(p);
    return NULL;
}

void peers_free(struct peers *p)
{
    if (p == NULL)
        return;
    free(p->entries);
    free(p->buckets);
    free(p);
}

/* --- Table --- */

static struct peer **bucket_of(const struct peers *p, const uint8_t *key)
{
    return &p->buckets[siphash(p->secret, key, NET_KEY_LEN) & p->bucket_mask];
}

static struct peer *find(const struct peers *p, const uint8_t *key)
{
    struct peer *e = *bucket_of(p, key);

    while (e != NULL && memcmp(e->key, key, NET_KEY_LEN) != 0)
        e = e->chain;
    return e;
}

static void forget(struct peers *p, struct peer *e)
{
    struct peer **at = bucket_of(p, e->key);

    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    list_remove(&e->idle);
}

/* There are twice as many entries as connections: one is fresh, or idle. */
static struct peer *take_entry(struct peers *p)
{
    if (p->entries_used < p->entries_max)
        return &p->entries[p->entries_used++];
    struct peer *oldest = LIST_OWNER(p->idle.next, struct peer, idle);
    forget(p, oldest);
    return oldest;
}

static int64_t full_credit(const struct peers *p)
{
    return (int64_t)p->rules.address_failures * MINUTE_MS;
}

static struct peer *remember(struct peers *p, const uint8_t *key,
                             int64_t now_ms)
{
    struct peer *e = take_entry(p);
    struct peer **bucket = bucket_of(p, key);

    memcpy(e->key, key, NET_KEY_LEN);
    e->credit = full_credit(p);
    e->credited_ms = now_ms;
    e->chain = *bucket;
    *bucket = e;
    return e;
}

/* --- Accounting --- */

static void refill(const struct peers *p, struct peer *e, int64_t now_ms)
{
    int64_t full = full_credit(p);
    int64_t gained =
        (now_ms - e->credited_ms) * (int64_t)p->rules.address_failures;

    e->credit = gained > full - e->credit ? full : e->credit + gained;
    e->credited_ms = now_ms;
}

static bool is_trusted(const struct peers *p, const struct net_address *from)
{
    for (size_t i = 0; i < p->rules.trust.count; i++)
        if (net_is_in_range(from, &p->trust[i]))
            return true;
    return p->rules.address_connections == 0;
}

/* returns: why it may not have another connection, or NULL */
static const char *judge(const struct peers *p, const struct peer *e)
{
    if (e->credit < MINUTE_MS)
        return "--max-address-failures is reached";
    if (e->connections >= p->rules.address_connections)
        return "--max-address-connections is reached";
    return NULL;
}

const char *peers_join(struct peers *p, const struct net_address *from,
                       int64_t now_ms, struct peer **peer)
{
    uint8_t key[NET_KEY_LEN];

    *peer = NULL;
    if (is_trusted(p, from))
        return NULL;
    net_key(from, key);
    struct peer *e = find(p, key);
    if (e == NULL)
        e = remember(p, key, now_ms);
    refill(p, e, now_ms);
    const char *why = judge(p, e);
    list_remove(&e->idle);
    if (why == NULL) {
        e->connections++;
        *peer = e;
    } else if (e->connections == 0) {
        list_append(&p->idle, &e->idle); /* seen just now: the last to go */
    }
    return why;
}

void peers_leave(struct peers *p, struct peer *e, int64_t now_ms)
{
    refill(p, e, now_ms);
    if (--e->connections == 0)
        list_append(&p->idle, &e->idle);
}

bool peers_note_failures(struct peers *p, struct peer *e, unsigned failures,
                         int64_t now_ms)
{
    refill(p, e, now_ms);
    e->credit -= (int64_t)failures * MINUTE_MS;
    if (e->credit < 0)
        e->credit = 0;
    return e->credit >= MINUTE_MS;
}

bool peers_take_handshake(struct peer *e, uint64_t turn)
{
    if (e->turn != turn)
        e->handshakes = 0;
    e->turn = turn;
    return e->handshakes++ < HANDSHAKES_PER_TURN;
}
