#include "sys/store_env.h"

#include "base/bytes.h"
#include "base/wipe.h"
#include "sys/entropy.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TABLES_MAX = 8,
    NUMBER_NAME_MAX = 16,
    LOCK_LEN = 8192 /* bytes of LMDB's lock file with its 126 readers */
};

#define STORE_FILE "store.mdb"

static const char magic_text[] = STORE_MAGIC_TEXT;

/* --- Errors --- */

static const char *advice_for(int rc)
{
    switch (rc) {
    case EAGAIN:
        return "another container has it open under the same process number; "
               "run this inside that container (docker exec)";
    case EACCES:
    case EPERM:
        return "check that this user owns the directory and its files";
    case ENOSPC:
    case EDQUOT:
        return "the disk is full";
    case MDB_MAP_FULL:
        return "the store has reached its map size; raise --map-size";
    case MDB_READERS_FULL:
        return "too many processes have it open";
    case MDB_INVALID:
        return "it is not a database of this program";
    case MDB_VERSION_MISMATCH:
        return "another version of LMDB wrote it";
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
        return "it is damaged; restore a backup";
    default:
        return NULL;
    }
}

int store_explain(struct store *s, int rc, const char *doing, struct error *err)
{
    const char *advice = advice_for(rc);

    if (rc == MDB_PANIC || rc == MDB_MAP_RESIZED)
        atomic_store(&s->needs_reopen, true);
    return error_set(err, "store %s: cannot %s: %s%s%s", s->path, doing,
                     mdb_strerror(rc), advice == NULL ? "" : "; ",
                     advice == NULL ? "" : advice);
}

/* --- Meta table --- */

int store_get_meta(const struct store *s, MDB_txn *txn, const char *name,
                   MDB_val *value)
{
    MDB_val key = val_of(name, strlen(name));

    return mdb_get(txn, s->meta, &key, value);
}

int store_put_meta(const struct store *s, MDB_txn *txn, const char *name,
                   MDB_val value)
{
    MDB_val key = val_of(name, strlen(name));

    return mdb_put(txn, s->meta, &key, &value, 0);
}

/* A number of meta: itself (8), SipHash-2-4 over its name and it (8). */
enum { NUMBER_LEN = 16 };

static void encode_number(const uint8_t *secret, const char *name,
                          uint64_t number, uint8_t out[NUMBER_LEN])
{
    uint8_t joined[NUMBER_NAME_MAX + 8];
    size_t len = strlen(name);

    assert(len <= NUMBER_NAME_MAX);
    memcpy(joined, name, len);
    store_le64(joined + len, number);
    store_le64(out, number);
    store_le64(out + 8, siphash(secret, joined, len + 8));
}

bool store_decode_number(const uint8_t *secret, const char *name,
                         struct span value, uint64_t *number)
{
    uint8_t expected[NUMBER_LEN];

    if (value.len != NUMBER_LEN)
        return false;
    *number = load_le64(value.ptr);
    encode_number(secret, name, *number, expected);
    return memcmp(value.ptr, expected, NUMBER_LEN) == 0;
}

int store_get_number(const struct store *s, MDB_txn *txn, const char *name,
                     uint64_t *number)
{
    MDB_val value;
    int rc = store_get_meta(s, txn, name, &value);

    if (rc != 0)
        return rc;
    struct span bytes = {value.mv_data, value.mv_size};
    return store_decode_number(s->secret, name, bytes, number) ? 0
                                                               : MDB_CORRUPTED;
}

int store_put_number(const struct store *s, MDB_txn *txn, const char *name,
                     uint64_t number)
{
    uint8_t bytes[NUMBER_LEN];

    encode_number(s->secret, name, number, bytes);
    return store_put_meta(s, txn, name, val_of(bytes, sizeof bytes));
}

/* Read before the secret is known, so without a seal. */
static int get_version(const struct store *s, MDB_txn *txn, uint64_t *version)
{
    MDB_val value;
    int rc = store_get_meta(s, txn, META_VERSION, &value);

    if (rc == 0 && value.mv_size != 8)
        rc = MDB_CORRUPTED;
    if (rc == 0)
        *version = load_le64(value.mv_data);
    return rc;
}

static int put_version(const struct store *s, MDB_txn *txn)
{
    uint8_t bytes[8];

    store_le64(bytes, STORE_FORMAT);
    return store_put_meta(s, txn, META_VERSION, val_of(bytes, sizeof bytes));
}

