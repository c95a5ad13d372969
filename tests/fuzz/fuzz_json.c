/*
 * proto/json: strict JSON is JSON for cJSON as well, unless it holds what cJSON
 * refuses or cuts by design: numbers of over 63 bytes, surrogates without their
 * partner. Masked NULs change nothing else, and strictness needs each byte.
 */
#include "proto/json.h"

#include "proto/utf8.h"

#include <cJSON.h>
#include <stdlib.h>

enum { DEPTH = 8, NUMBER_MAX = 60 };

static void must(bool ok)
{
    if (!ok)
        abort();
}

static bool is_number_byte(uint8_t c)
{
    return (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.' ||
           c == 'e' || c == 'E';
}

/* Could cJSON refuse it by design? */
static bool is_beyond_cjson(const uint8_t *text, size_t len)
{
    size_t run = 0;

    for (size_t i = 0; i < len; i++) {
        run = is_number_byte(text[i]) ? run + 1 : 0;
        if (run > NUMBER_MAX)
            return true;
        if (text[i] == '\\' && i + 2 < len && text[i + 1] == 'u' &&
            (text[i + 2] == 'd' || text[i + 2] == 'D'))
            return true;
    }
    return false;
}

static void check_strict(const uint8_t *data, size_t size)
{
    uint8_t *text = malloc(size);

    must(text != NULL);
    memcpy(text, data, size);
    json_mask_nul(text, size);
    must(json_is_strict((struct span){text, size}, DEPTH));
    for (size_t i = 0; i < size; i++)
        must(text[i] == data[i] || data[i] == '0');
    cJSON *tree = cJSON_ParseWithLength((const char *)text, size);
    must(tree != NULL || is_beyond_cjson(text, size));
    cJSON_Delete(tree);
    /* Nothing that begins with a bracket is whole before its end. */
    if (data[0] == '{' || data[0] == '[')
        for (size_t n = 0; n < size && n < 256; n++)
            if (data[size - 1] == '}' || data[size - 1] == ']')
                must(!json_is_strict((struct span){data, n}, DEPTH));
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = {data, size};

    if (!utf8_is_valid(text))
        return 0;
    bool is_strict = json_is_strict(text, DEPTH);
    /* Deeper is never stricter. */
    must(!is_strict || json_is_strict(text, DEPTH + 1));
    must(is_strict || !json_is_strict(text, DEPTH - 1));
    if (is_strict)
        check_strict(data, size);
    return 0;
}
