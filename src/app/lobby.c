#include "app/lobby.h"

#include "base/deadline.h"
#include "base/digest.h"
#include "base/wipe.h"
#include "proto/msg.h"
#include "proto/uuid.h"
#include "sys/clock.h"
#include "sys/committer.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    COMPLAINT_S = 10,   /* between two log lines about one kind of trouble */
    REOPEN_MS = 1000,   /* between two attempts that fail */
    PAUSE_TRIES = 20,   /* for the committer to leave the store; 1 ms each */
    PAUSE_MS = 50,      /* to the next such try */
    LINES_A_SECOND = 4, /* of logins, for a connection that is not trusted */
    WAIT_TURNS = 64 /* that a commit's time is cut into, to measure logins */
};

enum trouble {
    TROUBLE_RECORD,
    TROUBLE_OVERLOAD,
    TROUBLE_READ,
    TROUBLE_REOPEN,
    TROUBLE_STALL,
    TROUBLES
};

/*
 * Since when the answers of one ticket wait: how many from which turn. When
 * there are more turns the last ones count as one.
 */
struct waits {
    uint64_t ticket;
    size_t used;
    struct {
        int64_t since_us;
        unsigned count;
    } turns[WAIT_TURNS];
};

struct lobby {
    struct store *store;
    struct committer *committer;
    struct log *log;
    struct audit *audit;
    struct msg_arena arena;
    void *arena_mem;
    int64_t now;                  /* UTC seconds, of this turn */
    int64_t complained[TROUBLES]; /* UTC seconds, last line of each kind */
    int64_t now_ms;               /* monotonic, of this turn */
    int64_t now_us;               /* the same */
    struct metrics *metrics;
    struct waits waits[2]; /* of the two tickets that can be under way */
    int64_t reopen_at_ms;  /* monotonic; not before */
    uint64_t revision;     /* of the store, at the last review */
    int64_t reviewed;      /* UTC seconds, when that was */
    int64_t review_due;    /* UTC seconds: somebody's token expires */
};

/* --- Trouble --- */

/* Has this kind of trouble been quiet for long enough to be told again? */
static bool may_complain(const struct lobby *l, enum trouble trouble)
{
    int64_t last = l->complained[trouble];

    /* Not only "long ago": the clock may have been set back. */
    return l->now < last || l->now - last >= COMPLAINT_S;
}

static void complain(struct lobby *l, enum trouble trouble, const char *reason)
{
    static const char *const events[TROUBLES] = {
        [TROUBLE_RECORD] = "record_damaged", [TROUBLE_OVERLOAD] = "overload",
        [TROUBLE_READ] = "store_failed",     [TROUBLE_REOPEN] = "reopen_failed",
        [TROUBLE_STALL] = "commit_stalled",
    };

    if (!may_complain(l, trouble))
        return;
    l->complained[trouble] = l->now;
    log_event(l->log, LOG_ERROR, events[trouble], LOG_TEXT("reason", reason));
}

static void complain_damaged(struct lobby *l, const uint8_t key[TOKEN_KEY_LEN])
{
    char text[96], id[TOKEN_ID_LEN + 1];

    if (!may_complain(l, TROUBLE_RECORD))
        return; /* before the text is made: its time would tell */
    token_format_id(key, id);
    snprintf(text, sizeof text,
             "the record of token %s does not verify; import it again", id);
    complain(l, TROUBLE_RECORD, text);
}

/* --- Login --- */

/* A token as a peer presents it. */
struct presented {
    uint8_t bytes[TOKEN_LEN];
    uint8_t key[TOKEN_KEY_LEN]; /* SHA-256 of these */
};

static void reply_text(struct session *s, const char *text)
{
    session_reply(s, WS_OP_TEXT, span_of(text), 0);
}

/* Every login ends here, once. */
static void note(struct lobby *l, struct session *s, const struct login *login)
{
    static const enum metrics_login counted_as[] = {
        [LOGIN_OK] = METRICS_LOGIN_SUCCESS,
        [LOGIN_UNKNOWN] = METRICS_LOGIN_INVALID,
        [LOGIN_EXPIRED] = METRICS_LOGIN_INVALID,
        [LOGIN_REVOKED] = METRICS_LOGIN_INVALID,
        [LOGIN_EARLY] = METRICS_LOGIN_INVALID,
        [LOGIN_DAMAGED] = METRICS_LOGIN_DAMAGED,
        [LOGIN_MALFORMED] = METRICS_LOGIN_MALFORMED,
        [LOGIN_UNAVAILABLE] = METRICS_LOGIN_FAILED,
    };

    l->metrics->logins[counted_as[login->result]]++;
    audit_note(l->audit, conn_of(s), login);
}

