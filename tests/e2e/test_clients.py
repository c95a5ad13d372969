"""
Programs that people use: websockets, curl, openssl. They trust the CA as
docs/trust.md has it: in a file that `openchampps cert --ca pem` wrote.
"""

import asyncio
import json
import select
import shutil
import ssl
import subprocess
import time

import pytest
import websockets

import wsraw
from conftest import (AUTH_REQUIRED, AWKWARD, AWKWARD_IDS, REVOKED,
                      TOKEN_ERROR, VALID, ws_login)

GOOD = '{"type":"token_auth","payload":{"token":"%s"}}' % VALID
SUCCESS = {"type": "auth_success",
           "payload": {"username": "jane.doe", "token": VALID}}


@pytest.fixture
def ssl_context(server):
    return ssl.create_default_context(cafile=server.exported_ca())


def needs(command):
    return pytest.mark.skipif(not shutil.which(command),
                              reason="needs " + command)


# python3-websockets

@pytest.mark.parametrize("tls", [True, False])
def test_websockets_logs_in(server, tls):
    assert json.loads(ws_login(server, VALID, tls)) == SUCCESS
    assert json.loads(ws_login(server, REVOKED, tls)) == TOKEN_ERROR


@pytest.mark.parametrize("tok", AWKWARD, ids=AWKWARD_IDS)
def test_websockets_reads_awkward_names(server, tok):
    answer = json.loads(ws_login(server, tok))
    assert answer["payload"] == {"username": AWKWARD[tok], "token": tok}


def test_websockets_ping_fragments_and_close(server, ssl_context):
    async def talk():
        async with websockets.connect(server.url, ssl=ssl_context) as socket:
            assert socket.subprotocol is None and socket.extensions == []
            await (await socket.ping())
            await socket.send([GOOD[:10], GOOD[10:30], GOOD[30:]])
            assert json.loads(await socket.recv()) == SUCCESS
            await socket.close(4001, "bye")
        return socket.close_code

    assert asyncio.run(asyncio.wait_for(talk(), 10)) == 4001


def test_websockets_sees_the_close_code(server, ssl_context):
    async def talk():
        async with websockets.connect(server.url, ssl=ssl_context) as socket:
            await socket.send(b"binary")
            with pytest.raises(websockets.ConnectionClosed) as caught:
                await socket.recv()
        return caught.value.rcvd.code

    assert asyncio.run(asyncio.wait_for(talk(), 10)) == 1003


def test_websockets_many_at_once(server, ssl_context):
    async def one():
        async with websockets.connect(server.url, ssl=ssl_context) as socket:
            for _ in range(5):
                await socket.send(GOOD)
                assert json.loads(await socket.recv()) == SUCCESS

    async def all_of_them():
        await asyncio.gather(*[one() for _ in range(50)])

    asyncio.run(asyncio.wait_for(all_of_them(), 40))


# curl

def curl(server, *args):
    result = subprocess.run(
        ["curl", "-sS", "--http1.1", "--cacert", str(server.exported_ca()), "-i",
         "-N", "--max-time", "3", *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=10)
    return result.returncode, result.stdout, result.stderr


@needs("curl")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_curl_reads_health(server, host):
    begin = time.monotonic()
    status, out, err = curl(server, "--ipv4", "https://%s:%d/health"
                            % (host, server.port))
    assert status == 0, err
    head, body = out.split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ") and body == b"OK"
    assert time.monotonic() - begin < 2, "curl waited for the end"


@needs("curl")
def test_curl_reads_health_without_tls(server):
    status, out, err = curl(server, "http://127.0.0.1:%d/health"
                            % server.plain_port)
    assert status == 0, err
    assert out.endswith(b"\r\n\r\nOK")


@needs("curl")
def test_curl_offers_http_2(server):
    """Whatever curl would like best, it gets HTTP/1.1."""
    result = subprocess.run(
        ["curl", "-sS", "--http2", "--cacert", str(server.exported_ca()),
         "--max-time", "3", "https://localhost:%d/health" % server.port],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=10)
    assert result.stdout == b"OK", result.stderr


@needs("curl")
def test_curl_upgrades(server):
    status, out, err = curl(
        server, "-H", "Connection: Upgrade", "-H", "Upgrade: websocket",
        "-H", "Sec-WebSocket-Version: 13", "-H",
        "Sec-WebSocket-Key: " + wsraw.SAMPLE_KEY,
        "https://localhost:%d/ws" % server.port)
    assert status == 28, (status, err)  # it waits for more: it is upgraded
    assert out.startswith(b"HTTP/1.1 101 ")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in out


@needs("curl")
def test_curl_refuses_a_stranger(server):
    result = subprocess.run(
        ["curl", "-sS", "--max-time", "3", "https://localhost:%d/health"
         % server.port], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=10)
    assert result.returncode == 60, "the CA is not one the system trusts"


# openssl s_client

class Terminal:
    """s_client with an upgrade and frames typed by hand."""

    def __init__(self, server, *args):
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-quiet", "-no_ign_eof", "-tls1_2",
             "-verify_return_error", "-verify_hostname", "localhost",
             "-CAfile", str(server.exported_ca()), "-connect",
             "localhost:%d" % server.port, *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        self.buffer = b""

    def type(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def read_until(self, end):
        deadline = time.monotonic() + 8
        while end not in self.buffer:
            left = deadline - time.monotonic()
            assert left > 0, self.buffer
            if select.select([self.process.stdout], [], [], left)[0]:
                data = self.process.stdout.read1(65536)
                assert data, "it ended after %r" % self.buffer
                self.buffer += data
        head, _, self.buffer = self.buffer.partition(end)
        return head + end

    def end(self):
        self.process.kill()
        self.process.wait(5)
        self.process.stdin.close()
        self.process.stdout.close()


@needs("openssl")
def test_s_client_logs_in(server):
    terminal = Terminal(server)
    try:
        terminal.type(wsraw.upgrade_request(host=server.host()))
        assert b" 101 " in terminal.read_until(b"\r\n\r\n")
        terminal.type(wsraw.frame(wsraw.TEXT, '{"type":"chat"}'))
        answer = terminal.read_until(b"}}")
        assert json.loads(answer[2:]) == AUTH_REQUIRED
        terminal.type(wsraw.frame(wsraw.TEXT, GOOD))
        answer = terminal.read_until(b"}}")
        assert json.loads(answer[answer.index(b"{"):]) == SUCCESS
        terminal.type(wsraw.close_frame(1000))
        assert terminal.read_until(b"\x03\xe8") == b"\x88\x02\x03\xe8"
    finally:
        terminal.end()


@needs("openssl")
def test_s_client_verifies_the_chain(server):
    result = subprocess.run(
        ["openssl", "s_client", "-tls1_2", "-verify_return_error",
         "-verify_hostname", "localhost", "-CAfile", str(server.exported_ca()),
         "-connect", "localhost:%d" % server.port],
        input=b"", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=10)
    assert b"Verify return code: 0 (ok)" in result.stdout, result.stdout
