/*
 * When app/certificate loads a pair anew. The clock is this file's.
 */
#include "app/certificate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cert_dir.h"
#include "sys/clock.h"

static int64_t now;
static struct log quiet; /* logfmt */

/* The linker puts it in the place of sys/clock's. */
int64_t __wrap_clock_utc_s(void);
int64_t __wrap_clock_utc_s(void)
{
    return now;
}

static int setup(void **state)
{
    (void)state;
    if (enter_work_dir() != 0)
        return -1;
    return sh("for n in one two; do openssl req -x509 -newkey ec"
              " -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $n.key"
              " -out $n.pem -days 100 -subj /CN=$n || exit 1; done;"
              " chmod 600 *.key; cp -p one.pem live.pem;"
              " cp -p one.key live.key");
}

/* A file is replaced, as renewals do it. */
static void put(const char *from, const char *to)
{
    char command[64];

    snprintf(command, sizeof command, "cp -p %s next && mv next %s", from, to);
    sh_or_fail(command);
}

/* Load it; an empty name: it has to fail. */
static void load(struct certificate *c, enum cert_use use, const char *name)
{
    struct error err;
    struct span text = {NULL, 0};
    struct cert *cert = certificate_load(c, use, &err);

    if (*name == '\0') {
        assert_null(cert);
        return;
    }
    if (cert == NULL) {
        fail_msg("%s", err.text);
        return;
    }
    assert_true(x509_name_text(cert_info(cert)->subject, &text));
    assert_true(span_equals(text, span_of(name)));
    cert_free(cert);
}

static struct certificate given(void)
{
    const struct config config = {.cert_file = "live.pem",
                                  .key_file = "live.key"};
    struct certificate c;
    struct error err;

    now = (int64_t)time(NULL);
    put("one.pem", "live.pem");
    put("one.key", "live.key");
    assert_int_equal(certificate_init(&c, &config, &quiet, &err), 0);
    load(&c, CERT_MAKE, "one");
    assert_false(certificate_is_due(&c));
    assert_false(certificate_is_due(&c));
    return c;
}

static void test_waits_until_it_is_quiet(void **state)
{
    struct certificate c = given();

    (void)state;
    put("two.pem", "live.pem");
    assert_false(certificate_is_due(&c));
    put("two.key", "live.key");
    assert_false(certificate_is_due(&c));
    assert_true(certificate_is_due(&c));
    load(&c, CERT_RENEW, "two");
    assert_false(certificate_is_due(&c));
}

static void test_a_bad_pair_is_tried_once(void **state)
{
    struct certificate c = given();

    (void)state;
    put("two.pem", "live.pem");
    assert_false(certificate_is_due(&c));
    assert_true(certificate_is_due(&c));
    load(&c, CERT_RENEW, "");
    for (int i = 0; i < 5; i++)
        assert_false(certificate_is_due(&c));
    put("two.key", "live.key");
    assert_false(certificate_is_due(&c));
    assert_true(certificate_is_due(&c));
    load(&c, CERT_RENEW, "two");
    assert_false(certificate_is_due(&c));
}

static void test_files_that_are_gone(void **state)
{
    struct certificate c = given();

    (void)state;
    sh_or_fail("rm live.pem live.key");
    assert_false(certificate_is_due(&c));
    assert_true(certificate_is_due(&c));
    load(&c, CERT_RENEW, "");
    assert_false(certificate_is_due(&c));
    put("two.pem", "live.pem");
    put("two.key", "live.key");
    assert_false(certificate_is_due(&c));
    assert_true(certificate_is_due(&c));
    load(&c, CERT_RENEW, "two");
}

/* What a server complains of is often no change of the content. */
static void test_a_mode_is_a_change(void **state)
{
    struct certificate c = given();

    (void)state;
    sh_or_fail("chmod 644 live.key");
    assert_false(certificate_is_due(&c));
    assert_true(certificate_is_due(&c));
    load(&c, CERT_RENEW, "");
    sh_or_fail("chmod 600 live.key");
    assert_false(certificate_is_due(&c));
    assert_true(certificate_is_due(&c));
    load(&c, CERT_RENEW, "one");
}

static void test_once_a_day(void **state)
{
    struct certificate c = given();

    (void)state;
    now -= now % DAY; /* midnight */
    load(&c, CERT_RENEW, "one");
    now += DAY - 1;
    assert_false(certificate_is_due(&c));
    now += 1;
    assert_true(certificate_is_due(&c));
    load(&c, CERT_RENEW, "one");
    assert_false(certificate_is_due(&c));
    now -= 100 * DAY;
    assert_true(certificate_is_due(&c));
    /* But not while it is being replaced. */
    put("two.pem", "live.pem");
    assert_false(certificate_is_due(&c));
    put("two.key", "live.key");
    assert_false(certificate_is_due(&c));
    assert_true(certificate_is_due(&c));
    load(&c, CERT_RENEW, "two");
}

/* Our own writing is no change; what others do to the set is one. */
static void test_local(void **state)
{
    char dir[32];
    const struct config config = {.data_dir = local(dir).data_dir};
    struct certificate c;
    struct error err;

    (void)state;
    now = (int64_t)time(NULL);
    assert_int_equal(certificate_init(&c, &config, &quiet, &err), 0);
    load(&c, CERT_MAKE, "localhost");
    assert_false(certificate_is_due(&c));
    assert_false(certificate_is_due(&c));
    now += (int64_t)800 * DAY;
    assert_true(certificate_is_due(&c));
    load(&c, CERT_RENEW, "localhost");
    assert_false(certificate_is_due(&c));
    assert_false(certificate_is_due(&c));
    in_dir("cp $D/tls/cert.pem next && mv next $D/tls/cert.pem", dir);
    assert_false(certificate_is_due(&c));
    assert_true(certificate_is_due(&c));
    in_dir("rm $D/tls/cert.pem $D/tls/key.pem", dir);
    load(&c, CERT_RENEW, "");
    load(&c, CERT_MAKE, "localhost");
    assert_false(certificate_is_due(&c));
    assert_false(certificate_is_due(&c));
}

static void test_a_path_too_long(void **state)
{
    static char long_dir[5000];
    const struct config config = {.data_dir = long_dir};
    struct certificate c;
    struct error err;

    (void)state;
    memset(long_dir, 'd', sizeof long_dir - 1);
    assert_int_equal(certificate_init(&c, &config, &quiet, &err), -1);
    assert_non_null(strstr(err.text, "the path is too long"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_until_it_is_quiet),
        cmocka_unit_test(test_a_bad_pair_is_tried_once),
        cmocka_unit_test(test_files_that_are_gone),
        cmocka_unit_test(test_a_mode_is_a_change),
        cmocka_unit_test(test_once_a_day),
        cmocka_unit_test(test_local),
        cmocka_unit_test(test_a_path_too_long),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
