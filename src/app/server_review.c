/*
 * Those who are logged in are judged again when tokens have changed, by
 * whichever process, or have expired.
 */
#include "app/server_state.h"

enum {
    REVIEW_MS = 250,   /* between two looks, and for a review's whole */
    REVIEW_SLICE = 256 /* connections in one turn: under a millisecond */
};

static void judge(struct server *s, struct conn *c)
{
    const struct server_service *service = s->options->service;

    if (!session_is_authenticated(&c->session) || c->state == CONN_DEAD)
        return;
    /* A backend that asks for its players is none of them. */
    if (c->session.is_trusted && c->session.asks_for_many)
        return;
    const char *why = service->judge(service->ctx, c->session.identity);
    if (why == NULL)
        return;
    session_expel(&c->session, why, s->now_ms);
    conn_pump(c, s->now_ms);
    server_settle(s, c);
}

static bool is_due(struct server *s)
{
    const struct server_service *service = s->options->service;

    if (service == NULL || s->live_count == 0 || s->now_ms < s->review_at_ms)
        return false;
    s->review_at_ms = s->now_ms + REVIEW_MS;
    return service->begin_review(service->ctx);
}

/*
 * How many may still be left to judge. Turns that are long, in a storm of
 * handshakes, are few: each has its part of the whole.
 */
static size_t may_be_left(const struct server *s)
{
    int64_t rest_ms = s->review_at_ms - s->now_ms;

    return rest_ms <= 0 ? 0 : s->live_count * (size_t)rest_ms / REVIEW_MS;
}

/*
 * From the end of the list to its start. One that is moved into the place of
 * one that has ended moves down: it is judged twice, never missed. Those that
 * come in the meantime log in under what holds now.
 */
void server_review(struct server *s)
{
    if (s->review_left == 0 && is_due(s))
        s->review_left = s->live_count;
    if (s->review_left > s->live_count)
        s->review_left = s->live_count;
    size_t most = may_be_left(s);
    for (int i = 0;
         s->review_left > 0 && (i < REVIEW_SLICE || s->review_left > most); i++)
        judge(s, s->live[--s->review_left]);
}

int64_t server_review_ms(const struct server *s)
{
    if (s->review_left > 0)
        return s->now_ms;
    return s->options->service == NULL || s->live_count == 0 ? DEADLINE_NEVER
                                                             : s->review_at_ms;
}
