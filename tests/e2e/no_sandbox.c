/* Stands in for the sandbox where the server is watched from inside. */
#include "sys/sandbox.h"

int sandbox_limit_files(const struct sandbox_files *files, struct error *err)
{
    (void)files;
    return error_set(err, "built without it");
}

int sandbox_limit_calls(struct error *err)
{
    return error_set(err, "built without it");
}
