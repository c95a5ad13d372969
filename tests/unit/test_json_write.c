#include "proto/json.h"
#include "proto/json_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cJSON.h>
#include <cmocka.h>

/* out: *len; the string has exactly the room that it was promised */
static char *written(struct span text, size_t *len)
{
    char *out = malloc(JSON_STRING_MAX(text.len));

    assert_non_null(out);
    *len = json_write_string(text, out);
    assert_true(*len <= JSON_STRING_MAX(text.len));
    return out;
}

static void expect(const char *text, const char *json)
{
    size_t len;
    char *out = written(span_of(text), &len);

    assert_int_equal(len, strlen(json));
    assert_memory_equal(out, json, len);
    free(out);
}

static void texts(void **state)
{
    (void)state;
    expect("", "\"\"");
    expect("jane.doe", "\"jane.doe\"");
    expect("a\"b\\c", "\"a\\u0022b\\u005cc\"");
    expect("{}\n\x7f", "\"\\u007b\\u007d\\u000a\\u007f\"");
    /* What JSON would allow and a terminal or a reader of lines obeys. */
    expect("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa",
           "\"\xe2\x80\xa7\\u2028\\u2029\xe2\x80\xaa\"");
    expect("\xc2\x80\xc2\x9f\xc2\xa0", "\"\\u0080\\u009f\xc2\xa0\"");
    expect("J\xc3\xbcrgen \xf0\x9f\x8e\xae",
           "\"J\xc3\xbcrgen \xf0\x9f\x8e\xae\"");
}

static void what_is_no_utf8_becomes_latin_1(void **state)
{
    (void)state;
    expect("\xff\xc3\xbc", "\"\\u00ff\\u00c3\\u00bc\"");
    expect("a\xc3", "\"a\\u00c3\"");
}

/* Any one byte, alone and amid others, is strict JSON that reads back. */
static void every_byte_is_strict_json(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        uint8_t text[] = {'x', (uint8_t)c, 'y'};
        size_t len;
        char *out = written((struct span){text, sizeof text}, &len);

        assert_true(json_is_strict((struct span){(uint8_t *)out, len}, 1));
        cJSON *value = cJSON_ParseWithLength(out, len);
        assert_non_null(value);
        if (c > 0 && c < 0x80)
            assert_memory_equal(value->valuestring, text, sizeof text);
        cJSON_Delete(value);
        free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(what_is_no_utf8_becomes_latin_1),
        cmocka_unit_test(every_byte_is_strict_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
