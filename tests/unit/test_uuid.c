#include "proto/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "guard.h"

static const char sample[] = "550e8400-e29b-41d4-a716-446655440000";
static const uint8_t sample_bytes[UUID_LEN] = {
    0x55, 0x0e, 0x84, 0x00, 0xe2, 0x9b, 0x41, 0xd4,
    0xa7, 0x16, 0x44, 0x66, 0x55, 0x44, 0x00, 0x00};

static bool parse(const char *text, size_t len, uint8_t out[UUID_LEN])
{
    uint8_t *copy = guard_copy(text, len);
    bool answer = uuid_parse((struct span){copy, len}, out);

    free(copy);
    return answer;
}

static void check_refused(const char *text, size_t len)
{
    uint8_t out[UUID_LEN];

    memset(out, 0x5A, sizeof out);
    assert_false(parse(text, len, out));
    for (size_t i = 0; i < UUID_LEN; i++)
        assert_int_equal(out[i], 0x5A);
}

static void check_round(const char *text, const char *canonical)
{
    uint8_t out[UUID_LEN];
    char *again = malloc(UUID_TEXT_LEN);

    assert_true(parse(text, strlen(text), out));
    uuid_format(out, again);
    assert_memory_equal(again, canonical, UUID_TEXT_LEN);
    free(again);
}

static void bytes_in_text_order(void **state)
{
    uint8_t out[UUID_LEN];
    (void)state;

    assert_true(parse(sample, UUID_TEXT_LEN, out));
    assert_memory_equal(out, sample_bytes, UUID_LEN);
}

/* RFC 9562 appendix A, versions 1 and 3 to 8; then nil and max. */
static void rfc9562_vectors(void **state)
{
    static const char *const texts[] = {"c232ab00-9414-11ec-b3c8-9f6bdeced846",
                                        "5df41881-3aed-3515-88a7-2f4a814cf09e",
                                        "919108f7-52d1-4320-9bac-f847db4148a8",
                                        "2ed6657d-e927-568b-95e1-2665a8aea6a2",
                                        "1ec9414c-232a-6b00-b3c8-9f6bdeced846",
                                        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
                                        "2489e9ad-2ee2-8e00-8ec9-32d5f69181c0",
                                        "00000000-0000-0000-0000-000000000000",
                                        "ffffffff-ffff-ffff-ffff-ffffffffffff"};
    (void)state;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        check_round(texts[i], texts[i]);
}

static void any_case_in_lower_case_out(void **state)
{
    (void)state;
    check_round("550E8400-E29B-41D4-A716-446655440000", sample);
    check_round("550e8400-E29b-41D4-a716-446655440000", sample);
}

static void other_forms_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "550e8400e29b41d4a716446655440000",
        "{550e8400-e29b-41d4-a716-446655440000}",
        "urn:uuid:550e8400-e29b-41d4-a716-446655440000",
        " 550e8400-e29b-41d4-a716-446655440000",
        "550e8400-e29b-41d4-a716-446655440000 ",
        "550e8400-e29b-41d4-a716-44665544000 ",
        "550e840-0e29b-41d4-a716-446655440000",
        "550e8400-e29b-41d4-a7164-46655440000",
        "550e8400_e29b_41d4_a716_446655440000",
        "550e8400-e29b-41d4-a716-44665544000g",
        "0x0e8400-e29b-41d4-a716-446655440000"};
    (void)state;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        check_refused(texts[i], strlen(texts[i]));
    check_refused("550e8400-e29b-41d4-a716-44665544000\0", UUID_TEXT_LEN);
    uint8_t out[UUID_LEN];
    assert_false(uuid_parse((struct span){NULL, 0}, out));
}

/* Any byte at any place: right exactly when the form says so. */
static void every_byte_at_every_place(void **state)
{
    uint8_t out[UUID_LEN];
    char text[UUID_TEXT_LEN];
    (void)state;

    for (size_t i = 0; i < UUID_TEXT_LEN; i++) {
        for (int c = 0; c < 256; c++) {
            bool is_hex = c != 0 && strchr("0123456789abcdefABCDEF", c);
            memcpy(text, sample, sizeof text);
            text[i] = (char)c;
            assert_int_equal(parse(text, sizeof text, out),
                             sample[i] == '-' ? c == '-' : is_hex);
        }
    }
}

static void every_length(void **state)
{
    char text[2 * UUID_TEXT_LEN];
    uint8_t out[UUID_LEN];
    (void)state;

    memcpy(text, sample, UUID_TEXT_LEN);
    memcpy(text + UUID_TEXT_LEN, sample, UUID_TEXT_LEN);
    for (size_t len = 0; len <= sizeof text; len++)
        assert_int_equal(parse(text, len, out), len == UUID_TEXT_LEN);
}

static void nil_is_all_zero(void **state)
{
    uint8_t uuid[UUID_LEN] = {0};
    (void)state;

    assert_true(uuid_is_nil(uuid));
    for (size_t i = 0; i < UUID_LEN; i++) {
        uuid[i] = 1;
        assert_false(uuid_is_nil(uuid));
        uuid[i] = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_in_text_order),
        cmocka_unit_test(rfc9562_vectors),
        cmocka_unit_test(any_case_in_lower_case_out),
        cmocka_unit_test(other_forms_are_refused),
        cmocka_unit_test(every_byte_at_every_place),
        cmocka_unit_test(every_length),
        cmocka_unit_test(nil_is_all_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
