/*
 * Unit tests of sys/committer, on real LMDB files. A disk that fails is made
 * by putting /dev/full in the place of the store's descriptors; a slow one by
 * holding LMDB's writer lock.
 */
#include "sys/committer.h"

#include "sys/journal.h"
#include "sys/store_env.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "scratch_store.h"

static struct scratch d;
static struct store *s;
static struct committer *c;
static struct error err;
static uint64_t ticket;

static void open_all(void)
{
    s = store_open(d.dir, STORE_CREATE, SCRATCH_MAP, &err);
    if (s == NULL)
        fail_msg("%s", err.text);
    c = committer_new(s, &err);
    if (c == NULL)
        fail_msg("%s", err.text);
    ticket = 0;
}

static void close_all(void)
{
    committer_free(c);
    store_close(s);
    c = NULL;
    s = NULL;
}

static int begin(void **state)
{
    (void)state;
    if (scratch_make(&d) != 0)
        return -1;
    open_all();
    return 0;
}

/* --- The disk --- */

enum { FDS_MAX = 8 };

static struct {
    int fd[FDS_MAX], saved[FDS_MAX];
    size_t count;
} broken;

/* Does descriptor fd lead to the store's file? */
static bool is_of_store(int fd)
{
    char link[64], target[256];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, target, sizeof target - 1);
    if (len < 0)
        return false;
    target[len] = '\0';
    return strcmp(target, d.file) == 0;
}

/*
 * LMDB has two: one for pages, one, synchronous, for the meta pages. The
 * store's own, for its lock, is only read.
 */
static void break_disk(bool meta_only)
{
    int full = open("/dev/full", O_WRONLY);

    assert_true(full >= 0);
    for (int fd = 0; fd < 256; fd++) {
        if (!is_of_store(fd) || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY ||
            (meta_only && (fcntl(fd, F_GETFL) & O_DSYNC) == 0))
            continue;
        broken.fd[broken.count] = fd;
        broken.saved[broken.count] = fcntl(fd, F_DUPFD, 300);
        dup2(full, fd);
        broken.count++;
    }
    close(full);
    assert_int_equal(broken.count, meta_only ? 1 : 2);
}

static void heal_disk(void)
{
    for (size_t i = 0; i < broken.count; i++) {
        dup2(broken.saved[i], broken.fd[i]);
        close(broken.saved[i]);
    }
    broken.count = 0;
}

static int end(void **state)
{
    (void)state;
    heal_disk();
    close_all();
    return scratch_remove(&d);
}

/* --- Helpers --- */

static bool has_news(int timeout_ms)
{
    struct pollfd p = {.fd = committer_fd(c), .events = POLLIN};

    return poll(&p, 1, timeout_ms) == 1;
}

/* Wait for a commit to finish, and take its result. */
static enum committer_news await(void)
{
    enum committer_news news;

    do {
        if (!has_news(10000))
            fail_msg("no news in 10 s");
        news = committer_collect(c, &ticket, &err);
    } while (news == COMMITTER_NOTHING);
    return news;
}

