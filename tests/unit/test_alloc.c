/*
 * No memory: whatever the server does at start, for a connection and for an
 * import is run with the n-th allocation failing, for every n that there is,
 * alone and with all that follow it. Each run either works or says why not; it
 * leaks no memory, mapping or descriptor, loses nothing that was durable, and
 * works when there is memory again.
 */
#include "app/config.h"
#include "app/lobby.h"
#include "app/pool.h"
#include "base/digest.h"
#include "sys/clock.h"
#include "sys/committer.h"
#include "sys/journal.h"
#include "sys/store_env.h"
#include "sys/tls_client.h"
#include "tools/command.h"
#include "tools/import_set.h"

#include "failing_alloc.h"
#include "peer.h"
#include "tls_peer.h"

#include <fcntl.h>
#include <poll.h>
#include <sanitizer/lsan_interface.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scratch_store.h"
enum { RUNS_MAX = 2000, TOKENS = 3, MESSAGE_MAX = 4096 };

/* What is run. Only `run` meets failures; the others have all memory. */
struct path {
    void (*set_up)(void);
    bool (*run)(struct error *err); /* did it work? */
    void (*check)(bool worked);
};

static struct scratch d;
static int failures_met; /* of one path, in all modes */

/* --- Runs --- */

static int count_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

/* returns: has an allocation failed? */
static bool run_once(const struct path *p, long n, enum alloc_mode mode)
{
    struct error err = {""};
    int descriptors = count_descriptors();
    long mapped = atomic_load(&alloc_mapped);

    if (p->set_up != NULL)
        p->set_up();
    alloc_arm(n, mode);
    bool worked = p->run(&err);
    bool failed = alloc_disarm();
    if (!worked && !failed)
        fail_msg("without a failure: %s", err.text);
    if (!worked && err.text[0] == '\0')
        fail_msg("call %ld fails without a reason", n);
    if (p->check != NULL)
        p->check(worked);
    assert_int_equal(count_descriptors(), descriptors);
    assert_int_equal(atomic_load(&alloc_mapped), mapped);
    if (__lsan_do_recoverable_leak_check() != 0)
        fail_msg("call %ld leaves memory behind", n);
    return failed;
}

static void run_path(const struct path *p)
{
    failures_met = 0;
    for (enum alloc_mode mode = ALLOC_ONE; mode <= ALLOC_ALL; mode++) {
        long n = 1;
        while (run_once(p, n, mode))
            if (++n > RUNS_MAX)
                fail_msg("no end");
        failures_met += (int)n - 1;
    }
    print_message("             %d failures\n", failures_met);
    assert_true(failures_met > 0);
}

/* --- The store --- */

static void make_dir(void)
{
    assert_int_equal(scratch_make(&d), 0);
}

static void remove_dir(void)
{
    assert_int_equal(scratch_remove(&d), 0);
}

static struct store *open_store(struct error *err)
{
    return store_open(d.dir, STORE_CREATE, SCRATCH_MAP, err);
}

static struct store *must_open_store(void)
{
    struct error err;
    struct store *s = open_store(&err);

    if (s == NULL)
        fail_msg("%s", err.text);
    return s;
}

/* The token 00000000-0000-4000-8000-0000000000NN, and its key. */
static void make_token(unsigned n, uint8_t token[TOKEN_LEN],
                       uint8_t key[TOKEN_KEY_LEN])
{
    memset(token, 0, TOKEN_LEN);
    token[6] = 0x40;
    token[8] = 0x80;
    token[15] = (uint8_t)n;
    digest_sha256(token, TOKEN_LEN, key);
}

static bool import_tokens(struct store *s, struct error *err)
{
    struct store_import *im = store_import_begin(s, err);
    struct token_record record = {.username_len = 4, .username = "jane"};
    uint8_t token[TOKEN_LEN], key[TOKEN_KEY_LEN];

    if (im == NULL)
        return false;
    for (unsigned n = 0; n < TOKENS; n++) {
        make_token(n, token, key);
        struct store_row row = {key, &record, 100};
        if (store_import_put(im, &row, err) == STORE_IMPORT_FAILED) {
            store_import_abort(im);
            return false;
        }
    }
    return store_import_commit(im, err) == 0;
}

static void make_store(void)
{
    struct error err;

    make_dir();
    struct store *s = must_open_store();
    assert_true(import_tokens(s, &err));
    store_close(s);
}

