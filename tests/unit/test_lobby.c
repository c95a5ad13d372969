/*
 * Unit tests of app/lobby: who is judged again when, and how. A real store,
 * changed through LMDB as another process would; the clock is the test's.
 */
#include "app/lobby.h"

#include "base/digest.h"
#include "proto/uuid.h"
#include "sys/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "peer.h"
#include "scratch_store.h"

enum {
    MESSAGE_MAX = 4096,
    OUTPUT_MAX = 4096,
    NOON = 1790000000 /* UTC seconds */
};

#define TOKEN_A "550e8400-e29b-41d4-a716-446655440000"
#define TOKEN_B "00000000-0000-4000-8000-000000000001"

static int64_t utc_s;

int64_t clock_utc_s(void)
{
    return utc_s;
}

int64_t clock_utc_ms(void)
{
    return utc_s * 1000;
}

int64_t clock_monotonic_ms(void)
{
    return utc_s * 1000;
}

int64_t clock_monotonic_us(void)
{
    return utc_s * 1000000;
}

static struct scratch d;
static struct store *s;
static struct lobby *l;
static struct metrics metrics;
static struct log quiet;
static struct audit *audit;
static struct server_service service;
static struct session_rules rules;
static struct error err;

static int begin(void **state)
{
    char path[256];
    (void)state;

    utc_s = NOON;
    if (scratch_make(&d) != 0)
        return -1;
    s = store_open(d.dir, STORE_CREATE, SCRATCH_MAP, &err);
    if (s == NULL)
        fail_msg("%s", err.text);
    metrics_init(&metrics);
    log_init(&quiet, LOG_LOGFMT);
    snprintf(path, sizeof path, "%s/audit", d.dir);
    audit = audit_open(path, &quiet, &err);
    if (audit == NULL)
        fail_msg("%s", err.text);
    const struct lobby_rules lobby_rules = {MESSAGE_MAX, &quiet, audit,
                                            &metrics};
    l = lobby_new(s, &lobby_rules, &err);
    if (l == NULL)
        fail_msg("%s", err.text);
    service = lobby_service(l);
    rules = (struct session_rules){
        .app = lobby_app(l),
        .path = "/ws",
        .header_max = MESSAGE_MAX,
        .message_max = MESSAGE_MAX,
        .output_max = OUTPUT_MAX,
        .handshake_ms = 10000,
        .auth_ms = 10000,
        .ping_ms = 30000,
    };
    return 0;
}

static int end(void **state)
{
    (void)state;
    lobby_free(l);
    audit_close(audit);
    return scratch_remove(&d);
}

/* --- The store --- */

static void key_of(const char *token, uint8_t key[TOKEN_KEY_LEN])
{
    uint8_t bytes[UUID_LEN];

    assert_true(uuid_parse(span_of(token), bytes));
    digest_sha256(bytes, sizeof bytes, key);
}

/* Valid without end. */
static struct token_record jane(void)
{
    return (struct token_record){
        .row = 1, .username_len = 4, .username = "jane"};
}

/* One transaction. record: NULL deletes the token */
static void change(const char *token, const struct token_record *record,
                   bool is_damaged)
{
    uint8_t key[TOKEN_KEY_LEN], bytes[TOKEN_RECORD_MAX];
    struct token_seal seal = {.key = key, .secret = s->secret};
    MDB_txn *txn;

    key_of(token, key);
    MDB_val name = val_of(key, sizeof key);
    assert_int_equal(store_begin(s, 0, &txn, &err), 0);
    if (record == NULL) {
        assert_int_equal(mdb_del(txn, s->tokens, &name, NULL), 0);
    } else {
        size_t len = token_encode(record, &seal, bytes);
        bytes[len - 1] ^= is_damaged ? 1 : 0;
        MDB_val value = val_of(bytes, len);
        assert_int_equal(mdb_put(txn, s->tokens, &name, &value, 0), 0);
    }
    assert_int_equal(store_note_change(s, txn), 0);
    assert_int_equal(store_commit(s, txn, &err), 0);
}

static void put(const char *token, struct token_record record)
{
    change(token, &record, false);
}

/* --- Turns --- */

static void turn_at(int64_t now)
{
    service.end_turn(service.ctx);
    utc_s = now;
    service.begin_turn(service.ctx, now * 1000);
}

/* Does a look at this time find that a review is due? */
static bool is_due_at(int64_t now)
{
    turn_at(now);
    return service.begin_review(service.ctx);
}

static const char *judge(const char *token)
{
    uint8_t key[TOKEN_KEY_LEN];

    key_of(token, key);
    return service.judge(service.ctx, key);
}

#define expect_stays(token) assert_null(judge(token))
#define expect_goes(token) \
    assert_string_equal(judge(token), "the token is no longer valid")

/* Whom does a session count as after these logins? */
static void log_in(const char *const *tokens, uint8_t key[TOKEN_KEY_LEN])
{
    static uint8_t mem[2 * MESSAGE_MAX], out[4 * OUTPUT_MAX];
    struct conn conn = {0};
    struct session *session = &conn.session;
    uint8_t in[256];
    char text[128];

    assert_true(session_mem_size(&rules) <= sizeof mem &&
                session_out_size(&rules) <= sizeof out);
    session_init(session, &rules, mem, out);
    session_begin(session, &(struct session_start){.now_ms = utc_s * 1000});
    session_feed(session, (const uint8_t *)PEER_UPGRADE,
                 sizeof PEER_UPGRADE - 1, utc_s * 1000);
    for (size_t i = 0; tokens[i] != NULL; i++) {
        snprintf(text, sizeof text,
                 "{\"type\":\"token_auth\",\"payload\":{\"token\":\"%s\"}}",
                 tokens[i]);
        session_feed(session, in, peer_text(in, 0, text), utc_s * 1000);
    }
    assert_true(session_is_authenticated(session));
    memcpy(key, session->identity, TOKEN_KEY_LEN);
}