static size_t journal_len(void)
{
    size_t n;

    assert_int_equal(journal_count(s, &n, &err), 0);
    return n;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

/* The thread waits for the writer lock now. returns: what holds it */
static struct store_import *hold_writer(void)
{
    struct store_import *im = store_import_begin(s, &err);

    assert_non_null(im);
    return im;
}

/* Close and open the store, as the loop does it. */
static void reopen(void)
{
    assert_true(committer_try_pause(c));
    int rc = store_reopen(s, &err);
    committer_resume(c); /* first: a failed test must not hang at the end */
    if (rc != 0)
        fail_msg("%s", err.text);
}

/* --- Commits --- */

static void nothing_to_do(void **state)
{
    (void)state;
    assert_true(committer_is_settled(c));
    assert_true(committer_is_healthy(c));
    assert_true(committer_retry_ms(c) == INT64_MAX);
    committer_submit(c, 0);
    assert_false(has_news(50));
    ticket = 77;
    assert_int_equal(committer_collect(c, &ticket, &err), COMMITTER_NOTHING);
    assert_int_equal(ticket, 77);
    assert_false(committer_collect_fold_error(c, &err));
    assert_int_equal(committer_dropped(c), 0);
    committer_free(NULL);
}

static void one_batch(void **state)
{
    (void)state;
    assert_int_equal(committer_touch(c, 5, 100), 1);
    assert_int_equal(committer_touch(c, 6, 100), 1);
    assert_false(committer_is_settled(c));
    assert_false(has_news(50));
    assert_int_equal(journal_len(), 0);
    committer_submit(c, 0);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    assert_int_equal(ticket, 1);
    assert_true(committer_is_settled(c));
    assert_int_equal(scratch_in_journal(s, 5), 100);
    assert_int_equal(scratch_in_journal(s, 6), 100);
    assert_false(has_news(0));
    assert_int_equal(committer_touch(c, 7, 100), 2);
    committer_submit(c, 0);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    assert_int_equal(ticket, 2);
}

/* Finished but not collected: the next batch must wait for that. */
static void collected_one_by_one(void **state)
{
    (void)state;
    committer_touch(c, 1, 100);
    committer_submit(c, 0);
    assert_true(has_news(10000));
    assert_false(committer_is_settled(c));
    assert_int_equal(committer_touch(c, 2, 100), 2);
    committer_submit(c, 0);
    assert_int_equal(committer_touch(c, 3, 100), 2);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    assert_int_equal(ticket, 1);
    assert_false(committer_is_settled(c));
    assert_int_equal(scratch_in_journal(s, 2), 0);
    committer_submit(c, 0);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    assert_int_equal(ticket, 2);
    assert_int_equal(scratch_in_journal(s, 3), 100);
}

static void same_second(void **state)
{
    (void)state;
    assert_int_equal(committer_touch(c, 5, 100), 1);
    assert_int_equal(committer_touch(c, 5, 100), 1);
    committer_submit(c, 0);
    assert_int_equal(committer_touch(c, 5, 100), 1);
    assert_int_equal(committer_touch(c, 5, 101), 2);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    assert_int_equal(committer_touch(c, 5, 101), 2);
    committer_submit(c, 0);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    assert_int_equal(committer_touch(c, 5, 101), COMMITTER_DURABLE);
    assert_int_equal(committer_touch(c, 5, 102), 3);
    assert_int_equal(journal_len(), 2);
    /* Rows that share a place in the table of recent ones. */
    assert_int_equal(committer_touch(c, 5 + 8192, 102), 3);
    assert_int_equal(committer_touch(c, 5, 102), 3);
    committer_submit(c, 0);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    assert_int_equal(scratch_in_journal(s, 5), 102);
    assert_int_equal(scratch_in_journal(s, 5 + 8192), 102);
}

static void batches_grow_while_busy(void **state)
{
    (void)state;
    struct store_import *lock = hold_writer();
    committer_touch(c, 1, 100);
    committer_submit(c, 0);
    for (uint64_t row = 2; row < 200; row++) {
        assert_int_equal(committer_touch(c, row, 100), 2);
        committer_submit(c, 0);
    }
    assert_false(has_news(50));
    bool is_paused = committer_try_pause(c);
    if (is_paused)
        committer_resume(c);
    assert_false(is_paused);
    assert_false(committer_is_settled(c));
    store_import_abort(lock);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    assert_int_equal(ticket, 1);
    assert_int_equal(journal_len(), 1);
    committer_submit(c, 0);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    assert_int_equal(ticket, 2);
    assert_int_equal(journal_len(), 199);
    assert_int_equal(scratch_in_journal(s, 199), 100);
}

static void stalled(void **state)
{
    (void)state;
    assert_false(committer_is_stalled(c, 1 << 30));
    struct store_import *lock = hold_writer();
    committer_touch(c, 1, 100);
    committer_submit(c, 1000);
    committer_touch(c, 2, 100);
    committer_submit(c, 5000);
    bool is_stalled = committer_is_stalled(c, 6000);
    bool is_later = committer_is_stalled(c, 6001);
    store_import_abort(lock);
    assert_false(is_stalled);
    assert_true(is_later);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    assert_false(committer_is_stalled(c, 1 << 30));
}

static void full_batch(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < COMMITTER_BATCH_MAX; i++)
        assert_int_equal(committer_touch(c, i % 7 + 1, 1000 + (int64_t)i), 1);
    assert_true(committer_touch(c, 1, 5) == COMMITTER_FULL);
    assert_true(committer_touch(c, 9, 5) == COMMITTER_FULL);
    committer_submit(c, 0);
    assert_int_equal(committer_touch(c, 9, 5), 2);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    committer_submit(c, 0);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    assert_int_equal(scratch_in_journal(s, 9), 5);
}

