"""PROXY protocol version 2, and plain HTTP where TLS is spoken."""

import contextlib
import ipaddress
import socket
import ssl
import struct

import pytest

import wsraw
from conftest import TOKEN_ERROR, UNKNOWN, VALID, run

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def header(source, port=4711, command=1, tlvs=b"", family=None):
    """The header of a proxy that passes on a connection from there."""
    address = ipaddress.ip_address(source)
    body = address.packed * 2 + struct.pack("!HH", port, 443) + tlvs
    family = family or (0x11 if address.version == 4 else 0x21)
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family,
                                   len(body)) + body


LOCAL = SIGNATURE + struct.pack("!BBH", 0x20, 0, 0)


def through_proxy(server, head, tls=True, pause=None):
    """A connection that begins with this header."""
    sock = socket.create_connection(
        ("127.0.0.1", server.port if tls else server.plain_port), 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in [head] if pause is None else [head[:pause], head[pause:]]:
        sock.sendall(piece)
    if tls:
        sock = server.ssl_context().wrap_socket(sock,
                                                server_hostname="localhost")
    return wsraw.Client(sock)


def logs_in(server, head, **options):
    try:
        with through_proxy(server, head, **options) as client:
            client.upgrade(host="localhost")
            return client.login(VALID)["type"] == "auth_success"
    except (OSError, ssl.SSLError, AssertionError, EOFError):
        return False


@pytest.fixture(name="proxied")
def proxied_server(server_factory):
    return server_factory("--proxy-protocol", "--max-address-connections", "2",
                          "--max-failures", "3", trust="127.0.0.0/8")


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("head", [
    header("192.0.2.7"), header("2001:db8::7"), LOCAL,
    header("192.0.2.7", tlvs=b"\x04\0\x64" + bytes(100)),
], ids=["ipv4", "ipv6", "local", "with TLVs"])
def test_player_behind_a_proxy(proxied, head, tls):
    assert logs_in(proxied, head, tls=tls)


@pytest.mark.parametrize("pause", [1, 12, 15, 16, 20, 27])
def test_header_in_two_pieces(proxied, pause):
    assert logs_in(proxied, header("192.0.2.7"), pause=pause)


def test_real_address_is_in_the_log(proxied):
    assert logs_in(proxied, header("192.0.2.77", port=1234))
    proxied.wait_log(r"closed peer=192\.0\.2\.77:1234 ")
    assert logs_in(proxied, header("2001:db8::77", port=1234))
    proxied.wait_log(r"closed peer=\[2001:db8::77\]:1234 ")


def test_real_address_is_what_counts(proxied):
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            client = stack.enter_context(
                through_proxy(proxied, header("192.0.2.7")))
            client.upgrade(host="localhost")
        assert not logs_in(proxied, header("192.0.2.7"))
        assert logs_in(proxied, header("192.0.2.8"))
        assert logs_in(proxied, LOCAL)


def test_real_address_is_not_trusted(proxied):
    with through_proxy(proxied, header("192.0.2.7")) as client:
        client.upgrade(host="localhost")
        for _ in range(3):
            assert client.login(UNKNOWN) == TOKEN_ERROR
        assert client.read_close(3) == 1008


def test_a_trusted_source_stays_trusted(proxied):
    with through_proxy(proxied, header("127.0.0.9")) as client:
        client.upgrade(host="localhost")
        for _ in range(10):
            assert client.login(UNKNOWN) == TOKEN_ERROR


@pytest.mark.parametrize("head", [
    b"", b"GET /ws HTTP/1.1\r\n", b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n",
    SIGNATURE + b"\x11\x11\0\x0c" + bytes(12),
    SIGNATURE + b"\x22\x11\0\x0c" + bytes(12),
    SIGNATURE + b"\x21\x11\0\x0b" + bytes(11),
    SIGNATURE + b"\x21\x21\0\x23" + bytes(35),
    SIGNATURE + b"\x21\x31\0\xd8" + bytes(216),
    SIGNATURE + b"\x21\x12\0\x0c" + bytes(12),
    SIGNATURE + b"\x21\x11\xff\xff" + bytes(600),
], ids=["none", "HTTP", "version 1", "version 1 in binary", "unknown command",
        "short IPv4", "short IPv6", "unix socket", "UDP", "too long"])
def test_bad_header(proxied, head):
    assert not logs_in(proxied, head)
    assert logs_in(proxied, header("192.0.2.7"))


def test_header_from_a_stranger_is_not_believed(server_factory):
    """Who is not trusted speaks TLS at once; a header is no TLS."""
    server = server_factory("--proxy-protocol", "--max-address-connections",
                            "1", trust="192.0.2.1")
    assert not logs_in(server, header("198.51.100.1"))
    with server.open(token=VALID):
        assert not logs_in(server, header("198.51.100.1"))


def test_forwarded_for_is_never_believed(server_factory):
    server = server_factory("--max-address-connections", "1", trust=None)
    extra = ["X-Forwarded-For: 192.0.2.7", "Forwarded: for=192.0.2.7"]
    with server.connect() as client:
        client.upgrade(host="localhost", extra=extra)
        sock = socket.create_connection(("127.0.0.1", server.plain_port), 5)
        with wsraw.Client(sock) as second:
            second.send_quietly(wsraw.upgrade_request(extra=[
                "X-Forwarded-For: 192.0.2.8"]))
            assert second.read_to_eof(3) == b""
    server.wait_log(r"closed peer=127\.0\.0\.1:")


def test_health_behind_a_proxy(proxied):
    where = "127.0.0.1:%d" % proxied.port
    assert run("health", "--listen", where).returncode == 1
    result = run("health", "--listen", where, "--proxy-protocol")
    assert result.returncode == 0, result.stderr


def test_proxies_have_to_be_named(data_dir):
    result = run("--data", data_dir, "--listen", "127.0.0.1:0",
                 "--proxy-protocol")
    assert result.returncode == 2 and "--trust" in result.stderr


# Plain HTTP on the TLS port

@pytest.mark.parametrize("request_", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", wsraw.upgrade_request(),
    b"POST /x HTTP/1.0\r\n\r\n" + bytes(5000), b"G",
], ids=["GET", "upgrade", "POST", "one byte"])
def test_plain_http_on_the_tls_port(server, request_):
    with wsraw.Client(socket.create_connection(("127.0.0.1", server.port),
                                               5)) as client:
        client.send(request_)
        response = client.read_response()
        assert response.status == 400
        assert b"TLS" in response.body
        client.expect_eof()


def test_other_bytes_on_the_tls_port_get_no_answer(server):
    for data in (b"\0", b"\xff" * 40, b"\x80\x2e\1\0\2", b"hello\r\n"):
        with wsraw.Client(socket.create_connection(
                ("127.0.0.1", server.port), 5)) as client:
            client.send(data)
            with contextlib.suppress(OSError):  # it may be gone already
                client.sock.shutdown(socket.SHUT_WR)
            assert client.read_to_eof(5) == b""
