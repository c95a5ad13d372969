/*
 * Unit tests of sys/sandbox and sys/user: in child processes, the real filter.
 */
#include "sys/sandbox.h"
#include "sys/user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { ALIVE = 0, NO_SECCOMP = 99, NO_LANDLOCK = 98 /* exit statuses */ };

/* A kernel may lack it; a failure where it is there is one. */
static bool has_seccomp(void)
{
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
}

static long landlock_version(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
}

/* How a child ended: its exit status, or 1000 + the signal. */
static int in_child(int (*run)(const void *arg), const void *arg)
{
    int status;
    pid_t child = fork();

    /* Not _exit: before it the address sanitizer makes calls of its own. */
    if (child == 0)
        syscall(SYS_exit_group, run(arg));
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* --- Calls --- */

struct call {
    const char *name;
    long number;
    long args[6];
    int reason; /* errno when it is allowed; 0 = it succeeds */
};

static char word[8];

#define TEXT(text) ((long)(uintptr_t)(text))

/* Behind the filter nothing is called but calls. */
static int make_call(const void *arg)
{
    const struct call *c = arg;
    struct error err;

    if (sandbox_limit_calls(&err) != 0)
        return NO_SECCOMP;
    errno = 0;
    long rc = syscall(c->number, c->args[0], c->args[1], c->args[2], c->args[3],
                      c->args[4], c->args[5]);
    return rc < 0 && errno != c->reason ? errno : ALIVE;
}

static void expect_end(const struct call *c, int wanted)
{
    int end = in_child(make_call, c);

    if (end != wanted)
        fail_msg("%s: ended with %d, not %d", c->name, end, wanted);
}

static void forbidden_calls_kill(void **state)
{
    const long code = PROT_READ | PROT_EXEC;
    const long anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
    const struct call calls[] = {
        {"execve", SYS_execve, {TEXT("/bin/true")}, 0},
        {"execveat", SYS_execveat, {AT_FDCWD, TEXT("/bin/true")}, 0},
        {"socket", SYS_socket, {AF_INET, SOCK_STREAM}, 0},
        {"socketpair", SYS_socketpair, {AF_UNIX, SOCK_STREAM}, 0},
        {"connect", SYS_connect, {-1}, 0},
        {"bind", SYS_bind, {-1}, 0},
        {"listen", SYS_listen, {-1}, 0},
        {"sendto somebody", SYS_sendto, {-1, 0, 0, 0, 0, 16}, 0},
        {"sendmsg", SYS_sendmsg, {-1}, 0},
        {"recvmsg", SYS_recvmsg, {-1}, 0},
        {"ptrace", SYS_ptrace, {0}, 0},
        {"process_vm_readv", SYS_process_vm_readv, {1}, 0},
        {"pidfd_open", SYS_pidfd_open, {1}, 0},
        {"kill", SYS_kill, {1, 0}, 0},
        {"tgkill", SYS_tgkill, {1, 1, SIGABRT}, 0},
        {"tkill SIGKILL", SYS_tkill, {1, SIGKILL}, 0},
        {"rt_sigaction SIGSEGV", SYS_rt_sigaction, {SIGSEGV, 0, 0, 8}, 0},
        {"open_by_handle_at", SYS_open_by_handle_at, {-1}, 0},
        {"mmap of code", SYS_mmap, {0, 4096, code, anonymous, -1}, 0},
        {"mprotect to code", SYS_mprotect, {0, 0, code}, 0},
        {"pkey_mprotect", SYS_pkey_mprotect, {0, 0, code}, 0},
        {"memfd_create", SYS_memfd_create, {TEXT("x")}, 0},
        {"clone of a process", SYS_clone, {SIGCHLD}, 0},
        {"clone of a thread", SYS_clone, {CLONE_VM | CLONE_THREAD}, 0},
        {"clone of a namespace", SYS_clone, {CLONE_NEWUSER | SIGCHLD}, 0},
        {"clone3", SYS_clone3, {0}, 0},
        {"unshare", SYS_unshare, {CLONE_NEWUSER}, 0},
        {"setns", SYS_setns, {-1}, 0},
        {"mount", SYS_mount, {0}, 0},
        {"chroot", SYS_chroot, {TEXT("/")}, 0},
        {"setuid", SYS_setuid, {0}, 0},
        {"setresuid", SYS_setresuid, {0}, 0},
        {"setgroups", SYS_setgroups, {0}, 0},
        {"capset", SYS_capset, {0}, 0},
        {"prctl", SYS_prctl, {PR_SET_DUMPABLE, 1}, 0},
        {"seccomp", SYS_seccomp, {0}, 0},
        {"bpf", SYS_bpf, {0}, 0},
        {"perf_event_open", SYS_perf_event_open, {0}, 0},
        {"userfaultfd", SYS_userfaultfd, {0}, 0},
        {"add_key", SYS_add_key, {0}, 0},
        {"keyctl", SYS_keyctl, {0}, 0},
        {"io_uring_setup", SYS_io_uring_setup, {1}, 0},
        {"personality", SYS_personality, {0}, 0},
        {"init_module", SYS_init_module, {0}, 0},
        {"reboot", SYS_reboot, {0}, 0},
        {"settimeofday", SYS_settimeofday, {0}, 0},
        {"ioctl", SYS_ioctl, {-1, 0}, 0},
        {"dup", SYS_dup, {-1}, 0},
        {"symlinkat", SYS_symlinkat, {0, AT_FDCWD, 0}, 0},
        {"linkat", SYS_linkat, {AT_FDCWD, 0, AT_FDCWD, 0}, 0},
        {"mknodat", SYS_mknodat, {AT_FDCWD, 0}, 0},
        {"getdents64", SYS_getdents64, {-1}, 0},
        {"fchown", SYS_fchown, {-1}, 0},
        {"fchmod setuid", SYS_fchmod, {-1, 04755}, 0},
        {"fcntl F_DUPFD", SYS_fcntl, {-1, F_DUPFD}, 0},
        {"fcntl F_SETFL", SYS_fcntl, {-1, F_SETFL}, 0},
        {"fcntl F_SETOWN", SYS_fcntl, {-1, F_SETOWN}, 0},
        {"setsockopt of a socket",
         SYS_setsockopt,
         {-1, SOL_SOCKET, TCP_NODELAY},
         0},
        {"setsockopt of TCP",
         SYS_setsockopt,
         {-1, IPPROTO_TCP, TCP_CONGESTION},
         0},
        {"futex FUTEX_LOCK_PI", SYS_futex, {0, 6}, 0},
        {"futex FUTEX_CMP_REQUEUE_PI", SYS_futex, {0, 12}, 0},
        {"prlimit64", SYS_prlimit64, {0, RLIMIT_NOFILE}, 0},
        {"setitimer", SYS_setitimer, {-1}, 0},
        {"wait4", SYS_wait4, {-1}, 0},
        {"get_robust_list of another", SYS_get_robust_list, {1}, 0},
        {"one that is not there", 1000, {0}, 0},
#ifdef __x86_64__
        {"x32's getpid", 0x40000000 + SYS_getpid, {0}, 0},
        {"fork", SYS_fork, {0}, 0},
        {"vfork", SYS_vfork, {0}, 0},
        {"chmod setuid", SYS_chmod, {TEXT("/nowhere"), 04755}, 0},
        {"arch_prctl", SYS_arch_prctl, {0}, 0},
        {"modify_ldt", SYS_modify_ldt, {0}, 0},
#endif
    };
    (void)state;

    if (!has_seccomp())
        skip();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        expect_end(&calls[i], 1000 + SIGSYS);
}

static void needed_calls_go_through(void **state)
{
    const long data = PROT_READ | PROT_WRITE;
    const long anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
    const struct call calls[] = {
        {"skipped by a tracer", -1, {0}, ENOSYS},
        {"read", SYS_read, {-1}, EBADF},
        {"write", SYS_write, {-1}, EBADF},
        {"writev", SYS_writev, {-1}, EBADF},
        {"pread64", SYS_pread64, {-1}, EBADF},
        {"pwrite64", SYS_pwrite64, {-1}, EBADF},
        {"pwritev", SYS_pwritev, {-1}, EBADF},
        {"lseek", SYS_lseek, {-1}, EBADF},
        {"fsync", SYS_fsync, {-1}, EBADF},
        {"fdatasync", SYS_fdatasync, {-1}, EBADF},
        {"ftruncate", SYS_ftruncate, {-1}, EBADF},
        {"fallocate", SYS_fallocate, {-1}, EBADF},
        {"fstat", SYS_fstat, {-1, TEXT(word)}, EBADF},
        {"fchmod", SYS_fchmod, {-1, 0644}, EBADF},
        {"flock", SYS_flock, {-1, LOCK_EX}, EBADF},
        {"close", SYS_close, {-1}, EBADF},
        {"fcntl F_GETFD", SYS_fcntl, {-1, F_GETFD}, EBADF},
        {"fcntl F_SETFD", SYS_fcntl, {-1, F_SETFD}, EBADF},
        {"fcntl F_SETLK", SYS_fcntl, {-1, F_SETLK}, EBADF},
        {"fcntl F_SETLKW", SYS_fcntl, {-1, F_SETLKW}, EBADF},
        {"fcntl F_GETLK", SYS_fcntl, {-1, F_GETLK}, EBADF},
        {"recvfrom", SYS_recvfrom, {-1}, EBADF},
        {"sendto", SYS_sendto, {-1}, EBADF},
        {"accept4", SYS_accept4, {-1}, EBADF},
        {"shutdown", SYS_shutdown, {-1}, EBADF},
        {"getsockname", SYS_getsockname, {-1}, EBADF},
        {"setsockopt TCP_NODELAY",
         SYS_setsockopt,
         {-1, IPPROTO_TCP, TCP_NODELAY},
         EBADF},
        {"epoll_ctl", SYS_epoll_ctl, {-1}, EFAULT},
        {"epoll_pwait", SYS_epoll_pwait, {-1, TEXT(word), 1}, EBADF},
        {"futex", SYS_futex, {TEXT(word), 128 + 1, 1}, 0},
        {"getrandom", SYS_getrandom, {TEXT(word), 8, 0}, 0},
        {"getpid", SYS_getpid, {0}, 0},
        {"brk", SYS_brk, {0}, 0},
        {"mmap", SYS_mmap, {0, 4096, data, anonymous, -1}, 0},
        {"mprotect", SYS_mprotect, {0, 0, data}, 0},
        {"munmap", SYS_munmap, {0}, EINVAL},
        {"mremap", SYS_mremap, {1}, EINVAL},
        {"madvise", SYS_madvise, {0, 0, MADV_DONTNEED}, 0},
        {"nanosleep", SYS_nanosleep, {0}, EFAULT},
        {"clock_gettime", SYS_clock_gettime, {0}, EFAULT},
        {"fstatfs", SYS_fstatfs, {-1, TEXT(word)}, EBADF},
        {"uname", SYS_uname, {0}, EFAULT},
        {"get_robust_list", SYS_get_robust_list, {0}, EFAULT},
        {"set_robust_list", SYS_set_robust_list, {0}, EINVAL},
        {"tkill SIGABRT", SYS_tkill, {-1, SIGABRT}, EINVAL},
        {"restart_syscall", SYS_restart_syscall, {0}, EINTR},
#ifdef __x86_64__
        {"poll", SYS_poll, {0}, 0},
        {"open", SYS_open, {0}, EFAULT},
        {"stat", SYS_stat, {0}, EFAULT},
        {"lstat", SYS_lstat, {0}, EFAULT},
        {"mkdir", SYS_mkdir, {0}, EFAULT},
        {"chmod", SYS_chmod, {0, 0700}, EFAULT},
        {"rename", SYS_rename, {0}, EFAULT},
        {"unlink", SYS_unlink, {0}, EFAULT},
#else
        {"ppoll", SYS_ppoll, {0}, 0},
        {"openat", SYS_openat, {AT_FDCWD}, EFAULT},
        {"newfstatat", SYS_newfstatat, {AT_FDCWD}, EFAULT},
        {"mkdirat", SYS_mkdirat, {AT_FDCWD}, EFAULT},
        {"fchmodat", SYS_fchmodat, {AT_FDCWD, 0, 0700}, EFAULT},
        {"renameat", SYS_renameat, {AT_FDCWD, 0, AT_FDCWD}, EFAULT},
        {"unlinkat", SYS_unlinkat, {AT_FDCWD}, EFAULT},
#endif
        {"rt_sigprocmask", SYS_rt_sigprocmask, {0, 0, 0, 8}, 0},
        {"rt_sigaction SIGABRT", SYS_rt_sigaction, {SIGABRT, 0, 0, 8}, 0},
        {"exit", SYS_exit, {ALIVE}, 0},
        {"exit_group", SYS_exit_group, {ALIVE}, 0},
    };
    (void)state;

    if (!has_seccomp())
        skip();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        expect_end(&calls[i], ALIVE);
}

static void *wait_and_offend(void *arg)
{
    const int *fd = arg;
    char byte;

    syscall(SYS_read, *fd, &byte, 1);
    syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    syscall(SYS_exit_group, 3);
    return NULL;
}

/* A thread that was there before: it offends, the process dies. */
static int thread_offends(const void *arg)
{
    struct error err;
    pthread_t thread;
    int ends[2];
    (void)arg;

    if (pipe(ends) != 0 ||
        pthread_create(&thread, NULL, wait_and_offend, &ends[0]) != 0)
        return 1;
    if (sandbox_limit_calls(&err) != 0)
        return NO_SECCOMP;
    syscall(SYS_write, ends[1], "x", 1);
    for (;;)
        syscall(SYS_read, ends[0], word, 0);
}

static void all_threads_are_held(void **state)
{
    (void)state;
    if (!has_seccomp())
        skip();
    int end = in_child(thread_offends, NULL);
    assert_int_equal(end, 1000 + SIGSYS);
}

#ifdef __x86_64__
/* To 32-bit programs 3 is read; to ours it is close, which is allowed. */
static int call_as_i386(const void *arg)
{
    struct error err;
    long rc = 3;
    (void)arg;

    if (sandbox_limit_calls(&err) != 0)
        return NO_SECCOMP;
    __asm__ volatile("int $0x80"
                     : "+a"(rc)
                     : "b"(-1L), "c"(0L), "d"(0L)
                     : "memory");
    return ALIVE;
}

static void other_architecture_kills(void **state)
{
    (void)state;
    if (!has_seccomp())
        skip();
    int end = in_child(call_as_i386, NULL);
    /* A kernel without 32-bit programs knows no int 0x80. */
    if (end != 1000 + SIGSEGV)
        assert_int_equal(end, 1000 + SIGSYS);
}
#endif

/* --- Files --- */

/* A directory with data/, tls/ and other/, a file in each. */
struct tree {
    char root[64];
    char path[PATH_MAX];
};

/* A path in the tree; lives until the next one is asked for. */
static const char *in_tree(struct tree *t, const char *name)
{
    snprintf(t->path, sizeof t->path, "%s/%s", t->root, name);
    return t->path;
}

static int touch(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    return fd < 0 ? -1 : close(fd);
}

static const char *const tree_dirs[] = {"data",   "tls",   "tls/v1",
                                        "tls/v2", "other", "log"};
static const char *const tree_files[] = {
    "data/store",  "tls/cert",     "tls/v1/cert",
    "tls/v2/cert", "other/secret", "other/cert",
};
static const char *const tree_later[] = {
    "data/new", "data/newer", "tls/new",   "other/new",
    "link",     "current",    "log/audit", "log/audit.1",
};

static void make_tree(struct tree *t)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(t->root, sizeof t->root, "%s/sandbox-XXXXXX",
             tmp != NULL ? tmp : P_tmpdir);
    assert_non_null(mkdtemp(t->root));
    for (size_t i = 0; i < sizeof tree_dirs / sizeof *tree_dirs; i++)
        assert_int_equal(mkdir(in_tree(t, tree_dirs[i]), 0700), 0);
    for (size_t i = 0; i < sizeof tree_files / sizeof *tree_files; i++)
        assert_int_equal(touch(in_tree(t, tree_files[i])), 0);
}

