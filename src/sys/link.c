#include "sys/link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PLAIN_LEN = 4096 /* bytes, each way */ };

size_t link_mem_size(void)
{
    size_t plain = 2 * PLAIN_LEN;

    return tls_conn_size() > plain ? tls_conn_size() : plain;
}

int link_open(struct link *l, int fd, struct tls_server *tls, void *mem,
              struct error *err)
{
    *l = (struct link){.fd = fd};
    if (tls != NULL) {
        l->tls = tls_conn_start(tls, mem, err);
        return l->tls == NULL ? -1 : 0;
    }
    buf_init(&l->in, mem, PLAIN_LEN);
    buf_init(&l->out, (uint8_t *)mem + PLAIN_LEN, PLAIN_LEN);
    return 0;
}

void link_shut(struct link *l)
{
    close(l->fd);
    l->fd = -1;
    if (l->tls != NULL)
        tls_conn_end(l->tls);
    l->tls = NULL;
}

/* --- The kernel's side --- */

static enum link_result socket_result(struct link *l, ssize_t n)
{
    if (n > 0)
        return LINK_MOVED;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return LINK_BLOCKED;
    l->socket_error = errno;
    return LINK_BROKEN;
}

static uint8_t *receive_space(struct link *l, size_t *len)
{
    if (l->tls != NULL)
        return tls_cipher_space(l->tls, len);
    *len = buf_room(&l->in);
    return buf_reserve(&l->in, *len);
}

static const uint8_t *send_bytes(struct link *l, size_t *len)
{
    if (l->tls != NULL)
        return tls_cipher_bytes(l->tls, len);
    *len = buf_len(&l->out);
    return buf_peek(&l->out);
}

/* An orderly end of TLS is the end of the input; any other one is an error. */
static enum link_result check_tls(struct link *l)
{
    if (!tls_is_closed(l->tls))
        return LINK_MOVED;
    l->has_ended = true;
    return tls_error(l->tls) == 0 ? LINK_ENDED : LINK_BROKEN;
}

void link_expect_header(struct link *l)
{
    l->wants_header = true;
}

static enum link_result break_header(struct link *l)
{
    l->socket_error = EPROTO;
    return LINK_BROKEN;
}

/* Reads no byte beyond the header: what follows belongs to TLS. */
static enum link_result receive_header(struct link *l)
{
    size_t whole = proxy_header_len(l->header, l->header_len);

    ssize_t n =
        recv(l->fd, l->header + l->header_len, whole - l->header_len, 0);
    if (n == 0)
        return break_header(l);
    if (n < 0)
        return socket_result(l, n);
    l->header_len += (size_t)n;
    whole = proxy_header_len(l->header, l->header_len);
    if (whole == 0)
        return break_header(l);
    if (l->header_len < whole)
        return LINK_MOVED;
    l->wants_header = false;
    return proxy_parse(l->header, whole, &l->source) ? LINK_MOVED
                                                     : break_header(l);
}

bool link_hears_plain_http(struct link *l)
{
    uint8_t first;

    if (l->tls == NULL || l->has_received || l->wants_header ||
        recv(l->fd, &first, 1, MSG_PEEK) != 1)
        return false;
    return first >= 'A' && first <= 'Z';
}

void link_send_raw(struct link *l, struct span data)
{
    ssize_t n = send(l->fd, data.ptr, data.len, MSG_NOSIGNAL);

    (void)n; /* the peer may be gone; it is told for its own good */
}

/* returns: LINK_MOVED with *len, from 1 to cap */
static enum link_result read_socket(struct link *l, uint8_t *space, size_t cap,
                                    size_t *len)
{
    /* A read that came short has told that the next one would get nothing. */
    if (l->is_drained) {
        l->is_drained = false;
        return LINK_BLOCKED;
    }
    ssize_t n = recv(l->fd, space, cap, 0);
    if (n == 0) {
        l->has_ended = true;
        return LINK_ENDED;
    }
    if (n < 0)
        return socket_result(l, n);
    l->has_received = true;
    l->received += (size_t)n;
    l->is_drained = (size_t)n < cap;
    *len = (size_t)n;
    return LINK_MOVED;
}

static enum link_result receive_plain(struct link *l, uint8_t *space,
                                      size_t room)
{
    size_t len;
    enum link_result result = read_socket(l, space, room, &len);

    if (result == LINK_MOVED)
        buf_commit(&l->in, len);
    return result;
}

static size_t ahead_len(const struct link *l)
{
    return l->ahead_end - l->ahead_first;
}

