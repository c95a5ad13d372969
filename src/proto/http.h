/*
 * One HTTP/1.1 request head, read into spans, and the few answers a WebSocket
 * server gives (RFC 9110, RFC 9112, RFC 6455 section 4.2).
 *
 * Stateless and strict: what two parsers could read in two ways is refused.
 * Bodies are not read. All answers but 101 close the connection. Requests are
 * read in http.c, answers are written in http_answer.c.
 *
 * Reading a head that arrives in pieces, at a linear cost: refuse what
 * !http_may_be_request; wait for http_head_end; then http_parse once.
 */
#ifndef PROTO_HTTP_H
#define PROTO_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base64.h"
#include "base/span.h"

#define HTTP_FIELDS_MAX 64 /* field lines of a request */
#define HTTP_METHOD_MAX 24 /* bytes; the longest registered one has 17 */

/* Bytes that http_format_101 writes. */
#define HTTP_101_LEN                                                     \
    (sizeof "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" \
            "Connection: Upgrade\r\nSec-WebSocket-Accept: \r\n\r\n" -    \
     1 + BASE64_LEN(20))

enum http_error {
    HTTP_BAD = -1,         /* answer 400 */
    HTTP_TOO_MANY = -2,    /* too many fields: answer 431 */
    HTTP_BAD_VERSION = -3, /* HTTP, but not 1.x: answer 505 */
};

struct http_field {
    struct span name;  /* a token, as sent */
    struct span value; /* without the white space around it; may be empty */
};

struct http_request {
    struct span method; /* a token; case matters */
    struct span target; /* begins with `/` or `scheme://`, or is `*` */
    int minor_version;  /* of HTTP/1.x: 0 to 9 */
    size_t field_count;
    struct http_field fields[HTTP_FIELDS_MAX];
};

struct http_answer {
    int status;        /* 200, 400, 403, 404, 405, 408, 426, 429, 431, 500,
                          503, 505 */
    const char *extra; /* more header lines, each with its CRLF; or NULL */
    const char *type;  /* Content-Type; NULL: plain text */
    struct span body;  /* text, UTF-8 */
    bool head_only;    /* answer to HEAD: the body counts but is not written */
};

/*
 * Could these first bytes begin a request: a method, then a space? An empty
 * input could. A TLS hello, a JSON text or a line feed could not.
 */
bool http_may_be_request(const uint8_t *in, size_t len);

/*
 * Look for the end of the head. Line feeds without a carriage return end it
 * too, so that http_parse gets to refuse them at once.
 * in:      checked: bytes that an earlier call has searched in vain, or 0
 * returns: bytes of the head with its empty line, 0 when that is not there
 */
size_t http_head_end(const uint8_t *in, size_t len, size_t checked);

/*
 * Read a request head.
 * out:     *out, of use only when the answer is positive
 * owns:    the spans point into `in`
 * returns: bytes of the head with its empty line; 0 when it is incomplete and
 *          its whole lines are in order; a negative enum http_error
 * bound:   linear in len; len at most INT_MAX
 * spec:    RFC 9112 sections 2 to 5. Refused: line ends other than CRLF,
 *          folded lines, white space before the colon, control bytes, no Host
 *          in HTTP/1.1, more than one or a malformed Host, targets in
 *          authority form, empty lines before the request
 */
int http_parse(const uint8_t *in, size_t len, struct http_request *out);

/* The HTTP status that answers an enum http_error. */
int http_error_status(int error);

/*
 * The first field of this name, in any case; NULL when there is none.
 * out: *count, fields of this name; NULL allowed
 */
const struct http_field *http_find(const struct http_request *req,
                                   const char *name, size_t *count);

/*
 * Is token, in any case, an element of the comma list that all fields of this
 * name make together?
 * spec: RFC 9110 section 5.6.1
 */
bool http_field_has_token(const struct http_request *req, const char *name,
                          const char *token);

/* Path of a target without its query; `/` when the target has none. */
struct span http_target_path(struct span target);

/*
 * Host and port that the request is for: of the target when that is a whole
 * URI, else of the Host field; empty when there is none.
 * spec: RFC 9112 section 3.2.2
 */
struct span http_request_host(const struct http_request *req);

/*
 * Is this a WebSocket opening handshake? The path and Origin are not looked at.
 * out:     *key: the client's key, for http_format_101; only with 101
 * returns: 101, or the status to answer: 405 when the method is not GET, 426
 *          without `Upgrade: websocket` or for a version other than 13, else
 *          400
 * spec:    RFC 6455 section 4.2.1
 */
int http_check_upgrade(const struct http_request *req, struct span *key);

/*
 * Does Origin name this server's own origin: the scheme https or http, and the
 * host and port that the client has asked for? Case of the host and a port that
 * is the default make no difference. `null` never matches.
 * in:   host: see http_request_host
 *       tls: whether the connection has TLS
 * spec: RFC 6454 sections 5 and 7
 */
bool http_origin_matches(struct span origin, struct span host, bool tls);

/*
 * Write the 101 answer.
 * in:      key: see http_check_upgrade
 * returns: HTTP_101_LEN, or 0 when that is more than cap
 * spec:    RFC 6455 section 4.2.2
 */
size_t http_format_101(struct span key, char *out, size_t cap);

/*
 * Write a whole answer: status line, Content-Type, Content-Length,
 * Cache-Control: no-store, Connection: close, body. 426 gets Upgrade and
 * Sec-WebSocket-Version of its own accord.
 * returns: bytes written, no NUL; 0 when they are more than cap
 */
size_t http_format_answer(const struct http_answer *a, char *out, size_t cap);

#endif
