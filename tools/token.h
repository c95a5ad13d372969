/*
 * openchampps token: what its commands share. Each lives in a file of its own
 * (revoke, delete and purge in one), and is called as those of command.h.
 */
#ifndef TOOLS_TOKEN_H
#define TOOLS_TOKEN_H

#include "tools/command.h"

int token_add(int argc, char **argv);
int token_delete(int argc, char **argv);
int token_list(int argc, char **argv);
int token_purge(int argc, char **argv);
int token_revoke(int argc, char **argv);
int token_show(int argc, char **argv);

/*
 * Read a time in the past: as timestamp.h has it, or so long ago (90d, 12h,
 * 30m, 10s).
 * in:      option: for the reason; now: UTC seconds
 * returns: 0, or -1 with the reason
 */
int token_parse_past(const char *option, const char *text, int64_t now,
                     int64_t *utc_s, struct error *err);

#endif
