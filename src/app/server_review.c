/*
 * Those who are logged in are judged again when tokens have changed, by
 * whichever process, or have expired.
 */
#include "app/server_state.h"

enum {
    REVIEW_MS = 250,   /* between two looks whether a review is due */
    REVIEW_SLICE = 256 /* connections in one turn: under a millisecond */
};

static void judge(struct server *s, struct conn *c)
{
    const struct server_service *service = s->options->service;

    if (!session_is_authenticated(&c->session) || c->state == CONN_DEAD)
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
    for (int i = 0; i < REVIEW_SLICE && s->review_left > 0; i++)
        judge(s, s->live[--s->review_left]);
}

int64_t server_review_ms(const struct server *s)
{
    if (s->review_left > 0)
        return s->now_ms;
    return s->options->service == NULL || s->live_count == 0 ? DEADLINE_NEVER
                                                             : s->review_at_ms;
}
