/*
 * A store's file that ends before the last page that LMDB counts.
 *
 * Most often that is damage, and reading the missing pages through the map
 * would be a SIGBUS. But LMDB does not write a page that it has allocated and
 * freed in one transaction, so the file may also end early by right: then all
 * the missing pages are in the table of free pages. Only reading that table
 * tells, and it may be missing itself: a child process reads it.
 */
#include "sys/store_env.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FREE_TABLE = 0, /* LMDB's own handle */
    PROBE_S = 10
};

struct page_range {
    size_t first, last; /* page numbers */
};

/* returns: an LMDB result; *missing is empty (first > last) for a whole file */
static int find_missing(MDB_env *env, struct page_range *missing)
{
    MDB_envinfo info;
    MDB_stat stats;
    struct stat file;
    int fd;
    int rc = mdb_env_get_fd(env, &fd);

    if (rc != 0)
        return rc;
    mdb_env_info(env, &info);
    mdb_env_stat(env, &stats);
    if (fstat(fd, &file) != 0)
        return errno;
    missing->first = (size_t)file.st_size / stats.ms_psize;
    missing->last = info.me_last_pgno;
    return 0;
}

/* A record of the free table: a count, then page numbers. */
static size_t count_in(const MDB_val *record, const struct page_range *range)
{
    const size_t *ids = record->mv_data;
    size_t found = 0;

    for (size_t i = 1; i <= ids[0]; i++)
        if (ids[i] >= range->first && ids[i] <= range->last)
            found++;
    return found;
}

static bool all_are_free(MDB_env *env, const struct page_range *missing)
{
    size_t found = 0;
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, record;

    if (mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0 ||
        mdb_cursor_open(txn, FREE_TABLE, &cursor) != 0)
        return false;
    while (mdb_cursor_get(cursor, &key, &record, MDB_NEXT) == 0)
        found += count_in(&record, missing);
    return found == missing->last - missing->first + 1;
}

/* In the child: it ends here, or by a signal. */
static _Noreturn void probe(const char *path, size_t map_size)
{
    const struct rlimit no_core = {0, 0};
    struct page_range missing = {1, 0};
    MDB_env *env;

    setrlimit(RLIMIT_CORE, &no_core);
    alarm(PROBE_S); /* a damaged table may have no end */
    /* No locks: a child that dies must not leave any behind. */
    bool is_sound =
        mdb_env_create(&env) == 0 && mdb_env_set_mapsize(env, map_size) == 0 &&
        mdb_env_open(env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, 0) ==
            0 &&
        find_missing(env, &missing) == 0 && all_are_free(env, &missing);
    _exit(is_sound ? 0 : 1);
}

int store_is_cut_short(const struct store *s, bool *is_short)
{
    struct page_range missing = {1, 0};
    int rc = find_missing(s->env, &missing);

    *is_short = rc == 0 && missing.first <= missing.last;
    return rc;
}

bool store_probe_short(const struct store *s)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        probe(s->path, s->map_size);
    if (child < 0)
        return false;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
