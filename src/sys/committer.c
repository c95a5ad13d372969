/*
 * One slot lies between loop and thread. The loop fills it when it is empty
 * and takes it when it is finished; the thread has it in between. Besides, the
 * thread folds the journal when it is long, or idle.
 */
#include "sys/committer.h"

#include "base/sort.h"
#include "sys/clock.h"
#include "sys/journal.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    /* Compacting only when twice the rows are queued makes it cheap. */
    QUEUE_LEN = 2 * COMMITTER_BACKLOG_MAX,
    RETRY_MS = 1000,
    STALL_MS = 5000,
    RECENT_SLOTS = 8192,        /* power of two */
    FOLD_TOUCHES = 1 << 18,     /* journal length that starts a fold */
    FOLD_IDLE_S = 10,           /* time without a batch that starts one */
    FOLD_IDLE_TOUCHES = 1 << 10 /* not worth it below */
};

enum slot_state { SLOT_EMPTY, SLOT_FULL, SLOT_DONE };

/* The last touch of some rows: the same second needs no second write. */
struct recent {
    uint64_t row;
    int64_t time;
    uint64_t ticket;
};

struct batch {
    struct sort_pair *touches; /* room: COMMITTER_BATCH_MAX + QUEUE_LEN */
    size_t count;
};

struct committer {
    struct store *store;
    int event_fd;
    pthread_t thread;

    /* The loop's own. */
    struct batch gathered;
    struct batch backlog;
    uint64_t gathering;   /* ticket of the batch being gathered */
    uint64_t released;    /* newest ticket that nothing waits for */
    int64_t submitted_ms; /* monotonic; when the slot was filled last */
    int64_t retry_ms;     /* monotonic */
    uint64_t dropped;     /* touches */
    bool is_healthy;
    struct committer_commit last;
    struct recent recent[RECENT_SLOTS];

    /* Between both, under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t wake; /* for the thread: the slot is full, or stop */
    enum slot_state slot_state;
    struct batch slot;
    struct error slot_error;
    bool slot_failed;
    int64_t slot_us; /* that its commit took */
    bool is_working; /* the thread is in the store */
    bool is_stopping;
    struct error fold_error;
    bool has_fold_error;
    size_t journal_len; /* touches since the last fold, as far as known */

    /* The thread's own. */
    struct journal_fold *fold;
};

/* --- The thread --- */

/* returns: 0; 1 when damaged records were left out; -1 when it failed */
static int fold_once(struct committer *c, struct error *err)
{
    if (c->fold == NULL) {
        c->fold = journal_fold_begin(c->store, err);
        if (c->fold == NULL)
            return -1;
        size_t damaged = journal_fold_damaged(c->fold);
        if (damaged == 0)
            return 0;
        error_set(err, "journal: %zu damaged records were left out", damaged);
        return 1;
    }
    enum journal_fold_result result = journal_fold_step(c->fold, err);
    if (result == JOURNAL_FOLD_MORE)
        return 0;
    journal_fold_free(c->fold);
    c->fold = NULL;
    return result == JOURNAL_FOLD_DONE ? 0 : -1;
}

/* One step of a fold, in time that no batch needs. */
static void fold_meanwhile(struct committer *c)
{
    struct error err;

    c->is_working = true;
    if (c->fold == NULL)
        c->journal_len = 0; /* from here on: what the fold does not hold */
    pthread_mutex_unlock(&c->lock);
    bool has_trouble = fold_once(c, &err) != 0;
    pthread_mutex_lock(&c->lock);
    c->is_working = false;
    if (!has_trouble)
        return;
    c->fold_error = err;
    c->has_fold_error = true;
    eventfd_write(c->event_fd, 1);
}

/*
 * Wait for a batch, with the lock held.
 * returns: true when there is one or it is time to stop, false when the time
 *          is better used for folding
 */
static bool await_batch(struct committer *c)
{
    bool is_folding = c->fold != NULL || c->journal_len >= FOLD_TOUCHES;
    struct timespec until;

    if (c->slot_state == SLOT_FULL || c->is_stopping)
        return true;
    if (is_folding)
        return false;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += FOLD_IDLE_S;
    while (c->slot_state != SLOT_FULL && !c->is_stopping) {
        int rc = c->journal_len < FOLD_IDLE_TOUCHES
                     ? pthread_cond_wait(&c->wake, &c->lock)
                     : pthread_cond_timedwait(&c->wake, &c->lock, &until);
        if (rc == ETIMEDOUT)
            return false;
    }
    return true;
}

/* There may be room again for what a revocation had to give up. The answers
 * do not wait for it. */
static void keep_ballast(struct committer *c)
{
    pthread_mutex_unlock(&c->lock);
    store_keep_ballast(c->store);
    pthread_mutex_lock(&c->lock);
}

