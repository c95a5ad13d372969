/* Unit tests of sys/net. */
#include "sys/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "guard.h"

static void good_addresses(void **state)
{
    static const struct {
        const char *text, *formatted;
        bool is_loopback;
    } table[] = {
        {"127.0.0.1:8443", NULL, true},
        {"127.1.2.3:1", NULL, true},
        {"0.0.0.0:0", NULL, false},
        {"255.255.255.255:65535", NULL, false},
        {"192.0.2.1:80", NULL, false},
        {"128.0.0.1:80", NULL, false},
        {"[::]:8443", NULL, false},
        {"[::1]:8443", NULL, true},
        {"[::2]:8443", NULL, false},
        {"[2001:db8::ffff]:443", NULL, false},
        {"[2001:DB8:0:0:0:0:0:1]:443", "[2001:db8::1]:443", false},
        {"127.0.0.1:08443", "127.0.0.1:8443", true},
        {"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", NULL, false},
        {"[::ffff:192.0.2.1]:9", "192.0.2.1:9", false},
        {"[::ffff:ffff:255.255.255.255]:65535", "[::ffff:ffff:ffff:ffff]:65535",
         false},
    };
    struct net_address address;
    char name[NET_NAME_MAX];
    struct error err;
    (void)state;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char *text =
            (char *)guard_copy(table[i].text, strlen(table[i].text) + 1);
        assert_int_equal(net_parse(text, &address, &err), 0);
        free(text);
        net_format(&address, name);
        assert_string_equal(name, table[i].formatted != NULL
                                      ? table[i].formatted
                                      : table[i].text);
        assert_int_equal(net_is_loopback(&address), table[i].is_loopback);
    }
}

static void bad_addresses(void **state)
{
    static const char *const texts[] = {
        "",
        ":",
        "8443",
        "localhost:8443",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:80x",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:+1",
        "127.0.0.1: 1",
        "127.0.0.1:1 ",
        " 127.0.0.1:1",
        "127.0.0.1:4294967376",
        "127.0.0.1:18446744073709551696",
        "127.0.0.1:99999999999999999999999",
        "127.0.0.1:0x50",
        "127.0.0:80",
        "127.0.0.256:80",
        "1.2.3.4.5:80",
        "::1:8443",
        "[::1]",
        "[::1]8443",
        "[::1:8443",
        "::1]:8443",
        "[]:80",
        "[:80",
        "]:80",
        "[127.0.0.1]:80",
        "[::g]:80",
        "[::1%lo]:80",
        "[[::1]]:80",
        "*:80",
        ":80",
        "[::1]:",
        "0000000000000000000000000000000000000000000000000000000000000000:80",
        "[0000000000000000000000000000000000000000000000000000000000001]:80",
    };
    struct net_address address;
    struct error err;
    (void)state;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *text = (char *)guard_copy(texts[i], strlen(texts[i]) + 1);
        if (net_parse(text, &address, &err) != -1)
            fail_msg("accepted: %s", text);
        assert_non_null(strstr(err.text, "is not ADDR:PORT"));
        assert_non_null(strstr(err.text, texts[i]));
        free(text);
    }
}

static int listen_on(const char *text, struct net_address *address)
{
    struct error err;

    assert_int_equal(net_parse(text, address, &err), 0);
    int fd = net_listen(address, &err);
    if (fd >= 0)
        net_local(fd, address);
    return fd;
}

static void check_peer(int listener, const struct net_address *target)
{
    struct net_address peer, local;
    char theirs[NET_NAME_MAX], ours[NET_NAME_MAX];
    struct error err;
    int value = 0;
    socklen_t len = sizeof value;

    int client = net_connect(target, 2000, &err);
    assert_true(client >= 0);
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 2000), 1);
    int fd = net_accept(listener, &peer);
    assert_true(fd >= 0);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
    assert_true(value != 0);
    net_format(&peer, theirs);
    net_local(client, &local);
    net_format(&local, ours);
    assert_string_equal(theirs, ours);
    assert_int_equal(net_accept(listener, &peer), -1);
    assert_int_equal(errno, EAGAIN);
    close(fd);
    close(client);
}

static void listening_on_ipv4(void **state)
{
    struct net_address address;
    char name[NET_NAME_MAX];
    (void)state;

    int fd = listen_on("127.0.0.1:0", &address);
    assert_true(fd >= 0);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    net_format(&address, name);
    assert_int_equal(strncmp(name, "127.0.0.1:", 10), 0);
    assert_string_not_equal(name, "127.0.0.1:0");
    check_peer(fd, &address);
    close(fd);
}

/* One socket for both; the IPv4 peer is written as such. */
static void listening_on_both(void **state)
{
    struct net_address address, ipv4;
    struct sockaddr_in6 in6;
    struct sockaddr_in in4 = {.sin_family = AF_INET};
    (void)state;

    int fd = listen_on("[::]:0", &address);
    if (fd < 0)
        skip(); /* no IPv6 here */
    memcpy(&in6, &address.socket, sizeof in6);
    in4.sin_port = in6.sin6_port;
    in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memset(&ipv4, 0, sizeof ipv4);
    memcpy(&ipv4.socket, &in4, sizeof in4);
    ipv4.len = sizeof in4;
    check_peer(fd, &ipv4);
    in6.sin6_addr = in6addr_loopback;
    memcpy(&address.socket, &in6, sizeof in6);
    check_peer(fd, &address);
    close(fd);
}

static void port_in_use(void **state)
{
    struct net_address address;
    char name[NET_NAME_MAX];
    struct error err;
    (void)state;

    int fd = listen_on("127.0.0.1:0", &address);
    net_format(&address, name);
    assert_int_equal(net_listen(&address, &err), -1);
    assert_non_null(strstr(err.text, name));
    assert_non_null(strstr(err.text, "another program listens there"));
    close(fd);
}

static void address_of_another_machine(void **state)
{
    struct net_address address;
    struct error err;
    (void)state;

    assert_int_equal(net_parse("192.0.2.77:1", &address, &err), 0);
    assert_int_equal(net_listen(&address, &err), -1);
    assert_non_null(strstr(err.text, "192.0.2.77:1"));
    assert_non_null(strstr(err.text, "does not have that address"));
}

static void nobody_listens(void **state)
{
    struct net_address address;
    char name[NET_NAME_MAX];
    struct error err;
    (void)state;

    close(listen_on("127.0.0.1:0", &address));
    net_format(&address, name);
    assert_int_equal(net_connect(&address, 1000, &err), -1);
    assert_non_null(strstr(err.text, name));
}

/* The limit of net_connect holds for every read that follows. */
static void silence_ends(void **state)
{
    struct net_address address;
    struct error err;
    char byte;
    (void)state;

    int listener = listen_on("127.0.0.1:0", &address);
    int fd = net_connect(&address, 50, &err);
    assert_true(fd >= 0);
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
    close(fd);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_addresses),
        cmocka_unit_test(bad_addresses),
        cmocka_unit_test(listening_on_ipv4),
        cmocka_unit_test(listening_on_both),
        cmocka_unit_test(port_in_use),
        cmocka_unit_test(address_of_another_machine),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(silence_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