struct listed {
    size_t count;
    int64_t newest; /* last use */
};

static bool note_listed(void *ctx, const struct store_listed *token)
{
    struct listed *l = ctx;

    assert_non_null(token->record);
    l->count++;
    if (token->last_used > l->newest)
        l->newest = token->last_used;
    return true;
}

static struct listed must_list(void)
{
    struct listed l = {0};
    struct error err;
    struct store *s = must_open_store();

    assert_int_equal(store_list(s, note_listed, &l, &err), 0);
    store_close(s);
    return l;
}

static bool run_create(struct error *err)
{
    struct store *s = open_store(err);

    store_close(s);
    return s != NULL;
}

/* What was left behind does not hinder the next start. */
static void check_create(bool worked)
{
    (void)worked;
    assert_int_equal(must_list().count, 0);
    remove_dir();
}

static void store_is_created(void **state)
{
    (void)state;
    run_path(&(struct path){make_dir, run_create, check_create});
}

static bool find_token(struct store *s, struct error *err)
{
    struct token_record record;
    uint8_t token[TOKEN_LEN], key[TOKEN_KEY_LEN];

    make_token(1, token, key);
    enum store_found found = store_find(s, key, &record, err);
    store_end_reads(s);
    assert_true(found == STORE_FOUND || found == STORE_FAILED);
    return found == STORE_FOUND;
}

static bool run_read(struct error *err)
{
    struct listed l = {0};
    struct store *s = open_store(err);

    if (s == NULL)
        return false;
    bool ok = find_token(s, err) && store_list(s, note_listed, &l, err) == 0 &&
              store_reopen(s, err) == 0 && find_token(s, err);
    store_close(s);
    return ok;
}

static void check_kept(bool worked)
{
    (void)worked;
    assert_int_equal(must_list().count, TOKENS);
    remove_dir();
}

static void store_is_read(void **state)
{
    (void)state;
    run_path(&(struct path){make_store, run_read, check_kept});
}

static bool run_store_import(struct error *err)
{
    struct store *s = open_store(err);
    bool ok = s != NULL && import_tokens(s, err);

    store_close(s);
    return ok;
}

static void check_all_or_none(bool worked)
{
    assert_int_equal(must_list().count, worked ? TOKENS : 0);
    remove_dir();
}

static void store_is_imported_into(void **state)
{
    (void)state;
    run_path(&(struct path){make_dir, run_store_import, check_all_or_none});
}

/* --- The journal --- */

enum { JOURNAL_TIME = 7000 };

static bool append_touches(struct store *s, int64_t time, struct error *err)
{
    struct sort_pair touches[TOKENS];

    for (unsigned i = 0; i < TOKENS; i++)
        touches[i] = (struct sort_pair){i + 1, (uint64_t)time};
    return journal_append(s, touches, TOKENS, err) == 0;
}

static void make_journal(void)
{
    struct error err;

    make_store();
    struct store *s = must_open_store();
    for (int i = 1; i <= 3; i++)
        assert_true(append_touches(s, JOURNAL_TIME - 3 + i, &err));
    store_close(s);
}

static bool fold_all(struct store *s, struct error *err)
{
    struct journal_fold *fold = journal_fold_begin(s, err);
    enum journal_fold_result result = JOURNAL_FOLD_FAILED;

    while (fold != NULL &&
           (result = journal_fold_step(fold, err)) == JOURNAL_FOLD_MORE)
        ;
    journal_fold_free(fold);
    return result == JOURNAL_FOLD_DONE;
}

static bool run_fold(struct error *err)
{
    struct store *s = open_store(err);
    bool ok = s != NULL && fold_all(s, err);

    store_close(s);
    return ok;
}

/* Folded or not: nothing is lost. */
static void check_fold(bool worked)
{
    (void)worked;
    assert_int_equal(must_list().newest, JOURNAL_TIME);
    remove_dir();
}

static void journal_is_folded(void **state)
{
    (void)state;
    run_path(&(struct path){make_journal, run_fold, check_fold});
}

/* --- The committer --- */

static int64_t acknowledged; /* newest last use that was said to be durable */

static bool wait_for(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 5000) == 1;
}

