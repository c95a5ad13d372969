#include "app/conn.h"

#include "app/upgrade.h"
#include "base/deadline.h"
#include "sys/memory.h"

#include <stddef.h>
#include <sys/epoll.h>

enum {
    /* A connection's share of a turn: whoever sends much waits for others. */
    BYTES_PER_TURN = 1024, /* of plaintext; some 10 logins, 0.1 ms */
    /* BearSSL takes a record in two steps: its header, then its body. */
    READS_PER_TURN = 16,
    /* A session that moves nothing for so long gives its memory back. */
    REST_MS = 1000,
    ALIGNMENT = 64,
    PAGE = 4096 /* where pages are larger, less is given back */
};

static size_t align(size_t size)
{
    return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

size_t conn_mem_size(const struct conn_rules *rules)
{
    return link_mem_size() + PAGE + align(session_mem_size(&rules->session)) +
           align(session_out_size(&rules->session));
}

int conn_open(struct conn *c, const struct conn_rules *rules, void *mem,
              const struct conn_arrival *arrival, int64_t now_ms,
              struct error *err)
{
    uint8_t *link_end = (uint8_t *)mem + link_mem_size();
    uint8_t *session_mem = link_end + (-(uintptr_t)link_end & (PAGE - 1));
    uint8_t *out = session_mem + align(session_mem_size(&rules->session));

    *c = (struct conn){.rules = rules, .address = arrival->address};
    c->flush_due_ms = DEADLINE_NEVER;
    c->linger_due_ms = DEADLINE_NEVER;
    c->rest_due_ms = DEADLINE_NEVER;
    if (link_open(&c->link, arrival->fd, arrival->tls, mem, err) != 0)
        return -1;
    if (arrival->expects_proxy)
        link_expect_header(&c->link);
    session_init(&c->session, &rules->session, session_mem, out);
    session_begin(&c->session,
                  &(struct session_start){.is_tls = arrival->tls != NULL,
                                          .is_trusted = arrival->is_trusted,
                                          .now_ms = now_ms});
    return 0;
}

bool conn_take_address(struct conn *c)
{
    struct proxy_source *source = &c->link.source;

    if (!source->is_given)
        return false;
    source->is_given = false;
    net_set(&c->address, source->address, source->port);
    return true;
}

void conn_shut(struct conn *c)
{
    link_shut(&c->link);
}

static void die(struct conn *c, const char *why)
{
    if (c->end == NULL)
        c->end = why;
    c->state = CONN_DEAD;
}

void conn_hang_up(struct conn *c)
{
    die(c, "connection lost");
}

const char *conn_end(const struct conn *c)
{
    if (c->session.end != NULL)
        return c->session.end;
    return c->end != NULL ? c->end : "ended";
}

static void linger(struct conn *c, int64_t now_ms)
{
    if (c->link.has_ended) {
        die(c, "ended");
        return;
    }
    link_end_output(&c->link);
    c->state = CONN_LINGER;
    c->linger_due_ms = now_ms + c->rules->linger_ms;
}

/* --- Moving bytes: each step says whether it has moved any --- */

static bool heed(struct conn *c, enum link_result result)
{
    if (result == LINK_BROKEN)
        die(c, c->link.socket_error != 0 ? "connection lost" : "TLS failed");
    return result == LINK_MOVED || result == LINK_ENDED;
}

/* Somebody has asked the TLS port in plain HTTP: say so, in plain HTTP. */
static void refuse_plain_http(struct conn *c, int64_t now_ms)
{
    char answer[UPGRADE_ANSWER_MAX];
    size_t len = upgrade_refuse_plain(answer);

    link_send_raw(&c->link, (struct span){(uint8_t *)answer, len});
    session_end_input(&c->session);
    c->session.end = "plain HTTP on a TLS port";
    linger(c, now_ms);
}

static bool receive(struct conn *c, int *reads, int64_t now_ms)
{
    if (c->state != CONN_CARRY || *reads == 0)
        return false;
    if (link_hears_plain_http(&c->link)) {
        refuse_plain_http(c, now_ms);
        return false;
    }
    --*reads;
    return heed(c, link_receive(&c->link));
}

static bool feed(struct conn *c, size_t *bytes, int64_t now_ms)
{
    struct span in = link_input(&c->link);

    if (c->state != CONN_CARRY || *bytes == 0)
        return false;
    if (in.len == 0) {
        /* What came before the end is answered first. */
        if (c->link.has_ended && !session_is_done(&c->session))
            session_end_input(&c->session);
        return false;
    }
    size_t share = in.len < *bytes ? in.len : *bytes;
    size_t n = session_feed(&c->session, in.ptr, share, now_ms);
    link_consume(&c->link, n);
    *bytes -= n;
    return n > 0;
}

static bool drain(struct conn *c)
{
    struct span out = session_output(&c->session);

    if (c->state != CONN_CARRY || out.len == 0)
        return false;
    size_t n = link_write(&c->link, out);
    session_sent(&c->session, n);
    c->sent += n;
    link_flush(&c->link);
    return n > 0;
}

static bool transmit(struct conn *c)
{
    if (c->state != CONN_CARRY && c->state != CONN_FLUSH)
        return false;
    return heed(c, link_send(&c->link));
}

static void note_moved(struct conn *c, int64_t now_ms)
{
    c->moved_ms = now_ms;
    if (c->session.state == SESSION_LIVE && c->rest_due_ms == DEADLINE_NEVER)
        c->rest_due_ms = now_ms + REST_MS;
}

static void move_bytes(struct conn *c, int64_t now_ms)
{
    int reads = READS_PER_TURN;
    size_t bytes = BYTES_PER_TURN;
    bool has_moved = true;

    while (has_moved && c->state != CONN_DEAD) {
        has_moved = receive(c, &reads, now_ms);
        has_moved = feed(c, &bytes, now_ms) || has_moved;
        has_moved = drain(c) || has_moved;
        has_moved = transmit(c) || has_moved;
        if (has_moved)
            note_moved(c, now_ms);
    }
}

/* --- States --- */

static bool has_said_all(const struct conn *c)
{
    return session_is_done(&c->session) && !session_is_waiting(&c->session) &&
           session_output(&c->session).len == 0;
}

static void advance(struct conn *c, int64_t now_ms)
{
    if (c->state == CONN_CARRY && has_said_all(c) &&
        !link_wants_send(&c->link)) {
        if (!link_is_established(&c->link)) {
            die(c, "no TLS handshake in time");
            return;
        }
        c->state = CONN_FLUSH;
        link_close(&c->link);
        move_bytes(c, now_ms);
    }
    if (c->state == CONN_FLUSH && !link_wants_send(&c->link))
        linger(c, now_ms);
    else if (c->state != CONN_LINGER && link_is_over(&c->link))
        die(c, "TLS ended by the peer");
}

static void discard_input(struct conn *c)
{
    enum link_result result = LINK_MOVED;

    for (int i = 0; i < READS_PER_TURN && result == LINK_MOVED; i++)
        result = link_discard(&c->link);
    if (result == LINK_ENDED || result == LINK_BROKEN)
        die(c, "ended");
}

/* --- Deadlines --- */

static bool has_pending_output(struct conn *c)
{
    return link_wants_send(&c->link) || session_output(&c->session).len > 0 ||
           (session_is_done(&c->session) && session_is_waiting(&c->session));
}

/* What is queued now has to be taken by then; what comes later has longer. */
static void set_flush_deadline(struct conn *c, int64_t now_ms)
{
    c->flush_due_ms = now_ms + c->rules->flush_ms;
    c->flush_mark = c->sent + session_output(&c->session).len;
}

static void watch_output(struct conn *c, int64_t now_ms)
{
    if (c->state == CONN_LINGER || !has_pending_output(c))
        c->flush_due_ms = DEADLINE_NEVER;
    else if (c->flush_due_ms == DEADLINE_NEVER)
        set_flush_deadline(c, now_ms);
}

void conn_pump(struct conn *c, int64_t now_ms)
{
    if (c->state == CONN_DEAD)
        return;
    if (c->state == CONN_LINGER) {
        discard_input(c);
        return;
    }
    move_bytes(c, now_ms);
    if (c->state != CONN_DEAD)
        advance(c, now_ms);
    if (c->state != CONN_DEAD)
        watch_output(c, now_ms);
}

bool conn_has_more(struct conn *c)
{
    return c->state == CONN_CARRY && session_wants_input(&c->session) &&
           (link_input(&c->link).len > 0 || link_holds_input(&c->link) ||
            (c->link.has_ended && !session_is_done(&c->session)));
}

static int64_t rest_at_ms(const struct conn *c)
{
    return session_rests(&c->session) ? c->rest_due_ms : DEADLINE_NEVER;
}

int64_t conn_due_ms(const struct conn *c)
{
    int64_t due = deadline_first(c->flush_due_ms, c->linger_due_ms);

    if (c->state != CONN_CARRY)
        return due;
    return deadline_first(
        due, deadline_first(session_due_ms(&c->session), rest_at_ms(c)));
}

/*
 * The message buffer and the output queue of a session that has nothing in
 * them: two pages of its five, and the token that was in them.
 */
static void rest(struct conn *c, int64_t now_ms)
{
    uint8_t *mem = c->session.mem;
    uint8_t *end = c->session.out.mem + c->session.out.cap;

    if (now_ms < c->moved_ms + REST_MS) {
        c->rest_due_ms = c->moved_ms + REST_MS;
        return;
    }
    memory_give_back(mem, (size_t)(end - mem));
    c->rest_due_ms = DEADLINE_NEVER;
}

static void miss_flush(struct conn *c, int64_t now_ms)
{
    bool is_moving = c->state == CONN_CARRY && c->sent > c->flush_mark &&
                     !session_is_done(&c->session);

    if (is_moving)
        set_flush_deadline(c, now_ms);
    else
        die(c, "output not taken in time");
}

void conn_tick(struct conn *c, int64_t now_ms)
{
    if (c->state == CONN_DEAD)
        return;
    if (now_ms >= c->linger_due_ms) {
        die(c, "ended");
        return;
    }
    if (now_ms >= c->flush_due_ms)
        miss_flush(c, now_ms);
    if (c->state == CONN_CARRY && now_ms >= session_due_ms(&c->session))
        session_tick(&c->session, now_ms);
    if (c->state == CONN_CARRY && now_ms >= rest_at_ms(c))
        rest(c, now_ms);
    conn_pump(c, now_ms);
}

unsigned conn_interest(struct conn *c)
{
    unsigned events = 0;

    if (c->state == CONN_LINGER)
        return EPOLLIN;
    if (c->state == CONN_CARRY && link_wants_receive(&c->link))
        events |= EPOLLIN;
    if (link_wants_send(&c->link))
        events |= EPOLLOUT;
    return events;
}
