/*
 * The plaintext side of one connection: bytes in, bytes out, and time as an
 * argument. HTTP first, then WebSocket. No system calls, no allocation, so the
 * whole conversation can be tested and fuzzed without a descriptor.
 *
 *   UPGRADE --answered with HTTP--> DONE
 *      | 101
 *      v
 *     AUTH ---login---> LIVE          (an app without logins begins in LIVE)
 *      |                 |
 *      +--- Close sent --+--> CLOSING --Close received, or late--> DONE
 *      +--- Close received and answered, or failed ---------------> DONE
 *
 * Replies leave in the order of their requests. One that waits for a commit
 * holds back itself and what follows; Pings and Pongs overtake it.
 */
#ifndef APP_SESSION_H
#define APP_SESSION_H

#include "base/buf.h"
#include "base/span.h"
#include "proto/ws_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct session;

/* Whom the app has logged in: bytes of its own, a token's hash. */
enum { SESSION_IDENTITY_LEN = 32 };

/* What a message does. One for all sessions of a server. */
struct session_app {
    void *ctx;
    /* A whole message has come. Answers through session_reply and so on. */
    void (*on_message)(void *ctx, struct session *s, enum ws_opcode opcode,
                       struct span payload);
    /* Why the service is not ready, one line; NULL when it is. */
    const char *(*unready_reason)(void *ctx);
    /*
     * What else there is to GET; NULL: nothing. Without bytes: not here. It
     * stays valid until the next call, and fits into output_max.
     */
    struct span (*document)(void *ctx, struct span path);
    const char *document_type; /* Content-Type */
    size_t reply_max;          /* bytes of the longest payload of a reply */
    bool accepts_binary;
    bool needs_login; /* AUTH comes before LIVE */
};

/* Shared by all sessions of a server. Times in milliseconds. */
struct session_rules {
    struct session_app app;
    const char *path;   /* of the WebSocket; NULL: every other than health's */
    size_t header_max;  /* bytes of an HTTP request head */
    size_t message_max; /* bytes of a message */
    size_t output_max;  /* bytes queued before reading stops */
    unsigned failure_max;       /* failed logins; 0 = any number */
    int64_t handshake_ms;       /* from accept to 101 */
    int64_t auth_ms;            /* from 101 to the first login */
    int64_t ping_ms;            /* between Pings */
    int64_t pong_ms;            /* from Ping to Pong */
    int64_t close_ms;           /* from our Close to the end */
    const char *const *origins; /* allowed beside the server's own */
    size_t origin_count;
};

enum session_state {
    SESSION_UPGRADE,
    SESSION_AUTH,
    SESSION_LIVE,
    SESSION_CLOSING,
    SESSION_DONE
};

/* Output from this place on waits for a commit. */
struct session_hold {
    uint64_t ticket;
    size_t offset; /* in the readable bytes of out */
};

struct session {
    const struct session_rules *rules;
    enum session_state state;
    bool is_tls, is_trusted;
    uint8_t *mem;        /* first the request head, then the message */
    size_t head_len;     /* bytes of the request head so far */
    struct ws_recv recv; /* after the 101 */
    struct buf out;
    struct session_hold hold[2]; /* ascending tickets and offsets */
    unsigned holds;

    int64_t deadline_ms;   /* of the state; DEADLINE_NEVER none */
    int64_t ping_at_ms;    /* next Ping; DEADLINE_NEVER none */
    int64_t pong_due_ms;   /* DEADLINE_NEVER when no Ping is unanswered */
    int64_t last_reply_ms; /* when the last reply could leave */
    int64_t now_ms;        /* of the call being handled */

    uint16_t close_code;       /* 0, or what is to be sent soon */
    const char *close_reason;  /* static */
    int64_t close_wait_ms;     /* from the last reply to that */
    const char *end;           /* why the session ended, for the log; static */
    unsigned logins, failures; /* answers given */
    uint8_t identity[SESSION_IDENTITY_LEN]; /* of the last login */
    bool asks_for_many; /* there were logins of several identities */
    int64_t noted_s;    /* the app's: second of the last login told of, UTC */
    unsigned noted;     /* and how many were told of in it */
};

/* Bytes of storage that a session needs for the head or message, and output. */
size_t session_mem_size(const struct session_rules *rules);
size_t session_out_size(const struct session_rules *rules);

/*
 * Begin at accept.
 * owns: borrows the rules, mem (session_mem_size) and out (session_out_size)
 */
void session_init(struct session *s, const struct session_rules *rules,
                  uint8_t *mem, uint8_t *out);

/* How a session begins. */
struct session_start {
    bool is_tls;
    bool is_trusted; /* may fail any number of logins */
    int64_t now_ms;  /* of the accept */
};

void session_begin(struct session *s, const struct session_start *start);

/*
 * Take input.
 * returns: bytes taken; fewer than len only when output has to drain first
 */
size_t session_feed(struct session *s, const uint8_t *in, size_t len,
                    int64_t now_ms);

/* Would it take input now? Else output has to drain first. */
bool session_wants_input(const struct session *s);

/* The peer will send no more: what was asked is answered, then it is done. */
void session_end_input(struct session *s);

/* What may leave now; valid until the next call. */
struct span session_output(const struct session *s);

/* The first n bytes of the output have left. */
void session_sent(struct session *s, size_t n);

/* Does output wait for a commit? */
bool session_is_waiting(const struct session *s);

/* Let go of what waited for this ticket or an earlier one. */
void session_release(struct session *s, uint64_t ticket, int64_t now_ms);

/* When session_tick is due. DEADLINE_NEVER never. */
int64_t session_due_ms(const struct session *s);

/* Act on the deadlines that have passed. */
void session_tick(struct session *s, int64_t now_ms);

/*
 * Close from our side, but at least a second after the last reply: a Godot
 * client loses a message that arrives together with a Close.
 * in: reason: static text
 */
void session_close(struct session *s, enum ws_close code, const char *reason,
                   int64_t now_ms);

/* session_close with 1008, but half a second after the last reply. */
void session_expel(struct session *s, const char *reason, int64_t now_ms);

/*
 * Is it logged in, and amid nothing? What its memory holds may be lost then.
 */
bool session_rests(const struct session *s);

/* Nothing more will be said once the output is empty. */
bool session_is_done(const struct session *s);

/* --- For the app, within on_message --- */

/*
 * Queue one message.
 * in: payload: at most app.reply_max bytes
 *     ticket: the commit it waits for; 0 = none
 */
void session_reply(struct session *s, enum ws_opcode opcode,
                   struct span payload, uint64_t ticket);

/*
 * Fail the connection: a Close behind what is queued, and nothing more is read
 * (RFC 6455 section 7.1.7).
 * in: reason: static text
 */
void session_fail(struct session *s, enum ws_close code, const char *reason);

/* A login has succeeded. */
void session_note_login(struct session *s,
                        const uint8_t identity[SESSION_IDENTITY_LEN]);

/* A login has failed. An earlier one stays in force. */
void session_note_failure(struct session *s);

/* Has a login succeeded on this connection? */
bool session_is_authenticated(const struct session *s);

#endif
