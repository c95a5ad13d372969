"""RFC 6455 as a hostile or clumsy client sees it."""

import json
import time

import pytest

import wsraw
from conftest import FORMAT_ERROR, VALID
from wsraw import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_frame, frame

GOOD = '{"type":"token_auth","payload":{"token":"%s"}}' % VALID
SUCCESS = {"type": "auth_success",
           "payload": {"username": "jane.doe", "token": VALID}}


@pytest.fixture(params=["wss", "ws"])
def client(server, request):
    with server.open(tls=request.param == "wss") as client:
        yield client


@pytest.fixture
def ws(server):
    with server.open(tls=False) as client:
        yield client


# The close handshake

@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009,
                                  1010, 1011, 3000, 3999, 4000, 4999])
def test_close_code_is_echoed(ws, code):
    ws.send(close_frame(code, "ciao \u00e9".encode()))
    ws.expect_close(code, answer=False)
    assert not ws.reset


def test_close_without_a_code(client):
    client.send(close_frame())
    client.expect_close(None, answer=False)
    assert client.clean


def test_close_with_the_longest_reason(ws):
    ws.send(close_frame(1000, b"r" * 123))
    ws.expect_close(1000, answer=False)


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016,
                                  1100, 2000, 2999, 5000, 65535])
def test_close_with_a_code_nobody_may_send(ws, code):
    ws.send(close_frame(code))
    ws.expect_close(1002)


def test_close_with_half_a_code(ws):
    ws.send_frame(CLOSE, b"\x03")
    ws.expect_close(1002)


@pytest.mark.parametrize("reason", [b"\xff", b"\xc3", b"\xed\xa0\x80",
                                    b"\xc0\x80", b"\xf4\x90\x80\x80"])
def test_close_with_a_reason_that_is_no_utf8(ws, reason):
    ws.send(close_frame(1000, reason))
    ws.expect_close(1007)


def test_nothing_after_a_close_is_answered(client):
    client.send(close_frame(1000) + frame(PING, b"x") + frame(TEXT, GOOD))
    client.expect_close(1000, answer=False)


def test_request_and_close_in_one_write(client):
    """The answer is not lost; the Close comes after it."""
    client.send(frame(TEXT, GOOD) + close_frame(1000))
    assert client.read_json() == SUCCESS
    client.expect_close(1000, within=5, answer=False)


def test_close_inside_a_fragmented_message(ws):
    ws.send(frame(TEXT, "{", fin=False) + close_frame(1000))
    ws.expect_close(1000, answer=False)


def test_peer_that_answers_our_close(client):
    client.send_frame(BINARY, b"x")
    assert client.read_close() == 1003
    client.send_quietly(close_frame(1003))
    client.expect_eof()


# What breaks the protocol

@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reserved_opcode(ws, opcode):
    ws.send_frame(opcode, b"x")
    ws.expect_close(1002)


@pytest.mark.parametrize("opcode", [CONT, TEXT, BINARY, CLOSE, PING, PONG])
@pytest.mark.parametrize("rsv", [1, 2, 4, 7])
def test_reserved_bit(ws, opcode, rsv):
    ws.send_frame(opcode, b"", rsv=rsv)
    ws.expect_close(1002)


@pytest.mark.parametrize("opcode", [TEXT, BINARY, CLOSE, PING, PONG])
def test_unmasked_frame(ws, opcode):
    payload = b"\x03\xe8" if opcode == CLOSE else b"{}"
    ws.send_frame(opcode, payload, mask=None)
    ws.expect_close(1002)


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_control_frame_in_fragments(ws, opcode):
    ws.send_frame(opcode, b"\x03\xe8", fin=False)
    ws.expect_close(1002)


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_control_frame_that_is_too_long(ws, opcode):
    ws.send(wsraw.header(opcode, 126))
    ws.expect_close(1002)


@pytest.mark.parametrize("fin", [True, False])
def test_continuation_of_nothing(ws, fin):
    ws.send_frame(CONT, b"x", fin=fin)
    ws.expect_close(1002)


def test_continuation_after_a_whole_message(ws):
    ws.send_text("{")
    assert ws.read_json() == FORMAT_ERROR
    ws.send_frame(CONT, b"}")
    ws.expect_close(1002)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_new_message_inside_a_fragmented_one(ws, opcode):
    ws.send(frame(TEXT, "{", fin=False) + frame(opcode, "}"))
    ws.expect_close(1002)


@pytest.mark.parametrize("form, size", [(16, 0), (16, 46), (16, 125),
                                        (64, 46), (64, 126), (64, 300)])
def test_length_not_in_the_shortest_form(ws, form, size):
    ws.send_frame(TEXT, b" " * size, form=form)
    ws.expect_close(1002)


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1,
                                    (1 << 63) + 46])