static void remove_tree(struct tree *t)
{
    for (size_t i = 0; i < sizeof tree_later / sizeof *tree_later; i++)
        unlink(in_tree(t, tree_later[i]));
    rmdir(in_tree(t, "data/tls"));
    for (size_t i = 0; i < sizeof tree_files / sizeof *tree_files; i++)
        unlink(in_tree(t, tree_files[i]));
    for (size_t i = sizeof tree_dirs / sizeof *tree_dirs; i-- > 0;)
        rmdir(in_tree(t, tree_dirs[i]));
    assert_int_equal(rmdir(t->root), 0);
}

static int limit(struct tree *t, const char *cert)
{
    char data_dir[128], cert_file[128];
    struct error err;

    snprintf(data_dir, sizeof data_dir, "%s/data", t->root);
    snprintf(cert_file, sizeof cert_file, "%s/%s", t->root, cert);
    return sandbox_limit_files(
        &(struct sandbox_files){.data_dir = data_dir, .cert_file = cert_file},
        &err);
}

static bool can_open(struct tree *t, const char *name, int flags)
{
    int fd = open(in_tree(t, name), flags, 0600);

    if (fd >= 0)
        close(fd);
    else if (errno != EACCES)
        _exit(errno);
    return fd >= 0;
}

static bool can_rename(struct tree *t, const char *from, const char *to)
{
    char old[PATH_MAX];

    snprintf(old, sizeof old, "%s", in_tree(t, from));
    return rename(old, in_tree(t, to)) == 0;
}