int store_get_revision(const struct store *s, MDB_txn *txn, uint64_t *revision)
{
    int rc = store_get_number(s, txn, META_REVISION, revision);

    if (rc == MDB_NOTFOUND)
        *revision = 0;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int store_note_change(const struct store *s, MDB_txn *txn)
{
    uint64_t revision;
    int rc = store_get_revision(s, txn, &revision);

    return rc == 0 ? store_put_number(s, txn, META_REVISION, revision + 1) : rc;
}

/* --- Transactions --- */

int store_begin(struct store *s, unsigned flags, MDB_txn **txn,
                struct error *err)
{
    int rc =
        s->env == NULL ? MDB_PANIC : mdb_txn_begin(s->env, NULL, flags, txn);

    if (rc == 0)
        return 0;
    store_explain(s, rc, "begin a transaction", err);
    return -1;
}

int store_commit(struct store *s, MDB_txn *txn, struct error *err)
{
    int rc = mdb_txn_commit(txn);

    return rc == 0 ? 0 : store_explain(s, rc, "commit", err);
}

/* --- Opening --- */

int store_open_tables(struct store *s, MDB_txn *txn, unsigned create)
{
    int rc = mdb_dbi_open(txn, "meta", create, &s->meta);

    if (rc == 0)
        rc = mdb_dbi_open(txn, "tokens", create, &s->tokens);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "journal", create | MDB_INTEGERKEY, &s->journal);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "last_used", create | MDB_INTEGERKEY,
                          &s->last_used);
    return rc;
}

/*
 * Another process may have grown the file beyond our own map size. LMDB would
 * map it to its last byte, and the next commit would find no room.
 */
static size_t map_size_for(const struct store *s, const char *path)
{
    struct stat file;

    if (stat(path, &file) != 0 || (size_t)file.st_size < s->map_size / 2)
        return s->map_size;
    size_t room = (size_t)file.st_size + (size_t)file.st_size / 4;
    return room > s->map_size ? room : s->map_size;
}

/*
 * LMDB maps its lock file sparse and writes to it: on a full disk that would be
 * a SIGBUS. So it gets its blocks first. returns: 0 or an errno
 */