/* Refuse a login; to the client all reasons but the form's are one. */
static void reject(struct lobby *l, struct session *s, enum login_result result,
                   const uint8_t *key)
{
    reply_text(s, result == LOGIN_MALFORMED ? msg_invalid_format
                                            : msg_invalid_token);
    session_note_failure(s);
    note(l, s, &(struct login){.result = result, .key = key});
}

/* The fault is ours: a client must not throw its token away. */
static void fail(struct lobby *l, struct session *s, const char *reason,
                 const uint8_t *key)
{
    session_fail(s, WS_CLOSE_INTERNAL, reason);
    note(l, s, &(struct login){.result = LOGIN_UNAVAILABLE, .key = key});
}

/* A login is counted when it is decided, its time when its answer leaves. */
static void note_wait(struct lobby *l, uint64_t ticket)
{
    struct waits *w = &l->waits[ticket % 2];

    if (ticket == COMMITTER_DURABLE) {
        histogram_note(&l->metrics->login_us, 0, 1);
        return;
    }
    if (w->ticket != ticket)
        *w = (struct waits){.ticket = ticket};
    if (w->used == 0 ||
        (w->turns[w->used - 1].since_us != l->now_us && w->used < WAIT_TURNS))
        w->turns[w->used++].since_us = l->now_us;
    w->turns[w->used - 1].count++;
}

/* All answers up to this ticket leave. */
static void end_waits(struct lobby *l, uint64_t ticket)
{
    for (size_t i = 0; i < 2; i++) {
        struct waits *w = &l->waits[i];

        for (size_t t = 0; w->ticket <= ticket && t < w->used; t++)
            histogram_note(&l->metrics->login_us,
                           (uint64_t)(l->now_us - w->turns[t].since_us),
                           w->turns[t].count);
        if (w->ticket <= ticket)
            w->used = 0;
    }
}

/* Remember the first second in which somebody's token is not valid any more. */
static void note_expiry(struct lobby *l, const struct token_record *record)
{
    if (record->expires != TOKEN_NEVER && record->expires < l->review_due)
        l->review_due = record->expires;
}

/*
 * Is a login to be told of? One who logs in a thousand times a second would
 * fill a disk with lines, and push out those of others.
 */
static bool may_be_told(const struct lobby *l, struct session *s)
{
    if (s->noted_s != l->now)
        s->noted = 0;
    s->noted_s = l->now;
    if (!s->is_trusted && s->noted == LINES_A_SECOND)
        return false;
    s->noted++;
    return true;
}

static void admit(struct lobby *l, struct session *s,
                  const struct token_record *record,
                  const struct presented *token)
{
    uint64_t ticket = committer_touch(l->committer, record->row, l->now);
    char reply[MSG_REPLY_MAX];

    if (ticket == COMMITTER_FULL) {
        complain(l, TROUBLE_OVERLOAD, "too many logins wait for one commit");
        fail(l, s, "overloaded", token->key);
        return;
    }
    struct span username = {(const uint8_t *)record->username,
                            record->username_len};
    size_t len = msg_format_auth_success(username, token->bytes, reply);
    session_note_login(s, token->key);
    note_wait(l, ticket);
    note_expiry(l, record);
    session_reply(s, WS_OP_TEXT, (struct span){(uint8_t *)reply, len}, ticket);
    wipe(reply, len);
    if (may_be_told(l, s))
        note(l, s, &(struct login){LOGIN_OK, token->key, username});
    else
        l->metrics->logins[METRICS_LOGIN_SUCCESS]++;
}

/*
 * The thread that met the failure leaves the store within moments; players
 * need not notice.
 */
static bool pause_committer(struct lobby *l)
{
    const struct timespec moment = {.tv_nsec = 1000000};

    for (int i = 0; i < PAUSE_TRIES; i++) {
        if (committer_try_pause(l->committer))
            return true;
        nanosleep(&moment, NULL);
    }
    l->reopen_at_ms = l->now_ms + PAUSE_MS;
    return false;
}

/* After a failed commit LMDB lets nobody read before a reopen. */
static void reopen_store(struct lobby *l)
{
    struct error err;

    if (l->now_ms < l->reopen_at_ms || !pause_committer(l))
        return;
    int rc = store_reopen(l->store, &err);
    committer_resume(l->committer);
    if (rc == 0) {
        log_write(l->log, LOG_INFO, "store_reopened",
                  (struct log_field[]){{0}});
        return;
    }
    l->reopen_at_ms = l->now_ms + REOPEN_MS;
    complain(l, TROUBLE_REOPEN, err.text);
}

