#include "sys/file_io.h"

#include "base/siphash.h"
#include "base/wipe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(struct error *err, const char *path)
{
    return error_set(err, "%s: %s", path, strerror(errno));
}

/* Read until the end or until cap bytes are there. returns: bytes, or -1 */
static ssize_t read_fully(int fd, uint8_t *out, size_t cap)
{
    size_t have = 0;

    while (have < cap) {
        ssize_t n = read(fd, out + have, cap - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

static int read_open_file(int fd, const char *path, size_t max,
                          struct file_bytes *out, struct error *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return fail(err, path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, "%s: not a regular file", path);
    /* One byte more than allowed tells a file that is too large. */
    uint8_t *mem = malloc(max + 1);
    if (mem == NULL)
        return fail(err, path);
    ssize_t n = read_fully(fd, mem, max + 1);
    if (n < 0 || (size_t)n > max) {
        if (n < 0)
            fail(err, path);
        else
            error_set(err, "%s: larger than %zu bytes", path, max);
        wipe(mem, max + 1);
        free(mem);
        return -1;
    }
    mem[n] = 0;
    *out = (struct file_bytes){mem, (size_t)n, st.st_mode & 07777};
    return 0;
}

int file_read(const char *path, size_t max, struct file_bytes *out,
              struct error *err)
{
    /* Not blocking, so that a fifo is refused instead of waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return fail(err, path);
    int result = read_open_file(fd, path, max, out, err);
    close(fd);
    return result;
}

void file_bytes_fini(struct file_bytes *out)
{
    wipe(out->ptr, out->len);
    free(out->ptr);
    *out = (struct file_bytes){NULL, 0, 0};
}

bool file_exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

uint64_t file_stamp(const char *path)
{
    static const uint8_t no_key[SIPHASH_KEY_LEN];
    struct stat st;

    if (stat(path, &st) != 0)
        return 0;
    /* The kernel's clock ticks slowly: a change need not show in its times. */
    const int64_t facts[] = {
        (int64_t)st.st_dev, (int64_t)st.st_ino, st.st_size,
        st.st_mode,         st.st_uid,          st.st_mtim.tv_sec,
        st.st_mtim.tv_nsec, st.st_ctim.tv_sec,  st.st_ctim.tv_nsec,
    };
    return siphash(no_key, facts, sizeof facts);
}

int file_write_all(int fd, struct span content)
{
    while (content.len > 0) {
        ssize_t n = write(fd, content.ptr, content.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        content.ptr += n;
        content.len -= (size_t)n;
    }
    return 0;
}

int file_sync_parent(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        snprintf(dir, sizeof dir, ".");
    else if (slash == path)
        snprintf(dir, sizeof dir, "/");
    else
        snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int result = fsync(fd);
    close(fd);
    return result;
}

/* A new file with content on disk and its final mode, or none. */
static int write_new(const char *path, struct span content, unsigned mode)
{
    int fd =
        open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return -1;
    int result = file_write_all(fd, content);
    if (result == 0)
        result = fchmod(fd, mode);
    if (result == 0)
        result = fsync(fd);
    int reason = errno;
    close(fd);
    if (result != 0)
        unlink(path);
    errno = reason;
    return result;
}

int file_write(const char *path, struct span content, unsigned mode,
               struct error *err)
{
    char tmp[PATH_MAX];

    if (snprintf(tmp, sizeof tmp, "%s.tmp", path) >= (int)sizeof tmp) {
        errno = ENAMETOOLONG;
        return fail(err, path);
    }
    unlink(tmp); /* left by a crash */
    if (write_new(tmp, content, mode) != 0)
        return fail(err, tmp);
    if (rename(tmp, path) != 0) {
        fail(err, path);
        unlink(tmp);
        return -1;
    }
    return file_sync_parent(path) == 0 ? 0 : fail(err, path);
}

int file_draft_begin(struct file_draft *draft, const char *path,
                     struct error *err)
{
    draft->fd = -1;
    if (snprintf(draft->path, sizeof draft->path, "%s.XXXXXX", path) >=
        (int)sizeof draft->path) {
        errno = ENAMETOOLONG;
        return fail(err, path);
    }
    draft->fd = mkostemp(draft->path, O_CLOEXEC);
    return draft->fd >= 0 ? 0 : fail(err, path);
}

int file_draft_publish(const struct file_draft *draft, const char *path,
                       struct error *err)
{
    /* A link, because it does not take the place of what is there. */
    if (fsync(draft->fd) != 0 || link(draft->path, path) != 0)
        return fail(err, path);
    if (file_sync_parent(path) == 0)
        return 0;
    fail(err, path);
    unlink(path);
    return -1;
}

void file_draft_drop(const struct file_draft *draft)
{
    if (draft->fd < 0)
        return;
    unlink(draft->path);
    close(draft->fd);
}

int file_make_dir(const char *path, unsigned mode, struct error *err)
{
    struct stat st;

    if (mkdir(path, 0700) == 0) {
        if (chmod(path, mode) != 0 || file_sync_parent(path) != 0)
            return fail(err, path);
        return 0;
    }
    if (errno != EEXIST)
        return fail(err, path);
    if (stat(path, &st) != 0)
        return fail(err, path);
    if (!S_ISDIR(st.st_mode))
        return error_set(err, "%s: not a directory", path);
    return 0;
}
