/*
 * The list of system calls, and the classic BPF program made of it.
 *
 * The kernel runs the program on every call. It sees the call's number, the
 * processor's kind and the arguments as values: what a pointer leads to it
 * cannot see, so paths are Landlock's. The kernel's names for all this
 * (linux/filter.h, linux/seccomp.h, linux/audit.h) are not in musl's include
 * path: what we use of them is here.
 */
#include "sys/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __x86_64__
#define THIS_ARCH 0xc000003eU
#elif defined __aarch64__
#define THIS_ARCH 0xc00000b7U
#else
#error "the numbers of this processor's system calls have to be looked at"
#endif

/* --- The list --- */

/* A condition on the low 32 bits of an argument: all that are asked about are
 * read by the kernel as an int, or as bits that it knows. */
enum test { NO_CHECK, IS, LACKS /* all these bits */ };

struct check {
    uint8_t test; /* enum test */
    uint8_t arg;  /* from 0 */
    uint32_t value;
};

enum { CHECKS_MAX = 2 };

/* A call is allowed when all checks of one of its rules hold. */
struct rule {
    uint32_t call;
    struct check checks[CHECKS_MAX];
};

/* FUTEX_WAIT, _WAKE and _REQUEUE, FUTEX_PRIVATE_FLAG: none with priorities. */
#define FUTEX_PLAIN (3U | 128U)

static const struct rule rules[] = {
    /* A tracer skips calls by this number; the kernel answers ENOSYS. */
    {UINT32_MAX, {{0}}},

    /* Loop and connections; aarch64 has ppoll alone. */
    {SYS_epoll_pwait, {{0}}},
#ifdef SYS_poll
    {SYS_poll, {{0}}},
#else
    {SYS_ppoll, {{0}}},
#endif
    {SYS_recvfrom, {{0}}},
    {SYS_sendto, {{IS, 5, 0}}}, /* no address: to whom it is connected */
    {SYS_epoll_ctl, {{0}}},
    {SYS_accept4, {{0}}},
    {SYS_setsockopt, {{IS, 1, IPPROTO_TCP}, {IS, 2, TCP_NODELAY}}},
    {SYS_getsockname, {{0}}},
    {SYS_shutdown, {{0}}},
    {SYS_close, {{0}}},
    {SYS_clock_gettime, {{0}}}, /* where it is not the vDSO's */
    {SYS_getrandom, {{0}}},

    /* Log, signals, the committer's eventfd; assert's last words. */
    {SYS_read, {{0}}},
    {SYS_write, {{0}}},
    {SYS_writev, {{0}}},

    /* Store. The last two of them: LMDB looks for kernels with a bad
     * fdatasync. */
    {SYS_futex, {{LACKS, 1, ~FUTEX_PLAIN}}},
    {SYS_pread64, {{0}}},
    {SYS_pwrite64, {{0}}},
    {SYS_pwritev, {{0}}},
    {SYS_lseek, {{0}}},
    {SYS_fdatasync, {{0}}},
    {SYS_fsync, {{0}}},
    {SYS_ftruncate, {{0}}},
    {SYS_fallocate, {{0}}},
    {SYS_fcntl, {{IS, 1, F_SETLK}}},
    {SYS_fcntl, {{IS, 1, F_SETLKW}}},
    {SYS_fcntl, {{IS, 1, F_GETLK}}},
    {SYS_fcntl, {{IS, 1, F_GETFD}}},
    {SYS_fcntl, {{IS, 1, F_SETFD}}},
    {SYS_get_robust_list, {{IS, 0, 0}}},
    {SYS_set_robust_list, {{0}}},
    {SYS_getpid, {{0}}},
    {SYS_nanosleep, {{0}}},
    {SYS_fstatfs, {{0}}},
    {SYS_uname, {{0}}},

/* Files: a reload, the local certificate, a reopened store. */
#ifdef SYS_open
    {SYS_open, {{0}}},
    {SYS_stat, {{0}}},
    {SYS_lstat, {{0}}},
    {SYS_mkdir, {{0}}},
    {SYS_chmod, {{LACKS, 1, 07000}}},
    {SYS_rename, {{0}}},
    {SYS_unlink, {{0}}},
#else
    {SYS_openat, {{0}}},
    {SYS_newfstatat, {{0}}},
    {SYS_mkdirat, {{0}}},
    {SYS_fchmodat, {{LACKS, 2, 07000}}},
    {SYS_renameat, {{0}}},
    {SYS_unlinkat, {{0}}},
#endif
    {SYS_fstat, {{0}}},
    {SYS_fchmod, {{LACKS, 1, 07000}}},
    {SYS_flock, {{0}}},

    /* Memory: never code. */
    {SYS_mmap, {{LACKS, 2, PROT_EXEC}}},
    {SYS_mprotect, {{LACKS, 2, PROT_EXEC}}},
    {SYS_munmap, {{0}}},
    {SYS_madvise, {{0}}},
    {SYS_mremap, {{0}}},
    {SYS_brk, {{0}}},

    /* Ends, and a call that was interrupted by a stop. */
    {SYS_rt_sigprocmask, {{0}}},
    {SYS_restart_syscall, {{0}}},
    {SYS_exit, {{0}}},
    {SYS_exit_group, {{0}}},
    {SYS_tkill, {{IS, 1, SIGABRT}}},
    {SYS_rt_sigaction, {{IS, 0, SIGABRT}}},
};