static enum store_found find(struct lobby *l, const uint8_t key[TOKEN_KEY_LEN],
                             struct token_record *record, struct error *err)
{
    enum store_found found = store_find(l->store, key, record, err);

    if (found != STORE_FAILED || !store_needs_reopen(l->store))
        return found;
    reopen_store(l);
    return store_find(l->store, key, record, err);
}

static enum login_result judge_found(enum store_found found,
                                     const struct token_record *record,
                                     int64_t now)
{
    if (found != STORE_FOUND)
        return found == STORE_DAMAGED ? LOGIN_DAMAGED : LOGIN_UNKNOWN;
    if (token_is_valid(record, now))
        return LOGIN_OK;
    if (record->revoked)
        return LOGIN_REVOKED;
    return now < record->not_before ? LOGIN_EARLY : LOGIN_EXPIRED;
}

static void log_in(struct lobby *l, struct session *s, struct presented *token)
{
    struct token_record record;
    struct error err;

    digest_sha256(token->bytes, TOKEN_LEN, token->key);
    enum store_found found = find(l, token->key, &record, &err);
    if (found == STORE_FAILED) {
        complain(l, TROUBLE_READ, err.text);
        fail(l, s, "the store cannot be read", token->key);
        return;
    }
    if (found == STORE_DAMAGED)
        complain_damaged(l, token->key);
    enum login_result result = uuid_is_nil(token->bytes)
                                   ? LOGIN_UNKNOWN
                                   : judge_found(found, &record, l->now);
    if (result == LOGIN_OK)
        admit(l, s, &record, token);
    else
        reject(l, s, result, token->key);
}

static void on_message(void *ctx, struct session *s, enum ws_opcode opcode,
                       struct span payload)
{
    struct lobby *l = ctx;
    struct presented token;

    (void)opcode; /* always text: the app accepts no binary */
    switch (msg_parse(&l->arena, payload, token.bytes)) {
    case MSG_TOKEN_AUTH:
        log_in(l, s, &token);
        break;
    case MSG_MALFORMED:
        reject(l, s, LOGIN_MALFORMED, NULL);
        break;
    case MSG_OTHER:
        reply_text(s, session_is_authenticated(s) ? msg_unknown_type
                                                  : msg_auth_required);
        break;
    }
    wipe(&token, sizeof token);
    wipe_stack(); /* parser and hash have had it as well */
}

static const char *unready_reason(void *ctx)
{
    struct lobby *l = ctx;

    if (store_needs_reopen(l->store))
        return "the store has to be reopened";
    if (!committer_is_healthy(l->committer))
        return "last uses cannot be written";
    if (committer_is_stalled(l->committer, l->now_ms))
        return "a commit takes too long";
    return NULL;
}

/* --- Review of those who are logged in --- */

_Static_assert((int)SESSION_IDENTITY_LEN == (int)TOKEN_KEY_LEN,
               "a token's hash is its player's identity");

static bool begin_review(void *ctx)
{
    struct lobby *l = ctx;
    uint64_t revision;
    struct error err;

    /* What cannot be read now is asked again at the next look. */
    if (store_revision(l->store, &revision, &err) != 0) {
        complain(l, TROUBLE_READ, err.text);
        revision = l->revision;
    }
    /* The clock may have been set back, before a token's first second. */
    if (revision == l->revision && l->now < l->review_due &&
        l->now >= l->reviewed) {
        l->reviewed = l->now;
        return false;
    }
    l->revision = revision;
    l->reviewed = l->now;
    l->review_due = INT64_MAX;
    return true;
}

static const char *judge(void *ctx,
                         const uint8_t identity[SESSION_IDENTITY_LEN])
{
    struct lobby *l = ctx;
    struct token_record record;
    struct error err;
    enum store_found found = store_find(l->store, identity, &record, &err);

    if (found == STORE_FOUND && token_is_valid(&record, l->now)) {
        note_expiry(l, &record);
        return NULL;
    }
    if (found == STORE_FOUND || found == STORE_ABSENT)
        return "the token is no longer valid";
    /* No answer is no revocation: ask again. */
    l->review_due = l->now + 1;
    if (found == STORE_DAMAGED)
        complain_damaged(l, identity);
    else
        complain(l, TROUBLE_READ, err.text);
    return NULL;
}

/* --- Turns --- */

