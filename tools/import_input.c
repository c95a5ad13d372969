#include "tools/import_input.h"

#include "sys/file_io.h"
#include "sys/process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const struct import_input *in, struct error *err)
{
    return error_set(err, "%s: %s", in->name, strerror(errno));
}

int import_input_open(struct import_input *in, const char *path,
                      struct error *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    struct stat file;

    in->name = is_stdin ? "stdin" : path;
    in->kept = -1;
    in->begin = 0;
    in->size = 0;
    in->fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (in->fd < 0 || fstat(in->fd, &file) != 0)
        return fail(in, err);
    off_t begin = lseek(in->fd, 0, SEEK_CUR);
    if (S_ISREG(file.st_mode) && begin >= 0 && begin < file.st_size) {
        in->begin = (uint64_t)begin;
        in->size = (uint64_t)(file.st_size - begin);
    }
    return 0;
}

void import_input_close(struct import_input *in)
{
    if (in->kept >= 0 && in->kept != in->fd)
        close(in->kept);
    if (in->fd > STDIN_FILENO)
        close(in->fd);
    in->kept = -1;
    in->fd = -1;
}

int import_input_keep(struct import_input *in, const char *beside,
                      struct error *err)
{
    struct file_draft copy;

    if (in->size > 0) {
        in->kept = in->fd;
        return 0;
    }
    process_hold_signals(); /* until its name is gone */
    int rc = file_draft_begin(&copy, beside, err);
    if (rc == 0)
        unlink(copy.path);
    process_release_signals();
    in->kept = copy.fd;
    return rc;
}

ssize_t import_input_read(struct import_input *in, void *out, size_t cap,
                          struct error *err)
{
    ssize_t n;

    do
        n = read(in->fd, out, cap);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return fail(in, err);
    if (in->kept < 0 || in->kept == in->fd ||
        file_write_all(in->kept, (struct span){out, (size_t)n}) == 0)
        return n;
    return error_set(err, "%s: cannot be kept beside the rejects: %s", in->name,
                     strerror(errno));
}

ssize_t import_input_read_at(const struct import_input *in, uint64_t offset,
                             void *out, size_t cap, struct error *err)
{
    ssize_t n;

    do
        n = pread(in->kept, out, cap, (off_t)(in->begin + offset));
    while (n < 0 && errno == EINTR);
    return n >= 0 ? n : fail(in, err);
}
