/*
 * The same protocol on libwebsockets and LMDB, as a good C programmer would
 * write it in a day: one thread, the token table keyed by the token's SHA-256
 * with the time of the last use in the record, and group commit: what one turn
 * of the loop has read is committed (synced) together before any of it is
 * answered.
 *
 *   lws_server PORT DIR CERT KEY   serve wss
 *   lws_server fill DIR COUNT      make the tokens of load.c
 */
#include <cjson/cJSON.h>
#include <libwebsockets.h>
#include <lmdb.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { WAITING_MAX = 65536, REPLY_MAX = 512, REPLIES_MAX = 512 };

struct record {
    int64_t expires, last_used;
    char username[48];
};

struct reply {
    size_t len;
    char text[REPLY_MAX];
};

struct player {
    struct lws *wsi;
    size_t first, count; /* a ring */
    struct reply *replies;
};

struct login {
    struct player *player; /* NULL: it is gone */
    char token[37];
    unsigned char key[SHA256_DIGEST_LENGTH];
};

struct server {
    MDB_env *env;
    MDB_dbi tokens;
    struct login waiting[WAITING_MAX];
    size_t waiting_count;
};

static void must(int rc, const char *what)
{
    if (rc == 0)
        return;
    fprintf(stderr, "lws_server: %s: %s\n", what, mdb_strerror(rc));
    exit(1);
}

static void open_store(struct server *s, const char *dir)
{
    MDB_txn *txn;

    must(mdb_env_create(&s->env), "create");
    must(mdb_env_set_mapsize(s->env, (size_t)16 << 30), "map size");
    must(mdb_env_open(s->env, dir, 0, 0600), dir);
    must(mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
    must(mdb_dbi_open(txn, NULL, 0, &s->tokens), "open");
    must(mdb_txn_commit(txn), "commit");
}

static bool parse_uuid(const char *text, unsigned char out[16])
{
    size_t n = 0;

    if (strlen(text) != 36)
        return false;
    for (size_t i = 0; i < 36;) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text[i++] != '-')
                return false;
            continue;
        }
        unsigned byte;
        char two[3] = {text[i], text[i + 1]};
        if (strspn(two, "0123456789abcdefABCDEF") != 2)
            return false;
        sscanf(two, "%2x", &byte);
        out[n++] = (unsigned char)byte;
        i += 2;
    }
    return true;
}

/* --- Answers --- */

static void answer(struct player *p, const char *text)
{
    if (p->count == REPLIES_MAX)
        return;
    struct reply *r = &p->replies[(p->first + p->count++) % REPLIES_MAX];

    r->len = (size_t)snprintf(r->text, sizeof r->text, "%s", text);
    lws_callback_on_writable(p->wsi);
}

static void answer_error(struct player *p, const char *message)
{
    char text[REPLY_MAX];

    snprintf(text, sizeof text,
             "{\"type\":\"auth_error\",\"payload\":{\"message\":\"%s\"}}",
             message);
    answer(p, text);
}

static int write_one(struct lws *wsi, struct player *p)
{
    unsigned char out[LWS_PRE + REPLY_MAX];

    if (p->count == 0)
        return 0;
    struct reply *r = &p->replies[p->first];
    memcpy(out + LWS_PRE, r->text, r->len);
    if (lws_write(wsi, out + LWS_PRE, r->len, LWS_WRITE_TEXT) < (int)r->len)
        return -1;
    p->first = (p->first + 1) % REPLIES_MAX;
    p->count--;
    if (p->count > 0)
        lws_callback_on_writable(wsi);
    return 0;
}

/* --- Logins --- */

static void take_login(struct server *s, struct player *p, const char *token)
{
    struct login *l = &s->waiting[s->waiting_count];
    unsigned char uuid[16];

    if (token == NULL || !parse_uuid(token, uuid)) {
        answer_error(p, "Invalid token format");
        return;
    }
    if (s->waiting_count == WAITING_MAX)
        return;
    SHA256(uuid, sizeof uuid, l->key);
    snprintf(l->token, sizeof l->token, "%s", token);
    l->player = p;
    s->waiting_count++;
}

static void take_message(struct server *s, struct player *p, const char *in,
                         size_t len)
{
    cJSON *message = cJSON_ParseWithLength(in, len);
    cJSON *payload = cJSON_GetObjectItemCaseSensitive(message, "payload");
    cJSON *token = cJSON_GetObjectItemCaseSensitive(payload, "token");

    take_login(s, p, cJSON_GetStringValue(token));
    cJSON_Delete(message);
}

/* returns: is the token good? Then its last use is in the transaction */
static bool touch(struct server *s, MDB_txn *txn, struct login *l, int64_t now,
                  struct record *record)
{
    MDB_val key = {sizeof l->key, l->key}, value;

