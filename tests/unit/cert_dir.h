/*
 * Certificates in a scratch directory, which is the working directory, and
 * OpenSSL's command to make and judge them.
 */
#ifndef CERT_DIR_H
#define CERT_DIR_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sys/cert.h"

#define DAY      86400
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char work_dir[256];

__attribute__((format(printf, 1, 2))) static int sh(const char *format, ...)
{
    char command[2048];
    char quiet[2100];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    snprintf(quiet, sizeof quiet, "{ %s\n} >out.log 2>&1", command);
    return system(quiet); /* NOLINT(cert-env33-c): ours, in a test */
}

static inline int enter_work_dir(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(work_dir, sizeof work_dir, "%s/cert-XXXXXX",
             tmp != NULL ? tmp : P_tmpdir);
    return mkdtemp(work_dir) != NULL ? chdir(work_dir) : -1;
}

static inline int teardown(void **state)
{
    (void)state;
    return chdir("/") == 0 ? sh("cd / && rm -rf '%s'", work_dir) : -1;
}

/* An empty data directory of its own for each call. */
static inline struct cert_source local(char dir[32])
{
    snprintf(dir, 32, "data-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return (struct cert_source){.data_dir = dir, .now = (int64_t)time(NULL)};
}

static inline struct cert *open_or_fail(const struct cert_source *src)
{
    struct error err;
    struct cert *c = cert_open(src, &err);

    if (c == NULL)
        fail_msg("%s", err.text);
    return c;
}

static inline void sh_or_fail(const char *command)
{
    if (sh("%s", command) != 0) {
        sh("cat out.log >&2");
        fail_msg("failed: %s", command);
    }
}

/* Run a command in which %s is the directory. */
static inline void in_dir(const char *format, const char *dir)
{
    char command[1024];

    snprintf(command, sizeof command, "D=%s; %s", dir, format);
    sh_or_fail(command);
}

#define VERIFY                                       \
    "openssl verify -x509_strict -purpose sslserver" \
    " -CAfile $D/tls/ca.pem "

#endif
