#include "sys/user.h"

#include "sys/process.h"

#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Up to a colon or the end. returns: where it ends, or NULL */
static const char *parse_id(const char *text, uint32_t *id)
{
    char *end;

    /* strtoull would take blanks and a minus sign. */
    if (text[0] < '0' || text[0] > '9')
        return NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    /* The largest number means "leave it as it is" to the kernel. */
    if (errno != 0 || value >= UINT32_MAX)
        return NULL;
    *id = (uint32_t)value;
    return end;
}

int user_parse(const char *text, struct user *user, struct error *err)
{
    uint32_t uid = 0;
    const char *rest = parse_id(text, &uid);
    uint32_t gid = uid;

    if (rest != NULL && *rest == ':')
        rest = parse_id(rest + 1, &gid);
    if (rest == NULL || *rest != '\0')
        return error_set(err, "'%s' is not UID or UID:GID, as 65532:65532",
                         text);
    if (uid == 0)
        return error_set(err, "user 0 is root; name another one");
    *user = (struct user){.uid = uid, .gid = gid};
    return 0;
}

static bool is_user(const struct user *user)
{
    uid_t real, effective, saved;
    gid_t real_group, effective_group, saved_group;

    return getresuid(&real, &effective, &saved) == 0 &&
           getresgid(&real_group, &effective_group, &saved_group) == 0 &&
           real == user->uid && effective == user->uid && saved == user->uid &&
           real_group == user->gid && effective_group == user->gid &&
           saved_group == user->gid;
}

int user_become(const struct user *user, struct error *err)
{
    if (is_user(user))
        return 0;
    /* The user last: it takes away the right to the others. */
    if (setgroups(0, NULL) != 0 ||
        setresgid(user->gid, user->gid, user->gid) != 0 ||
        setresuid(user->uid, user->uid, user->uid) != 0)
        return error_set(err,
                         "cannot become user %u:%u: %s; start as root, or "
                         "without --user",
                         user->uid, user->gid, strerror(errno));
    /* A change of user may make a process dumpable again. */
    process_forbid_dumps();
    if (!is_user(user) || setuid(0) == 0)
        return error_set(err, "user %u:%u could become root again", user->uid,
                         user->gid);
    return 0;
}