def test_length_with_the_highest_bit(ws, length):
    ws.send(wsraw.header(TEXT, length, form=64))
    ws.expect_close((1002, 1009))


def test_violation_after_requests_loses_no_answer(ws):
    ws.send(frame(TEXT, GOOD) * 3 + frame(3, b""))
    assert [ws.read_json() for _ in range(3)] == [SUCCESS] * 3
    ws.expect_close(1002, within=5)


def test_violation_is_answered_though_the_peer_goes_on(client):
    client.send(frame(TEXT, GOOD, mask=None))
    assert client.read_close() == 1002
    for _ in range(20):
        if not client.send_quietly(frame(TEXT, GOOD)):
            break
    client.read_to_eof(5)


@pytest.mark.parametrize("data, code", [
    (frame(TEXT, GOOD, rsv=4), 1002), (frame(TEXT, GOOD, mask=None), 1002),
    (frame(BINARY, b"x"), 1003), (frame(TEXT, b"\xff"), 1007),
    (wsraw.header(TEXT, 4097), 1009)],
    ids=["bit", "unmasked", "binary", "utf8", "too big"])
def test_peer_that_never_answers_our_close(client, data, code):
    """TCP is shut 2 s later whatever it does."""
    client.send(data)
    client.expect_close(code, answer=False)
    assert client.clean, "no close_notify, or a reset"


# Binary, size, UTF-8

@pytest.mark.parametrize("payload", [b"", b"x", GOOD.encode()])
def test_binary_message(client, payload):
    client.send_frame(BINARY, payload)
    client.expect_close(1003)


def test_binary_message_in_fragments(ws):
    ws.send_frame(BINARY, b"x", fin=False)
    ws.expect_close(1003)


@pytest.mark.parametrize("length", [4097, 65535, 65536, 1 << 31, 1 << 32,
                                    (1 << 63) - 1])
def test_message_too_big_by_its_header_alone(ws, length):
    ws.send(wsraw.header(TEXT, length))
    ws.expect_close(1009)


def test_message_too_big_with_its_payload(client):
    client.send(frame(TEXT, " " * 4097))
    assert client.read_close() == 1009
    client.read_to_eof(5)


def test_megabyte_message_gets_its_close(client):
    """A peer still sending gets to read why it is closed."""
    client.send_quietly(frame(TEXT, " " * 200000))
    assert client.read_close() == 1009
    client.read_to_eof(5)


def test_fragments_too_big_together(ws):
    ws.send(frame(TEXT, " " * 4000, fin=False)
            + wsraw.header(CONT, 97, fin=False))
    ws.expect_close(1009)


def test_fragments_of_exactly_the_limit(ws):
    text = GOOD + " " * (4096 - len(GOOD))
    ws.send(frame(TEXT, text[:4000], fin=False) + frame(CONT, text[4000:]))
    assert ws.read_json() == SUCCESS


def test_control_frames_do_not_count_for_the_size(ws):
    text = GOOD + " " * (4096 - len(GOOD))
    ws.send(frame(TEXT, text[:4000], fin=False)
            + frame(PING, b"p" * 125) * 3 + frame(CONT, text[4000:]))
    for _ in range(3):
        assert ws.read_frame()[2:] == (PONG, b"p" * 125)
    assert ws.read_json() == SUCCESS


