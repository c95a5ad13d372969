#include "sys/store_stage.h"

#include "base/bytes.h"
#include "sys/clock.h"
#include "sys/store_edit.h"
#include "sys/store_env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum {
    ROWS_LEAST = 1000, /* fewer are a short transaction themselves */
    ROW_BYTES = 512,   /* in the file, more than any takes on the average */
    STEP_MS = 10,
    PAUSE_NS = 2000000, /* for who waits to be woken, and to take the lock */
    KEYS = 1000         /* deleted at once */
};

/* --- The range --- */

/* In meta: its two ends (8 each), SipHash-2-4 over the name and them (8). */
enum { NAME_LEN = sizeof META_STAGED - 1, RANGE_LEN = 24 };

static void encode_range(const uint8_t *secret,
                         const struct store_staged *staged,
                         uint8_t out[RANGE_LEN])
{
    uint8_t joined[NAME_LEN + 16];

    store_le64(out, staged->first);
    store_le64(out + 8, staged->end);
    memcpy(joined, META_STAGED, NAME_LEN);
    memcpy(joined + NAME_LEN, out, 16);
    store_le64(out + 16, siphash(secret, joined, sizeof joined));
}

bool store_decode_staged(const uint8_t *secret, struct span value,
                         struct store_staged *staged)
{
    uint8_t expected[RANGE_LEN];

    *staged = (struct store_staged){0, 0};
    if (value.len != RANGE_LEN)
        return false;
    struct store_staged found = {load_le64(value.ptr),
                                 load_le64(value.ptr + 8)};
    encode_range(secret, &found, expected);
    if (memcmp(value.ptr, expected, RANGE_LEN) != 0)
        return false;
    *staged = found;
    return true;
}

int store_get_staged(const struct store *s, MDB_txn *txn,
                     struct store_staged *staged)
{
    MDB_val value;
    int rc = store_get_meta(s, txn, META_STAGED, &value);

    *staged = (struct store_staged){0, 0};
    if (rc != 0)
        return rc == MDB_NOTFOUND ? 0 : rc;
    struct span bytes = {value.mv_data, value.mv_size};
    return store_decode_staged(s->secret, bytes, staged) ? 0 : MDB_CORRUPTED;
}

static int put_staged(const struct store *s, MDB_txn *txn,
                      const struct store_staged *staged)
{
    uint8_t bytes[RANGE_LEN];

    encode_range(s->secret, staged, bytes);
    return store_put_meta(s, txn, META_STAGED, val_of(bytes, sizeof bytes));
}