static int make_room_for_lock(const char *path)
{
    char lock[PATH_MAX + 16];

    snprintf(lock, sizeof lock, "%s-lock", path);
    int fd = open(lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int rc = posix_fallocate(fd, 0, LOCK_LEN);
    close(fd);
    return rc == EOPNOTSUPP || rc == EINVAL ? 0 : rc;
}

static int open_env(struct store *s, const char *path, struct error *err)
{
    int rc = make_room_for_lock(path);

    if (rc == ENOSPC && s->may_drop_ballast && store_drop_ballast(s))
        rc = make_room_for_lock(path);
    if (rc == 0)
        rc = mdb_env_create(&s->env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(s->env, map_size_for(s, path));
    if (rc == 0)
        rc = mdb_env_set_maxdbs(s->env, TABLES_MAX);
    if (rc == 0)
        rc = mdb_env_open(s->env, path, MDB_NOSUBDIR | MDB_NOTLS, 0600);
    return rc == 0 ? 0 : store_explain(s, rc, "open it", err);
}

static void close_env(struct store *s)
{
    if (s->reader != NULL)
        mdb_txn_abort(s->reader);
    store_view_close(&s->view);
    if (s->env != NULL)
        mdb_env_close(s->env);
    s->reader = NULL;
    s->reading = false;
    s->env = NULL;
}

static int refuse_foreign(const struct store *s, struct error *err)
{
    return error_set(err,
                     "store %s: it is an LMDB database of another program; "
                     "choose another data directory",
                     s->path);
}

static int check_meta(struct store *s, MDB_txn *txn, struct error *err)
{
    MDB_val value;
    uint64_t version;

    if (store_get_meta(s, txn, META_MAGIC, &value) != 0 ||
        value.mv_size != sizeof magic_text ||
        memcmp(value.mv_data, magic_text, sizeof magic_text) != 0)
        return refuse_foreign(s, err);
    if (get_version(s, txn, &version) != 0)
        return store_explain(s, MDB_CORRUPTED, "read its format", err);
    if (version != STORE_FORMAT)
        return error_set(err,
                         "store %s: it has format %llu, this program knows "
                         "format %d; %s",
                         s->path, (unsigned long long)version, STORE_FORMAT,
                         version > STORE_FORMAT
                             ? "use a newer release"
                             : "export with the release that wrote it, and "
                               "import that");
    if (store_get_meta(s, txn, META_SECRET, &value) != 0 ||
        value.mv_size != sizeof s->secret)
        return store_explain(s, MDB_CORRUPTED, "read its checksum key", err);
    memcpy(s->secret, value.mv_data, sizeof s->secret);
    if (store_get_staged(s, txn, &s->staged) != 0)
        return store_explain(s, MDB_CORRUPTED, "read what is staged", err);
    return 0;
}

/* The structure first; then what the format makes of it. */
static int check_snapshot(struct store *s, MDB_txn *txn, struct error *err)
{
    struct store_check *check = store_check_begin(s, txn, err);

    if (check == NULL)
        return -1;
    int rc = store_open_tables(s, txn, 0);
    if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE || rc == MDB_DBS_FULL)
        rc = refuse_foreign(s, err);
    else if (rc != 0)
        rc = store_explain(s, rc, "open its tables", err);
    if (rc == 0)
        rc = check_meta(s, txn, err);
    if (rc == 0)
        rc = store_check_finish(check, err);
    store_check_free(check);
    return rc == 0 ? store_check_secret(s, txn, err) : rc;
}

/* Handles, format, and the transaction that store_find will renew. */
static int attach_tables(struct store *s, struct error *err)
{
    MDB_txn *txn;

    if (store_begin(s, MDB_RDONLY, &txn, err) != 0)
        return -1;
    if (check_snapshot(s, txn, err) != 0) {
        mdb_txn_abort(txn);
        return -1;
    }
    /* The slot of a process that was killed would keep old pages alive. */
    mdb_reader_check(s->env, NULL);
    /* Committed, not aborted: only so do the handles outlive it. */
    if (store_commit(s, txn, err) != 0 ||
        store_begin(s, MDB_RDONLY, &s->reader, err) != 0)
        return -1;
    mdb_txn_reset(s->reader);
    return 0;
}

static int attach_env(struct store *s, struct error *err)
{
    if (store_check_meta(s, err) != 0 || open_env(s, s->path, err) != 0)
        return -1;
    int rc = store_view_open(&s->view, s->env);
    return rc == 0 ? 0 : store_explain(s, rc, "map it", err);
}

static int attach(struct store *s, struct error *err)
{
    if (attach_env(s, err) == 0 &&
        (s->is_unchecked || attach_tables(s, err) == 0))
        return 0;
    close_env(s);
    return -1;
}

/* --- Creating --- */

static int write_new_meta(struct store *s, struct error *err)
{
    MDB_txn *txn;

    if (entropy_fill(s->secret, sizeof s->secret, err) != 0 ||
        store_begin(s, 0, &txn, err) != 0)
        return -1;
    int rc = store_open_tables(s, txn, MDB_CREATE);
    if (rc == 0)
        rc = store_put_meta(s, txn, META_MAGIC,
                            val_of(magic_text, sizeof magic_text));
    if (rc == 0)
        rc = put_version(s, txn);
    if (rc == 0)
        rc = store_put_number(s, txn, META_NEXT_ROW, 1);
    if (rc == 0)
        rc = store_put_meta(s, txn, META_SECRET,
                            val_of(s->secret, sizeof s->secret));
    if (rc != 0) {
        mdb_txn_abort(txn);
        return store_explain(s, rc, "write its tables", err);
    }
    return store_commit(s, txn, err);
}

/*
 * The store is made under another name and renamed when it is whole: a file
 * called store.mdb that is empty or unfinished is always damage, never a
 * creation that was cut off.
 */
static int create_file(struct store *s, int dir_fd, struct error *err)
{
    char path[PATH_MAX + 8], lock[PATH_MAX + 16];

    snprintf(path, sizeof path, "%s.new", s->path);
    snprintf(lock, sizeof lock, "%s-lock", path);
    unlink(path);
    unlink(lock);
    int rc = open_env(s, path, err);
    if (rc == 0)
        rc = write_new_meta(s, err);
    close_env(s);
    unlink(lock);
    if (rc != 0) {
        unlink(path);
        return -1;
    }
    if (rename(path, s->path) != 0 || fsync(dir_fd) != 0)
        return store_explain(s, errno, "create it", err);
    return 0;
}

static int check_file(const struct store *s, const struct stat *file,
                      struct error *err)
{
    if (!S_ISREG(file->st_mode))
        return error_set(err, "store %s: it is not a regular file", s->path);
    if (file->st_size == 0)
        return error_set(err,
                         "store %s: it is empty (0 bytes); restore a backup, "
                         "or remove it to begin anew",
                         s->path);
    return 0;
}

static int find_or_create(struct store *s, int dir_fd, enum store_access access,
                          struct error *err)
{
    struct stat file;

    /* Two processes must not both find it missing and create it. */
    if (flock(dir_fd, LOCK_EX) != 0)
        return store_explain(s, errno, "lock its directory", err);
    if (stat(s->path, &file) == 0)
        return check_file(s, &file, err);
    if (errno != ENOENT)
        return store_explain(s, errno, "find it", err);
    if (access != STORE_CREATE)
        return error_set(err,
                         "store %s: it does not exist; `import` or the server "
                         "creates it",
                         s->path);
    return create_file(s, dir_fd, err);
}

/* Who wants the store for itself (store_copy.h) sees that it is in use. */
static int hold_file(struct store *s, struct error *err)
{
    s->file_fd = open(s->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (s->file_fd < 0)
        return store_explain(s, errno, "open it", err);
    return flock(s->file_fd, LOCK_SH) == 0
               ? 0
               : store_explain(s, errno, "lock it", err);
}

int store_open_dir(const char *dir, struct error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0)
        return fd;
    if (errno == ENOENT)
        return error_set(err,
                         "data directory %s: it does not exist; create it with "
                         "mkdir -m 700",
                         dir);
    return error_set(err, "data directory %s: %s%s", dir, strerror(errno),
                     errno == EACCES ? "; it must belong to the user that "
                                       "this runs as"
                                     : "");
}

int store_exists(const char *dir, struct error *err)
{
    int fd = store_open_dir(dir, err);

    if (fd < 0)
        return -1;
    struct stat file;
    bool is_missing = fstatat(fd, STORE_FILE, &file, 0) != 0 && errno == ENOENT;
    close(fd);
    return !is_missing;
}

static int open_store(struct store *s, const char *dir,
                      enum store_access access, struct error *err)
{
    if (store_set_path(s, dir, "/" STORE_FILE, err) != 0)
        return -1;
    int dir_fd = store_open_dir(dir, err);
    if (dir_fd < 0)
        return -1;
    int rc = find_or_create(s, dir_fd, access, err);
    if (rc == 0)
        rc = hold_file(s, err);
    close(dir_fd);
    return rc == 0 ? attach(s, err) : -1;
}

int store_set_path(struct store *s, const char *path, const char *suffix,
                   struct error *err)
{
    int len = snprintf(s->path, sizeof s->path, "%s%s", path, suffix);

    if (len < 0 || (size_t)len >= sizeof s->path - 16)
        return error_set(err, "%.200s...: the path is too long", path);
    return 0;
}

struct store *store_new(size_t map_size, struct error *err)
{
    struct store *s = calloc(1, sizeof *s);

    if (s == NULL) {
        error_set(err, "store: out of memory");
        return NULL;
    }
    s->map_size = map_size;
    s->file_fd = -1;
    return s;
}

struct store *store_open(const char *dir, enum store_access access,
                         size_t map_size, struct error *err)
{
    struct store *s = store_new(map_size, err);

    if (s == NULL)
        return NULL;
    s->is_unchecked = access == STORE_UNCHECKED;
    s->may_drop_ballast = access == STORE_RESCUE;
    if (open_store(s, dir, access, err) != 0) {
        store_close(s);
        return NULL;
    }
    if (access == STORE_CREATE)
        store_keep_ballast(s);
    return s;
}

/* LMDB is not asked: it would need a lock file beside it. */
static int open_file(struct store *s, const char *path, struct error *err)
{
    struct stat file;

    if (store_set_path(s, path, "", err) != 0)
        return -1;
    s->file_fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (s->file_fd < 0 || fstat(s->file_fd, &file) != 0)
        return store_explain(s, errno, "open it", err);
    if (check_file(s, &file, err) != 0 || store_check_meta(s, err) != 0)
        return -1;
    int rc = store_view_open_file(&s->view, s->file_fd, s->newest.page_size);
    return rc == 0 ? 0 : store_explain(s, rc, "map it", err);
}

struct store *store_open_file(const char *path, struct error *err)
{
    struct store *s = store_new(0, err);

    if (s == NULL || open_file(s, path, err) == 0)
        return s;
    store_close(s);
    return NULL;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    close_env(s);
    if (s->file_fd >= 0)
        close(s->file_fd);
    wipe(s->secret, sizeof s->secret);
    free(s);
}

bool store_needs_reopen(const struct store *s)
{
    return atomic_load(&s->needs_reopen);
}

int store_reopen(struct store *s, struct error *err)
{
    close_env(s);
    if (attach(s, err) != 0)
        return -1;
    atomic_store(&s->needs_reopen, false);
    return 0;
}
