#include "sys/store_copy.h"

#include "sys/file_io.h"
#include "sys/store_env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BATCH = 1 << 16,    /* records of a transaction */
    ROOM_LEN = 64 << 20 /* bytes of map beyond the size of the source */
};

struct copy {
    struct store *to; /* FILE.partial */
    const struct store_copy_options *options;
    MDB_txn *txn;
    size_t in_txn;       /* records */
    int rc;              /* an LMDB result */
    int dir_fd;          /* of a store's directory; -1 = it is no store */
    struct error damage; /* the fault that ends it */
    bool is_damaged;
};

/* --- The new file --- */

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Another copy to the same name is refused; one that was killed is not. */
static int claim(struct store *to, struct error *err)
{
    struct stat file, named;

    to->file_fd =
        open(to->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to->file_fd < 0)
        return error_set(err, "%s: %s", to->path, strerror(errno));
    /* The other one may even have renamed what was opened here. */
    if (flock(to->file_fd, LOCK_EX | LOCK_NB) != 0 ||
        fstat(to->file_fd, &file) != 0 || lstat(to->path, &named) != 0 ||
        !is_same_file(&file, &named))
        return error_set(err, "%s: another copy is being written there",
                         to->path);
    if (!S_ISREG(file.st_mode) || file.st_uid != geteuid() ||
        file.st_nlink != 1)
        return error_set(err, "%s: somebody else has put it there; remove it",
                         to->path);
    if (ftruncate(to->file_fd, 0) != 0 || fchmod(to->file_fd, 0600) != 0)
        return error_set(err, "%s: %s", to->path, strerror(errno));
    return 0;
}

/*
 * Each batch is synced: all of it at the end would be one long wait for the
 * disk, and a server's logins would share it.
 */
static int open_new(struct copy *c)
{
    int rc = mdb_env_create(&c->to->env);

    if (rc == 0)
        rc = mdb_env_set_mapsize(c->to->env, c->to->map_size);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(c->to->env, STORE_TABLES);
    if (rc == 0)
        rc = mdb_env_open(c->to->env, c->to->path, MDB_NOSUBDIR | MDB_NOLOCK,
                          0600);
    if (rc == 0)
        rc = mdb_txn_begin(c->to->env, NULL, 0, &c->txn);
    if (rc == 0)
        rc = store_open_tables(c->to, c->txn, MDB_CREATE);
    return rc;
}

/* --- Records --- */

static MDB_dbi handle_of(const struct store *s, enum store_table_id id)
{
    switch (id) {
    case STORE_META:
        return s->meta;
    case STORE_TOKENS:
        return s->tokens;
    case STORE_JOURNAL:
        return s->journal;
    default:
        return s->last_used;
    }
}

static int next_batch(struct copy *c)
{
    MDB_txn *txn = c->txn;

    c->in_txn = 0;
    c->txn = NULL;
    int rc = mdb_txn_commit(txn);
    return rc == 0 ? mdb_txn_begin(c->to->env, NULL, 0, &c->txn) : rc;
}

static bool put_record(void *ctx, const struct store_record *record)
{
    struct copy *c = ctx;
    MDB_val key = val_of(record->key.ptr, record->key.len);
    MDB_val value = val_of(record->value.ptr, record->value.len);
    unsigned flags = record->table == STORE_META ? 0 : MDB_APPEND;

    if (span_equals(record->key, span_of(META_SECRET)))
        memcpy(c->to->secret, record->value.ptr, sizeof c->to->secret);
    c->rc =
        mdb_put(c->txn, handle_of(c->to, record->table), &key, &value, flags);
    if (c->rc == 0 && ++c->in_txn == BATCH)
        c->rc = next_batch(c);
    return c->rc == 0;
}

static bool meet_fault(void *ctx, const struct store_fault *fault)
{
    struct copy *c = ctx;

    if (c->options->may_lose)
        return true;
    c->is_damaged = true;
    error_set(
        &c->damage, "page %llu: %s%s%s%s%s", (unsigned long long)fault->page,
        fault->key == NULL ? "" : fault->table, fault->key == NULL ? "" : " ",
        fault->key == NULL ? "" : fault->key, fault->key == NULL ? "" : ": ",
        fault->what);
    return false;
}

/* A next row that was damaged must not be one that was given already. */
static int mend_next_row(struct copy *c, uint64_t greatest)
{
    uint64_t next;
    int rc = store_get_number(c->to, c->txn, META_NEXT_ROW, &next);

    if (rc == 0 && next > greatest)
        return 0;
    return rc == 0 || rc == MDB_NOTFOUND
               ? store_put_number(c->to, c->txn, META_NEXT_ROW, greatest + 1)
               : rc;
}

/* --- All of it --- */

static int read_source(struct copy *c, struct store *from,
                       struct store_counts *counts, struct error *err)
{
    const struct store_verifier verifier = {meet_fault, put_record, c,
                                            c->options->now};
    int rc = store_verify(from, &verifier, counts, err);

    if (c->is_damaged)
        return error_set(err,
                         "store %s: %s; nothing was written; `verify` "
                         "tells all that is damaged",
                         from->path, c->damage.text);
    if (rc == 0 && c->rc == 0)
        c->rc = mend_next_row(c, counts->greatest_row);
    if (c->rc != 0)
        return store_explain(c->to, c->rc, "write it", err);
    return rc;
}

static int finish(struct copy *c, struct error *err)
{
    MDB_txn *txn = c->txn;

    c->txn = NULL;
    int rc = mdb_txn_commit(txn);
    return rc == 0 ? 0 : store_explain(c->to, rc, "write it", err);
}

static int write_copy(struct copy *c, struct store *from,
                      struct store_counts *counts, struct error *err)
{
    int rc = open_new(c);

