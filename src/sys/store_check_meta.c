#include "sys/store_check_meta.h"

#include "base/bytes.h"
#include "sys/store_check.h"
#include "sys/store_env.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define META_MAGIC_NUMBER 0xbeefc0deu

enum {
    DATA_VERSION = 1,
    FLAGS_MASK = MDB_INTEGERKEY | MDB_NOSUBDIR, /* of all that LMDB knows */
    META_READ = STORE_META_AT + STORE_META_LEN,
    TRIES = 20,
    TRY_NS = 1000000
};

/* What may be missing at a file's end, by right, beyond our own map size. */
#define MISSING_MAX ((uint64_t)16 << 30)

/* More commits than any store has seen; the next ones cannot overflow. */
#define TXNID_MAX ((uint64_t)1 << 62)

/* --- One page --- */

/* pad 4, flags 2, depth 2, three counts and entries 8 each, root 8 */
bool store_root_parse(const uint8_t *bytes, struct store_root *root)
{
    root->flags = page_u16(bytes + 4);
    root->depth = page_u16(bytes + 6);
    root->page = page_u64(bytes + 40);
    return root->depth <= STORE_DEPTH_MAX &&
           (root->depth == 0) == (root->page == STORE_NO_PAGE);
}

/* magic 4, version 4, address 8, map size 8, two tables, last page 8, id 8 */
static void read_fields(const uint8_t *in, struct store_meta *meta,
                        bool *is_sound)
{
    meta->page_size = page_u32(in + 24);
    meta->last_page = page_u64(in + 120);
    meta->txnid = page_u64(in + 128);
    *is_sound = store_root_parse(in + 24, &meta->free);
    *is_sound &= store_root_parse(in + 72, &meta->main);
}

const char *store_meta_parse(const uint8_t *bytes, uint64_t number,
                             struct store_meta *meta)
{
    const uint8_t *in = bytes + STORE_META_AT;
    bool is_sound;

    if (page_u16(bytes + 10) != PAGE_META || page_u32(in) != META_MAGIC_NUMBER)
        return "it is not a database of this program";
    if (page_u64(bytes) != number)
        return "it does not bear its own number";
    if (page_u32(in + 4) != DATA_VERSION)
        return "another version of LMDB wrote it";
    read_fields(in, meta, &is_sound);
    if (meta->page_size < STORE_PAGE_SIZE_MIN ||
        meta->page_size > STORE_PAGE_SIZE_MAX ||
        (meta->page_size & (meta->page_size - 1)) != 0)
        return "it says an impossible page size";
    if (!is_sound || (meta->free.flags & ~(unsigned)FLAGS_MASK) != 0 ||
        meta->txnid >= TXNID_MAX || meta->last_page < 1)
        return "it holds impossible values";
    return NULL;
}

/* --- Both --- */

struct file {
    int fd;
    uint64_t size; /* bytes */
};

/* returns: NULL, or what is wrong */
static const char *read_meta(const struct file *file, uint64_t number,
                             size_t page_size, struct store_meta *meta)
{
    uint8_t bytes[META_READ];
    ssize_t n =
        pread(file->fd, bytes, sizeof bytes, (off_t)(number * page_size));

    if (n < 0)
        return strerror(errno);
    if ((size_t)n == sizeof bytes)
        return store_meta_parse(bytes, number, meta);
    return number == 0 ? "it is not a database of this program"
                       : "it is cut short";
}

/* A commit writes one of both: they are a commit apart. */
static bool belong_together(uint64_t even, uint64_t odd)
{
    if (even == 0 && odd == 0)
        return true; /* nothing was committed yet */
    return even % 2 == 0 && odd % 2 == 1 &&
           (even + 1 == odd || odd + 1 == even);
}

/* out: *newest, when they are sound */
static const char *check_pair(const struct store_meta metas[2],
                              const struct file *file, size_t map_size,
                              struct store_meta *newest)
{
    uint64_t room = map_size > MISSING_MAX ? map_size : MISSING_MAX;

    if (metas[0].page_size != metas[1].page_size)
        return "it says another page size than page 0";
    if (!belong_together(metas[0].txnid, metas[1].txnid))
        return "it does not belong to the same store as page 0";
    *newest = metas[metas[0].txnid < metas[1].txnid];
    if (newest->last_page >= (file->size + room) / STORE_PAGE_SIZE_MIN)
        return "it is cut short";
    return NULL;
}

/* out: *page, where it was met. returns: NULL, or what is wrong */
static const char *check_once(struct store *s, const struct file *file,
                              uint64_t *page)
{
    struct store_meta metas[2] = {{0}};
    const char *what;

    *page = 0;
    what = read_meta(file, 0, 0, &metas[0]);
    if (what != NULL)
        return what;
    *page = 1;
    what = read_meta(file, 1, metas[0].page_size, &metas[1]);
    return what == NULL ? check_pair(metas, file, s->map_size, &s->newest)
                        : what;
}

/* A server that is running may be writing the page that is read. */
static const char *check_patiently(struct store *s, struct file *file,
                                   uint64_t *page)
{
    const struct timespec moment = {.tv_nsec = TRY_NS};
    const char *what = NULL;
    struct stat info;

    for (int i = 0; i < TRIES; i++) {
        if (i > 0)
            nanosleep(&moment, NULL);
        if (fstat(file->fd, &info) != 0)
            return strerror(errno);
        file->size = (uint64_t)info.st_size;
        what = check_once(s, file, page);
        if (what == NULL)
            break;
    }
    return what;
}

int store_check_meta(struct store *s, struct error *err)
{
    struct file file = {.fd = open(s->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    struct store_damage damage = {0, NULL};

    if (file.fd < 0)
        return store_explain(s, errno, "open it", err);
    damage.what = check_patiently(s, &file, &damage.page);
    close(file.fd);
    return damage.what == NULL ? 0 : store_explain_damage(s, &damage, err);
}