static void commit_slot(struct committer *c)
{
    struct error err;

    c->is_working = true;
    pthread_mutex_unlock(&c->lock);
    int64_t begin_us = clock_monotonic_us();
    bool failed =
        journal_append(c->store, c->slot.touches, c->slot.count, &err) != 0;
    int64_t end_us = clock_monotonic_us();
    pthread_mutex_lock(&c->lock);
    c->slot_us = end_us - begin_us;
    c->slot_failed = failed;
    if (failed)
        c->slot_error = err;
    else
        c->journal_len += c->slot.count;
    c->slot_state = SLOT_DONE;
    eventfd_write(c->event_fd, 1);
    if (!failed)
        keep_ballast(c);
    c->is_working = false;
}

static void *run(void *arg)
{
    struct committer *c = arg;

    pthread_mutex_lock(&c->lock);
    for (;;) {
        bool has_work = await_batch(c);
        if (has_work && c->slot_state == SLOT_FULL) {
            commit_slot(c);
        } else if (has_work) {
            break; /* stopping, and nothing left */
        } else {
            fold_meanwhile(c);
        }
    }
    pthread_mutex_unlock(&c->lock);
    journal_fold_free(c->fold);
    return NULL;
}

/* Signals are the loop's: the thread blocks them all. */
static int start_thread(struct committer *c)
{
    pthread_condattr_t attr;
    sigset_t all, old;

    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &attr);
    pthread_condattr_destroy(&attr);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&c->thread, NULL, run, c);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

/* --- Start --- */

static bool batch_init(struct batch *b)
{
    b->touches = calloc(COMMITTER_BATCH_MAX + QUEUE_LEN, sizeof *b->touches);
    return b->touches != NULL;
}

static void release(struct committer *c)
{
    if (c->event_fd >= 0)
        close(c->event_fd);
    free(c->gathered.touches);
    free(c->backlog.touches);
    free(c->slot.touches);
    free(c);
}

struct committer *committer_new(struct store *store, struct error *err)
{
    struct committer *c = calloc(1, sizeof *c);

    if (c == NULL) {
        error_set(err, "committer: out of memory");
        return NULL;
    }
    c->store = store;
    c->gathering = 1;
    c->is_healthy = true;
    c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->event_fd < 0 || !batch_init(&c->gathered) ||
        !batch_init(&c->backlog) || !batch_init(&c->slot)) {
        error_set(err, "committer: %s", strerror(errno));
        release(c);
        return NULL;
    }
    int rc = journal_count(store, &c->journal_len, err);
    if (rc == 0 && (rc = start_thread(c)) != 0)
        error_set(err, "committer: %s", strerror(rc));
    if (rc == 0)
        return c;
    release(c);
    return NULL;
}

int committer_fd(const struct committer *c)
{
    return c->event_fd;
}

/* --- Gathering --- */

/*
 * Make room in the full queue: the newest time of each row stays, and of too
 * many rows some are given up.
 */
static void compact_backlog(struct committer *c)
{
    struct batch *b = &c->backlog;
    struct sort_pair *scratch = calloc(b->count, sizeof *scratch);

    if (scratch != NULL) {
        sort_pairs(b->touches, scratch, b->count);
        b->count = sort_keep_greatest(b->touches, b->count);
        free(scratch);
    }
    if (b->count > COMMITTER_BACKLOG_MAX) {
        c->dropped += b->count - COMMITTER_BACKLOG_MAX;
        b->count = COMMITTER_BACKLOG_MAX;
    }
}

static void queue_touch(struct committer *c, struct sort_pair touch)
{
    if (c->backlog.count == QUEUE_LEN)
        compact_backlog(c);
    c->backlog.touches[c->backlog.count++] = touch;
}

uint64_t committer_touch(struct committer *c, uint64_t row, int64_t time)
{
    struct recent *recent = &c->recent[row & (RECENT_SLOTS - 1)];
    struct sort_pair touch = {.key = row, .value = (uint64_t)time};

    if (recent->row == row && recent->time == time)
        return recent->ticket <= c->released ? COMMITTER_DURABLE
                                             : recent->ticket;
    if (!c->is_healthy) {
        queue_touch(c, touch);
        return COMMITTER_DURABLE;
    }
    if (c->gathered.count == COMMITTER_BATCH_MAX)
        return COMMITTER_FULL;
    c->gathered.touches[c->gathered.count++] = touch;
    *recent = (struct recent){.row = row, .time = time, .ticket = c->gathering};
    return c->gathering;
}

/* The queue goes first, so that times of one row stay ascending. */
static void prepend_backlog(struct committer *c)
{
    struct batch *b = &c->backlog, *g = &c->gathered;

    memmove(g->touches + b->count, g->touches, g->count * sizeof *g->touches);
    if (b->count > 0)
        memcpy(g->touches, b->touches, b->count * sizeof *b->touches);
    g->count += b->count;
    b->count = 0;
}