BAD_UTF8 = [b"\xff", b"\x80", b"\xc0\x80", b"\xc1\xbf", b"\xc3", b"\xc3\x28",
            b"\xe2\x82", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xed\xbf\xbf",
            b"\xf0\x9f\x98", b"\xf0\x80\x80\x80", b"\xf4\x90\x80\x80",
            b"\xf5\x80\x80\x80", b"\xf8\x88\x80\x80\x80",
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80e"]


@pytest.mark.parametrize("bad", BAD_UTF8, ids=bytes.hex)
def test_invalid_utf8(ws, bad):
    ws.send_frame(TEXT, b'{"x":"' + bad)
    ws.expect_close(1007)


@pytest.mark.parametrize("bad", [b for b in BAD_UTF8 if len(b) > 1],
                         ids=bytes.hex)
def test_invalid_utf8_across_fragments(ws, bad):
    ws.send(frame(TEXT, bad[:1], fin=False)
            + b"".join(frame(CONT, bad[i:i + 1], fin=False)
                       for i in range(1, len(bad))) + frame(CONT, b""))
    ws.expect_close(1007)


@pytest.mark.parametrize("cut", range(1, 14))
def test_utf8_character_may_cross_fragments(ws, cut):
    text = "\u00e9\u20ac\U0001f600\u07ff\ud7ff".encode()
    ws.send(frame(TEXT, text[:cut], fin=False) + frame(CONT, text[cut:]))
    assert ws.read_json() == FORMAT_ERROR
    ws.expect_alive()


# Fragments

@pytest.mark.parametrize("cut", range(0, len(GOOD) + 1))
def test_two_fragments(ws, cut):
    ws.send_frame(TEXT, GOOD[:cut], fin=False)
    ws.send_frame(CONT, GOOD[cut:])
    assert ws.read_json() == SUCCESS


def test_fragments_of_one_byte(client):
    client.send(frame(TEXT, b"", fin=False)
                + b"".join(frame(CONT, c, fin=False) for c in GOOD)
                + frame(CONT, b""))
    assert client.read_json() == SUCCESS


def test_pings_between_fragments_are_answered_at_once(client):
    client.send_frame(TEXT, GOOD[:20], fin=False)
    for mark in (b"", b"one", b"\x00\xff" * 62):
        client.send_frame(PING, mark)
        assert client.read_frame()[2:] == (PONG, mark)
    client.send_frame(CONT, GOOD[20:], fin=False)
    client.send_frame(PONG, b"ignored")
    client.expect_alive()
    client.send_frame(CONT, b"")
    assert client.read_json() == SUCCESS


# Ping and pong

@pytest.mark.parametrize("size", [0, 1, 124, 125])
def test_ping_is_answered_with_its_payload(client, size):
    mark = bytes(range(256))[-size:] if size else b""
    client.send_frame(PING, mark)
    assert client.read_frame() == (True, 0, PONG, mark)


def test_unsolicited_pong_is_ignored(client):
    client.send(frame(PONG) + frame(PONG, b"p" * 125) + frame(TEXT, GOOD))
    assert client.read_json() == SUCCESS


def test_every_mask_is_undone(ws):
    for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\x01\x02\x03",
                 b"\x80\0\0\x80"):
        ws.send_frame(PING, b"mask me, please", mask=mask)
        assert ws.read_frame()[2:] == (PONG, b"mask me, please")


def test_shut_door_for_many_pings(ws):
    """1000 pings in one write: all pongs, in order, or the last ones."""
    ws.send(b"".join(frame(PING, b"%d" % i) for i in range(1000)))
    seen = []
    while not seen or seen[-1] != 999:
        got = ws.read_frame()
        assert got.opcode == PONG
        seen.append(int(got.payload))
    assert seen == sorted(set(seen))


# Length forms

@pytest.mark.parametrize("size", [len(GOOD), 125, 126, 127, 128, 255, 256,
                                  1000, 4095, 4096])
def test_length_form(client, size):
    client.send_text(GOOD + " " * (size - len(GOOD)))
    assert client.read_json() == SUCCESS


# How bytes arrive

def test_one_byte_at_a_time(client):
    client.trickle(frame(TEXT, GOOD) + frame(PING, b"x"))
    text, pong = client.read_frames(2)
    assert json.loads(text.payload) == SUCCESS
    assert pong[2:] == (PONG, b"x")


def test_long_header_one_byte_at_a_time(ws):
    ws.trickle(frame(TEXT, GOOD + " " * 400), 0.001)
    assert ws.read_json() == SUCCESS


@pytest.mark.parametrize("cut", range(1, 60, 2))
def test_frame_cut_in_two(ws, cut):
    data = frame(TEXT, GOOD)
    ws.send(data[:cut])
    time.sleep(0.002)
    ws.send(data[cut:] + frame(PING, b"y"))
    text, pong = ws.read_frames(2)
    assert json.loads(text.payload) == SUCCESS
    assert pong.payload == b"y"


def test_one_record_full_of_frames(server):
    """16 KiB in one TLS record, as a library that coalesces sends it."""
    one = frame(TEXT, GOOD)
    count = 16384 // len(one)
    with server.open() as client:
        client.send(one * count)
        for _ in range(count):
            assert client.read_json() == SUCCESS


def test_one_record_per_byte(server):
    with server.open() as client:
        client.trickle(frame(TEXT, GOOD) * 3)
        for _ in range(3):
            assert client.read_json() == SUCCESS


@pytest.mark.parametrize("tls", [True, False])
def test_client_that_half_closes(server, tls):
    """It may get its answer; the connection has to end either way."""
    client = server.open(tls=tls)
    client.send_text(GOOD)
    client.half_close()
    client.read_to_eof(5)
    assert server.get("/health").status == 200


def test_client_that_half_closes_inside_a_frame(server):
    client = server.open(tls=False)
    client.send(frame(TEXT, GOOD)[:10])
    client.half_close()
    client.read_to_eof(5)


def test_client_that_goes_without_a_word(server):
    for stage in range(30):
        client = server.open(tls=stage % 2 == 0)
        client.send(frame(TEXT, GOOD)[:stage * 2])
        client.abort()
    with server.open() as client:
        assert client.ask(GOOD) == SUCCESS
