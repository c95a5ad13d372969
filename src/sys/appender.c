#include "sys/appender.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CHUNK = 1 << 14, /* bytes of one write; more than the longest line */
    RETRY_S = 1,     /* after a write that failed */
    END_S = 1        /* for the thread to end */
};

struct appender {
    pthread_t thread;
    pthread_mutex_t lock;

    /* Between both, under the lock. */
    pthread_cond_t wake;  /* for the thread */
    pthread_cond_t ended; /* for appender_close */
    struct buf queue;     /* whole lines */
    const char *next;     /* path to open and go on with; NULL: none */
    bool is_stopping, has_ended;
    struct appender_state state;

    /* The thread's own. */
    int fd;
    size_t begun; /* bytes of the first line that fd has already */
    char chunk[CHUNK];
    uint8_t mem[APPENDER_QUEUE];
};

/* --- The thread; the lock is held unless it says otherwise --- */

static struct timespec after(time_t seconds)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += seconds;
    return t;
}

/* Wait until there is something to do, or to try again. */
static void await_work(struct appender *a)
{
    const struct timespec retry = after(RETRY_S);
    int rc = 0;

    while (rc == 0 && !a->is_stopping && a->next == NULL &&
           (a->state.error != 0 || buf_len(&a->queue) == 0))
        rc = a->state.error == 0
                 ? pthread_cond_wait(&a->wake, &a->lock)
                 : pthread_cond_timedwait(&a->wake, &a->lock, &retry);
}

static int open_file(const char *path)
{
    /* Not blocking: a fifo without a reader is an error, not a wait. */
    return open(
        path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
        0600);
}

/* Opening and closing may hang as well: nobody waits for them. */
static void take_next_file(struct appender *a)
{
    const char *path = a->next;

    if (path == NULL)
        return;
    a->next = NULL;
    pthread_mutex_unlock(&a->lock);
    int fd = open_file(path);
    int reason = errno;
    if (fd >= 0) {
        close(a->fd);
        a->fd = fd;
        a->begun = 0;
    }
    pthread_mutex_lock(&a->lock);
    a->state.reopens++;
    a->state.reopen_error = fd >= 0 ? 0 : reason;
}

/* Only lines that are in the file whole leave the queue. */
static void note_written(struct appender *a, size_t len)
{
    const char *end = memrchr(a->chunk, '\n', len);
    size_t whole = end == NULL ? 0 : (size_t)(end + 1 - a->chunk);

    buf_consume(&a->queue, whole);
    a->begun = len - whole;
}

static void write_some(struct appender *a)
{
    size_t len = buf_len(&a->queue);

    if (len > CHUNK)
        len = CHUNK;
    memcpy(a->chunk, buf_peek(&a->queue), len);
    pthread_mutex_unlock(&a->lock);
    errno = EIO; /* should nothing be written, and nothing be wrong */
    ssize_t n = write(a->fd, a->chunk + a->begun, len - a->begun);
    int reason = errno;
    pthread_mutex_lock(&a->lock);
    a->state.error = n > 0 ? 0 : reason;
    if (n > 0)
        note_written(a, a->begun + (size_t)n);
}

static void *run(void *arg)
{
    struct appender *a = arg;

    pthread_mutex_lock(&a->lock);
    do {
        await_work(a);
        take_next_file(a);
        if (buf_len(&a->queue) > 0)
            write_some(a);
    } while (!a->is_stopping ||
             (buf_len(&a->queue) > 0 && a->state.error == 0));
    a->has_ended = true;
    pthread_cond_signal(&a->ended);
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* --- Start and end --- */

static int start_thread(struct appender *a)
{
    sigset_t all, old;
    pthread_condattr_t attr;

    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->wake, &attr);
    pthread_cond_init(&a->ended, &attr);
    pthread_condattr_destroy(&attr);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&a->thread, NULL, run, a);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

struct appender *appender_open(const char *path, struct error *err)
{
    int fd = open_file(path);
    struct appender *a = fd < 0 ? NULL : calloc(1, sizeof *a);

    if (fd < 0)
        error_set(err, "%s: %s", path, strerror(errno));

    if (a != NULL) {
        buf_init(&a->queue, a->mem, sizeof a->mem);
        a->fd = fd;
        if (start_thread(a) == 0)
            return a;
    }
    if (fd >= 0) {
        error_set(err, "%s: no memory for its queue or thread", path);
        close(fd);
    }
    free(a);
    return NULL;
}

void appender_close(struct appender *a)
{
    const struct timespec until = after(END_S);
    int rc = 0;

    if (a == NULL)
        return;
    pthread_mutex_lock(&a->lock);
    a->is_stopping = true;
    pthread_cond_signal(&a->wake);
    while (rc == 0 && !a->has_ended)
        rc = pthread_cond_timedwait(&a->ended, &a->lock, &until);
    bool has_ended = a->has_ended;
    pthread_mutex_unlock(&a->lock);
    if (!has_ended)
        return;
    pthread_join(a->thread, NULL);
    pthread_cond_destroy(&a->wake);
    pthread_cond_destroy(&a->ended);
    pthread_mutex_destroy(&a->lock);
    close(a->fd);
    free(a);
}

/* --- The others' side --- */

void appender_put(struct appender *a, struct span line)
{
    pthread_mutex_lock(&a->lock);
    if (!buf_append(&a->queue, line.ptr, line.len))
        a->state.lost++;
    pthread_mutex_unlock(&a->lock);
}

void appender_submit(struct appender *a, struct appender_state *state)
{
    pthread_mutex_lock(&a->lock);
    if (buf_len(&a->queue) > 0 && a->state.error == 0)
        pthread_cond_signal(&a->wake);
    *state = a->state;
    state->is_crowded = buf_len(&a->queue) > APPENDER_QUEUE / 2;
    pthread_mutex_unlock(&a->lock);
}

void appender_reopen(struct appender *a, const char *path)
{
    pthread_mutex_lock(&a->lock);
    a->next = path;
    pthread_cond_signal(&a->wake);
    pthread_mutex_unlock(&a->lock);
}
