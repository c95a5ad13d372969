"""Signals, reloads, limits, changes from outside, and what must not leak."""

import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import time

import pytest

import wsraw
from conftest import (AWKWARD, REVOKED, SECOND, TOKEN_ERROR, VALID,
                      import_rows, last_used, row, run, token,
                      wait_until)
from wsraw import TEXT, close_frame, frame

GOOD = '{"type":"token_auth","payload":{"token":"%s"}}' % VALID


# SIGTERM

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_says_going_away_to_all(server_factory, number):
    server = server_factory()
    clients = [server.open(tls, token=VALID) for tls in
               (True, False, True, False)] + [server.open(), server.open()]
    time.sleep(1.2)
    begin = time.monotonic()
    server.signal(number)
    for client in clients:
        assert client.read_close(3) == 1001
        client.send_quietly(close_frame(1001))
        client.expect_eof()
    assert server.wait() == 0
    assert time.monotonic() - begin < 5


def test_no_close_right_behind_an_answer(server_factory):
    """Godot loses a message that arrives together with a Close."""
    server = server_factory()
    clients = [server.open(), server.open(tls=False)]
    for client in clients:
        client.send_text(GOOD)
    answered = {}
    for client in clients:
        assert client.read_json()["type"] == "auth_success"
        answered[client] = time.monotonic()
    server.signal()
    for client in clients:
        assert client.read_close(8) == 1001
        spent = time.monotonic() - answered[client]
        assert spent > 0.9, "Close %.2f s after the answer" % spent
        client.send_quietly(close_frame(1001))
    assert server.wait() == 0


def test_request_during_the_end(server_factory):
    """It is answered, or the connection closed; never left open."""
    server = server_factory()
    client = server.open()
    client.send_text(GOOD)
    server.signal()
    first = client.read_frame()
    if first.opcode == TEXT:
        at = time.monotonic()
        assert client.read_close(8) == 1001
        assert time.monotonic() - at > 0.9
    else:
        assert first.payload[:2] == struct.pack("!H", 1001)
    assert server.wait() == 0


def test_what_had_come_is_answered(server_factory):
    """One login on each of many connections, unread when SIGTERM comes."""
    server = server_factory()
    clients = [server.open(tls=i % 2 == 0) for i in range(20)]
    server.signal(signal.SIGSTOP)
    for client in clients:
        client.send_text(GOOD)
    server.signal()
    server.signal(signal.SIGCONT)
    for client in clients:
        assert client.read_json()["type"] == "auth_success"
    for client in clients:
        assert client.read_close(8) == 1001
        client.send_quietly(close_frame(1001))
    assert server.wait() == 0
    assert "settled=yes" in server.log_text()


def test_peers_that_ignore_the_close(server_factory):
    server = server_factory()
    clients = [server.open(token=VALID) for _ in range(5)]
    begin = time.monotonic()
    server.signal()
    assert server.wait(10) == 0
    assert time.monotonic() - begin < 9
    for client in clients:
        assert client.read_close() == 1001
        client.expect_eof()


def test_peers_in_the_middle_of_something(server_factory):
    """Half a handshake, half a request, half a frame, an unread answer."""
    server = server_factory()
    clients = [wsraw.Client.connect(("127.0.0.1", server.port)),
               server.connect(), server.connect(tls=False), server.open(),
               server.open(tls=False)]
    clients[0].send(b"\x16\x03\x01\x02")
    clients[2].send(b"GET /ws HT")
    clients[3].send(frame(TEXT, GOOD)[:9])
    clients[4].send(frame(TEXT, GOOD) * 500)
    server.signal()
    assert server.wait(10) == 0


def test_no_new_connection_during_the_end(server_factory):
    server = server_factory()
    client = server.open(token=VALID)
    server.signal()
    time.sleep(0.3)
    with pytest.raises((OSError, EOFError, TimeoutError)):
        late = server.connect(tls=False, timeout=2)
        late.upgrade()
    client.close()
    assert server.wait() == 0


def test_second_signal_ends_at_once(server_factory):
    server = server_factory()
    client = server.open(token=VALID)
    server.signal()
    time.sleep(0.3)
    assert server.process.poll() is None, "it did not wait for its peer"
    begin = time.monotonic()
    server.signal()
    server.wait(3)
    assert time.monotonic() - begin < 1
    client.close()
    assert last_used(server.data, VALID)


def test_signal_without_connections(server_factory):
    server = server_factory()
    begin = time.monotonic()
    server.signal()
    assert server.wait() == 0
    assert time.monotonic() - begin < 2