static void note_commit(struct lobby *l)
{
    struct committer_commit commit = committer_last_commit(l->committer);

    histogram_note(&l->metrics->commit_us, (uint64_t)commit.us, 1);
    histogram_note(&l->metrics->commit_touches, commit.touches, 1);
}

static bool collect(void *ctx, uint64_t *ticket)
{
    struct lobby *l = ctx;
    struct error err;

    if (committer_collect_fold_error(l->committer, &err))
        log_event(l->log, LOG_ERROR, "fold_failed",
                  LOG_TEXT("reason", err.text));
    enum committer_news news = committer_collect(l->committer, ticket, &err);
    if (news == COMMITTER_NOTHING)
        return false;
    end_waits(l, *ticket);
    if (news == COMMITTER_BROKE || news == COMMITTER_STILL_BROKEN)
        l->metrics->commits_failed++;
    else
        note_commit(l);
    if (news == COMMITTER_BROKE)
        log_event(l->log, LOG_ERROR, "commit_failed",
                  LOG_TEXT("reason", err.text),
                  LOG_TEXT("effect", "players are let in; their last uses are "
                                     "queued and tried again"));
    if (news == COMMITTER_RECOVERED)
        log_event(l->log, LOG_INFO, "commit_recovered",
                  LOG_NUMBER("dropped", committer_dropped(l->committer)));
    return true;
}

static void begin_turn(void *ctx, int64_t now_ms)
{
    struct lobby *l = ctx;

    l->now = clock_utc_s();
    l->now_ms = now_ms;
    l->now_us = clock_monotonic_us();
}

static void reload(void *ctx)
{
    struct lobby *l = ctx;

    audit_reopen(l->audit);
}

static int64_t end_turn(void *ctx)
{
    struct lobby *l = ctx;

    store_end_reads(l->store);
    int64_t audit_ms = audit_settle(l->audit, l->now_ms);
    if (store_needs_reopen(l->store))
        reopen_store(l);
    committer_submit(l->committer, l->now_ms);
    if (committer_is_stalled(l->committer, l->now_ms))
        complain(l, TROUBLE_STALL, "the disk, or another writer, is slow");
    int64_t retry_ms = committer_retry_ms(l->committer);
    if (store_needs_reopen(l->store) && l->reopen_at_ms < retry_ms)
        retry_ms = l->reopen_at_ms;
    return deadline_first(retry_ms, audit_ms);
}

static bool is_settled(void *ctx)
{
    struct lobby *l = ctx;

    return committer_is_settled(l->committer);
}

/* --- Start and end --- */

struct lobby *lobby_new(struct store *store, const struct lobby_rules *rules,
                        struct error *err)
{
    struct lobby *l = calloc(1, sizeof *l);
    size_t arena_size = MSG_ARENA_SIZE(rules->message_max);

    if (l == NULL || (l->arena_mem = malloc(arena_size)) == NULL) {
        error_set(err, "out of memory");
        free(l);
        store_close(store);
        return NULL;
    }
    msg_arena_init(&l->arena, l->arena_mem, arena_size);
    l->store = store;
    l->log = rules->log;
    l->audit = rules->audit;
    l->metrics = rules->metrics;
    l->review_due = INT64_MAX;
    l->committer = committer_new(store, err);
    if (l->committer != NULL)
        return l;
    lobby_free(l);
    return NULL;
}

void lobby_free(struct lobby *l)
{
    if (l == NULL)
        return;
    committer_free(l->committer);
    store_close(l->store);
    wipe(l->arena_mem, l->arena.cap);
    free(l->arena_mem);
    free(l);
}

struct lobby_gauges lobby_gauges(struct lobby *l)
{
    return (struct lobby_gauges){
        .store = store_usage(l->store),
        .journal_len = committer_journal_len(l->committer),
        .dropped = committer_dropped(l->committer),
        .is_ready = unready_reason(l) == NULL,
    };
}

struct session_app lobby_app(struct lobby *l)
{
    return (struct session_app){
        .ctx = l,
        .on_message = on_message,
        .unready_reason = unready_reason,
        .reply_max = MSG_REPLY_MAX,
        .accepts_binary = false,
        .needs_login = true,
    };
}

struct server_service lobby_service(struct lobby *l)
{
    return (struct server_service){
        .ctx = l,
        .fd = committer_fd(l->committer),
        .collect = collect,
        .begin_turn = begin_turn,
        .reload = reload,
        .end_turn = end_turn,
        .is_settled = is_settled,
        .begin_review = begin_review,
        .judge = judge,
    };
}
