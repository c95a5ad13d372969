/*
 * proto/uuid: what is accepted comes out again in lower case; any 16 bytes
 * survive the way through the text form.
 */
#include "proto/uuid.h"

#include <stdlib.h>

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void check_bytes(const uint8_t *bytes)
{
    uint8_t again[UUID_LEN];
    char text[UUID_TEXT_LEN];
    struct span form = {(const uint8_t *)text, sizeof text};

    uuid_format(bytes, text);
    must(uuid_parse(form, again));
    must(memcmp(again, bytes, UUID_LEN) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = {data, size};
    uint8_t bytes[UUID_LEN];
    char again[UUID_TEXT_LEN];

    if (size >= UUID_LEN)
        check_bytes(data);
    if (!uuid_parse(text, bytes))
        return 0;
    uuid_format(bytes, again);
    must(size == UUID_TEXT_LEN);
    for (size_t i = 0; i < size; i++)
        must((uint8_t)again[i] == ascii_lower(data[i]));
    return 0;
}
