"""Limits by connection and by address: reaching one costs that peer only."""

import contextlib
import os
import signal
import socket
import ssl
import struct
import time

import pytest

import wsraw
from conftest import FORMAT_ERROR, TOKEN_ERROR, UNKNOWN, VALID, run, wait_until
from strace import Strace, needs_strace

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

def hello_in_records(context, count):
    """A ClientHello in so many records, of one byte each but for the first."""
    outward = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), outward).do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = outward.read()[5:]
    cuts = [0, *range(len(hello) - count + 1, len(hello) + 1)]
    return b"".join(struct.pack(">BHH", 22, 0x301, end - begin)
                    + hello[begin:end] for begin, end in zip(cuts, cuts[1:]))


def answers_by_turn(trace):
    """How many first flights the server has sent between two polls."""
    turns = [0]
    for line in trace.read_text().splitlines():
        name, _, rest = line.split(" ", 1)[-1].strip().partition("(")
        if name in ("poll", "ppoll"):
            turns.append(0)
        elif name == "sendto" and int(rest.rpartition("= ")[2]) > 200:
            turns[-1] += 1
    return turns


@needs_strace
def test_handshakes_of_an_address_in_one_turn(server_factory, tmp_path):
    """However its hellos are cut: what was read ahead has to wait for its turn
    as well. They are such that all would be complete after as many turns."""
    server = server_factory(plain=False, trust=None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    socks = [socket.create_connection(("127.0.0.1", server.port))
             for _ in range(12)]
    wait_until(lambda: len(os.listdir("/proc/%d/fd" % server.pid)) > 12)
    trace = tmp_path / "trace"
    with Strace(server, trace=("poll", "ppoll", "sendto"), output=str(trace)):
        server.signal(signal.SIGSTOP)
        for n, sock in enumerate(socks):
            sock.sendall(hello_in_records(context, 8 * (6 - n // 2) - 2))
        server.signal(signal.SIGCONT)
        for sock in socks:
            sock.settimeout(10)
            assert sock.recv(1) == b"\x16"
    turns = answers_by_turn(trace)
    assert sum(turns) == 12
    assert max(turns) <= 2
    for sock in socks:
        sock.close()


@pytest.mark.parametrize("value", ["10.0.0.0/33", "fd00::/129", "10.0.0/8",
                                   "localhost", "10.0.0.0/", "/8", "::1/-1"])
def test_bad_trust(data_dir, value):
    result = run("--data", data_dir, "--listen", "127.0.0.1:0",
                 "--trust", value)
    assert result.returncode == 2
    assert "--trust" in result.stderr and value in result.stderr
    assert list(data_dir.iterdir()) == []
