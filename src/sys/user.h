/*
 * Serving as somebody else than root. Users are numbers: in a scratch
 * container there is no /etc/passwd.
 */
#ifndef SYS_USER_H
#define SYS_USER_H

#include "base/error.h"

#include <sys/types.h>

struct user {
    uid_t uid; /* never 0 */
    gid_t gid;
};

/*
 * Read UID or UID:GID; without GID it is the same number.
 * returns: 0, or -1 with the reason, also for UID 0
 */
int user_parse(const char *text, struct user *user, struct error *err);

/*
 * Become this user for good, in no other groups. Being it already is fine.
 * The process stays undumpable.
 * needs:   called before any thread is started
 * returns: 0, or -1 with the reason: the process must not go on
 */
int user_become(const struct user *user, struct error *err);

#endif