static bool commit_one(struct committer *c, int64_t time, struct error *err)
{
    uint64_t ticket;

    if (committer_touch(c, 1, time) == COMMITTER_DURABLE)
        return false;
    committer_submit(c, 0);
    assert_true(wait_for(committer_fd(c)));
    enum committer_news news = committer_collect(c, &ticket, err);
    if (news == COMMITTER_COMMITTED)
        acknowledged = time;
    return news == COMMITTER_COMMITTED;
}

static bool run_committer(struct error *err)
{
    struct store *s = open_store(err);
    struct committer *c = s == NULL ? NULL : committer_new(s, err);

    acknowledged = 0;
    bool ok = c != NULL && commit_one(c, 8000, err) && commit_one(c, 8001, err);
    committer_free(c);
    store_close(s);
    return ok;
}

static void check_acknowledged(bool worked)
{
    struct listed l = must_list();

    assert_int_equal(l.count, TOKENS);
    assert_true(l.newest >= acknowledged);
    assert_true(!worked || acknowledged > 0);
    remove_dir();
}

static void touches_are_committed(void **state)
{
    (void)state;
    run_path(&(struct path){make_store, run_committer, check_acknowledged});
}

/* Commits fail, the queue is full, and there is no memory to compact it. */
static void backlog_is_compacted(void **state)
{
    struct error err;
    (void)state;

    make_store();
    struct store *s = must_open_store();
    struct committer *c = committer_new(s, &err);
    assert_non_null(c);
    alloc_arm(1, ALLOC_ALL);
    assert_false(commit_one(c, 8000, &err));
    assert_false(committer_is_healthy(c));
    for (uint64_t i = 0; i < 3 * COMMITTER_BACKLOG_MAX; i++)
        assert_int_equal(committer_touch(c, 1000 + i % 7, (int64_t)i),
                         COMMITTER_DURABLE);
    assert_true(alloc_disarm());
    assert_true(committer_dropped(c) > 0);
    committer_free(c);
    store_close(s);
    remove_dir();
}

/* --- Certificate and TLS --- */

static struct cert *open_cert(const char *dir, struct error *err)
{
    static const char *const hosts[] = {"localhost", "127.0.0.1"};
    const struct cert_source source = {
        .data_dir = dir, .hosts = hosts, .host_count = 2, .now = 1800000000};

    return cert_open(&source, err);
}

static bool run_cert(struct error *err)
{
    struct cert *cert = open_cert(d.dir, err);
    struct tls_server *t = cert == NULL ? NULL : tls_server_new(cert, err);

    tls_server_release(t);
    return t != NULL;
}

static void remove_tree(const struct scratch *tree)
{
    char command[256];

    snprintf(command, sizeof command, "rm -rf '%s'", tree->dir);
    assert_int_equal(system(command), 0);
}

/* What was made before it failed is completed by the next start. */
static void check_cert(bool worked)
{
    struct error err;

    (void)worked;
    if (!run_cert(&err))
        fail_msg("%s", err.text);
    remove_tree(&d);
}

static void certificate_is_made(void **state)
{
    (void)state;
    run_path(&(struct path){make_dir, run_cert, check_cert});
}

static void make_cert(void)
{
    make_dir();
    struct error err;
    assert_true(run_cert(&err));
}

static void certificate_is_loaded(void **state)
{
    (void)state;
    run_path(&(struct path){make_cert, run_cert, check_cert});
}

static bool run_tls_client(struct error *err)
{
    int ends[2];
    char answer[64];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    close(ends[1]);
    assert_int_equal(
        tls_client_ask(ends[0], span_of("GET"), answer, sizeof answer, err),
        -1);
    close(ends[0]);
    return false;
}

static void health_asks(void **state)
{
    struct error err = {""};
    (void)state;

    alloc_arm(1, ALLOC_ONE);
    assert_false(run_tls_client(&err));
    assert_true(alloc_disarm());
    assert_non_null(strstr(err.text, "memory"));
    assert_int_equal(__lsan_do_recoverable_leak_check(), 0);
}

/* --- Tables of the server --- */

static bool run_peers(struct error *err)
{
    const struct peers_rules rules = {
        .connections = 10,
        .trust = {.item = {"127.0.0.0/8", "::1"}, .count = 2}};
    struct peers *p = peers_new(&rules, err);

    peers_free(p);
    return p != NULL;
}

static void peers_are_made(void **state)
{
    (void)state;
    run_path(&(struct path){.run = run_peers});
}

