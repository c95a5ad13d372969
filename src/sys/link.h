/*
 * A socket with or without TLS on it: plaintext on one side, the kernel on the
 * other. The only place that reads from and writes to connections.
 */
#ifndef SYS_LINK_H
#define SYS_LINK_H

#include "base/buf.h"
#include "proto/proxy.h"
#include "sys/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum link_result {
    LINK_MOVED,   /* some bytes were moved */
    LINK_BLOCKED, /* nothing to do now */
    LINK_ENDED,   /* receive only: the peer sends no more */
    LINK_BROKEN   /* socket or TLS error; see link_failure */
};

enum { LINK_AHEAD_LEN = 512 /* bytes; a few logins */ };

struct link {
    int fd;               /* non-blocking socket */
    struct tls_conn *tls; /* NULL: plain */
    struct buf in, out;   /* plain only */
    /* TLS only: what was read beyond what BearSSL asks for, which is first a
     * record's header and then its body. */
    size_t ahead_first, ahead_end;
    uint8_t ahead[LINK_AHEAD_LEN];
    bool is_drained;            /* the last read left nothing in the kernel */
    uint64_t received, sent;    /* bytes of the socket */
    int socket_error;           /* errno of what broke it; 0 = none */
    bool has_ended;             /* the peer sends no more */
    bool has_received;          /* at least one byte */
    bool wants_header;          /* a PROXY header comes before everything */
    struct proxy_source source; /* what it has said */
    size_t header_len;          /* bytes of it so far */
    uint8_t header[PROXY_HEADER_MAX];
    bool is_closing; /* link_close was called */
};

/* Bytes of memory, aligned for any type, that a link needs. */
size_t link_mem_size(void);

/*
 * Begin on a connected, non-blocking socket.
 * in:      tls: NULL for plain text; mem: link_mem_size() bytes
 * owns:    borrows mem; takes the socket over, on success only
 * returns: 0, or -1 with the reason
 */
int link_open(struct link *l, int fd, struct tls_server *tls, void *mem,
              struct error *err);

/* Expect a PROXY header first (proto/proxy.h); without one the link breaks. */
void link_expect_header(struct link *l);

/*
 * On a link with TLS: is the first byte one that TLS cannot begin with, but
 * an HTTP request does? It is left unread.
 */
bool link_hears_plain_http(struct link *l);

/* Send a few bytes past TLS, as far as the kernel takes them at once. */
void link_send_raw(struct link *l, struct span data);

/* Close the socket at once and wipe the keys. */
void link_shut(struct link *l);

/* Move bytes from, or to, the kernel, with one system call or none. */
enum link_result link_receive(struct link *l);
enum link_result link_send(struct link *l);

/* Plaintext that has come in; valid until the next call. */
struct span link_input(struct link *l);
void link_consume(struct link *l, size_t n);

/* Copy out what there is room for. returns: bytes taken */
size_t link_write(struct link *l, struct span data);

/* Make what was written ready to be sent. */
void link_flush(struct link *l);

/* Can plaintext flow, or could it before the end? */
bool link_is_established(const struct link *l);

/* Has TLS ended, so that nothing can be sent or received any more? */
bool link_is_over(const struct link *l);

/* Say goodbye: TLS close_notify. Then nothing more can be written. */
void link_close(struct link *l);

/* Say that nothing more will be sent, and go on receiving: TCP FIN. */
void link_end_output(struct link *l);

/* Drop what comes in, with one system call. returns: as link_receive */
enum link_result link_discard(struct link *l);

/* Has the link bytes for the kernel, or space for bytes from it? */
bool link_wants_send(struct link *l);
bool link_wants_receive(struct link *l);

/* Could link_receive move bytes without the kernel having any more? */
bool link_holds_input(struct link *l);

/* Why it broke, as name and number for the log. returns: the name, static */
const char *link_failure(const struct link *l, int *number);

#endif
