/*
 * Runs a fuzz target over saved inputs, without a fuzzer: each file of the
 * directories named, twice, since an input may pass once and fail on what the
 * first run left behind. A directory that does not exist holds nothing, but
 * no input at all is a failure.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20 };

static void fail(const char *what, const char *path)
{
    fprintf(stderr, "replay: %s %s: %s\n", what, path, strerror(errno));
    exit(1);
}

/* The contents at their exact size, so that ASan sees every read past them. */
static uint8_t *read_input(const char *path, size_t *size)
{
    static uint8_t buffer[INPUT_MAX];
    FILE *file = fopen(path, "rb");
    uint8_t *data;

    if (file == NULL)
        fail("open", path);
    *size = fread(buffer, 1, sizeof buffer, file);
    if (ferror(file))
        fail("read", path);
    fclose(file);
    data = malloc(*size);
    if (data == NULL && *size > 0)
        fail("read", path);
    if (*size > 0)
        memcpy(data, buffer, *size);
    return data;
}

static void replay_file(const char *path)
{
    size_t size;
    uint8_t *data = read_input(path, &size);

    fprintf(stderr, "replay: %s, %zu bytes\n", path, size);
    for (int i = 0; i < 2; i++)
        LLVMFuzzerTestOneInput(data, size);
    free(data);
}

/* returns: how many files it replayed */
static unsigned replay_directory(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char name[1024];
    unsigned count = 0;

    if (dir == NULL && errno == ENOENT)
        return 0;
    if (dir == NULL)
        fail("open", path);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        replay_file(name);
        count++;
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    unsigned count = 0;

    for (int i = 1; i < argc; i++)
        count += replay_directory(argv[i]);
    printf("%u inputs replayed\n", count);
    return count > 0 ? 0 : 1;
}
