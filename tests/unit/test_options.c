/* Unit tests of app/options. */
#include "app/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct settings {
    const char *data_dir, *word;
    bool is_loud, is_quiet, wants_version;
    struct option_list listen;
    uint64_t players, size, wait_ms;
};

#define FIELD(name) offsetof(struct settings, name)

static const struct option_spec specs[] = {
    {"data", "DIR", "where it is", OPTION_TEXT, FIELD(data_dir), 0, 0},
    {"loud", NULL, "say more", OPTION_FLAG, FIELD(is_loud), 0, 0},
    {"version", NULL, "tell", OPTION_ACTION, FIELD(wants_version), 0, 0},
    {"quiet", NULL, "say less", OPTION_FLAG, FIELD(is_quiet), 0, 0},
    {"listen", "ADDR", "where to", OPTION_LIST, FIELD(listen), 0, 0},
    {"max-players", "N", "how many", OPTION_COUNT, FIELD(players), 1, 1000},
    {"map-size", "SIZE", "how big", OPTION_BYTES, FIELD(size), 1024,
     1ULL << 44},
    {"wait", "TIME", "how long", OPTION_SECONDS, FIELD(wait_ms), 1, 172800000},
    {"word", "TEXT", "what", OPTION_WORD, FIELD(word), 0, 0},
};
static const struct option_table table = {
    .usage = "test [options]", .specs = specs, .count = COUNT(specs)};

static struct settings got;
static struct error err;
static int rest;

static enum options_result parse(const char *const *args, size_t count)
{
    static char copies[32][128];
    static char *argv[33];

    assert_true(count < 32);
    snprintf(copies[0], sizeof copies[0], "prog");
    argv[0] = copies[0];
    for (size_t i = 0; i < count; i++) {
        snprintf(copies[i + 1], sizeof copies[0], "%s", args[i]);
        argv[i + 1] = copies[i + 1];
    }
    argv[count + 1] = NULL;
    free(got.listen.from_env);
    got =
        (struct settings){.players = 10, .size = 16ULL << 30, .wait_ms = 90000};
    err.text[0] = '\0';
    rest = -1;
    return options_parse(&table, (int)count + 1, argv, &got, &rest, &err);
}

#define PARSE(...)                            \
    parse((const char *const[]){__VA_ARGS__}, \
          COUNT(((const char *const[]){__VA_ARGS__})))

#define GOOD(...) assert_int_equal(PARSE(__VA_ARGS__), OPTIONS_OK)

#define BAD(why, ...)                                      \
    do {                                                   \
        assert_int_equal(PARSE(__VA_ARGS__), OPTIONS_BAD); \
        assert_string_equal(err.text, why);                \
    } while (0)

static int clear_environment(void **state)
{
    (void)state;
    clearenv();
    return 0;
}

static void nothing_given(void **state)
{
    (void)state;
    assert_int_equal(parse(NULL, 0), OPTIONS_OK);
    assert_int_equal(rest, 1);
    assert_null(got.data_dir);
    assert_false(got.is_loud);
    assert_int_equal(got.listen.count, 0);
    assert_int_equal(got.players, 10);
}

static void every_kind(void **state)
{
    (void)state;
    GOOD("--data", "/d", "--loud", "--listen", "a:1", "--listen=b:2",
         "--max-players", "7", "--map-size=2M", "--wait", "5");
    assert_string_equal(got.data_dir, "/d");
    assert_true(got.is_loud);
    assert_false(got.is_quiet);
    assert_int_equal(got.listen.count, 2);
    assert_string_equal(got.listen.item[0], "a:1");
    assert_string_equal(got.listen.item[1], "b:2");
    assert_int_equal(got.players, 7);
    assert_int_equal(got.size, 2 << 20);
    assert_int_equal(got.wait_ms, 5000);
    assert_int_equal(rest, 12);
    GOOD("--data", "a", "--data", "b");
    assert_string_equal(got.data_dir, "b");
}

static void check_number(const char *option, const char *text,
                         const uint64_t *field, uint64_t expected)
{
    assert_int_equal(PARSE(option, text), OPTIONS_OK);
    assert_true(*field == expected);
}

