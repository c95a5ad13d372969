/*
 * One binary: it serves, unless its first argument, or the name it was called
 * by, is that of a command.
 */
#include "app/options.h"
#include "app/serve.h"
#include "sys/process.h"
#include "tools/command.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"backup", command_backup},   {"cert", command_cert},
    {"compact", command_compact}, {"export", command_export},
    {"health", command_health},   {"import", command_import},
    {"restore", command_restore}, {"token", command_token},
    {"verify", command_verify},
};

int main(int argc, char **argv)
{
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *name = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "";

    if (!process_fill_std_fds())
        return EXIT_REFUSED;
    process_forbid_dumps();
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc, argv);
        if (argc > 1 && strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    return serve(argc, argv);
}
