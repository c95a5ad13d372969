/*
 * The commands of the binary. Each lives in a file of its own, parses its own
 * options through app/options.h, prints what it answers to stdout and what
 * went wrong, one line, to stderr.
 */
#ifndef TOOLS_COMMAND_H
#define TOOLS_COMMAND_H

enum exit_status {
    EXIT_OK = 0,
    EXIT_REFUSED = 1, /* refused or failed */
    EXIT_USAGE = 2    /* the command line is wrong */
};

/* Each: argv[0] is the command's name. returns: enum exit_status */
int command_export(int argc, char **argv);
int command_health(int argc, char **argv);
int command_import(int argc, char **argv);

#endif