void committer_submit(struct committer *c, int64_t now_ms)
{
    if (!c->is_healthy && now_ms < c->retry_ms)
        return;
    pthread_mutex_lock(&c->lock);
    bool is_free = c->slot_state == SLOT_EMPTY;
    if (is_free && c->gathered.count + c->backlog.count > 0) {
        prepend_backlog(c);
        struct batch empty = c->slot;
        c->slot = c->gathered;
        c->gathered = empty;
        c->gathered.count = 0;
        c->gathering++;
        c->slot_state = SLOT_FULL;
        c->submitted_ms = now_ms;
        pthread_cond_signal(&c->wake);
    }
    pthread_mutex_unlock(&c->lock);
    c->retry_ms = now_ms + RETRY_MS;
}

/* --- Collecting --- */

static bool take_slot(struct committer *c, bool *failed, struct error *err)
{
    eventfd_t ignored;

    eventfd_read(c->event_fd, &ignored);
    pthread_mutex_lock(&c->lock);
    bool is_done = c->slot_state == SLOT_DONE;
    if (is_done) {
        c->slot_state = SLOT_EMPTY;
        *failed = c->slot_failed;
        if (*failed)
            *err = c->slot_error;
        else
            c->last = (struct committer_commit){c->slot.count, c->slot_us};
    }
    pthread_mutex_unlock(&c->lock);
    return is_done;
}

static void requeue_slot(struct committer *c)
{
    for (size_t i = 0; i < c->slot.count; i++)
        queue_touch(c, c->slot.touches[i]);
    for (size_t i = 0; i < c->gathered.count; i++)
        queue_touch(c, c->gathered.touches[i]);
    c->gathered.count = 0;
}

enum committer_news committer_collect(struct committer *c, uint64_t *ticket,
                                      struct error *err)
{
    bool failed = false, was_healthy = c->is_healthy;

    if (!take_slot(c, &failed, err))
        return COMMITTER_NOTHING;
    c->is_healthy = !failed;
    if (failed)
        requeue_slot(c);
    /* After a failure nothing waits: what was gathered is queued as well. */
    c->released = failed ? c->gathering : c->gathering - 1;
    *ticket = c->released;
    if (failed)
        return was_healthy ? COMMITTER_BROKE : COMMITTER_STILL_BROKEN;
    return was_healthy ? COMMITTER_COMMITTED : COMMITTER_RECOVERED;
}

bool committer_collect_fold_error(struct committer *c, struct error *err)
{
    pthread_mutex_lock(&c->lock);
    bool has_error = c->has_fold_error;
    if (has_error)
        *err = c->fold_error;
    c->has_fold_error = false;
    pthread_mutex_unlock(&c->lock);
    return has_error;
}

bool committer_try_pause(struct committer *c)
{
    pthread_mutex_lock(&c->lock);
    if (!c->is_working)
        return true;
    pthread_mutex_unlock(&c->lock);
    return false;
}

void committer_resume(struct committer *c)
{
    pthread_mutex_unlock(&c->lock);
}

bool committer_is_settled(struct committer *c)
{
    pthread_mutex_lock(&c->lock);
    bool is_free = c->slot_state == SLOT_EMPTY;
    pthread_mutex_unlock(&c->lock);
    return is_free && c->gathered.count + c->backlog.count == 0;
}

bool committer_is_healthy(const struct committer *c)
{
    return c->is_healthy;
}

bool committer_is_stalled(struct committer *c, int64_t now_ms)
{
    pthread_mutex_lock(&c->lock);
    bool is_out = c->slot_state == SLOT_FULL;
    pthread_mutex_unlock(&c->lock);
    return is_out && now_ms - c->submitted_ms > STALL_MS;
}

int64_t committer_retry_ms(const struct committer *c)
{
    return c->is_healthy ? INT64_MAX : c->retry_ms;
}

struct committer_commit committer_last_commit(const struct committer *c)
{
    return c->last;
}

size_t committer_journal_len(struct committer *c)
{
    pthread_mutex_lock(&c->lock);
    size_t len = c->journal_len;
    pthread_mutex_unlock(&c->lock);
    return len;
}

uint64_t committer_dropped(const struct committer *c)
{
    return c->dropped;
}

/* --- End --- */

/* What is left when the thread has ended gets one last try. */
static void commit_rest(struct committer *c)
{
    struct error ignored;

    if (c->slot_state == SLOT_DONE && c->slot_failed)
        requeue_slot(c);
    prepend_backlog(c);
    if (c->gathered.count > 0)
        journal_append(c->store, c->gathered.touches, c->gathered.count,
                       &ignored);
}

void committer_free(struct committer *c)
{
    if (c == NULL)
        return;
    pthread_mutex_lock(&c->lock);
    c->is_stopping = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    commit_rest(c);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    release(c);
}
