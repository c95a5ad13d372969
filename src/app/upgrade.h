/*
 * The HTTP side of a session: one request head in, one answer out.
 *
 *   GET /ws      the WebSocket handshake
 *   GET /health  200 OK: the process answers
 *   GET /ready   200 OK, or 503 with the reason
 *   GET …        a document of the app's
 */
#ifndef APP_UPGRADE_H
#define APP_UPGRADE_H

#include "app/session.h"

enum { UPGRADE_ANSWER_MAX = 1024 /* bytes */ };

struct upgrade_input {
    const uint8_t *head; /* bytes received so far */
    size_t len;
    size_t checked; /* bytes that an earlier call has seen */
};

struct upgrade_answer {
    char text[UPGRADE_ANSWER_MAX];
    size_t len;       /* 0: the head is not complete yet */
    struct span body; /* what follows the text */
    bool is_head;     /* the method is HEAD: no body is written */
    bool is_upgrade;  /* 101 */
    const char *end;  /* why the session ends then; static text */
};

/*
 * Answer a request head as soon as that can be done.
 * out:     *out
 * returns: bytes of the complete head; of use with is_upgrade only
 * bound:   an input of rules->header_max bytes always gets an answer
 */
size_t upgrade_answer_head(const struct session_rules *rules, bool is_tls,
                           const struct upgrade_input *input,
                           struct upgrade_answer *out);

/*
 * The answer to plain HTTP on a port that speaks TLS.
 * returns: bytes written
 */
size_t upgrade_refuse_plain(char out[UPGRADE_ANSWER_MAX]);

#endif
