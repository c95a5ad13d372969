#include "app/options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPTIONS_MAX = 40,  /* in one table */
    ENV_NAME_MAX = 64, /* bytes of OPENCHAMPPS_SOME_NAME and its NUL */
    HELP_VALUE = 256   /* getopt's answer for --help, after all indexes */
};

struct unit {
    const char *suffix;
    uint64_t factor;
};

/* The largest first: a default is printed with the first that divides it. */
static const struct unit byte_units[] = {
    {"T", 1ULL << 40}, {"G", 1ULL << 30}, {"M", 1ULL << 20},
    {"K", 1ULL << 10}, {"", 1},           {NULL, 0},
};
static const struct unit time_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000},
    {"ms", 1},       {"", 1000},     {NULL, 0},
};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

static const struct unit *units_of(enum option_kind kind)
{
    if (kind == OPTION_BYTES)
        return byte_units;
    return kind == OPTION_SECONDS ? time_units : no_units;
}

static bool parse_number(const char *text, enum option_kind kind,
                         uint64_t *number)
{
    char *end;

    /* strtoull would take blanks and a minus sign. */
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0)
        return false;
    for (const struct unit *u = units_of(kind); u->suffix != NULL; u++)
        if (strcmp(end, u->suffix) == 0)
            return !__builtin_mul_overflow(value, u->factor, number);
    return false;
}

static void format_number(uint64_t number, enum option_kind kind, char *out,
                          size_t cap)
{
    const struct unit *u = units_of(kind);

    while (number % u->factor != 0)
        u++;
    snprintf(out, cap, "%" PRIu64 "%s", number / u->factor, u->suffix);
}

static int set_number(const struct option_spec *spec, const char *text,
                      uint64_t *number, struct error *err)
{
    char min[32], max[32];

    if (!parse_number(text, spec->kind, number))
        return error_set(err, "--%s: '%s' is not a %s", spec->name, text,
                         spec->kind == OPTION_BYTES     ? "size (as 4K or 16G)"
                         : spec->kind == OPTION_SECONDS ? "time (as 10 or 10s)"
                                                        : "number");
    if (*number >= spec->min && *number <= spec->max)
        return 0;
    format_number(spec->min, spec->kind, min, sizeof min);
    format_number(spec->max, spec->kind, max, sizeof max);
    return error_set(err, "--%s: %s is not between %s and %s", spec->name, text,
                     min, max);
}

static int list_add(const struct option_spec *spec, const char *text,
                    struct option_list *list, struct error *err)
{
    if (list->count == OPTION_LIST_MAX)
        return error_set(err, "--%s: given more than %d times", spec->name,
                         OPTION_LIST_MAX);
    list->item[list->count++] = text;
    return 0;
}

static bool takes_value(const struct option_spec *spec)
{
    return spec->kind != OPTION_ACTION && spec->kind != OPTION_FLAG;
}

static int set_value(const struct option_spec *spec, const char *text,
                     void *into, struct error *err)
{
    void *field = (char *)into + spec->offset;

    if (!takes_value(spec)) {
        *(bool *)field = true;
        return 0;
    }
    if (*text == '\0')
        return error_set(err, "--%s: the value is empty", spec->name);
    if (spec->kind == OPTION_TEXT || spec->kind == OPTION_WORD) {
        *(const char **)field = text;
        return 0;
    }
    if (spec->kind == OPTION_LIST)
        return list_add(spec, text, field, err);
    return set_number(spec, text, field, err);
}

