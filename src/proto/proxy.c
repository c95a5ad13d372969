#include "proto/proxy.h"

#include <string.h>

enum {
    SIGNATURE_LEN = 12,
    VERSION_2 = 0x20,
    COMMAND_LOCAL = 0,
    COMMAND_PROXY = 1,
    TCP_OVER_IPV4 = 0x11, /* 4 + 4 bytes of addresses, 2 + 2 of ports */
    TCP_OVER_IPV6 = 0x21, /* 16 + 16, 2 + 2 */
    IPV4_LEN = 12,
    IPV6_LEN = 36
};

/* Signature, version and command; no family, nothing behind it. */
const uint8_t proxy_local_header[PROXY_HEAD_LEN] = {
    '\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n', VERSION_2};

size_t proxy_header_len(const uint8_t *in, size_t len)
{
    size_t seen = len < SIGNATURE_LEN ? len : SIGNATURE_LEN;

    if (memcmp(in, proxy_local_header, seen) != 0)
        return 0;
    if (len < PROXY_HEAD_LEN)
        return PROXY_HEAD_LEN;
    size_t whole = PROXY_HEAD_LEN + (size_t)in[14] * 256 + in[15];
    return whole <= PROXY_HEADER_MAX ? whole : 0;
}

static uint16_t load_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

/* Behind the addresses there may be more (TLVs), which nobody here needs. */
bool proxy_parse(const uint8_t *in, size_t len, struct proxy_source *source)
{
    const uint8_t *addresses = in + PROXY_HEAD_LEN;
    size_t rest = len - PROXY_HEAD_LEN;
    unsigned command = in[12] & 0x0fU;

    memset(source, 0, sizeof *source);
    if ((in[12] & 0xf0) != VERSION_2)
        return false;
    if (command == COMMAND_LOCAL)
        return true;
    if (command != COMMAND_PROXY)
        return false;
    if (in[13] == TCP_OVER_IPV4 && rest >= IPV4_LEN) {
        source->address[10] = source->address[11] = 0xff;
        memcpy(source->address + 12, addresses, 4);
        source->port = load_be16(addresses + 8);
    } else if (in[13] == TCP_OVER_IPV6 && rest >= IPV6_LEN) {
        memcpy(source->address, addresses, 16);
        source->port = load_be16(addresses + 32);
    } else {
        return false;
    }
    source->is_given = true;
    return true;
}
