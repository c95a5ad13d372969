"""The echo server: the same WebSocket and TLS code under large messages."""

import asyncio
import os
import random

import pytest
import websockets

import wsraw
from wsraw import BINARY, CONT, PING, PONG, TEXT, frame

SIZES = [0, 1, 2, 124, 125, 126, 127, 4096, 4097, 16383, 16384, 16385,
         65535, 65536, 65537, 1 << 20, (1 << 20) + 1]
LIMIT = 1 << 24


@pytest.fixture(params=["wss", "ws"])
def client(echo, request):
    with echo.open(tls=request.param == "wss", timeout=30) as client:
        yield client


def payload_of(opcode, size):
    if opcode == BINARY:
        return random.Random(size).randbytes(size)
    text = "a\u00e9\u20ac\U0001f600" * (size // 10)
    return text.encode() + b"x" * (size - len(text.encode()))


def read_message(client):
    """(opcode, payload) of the next message, however it is cut."""
    first = client.read_frame()
    parts, last = [first.payload], first
    while not last.fin:
        last = client.read_frame()
        assert last.opcode == CONT
        parts.append(last.payload)
    return first.opcode, b"".join(parts)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", SIZES)
def test_echo(client, opcode, size):
    payload = payload_of(opcode, size)
    assert len(payload) == size
    client.send(frame(opcode, payload))
    assert read_message(client) == (opcode, payload)
    client.expect_alive()


@pytest.mark.limit(120)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_echo_of_the_largest_message(client, opcode):
    payload = payload_of(opcode, LIMIT)
    client.send(frame(opcode, payload))
    assert read_message(client) == (opcode, payload)
    client.expect_alive()


def test_message_over_the_limit(client):
    client.send(wsraw.header(BINARY, LIMIT + 1))
    client.expect_close(1009)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("piece", [1, 7, 125, 126, 1000, 65536])
def test_echo_of_fragments_with_pings_between(client, opcode, piece):
    payload = payload_of(opcode, piece * 20 + 3)
    client.send(frame(opcode, payload[:piece], fin=False))
    for at in range(piece, len(payload), piece):
        mark = b"%d" % at
        client.send(frame(PING, mark))
        assert client.read_frame()[2:] == (PONG, mark)
        client.send(frame(CONT, payload[at:at + piece], fin=False))
    client.send(frame(CONT))
    assert read_message(client) == (opcode, payload)


def test_empty_fragments(client):
    client.send(frame(TEXT, fin=False) + frame(CONT, fin=False)
                + frame(CONT))
    assert read_message(client) == (TEXT, b"")


def test_many_messages_in_one_write(client):
    payloads = [payload_of(BINARY, n) for n in range(0, 300, 3)]
    client.send(b"".join(frame(BINARY, p) for p in payloads))
    for payload in payloads:
        assert read_message(client) == (BINARY, payload)


@pytest.mark.parametrize("cut", [1, 3, 1000, 16384])
def test_megabyte_in_pieces(client, cut):
    size = 1 << 20 if cut > 100 else 1 << 12
    payload = payload_of(BINARY, size)
    data = frame(BINARY, payload)
    for at in range(0, len(data), cut):
        client.send(data[at:at + cut])
    assert read_message(client) == (BINARY, payload)


def test_text_that_is_no_utf8(client):
    client.send(frame(TEXT, b"a" * 70000 + b"\xff"))
    client.expect_close(1007)


def test_bad_utf8_is_seen_before_the_message_ends(client):
    """Fail fast: nobody waits for the rest of a text that is bad."""
    client.send(frame(TEXT, b"a\xff", fin=False))
    client.expect_close(1007)


def test_masks_and_offsets(client):
    for size in range(1, 40):
        mask, payload = os.urandom(4), os.urandom(size)
        client.send(frame(BINARY, payload, mask=mask))
        assert read_message(client) == (BINARY, payload)


def test_real_client(echo):
    async def talk(url, **options):
        async with websockets.connect(url, max_size=None,
                                      **options) as socket:
            for message in ("", "hello \U0001f600", b"\x00\xff" * 70000,
                            ["frag", "men", "ts"]):
                await socket.send(message)
                want = "".join(message) if isinstance(message, list) else (
                    message)
                assert await socket.recv() == want
            await (await socket.ping(b"x"))

    for url, options in ((echo.url, {"ssl": echo.ssl_context()}),
                         (echo.plain_url, {})):
        asyncio.run(asyncio.wait_for(talk(url, **options), 20))


def test_close_is_echoed(client):
    client.send(wsraw.close_frame(3000, b"bye"))
    client.expect_close(3000, answer=False)