static bool can_connect(void)
{
    struct sockaddr_in nobody = {.sin_family = AF_INET,
                                 .sin_port = htons(1),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    return connect(fd, (struct sockaddr *)&nobody, sizeof nobody) == 0 ||
           errno != EACCES;
}

/* returns: the line of the first expectation that does not hold */
#define EXPECT(condition) \
    if (!(condition))     \
    return __LINE__ % 90 + 1

static int use_files(const void *arg)
{
    struct tree t = *(const struct tree *)arg;

    if (limit(&t, "tls/cert") != 0)
        return NO_LANDLOCK;
    EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    EXPECT(can_open(&t, "data/store", O_RDWR));
    EXPECT(can_open(&t, "data", O_RDONLY | O_DIRECTORY));
    EXPECT(can_open(&t, "data/new", O_RDWR | O_CREAT | O_EXCL));
    EXPECT(truncate(in_tree(&t, "data/new"), 5) == 0);
    EXPECT(can_rename(&t, "data/new", "data/newer"));
    EXPECT(mkdir(in_tree(&t, "data/tls"), 0700) == 0);
    EXPECT(unlink(in_tree(&t, "data/newer")) == 0);
    EXPECT(symlink("store", in_tree(&t, "data/new")) != 0);
    EXPECT(mkfifo(in_tree(&t, "data/new"), 0600) != 0);
    EXPECT(can_open(&t, "tls/cert", O_RDONLY));
    EXPECT(!can_open(&t, "tls/cert", O_RDWR));
    EXPECT(!can_open(&t, "tls/new", O_RDWR | O_CREAT));
    EXPECT(unlink(in_tree(&t, "tls/cert")) != 0);
    EXPECT(!can_open(&t, "other/secret", O_RDONLY));
    EXPECT(!can_open(&t, "other/secret", O_WRONLY));
    EXPECT(!can_open(&t, "other/new", O_WRONLY | O_CREAT));
    EXPECT(unlink(in_tree(&t, "other/secret")) != 0);
    EXPECT(!can_rename(&t, "data/store", "other/store"));
    EXPECT(execl("/bin/true", "true", NULL) != 0);
    return ALIVE;
}

static void expect_files(int (*run)(const void *), struct tree *t)
{
    int end = in_child(run, t);

    remove_tree(t);
    if (end == NO_LANDLOCK && landlock_version() < 1)
        skip();
    assert_int_equal(end, ALIVE);
}

static void other_files_are_out_of_reach(void **state)
{
    struct tree t;
    (void)state;

    make_tree(&t);
    expect_files(use_files, &t);
}

/* log/audit is there; once it has been renamed it is made anew. */
static int use_audit_file(const void *arg)
{
    struct tree t = *(const struct tree *)arg;
    char data_dir[128], audit_file[128];
    struct error err;

    snprintf(data_dir, sizeof data_dir, "%s/data", t.root);
    snprintf(audit_file, sizeof audit_file, "%s/log/audit", t.root);
    if (touch(audit_file) != 0)
        return 1;
    if (sandbox_limit_files(&(struct sandbox_files){.data_dir = data_dir,
                                                    .audit_file = audit_file},
                            &err) != 0)
        return NO_LANDLOCK;
    EXPECT(can_open(&t, "log/audit", O_WRONLY | O_APPEND | O_CREAT));
    EXPECT(can_open(&t, "log/audit.1", O_WRONLY | O_APPEND | O_CREAT));
    EXPECT(!can_open(&t, "log/audit", O_RDONLY));
    EXPECT(unlink(in_tree(&t, "log/audit")) != 0);
    EXPECT(!can_rename(&t, "log/audit.1", "log/audit"));
    EXPECT(!can_open(&t, "other/secret", O_WRONLY));
    EXPECT(!can_open(&t, "tls/cert", O_RDONLY));
    return ALIVE;
}

static void audit_file_is_written_and_made(void **state)
{
    struct tree t;
    (void)state;

    make_tree(&t);
    expect_files(use_audit_file, &t);
}

static int use_network(const void *arg)
{
    struct tree t = *(const struct tree *)arg;

    if (limit(&t, "tls/cert") != 0)
        return NO_LANDLOCK;
    EXPECT(landlock_version() < 4 || !can_connect());
    return ALIVE;
}

static void no_connection_is_made(void **state)
{
    struct tree t;
    (void)state;

    make_tree(&t);
    expect_files(use_network, &t);
}

static int renew_by_link(const void *arg)
{
    struct tree t = *(const struct tree *)arg;
    int outside = open(in_tree(&t, "."), O_PATH);

    if (symlink("tls/v1/cert", in_tree(&t, "link")) != 0 || outside < 0)
        return 1;
    if (limit(&t, "link") != 0)
        return NO_LANDLOCK;
    EXPECT(can_open(&t, "link", O_RDONLY));
    EXPECT(can_open(&t, "tls/v1/cert", O_RDONLY));
    /* The directory of the link is the whole tree here, read only. */
    EXPECT(can_open(&t, "other/cert", O_RDONLY));
    EXPECT(!can_open(&t, "other/cert", O_WRONLY));
    return ALIVE;
}

static void link_to_a_certificate_is_followed(void **state)
{
    struct tree t;
    (void)state;

    make_tree(&t);
    expect_files(renew_by_link, &t);
}

static int link_to(struct tree *t, const char *target, const char *name)
{
    char absolute[PATH_MAX];

    snprintf(absolute, sizeof absolute, "%s/%s", t->root, target);
    unlink(in_tree(t, name));
    return symlink(absolute, t->path);
}

/* data/current -> tls/v1, and later another process makes it tls/v2. */
static int renew_by_directory(const void *arg)
{
    struct tree t = *(const struct tree *)arg;
    pid_t other;

    if (link_to(&t, "tls/v1", "other/new") != 0)
        return 1;
    other = fork();
    if (other == 0) {
        struct timespec moment = {.tv_nsec = 300000000};
        nanosleep(&moment, NULL);
        _exit(link_to(&t, "tls/v2", "other/new") != 0);
    }
    if (limit(&t, "other/new/cert") != 0)
        return NO_LANDLOCK;
    EXPECT(can_open(&t, "tls/v1/cert", O_RDONLY));
    EXPECT(!can_open(&t, "other/secret", O_RDONLY));
    waitpid(other, NULL, 0);
    EXPECT(can_open(&t, "other/new/cert", O_RDONLY));
    EXPECT(!can_open(&t, "other/new/cert", O_WRONLY));
    return ALIVE;
}

static void link_to_a_directory_is_followed(void **state)
{
    struct tree t;
    (void)state;

    make_tree(&t);
    expect_files(renew_by_directory, &t);
}

static int miss_directory(const void *arg)
{
    struct error err;
    (void)arg;

    EXPECT(sandbox_limit_files(&(struct sandbox_files){.data_dir = "/nowhere"},
                               &err) != 0);
    EXPECT(strstr(err.text, "landlock") != NULL);
    int fd = open("/dev/null", O_RDWR);
    EXPECT(fd >= 0); /* nothing was given up */
    close(fd);
    return ALIVE;
}

static void failure_gives_nothing_up(void **state)
{
    (void)state;
    assert_int_equal(in_child(miss_directory, NULL), ALIVE);
}

/* --- User --- */

static void good_users(void **state)
{
    static const struct {
        const char *text;
        uid_t uid;
        gid_t gid;
    } table[] = {
        {"1", 1, 1},
        {"65532", 65532, 65532},
        {"1000:100", 1000, 100},
        {"1000:0", 1000, 0},
        {"4294967294:4294967294", 4294967294U, 4294967294U},
    };
    struct user user;
    struct error err;
    (void)state;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(user_parse(table[i].text, &user, &err), 0);
        assert_int_equal(user.uid, table[i].uid);
        assert_int_equal(user.gid, table[i].gid);
    }
}

