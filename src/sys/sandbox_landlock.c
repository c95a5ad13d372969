/*
 * The kernel's names for its interface (linux/landlock.h) are not in musl's
 * include path: what we use of them is here.
 */
#include "sys/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CREATE_RULESET_VERSION = 1, RULE_PATH_BENEATH = 1 };

enum {
    ACCESS_WRITE_FILE = 1 << 1,
    ACCESS_READ_FILE = 1 << 2,
    ACCESS_READ_DIR = 1 << 3,
    ACCESS_REMOVE_FILE = 1 << 5,
    ACCESS_MAKE_DIR = 1 << 7,
    ACCESS_MAKE_REG = 1 << 8,
    ACCESS_TRUNCATE = 1 << 14,

    ACCESS_READ = ACCESS_READ_FILE | ACCESS_READ_DIR,
    ACCESS_APPEND = ACCESS_WRITE_FILE | ACCESS_MAKE_REG,
    ACCESS_STORE = ACCESS_READ_FILE | ACCESS_READ_DIR | ACCESS_WRITE_FILE |
                   ACCESS_REMOVE_FILE | ACCESS_MAKE_DIR | ACCESS_MAKE_REG |
                   ACCESS_TRUNCATE
};

/* What is forbidden where no rule allows it. */
struct ruleset {
    uint64_t files;
    uint64_t network;
    uint64_t scopes;
};

struct __attribute__((packed)) path_rule {
    uint64_t access;
    int32_t fd;
};

/* By version of the interface: all that it can forbid. */
static struct ruleset ruleset_of(long version)
{
    static const struct {
        long version;
        struct ruleset adds;
    } steps[] = {
        {1, {.files = 0x1fff}},  /* from EXECUTE to MAKE_SYM */
        {2, {.files = 1 << 13}}, /* REFER: rename to another directory */
        {3, {.files = ACCESS_TRUNCATE}},
        {4, {.network = 3}},     /* TCP: bind, connect */
        {5, {.files = 1 << 15}}, /* IOCTL_DEV */
        {6, {.scopes = 3}},      /* abstract sockets and signals of others */
    };
    struct ruleset all = {0};

    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (steps[i].version > version)
            break;
        all.files |= steps[i].adds.files;
        all.network |= steps[i].adds.network;
        all.scopes |= steps[i].adds.scopes;
    }
    return all;
}

static int allow(int ruleset, const char *dir, uint64_t rights,
                 struct error *err)
{
    struct path_rule rule = {.access = rights};

    rule.fd = open(dir, O_PATH | O_CLOEXEC);
    if (rule.fd < 0)
        return error_set(err, "landlock: %s: %s", dir, strerror(errno));
    long rc =
        syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0);
    if (rc != 0)
        error_set(err, "landlock: %s: %s", dir, strerror(errno));
    close(rule.fd);
    return rc == 0 ? 0 : -1;
}

static void parent_of(const char *path, char out[PATH_MAX])
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        snprintf(out, PATH_MAX, ".");
    else if (slash == path)
        snprintf(out, PATH_MAX, "/");
    else
        snprintf(out, PATH_MAX, "%.*s", (int)(slash - path), path);
}

/* The directory of what a link leads to; what is no link needs nothing. */
static int allow_behind_link(int ruleset, const char *path, struct error *err)
{
    char target[PATH_MAX], dir[PATH_MAX];
    struct stat st;

    if (lstat(path, &st) != 0 || !S_ISLNK(st.st_mode) ||
        realpath(path, target) == NULL)
        return 0;
    parent_of(target, dir);
    /* The root would be everything. */
    return strcmp(dir, "/") == 0 ? 0 : allow(ruleset, dir, ACCESS_READ, err);
}

/*
 * A certificate is renewed by a rename in its directory, or by a change of the
 * link to it, or of the link to its directory.
 */
static int allow_renewable(int ruleset, const char *path, struct error *err)
{
    char dir[PATH_MAX];

    if (path == NULL)
        return 0;
    parent_of(path, dir);
    /* The file cannot be read then; whoever reads it says why. */
    if (access(dir, X_OK) != 0)
        return 0;
    if (allow(ruleset, dir, ACCESS_READ, err) != 0 ||
        allow_behind_link(ruleset, dir, err) != 0)
        return -1;
    return allow_behind_link(ruleset, path, err);
}

static int allow_renamed(int ruleset, const char *path, struct error *err)
{
    char dir[PATH_MAX];

    if (path == NULL)
        return 0;
    parent_of(path, dir);
    /* The file cannot be opened then, whoever opens it says why; and the root
     * would be everything. */
    if (access(dir, X_OK) != 0 || strcmp(dir, "/") == 0)
        return 0;
    return allow(ruleset, dir, ACCESS_APPEND, err);
}

static int restrict_self(int ruleset, const struct sandbox_files *files,
                         uint64_t can_forbid, struct error *err)
{
    if (allow(ruleset, files->data_dir, ACCESS_STORE & can_forbid, err) != 0 ||
        allow_renewable(ruleset, files->cert_file, err) != 0 ||
        allow_renewable(ruleset, files->key_file, err) != 0 ||
        allow_renamed(ruleset, files->audit_file, err) != 0)
        return -1;
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) == 0)
        return 0;
    return error_set(err, "landlock: %s", strerror(errno));
}

int sandbox_limit_files(const struct sandbox_files *files, struct error *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return error_set(err, "no_new_privs: %s", strerror(errno));
    long version =
        syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
    if (version < 0)
        return error_set(err, "landlock: %s", strerror(errno));
    struct ruleset all = ruleset_of(version);
    int fd = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
    if (fd < 0)
        return error_set(err, "landlock: %s", strerror(errno));
    int rc = restrict_self(fd, files, all.files, err);
    close(fd);
    return rc;
}