static bool run_pool(struct error *err)
{
    struct pool p;

    if (!pool_init(&p, 10, 5000)) {
        error_set(err, "pool");
        return false;
    }
    pool_fini(&p);
    return true;
}

static void pool_is_made(void **state)
{
    (void)state;
    run_path(&(struct path){.run = run_pool});
}

static bool run_config(struct error *err)
{
    char *argv[] = {"openchampps", "--data", "data", NULL};
    struct config c;
    enum options_result result = config_parse(3, argv, &c, err);

    free(c.listen.from_env);
    free(c.hosts.from_env);
    return result == OPTIONS_OK;
}

static void options_are_read(void **state)
{
    (void)state;
    setenv("OPENCHAMPPS_LISTEN", "127.0.0.1:1,127.0.0.1:2", 1);
    setenv("OPENCHAMPPS_HOST", "localhost,localhost.example", 1);
    run_path(&(struct path){.run = run_config});
    unsetenv("OPENCHAMPPS_LISTEN");
    unsetenv("OPENCHAMPPS_HOST");
}

/* --- Server and lobby --- */

static struct session_rules session_rules_of(struct lobby *l)
{
    return (struct session_rules){
        .app = lobby_app(l),
        .path = "/ws",
        .header_max = 4096,
        .message_max = MESSAGE_MAX,
        .output_max = 8192,
        .handshake_ms = 10000,
        .auth_ms = 10000,
        .ping_ms = 30000,
        .pong_ms = 10000,
        .close_ms = 2000,
    };
}

static struct scratch certs; /* made once: it takes long */
static struct log quiet;
static struct metrics metrics;
static struct audit *audit;

/* returns: NULL with the reason; else end with close_lobby */
static struct lobby *open_lobby(struct error *err)
{
    char path[160];

    log_init(&quiet, LOG_LOGFMT);
    metrics_init(&metrics);
    snprintf(path, sizeof path, "%s/audit", d.dir);
    audit = audit_open(path, &quiet, err);
    const struct lobby_rules rules = {MESSAGE_MAX, &quiet, audit, &metrics};
    struct store *s = audit == NULL ? NULL : open_store(err);
    struct lobby *lobby = s == NULL ? NULL : lobby_new(s, &rules, err);
    if (lobby == NULL)
        audit_close(audit);
    return lobby;
}

static void close_lobby(struct lobby *lobby)
{
    lobby_free(lobby);
    audit_close(audit);
}

static struct cert *load_cert(void *ctx, enum cert_use use, struct error *err)
{
    const struct scratch *in = ctx;

    (void)use;
    return open_cert(in->dir, err);
}

/* As app/serve does it; a signal is waiting when it begins to serve. */
static bool serve_one_signal(struct lobby *lobby, struct error *err)
{
    const struct option_list addresses = {.item = {"127.0.0.1:0"}, .count = 1};
    const struct server_service service = lobby_service(lobby);
    struct server_options o = {
        .log = &quiet,
        .metrics = &metrics,
        .rules = {.session = session_rules_of(lobby),
                  .flush_ms = 5000,
                  .linger_ms = 2000},
        .max_connections = 4,
        .peers = {.connections = 4},
        .service = &service,
        .load_cert = load_cert,
        .cert_ctx = &certs,
    };

    if (listeners_open(&o.listeners, &addresses, LISTENER_TLS, err) != 0)
        return false;
    struct server *server = server_new(&o, err);
    if (server == NULL)
        return false;
    raise(SIGHUP); /* loads the certificate anew */
    raise(SIGTERM);
    assert_true(server_run(server));
    server_free(server);
    return true;
}

static bool run_serve(struct error *err)
{
    struct lobby *lobby = open_lobby(err);

    if (lobby == NULL)
        return false;
    bool ok = serve_one_signal(lobby, err);
    close_lobby(lobby);
    return ok;
}

static void server_starts(void **state)
{
    struct error err;
    (void)state;

    make_dir();
    certs = d;
    assert_true(run_cert(&err));
    run_path(&(struct path){make_store, run_serve, check_kept});
    remove_tree(&certs);
}

/* --- A connection: TLS, login, Close, over a socket pair --- */

#define LOGIN                                          \
    "{\"type\":\"token_auth\",\"payload\":{\"token\":" \
    "\"00000000-0000-4000-8000-000000000001\"}}"