static void log_in_once(const char *token)
{
    uint8_t key[TOKEN_KEY_LEN], expected[TOKEN_KEY_LEN];

    log_in((const char *[]){token, NULL}, key);
    key_of(token, expected);
    assert_memory_equal(key, expected, sizeof key);
}

/* --- Tests --- */

static void due_when_tokens_change(void **state)
{
    (void)state;
    assert_false(is_due_at(NOON)); /* nobody has ever changed this one */
    put(TOKEN_A, jane());
    assert_true(is_due_at(NOON));
    expect_stays(TOKEN_A);
    assert_false(is_due_at(NOON));
    assert_false(is_due_at(NOON + 1000000));
    put(TOKEN_B, jane());
    put(TOKEN_B, jane());
    assert_true(is_due_at(NOON + 1000000));
    assert_false(is_due_at(NOON + 1000000));
}

static void revoked_and_deleted_go(void **state)
{
    struct token_record revoked = jane();

    (void)state;
    revoked.revoked = true;
    put(TOKEN_A, jane());
    put(TOKEN_B, jane());
    turn_at(NOON);
    log_in_once(TOKEN_A);
    assert_true(is_due_at(NOON));
    put(TOKEN_A, revoked);
    /* A turn's snapshot is older; the next look sees it. */
    expect_stays(TOKEN_A);
    assert_true(is_due_at(NOON));
    expect_goes(TOKEN_A);
    expect_stays(TOKEN_B);
    change(TOKEN_B, NULL, false);
    assert_true(is_due_at(NOON));
    expect_goes(TOKEN_B);
}

static void a_moved_beginning_counts(void **state)
{
    struct token_record later = jane();

    (void)state;
    put(TOKEN_A, jane());
    assert_true(is_due_at(NOON));
    later.not_before = NOON + 60;
    put(TOKEN_A, later);
    assert_true(is_due_at(NOON));
    expect_goes(TOKEN_A);
}

static void due_when_a_token_expires(void **state)
{
    struct token_record soon = jane(), later = jane();

    (void)state;
    soon.expires = NOON + 10;
    later.expires = NOON + 20;
    put(TOKEN_A, soon);
    put(TOKEN_B, later);
    assert_true(is_due_at(NOON));
    turn_at(NOON);
    log_in_once(TOKEN_B);
    log_in_once(TOKEN_A);
    assert_false(is_due_at(NOON + 9));
    assert_true(is_due_at(NOON + 10));
    expect_goes(TOKEN_A);
    expect_stays(TOKEN_B); /* and its own time is remembered */
    assert_false(is_due_at(NOON + 19));
    assert_true(is_due_at(NOON + 25));
    expect_goes(TOKEN_B);
    assert_false(is_due_at(NOON + 1000));
}

static void due_when_the_clock_is_set_back(void **state)
{
    struct token_record young = jane();

    (void)state;
    young.not_before = NOON - 10;
    put(TOKEN_A, young);
    assert_true(is_due_at(NOON));
    expect_stays(TOKEN_A);
    assert_true(is_due_at(NOON - 11));
    expect_goes(TOKEN_A);
    assert_false(is_due_at(NOON - 11));
}

static void a_damaged_record_is_asked_again(void **state)
{
    struct token_record record = jane();

    (void)state;
    change(TOKEN_A, &record, true);
    assert_true(is_due_at(NOON));
    expect_stays(TOKEN_A);
    assert_false(is_due_at(NOON));
    assert_true(is_due_at(NOON + 1));
    expect_stays(TOKEN_A);
    record.revoked = true;
    put(TOKEN_A, record);
    assert_true(is_due_at(NOON + 1));
    expect_goes(TOKEN_A);
    assert_false(is_due_at(NOON + 2));
}

static void a_store_that_fails_revokes_nobody(void **state)
{
    struct token_record soon = jane();

    (void)state;
    soon.expires = NOON + 10;
    put(TOKEN_A, soon);
    assert_true(is_due_at(NOON));
    expect_stays(TOKEN_A);
    turn_at(NOON + 10);
    MDB_txn *reader = s->reader;
    s->reader = NULL; /* as after a reopen that failed */
    assert_true(service.begin_review(service.ctx));
    expect_stays(TOKEN_A);
    assert_false(service.begin_review(service.ctx));
    s->reader = reader;
    atomic_store(&s->needs_reopen, false);
    assert_true(is_due_at(NOON + 11));
    expect_goes(TOKEN_A);
}

static void the_newest_login_is_the_identity(void **state)
{
    uint8_t key[TOKEN_KEY_LEN], expected[TOKEN_KEY_LEN];

    (void)state;
    put(TOKEN_A, jane());
    put(TOKEN_B, jane());
    turn_at(NOON);
    log_in((const char *[]){TOKEN_A, TOKEN_B, NULL}, key);
    key_of(TOKEN_B, expected);
    assert_memory_equal(key, expected, sizeof key);
    /* One that fails leaves it. */
    change(TOKEN_B, NULL, false);
    turn_at(NOON);
    log_in((const char *[]){TOKEN_A, TOKEN_B, NULL}, key);
    key_of(TOKEN_A, expected);
    assert_memory_equal(key, expected, sizeof key);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(due_when_tokens_change),
        TEST(revoked_and_deleted_go),
        TEST(a_moved_beginning_counts),
        TEST(due_when_a_token_expires),
        TEST(due_when_the_clock_is_set_back),
        TEST(a_damaged_record_is_asked_again),
        TEST(a_store_that_fails_revokes_nobody),
        TEST(the_newest_login_is_the_identity),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
