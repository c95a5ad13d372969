/*
 * Group commit of touches by a thread of its own, so that the loop never waits
 * for the disk.
 *
 * The loop adds touches to the batch being gathered and gets a ticket, the
 * batch's number. When the thread is free it takes the batch, makes it durable
 * and says so through a descriptor in the loop's poll set. Replies that wait
 * for a ticket up to the one collected may go out then.
 *
 * When a commit fails (disk full, I/O error) players are not locked out: the
 * touches stay queued, newest time of each row, and are tried again each
 * second; until one succeeds new touches join the queue without a wait.
 *
 * All functions are for the loop's thread.
 */
#ifndef SYS_COMMITTER_H
#define SYS_COMMITTER_H

#include "base/error.h"
#include "sys/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct committer;

enum {
    COMMITTER_BATCH_MAX = 1 << 18,  /* touches in one batch */
    COMMITTER_BACKLOG_MAX = 1 << 16 /* rows queued while commits fail */
};

/* Tickets count from 1. COMMITTER_DURABLE needs no wait. */
#define COMMITTER_DURABLE 0
#define COMMITTER_FULL    UINT64_MAX

/*
 * Start the thread.
 * owns:    borrows the store, which must outlive it
 * returns: NULL with the reason
 */
struct committer *committer_new(struct store *store, struct error *err);

/* Commit what is gathered, end the thread and free; NULL is allowed. */
void committer_free(struct committer *c);

/* Descriptor to poll for reading; then call committer_collect. */
int committer_fd(const struct committer *c);

/*
 * Note that a row was used at this time (UTC seconds).
 * returns: the ticket whose commit makes it durable; COMMITTER_DURABLE when
 *          the same second is durable already, or commits are failing;
 *          COMMITTER_FULL when the batch is full: nothing was noted
 */
uint64_t committer_touch(struct committer *c, uint64_t row, int64_t time);

/*
 * Hand the gathered batch to the thread, if it is free. Call once a turn, when
 * the ready events are drained: batches grow by themselves while it is busy.
 * in: now_ms: monotonic time, for the retries after a failure
 */
void committer_submit(struct committer *c, int64_t now_ms);

enum committer_news {
    COMMITTER_NOTHING,
    COMMITTER_COMMITTED,
    COMMITTER_BROKE, /* the first failure; err says why */
    COMMITTER_STILL_BROKEN,
    COMMITTER_RECOVERED /* the first success after failures */
};

/*
 * Take the result of a finished commit.
 * out:     *ticket: replies waiting for it or an earlier one may go out, also
 *          after a failure; unchanged when nothing has finished
 */
enum committer_news committer_collect(struct committer *c, uint64_t *ticket,
                                      struct error *err);

/*
 * Trouble met while folding the journal, once each.
 * returns: is there any? Then err says what.
 */
bool committer_collect_fold_error(struct committer *c, struct error *err);

/*
 * Keep the thread out of the store, to reopen it.
 * returns: false when the thread is in the store right now; true obliges to
 *          call committer_resume, and nothing else before it
 */
bool committer_try_pause(struct committer *c);
void committer_resume(struct committer *c);

/* Is everything noted so far durable, and collected? */
bool committer_is_settled(struct committer *c);

/* Have all commits since the last failure succeeded? */
bool committer_is_healthy(const struct committer *c);

/* Has one commit been under way for more than five seconds? */
bool committer_is_stalled(struct committer *c, int64_t now_ms);

/* When committer_submit should be called even without news; INT64_MAX never. */
int64_t committer_retry_ms(const struct committer *c);

/* A commit that has succeeded. */
struct committer_commit {
    size_t touches;
    int64_t us; /* that it took, the disk included */
};

/* The last one that was collected. */
struct committer_commit committer_last_commit(const struct committer *c);

/* Touches that the journal holds. */
size_t committer_journal_len(struct committer *c);

/* Touches dropped because the queue was full while commits failed. */
uint64_t committer_dropped(const struct committer *c);

#endif