static void numbers(void **state)
{
    (void)state;
    check_number("--max-players", "1", &got.players, 1);
    check_number("--max-players", "1000", &got.players, 1000);
    check_number("--max-players", "007", &got.players, 7);
    check_number("--map-size", "1024", &got.size, 1024);
    check_number("--map-size", "1K", &got.size, 1024);
    check_number("--map-size", "3M", &got.size, 3ULL << 20);
    check_number("--map-size", "5G", &got.size, 5ULL << 30);
    check_number("--map-size", "16T", &got.size, 1ULL << 44);
    check_number("--wait", "1", &got.wait_ms, 1000);
    check_number("--wait", "1s", &got.wait_ms, 1000);
    check_number("--wait", "250ms", &got.wait_ms, 250);
    check_number("--wait", "2m", &got.wait_ms, 120000);
    check_number("--wait", "1h", &got.wait_ms, 3600000);
    check_number("--wait", "2d", &got.wait_ms, 172800000);
}

static void bad_numbers(void **state)
{
    static const char *const texts[] = {
        "x",    "-1",  "+1", " 1",  "1 ", "1x", "0x10",
        "1.5",  "1e3", "K",  "1KB", "1k", "1S", "99999999999999999999",
        "1mss", "1KK",
    };
    char expected[128];
    (void)state;

    for (size_t i = 0; i < COUNT(texts); i++) {
        assert_int_equal(PARSE("--max-players", texts[i]), OPTIONS_BAD);
        snprintf(expected, sizeof expected,
                 "--max-players: '%s' is not a number", texts[i]);
        assert_string_equal(err.text, expected);
        assert_int_equal(PARSE("--map-size", texts[i]), OPTIONS_BAD);
        snprintf(expected, sizeof expected,
                 "--map-size: '%s' is not a size (as 4K or 16G)", texts[i]);
        assert_string_equal(err.text, expected);
        assert_int_equal(PARSE("--wait", texts[i]), OPTIONS_BAD);
        snprintf(expected, sizeof expected,
                 "--wait: '%s' is not a time (as 10 or 10s)", texts[i]);
        assert_string_equal(err.text, expected);
    }
    BAD("--max-players: '1K' is not a number", "--max-players", "1K");
    BAD("--map-size: '16777216T' is not a size (as 4K or 16G)", "--map-size",
        "16777216T");
    BAD("--wait: '18446744073709551615' is not a time (as 10 or 10s)", "--wait",
        "18446744073709551615");
}

static void ranges(void **state)
{
    (void)state;
    BAD("--max-players: 0 is not between 1 and 1000", "--max-players", "0");
    BAD("--max-players: 1001 is not between 1 and 1000", "--max-players=1001");
    BAD("--map-size: 1023 is not between 1K and 16T", "--map-size", "1023");
    BAD("--map-size: 17T is not between 1K and 16T", "--map-size", "17T");
    BAD("--wait: 0 is not between 1ms and 2d", "--wait", "0");
    BAD("--wait: 49h is not between 1ms and 2d", "--wait", "49h");
}

static void wrong_words(void **state)
{
    (void)state;
    BAD("unknown option '--foo'", "--foo");
    BAD("unknown option '--foo=1'", "--foo=1");
    BAD("unknown option '-x'", "-x");
    BAD("unknown option '--foo'", "operand", "--foo");
    BAD("unknown option '--foo'", "--loud", "--foo", "--quiet");
    BAD("option '--data' needs a value", "--data");
    BAD("option '--data' needs a value", "--loud", "--data");
    BAD("option '--loud' takes no value", "--loud=1");
    BAD("option '--quiet' takes no value", "--quiet=");
    BAD("--data: the value is empty", "--data", "");
    BAD("--listen: the value is empty", "--listen=");
    BAD("--wait: the value is empty", "--wait=");
}

static void short_options_in_one_word(void **state)
{
    (void)state;
    BAD("unknown option '-x'", "--loud", "-xy");
    BAD("unknown option '-x'", "-x=1");
}