    if (mdb_get(txn, s->tokens, &key, &value) != 0 ||
        value.mv_size != sizeof *record)
        return false;
    memcpy(record, value.mv_data, sizeof *record);
    if (record->expires != 0 && record->expires <= now)
        return false;
    record->last_used = now;
    value.mv_data = record;
    must(mdb_put(txn, s->tokens, &key, &value, 0), "put");
    return true;
}

/* Results are kept until the commit is durable. */
static void commit_waiting(struct server *s)
{
    static struct record records[WAITING_MAX];
    static bool good[WAITING_MAX];
    int64_t now = time(NULL);
    char text[REPLY_MAX];
    MDB_txn *txn;

    if (s->waiting_count == 0)
        return;
    must(mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
    for (size_t i = 0; i < s->waiting_count; i++)
        good[i] = touch(s, txn, &s->waiting[i], now, &records[i]);
    must(mdb_txn_commit(txn), "commit");
    for (size_t i = 0; i < s->waiting_count; i++) {
        struct login *l = &s->waiting[i];

        if (l->player == NULL)
            continue;
        if (!good[i]) {
            answer_error(l->player, "Invalid or expired token");
            continue;
        }
        snprintf(text, sizeof text,
                 "{\"type\":\"auth_success\",\"payload\":{\"username\":\"%s\","
                 "\"token\":\"%s\"}}",
                 records[i].username, l->token);
        answer(l->player, text);
    }
    s->waiting_count = 0;
}

/* --- libwebsockets --- */

static int on_event(struct lws *wsi, enum lws_callback_reasons reason,
                    void *user, void *in, size_t len)
{
    struct player *p = user;
    struct server *s = lws_context_user(lws_get_context(wsi));

    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        p->wsi = wsi;
        p->replies = malloc(REPLIES_MAX * sizeof *p->replies);
        return p->replies == NULL ? -1 : 0;
    case LWS_CALLBACK_RECEIVE:
        take_message(s, p, in, len);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return write_one(wsi, p);
    case LWS_CALLBACK_CLOSED:
        for (size_t i = 0; i < s->waiting_count; i++)
            if (s->waiting[i].player == p)
                s->waiting[i].player = NULL;
        free(p->replies);
        return 0;
    default:
        return 0;
    }
}

static int serve(int port, const char *dir, const char *cert, const char *key)
{
    static const struct lws_protocols protocols[] = {
        {"lobby", on_event, sizeof(struct player), 4096, 0, NULL, 0},
        {NULL, NULL, 0, 0, 0, NULL, 0},
    };
    struct server *s = calloc(1, sizeof *s);
    struct lws_context_creation_info info;

    open_store(s, dir);
    memset(&info, 0, sizeof info);
    lws_set_log_level(LLL_ERR, NULL);
    info.port = port;
    info.iface = "127.0.0.1";
    info.protocols = protocols;
    info.user = s;
    info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    info.ssl_cert_filepath = cert;
    info.ssl_private_key_filepath = key;
    info.fd_limit_per_thread = 20000;
    struct lws_context *context = lws_create_context(&info);
    if (context == NULL)
        return 1;
    puts("listening");
    fflush(stdout);
    while (lws_service(context, 0) >= 0)
        commit_waiting(s);
    return 1;
}

static int fill(const char *dir, unsigned long count)
{
    struct server *s = calloc(1, sizeof *s);
    MDB_txn *txn;

    mkdir(dir, 0700);
    open_store(s, dir);
    must(mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
    for (unsigned long i = 0; i < count; i++) {
        unsigned char uuid[16] = {0, 0, 0, 0, 0, 0, 0x40, 0, 0x80, 0},
                      hash[SHA256_DIGEST_LENGTH];
        struct record record = {0};

        for (int j = 0; j < 6; j++)
            uuid[15 - j] = (unsigned char)(i >> (8 * j));
        SHA256(uuid, sizeof uuid, hash);
        snprintf(record.username, sizeof record.username, "player%lu", i);
        MDB_val key = {sizeof hash, hash}, value = {sizeof record, &record};
        must(mdb_put(txn, s->tokens, &key, &value, 0), "put");
    }
    must(mdb_txn_commit(txn), "commit");
    mdb_env_close(s->env);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "fill") == 0)
        return fill(argv[2], strtoul(argv[3], NULL, 10));
    if (argc == 5)
        return serve(atoi(argv[1]), argv[2], argv[3], argv[4]);
    fputs("usage: lws_server PORT DIR CERT KEY | fill DIR COUNT\n", stderr);
    return 2;
}
