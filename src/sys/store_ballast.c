/*
 * A file to give up: on a full disk LMDB needs room for the pages of the very
 * transaction that would make some.
 */
#include "sys/clock.h"
#include "sys/entropy.h"
#include "sys/file_io.h"
#include "sys/store_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    BALLAST_LEN = 1 << 20, /* bytes */
    RETRY_MS = 60000,
    ROOM_TIMES = 4 /* it is not made of the last that is left */
};

static void path_of(const struct store *s, char out[PATH_MAX])
{
    const char *slash = strrchr(s->path, '/');

    /* The path of store.mdb, which is longer. */
    snprintf(out, PATH_MAX, "%.*s/ballast", (int)(slash - s->path), s->path);
}

/* Of chance, because some file systems store zeros in no room at all. */
static int make(const char *path)
{
    uint8_t *bytes = malloc(BALLAST_LEN);
    struct error ignored;

    if (bytes == NULL)
        return -1;
    int rc = entropy_fill(bytes, BALLAST_LEN, &ignored);
    if (rc == 0)
        rc =
            file_write(path, (struct span){bytes, BALLAST_LEN}, 0600, &ignored);
    free(bytes);
    return rc;
}

void store_keep_ballast(struct store *s)
{
    char path[PATH_MAX];
    struct statvfs disk;

    path_of(s, path);
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms < s->ballast_at_ms || file_exists(path) ||
        fstatvfs(s->view.fd, &disk) != 0 ||
        disk.f_bavail < (fsblkcnt_t)ROOM_TIMES * BALLAST_LEN / disk.f_frsize)
        return;
    if (make(path) != 0)
        s->ballast_at_ms = now_ms + RETRY_MS;
}

bool store_drop_ballast(const struct store *s)
{
    char path[PATH_MAX];

    path_of(s, path);
    return unlink(path) == 0;
}