static void pausing(void **state)
{
    (void)state;
    reopen();
    committer_touch(c, 1, 100);
    committer_submit(c, 0);
    assert_true(has_news(10000));
    reopen(); /* finished, and not collected yet */
    assert_int_equal(await(), COMMITTER_COMMITTED);
    assert_int_equal(ticket, 1);
    assert_int_equal(scratch_in_journal(s, 1), 100);
}

/* --- The end --- */

static void what_is_gathered_is_committed_at_the_end(void **state)
{
    (void)state;
    committer_touch(c, 1, 100);
    close_all();
    open_all();
    assert_int_equal(scratch_in_journal(s, 1), 100);
    committer_touch(c, 2, 200);
    committer_submit(c, 0);
    committer_touch(c, 3, 300);
    close_all();
    open_all();
    assert_int_equal(scratch_in_journal(s, 1), 100);
    assert_int_equal(scratch_in_journal(s, 2), 200);
    assert_int_equal(scratch_in_journal(s, 3), 300);
    assert_int_equal(journal_len(), 3);
}

/* A failure that nobody has collected, then a disk that works. */
static void failed_at_the_end(void **state)
{
    (void)state;
    committer_touch(c, 1, 100);
    break_disk(false);
    committer_submit(c, 0);
    assert_true(has_news(10000));
    committer_touch(c, 2, 200);
    heal_disk();
    close_all();
    open_all();
    assert_int_equal(scratch_in_journal(s, 1), 100);
    assert_int_equal(scratch_in_journal(s, 2), 200);
}

static void broken_at_the_end(void **state)
{
    (void)state;
    committer_touch(c, 1, 100);
    break_disk(false);
    committer_submit(c, 0);
    assert_int_equal(await(), COMMITTER_BROKE);
    committer_touch(c, 2, 200);
    committer_free(c);
    c = NULL;
    heal_disk();
    close_all();
    open_all();
    assert_int_equal(journal_len(), 0);
}

/* --- Failure --- */

static void failure_and_recovery(void **state)
{
    (void)state;
    committer_touch(c, 1, 100);
    committer_submit(c, 5000);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    break_disk(false);
    assert_int_equal(committer_touch(c, 1, 101), 2);
    committer_submit(c, 6000);
    assert_int_equal(await(), COMMITTER_BROKE);
    assert_true(ticket >= 2);
    assert_non_null(strstr(err.text, "disk is full"));
    assert_false(committer_is_healthy(c));
    assert_false(committer_is_settled(c));
    assert_int_equal(committer_retry_ms(c), 7000);
    assert_int_equal(committer_touch(c, 2, 102), COMMITTER_DURABLE);
    assert_int_equal(committer_touch(c, 1, 101), COMMITTER_DURABLE);
    committer_submit(c, 6999);
    assert_false(has_news(50));
    committer_submit(c, 7000);
    assert_int_equal(committer_touch(c, 3, 103), COMMITTER_DURABLE);
    assert_int_equal(await(), COMMITTER_STILL_BROKEN);
    assert_int_equal(committer_retry_ms(c), 8000);
    assert_int_equal(journal_len(), 1);
    heal_disk();
    assert_int_equal(committer_touch(c, 1, 104), COMMITTER_DURABLE);
    committer_submit(c, 8000);
    assert_int_equal(await(), COMMITTER_RECOVERED);
    assert_true(committer_is_healthy(c));
    assert_true(committer_is_settled(c));
    assert_true(committer_retry_ms(c) == INT64_MAX);
    assert_int_equal(scratch_in_journal(s, 1), 104);
    assert_int_equal(scratch_in_journal(s, 2), 102);
    assert_int_equal(scratch_in_journal(s, 3), 103);
    assert_int_equal(committer_dropped(c), 0);
    /* And then as before. */
    uint64_t next = committer_touch(c, 9, 200);
    assert_true(next != COMMITTER_DURABLE && next > ticket);
    committer_submit(c, 8001);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    assert_int_equal(ticket, next);
    assert_int_equal(scratch_in_journal(s, 9), 200);
}

