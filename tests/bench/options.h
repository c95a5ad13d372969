/* The command line of load.c. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 256 };

enum mode { REAUTH, LOGIN, IDLE };

struct options {
    enum mode mode;
    uint16_t port;
    const char *ca, *name;
    unsigned connections, depth, invalid;
    uint64_t tokens, rate;
    double seconds, warmup;
    bool resume;
};

static void usage(void)
{
    fputs("usage: load reauth|login|idle --port N [--ca FILE]\n"
          "  [--connections N] [--depth N] [--rate N] [--tokens N]\n"
          "  [--invalid PERCENT] [--seconds N] [--warmup N] [--resume]\n",
          stderr);
    exit(2);
}

/* Numbers by name; each is one of the options. */
static bool read_number(struct options *o, const char *name, double value)
{
    if (strcmp(name, "port") == 0)
        o->port = (uint16_t)value;
    else if (strcmp(name, "connections") == 0)
        o->connections = (unsigned)value;
    else if (strcmp(name, "depth") == 0)
        o->depth = (unsigned)value;
    else if (strcmp(name, "invalid") == 0)
        o->invalid = (unsigned)value;
    else if (strcmp(name, "rate") == 0)
        o->rate = (uint64_t)value;
    else if (strcmp(name, "tokens") == 0)
        o->tokens = (uint64_t)value;
    else if (strcmp(name, "seconds") == 0)
        o->seconds = value;
    else if (strcmp(name, "warmup") == 0)
        o->warmup = value;
    else
        return false;
    return true;
}

static void read_options(struct options *o, int argc, char **argv)
{
    static const char *const modes[] = {"reauth", "login", "idle"};
    int mode = 0;

    *o = (struct options){.name = "localhost",
                          .connections = 1,
                          .depth = 1,
                          .tokens = 1,
                          .seconds = 5,
                          .warmup = 1};
    while (argc > 1 && mode < 3 && strcmp(argv[1], modes[mode]) != 0)
        mode++;
    if (argc < 2 || mode == 3)
        usage();
    o->mode = (enum mode)mode;
    for (int i = 2; i < argc; i++) {
        const char *name = strncmp(argv[i], "--", 2) == 0 ? argv[i] + 2 : "";
        if (strcmp(name, "resume") == 0)
            o->resume = true;
        else if (++i == argc)
            usage();
        else if (strcmp(name, "ca") == 0)
            o->ca = argv[i];
        else if (!read_number(o, name, atof(argv[i])))
            usage();
    }
    if (o->port == 0 || o->connections == 0 || o->depth == 0 ||
        o->depth > DEPTH_MAX || o->tokens == 0)
        usage();
}

#endif
