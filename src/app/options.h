/*
 * Command-line options with the environment behind them.
 *
 * A command describes its options in one const table; this module fills the
 * command's struct from it, prints its help, and words every usage error.
 * Every option --some-name can also be given as OPENCHAMPPS_SOME_NAME; the
 * command line beats the environment.
 */
#ifndef APP_OPTIONS_H
#define APP_OPTIONS_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What every command of the binary ends with. */
enum exit_status {
    EXIT_OK = 0,
    EXIT_REFUSED = 1, /* refused or failed */
    EXIT_USAGE = 2    /* the command line is wrong */
};

enum option_kind {
    OPTION_ACTION, /* as a flag, but never from the environment */
    OPTION_FLAG,   /* bool; takes no value */
    OPTION_TEXT,   /* const char * */
    OPTION_WORD,   /* as a text, but never from the environment: what it says
                      is meant for one command */
    OPTION_LIST,   /* struct option_list; may be given several times, or
                      separated by commas in the environment */
    OPTION_COUNT,  /* uint64_t */
    OPTION_BYTES,  /* uint64_t; suffixes K, M, G, T (powers of 1024) */
    OPTION_SECONDS /* uint64_t milliseconds; given in seconds, or with a
                      suffix ms, s, m, h, d */
};

enum { OPTION_LIST_MAX = 16 };

struct option_list {
    const char *item[OPTION_LIST_MAX];
    size_t count;
    char *from_env; /* heap: what the items point into, or NULL */
};

struct option_spec {
    const char *name;  /* without the dashes */
    const char *value; /* what --help calls its value; NULL for a flag */
    const char *help;  /* one line */
    enum option_kind kind;
    size_t offset;     /* of the field in the command's struct */
    uint64_t min, max; /* for numbers, in the field's unit */
};

struct option_table {
    const char *usage; /* the lines after "usage: " */
    const struct option_spec *specs;
    size_t count;
};

enum options_result {
    OPTIONS_OK,
    OPTIONS_HELP, /* --help was given; it has been printed */
    OPTIONS_BAD   /* err says what is wrong with the command line */
};

/*
 * Fill *into from the environment, then from argv[1..].
 * in:      *into holds the defaults
 * out:     *rest is the index of the first operand in argv (getopt permutes)
 * owns:    texts are borrowed from argv, or live as long as the process
 */
enum options_result options_parse(const struct option_table *table, int argc,
                                  char **argv, void *into, int *rest,
                                  struct error *err);

/*
 * Print "openchampps: …" (or with the command's name) and how to get help.
 * returns: EXIT_USAGE
 */
int options_complain(const char *command, const struct error *err);

#endif
