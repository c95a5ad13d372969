#include "tools/command.h"

#include <stdio.h>

bool command_parse(struct command *c, void *into, int *status)
{
    struct error err;

    switch (options_parse(c->table, c->argc, c->argv, into, &c->first, &err)) {
    case OPTIONS_OK:
        return true;
    case OPTIONS_HELP:
        *status = EXIT_OK;
        return false;
    case OPTIONS_BAD:
        break;
    }
    *status = options_complain(c->name, &err);
    return false;
}

int command_misused(const struct command *c, const char *reason)
{
    struct error err;

    error_set(&err, "%s", reason);
    return options_complain(c->name, &err);
}

int command_refuse(const struct command *c, const struct error *err)
{
    fprintf(stderr, "openchampps %s: %s\n", c->name, err->text);
    return EXIT_REFUSED;
}