/* Nobody waits for a disk that fails: what was gathered goes out as well. */
static void gathered_at_the_failure(void **state)
{
    (void)state;
    struct store_import *lock = hold_writer();
    assert_int_equal(committer_touch(c, 1, 100), 1);
    committer_submit(c, 0);
    assert_int_equal(committer_touch(c, 2, 100), 2);
    break_disk(false);
    store_import_abort(lock);
    assert_int_equal(await(), COMMITTER_BROKE);
    assert_true(ticket >= 2);
    heal_disk();
    committer_submit(c, 1000);
    /* Touched while the retry runs: queued, and committed after it. */
    assert_int_equal(committer_touch(c, 3, 100), COMMITTER_DURABLE);
    assert_int_equal(await(), COMMITTER_RECOVERED);
    assert_int_equal(scratch_in_journal(s, 1), 100);
    assert_int_equal(scratch_in_journal(s, 2), 100);
    assert_false(committer_is_settled(c));
    committer_submit(c, 1001);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    assert_int_equal(scratch_in_journal(s, 3), 100);
    assert_true(committer_is_settled(c));
}

static void broke_each_time(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 3; i++) {
        break_disk(false);
        committer_touch(c, 1, 100 + i);
        committer_submit(c, 10000 * i);
        assert_int_equal(await(), COMMITTER_BROKE);
        heal_disk();
        committer_submit(c, 10000 * i + 1000);
        assert_int_equal(await(), COMMITTER_RECOVERED);
        assert_int_equal(scratch_in_journal(s, 1), 100 + i);
    }
}

static void break_at_once(void)
{
    committer_touch(c, 1, 1);
    break_disk(false);
    committer_submit(c, 0);
    assert_int_equal(await(), COMMITTER_BROKE);
}

static void few_rows_are_never_dropped(void **state)
{
    enum { TOUCHES = 5 * COMMITTER_BACKLOG_MAX };
    (void)state;

    break_at_once();
    for (uint64_t i = 0; i < TOUCHES; i++)
        assert_int_equal(committer_touch(c, i % 10 + 1, 100 + (int64_t)i),
                         COMMITTER_DURABLE);
    assert_int_equal(committer_dropped(c), 0);
    heal_disk();
    committer_submit(c, 1000);
    assert_int_equal(await(), COMMITTER_RECOVERED);
    assert_true(journal_len() <= 2 * COMMITTER_BACKLOG_MAX);
    for (uint64_t row = 1; row <= 10; row++)
        assert_int_equal(scratch_in_journal(s, row),
                         100 + TOUCHES - 11 + (int64_t)row);
}

static void the_backlog_is_bounded(void **state)
{
    enum { TOUCHES = 4 * COMMITTER_BACKLOG_MAX + 1000 };
    (void)state;

    break_at_once();
    for (uint64_t row = 2; row <= TOUCHES; row++)
        assert_int_equal(committer_touch(c, row, 100), COMMITTER_DURABLE);
    uint64_t dropped = committer_dropped(c);
    assert_true(dropped > 0);
    assert_true(TOUCHES - dropped <= 2 * COMMITTER_BACKLOG_MAX);
    /* One more failure queues what was handed over again. */
    committer_submit(c, 1000);
    assert_int_equal(await(), COMMITTER_STILL_BROKEN);
    heal_disk();
    committer_submit(c, 2000);
    assert_int_equal(await(), COMMITTER_RECOVERED);
    dropped = committer_dropped(c);
    assert_int_equal(journal_len() + dropped, TOUCHES);
}

