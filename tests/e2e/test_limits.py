"""Limits by connection and by address: reaching one costs that peer only."""

import contextlib
import socket
import ssl
import time

import pytest

import wsraw
from conftest import FORMAT_ERROR, TOKEN_ERROR, UNKNOWN, VALID, run, wait_until

OTHER = "127.0.0.2"


def is_let_in(server, source=None, tls=True):
    """Does a player from there get to log in?"""
    try:
        with server.open(tls, source=source) as client:
            return client.login(VALID)["type"] == "auth_success"
    except (OSError, ssl.SSLError, AssertionError, EOFError):
        return False


# Failures of one connection

@pytest.mark.parametrize("tls", [True, False])
def test_failures_of_a_connection(server_factory, tls):
    server = server_factory("--max-failures", "3", trust=None)
    with server.open(tls) as client:
        assert client.login(UNKNOWN) == TOKEN_ERROR
        assert client.login("no token") == FORMAT_ERROR
        assert client.login(VALID)["type"] == "auth_success"
        assert client.login(UNKNOWN) == TOKEN_ERROR
        last = time.monotonic()
        assert client.read_close(3) == 1008
        assert time.monotonic() - last > 0.9, "right behind the answer"
        client.expect_eof()
    server.wait_log("too many failed logins")


def test_what_follows_the_last_failure_is_not_answered(server_factory):
    server = server_factory("--max-failures", "3", trust=None)
    with server.open() as client:
        client.send(b"".join(wsraw.frame(
            wsraw.TEXT, '{"type":"token_auth","payload":{"token":"x"}}')
            for _ in range(50)))
        for _ in range(3):
            assert client.read_json() == FORMAT_ERROR
        assert client.read_close(3) == 1008


def test_trusted_peer_may_fail(server_factory):
    server = server_factory("--max-failures", "3", "--max-address-failures",
                            "3", trust="127.0.0.0/30")
    with server.open() as client:
        for _ in range(30):
            assert client.login(UNKNOWN) == TOKEN_ERROR
    assert is_let_in(server)


# Failures of one address

def test_failures_of_an_address(server_factory):
    """They add up over connections, and are forgiven with time."""
    server = server_factory("--max-address-failures", "20", trust=None)
    first, second = server.open(), server.open()
    for client in (first, second) * 10:
        client.login(UNKNOWN)
    gone = second if second.read_close(4) else first
    gone.close()
    assert not is_let_in(server)
    assert not is_let_in(server, tls=False)
    assert is_let_in(server, OTHER), "another address is held responsible"
    wait_until(lambda: is_let_in(server), 8, 0.3)  # one each three seconds
    for client in (first, second):
        client.close()


def test_connections_that_were_there_go_on(server_factory):
    """Whoever behaves stays in, though a neighbour has used up the failures
    of their address."""
    server = server_factory("--max-address-failures", "5", trust=None)
    with server.open(token=VALID) as well_behaved:
        with server.open() as client:
            for _ in range(5):
                client.login(UNKNOWN)
            assert client.read_close(4) == 1008
        well_behaved.expect_alive()
        assert well_behaved.login(VALID)["type"] == "auth_success"


# Connections of one address

def test_connections_of_an_address(server_factory):
    server = server_factory("--max-address-connections", "3", trust=None)
    mine = [server.open(token=VALID) for _ in range(3)]
    assert not is_let_in(server)
    assert not is_let_in(server, tls=False)
    assert is_let_in(server, OTHER)
    for client in mine:
        client.expect_alive()
    mine.pop().close()
    wait_until(lambda: is_let_in(server))
    for client in mine:
        client.close()


def test_connections_that_say_nothing_count(server_factory):
    server = server_factory("--max-address-connections", "3", trust=None)
    address = ("127.0.0.1", server.plain_port)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(socket.create_connection(address, 5))
        assert is_let_in(server, OTHER)  # by now all three are accepted
        assert not is_let_in(server)
    wait_until(lambda: is_let_in(server))


def test_flood_of_one_address_leaves_room(server_factory):
    """200 connections at once: three stay, nobody else notices."""
    server = server_factory("--max-address-connections", "3",
                            "--max-connections", "50", trust=None)
    address = ("127.0.0.1", server.plain_port)
    flood = []
    try:
        for _ in range(200):
            flood.append(socket.create_connection(address, 5))
        for _ in range(5):
            assert is_let_in(server, OTHER)
    finally:
        for sock in flood:
            sock.close()
    assert len(server.log_text().splitlines()) < 250


def test_ipv6_counts_as_well(server_factory):
    server = server_factory("--max-address-connections", "2", listen="[::1]:0",
                            trust=None)
    port = server.port
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(socket.create_connection(("::1", port), 5))
        third = stack.enter_context(socket.create_connection(("::1", port), 5))
        third.settimeout(3)
        with contextlib.suppress(ConnectionResetError):
            assert third.recv(1) == b""


def test_mapped_ipv4_counts_as_ipv4(server_factory):
    """Over a listener on [::] too, --trust names IPv4 addresses as such."""
    server = server_factory("--max-failures", "2", listen="[::]:0",
                            trust="127.0.0.1")
    port = server.port
    with wsraw.Client.connect(("127.0.0.1", port),
                              server.ssl_context()) as client:
        client.upgrade(host="localhost")
        for _ in range(10):
            assert client.login(UNKNOWN) == TOKEN_ERROR


# Options

@pytest.mark.parametrize("value", ["10.0.0.0/33", "fd00::/129", "10.0.0/8",
                                   "localhost", "10.0.0.0/", "/8", "::1/-1"])
def test_bad_trust(data_dir, value):
    result = run("--data", data_dir, "--listen", "127.0.0.1:0",
                 "--trust", value)
    assert result.returncode == 2
    assert "--trust" in result.stderr and value in result.stderr
    assert list(data_dir.iterdir()) == []