/* --- The program --- */

enum {
    OP_LOAD = 0x20,          /* a word of the call's data */
    OP_JUMP_IF_EQUAL = 0x15, /* to the value */
    OP_JUMP_IF_ANY = 0x45,   /* of these bits is set */
    OP_RETURN = 0x06
};

#define ANSWER_KILL  0x80000000U /* the process, not the thread */
#define ANSWER_ALLOW 0x7fff0000U

/* Offsets in the call's data; both processors are little-endian. */
enum { AT_NUMBER = 0, AT_ARCH = 4, AT_ARGS = 16 /* 8 bytes each */ };

struct op {
    uint16_t code;
    uint8_t if_true, if_false; /* operations to pass over */
    uint32_t value;
};

enum {
    RULES = sizeof rules / sizeof *rules,
    RULE_OPS = 3 + 2 * CHECKS_MAX, /* at most */
    FRAME_OPS = 5                  /* before the rules and behind them */
};

/* What the kernel takes. */
struct program {
    unsigned short len;
    struct op *ops;
};

static void put(struct program *p, struct op op)
{
    p->ops[p->len++] = op;
}

/* The number is loaded when a rule begins, and whenever one is left. */
static void put_rule(struct program *p, const struct rule *rule)
{
    uint8_t checks = 0;

    while (checks < CHECKS_MAX && rule->checks[checks].test != NO_CHECK)
        checks++;
    uint8_t body = (uint8_t)(checks == 0 ? 1 : 2 * checks + 2);
    put(p, (struct op){OP_JUMP_IF_EQUAL, 0, body, rule->call});
    for (uint8_t i = 0; i < checks; i++) {
        const struct check *check = &rule->checks[i];
        /* To where the number is loaded again. */
        uint8_t out = (uint8_t)(2 * (checks - i) - 1);

        put(p, (struct op){OP_LOAD, 0, 0, AT_ARGS + 8U * check->arg});
        if (check->test == IS)
            put(p, (struct op){OP_JUMP_IF_EQUAL, 0, out, check->value});
        else
            put(p, (struct op){OP_JUMP_IF_ANY, out, 0, check->value});
    }
    put(p, (struct op){OP_RETURN, 0, 0, ANSWER_ALLOW});
    if (checks > 0)
        put(p, (struct op){OP_LOAD, 0, 0, AT_NUMBER});
}

int sandbox_limit_calls(struct error *err)
{
    enum { SET_MODE_FILTER = 1, FLAG_ALL_THREADS = 1 };
    struct op ops[RULES * RULE_OPS + FRAME_OPS];
    struct program p = {.ops = ops};

    put(&p, (struct op){OP_LOAD, 0, 0, AT_ARCH});
    put(&p, (struct op){OP_JUMP_IF_EQUAL, 1, 0, THIS_ARCH});
    put(&p, (struct op){OP_RETURN, 0, 0, ANSWER_KILL});
    put(&p, (struct op){OP_LOAD, 0, 0, AT_NUMBER});
    for (size_t i = 0; i < RULES; i++)
        put_rule(&p, &rules[i]);
    /* Also here: the x32 numbers, which are others than all of ours. */
    put(&p, (struct op){OP_RETURN, 0, 0, ANSWER_KILL});
    assert(p.len <= sizeof ops / sizeof *ops);
    long rc = syscall(SYS_seccomp, SET_MODE_FILTER, FLAG_ALL_THREADS, &p);
    if (rc == 0)
        return 0;
    return error_set(err, "seccomp: %s",
                     rc > 0 ? "a thread has a filter of its own"
                            : strerror(errno));
}
