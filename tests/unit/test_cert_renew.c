/*
 * The local certificate over the years: renewed by the same CA for the same
 * key and names, and left alone when that cannot be.
 */
#include "sys/cert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "cert_dir.h"

#define MADE 1800000000 /* 2027-01-15 08:00:00 UTC */

/* What is in a directory, as one text a file. */
#define KEEP  "rm -rf old && cp -a $D/tls old"
#define ALIKE "diff -r old $D/tls"

static int setup(void **state)
{
    (void)state;
    return enter_work_dir();
}

/* A set that was made at MADE. */
static struct cert_source made(char dir[32])
{
    struct cert_source src = local(dir);

    src.now = MADE;
    struct cert *c = open_or_fail(&src);
    assert_true(cert_was_created(c));
    assert_false(cert_was_renewed(c));
    cert_free(c);
    in_dir(KEEP, dir);
    return src;
}

static struct cert *open_after(struct cert_source *src, int64_t days)
{
    src->now = MADE + days * DAY;
    return open_or_fail(src);
}

/* It is served as it is, whatever the warning says. */
static void assert_kept(struct cert_source *src, int64_t days,
                        const char *warning)
{
    struct cert *c = open_after(src, days);

    assert_false(cert_was_renewed(c) || cert_was_created(c));
    if (warning == NULL)
        assert_null(cert_warning(c));
    else if (cert_warning(c) == NULL ||
             strstr(cert_warning(c), warning) == NULL)
        fail_msg("'%s' not in: %s", warning, cert_warning(c));
    cert_free(c);
    in_dir(ALIKE, src->data_dir);
}

static void assert_renewed(struct cert_source *src, int64_t days)
{
    struct cert *c = open_after(src, days);

    assert_true(cert_was_renewed(c));
    assert_false(cert_was_created(c));
    assert_null(cert_warning(c));
    assert_int_equal(cert_days_left(c, src->now), 820);
    cert_free(c);
    in_dir("! cmp -s old/cert.pem $D/tls/cert.pem", src->data_dir);
    in_dir("cp $D/tls/cert.pem old && " ALIKE, src->data_dir);
}

static void verify(const char *dir, const char *check)
{
    char command[256];

    snprintf(command, sizeof command, VERIFY "-no_check_time %s", check);
    setenv("CHECK", command, 1);
    in_dir("eval \"$CHECK\" $D/tls/cert.pem", dir);
}

static void test_renewed_in_time(void **state)
{
    char dir[32];
    struct cert_source src = made(dir);

    (void)state;
    assert_kept(&src, 0, NULL);
    assert_kept(&src, 790, NULL);
    assert_renewed(&src, 791);
    assert_kept(&src, 791, NULL);
    verify(dir, "-verify_hostname localhost");
    verify(dir, "-verify_ip ::1");
    assert_renewed(&src, 791 + 800);
    /* After a long rest: also one that has expired. */
    assert_renewed(&src, 791 + 800 + 1000);
    in_dir("test \"$(ls -A $D/tls | wc -l)\" = 4", dir);
    in_dir("test \"$(stat -c %a $D/tls/cert.pem)\" = 644", dir);
}

static void assert_subject(const char *dir, const char *cn)
{
    setenv("CN", cn, 1);
    in_dir("openssl x509 -in $D/tls/cert.pem -noout -subject"
           " | grep -qxF \"subject=CN = $CN\"",
           dir);
}

static void test_names_stay(void **state)
{
    static const char *const hosts[] = {"play.example.org", "192.0.2.7"};
    static const char *const other[] = {"new.example"};
    char dir[32];
    struct cert_source src = local(dir);

    (void)state;
    src.hosts = hosts;
    src.host_count = COUNT(hosts);
    src.now = MADE;
    cert_free(open_or_fail(&src));
    in_dir(KEEP, dir);
    src.host_count = 0;
    assert_renewed(&src, 800);
    assert_subject(dir, "play.example.org");
    verify(dir, "-verify_hostname play.example.org");
    verify(dir, "-verify_ip 192.0.2.7");
    /* Unless others are asked for. */
    src.hosts = other;
    src.host_count = COUNT(other);
    assert_kept(&src, 801, "made for other hosts");
    assert_renewed(&src, 1600);
    assert_subject(dir, "new.example");
    verify(dir, "-verify_hostname new.example");
}

static void test_uses(void **state)
{
    char dir[32];
    struct cert_source src = local(dir);
    struct error err;

    (void)state;
    for (int use = CERT_RENEW; use <= CERT_LOOK; use++) {
        src.use = (enum cert_use)use;
        assert_null(cert_open(&src, &err));
        in_dir("test ! -e $D/tls", dir);
    }
    src = made(dir);
    src.use = CERT_LOOK;
    assert_kept(&src, 810, "tls/cert.pem: the certificate expires on 2029-");
    src.use = CERT_RENEW;
    assert_renewed(&src, 810);
    in_dir("rm $D/tls/*.pem && touch $D/tls/x", dir);
    assert_null(cert_open(&src, &err));
    in_dir("test \"$(ls -A $D/tls)\" = x", dir);
}

