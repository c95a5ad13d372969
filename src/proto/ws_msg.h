/*
 * Server side of the WebSocket data phase: the bytes of a client become
 * messages and control frames (RFC 6455 sections 5 and 7.4).
 *
 * Every rule is judged as early as it can be: header rules and sizes when the
 * header is there, UTF-8 as its bytes arrive. How the bytes are cut into calls
 * changes nothing. Nothing is sent from here.
 */
#ifndef PROTO_WS_MSG_H
#define PROTO_WS_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "proto/utf8.h"
#include "proto/ws_frame.h"

#define WS_CLOSE_FRAME_MAX  127 /* bytes of a whole Close frame of ours */
#define WS_CLOSE_REASON_MAX 123 /* bytes of the reason in it */

enum ws_close {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_UNSUPPORTED = 1003,
    WS_CLOSE_NO_STATUS = 1005, /* never on the wire: Close without a code */
    WS_CLOSE_BAD_DATA = 1007,
    WS_CLOSE_POLICY = 1008,
    WS_CLOSE_TOO_BIG = 1009,
    WS_CLOSE_INTERNAL = 1011,
};

enum ws_event {
    WS_EVENT_NONE,   /* all input taken, nothing complete */
    WS_EVENT_TEXT,   /* a whole message, valid UTF-8 */
    WS_EVENT_BINARY, /* a whole message */
    WS_EVENT_PING,
    WS_EVENT_PONG,
    WS_EVENT_CLOSE, /* close_code and payload (the reason) are the peer's */
    WS_EVENT_FAIL,  /* close_code and reason are what to send */
};

struct ws_recv {
    /* For the caller, set with the events CLOSE and FAIL. */
    uint16_t close_code; /* enum ws_close or another code of the peer's */
    const char *reason;  /* FAIL: short static text for a person */

    /* Own state. */
    uint8_t *mem;           /* caller's, max_message bytes */
    size_t max_message;     /* bytes */
    size_t message_len;     /* bytes of the message assembled so far */
    struct utf8 text;       /* of the text message or the close reason */
    struct span payload;    /* of the last event */
    struct ws_header frame; /* current frame, when in_payload */
    uint64_t frame_done;    /* bytes of its payload taken */
    uint8_t message_op;     /* of the message being assembled; 0 = none */
    uint8_t head_len;       /* bytes in head */
    bool accept_binary;
    bool in_payload; /* the current frame's header is complete */
    bool is_over;    /* CLOSE or FAIL was reported */
    uint8_t head[WS_MASKED_HEADER_MAX]; /* incomplete header */
    uint8_t control[WS_CONTROL_MAX];    /* payload of a control frame */
};

/*
 * Start at the first byte after the handshake.
 * in:   mem: storage for the message being assembled, max_message bytes
 *       accept_binary: false lets binary messages fail with 1003
 * owns: the caller keeps mem and must let it live as long as r; r must not be
 *       moved
 */
void ws_recv_init(struct ws_recv *r, uint8_t *mem, size_t max_message,
                  bool accept_binary);

/*
 * Take bytes of the client up to and including the first event.
 * out:     *event
 * returns: bytes taken: all of them with WS_EVENT_NONE, else up to the end of
 *          the frame that made the event. After CLOSE and FAIL the rest of the
 *          input is of no use: 0 bytes are taken, *event is WS_EVENT_NONE.
 *          0 bytes taken with an event do not happen.
 */
size_t ws_recv_feed(struct ws_recv *r, const uint8_t *in, size_t len,
                    enum ws_event *event);

/* Is it between messages? Then it needs nothing of what is in mem. */
bool ws_recv_is_between(const struct ws_recv *r);

/*
 * Payload of the last event: the message, what a Ping or Pong carried, the
 * reason of a Close; empty with FAIL.
 * owns: valid until the next ws_recv_feed
 */
struct span ws_recv_payload(const struct ws_recv *r);

/*
 * Write a whole Close frame of a server.
 * in:      code: WS_CLOSE_NO_STATUS makes an empty payload
 *          reason: UTF-8, may be empty; cut to WS_CLOSE_REASON_MAX bytes at
 *          the end of a character
 * out:     at most WS_CLOSE_FRAME_MAX bytes
 * returns: bytes written
 * spec:    RFC 6455 section 5.5.1
 */
size_t ws_close_format(uint8_t *out, uint16_t code, struct span reason);

#endif
