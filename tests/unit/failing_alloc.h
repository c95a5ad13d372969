/*
 * Allocations that fail on demand. The test is linked with --wrap for each of
 * the functions here, so that the n-th call of any code but libc's, vendored
 * code included, gets NULL. Mappings are counted, for no sanitizer misses
 * those.
 */
#ifndef TESTS_FAILING_ALLOC_H
#define TESTS_FAILING_ALLOC_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

enum alloc_mode {
    ALLOC_ONE, /* the n-th call fails */
    ALLOC_ALL  /* and all that come after it */
};

static atomic_bool alloc_is_armed, alloc_has_failed;
static atomic_long alloc_left;   /* calls to go before the one that fails */
static atomic_long alloc_mapped; /* bytes */
static enum alloc_mode alloc_mode;

/* Let the n-th call from now on fail, n from 1. */
static inline void alloc_arm(long n, enum alloc_mode mode)
{
    alloc_mode = mode;
    atomic_store(&alloc_left, n);
    atomic_store(&alloc_has_failed, false);
    atomic_store(&alloc_is_armed, true);
}

/* Let none fail any more. returns: has one failed? */
static inline bool alloc_disarm(void)
{
    atomic_store(&alloc_is_armed, false);
    return atomic_load(&alloc_has_failed);
}

static inline bool alloc_fails(void)
{
    if (!atomic_load(&alloc_is_armed))
        return false;
    long left = atomic_fetch_sub(&alloc_left, 1);
    if (left > 1 || (left < 1 && alloc_mode == ALLOC_ONE))
        return false;
    atomic_store(&alloc_has_failed, true);
    errno = ENOMEM;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t pos);
int __real_munmap(void *at, size_t len);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t pos);
int __wrap_munmap(void *at, size_t len);

void *__wrap_malloc(size_t size)
{
    return alloc_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return alloc_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return alloc_fails() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return alloc_fails() ? NULL : __real_strdup(text);
}

void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t pos)
{
    void *mem =
        alloc_fails() ? MAP_FAILED : __real_mmap(at, len, prot, flags, fd, pos);

    if (mem != MAP_FAILED)
        atomic_fetch_add(&alloc_mapped, (long)len);
    return mem;
}

int __wrap_munmap(void *at, size_t len)
{
    atomic_fetch_sub(&alloc_mapped, (long)len);
    return __real_munmap(at, len);
}

#endif
