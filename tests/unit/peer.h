/*
 * The other end of a session: frames as a client sends them, and the reading
 * of what a server sends. Shared by tests that talk to a session.
 */
#ifndef TESTS_PEER_H
#define TESTS_PEER_H

#include "proto/ws_frame.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PEER_UPGRADE                                  \
    "GET /ws HTTP/1.1\r\nHost: localhost\r\n"         \
    "Upgrade: websocket\r\nConnection: Upgrade\r\n"   \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" \
    "Sec-WebSocket-Version: 13\r\n\r\n"

#define PEER_101                           \
    "HTTP/1.1 101 Switching Protocols\r\n" \
    "Upgrade: websocket\r\n"               \
    "Connection: Upgrade\r\n"              \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

/*
 * Append one masked frame.
 * in:      first: FIN, reserved bits and opcode; len below 65536
 * returns: the new length of out
 */
static inline size_t peer_frame(uint8_t *out, size_t at, uint8_t first,
                                const void *payload, size_t len)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

    out[at++] = first;
    if (len < 126) {
        out[at++] = (uint8_t)(0x80 | len);
    } else {
        out[at++] = 0x80 | 126;
        out[at++] = (uint8_t)(len >> 8);
        out[at++] = (uint8_t)len;
    }
    memcpy(out + at, mask, 4);
    at += 4;
    if (len > 0)
        memcpy(out + at, payload, len);
    ws_unmask(out + at, len, mask, 0);
    return at + len;
}

/* Append one text message in one frame. */
static inline size_t peer_text(uint8_t *out, size_t at, const char *text)
{
    return peer_frame(out, at, 0x81, text, strlen(text));
}

#endif