static void test_without_its_ca(void **state)
{
    char dir[32];
    struct cert_source src = made(dir);

    (void)state;
    in_dir("mv $D/tls/ca-key.pem . && rm old/ca-key.pem", dir);
    assert_kept(&src, 789, NULL);
    assert_kept(&src, 800, "cannot be renewed: ");
    assert_kept(&src, 800, "ca-key.pem: No such file");
    in_dir("mv $D/tls/ca.pem . && rm old/ca.pem", dir);
    assert_kept(&src, 2000, "ca.pem: No such file");
    in_dir("cp ca.pem ca-key.pem $D/tls && cp ca.pem ca-key.pem old", dir);
    assert_renewed(&src, 800);
}

/* The operator's own, put into the place of ours. */
static void test_foreign_leaf(void **state)
{
    char dir[32];
    struct cert_source src = made(dir);

    (void)state;
    in_dir("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256"
           " -nodes -keyout $D/tls/key.pem -out $D/tls/cert.pem -days 20"
           " -subj /CN=club && chmod 600 $D/tls/key.pem",
           dir);
    in_dir(KEEP, dir);
    assert_kept(&src, 0, "cannot be renewed: ");
    assert_kept(&src, 0, "tls/ca.pem has not issued it");
}

/* The leaf of a CA whose end is near cannot get any better. */
static void test_end_of_the_ca(void **state)
{
    char dir[32];
    struct cert_source src = made(dir);

    (void)state;
    struct cert *c = open_after(&src, 3600);
    assert_true(cert_was_renewed(c));
    assert_int_equal(cert_days_left(c, src.now), 50);
    cert_free(c);
    in_dir(KEEP, dir);
    assert_kept(&src, 3619, NULL);
    assert_kept(&src, 3621, "tls/ca.pem ends as well");
    assert_kept(&src, 3651, "tls/ca.pem: no CA with an EC key");
}

/* What a wrong clock has done is undone when it is right again. */
static void test_wrong_clock(void **state)
{
    char dir[32];
    struct cert_source src = made(dir);

    (void)state;
    assert_renewed(&src, 1000);
    assert_renewed(&src, 0);
    assert_kept(&src, -20000, "tls/ca.pem is not valid yet");
    assert_kept(&src, 0, NULL);
}

/* Servers that find it stale at once: one renews it. */
static void test_renewed_at_once(void **state)
{
    char dir[32];
    struct cert_source src = made(dir);
    pid_t child[4];
    int renewed = 0;

    (void)state;
    src.now = MADE + (int64_t)800 * DAY;
    for (size_t i = 0; i < COUNT(child); i++) {
        child[i] = fork();
        assert_true(child[i] >= 0);
        if (child[i] == 0) {
            struct error err;
            struct cert *c = cert_open(&src, &err);
            _exit(c == NULL ? 2 : cert_was_renewed(c));
        }
    }
    for (size_t i = 0; i < COUNT(child); i++) {
        int status;
        assert_int_equal(waitpid(child[i], &status, 0), child[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        renewed += WEXITSTATUS(status);
    }
    assert_int_equal(renewed, 1);
}

static void test_ca_alone(void **state)
{
    char dir[32];
    struct cert_source src = made(dir);
    struct error err;
    struct span text;

    (void)state;
    in_dir("rm $D/tls/ca-key.pem", dir);
    struct cert *ca = cert_open_ca(&src, &err);
    assert_non_null(ca);
    assert_true(x509_name_text(cert_info(ca)->subject, &text));
    assert_memory_equal(text.ptr, "openchampps local CA ", 21);
    assert_true(span_equals(cert_info(ca)->subject, cert_info(ca)->issuer));
    assert_int_equal(cert_days_left(ca, MADE), 3650);
    cert_free(ca);
    in_dir("rm $D/tls/ca.pem", dir);
    assert_null(cert_open_ca(&src, &err));
    assert_non_null(strstr(err.text, "tls/ca.pem: No such file"));
}

static void test_days_left(void **state)
{
    char dir[32];
    struct cert_source src = made(dir);
    struct cert *c = open_after(&src, 0);
    int64_t end = cert_info(c)->not_after;

    (void)state;
    assert_int_equal(end, MADE + (int64_t)820 * DAY);
    assert_int_equal(cert_days_left(c, end - DAY), 1);
    assert_int_equal(cert_days_left(c, end - DAY + 1), 0);
    assert_int_equal(cert_days_left(c, end), 0);
    assert_int_equal(cert_days_left(c, end + 1), -1);
    assert_int_equal(cert_days_left(c, end + DAY), -1);
    assert_int_equal(cert_days_left(c, end + DAY + 1), -2);
    cert_free(c);
}

static void test_equality(void **state)
{
    char dir[32];
    struct cert_source src = made(dir);
    struct cert *one = open_after(&src, 0);
    struct cert *same = open_after(&src, 1);
    struct cert *next = open_after(&src, 800);

    (void)state;
    assert_true(cert_equals(one, same));
    assert_false(cert_equals(one, next));
    cert_free(one);
    cert_free(same);
    cert_free(next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renewed_in_time),
        cmocka_unit_test(test_names_stay),
        cmocka_unit_test(test_uses),
        cmocka_unit_test(test_without_its_ca),
        cmocka_unit_test(test_foreign_leaf),
        cmocka_unit_test(test_end_of_the_ca),
        cmocka_unit_test(test_wrong_clock),
        cmocka_unit_test(test_renewed_at_once),
        cmocka_unit_test(test_ca_alone),
        cmocka_unit_test(test_days_left),
        cmocka_unit_test(test_equality),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
