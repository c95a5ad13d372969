#include "tools/token.h"

#include "proto/timestamp.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"add", token_add, "make a new token for a user, and print it, once"},
    {"list", token_list, "list tokens, by user, state or last use"},
    {"show", token_show, "show one token"},
    {"revoke", token_revoke, "let tokens log nobody in any more"},
    {"delete", token_delete, "forget tokens"},
    {"purge", token_purge, "forget all that have expired for some time"},
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static int print_help(void)
{
    printf("usage: openchampps token COMMAND --data DIR [option...]\n\n"
           "commands:\n");
    for (int i = 0; i < COMMANDS; i++)
        printf("  %-8s %s\n", commands[i].name, commands[i].help);
    printf(
        "\nEach has its --help. A token is named by its public id, the first "
        "12 or more\nhex digits of its SHA-256; given itself, it is read "
        "from standard input (-).\n");
    return EXIT_OK;
}

int command_token(int argc, char **argv)
{
    struct error err;

    if (argc < 2)
        error_set(&err, "add, list, show, revoke, delete or purge?");
    else if (strcmp(argv[1], "--help") == 0)
        return print_help();
    else
        /* Not the word itself: it may be a token. */
        error_set(&err, "its first word has to be add, list, show, revoke, "
                        "delete or purge");
    for (int i = 0; i < COMMANDS && argc > 1; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return options_complain("token", &err);
}

/* So many seconds in "90d" and the like; -1 when it is nothing like that. */
static int64_t parse_span(const char *text)
{
    static const struct {
        char suffix;
        int32_t seconds;
    } units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
    size_t digits = strspn(text, "0123456789");
    int64_t count = 0;

    if (digits < 1 || digits > 9 || strlen(text) != digits + 1)
        return -1;
    for (size_t i = 0; i < digits; i++)
        count = count * 10 + (text[i] - '0');
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (text[digits] == units[i].suffix)
            return count * units[i].seconds;
    return -1;
}

int token_parse_past(const char *option, const char *text, int64_t now,
                     int64_t *utc_s, struct error *err)
{
    int64_t ago = parse_span(text);
    int result = TIMESTAMP_OK;

    if (ago >= 0)
        *utc_s = now - ago;
    else
        result = timestamp_parse(span_of(text), 0, utc_s);
    if (result < 0)
        return error_set(err, "--%s: %s, or so long ago (90d)", option,
                         timestamp_reason(result));
    if (result == TIMESTAMP_OK && *utc_s <= now)
        return 0;
    return error_set(err, "--%s: it has to be in the past", option);
}
