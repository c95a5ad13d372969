/*
 * One WebSocket frame: its header, and the masking of its payload (RFC 6455
 * section 5.2 and 5.3). What frames may follow each other is not known here.
 */
#ifndef PROTO_WS_FRAME_H
#define PROTO_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_HEADER_MAX        10  /* bytes of a header that a server sends */
#define WS_MASKED_HEADER_MAX 14  /* bytes of a header that a client sends */
#define WS_CONTROL_MAX       125 /* bytes of a control frame's payload */

enum ws_opcode {
    WS_OP_CONTINUATION = 0,
    WS_OP_TEXT = 1,
    WS_OP_BINARY = 2,
    WS_OP_CLOSE = 8,
    WS_OP_PING = 9,
    WS_OP_PONG = 10,
};

struct ws_header {
    bool fin;             /* last fragment of its message */
    uint8_t rsv;          /* the three reserved bits as 0 to 7 */
    uint8_t opcode;       /* 0 to 15, also those that mean nothing */
    bool masked;          /* mask is set */
    uint8_t mask[4];      /* zeros when not masked */
    uint64_t payload_len; /* bytes, below 2^63 */
};

/*
 * Bytes of the whole header that begins with these two, 2 to
 * WS_MASKED_HEADER_MAX.
 */
size_t ws_header_len(const uint8_t first[2]);

/*
 * Read the header at the start of in[0..len).
 * out:     *h, written only when the answer is positive
 * returns: bytes of the header, 0 when more are needed, -1 when the length has
 *          a bad form: its top bit set, or more bytes than it needs
 * spec:    RFC 6455 section 5.2
 */
int ws_header_parse(const uint8_t *in, size_t len, struct ws_header *h);

/*
 * Write the header of a frame that a server sends in one piece: FIN set, no
 * reserved bits, not masked.
 * out:     at most WS_HEADER_MAX bytes
 * returns: bytes written
 */
size_t ws_header_format(uint8_t *out, uint8_t opcode, size_t payload_len);

/*
 * Mask or unmask len bytes of a payload in place.
 * offset: position of data[0] in the payload, bytes
 * spec:   RFC 6455 section 5.3
 */
void ws_unmask(uint8_t *data, size_t len, const uint8_t mask[4],
               uint64_t offset);

#endif
