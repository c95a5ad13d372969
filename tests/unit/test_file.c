/* Whole files: caps, kinds, modes under any umask, leftovers of a crash. */
#include "sys/file_io.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A new directory, the working one during a test. */
struct place {
    char path[256];
    int back; /* where the test came from */
};

static int enter(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    const char *tmp = getenv("TMPDIR");

    p->back = open(".", O_RDONLY | O_DIRECTORY);
    snprintf(p->path, sizeof p->path, "%s/file-XXXXXX",
             tmp != NULL ? tmp : P_tmpdir);
    *state = p;
    return mkdtemp(p->path) != NULL && chdir(p->path) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    struct place *p = *state;
    char command[300];

    snprintf(command, sizeof command, "rm -rf '%s'", p->path);
    int result = fchdir(p->back);
    if (system(command) != 0) /* NOLINT(cert-env33-c): ours, in a test */
        result = -1;
    close(p->back);
    free(p);
    return result;
}

static unsigned mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    return st.st_mode & 07777;
}

static void assert_content(const char *path, const char *want)
{
    struct file_bytes f;
    struct error err;

    assert_int_equal(file_read(path, 100, &f, &err), 0);
    assert_int_equal(f.len, strlen(want));
    assert_string_equal(f.ptr, want);
    file_bytes_fini(&f);
    assert_null(f.ptr);
}

static void assert_unreadable(const char *path, const char *reason)
{
    struct file_bytes f = {NULL, 7, 0};
    struct error err;

    assert_int_equal(file_read(path, 8, &f, &err), -1);
    assert_int_equal(f.len, 7);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, reason));
}

static void write_text(const char *path, const char *text, unsigned mode)
{
    struct error err;

    if (file_write(path, span_of(text), mode, &err) != 0)
        fail_msg("%s", err.text);
}

static void test_round_trip(void **state)
{
    (void)state;
    write_text("a", "hello", 0600);
    assert_content("a", "hello");
    write_text("a", "", 0644);
    assert_content("a", "");
    write_text("./a", "again", 0644);
    assert_content("a", "again");
    assert_false(file_exists("a.tmp"));
}

static void test_binary(void **state)
{
    static const uint8_t bytes[] = {0, 1, 0xFF, 0, '\n'};
    struct file_bytes f;
    struct error err;

    (void)state;
    assert_int_equal(
        file_write("b", (struct span){bytes, sizeof bytes}, 0600, &err), 0);
    assert_int_equal(file_read("b", sizeof bytes, &f, &err), 0);
    assert_int_equal(f.len, sizeof bytes);
    assert_memory_equal(f.ptr, bytes, sizeof bytes);
    file_bytes_fini(&f);
}

static void test_cap(void **state)
{
    struct file_bytes f;
    struct error err;

    (void)state;
    write_text("eight", "12345678", 0600);
    write_text("nine", "123456789", 0600);
    assert_int_equal(file_read("eight", 8, &f, &err), 0);
    file_bytes_fini(&f);
    assert_unreadable("nine", "larger than 8 bytes");
}

static void test_refused_kinds(void **state)
{
    (void)state;
    assert_int_equal(mkdir("dir", 0700), 0);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_int_equal(symlink("loop", "loop"), 0);
    assert_unreadable("dir", "not a regular file");
    assert_unreadable("fifo", "not a regular file"); /* and does not hang */
    assert_unreadable("none", "No such file or directory");
    assert_unreadable("loop", "symbolic links");
    assert_unreadable("none/none", "No such file or directory");
}

static void test_links_are_followed(void **state)
{
    struct file_bytes f;
    struct error err;

    (void)state;
    write_text("target", "text", 0640);
    assert_int_equal(symlink("target", "link"), 0);
    assert_int_equal(file_read("link", 10, &f, &err), 0);
    assert_int_equal(f.mode, 0640); /* the target's, not the link's */
    file_bytes_fini(&f);
}

static void test_exists(void **state)
{
    (void)state;
    write_text("there", "", 0600);
    assert_int_equal(symlink("nowhere", "dangling"), 0);
    assert_true(file_exists("there"));
    assert_true(file_exists("."));
    assert_true(file_exists("dangling"));
    assert_false(file_exists("nowhere"));
}

/* Each way in which a file may change; reading it is none. */
static void test_stamp(void **state)
{
    struct file_bytes f;
    struct error err;

    (void)state;
    assert_true(file_stamp("stamped") == 0);
    write_text("stamped", "one", 0644);
    uint64_t first = file_stamp("stamped");
    assert_true(first != 0);
    assert_int_equal(file_read("stamped", 100, &f, &err), 0);
    file_bytes_fini(&f);
    assert_true(file_stamp("stamped") == first);
    assert_int_equal(chmod("stamped", 0600), 0);
    uint64_t second = file_stamp("stamped");
    assert_true(second != first);
    write_text("stamped.new", "one", 0600);
    assert_int_equal(rename("stamped.new", "stamped"), 0);
    uint64_t third = file_stamp("stamped");
    assert_true(third != second);
    assert_int_equal(symlink("stamped", "stamped.link"), 0);
    assert_true(file_stamp("stamped.link") == third);
    assert_int_equal(truncate("stamped", 1), 0);
    assert_true(file_stamp("stamped.link") != third);
    assert_int_equal(unlink("stamped"), 0);
    assert_true(file_stamp("stamped.link") == 0);
    assert_int_equal(unlink("stamped.link"), 0);
}