static void take_ahead(struct link *l, uint8_t *space, size_t room)
{
    size_t len = ahead_len(l) < room ? ahead_len(l) : room;

    memcpy(space, l->ahead + l->ahead_first, len);
    l->ahead_first += len;
    tls_cipher_received(l->tls, len);
}

static enum link_result receive_tls(struct link *l, uint8_t *space, size_t room)
{
    enum link_result result = LINK_MOVED;
    size_t len;

    if (ahead_len(l) == 0 && room >= LINK_AHEAD_LEN) {
        result = read_socket(l, space, room, &len);
        if (result == LINK_MOVED)
            tls_cipher_received(l->tls, len);
    } else {
        if (ahead_len(l) == 0) {
            l->ahead_first = l->ahead_end = 0;
            result = read_socket(l, l->ahead, LINK_AHEAD_LEN, &l->ahead_end);
        }
        if (result == LINK_MOVED)
            take_ahead(l, space, room);
    }
    return result == LINK_MOVED ? check_tls(l) : result;
}

enum link_result link_receive(struct link *l)
{
    if (l->wants_header)
        return receive_header(l);

    size_t room = 0;
    uint8_t *space = l->has_ended ? NULL : receive_space(l, &room);

    if (room == 0 || space == NULL)
        return LINK_BLOCKED;
    return l->tls == NULL ? receive_plain(l, space, room)
                          : receive_tls(l, space, room);
}

enum link_result link_send(struct link *l)
{
    size_t len = 0;
    const uint8_t *bytes = send_bytes(l, &len);

    if (len == 0 || bytes == NULL)
        return LINK_BLOCKED;
    ssize_t n = send(l->fd, bytes, len, MSG_NOSIGNAL);
    if (n <= 0)
        return socket_result(l, n);
    l->sent += (size_t)n;
    if (l->tls == NULL)
        buf_consume(&l->out, (size_t)n);
    else
        tls_cipher_sent(l->tls, (size_t)n);
    return LINK_MOVED;
}

enum link_result link_discard(struct link *l)
{
    uint8_t scratch[4096];
    ssize_t n = recv(l->fd, scratch, sizeof scratch, 0);

    return n == 0 ? LINK_ENDED : socket_result(l, n);
}

bool link_wants_send(struct link *l)
{
    size_t len = 0;

    return send_bytes(l, &len) != NULL && len > 0;
}

bool link_wants_receive(struct link *l)
{
    size_t room = 0;

    if (l->wants_header)
        return true;
    return !l->has_ended && receive_space(l, &room) != NULL && room > 0;
}

bool link_holds_input(struct link *l)
{
    return ahead_len(l) > 0 && link_wants_receive(l);
}

/* --- The plaintext side --- */

struct span link_input(struct link *l)
{
    if (l->tls == NULL)
        return (struct span){buf_peek(&l->in), buf_len(&l->in)};
    size_t len = 0;
    const uint8_t *bytes = tls_plain_bytes(l->tls, &len);
    return (struct span){bytes, bytes == NULL ? 0 : len};
}

void link_consume(struct link *l, size_t n)
{
    if (l->tls == NULL)
        buf_consume(&l->in, n);
    else
        tls_plain_taken(l->tls, n);
}

static uint8_t *write_space(struct link *l, size_t *len)
{
    if (l->tls != NULL)
        return tls_plain_space(l->tls, len);
    *len = buf_room(&l->out);
    return buf_reserve(&l->out, *len);
}

size_t link_write(struct link *l, struct span data)
{
    size_t room = 0;
    uint8_t *space = l->is_closing ? NULL : write_space(l, &room);
    size_t n = data.len < room ? data.len : room;

    if (space == NULL || n == 0)
        return 0;
    memcpy(space, data.ptr, n);
    if (l->tls == NULL)
        buf_commit(&l->out, n);
    else
        tls_plain_put(l->tls, n);
    return n;
}

void link_flush(struct link *l)
{
    if (l->tls != NULL)
        tls_flush(l->tls);
}

bool link_is_established(const struct link *l)
{
    return l->tls == NULL || tls_is_established(l->tls);
}

bool link_is_over(const struct link *l)
{
    return l->tls != NULL && tls_is_closed(l->tls);
}

void link_close(struct link *l)
{
    l->is_closing = true;
    if (l->tls != NULL)
        tls_close(l->tls);
}

void link_end_output(struct link *l)
{
    shutdown(l->fd, SHUT_WR);
}

const char *link_failure(const struct link *l, int *number)
{
    *number = l->socket_error;
    if (l->socket_error != 0)
        return "socket_error";
    *number = l->tls != NULL ? tls_error(l->tls) : 0;
    return "tls_error";
}