static void operands(void **state)
{
    (void)state;
    GOOD("one", "--loud", "two");
    assert_true(got.is_loud);
    assert_int_equal(rest, 2);
    GOOD("--loud", "--", "--quiet", "--help");
    assert_true(got.is_loud);
    assert_false(got.is_quiet);
    assert_int_equal(rest, 3);
    GOOD("-");
    assert_int_equal(rest, 1);
}

static void long_lists(void **state)
{
    static const char *args[OPTION_LIST_MAX + 1];
    (void)state;

    for (size_t i = 0; i < COUNT(args); i++)
        args[i] = "--listen=a";
    assert_int_equal(parse(args, OPTION_LIST_MAX), OPTIONS_OK);
    assert_int_equal(got.listen.count, OPTION_LIST_MAX);
    assert_int_equal(parse(args, OPTION_LIST_MAX + 1), OPTIONS_BAD);
    assert_string_equal(err.text, "--listen: given more than 16 times");
}

static void environment(void **state)
{
    (void)state;
    setenv("OPENCHAMPPS_DATA", "/env", 1);
    setenv("OPENCHAMPPS_MAX_PLAYERS", "77", 1);
    setenv("OPENCHAMPPS_MAP_SIZE", "4K", 1);
    setenv("OPENCHAMPPS_WAIT", "1m", 1);
    setenv("OPENCHAMPPS_LISTEN", "a:1,[::]:2,c", 1);
    setenv("OPENCHAMPPS_WORD", "another's", 1);
    GOOD("operand");
    assert_null(got.word);
    assert_string_equal(got.data_dir, "/env");
    assert_int_equal(got.players, 77);
    assert_int_equal(got.size, 4096);
    assert_int_equal(got.wait_ms, 60000);
    assert_int_equal(got.listen.count, 3);
    assert_string_equal(got.listen.item[0], "a:1");
    assert_string_equal(got.listen.item[1], "[::]:2");
    assert_string_equal(got.listen.item[2], "c");
}

static void command_line_wins(void **state)
{
    (void)state;
    setenv("OPENCHAMPPS_DATA", "/env", 1);
    setenv("OPENCHAMPPS_MAX_PLAYERS", "77", 1);
    setenv("OPENCHAMPPS_LISTEN", "a,b", 1);
    GOOD("--data=/arg", "--listen", "c");
    assert_string_equal(got.data_dir, "/arg");
    assert_int_equal(got.players, 77);
    assert_int_equal(got.listen.count, 1);
    assert_string_equal(got.listen.item[0], "c");
    GOOD("--listen", "c", "--listen", "d");
    assert_int_equal(got.listen.count, 2);
}

static void empty_environment(void **state)
{
    (void)state;
    setenv("OPENCHAMPPS_DATA", "", 1);
    setenv("OPENCHAMPPS_WAIT", "", 1);
    setenv("OPENCHAMPPS_LOUD", "", 1);
    assert_int_equal(parse(NULL, 0), OPTIONS_OK);
    assert_null(got.data_dir);
    assert_int_equal(got.wait_ms, 90000);
    assert_false(got.is_loud);
}

static void flags_in_the_environment(void **state)
{
    static const char *const yes[] = {"1", "yes", "true", "on"};
    static const char *const no[] = {"0", "no", "false", "off"};
    (void)state;

    for (size_t i = 0; i < COUNT(yes); i++) {
        setenv("OPENCHAMPPS_LOUD", yes[i], 1);
        assert_int_equal(parse(NULL, 0), OPTIONS_OK);
        assert_true(got.is_loud);
        setenv("OPENCHAMPPS_LOUD", no[i], 1);
        assert_int_equal(parse(NULL, 0), OPTIONS_OK);
        assert_false(got.is_loud);
        GOOD("--loud");
        assert_true(got.is_loud);
    }
    setenv("OPENCHAMPPS_LOUD", "maybe", 1);
    BAD("environment OPENCHAMPPS_LOUD: --loud: 'maybe' is neither yes nor no",
        "--data", "x");
}