/* A whole batch in the slot, another gathered, and the queue: all bounded. */
static void two_full_batches_fail(void **state)
{
    (void)state;
    struct store_import *lock = hold_writer();
    for (uint64_t row = 1; row <= COMMITTER_BATCH_MAX; row++)
        committer_touch(c, row, 100);
    committer_submit(c, 0);
    for (uint64_t row = 1; row <= COMMITTER_BATCH_MAX; row++)
        committer_touch(c, COMMITTER_BATCH_MAX + row, 100);
    break_disk(false);
    store_import_abort(lock);
    assert_int_equal(await(), COMMITTER_BROKE);
    heal_disk();
    committer_submit(c, 1000);
    assert_int_equal(await(), COMMITTER_RECOVERED);
    assert_int_equal(journal_len() + committer_dropped(c),
                     2 * COMMITTER_BATCH_MAX);
    assert_true(journal_len() <= 2 * COMMITTER_BACKLOG_MAX);
}

/* The map is full: the same path, and no reopen is asked for. */
static void full_map(void **state)
{
    enum committer_news news;
    int64_t time = 1;
    (void)state;

    close_all();
    s = store_open(d.dir, STORE_CREATE, 1 << 20, &err);
    assert_non_null(s);
    c = committer_new(s, &err);
    assert_non_null(c);
    do {
        for (uint64_t row = 1; row <= 2000; row++)
            committer_touch(c, row, time);
        committer_submit(c, time * 10);
        news = await();
        assert_true(time++ < 1000);
    } while (news == COMMITTER_COMMITTED);
    assert_int_equal(news, COMMITTER_BROKE);
    assert_non_null(strstr(err.text, "raise --map-size"));
    assert_false(store_needs_reopen(s));
    committer_submit(c, 1 << 20);
    assert_int_equal(await(), COMMITTER_STILL_BROKEN);
    committer_touch(c, 7777, time);
    /* The next start has more room. */
    committer_free(c);
    store_close(s);
    open_all();
    assert_int_equal(scratch_in_journal(s, 1), time - 2);
}

/* The meta page cannot be written: LMDB gives up until it is reopened. */
static void panic_and_reopen(void **state)
{
    struct token_record record;
    uint8_t key[TOKEN_KEY_LEN] = {0};
    (void)state;

    committer_touch(c, 1, 100);
    break_disk(true);
    committer_submit(c, 0);
    assert_int_equal(await(), COMMITTER_BROKE);
    committer_submit(c, 1000);
    assert_int_equal(await(), COMMITTER_STILL_BROKEN);
    assert_true(store_needs_reopen(s));
    assert_int_equal(store_find(s, key, &record, &err), STORE_FAILED);
    store_end_reads(s);
    committer_touch(c, 2, 200);
    heal_disk();
    committer_submit(c, 2000);
    assert_int_equal(await(), COMMITTER_STILL_BROKEN);
    reopen();
    assert_false(store_needs_reopen(s));
    assert_int_equal(store_find(s, key, &record, &err), STORE_ABSENT);
    store_end_reads(s);
    committer_submit(c, 3000);
    assert_int_equal(await(), COMMITTER_RECOVERED);
    assert_int_equal(scratch_in_journal(s, 1), 100);
    assert_int_equal(scratch_in_journal(s, 2), 200);
}

/* --- Folding --- */

static void fill_journal(size_t count)
{
    struct sort_pair *touches = calloc(count, sizeof *touches);

    for (size_t i = 0; i < count; i++)
        touches[i] = (struct sort_pair){i % 10 + 1, 1000 + i};
    assert_int_equal(journal_append(s, touches, count, &err), 0);
    free(touches);
}

