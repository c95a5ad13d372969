#include "app/upgrade.h"

#include "proto/http.h"

#include <assert.h>
#include <string.h>

static void put_answer(struct upgrade_answer *out, struct http_answer a,
                       const char *end)
{
    a.head_only = out->is_head;
    out->len = http_format_answer(&a, out->text, sizeof out->text);
    out->end = end;
}

static void refuse(struct upgrade_answer *out, int status, const char *body)
{
    put_answer(out,
               (struct http_answer){.status = status, .body = span_of(body)},
               "request refused");
}

static void refuse_status(struct upgrade_answer *out, int status)
{
    static const struct {
        int status;
        const char *body;
    } bodies[] = {
        {400, "Bad request\n"},
        {426, "This is a WebSocket endpoint\n"},
        {431, "The request header is too large\n"},
        {505, "Only HTTP/1.1 is spoken here\n"},
    };

    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        if (bodies[i].status == status)
            refuse(out, status, bodies[i].body);
    if (out->len == 0)
        refuse(out, status, "");
}

static void refuse_method(struct upgrade_answer *out, const char *allow)
{
    put_answer(out,
               (struct http_answer){.status = 405,
                                    .extra = allow,
                                    .body = span_of("Method not allowed\n")},
               "request refused");
}

/* --- The WebSocket handshake --- */

static bool origin_is_allowed(const struct session_rules *rules, bool is_tls,
                              const struct http_request *req)
{
    size_t count;
    const struct http_field *origin = http_find(req, "Origin", &count);

    if (origin == NULL)
        return true; /* not a browser */
    if (count > 1)
        return false;
    for (size_t i = 0; i < rules->origin_count; i++)
        if (span_equals_nocase(origin->value, span_of(rules->origins[i])))
            return true;
    return http_origin_matches(origin->value, http_request_host(req), is_tls);
}

static void answer_websocket(const struct session_rules *rules, bool is_tls,
                             const struct http_request *req,
                             struct upgrade_answer *out)
{
    struct span key;
    int status = http_check_upgrade(req, &key);

    if (status == 405) {
        refuse_method(out, "Allow: GET\r\n");
    } else if (status != 101) {
        refuse_status(out, status);
    } else if (!origin_is_allowed(rules, is_tls, req)) {
        refuse(out, 403, "This origin is not allowed\n");
    } else {
        out->len = http_format_101(key, out->text, sizeof out->text);
        out->is_upgrade = true;
    }
}

/* --- Health --- */

static void answer_health(const struct http_request *req, const char *trouble,
                          struct upgrade_answer *out)
{
    if (!out->is_head && !span_equals(req->method, span_of("GET"))) {
        refuse_method(out, "Allow: GET, HEAD\r\n");
        return;
    }
    put_answer(
        out,
        (struct http_answer){.status = trouble == NULL ? 200 : 503,
                             .body = span_of(trouble == NULL ? "OK" : trouble)},
        "health answered");
}

/* --- Documents --- */

static struct span find_document(const struct session_rules *rules,
                                 struct span path)
{
    const struct session_app *app = &rules->app;

    return app->document == NULL ? (struct span){0}
                                 : app->document(app->ctx, path);
}

static void answer_document(const struct http_request *req, const char *type,
                            struct span body, struct upgrade_answer *out)
{
    bool is_head = out->is_head;

    if (!is_head && !span_equals(req->method, span_of("GET"))) {
        refuse_method(out, "Allow: GET, HEAD\r\n");
        return;
    }
    out->is_head = true; /* the body is too long for the text */
    put_answer(out,
               (struct http_answer){.status = 200, .type = type, .body = body},
               "document answered");
    if (!is_head)
        out->body = body;
}

/* --- Routes --- */

static void route(const struct session_rules *rules, bool is_tls,
                  const struct http_request *req, struct upgrade_answer *out)
{
    struct span path = http_target_path(req->target);
    struct span document = find_document(rules, path);

    out->is_head = span_equals(req->method, span_of("HEAD"));
    if (document.len > 0)
        answer_document(req, rules->app.document_type, document, out);
    else if (span_equals(path, span_of("/health")))
        answer_health(req, NULL, out);
    else if (span_equals(path, span_of("/ready")))
        answer_health(req, rules->app.unready_reason(rules->app.ctx), out);
    else if (rules->path == NULL || span_equals(path, span_of(rules->path)))
        answer_websocket(rules, is_tls, req, out);
    else
        refuse(out, 404, "Not found\n");
}

size_t upgrade_answer_head(const struct session_rules *rules, bool is_tls,
                           const struct upgrade_input *input,
                           struct upgrade_answer *out)
{
    struct http_request req;

    out->len = 0;
    out->body = (struct span){0};
    out->is_head = false;
    out->is_upgrade = false;
    if (!http_may_be_request(input->head, input->len)) {
        refuse_status(out, 400);
        return 0;
    }
    size_t head_len = http_head_end(input->head, input->len, input->checked);
    if (head_len == 0) {
        if (input->len >= rules->header_max)
            refuse_status(out, 431);
        return 0;
    }
    int parsed = http_parse(input->head, head_len, &req);
    if (parsed > 0)
        route(rules, is_tls, &req, out);
    else
        refuse_status(out, parsed == 0 ? 400 : http_error_status(parsed));
    assert(out->len > 0);
    return head_len;
}

size_t upgrade_refuse_plain(char out[UPGRADE_ANSWER_MAX])
{
    const struct http_answer a = {
        .status = 400,
        .body = span_of("This port speaks TLS: use https:// or wss://\n"),
    };

    return http_format_answer(&a, out, UPGRADE_ANSWER_MAX);
}