/* An action is of one call: the environment cannot ask for it. */
static void actions(void **state)
{
    (void)state;
    setenv("OPENCHAMPPS_VERSION", "1", 1);
    assert_int_equal(parse(NULL, 0), OPTIONS_OK);
    assert_false(got.wants_version);
    setenv("OPENCHAMPPS_VERSION", "1.2.3", 1);
    GOOD("--version");
    assert_true(got.wants_version);
    BAD("option '--version' takes no value", "--version=1");
}

static void bad_environment(void **state)
{
    (void)state;
    setenv("OPENCHAMPPS_MAX_PLAYERS", "many", 1);
    BAD("environment OPENCHAMPPS_MAX_PLAYERS: --max-players: 'many' is not a "
        "number",
        "--loud");
    setenv("OPENCHAMPPS_MAX_PLAYERS", "5000", 1);
    BAD("environment OPENCHAMPPS_MAX_PLAYERS: --max-players: 5000 is not "
        "between 1 and 1000",
        "--loud");
    unsetenv("OPENCHAMPPS_MAX_PLAYERS");
    setenv("OPENCHAMPPS_LISTEN", "a,,b", 1);
    BAD("environment OPENCHAMPPS_LISTEN: --listen: the value is empty",
        "--loud");
    setenv("OPENCHAMPPS_LISTEN", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
           1);
    BAD("environment OPENCHAMPPS_LISTEN: --listen: given more than 16 times",
        "--loud");
}

/* Run with stdout, or stderr, going to a file. returns: what was written */
static const char *output_of(int fd, void (*run)(void))
{
    static char text[8192];
    FILE *file = tmpfile();
    int saved = dup(fd);

    assert_non_null(file);
    fflush(NULL);
    dup2(fileno(file), fd);
    run();
    fflush(NULL);
    dup2(saved, fd);
    close(saved);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static enum options_result help_result;

static void ask_for_help(void)
{
    help_result = PARSE("--nonsense", "--help", "--data");
}

static void help(void **state)
{
    (void)state;
    setenv("OPENCHAMPPS_WAIT", "nonsense", 1);
    setenv("OPENCHAMPPS_MAX_PLAYERS", "77", 1);
    const char *text = output_of(STDOUT_FILENO, ask_for_help);
    assert_int_equal(help_result, OPTIONS_HELP);
    assert_int_equal(strncmp(text, "usage: test [options]\n", 22), 0);
    for (size_t i = 0; i < table.count; i++)
        assert_non_null(strstr(text, specs[i].help));
    assert_non_null(strstr(text, "--data DIR "));
    assert_non_null(strstr(text, "--max-players N "));
    assert_non_null(strstr(text, "how many [10]\n"));
    assert_non_null(strstr(text, "how big [16G]\n"));
    assert_non_null(strstr(text, "how long [90s]\n"));
    assert_non_null(strstr(text, "where it is\n"));
    assert_non_null(strstr(text, "--help"));
    assert_non_null(strstr(text, "OPENCHAMPPS_SOME_NAME"));
}

static int complain_status;

static void complain_as_server(void)
{
    error_set(&err, "unknown option '--x'");
    complain_status = options_complain("", &err);
}

static void complain_as_import(void)
{
    complain_status = options_complain("import", &err);
}

static void complaints(void **state)
{
    (void)state;
    assert_string_equal(output_of(STDERR_FILENO, complain_as_server),
                        "openchampps: unknown option '--x'; see openchampps "
                        "--help\n");
    assert_int_equal(complain_status, 2);
    assert_string_equal(output_of(STDERR_FILENO, complain_as_import),
                        "openchampps import: unknown option '--x'; see "
                        "openchampps import --help\n");
    assert_int_equal(complain_status, 2);
}

#define TEST(name) cmocka_unit_test_setup(name, clear_environment)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_given),
        TEST(every_kind),
        TEST(numbers),
        TEST(bad_numbers),
        TEST(ranges),
        TEST(wrong_words),
        TEST(short_options_in_one_word),
        TEST(operands),
        TEST(long_lists),
        TEST(environment),
        TEST(command_line_wins),
        TEST(empty_environment),
        TEST(flags_in_the_environment),
        TEST(bad_environment),
        TEST(actions),
        TEST(help),
        TEST(complaints),
    };

    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(got.listen.from_env);
    return failed;
}