    if (rc != 0)
        store_explain(c->to, rc, "create it", err);
    if (rc == 0)
        rc = read_source(c, from, counts, err);
    if (rc == 0)
        rc = finish(c, err);
    if (c->txn != NULL)
        mdb_txn_abort(c->txn);
    mdb_env_close(c->to->env);
    c->to->env = NULL;
    return rc;
}

static bool ignore_fault(void *ctx, const struct store_fault *fault)
{
    (void)ctx;
    (void)fault;
    return true;
}

/* Is what was written what was read? in, out: *counts, of one and the other */
static int check_copy(const struct copy *c, struct store_counts *counts,
                      struct error *err)
{
    const struct store_verifier verifier = {ignore_fault, NULL, NULL,
                                            c->options->now};
    struct store *copy = store_open_file(c->to->path, err);
    struct store_counts seen;

    if (copy == NULL)
        return -1;
    int rc = store_verify(copy, &verifier, &seen, err);
    store_close(copy);
    if (rc != 0)
        return rc;
    if (seen.faults != 0 || seen.tokens != counts->tokens ||
        seen.last_uses != counts->last_uses ||
        seen.journal_records != counts->journal_records)
        return error_set(err, "%s: it does not verify", c->to->path);
    seen.faults = counts->faults;
    *counts = seen;
    return 0;
}

static int give_name(const struct store *to, const char *path, int dir_fd,
                     struct error *err)
{
    struct stat dir;

    if (dir_fd >= 0 && (fstat(dir_fd, &dir) != 0 ||
                        fchown(to->file_fd, dir.st_uid, dir.st_gid) != 0))
        return error_set(err,
                         "%s: cannot give it to the owner of its "
                         "directory: %s",
                         to->path, strerror(errno));
    if (fsync(to->file_fd) != 0 || rename(to->path, path) != 0 ||
        file_sync_parent(path) != 0)
        return error_set(err, "%s: %s", path, strerror(errno));
    return 0;
}

static int check_name(const struct store *from, const char *path,
                      bool may_replace, struct error *err)
{
    struct stat file, source;

    if (lstat(path, &file) != 0)
        return errno == ENOENT
                   ? 0
                   : error_set(err, "%s: %s", path, strerror(errno));
    if (!S_ISREG(file.st_mode))
        return error_set(err, "%s: it is not a regular file", path);
    if (fstat(from->file_fd, &source) != 0 || is_same_file(&file, &source))
        return error_set(err, "%s: it is what is to be copied", path);
    if (!may_replace)
        return error_set(err, "%s: it exists; --force replaces it", path);
    return 0;
}

static int copy_into(struct copy *c, struct store *from, const char *path,
                     struct store_counts *counts, struct error *err)
{
    if (store_set_path(c->to, path, ".partial", err) != 0 ||
        claim(c->to, err) != 0)
        return -1;
    if (write_copy(c, from, counts, err) == 0 &&
        check_copy(c, counts, err) == 0 &&
        give_name(c->to, path, c->dir_fd, err) == 0)
        return 0;
    unlink(c->to->path);
    return -1;
}

static int copy(struct store *from, const char *path, int dir_fd,
                const struct store_copy_options *options,
                struct store_counts *counts, struct error *err)
{
    struct copy c = {.options = options, .dir_fd = dir_fd};
    struct stat file;

    if (fstat(from->file_fd, &file) != 0)
        return store_explain(from, errno, "find it", err);
    c.to = store_new((size_t)file.st_size + (size_t)file.st_size / 4 + ROOM_LEN,
                     err);
    if (c.to == NULL)
        return -1;
    int rc = copy_into(&c, from, path, counts, err);
    store_close(c.to);
    return rc;
}

int store_copy(struct store *s, const char *path,
               const struct store_copy_options *options,
               struct store_counts *counts, struct error *err)
{
    if (check_name(s, path, options->may_replace, err) != 0)
        return -1;
    return copy(s, path, -1, options, counts, err);
}

/* --- In place of a store --- */

/* A store that does not exist is nobody's. */
static int lock_file(struct store_alone *alone, struct error *err)
{
    alone->file_fd = open(alone->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (alone->file_fd < 0 && errno == ENOENT)
        return 0;
    if (alone->file_fd < 0)
        return error_set(err, "store %s: %s", alone->path, strerror(errno));
    if (flock(alone->file_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return error_set(err,
                     "store %s: another process has it open; stop the server "
                     "first",
                     alone->path);
}

int store_alone_begin(struct store_alone *alone, const char *dir,
                      struct error *err)
{
    alone->file_fd = -1;
    alone->dir_fd = store_open_dir(dir, err);
    if (alone->dir_fd < 0)
        return -1;
    int len = snprintf(alone->path, sizeof alone->path, "%s/store.mdb", dir);
    if (len < 0 || (size_t)len >= sizeof alone->path)
        return error_set(err, "data directory: the path is too long");
    if (flock(alone->dir_fd, LOCK_EX) != 0)
        return error_set(err, "data directory %s: cannot lock it: %s", dir,
                         strerror(errno));
    return lock_file(alone, err);
}

void store_alone_end(struct store_alone *alone)
{
    if (alone->file_fd >= 0)
        close(alone->file_fd);
    if (alone->dir_fd >= 0)
        close(alone->dir_fd);
}

int store_alone_replace(const struct store_alone *alone, struct store *from,
                        const struct store_copy_options *options,
                        struct store_counts *counts, struct error *err)
{
    if (alone->file_fd >= 0 && !options->may_replace)
        return error_set(err, "%s: it exists; --force replaces it",
                         alone->path);
    return copy(from, alone->path, alone->dir_fd, options, counts, err);
}
