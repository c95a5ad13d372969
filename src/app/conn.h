/*
 * One connection: a socket with its TLS, the session on it, and its deadlines.
 *
 *   CARRY --session done, its output written--> FLUSH (TLS close_notify)
 *   FLUSH --all sent--> LINGER (FIN sent, input dropped) --> DEAD
 *   any state: socket or TLS error, deadline --> DEAD
 *
 * LINGER is there because closing a socket with unread input resets it, and
 * the peer could lose our last words.
 */
#ifndef APP_CONN_H
#define APP_CONN_H

#include "app/session.h"
#include "base/list.h"
#include "sys/link.h"
#include "sys/net.h"
#include "sys/timer.h"

#include <stdbool.h>
#include <stdint.h>

enum conn_state { CONN_CARRY, CONN_FLUSH, CONN_LINGER, CONN_DEAD };

struct conn_rules {
    struct session_rules session;
    int64_t flush_ms;  /* for queued output to be taken by the peer */
    int64_t linger_ms; /* from our FIN to the end */
};

struct conn {
    struct timer timer; /* the server's */
    enum conn_state state;
    const struct conn_rules *rules;
    struct link link;
    struct session session;
    struct net_address address;
    const char *end;       /* why it died, when the session does not say */
    uint64_t sent;         /* plaintext bytes handed to the link */
    uint64_t flush_mark;   /* sent must reach this by flush_due_ms */
    int64_t flush_due_ms;  /* DEADLINE_NEVER when nothing is pending */
    int64_t linger_due_ms; /* DEADLINE_NEVER before LINGER */
    int64_t moved_ms;      /* when bytes last moved */
    int64_t rest_due_ms;   /* DEADLINE_NEVER when no byte has since it rested */

    /* The server's. */
    uint64_t id;               /* from 1, as they were accepted; for the log */
    struct peer *peer;         /* NULL: trusted */
    const char *refusal;       /* of its proxied address; NULL: it may come */
    unsigned counted_failures; /* of the session's, in peer */
    size_t live_index;
    unsigned interest;
    struct list waiting;  /* output waits for a commit */
    struct list runnable; /* input is left from this turn */
    struct list dead;     /* to be swept */
};

/* Whose session it is. needs: a session that is part of a connection */
static inline const struct conn *conn_of(struct session *s)
{
    return LIST_OWNER(s, struct conn, session);
}

/* How a new connection arrives. */
struct conn_arrival {
    int fd; /* non-blocking */
    struct net_address address;
    struct tls_server *tls; /* NULL: plain */
    bool is_trusted;
    bool expects_proxy; /* a PROXY header comes first */
};

/* Bytes of memory, aligned for any type, behind a struct conn. */
size_t conn_mem_size(const struct conn_rules *rules);

/*
 * Begin. mem has conn_mem_size bytes.
 * owns:    takes the descriptor over, on success only; borrows rules and mem
 * returns: 0, or -1 with the reason
 */
int conn_open(struct conn *c, const struct conn_rules *rules, void *mem,
              const struct conn_arrival *arrival, int64_t now_ms,
              struct error *err);

/*
 * Has a PROXY header just given the real address? True once, then the server
 * judges that address; what it finds goes into is_trusted of the session.
 */
bool conn_take_address(struct conn *c);

/* Close the socket and wipe the keys. needs: CONN_DEAD, or the process ends */
void conn_shut(struct conn *c);

/* Move what can be moved, but not more than a turn's share. */
void conn_pump(struct conn *c, int64_t now_ms);

/*
 * Has the last pump left input that no event of the socket will tell of? Then
 * it is to be pumped again in the next turn.
 */
bool conn_has_more(struct conn *c);

/* The socket has failed, or both directions are closed. */
void conn_hang_up(struct conn *c);

/* Act on the deadlines that have passed. */
void conn_tick(struct conn *c, int64_t now_ms);

/* When conn_tick is due. DEADLINE_NEVER never. */
int64_t conn_due_ms(const struct conn *c);

/* EPOLLIN and EPOLLOUT, as the connection can use them now. */
unsigned conn_interest(struct conn *c);

/* Why it ended, for the log; static text. */
const char *conn_end(const struct conn *c);

#endif