static void await_fold(int64_t row_one)
{
    for (int i = 0; i < 500 && scratch_in_table(s, 1) != row_one; i++)
        nap();
    assert_int_equal(scratch_in_table(s, 1), row_one);
}

static void long_journals_are_folded(void **state)
{
    (void)state;
    for (int64_t i = 0; i < COMMITTER_BATCH_MAX; i++)
        committer_touch(c, (uint64_t)(i % 10) + 1, 1000 + i);
    committer_submit(c, 0);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    int64_t last = COMMITTER_BATCH_MAX - 1;
    await_fold(1000 + last / 10 * 10);
    assert_false(committer_collect_fold_error(c, &err));
    /* Batches go on. */
    committer_touch(c, 77, 5);
    committer_submit(c, 0);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    assert_int_equal(scratch_in_journal(s, 77), 5);
}

static void short_journals_are_not(void **state)
{
    (void)state;
    committer_touch(c, 1, 100);
    committer_submit(c, 0);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    for (int i = 0; i < 10; i++)
        nap();
    assert_int_equal(scratch_in_table(s, 1), 0);
}

static void a_long_journal_at_the_start(void **state)
{
    (void)state;
    fill_journal(1 << 18);
    close_all();
    open_all();
    await_fold(1000 + ((1 << 18) - 1) / 10 * 10);
}

static void damage_is_told_once(void **state)
{
    uint64_t seq = 1;
    (void)state;

    fill_journal(10);
    fill_journal(1 << 18);
    close_all();
    struct raw r = raw_open(&d, "journal", MDB_INTEGERKEY);
    raw_flip(&r, &seq, sizeof seq, 3);
    raw_close(&r);
    open_all();
    assert_true(has_news(10000));
    assert_int_equal(committer_collect(c, &ticket, &err), COMMITTER_NOTHING);
    assert_true(committer_collect_fold_error(c, &err));
    assert_non_null(strstr(err.text, "1 damaged"));
    assert_false(committer_collect_fold_error(c, &err));
    await_fold(1000 + ((1 << 18) - 1) / 10 * 10);
    assert_true(committer_is_healthy(c));
}

/* The fold fails, and says so; commits are judged by themselves. */
static void a_fold_that_fails(void **state)
{
    (void)state;
    fill_journal(1 << 18);
    committer_free(c);
    break_disk(false);
    c = committer_new(s, &err);
    assert_non_null(c);
    assert_true(has_news(10000));
    assert_true(committer_collect_fold_error(c, &err));
    assert_non_null(strstr(err.text, "disk is full"));
    committer_collect(c, &ticket, &err);
    assert_true(committer_is_healthy(c));
    heal_disk();
    committer_touch(c, 99, 5);
    committer_submit(c, 0);
    assert_int_equal(await(), COMMITTER_COMMITTED);
    assert_int_equal(scratch_in_journal(s, 99), 5);
    assert_int_equal(scratch_in_journal(s, 1),
                     1000 + ((1 << 18) - 1) / 10 * 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_to_do),
        TEST(one_batch),
        TEST(collected_one_by_one),
        TEST(same_second),
        TEST(batches_grow_while_busy),
        TEST(stalled),
        TEST(full_batch),
        TEST(pausing),
        TEST(what_is_gathered_is_committed_at_the_end),
        TEST(failed_at_the_end),
        TEST(broken_at_the_end),
        TEST(failure_and_recovery),
        TEST(gathered_at_the_failure),
        TEST(broke_each_time),
        TEST(few_rows_are_never_dropped),
        TEST(the_backlog_is_bounded),
        TEST(two_full_batches_fail),
        TEST(full_map),
        TEST(panic_and_reopen),
        TEST(long_journals_are_folded),
        TEST(short_journals_are_not),
        TEST(a_long_journal_at_the_start),
        TEST(damage_is_told_once),
        TEST(a_fold_that_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