static struct tls_peer *tls;
static struct tls_server *tls_server;
static char heard[4096];
static size_t heard_len;

struct talk {
    struct conn_rules rules;
    struct server_service service;
    struct conn c;
    int64_t now;
};

/* One turn of the loop with this one connection, and the peer's. */
static void turn(struct talk *t)
{
    struct pollfd p = {.fd = t->service.fd, .events = POLLIN};
    uint64_t ticket;

    t->service.begin_turn(t->service.ctx, ++t->now);
    if (poll(&p, 1, 1) == 1 && t->service.collect(t->service.ctx, &ticket))
        session_release(&t->c.session, ticket, t->now);
    tls_peer_pump(tls);
    conn_pump(&t->c, t->now);
    tls_peer_pump(tls);
    heard_len +=
        tls_peer_read(tls, heard + heard_len, sizeof heard - heard_len);
    t->service.end_turn(t->service.ctx);
}

/* Turns until the peer has heard this. returns: has it? */
static bool turn_until(struct talk *t, const char *text)
{
    for (int i = 0; i < 2000 && t->c.state == CONN_CARRY; i++) {
        turn(t);
        if (memmem(heard, heard_len, text, strlen(text)) != NULL)
            return true;
    }
    return false;
}

static bool converse(struct talk *t, struct error *err)
{
    uint8_t frame[256];

    heard_len = 0;
    for (int i = 0; i < 10; i++)
        turn(t);
    tls_peer_write(tls, PEER_UPGRADE, sizeof PEER_UPGRADE - 1);
    bool ok = turn_until(t, PEER_101);
    tls_peer_write(tls, frame, peer_text(frame, 0, LOGIN));
    ok = ok && turn_until(t, "auth_success");
    tls_peer_write(tls, frame, peer_frame(frame, 0, 0x88, "\x03\xe8", 2));
    ok = ok && turn_until(t, "\x88\x02\x03\xe8");
    if (!ok)
        error_set(err, "%s", conn_end(&t->c));
    return ok;
}

static bool connect_once(struct talk *t, void *mem, struct error *err)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends),
                     0);
    struct conn_arrival arrival = {.fd = ends[0], .tls = tls_server};
    bool ok = conn_open(&t->c, &t->rules, mem, &arrival, t->now, err) == 0;
    if (ok) {
        tls_peer_start(tls, ends[1]);
        ok = converse(t, err);
        conn_shut(&t->c);
    } else {
        close(ends[0]);
    }
    close(ends[1]);
    return ok;
}

static bool run_connection(struct error *err)
{
    static _Alignas(64) uint8_t mem[1 << 18];
    struct lobby *lobby = open_lobby(err);
    struct talk t = {.now = 50000};

    if (lobby == NULL)
        return false;
    t.rules = (struct conn_rules){.session = session_rules_of(lobby),
                                  .flush_ms = 5000,
                                  .linger_ms = 2000};
    t.service = lobby_service(lobby);
    assert_true(conn_mem_size(&t.rules) <= sizeof mem);
    bool ok = connect_once(&t, mem, err);
    close_lobby(lobby);
    return ok;
}

static void check_connection(bool worked)
{
    struct listed l = must_list();

    assert_int_equal(l.count, TOKENS);
    /* A commit that failed is tried again, at the end at the latest. */
    if (worked && alloc_mode == ALLOC_ONE)
        assert_true(l.newest > 1000);
    remove_dir();
}

static void connection_is_served(void **state)
{
    (void)state;
    tls = calloc(1, sizeof *tls);
    assert_non_null(tls);
    tls_server = tls_peer_server(tls);
    assert_non_null(tls_server);
    run_path(&(struct path){make_store, run_connection, check_connection});
    tls_server_release(tls_server);
    free(tls);
    tls = NULL;
    tls_server = NULL;
}

/* --- Import --- */

enum { SET_ROWS = 3000 }; /* the set grows twice */

static bool run_set(struct error *err)
{
    struct import_row row = {.record = {.username_len = 4, .username = "jane"}};
    struct import_place place = {1, 1};
    struct import_set set;
    bool ok = true;

    import_set_init(&set);
    for (unsigned n = 0; ok && n < SET_ROWS; n++) {
        scratch_key(row.key, n * 7919 % SET_ROWS);
        ok = import_set_add(&set, &row, place);
    }
    ok = ok && import_set_sort(&set);
    for (size_t i = 0; i < set.count; i++)
        import_set_get(&set, i, &row, &place);
    import_set_fini(&set);
    if (!ok)
        error_set(err, "set");
    return ok;
}