def test_port_is_free_again_at_once(server_factory):
    server = server_factory()
    server.open(token=VALID).close()
    port = server.port
    server.stop()
    again = server_factory(listen="127.0.0.1:%d" % port,
                           data=server.data, rows=None)
    again.open(token=VALID).close()


# SIGHUP

def make_pair(folder, name, common_name="localhost"):
    cert, key = folder / (name + ".pem"), folder / (name + ".key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(key), "-out",
         str(cert), "-days", "30", "-subj", "/CN=" + common_name, "-addext",
         "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    key.chmod(0o600)
    return cert.read_bytes(), key.read_bytes()


def served(server):
    """The certificate that a new connection is shown, as PEM."""
    return ssl.get_server_certificate(("127.0.0.1", server.port)).strip()


@pytest.fixture
def own_pair(server_factory, data_dir):
    """A server with --cert/--key, and the pair's bytes."""
    first = make_pair(data_dir, "live")
    cert, key = data_dir / "live.pem", data_dir / "live.key"
    server = server_factory("--cert", cert, "--key", key)
    server.ca_file = cert
    return server, cert, key, first


def test_reload_serves_a_new_certificate(own_pair, data_dir):
    server, cert, key, first = own_pair
    old = server.open(token=VALID)
    assert served(server) == first[0].decode().strip()
    second = make_pair(data_dir, "next")
    cert.write_bytes(second[0])
    key.write_bytes(second[1])
    server.signal(signal.SIGHUP)
    wait_until(lambda: served(server) == second[0].decode().strip())
    assert old.login(SECOND)["type"] == "auth_success"
    server.open(token=VALID).close()
    old.close()


@pytest.mark.parametrize("bad", ["certificate", "key", "mismatch", "gone",
                                 "readable"])
def test_reload_of_a_bad_pair_keeps_the_old(own_pair, data_dir, bad):
    server, cert, key, first = own_pair
    second = make_pair(data_dir, "next")
    if bad == "certificate":
        cert.write_text("garbage")
    elif bad == "key":
        key.write_text("garbage")
    elif bad == "mismatch":
        key.write_bytes(second[1])
    elif bad == "gone":
        cert.unlink()
    else:
        key.chmod(0o644)
    mark = server.log_mark()
    server.signal(signal.SIGHUP)
    server.wait_log(r"live\.(pem|key)", start=mark)
    assert served(server) == first[0].decode().strip()
    assert server.get("/health", tls=False).status == 200


def test_reload_without_a_pair_of_ones_own(server_factory):
    server = server_factory()
    before = served(server)
    client = server.open(token=VALID)
    server.signal(signal.SIGHUP)
    for _ in range(5):
        client.expect_alive()
        assert served(server) == before
    client.close()


# Changes made by another process

def test_imported_token_works_at_once(server_factory):
    server = server_factory()
    with server.open() as client:
        assert client.login(token(0x70)) == TOKEN_ERROR
        import_rows(server.data, [row(token(0x70), "new")])
        assert client.login(token(0x70))["payload"]["username"] == "new"


def test_import_does_not_stall_logins(server_factory):
    server = server_factory()
    with server.open() as client:
        rows = [row(token(0x10000 + i), "bulk%d" % i) for i in range(20000)]
        import_rows(server.data, rows)
        assert client.login(VALID)["type"] == "auth_success"
        assert client.login(token(0x10000 + 19999))["payload"][
            "username"] == "bulk19999"


# Limits and leaks

def test_connection_limit(server_factory):
    server = server_factory("--max-connections", "4")
    held = [server.open(token=VALID) for _ in range(4)]
    with pytest.raises((OSError, EOFError, TimeoutError)):
        server.open(timeout=3)
    for client in held:
        client.expect_alive()
    held.pop().close()
    wait_until(lambda: can_open(server))
    for client in held:
        client.expect_alive()
        client.close()


def can_open(server):
    try:
        server.open(token=VALID, timeout=2).close()
        return True
    except (OSError, EOFError, TimeoutError):
        return False


def descriptors(server):
    return len(os.listdir("/proc/%d/fd" % server.pid))


def resident_kib(server):
    with open("/proc/%d/status" % server.pid, encoding="utf-8") as status:
        for line in status:
            if line.startswith("VmRSS"):
                return int(line.split()[1])
    raise AssertionError("no VmRSS")


def churn(server, count):
    """Connections that end in every way there is."""
    for i in range(count):
        client = server.open(tls=i % 2 == 0)
        if i % 5 == 0:
            client.send(close_frame(1000))
            client.expect_close(1000, answer=False)
        elif i % 5 == 1:
            client.login(VALID)
        elif i % 5 == 2:
            client.send(frame(3))
            client.expect_close(1002)
        elif i % 5 == 3:
            client.abort()
        client.close()
        if i % 5 == 4:
            server.get("/health", tls=i % 2 == 0)


def test_nothing_leaks(server_factory):
    server = server_factory()
    churn(server, 50)
    wait_until(lambda: descriptors(server) < 40, 10)
    before, memory = descriptors(server), resident_kib(server)
    churn(server, 300)
    wait_until(lambda: descriptors(server) <= before, 10)
    assert resident_kib(server) < memory + 1024


@pytest.mark.parametrize("tls", [True, False])
def test_peer_that_never_reads(server_factory, tls):
    """Its answers fill the pipe; then it is not read any more."""
    server = server_factory()
    client = server.open(tls)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    before = resident_kib(server)
    data = frame(TEXT, GOOD) * 1000
    client.sock.settimeout(1)
    sent = 0
    try:
        while sent < 200:
            client.sock.sendall(data)
            sent += 1
    except (socket.timeout, ConnectionError, ssl.SSLError):
        pass
    assert sent < 200, "the server took 18 MB and nobody read an answer"
    assert resident_kib(server) < before + 8192
    with server.open() as other:
        begin = time.monotonic()
        assert other.login(REVOKED) == TOKEN_ERROR
        assert time.monotonic() - begin < 1
    client.close()


def test_slow_reader_gets_every_answer(server_factory):
    """20000 requests by one that reads late: all answers, in order."""
    server = server_factory()
    client = server.open(tls=False)
    count, sent = 20000, 0
    data = memoryview(frame(TEXT, GOOD) * count)
    got = bytearray()
    client.sock.settimeout(0.05)
    end = time.monotonic() + 40
    expected = len(server_frame(client))
    while len(got) < expected * count and time.monotonic() < end:
        if sent < len(data):
            try:
                sent += client.sock.send(data[sent:sent + 65536])
            except socket.timeout:
                pass
        try:
            got += client.sock.recv(65536)
        except socket.timeout:
            pass
    assert bytes(got) == bytes(got[:expected]) * count
    client.close()


def server_frame(client):
    """The bytes of one success, as they come off the wire."""
    client.send_text(GOOD)
    text = client.read_text()
    return frame(TEXT, text, mask=None)


def test_idle_server_does_not_spin(server_factory):
    """With connections open and nothing to do it uses hardly any time."""
    server = server_factory()
    clients = [server.open(token=VALID) for _ in range(10)]
    half = wsraw.Client.connect(("127.0.0.1", server.port))
    time.sleep(0.5)
    before = cpu_ticks(server)
    time.sleep(3)
    assert cpu_ticks(server) - before <= 15
    for client in [*clients, half]:
        client.close()


def cpu_ticks(server):
    with open("/proc/%d/stat" % server.pid, encoding="utf-8") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


# What an operator and a container see

PAIR = r'([a-z][a-z0-9_]*)=("(?:[^"\\\x00-\x1f]|\\.)*"|[^\s"=]*)'
LOGFMT = re.compile(r'%s( %s| [^\s"=]+)*' % (PAIR, PAIR))


def test_log_is_logfmt_whatever_peers_send(server_factory):
    """No peer writes a line of the log, or breaks one."""
    server = server_factory()
    bad = "x\nlevel=error msg=forged"
    for tok in AWKWARD:
        server.open(token=tok).close()
    for data in (b"GET /\x1b[31m\nlevel=error HTTP/1.1\r\n\r\n",
                 b"GET /\" msg=forged HTTP/1.1\r\nHost: \"x\"\r\n\r\n"):
        with server.connect(tls=False) as client:
            client.send(data)
            client.read_to_eof(5)
    with server.open() as client:
        client.send_json({"type": bad, "payload": {"token": bad}})
        client.read_json()
        client.send(close_frame(4000, bad.encode()))
        client.expect_close(4000, answer=False)
    server.stop()
    for line in server.log_text().splitlines():
        assert LOGFMT.fullmatch(line), line
        names = [name for name, _ in re.findall(PAIR, line)]
        assert len(set(names)) == len(names), line


@pytest.mark.parametrize("tls", [True, False])
def test_health_command(server_factory, tls):
    server = server_factory(rows=None)
    url = (server.url if tls else server.plain_url).replace("ws", "http", 1)
    url = url.replace("localhost", "127.0.0.1")[:-len("/ws")] + "/health"
    result = run("health", url)
    assert result.returncode == 0, result.stderr
    server.stop()
    result = run("health", url)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1, result.stderr