static void bad_users(void **state)
{
    static const char *const table[] = {
        "",
        "0",
        "0:5",
        "root",
        "1000:",
        ":",
        ":5",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1:2:3",
        "4294967295",
        "4294967296",
        "1:x",
        "0x1",
        "1:-1",
        "1: 2",
        "1,2",
        "1:4294967295",
        "18446744073709551617",
    };
    struct user user;
    struct error err;
    (void)state;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (user_parse(table[i], &user, &err) == 0)
            fail_msg("'%s' was taken", table[i]);
}

static int become_nobody(const void *arg)
{
    const struct user nobody = {.uid = 4321, .gid = 1234};
    struct error err;
    gid_t groups[2] = {5, 6};
    (void)arg;

    EXPECT(setgroups(2, groups) == 0);
    EXPECT(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
    EXPECT(user_become(&nobody, &err) == 0);
    EXPECT(getuid() == 4321 && geteuid() == 4321);
    EXPECT(getgid() == 1234 && getegid() == 1234);
    EXPECT(getgroups(0, NULL) == 0);
    EXPECT(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
    EXPECT(setuid(0) != 0);
    EXPECT(user_become(&nobody, &err) == 0); /* already */
    EXPECT(user_become(&(struct user){.uid = 1, .gid = 1}, &err) != 0);
    return ALIVE;
}

static void root_becomes_a_user(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(in_child(become_nobody, NULL), ALIVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forbidden_calls_kill),
        cmocka_unit_test(needed_calls_go_through),
        cmocka_unit_test(all_threads_are_held),
#ifdef __x86_64__
        cmocka_unit_test(other_architecture_kills),
#endif
        cmocka_unit_test(other_files_are_out_of_reach),
        cmocka_unit_test(audit_file_is_written_and_made),
        cmocka_unit_test(no_connection_is_made),
        cmocka_unit_test(link_to_a_certificate_is_followed),
        cmocka_unit_test(link_to_a_directory_is_followed),
        cmocka_unit_test(failure_gives_nothing_up),
        cmocka_unit_test(good_users),
        cmocka_unit_test(bad_users),
        cmocka_unit_test(root_becomes_a_user),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
