/*
 * The commands of the binary beside serving. Each lives in a file of its own,
 * reads its options through app/options.h, prints what it answers to stdout
 * and what went wrong, in one line, to stderr.
 */
#ifndef TOOLS_COMMAND_H
#define TOOLS_COMMAND_H

/* Each: argv[0] is the command's name. returns: enum exit_status */
int command_export(int argc, char **argv);
int command_health(int argc, char **argv);
int command_import(int argc, char **argv);

#endif
