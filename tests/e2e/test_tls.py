"""TLS: one version, few ciphers, deadlines for what will not finish."""

import collections
import concurrent.futures
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
import warnings

import pytest

import wsraw
from conftest import VALID, run
from wsraw import upgrade_request

pytestmark = pytest.mark.skipif(not shutil.which("openssl"),
                                reason="needs the openssl command")

NAMES = ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"]


def s_client(server, *args, text="", timeout=10):
    """openssl s_client: exit status and all it printed."""
    command = ["openssl", "s_client", "-connect",
               "127.0.0.1:%d" % server.port, "-CAfile", str(server.ca_file),
               "-servername", "localhost", *args]
    result = subprocess.run(command, input=text, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, timeout=timeout,
                            encoding="utf-8", errors="replace")
    return result.returncode, result.stdout


def context_of(server, ciphers=None, low=None, high=None):
    context = server.ssl_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        if low:
            context.minimum_version = low
        if high:
            context.maximum_version = high
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def health(server, context=None):
    with server.connect(context=context) as client:
        client.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.read_response().status == 200
        return client.sock.cipher()[0]


# Versions

def test_version_is_1_2(server):
    with server.connect() as client:
        assert client.sock.version() == "TLSv1.2"


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1", "TLSv1_3"])
def test_other_version_is_refused(server, version):
    context = context_of(server, "ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = getattr(ssl.TLSVersion, version)
        context.maximum_version = getattr(ssl.TLSVersion, version)
    begin = time.monotonic()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        server.connect(context=context).close()
    assert time.monotonic() - begin < 3
    health(server)


def test_refusal_says_why(server):
    """A protocol_version alert, not a bare end of the stream."""
    context = context_of(server, low=ssl.TLSVersion.TLSv1_3)
    with pytest.raises(ssl.SSLError) as caught:
        server.connect(context=context).close()
    assert "ALERT" in str(caught.value).upper()


# Ciphers and curves

@pytest.mark.parametrize("name", NAMES)
def test_cipher(server, name):
    context = context_of(server, "ECDHE-ECDSA-" + name)
    assert health(server, context) == "ECDHE-ECDSA-" + name


def tls12_ciphers():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    return [c["name"] for c in context.get_ciphers()
            if not c["name"].startswith("TLS_")]


def refused_ciphers(server, wanted):
    """Tries each cipher that OpenSSL has, alone; returns what passed."""
    passed = set()
    for name in tls12_ciphers():
        context = context_of(server, name + ":@SECLEVEL=0",
                             high=ssl.TLSVersion.TLSv1_2)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            server.connect(context=context).close()
            passed.add(name)
        except (ssl.SSLError, ConnectionError):
            pass
    assert passed == wanted


def test_no_other_cipher_with_an_ec_key(server):
    refused_ciphers(server, {"ECDHE-ECDSA-" + n for n in NAMES})


def test_server_chooses_the_cipher(server):
    """Whatever the client's order, the server's first choice wins."""
    chosen = set()
    for order in (NAMES, NAMES[::-1]):
        names = ":".join("ECDHE-ECDSA-" + n for n in order)
        chosen.add(health(server, context_of(server, names)))
    assert len(chosen) == 1


@pytest.mark.parametrize("groups, key", [
    ("P-256", "prime256v1|P-256"), ("P-256:X25519", "X25519"),
    ("X25519:P-256", "X25519")])
def test_key_exchange(server, groups, key):
    status, output = s_client(server, "-tls1_2", "-groups", groups,
                              "-verify_return_error")
    assert status == 0, output
    assert re.search(r"Server Temp Key: .*(%s)" % key, output), output


def test_key_exchange_we_do_not_have(server):
    status, _ = s_client(server, "-tls1_2", "-groups", "X448")
    assert status != 0
    health(server)


# A key pair of the operator's

def make_pair(folder, algorithm):
    """A self-signed pair made by openssl: (certificate, key)."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", *algorithm, "-nodes",
         "-keyout", str(key), "-out", str(cert), "-days", "30", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True, timeout=30)
    key.chmod(0o600)
    return cert, key


def test_rsa_key(server_factory, data_dir):
    cert, key = make_pair(data_dir, ["rsa:2048"])
    server = server_factory("--cert", cert, "--key", key)
    server.ca_file = cert
    refused_ciphers(server, {"ECDHE-RSA-" + n for n in NAMES})
    with server.open(token=VALID) as client:
        assert client.sock.version() == "TLSv1.2"


def test_ec_key(server_factory, data_dir):
    cert, key = make_pair(data_dir, ["ec", "-pkeyopt",
                                     "ec_paramgen_curve:P-256"])
    server = server_factory("--cert", cert, "--key", key)
    server.ca_file = cert
    server.open(token=VALID).close()


# Sessions

def test_session_is_resumed(server):
    context = server.ssl_context()
    with server.connect(context=context) as first:
        first.upgrade()
        session = first.sock.session
    with server.connect(context=context, session=session) as second:
        assert second.sock.session_reused
        second.upgrade()
        assert second.login(VALID)["type"] == "auth_success"


def test_session_is_resumed_without_tickets(server):
    context = server.ssl_context()
    context.options |= ssl.OP_NO_TICKET
    first = server.connect(context=context)
    session = first.sock.session
    first.close()
    for _ in range(3):
        with server.connect(context=context, session=session) as again:
            assert again.sock.session_reused


def test_s_client_reconnects(server):
    status, output = s_client(server, "-tls1_2", "-reconnect")
    assert status == 0, output
    assert output.count("Reused, TLSv1.2") == 5, output


def test_unknown_session_gets_a_full_handshake(server, server_factory):
    context = server.ssl_context()
    first = server.connect(context=context)
    session = first.sock.session
    first.close()
    other = server_factory(rows=None)
    context.load_verify_locations(cafile=str(other.ca_file))
    with other.connect(context=context, session=session) as client:
        assert not client.sock.session_reused


def test_renegotiation_is_refused(server):
    """s_client's R asks for one; the old connection may go on or end."""
    status, output = s_client(server, "-tls1_2", text="R\n")
    assert "RENEGOTIATING" in output, output
    after = output.split("RENEGOTIATING", 1)[1]
    assert "verify return" not in after, after
    assert status != 0 or "no renegotiation" in after.lower()
    health(server)


# What is not TLS

@pytest.mark.parametrize("data", [
    b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    upgrade_request(), b"\x00" * 100, b"\xff" * 100, b"SSH-2.0-x\r\n",
    b"\x80\x2e\x01\x00\x02" + b"\x00" * 50, b"\x16\x03\x01\xff\xff" + b"x" * 9,
    b"\x16\x03\x03\x00\x05\x01\x00\x00\x01\x00",
    b"\x15\x03\x03\x00\x02\x02\x28",
    b"\x17\x03\x03\x00\x10" + b"x" * 16, b"\x14\x03\x03\x00\x01\x01",
], ids=["http", "upgrade", "zeros", "ones", "ssh", "sslv2", "too long",
        "empty hello", "alert", "data", "change cipher"])
def test_other_bytes_on_the_tls_port(server, data):
    address = ("127.0.0.1", server.port)
    with wsraw.Client.connect(address) as client:
        begin = time.monotonic()
        client.send(data)
        answer = client.read_to_eof(13)
        assert b"HTTP/1.1 101" not in answer
        assert time.monotonic() - begin < 12
    health(server)


def test_tls_on_the_plain_port(server):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        wsraw.Client.connect(("127.0.0.1", server.plain_port),
                             server.ssl_context()).close()
    assert server.get("/health", tls=False).status == 200


def test_name_that_the_certificate_lacks(server):
    with pytest.raises(ssl.SSLCertVerificationError):
        server.connect(name="other.example").close()
    health(server)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_name_that_the_certificate_has(server, name):
    server.connect(name=name).close()


def test_no_server_name(server):
    context = server.ssl_context()
    context.check_hostname = False
    with server.connect(context=context, name=None) as client:
        client.upgrade()


def test_application_protocols_are_ignored(server):
    context = server.ssl_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    health(server, context)


# How it ends

def test_close_notify_after_an_http_answer(server):
    with server.connect() as client:
        client.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.read_response()
        client.expect_eof()
        assert client.clean, "TCP ended without close_notify"


def test_close_notify_after_the_close_handshake(server):
    with server.open() as client:
        client.send(wsraw.close_frame(1000))
        client.expect_close(1000, answer=False)
        assert client.clean, "TCP ended without close_notify"


def test_client_close_notify_is_answered(server):
    client = server.open()
    client.sock.settimeout(5)
    client.sock.unwrap().close()


def test_broken_record(server):
    """A record that fails its check ends the connection, nothing else."""
    client = server.open()
    raw = socket.socket(fileno=client.sock.detach())
    raw.settimeout(5)
    with raw:
        raw.sendall(b"\x17\x03\x03\x00\x20" + b"\x00" * 32)
        try:
            while raw.recv(4096):
                pass
        except ConnectionError:
            pass
    health(server)


# Deadlines, all at the same time since each takes its seconds

Limits = collections.namedtuple("Limits", "handshake auth ping pong")
DEFAULTS = Limits(10, 10, 30, 10)
SHORT = Limits(3, 3, 4, 3)


def check_time(spent, limit):
    assert limit - 1 < spent < limit + 2.5, "ended after %.1f s" % spent


def ends_after(client, limit):
    """Silence ends the connection at this time."""
    begin = time.monotonic()
    client.read_to_eof(limit + 5)
    check_time(time.monotonic() - begin, limit)


def silent_handshake(server, limits):
    with wsraw.Client.connect(("127.0.0.1", server.port)) as client:
        ends_after(client, limits.handshake)


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def truncated_handshake(server, limits, count):
    with wsraw.Client.connect(("127.0.0.1", server.port)) as client:
        client.send(client_hello()[:count])
        ends_after(client, limits.handshake)


def trickled(client, data, limit):
    """A byte now and then does not move the deadline."""
    begin = time.monotonic()
    for i in range(25):
        client.send_quietly(data[i:i + 1])
        try:
            if not client.fill(time.monotonic() + limit / 10):
                break
        except TimeoutError:
            pass
    check_time(time.monotonic() - begin, limit)


def trickled_handshake(server, limits):
    with wsraw.Client.connect(("127.0.0.1", server.port)) as client:
        trickled(client, client_hello(), limits.handshake)


def no_request(server, limits, tls):
    with server.connect(tls) as client:
        ends_after(client, limits.handshake)


def trickled_request(server, limits, tls):
    with server.connect(tls) as client:
        trickled(client, upgrade_request(), limits.handshake)


def no_login(server, limits, tls):
    with server.open(tls) as client:
        begin = time.monotonic()
        client.send_json({"type": "chat"})
        client.read_json()
        assert client.read_close(limits.auth + 3) == 1008
        check_time(time.monotonic() - begin, limits.auth)
        client.expect_eof()


def pinged_when_idle(server, limits, answer):
    """Without a pong the end comes in time; a pong puts it off."""
    with server.open(token=VALID) as client:
        begin = time.monotonic()
        ping = client.read_frame(limits.ping + 5)
        assert ping.opcode == wsraw.PING
        check_time(time.monotonic() - begin, limits.ping)
        begin = time.monotonic()
        if answer:
            client.send_frame(wsraw.PONG, ping.payload)
            time.sleep(limits.pong + 0.5)
            client.expect_alive()
            return
        client.read_to_eof(limits.pong + 5)
        check_time(time.monotonic() - begin, limits.pong)


@pytest.mark.limit(90)
@pytest.mark.parametrize("limits", [
    SHORT, pytest.param(DEFAULTS, marks=pytest.mark.skipif(
        "E2E_SLOW" not in os.environ,
        reason="takes 45 s: set E2E_SLOW for it"))], ids=["short", "default"])
def test_deadlines(server_factory, limits):
    args = [] if limits == DEFAULTS else [
        "--handshake-timeout", limits.handshake, "--auth-timeout",
        limits.auth, "--ping-interval", limits.ping, "--pong-timeout",
        limits.pong]
    server = server_factory(*args)
    plan = [(silent_handshake,), (truncated_handshake, 3),
            (truncated_handshake, 100), (trickled_handshake,),
            (no_request, True), (no_request, False),
            (trickled_request, True), (trickled_request, False),
            (no_login, True), (no_login, False), (pinged_when_idle, True),
            (pinged_when_idle, False)]
    with concurrent.futures.ThreadPoolExecutor(len(plan)) as pool:
        jobs = {(task.__name__, *more): pool.submit(task, server, limits,
                                                    *more)
                for task, *more in plan}
    problems = {name: job.exception() for name, job in jobs.items()
                if job.exception()}
    assert not problems, problems
    health(server)


def test_deadlines_by_default():
    text = run("--help").stdout
    for option, seconds in zip(("--handshake-timeout", "--auth-timeout",
                                "--ping-interval", "--pong-timeout"),
                               DEFAULTS):
        assert re.search(r"%s SECONDS .*\[%ds\]" % (option, seconds), text)