static void set_is_filled(void **state)
{
    (void)state;
    run_path(&(struct path){.run = run_set});
}

static void make_csv(void)
{
    char path[192];

    make_dir();
    snprintf(path, sizeof path, "%s/tokens.csv", d.dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("token,username\n", file);
    for (int n = 1; n <= TOKENS; n++)
        fprintf(file, "00000000-0000-4000-8000-%012x,player %d\n", n, n);
    assert_int_equal(fclose(file), 0);
}

static bool run_command_import(struct error *err)
{
    char path[192];
    char *argv[] = {"import", "--data", d.dir, path, NULL};

    snprintf(path, sizeof path, "%s/tokens.csv", d.dir);
    error_set(err, "see its line on stderr");
    return command_import(4, argv) == EXIT_OK;
}

static void file_is_imported(void **state)
{
    (void)state;
    run_path(&(struct path){make_csv, run_command_import, check_all_or_none});
}

static void make_bad_csv(void)
{
    char path[192];

    make_csv();
    snprintf(path, sizeof path, "%s/tokens.csv", d.dir);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fputs("bad,row\n", file);
    assert_int_equal(fclose(file), 0);
}

static bool run_import_with_rejects(struct error *err)
{
    char path[192], rejects[192];
    char *argv[] = {"import",         "--data",    d.dir,   path,
                    "--skip-invalid", "--rejects", rejects, NULL};

    snprintf(path, sizeof path, "%s/tokens.csv", d.dir);
    snprintf(rejects, sizeof rejects, "%s/rejects.csv", d.dir);
    error_set(err, "see its line on stderr");
    return command_import(7, argv) == EXIT_OK;
}

static void check_rejects(bool worked)
{
    char path[192];

    snprintf(path, sizeof path, "%s/rejects.csv", d.dir);
    assert_int_equal(access(path, F_OK) == 0, worked);
    check_all_or_none(worked);
}

static void file_is_imported_with_rejects(void **state)
{
    (void)state;
    run_path(
        &(struct path){make_bad_csv, run_import_with_rejects, check_rejects});
}

static bool run_command_export(struct error *err)
{
    char *argv[] = {"export", "--data", d.dir, NULL};

    error_set(err, "see its line on stderr");
    return command_export(3, argv) == EXIT_OK;
}

static void file_is_exported(void **state)
{
    (void)state;
    run_path(&(struct path){make_store, run_command_export, check_kept});
}

static bool run_command_verify(struct error *err)
{
    char *argv[] = {"verify", "--data", d.dir, NULL};

    error_set(err, "see its line on stderr");
    return command_verify(3, argv) == EXIT_OK;
}

static void store_is_verified(void **state)
{
    (void)state;
    run_path(&(struct path){make_store, run_command_verify, check_kept});
}

static bool run_command_compact(struct error *err)
{
    char *argv[] = {"compact", "--data", d.dir, NULL};

    error_set(err, "see its line on stderr");
    return command_compact(3, argv) == EXIT_OK;
}

static void store_is_compacted(void **state)
{
    (void)state;
    run_path(&(struct path){make_store, run_command_compact, check_kept});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store_is_created),
        cmocka_unit_test(store_is_read),
        cmocka_unit_test(store_is_imported_into),
        cmocka_unit_test(journal_is_folded),
        cmocka_unit_test(touches_are_committed),
        cmocka_unit_test(backlog_is_compacted),
        cmocka_unit_test(certificate_is_made),
        cmocka_unit_test(certificate_is_loaded),
        cmocka_unit_test(health_asks),
        cmocka_unit_test(peers_are_made),
        cmocka_unit_test(pool_is_made),
        cmocka_unit_test(options_are_read),
        cmocka_unit_test(server_starts),
        cmocka_unit_test(connection_is_served),
        cmocka_unit_test(set_is_filled),
        cmocka_unit_test(file_is_imported),
        cmocka_unit_test(file_is_imported_with_rejects),
        cmocka_unit_test(file_is_exported),
        cmocka_unit_test(store_is_verified),
        cmocka_unit_test(store_is_compacted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