static void test_modes_under_any_umask(void **state)
{
    static const mode_t masks[] = {0, 022, 077, 0777};
    struct error err;

    (void)state;
    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        mode_t before = umask(masks[i]);
        write_text("public", "x", 0644);
        write_text("secret", "x", 0600);
        assert_int_equal(file_make_dir("made", 0700, &err), 0);
        umask(before);
        assert_int_equal(mode_of("public"), 0644);
        assert_int_equal(mode_of("secret"), 0600);
        assert_int_equal(mode_of("made"), 0700);
        assert_int_equal(rmdir("made"), 0);
    }
}

static void test_leftover_is_replaced(void **state)
{
    (void)state;
    write_text("x.tmp", "half", 0644);
    assert_int_equal(chmod("x.tmp", 0), 0);
    write_text("x", "whole", 0600);
    assert_content("x", "whole");
    assert_false(file_exists("x.tmp"));
}

/* A link planted in place of the temporary file is not written through. */
static void test_planted_link(void **state)
{
    (void)state;
    write_text("victim", "mine", 0600);
    assert_int_equal(symlink("victim", "y.tmp"), 0);
    write_text("y", "new", 0600);
    assert_content("victim", "mine");
    assert_content("y", "new");
}

static void test_failed_write_keeps_old(void **state)
{
    struct error err;

    (void)state;
    assert_int_equal(file_write("no/file", span_of("x"), 0600, &err), -1);
    assert_non_null(strstr(err.text, "no/file"));
    /* The target cannot be replaced: a directory stands there. */
    assert_int_equal(mkdir("taken", 0700), 0);
    assert_int_equal(file_write("taken", span_of("x"), 0600, &err), -1);
    assert_non_null(strstr(err.text, "taken"));
    assert_false(file_exists("taken.tmp"));
    assert_true(file_exists("taken"));
}

/* The file-size limit stands for a disk that fills up half way. */
static void test_disk_fills_up(void **state)
{
    struct rlimit before;
    struct error err;

    (void)state;
    write_text("z", "old", 0600);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit small = {4, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int result = file_write("z", span_of("too much"), 0600, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(result, -1);
    assert_non_null(strstr(err.text, "z.tmp: File too large"));
    assert_content("z", "old");
    assert_false(file_exists("z.tmp"));
}

static void test_make_dir(void **state)
{
    struct error err;

    (void)state;
    assert_int_equal(file_make_dir("d", 0700, &err), 0);
    assert_int_equal(chmod("d", 0755), 0);
    assert_int_equal(file_make_dir("d", 0700, &err), 0);
    assert_int_equal(mode_of("d"), 0755); /* an existing one stays as it is */
    write_text("f", "", 0600);
    assert_int_equal(file_make_dir("f", 0700, &err), -1);
    assert_non_null(strstr(err.text, "f: not a directory"));
    assert_int_equal(file_make_dir("up/d", 0700, &err), -1);
    assert_non_null(strstr(err.text, "up/d: No such file or directory"));
}

static void test_draft(void **state)
{
    struct file_draft draft;
    struct error err;

    (void)state;
    umask(0);
    assert_int_equal(file_draft_begin(&draft, "r", &err), 0);
    assert_false(file_exists("r"));
    assert_int_equal(mode_of(draft.path), 0600);
    assert_int_equal(file_write_all(draft.fd, span_of("rows")), 0);
    assert_int_equal(file_draft_publish(&draft, "r", &err), 0);
    file_draft_drop(&draft);
    assert_false(file_exists(draft.path));
    assert_content("r", "rows");
    assert_int_equal(mode_of("r"), 0600);
}

static void test_draft_takes_no_place(void **state)
{
    struct file_draft draft;
    struct error err;

    (void)state;
    write_text("r", "old", 0600);
    assert_int_equal(file_draft_begin(&draft, "r", &err), 0);
    assert_int_equal(file_draft_publish(&draft, "r", &err), -1);
    assert_non_null(strstr(err.text, "r: File exists"));
    file_draft_drop(&draft);
    assert_false(file_exists(draft.path));
    assert_content("r", "old");
    assert_int_equal(file_draft_begin(&draft, "up/r", &err), -1);
    assert_non_null(strstr(err.text, "up/r: No such file or directory"));
    file_draft_drop(&draft);
}

#define PLACED(test) cmocka_unit_test_setup_teardown(test, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACED(test_round_trip),
        PLACED(test_binary),
        PLACED(test_cap),
        PLACED(test_refused_kinds),
        PLACED(test_links_are_followed),
        PLACED(test_exists),
        PLACED(test_stamp),
        PLACED(test_modes_under_any_umask),
        PLACED(test_leftover_is_replaced),
        PLACED(test_planted_link),
        PLACED(test_failed_write_keeps_old),
        PLACED(test_disk_fills_up),
        PLACED(test_make_dir),
        PLACED(test_draft),
        PLACED(test_draft_takes_no_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