/* Meta is one page, and all of it has been checked: LMDB may delete there. */
int store_end_staged(const struct store *s, MDB_txn *txn)
{
    MDB_val name = val_of(META_STAGED, NAME_LEN);
    int rc = mdb_del(txn, s->meta, &name, NULL);

    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* --- Deleting what is staged --- */

struct found {
    uint8_t keys[KEYS][TOKEN_KEY_LEN];
    size_t count;
};

static bool find_one(void *ctx, const struct store_listed *row)
{
    struct found *found = ctx;

    if (row->record != NULL)
        memcpy(found->keys[found->count++], row->key, TOKEN_KEY_LEN);
    return found->count < KEYS;
}

static int delete_some(struct store *s, const struct found *found,
                       struct error *err)
{
    struct store_edit edit = {.kind = STORE_DELETE, .of_staged = true};

    if (store_edit(s, &edit, found->keys, found->count, err) != 0)
        return -1;
    if (edit.refused == 0)
        return 0;
    *err = edit.refusal;
    return -1;
}

/* What is on damaged pages stays, and with it the range that hides it. */
static int delete_all(struct store *s, struct found *found, struct error *err)
{
    uint8_t from[TOKEN_KEY_LEN] = {0};
    int rc = 0;

    do {
        found->count = 0;
        if (store_scan_staged(s, from, find_one, found, err) != 0)
            rc = -1;
        if (delete_some(s, found, err) != 0)
            return -1;
        if (found->count > 0)
            memcpy(from, found->keys[found->count - 1], TOKEN_KEY_LEN);
    } while (found->count == KEYS);
    return rc;
}

static int end_range(struct store *s, struct error *err)
{
    MDB_txn *txn;

    if (store_begin(s, 0, &txn, err) != 0)
        return -1;
    int rc = store_end_staged(s, txn);
    if (rc == 0)
        return store_commit(s, txn, err);
    mdb_txn_abort(txn);
    return store_explain(s, rc, "write", err);
}

/*
 * A writer that was killed may have left LMDB's readers a commit behind: with
 * rows that they do not see yet, in a range that would be ended. Who takes the
 * writer's lock brings them up to date.
 * returns: 1 or 0; or -1 with the reason
 */
static int has_range(struct store *s, struct error *err)
{
    struct store_staged staged;
    MDB_txn *txn;

    if (store_begin(s, 0, &txn, err) != 0)
        return -1;
    int rc = store_get_staged(s, txn, &staged);
    mdb_txn_abort(txn);
    return rc == 0 ? staged.first != staged.end
                   : store_explain(s, rc, "read what is staged", err);
}

static int clean(struct store *s, struct error *err)
{
    int is_left = has_range(s, err);

    if (is_left <= 0)
        return is_left;
    struct found *found = malloc(sizeof *found);
    if (found == NULL)
        return error_set(err, "import: out of memory");
    int rc = delete_all(s, found, err);
    free(found);
    if (rc == 0)
        return end_range(s, err);
    struct error why = *err;
    return error_set(err,
                     "what an import that was cut off has left cannot be "
                     "deleted: %s",
                     why.text);
}

/* --- One import at a time --- */

int store_stage_open(struct store *s, struct store_stage *stage,
                     struct error *err)
{
    /* Of this open file, so that no other close of the file gives it up. */
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    *stage = (struct store_stage){.s = s};
    stage->lock_fd = open(s->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (stage->lock_fd < 0)
        return store_explain(s, errno, "open it", err);
    if (fcntl(stage->lock_fd, F_OFD_SETLKW, &whole) != 0)
        return store_explain(s, errno, "lock it", err);
    return clean(s, err);
}

void store_stage_close(struct store_stage *stage)
{
    store_import_abort(stage->step);
    stage->step = NULL;
    if (stage->lock_fd >= 0)
        close(stage->lock_fd);
    stage->lock_fd = -1;
}

/* --- Is it due? --- */

/* A line of LMDB's list of readers begins with the process's number. */
static int meet_reader(const char *line, void *ctx)
{
    bool *is_shared = ctx;
    long pid = strtol(line, NULL, 10);

    *is_shared |= pid > 0 && pid != (long)getpid();
    return 0;
}

static bool is_shared(const struct store *s)
{
    bool answer = false;

    mdb_reader_check(s->env, NULL);
    mdb_reader_list(s->env, meet_reader, &answer);
    return answer;
}

/*
 * What logins write must find room until all is deleted again. While somebody
 * reads an old snapshot, no page that was changed is used again: all may be
 * there twice.
 */
static bool has_room(const struct store *s, size_t rows)
{
    struct store_usage usage = store_usage(s);
    uint64_t need = usage.used + (uint64_t)rows * ROW_BYTES;
    struct statvfs disk;

    return usage.max > usage.used + need && statvfs(s->path, &disk) == 0 &&
           (uint64_t)disk.f_bavail * disk.f_frsize > need;
}

bool store_stage_is_due(const struct store_stage *stage, size_t rows)
{
    return rows >= ROWS_LEAST && is_shared(stage->s) &&
           has_room(stage->s, rows);
}

/* --- Steps --- */

static int take_numbers(struct store *s, MDB_txn *txn, size_t rows,
                        struct store_staged *staged)
{
    int rc = store_get_number(s, txn, META_NEXT_ROW, &staged->first);

    if (rc != 0)
        return rc;
    staged->end = staged->first + rows;
    rc = store_put_number(s, txn, META_NEXT_ROW, staged->end);
    return rc == 0 ? put_staged(s, txn, staged) : rc;
}

int store_stage_begin(struct store_stage *stage, size_t rows, struct error *err)
{
    struct store_staged staged;
    struct store *s = stage->s;
    MDB_txn *txn;

    if (store_begin(s, 0, &txn, err) != 0)
        return -1;
    int rc = take_numbers(s, txn, rows, &staged);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return store_explain(s, rc, "write", err);
    }
    stage->next_row = staged.first;
    stage->is_begun = true;
    return store_commit(s, txn, err);
}

static int end_step(struct store_stage *stage, struct error *err)
{
    struct store_import *step = stage->step;

    stage->step = NULL;
    return store_step_commit(step, &stage->next_row, err);
}

static int begin_step(struct store_stage *stage, struct error *err)
{
    stage->step = store_step_begin(stage->s, stage->next_row, err);
    stage->step_at_ms = clock_monotonic_ms();
    return stage->step == NULL ? -1 : 0;
}

enum store_import_result store_stage_put(struct store_stage *stage,
                                         const struct store_row *row,
                                         struct error *err)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};

    if (stage->step == NULL && begin_step(stage, err) != 0)
        return STORE_IMPORT_FAILED;
    enum store_import_result result = store_step_put(stage->step, row, err);
    if (result == STORE_IMPORT_FAILED ||
        clock_monotonic_ms() - stage->step_at_ms < STEP_MS)
        return result;
    if (end_step(stage, err) != 0)
        return STORE_IMPORT_FAILED;
    nanosleep(&pause, NULL);
    return result;
}

int store_stage_end(struct store_stage *stage, struct error *err)
{
    return stage->step == NULL ? 0 : end_step(stage, err);
}

void store_stage_undo(struct store_stage *stage)
{
    struct error ignored;

    store_import_abort(stage->step);
    stage->step = NULL;
    if (stage->is_begun)
        clean(stage->s, &ignored);
    stage->is_begun = false;
}