static void env_name(const struct option_spec *spec, char out[ENV_NAME_MAX])
{
    snprintf(out, ENV_NAME_MAX, "OPENCHAMPPS_%s", spec->name);
    for (char *c = out; *c != '\0'; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

/* A flag in the environment: 1, yes, true or on set it; 0 and so on do not. */
static int set_flag_from_env(const struct option_spec *spec, const char *text,
                             void *into, struct error *err)
{
    static const char *const yes[] = {"1", "yes", "true", "on"};
    static const char *const no[] = {"0", "no", "false", "off"};

    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (strcmp(text, yes[i]) == 0)
            return set_value(spec, text, into, err);
        if (strcmp(text, no[i]) == 0)
            return 0;
    }
    return error_set(err, "--%s: '%s' is neither yes nor no", spec->name, text);
}

static int set_list_from_env(const struct option_spec *spec, const char *text,
                             void *into, struct error *err)
{
    struct option_list *list = (void *)((char *)into + spec->offset);

    list->from_env = strdup(text);
    if (list->from_env == NULL)
        return error_set(err, "out of memory");
    char *rest = list->from_env;
    for (char *item = strsep(&rest, ","); item != NULL;
         item = strsep(&rest, ","))
        if (set_value(spec, item, into, err) != 0)
            return -1;
    return 0;
}

static int set_from_env(const struct option_spec *spec, const char *text,
                        void *into, struct error *err)
{
    if (spec->kind == OPTION_FLAG)
        return set_flag_from_env(spec, text, into, err);
    if (spec->kind == OPTION_LIST)
        return set_list_from_env(spec, text, into, err);
    return set_value(spec, text, into, err);
}

static int fill_from_env(const struct option_table *table, void *into,
                         struct error *err)
{
    for (size_t i = 0; i < table->count; i++) {
        char name[ENV_NAME_MAX];
        struct error why;

        env_name(&table->specs[i], name);
        const char *text = getenv(name);
        enum option_kind kind = table->specs[i].kind;
        if (kind == OPTION_ACTION || kind == OPTION_WORD || text == NULL ||
            *text == '\0')
            continue;
        if (set_from_env(&table->specs[i], text, into, &why) != 0)
            return error_set(err, "environment %s: %s", name, why.text);
    }
    return 0;
}

static void print_default(const struct option_spec *spec, const void *into)
{
    const void *field = (const char *)into + spec->offset;
    char text[32];

    if (spec->kind == OPTION_TEXT && *(const char *const *)field != NULL)
        printf(" [%s]", *(const char *const *)field);
    if (spec->kind == OPTION_COUNT || spec->kind == OPTION_BYTES ||
        spec->kind == OPTION_SECONDS) {
        uint64_t number = *(const uint64_t *)field;
        if (number < spec->min)
            return; /* it has none */
        format_number(number, spec->kind, text, sizeof text);
        printf(" [%s]", text);
    }
}

static void print_help(const struct option_table *table, const void *defaults)
{
    printf("usage: %s\n\noptions [default]:\n", table->usage);
    for (size_t i = 0; i < table->count; i++) {
        const struct option_spec *spec = &table->specs[i];
        char left[64];

        snprintf(left, sizeof left, "--%s%s%s", spec->name,
                 spec->value == NULL ? "" : " ",
                 spec->value == NULL ? "" : spec->value);
        printf("  %-30s %s", left, spec->help);
        print_default(spec, defaults);
        putchar('\n');
    }
    printf("  %-30s %s\n", "--help", "print this and exit");
    printf("\nEvery option can also be given in the environment: --some-name "
           "as\nOPENCHAMPPS_SOME_NAME. The command line wins.\n");
}

static void build_getopt(const struct option_table *table,
                         struct option long_options[OPTIONS_MAX + 2])
{
    assert(table->count <= OPTIONS_MAX);
    memset(long_options, 0, (OPTIONS_MAX + 2) * sizeof *long_options);
    for (size_t i = 0; i < table->count; i++) {
        long_options[i].name = table->specs[i].name;
        long_options[i].has_arg =
            takes_value(&table->specs[i]) ? required_argument : no_argument;
        long_options[i].val = (int)i + 1; /* 0 is getopt's own */
    }
    long_options[table->count].name = "help";
    long_options[table->count].val = HELP_VALUE;
}

/* getopt has just refused argv[optind - 1]. */
static int explain_refusal(int answer, char **argv, struct error *err)
{
    const char *word = argv[optind - 1];

    if (answer == ':')
        return error_set(err, "option '%s' needs a value", word);
    if (optopt > 0 && optopt < HELP_VALUE && strncmp(word, "--", 2) == 0 &&
        strchr(word, '=') != NULL)
        return error_set(err, "option '%.*s' takes no value",
                         (int)strcspn(word, "="), word);
    /* Of a cluster -xyz getopt has refused one letter. */
    if (optopt > 0 && optopt < HELP_VALUE && isprint(optopt))
        return error_set(err, "unknown option '-%c'", optopt);
    return error_set(err, "unknown option '%s'", word);
}

enum options_result options_parse(const struct option_table *table, int argc,
                                  char **argv, void *into, int *rest,
                                  struct error *err)
{
    struct option long_options[OPTIONS_MAX + 2];
    bool list_was_given[OPTIONS_MAX] = {false};
    int answer;

    build_getopt(table, long_options);
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0) {
            print_help(table, into);
            return OPTIONS_HELP;
        }
    if (fill_from_env(table, into, err) != 0)
        return OPTIONS_BAD;
    optind = 0; /* a fresh start, for every libc */
    while ((answer = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        if (answer == ':' || answer == '?') {
            explain_refusal(answer, argv, err);
            return OPTIONS_BAD;
        }
        const struct option_spec *spec = &table->specs[answer - 1];
        struct option_list *list = (void *)((char *)into + spec->offset);
        /* A list on the command line replaces the environment's. */
        if (spec->kind == OPTION_LIST && !list_was_given[answer - 1])
            list->count = 0;
        list_was_given[answer - 1] = true;
        if (set_value(spec, optarg == NULL ? "" : optarg, into, err) != 0)
            return OPTIONS_BAD;
    }
    *rest = optind;
    return OPTIONS_OK;
}

int options_complain(const char *command, const struct error *err)
{
    fprintf(stderr, "openchampps%s%s: %s; see openchampps%s%s --help\n",
            *command == '\0' ? "" : " ", command, err->text,
            *command == '\0' ? "" : " ", command);
    return EXIT_USAGE;
}
