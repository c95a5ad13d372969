/*
 * proto/http: no prefix of a head is a head; an error stays the same error;
 * http_head_end and http_may_be_request never contradict http_parse; what was
 * read, written out again, reads as the same request.
 */
#include "proto/http.h"

#include <stdlib.h>

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void check_prefixes(const uint8_t *data, size_t size, int whole)
{
    struct http_request req;
    int before = 0;

    for (size_t len = 0; len <= size; len++) {
        int now = http_parse(data, len, &req);
        must(before == 0 || now == before);
        must(now == 0 || now == whole);
        if (now > 0)
            must(http_may_be_request(data, len));
        before = now;
    }
}

static void check_head_end(const uint8_t *data, size_t size, int whole)
{
    size_t end = http_head_end(data, size, 0);
    size_t checked = 0;

    must(end <= size);
    if (whole > 0)
        must(end == (size_t)whole);
    for (size_t len = 0; len < end; len++) {
        must(http_head_end(data, len, checked) == 0);
        checked = len;
    }
    must(http_head_end(data, size, checked) == end);
}

static size_t put(uint8_t *out, size_t n, struct span text)
{
    memcpy(out + n, text.ptr, text.len);
    return n + text.len;
}

/* Write the request in the plainest form. returns: bytes, at most cap */
static size_t write_request(const struct http_request *req, uint8_t *out)
{
    char version[] = " HTTP/1.x\r\n";
    size_t n = put(out, 0, req->method);

    version[8] = (char)('0' + req->minor_version);
    n = put(out, n, span_of(" "));
    n = put(out, n, req->target);
    n = put(out, n, span_of(version));
    for (size_t i = 0; i < req->field_count; i++) {
        n = put(out, n, req->fields[i].name);
        n = put(out, n, span_of(":"));
        n = put(out, n, req->fields[i].value);
        n = put(out, n, span_of("\r\n"));
    }
    return put(out, n, span_of("\r\n"));
}

static void check_round(const struct http_request *req, size_t len)
{
    struct http_request again;
    uint8_t *out = malloc(len);

    must(out != NULL);
    size_t n = write_request(req, out);
    must(n <= len && http_parse(out, n, &again) == (int)n);
    must(span_equals(again.method, req->method));
    must(span_equals(again.target, req->target));
    must(again.field_count == req->field_count);
    for (size_t i = 0; i < again.field_count; i++) {
        must(span_equals(again.fields[i].name, req->fields[i].name));
        must(span_equals(again.fields[i].value, req->fields[i].value));
    }
    free(out);
}

/* Whatever the request says, these must stay within it and give an answer. */
static void check_use(const struct http_request *req)
{
    const struct http_field *origin = http_find(req, "Origin", NULL);
    struct span key;
    char out[HTTP_101_LEN];
    int status = http_check_upgrade(req, &key);

    must(http_target_path(req->target).len > 0);
    must(status == 101 || status == 400 || status == 405 || status == 426);
    if (status == 101)
        must(http_format_101(key, out, sizeof out) == sizeof out);
    if (origin != NULL)
        must(
            !http_origin_matches(origin->value, http_request_host(req), true) ||
            !http_origin_matches(origin->value, http_request_host(req), false));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_request req;
    int whole = http_parse(data, size, &req);

    must(whole <= (int)size);
    check_head_end(data, size, whole);
    if (size <= 1024)
        check_prefixes(data, size, whole);
    if (whole > 0) {
        check_round(&req, (size_t)whole);
        check_use(&req);
    }
    return 0;
}
