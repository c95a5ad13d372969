/*
 * The commands of the binary beside serving. Each lives in a file of its own,
 * reads its options through app/options.h, prints what it answers to stdout
 * and what went wrong, in one line, to stderr.
 */
#ifndef TOOLS_COMMAND_H
#define TOOLS_COMMAND_H

#include "app/options.h"

/* Each: argv[0] is the command's name. returns: enum exit_status */
int command_backup(int argc, char **argv);
int command_cert(int argc, char **argv);
int command_compact(int argc, char **argv);
int command_export(int argc, char **argv);
int command_health(int argc, char **argv);
int command_import(int argc, char **argv);
int command_restore(int argc, char **argv);
int command_token(int argc, char **argv);
int command_verify(int argc, char **argv);

/* --- What they share --- */

/* A command line while it is read. */
struct command {
    const char *name; /* "export", "token list" */
    const struct option_table *table;
    int argc;
    char **argv;
    int first; /* index of the first operand, once it is parsed */
};

/*
 * Read the options of a command into *into, which holds the defaults.
 * returns: false when there is nothing to go on with: end with *status
 */
bool command_parse(struct command *c, void *into, int *status);

/* Complain about the command line. returns: EXIT_USAGE */
int command_misused(const struct command *c, const char *reason);

/* Print why it could not be done, in one line. returns: EXIT_REFUSED */
int command_refuse(const struct command *c, const struct error *err);

#endif
