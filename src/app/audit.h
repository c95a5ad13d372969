/*
 * Who logged in, when and from where: each login, granted or not, as a line of
 * the log (rate-limited) and, when there is a file for it, as a line there
 * (all of them):
 *
 *   {"time":"2026-11-24T08:20:05.448Z","event":"login","peer":"[::1]:40112",
 *    "conn":7,"result":"ok","token":"0123456789ab","user":"jane.doe"}
 *
 * A line is made when the token has been judged, and handed to the file's
 * thread before the commit that the answer waits for. So there may be a line
 * of a login whose answer never left, in a crash or when the player was gone.
 */
#ifndef APP_AUDIT_H
#define APP_AUDIT_H

#include "app/conn.h"
#include "sys/log.h"

enum login_result {
    LOGIN_OK,
    LOGIN_UNKNOWN,
    LOGIN_EXPIRED,
    LOGIN_REVOKED,
    LOGIN_EARLY,      /* not valid yet */
    LOGIN_DAMAGED,    /* its record does not verify */
    LOGIN_MALFORMED,  /* not a token */
    LOGIN_UNAVAILABLE /* the store could not say, or cannot keep up */
};

struct login {
    enum login_result result;
    const uint8_t *key;   /* of the token; NULL when there is none */
    struct span username; /* needs LOGIN_OK */
};

struct audit;

/*
 * Begin.
 * in:      path: of the file; NULL: none
 * owns:    borrows log and path
 * returns: NULL with the reason
 */
struct audit *audit_open(const char *path, struct log *log, struct error *err);

/*
 * Note one login of a connection. What it costs does not depend on why a login
 * was not granted.
 */
void audit_note(struct audit *a, const struct conn *c,
                const struct login *login);

/*
 * Once a turn: let the file be written, and log when that begins to fail.
 * returns: when it has to be called again at the latest; DEADLINE_NEVER
 */
int64_t audit_settle(struct audit *a, int64_t now_ms);

/* The file may have been renamed: let its path be opened anew. */
void audit_reopen(struct audit *a);

/* Write what is left, but not for long. NULL is allowed. */
void audit_close(struct audit *a);

#endif
