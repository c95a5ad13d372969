"""
The live servers against a model of a session: RFC 6455 and docs/wire.md in
the fewest lines that say what must come back for any bytes at all.

hypothesis makes up conversations: whole and fragmented messages, control
frames between them, broken frames of every kind, logins good and bad, streams
that end anywhere, cut into TCP writes anywhere. The model reads the same bytes
and predicts each answer and the close code. The examples are the same in every
run; what fails is made as small as it can be.
"""

import codecs
import json
import os
import re
import struct

import pytest
from hypothesis import HealthCheck, configuration, given, settings
from hypothesis import strategies as st

import wsraw
from conftest import (AUTH_REQUIRED, EXPIRED, FORMAT_ERROR, FUTURE, INFINITE,
                      NIL, REPO, REVOKED, ROWS, SECOND, TOKEN_ERROR, UNKNOWN,
                      UNKNOWN_TYPE, VALID)
from wsraw import BINARY, CLOSE, CONT, PING, PONG, TEXT

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", 400))  # of each test
MESSAGE_MAX = 4096  # of the server, by default
ECHO_MAX = 16777216
DEPTH_MAX = 8
WITHIN = 8.0  # seconds until a conversation has ended
configuration.set_hypothesis_home_dir(str(REPO / "build" / "hypothesis"))


# The model

class End(Exception):
    """The connection ends, with this close code; None: an empty Close."""

    def __init__(self, code):
        self.code = code


class Lobby:
    """What messages do. docs/wire.md"""

    max_message = MESSAGE_MAX
    accepts_binary = False
    names = {r["token"]: r["username"] for r in ROWS
             if r["token"] not in (EXPIRED, REVOKED, FUTURE)}

    def __init__(self):
        self.logged_in = False

    def answer(self, _opcode, payload):
        value = parse_json(payload.decode())
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str):
            return FORMAT_ERROR
        if kind != "token_auth":
            return UNKNOWN_TYPE if self.logged_in else AUTH_REQUIRED
        inner = value.get("payload")
        token = inner.get("token") if isinstance(inner, dict) else None
        if not isinstance(token, str) or not re.fullmatch(
                r"(?ai)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", token):
            return FORMAT_ERROR
        if token.lower() not in self.names:
            return TOKEN_ERROR
        self.logged_in = True
        return {"type": "auth_success",
                "payload": {"username": self.names[token.lower()],
                            "token": token.lower()}}


class Echo:
    """The echo server: what comes, goes back."""

    max_message = ECHO_MAX
    accepts_binary = True

    def answer(self, opcode, payload):
        return opcode, payload


class BadJson(Exception):
    pass


def pairs(items):
    """An object; the three names that matter must not come twice."""
    names = [name for name, _ in items]
    for name in ("type", "payload", "token"):
        if names.count(name) > 1:
            items = [*items, ("twice", name)]
    return dict(items)


def refuse(word):
    raise BadJson(word)


def depth(value):
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


def parse_json(text):
    """The value; None where it is none or may not be taken."""
    try:
        value = json.loads(text, object_pairs_hook=pairs,
                           parse_constant=refuse)
        json.dumps(value, ensure_ascii=False).encode()  # no half surrogates
    except (ValueError, BadJson, RecursionError):
        return None
    if depth(value) > DEPTH_MAX or not isinstance(value, dict):
        return None
    # Doubled names count where they are looked for, and nowhere else.
    inner = value.get("payload")
    if value.get("twice") in ("type", "payload"):
        return None
    if isinstance(inner, dict) and inner.get("twice") == "token":
        return {**value, "payload": None}
    return value


CLOSE_CODES = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


class Model:
    """
    What a server has to say to these bytes.

    said      messages in their order: what the app answered
    pongs     [(payload, least, most)]: how many messages come before each;
              it may overtake an answer that waits for the disk
    close     the code of the Close, False where there is none
    """

    def __init__(self, app, data):
        self.app = app
        self.said, self.pongs, self.close = [], [], False
        self.opcode = None  # of the message being assembled
        self.message = b""
        self.data = data
        try:
            while self.read_frame():
                pass
        except End as end:
            self.close = end.code

    def take(self, count):
        part, self.data = self.data[:count], self.data[count:]
        return part

    def read_header(self):
        """(fin, rsv, opcode, masked, length, key); None: it is cut off."""
        if len(self.data) < 2:
            return None
        first, second = self.data[:2]
        length, size = second & 0x7f, 0
        if length > 125:
            size = 2 if length == 126 else 8
        if len(self.data) < 2 + size + (4 if second & 0x80 else 0):
            return None
        self.take(2)
        if size:
            length = int.from_bytes(self.take(size), "big")
            if length < (126 if size == 2 else 65536) or length >> 63:
                raise End(1002)
        key = self.take(4) if second & 0x80 else None
        return first >> 7, first >> 4 & 7, first & 15, key, length

    def read_frame(self):
        """One frame. returns: may there be more?"""
        head = self.read_header()
        if head is None:
            return False
        fin, rsv, opcode, key, length = head
        if rsv or key is None or opcode not in (CONT, TEXT, BINARY, CLOSE,
                                                PING, PONG):
            raise End(1002)
        if opcode >= CLOSE:
            return self.read_control(fin, opcode, key, length)
        return self.read_data(fin, opcode, key, length)

    def read_control(self, fin, opcode, key, length):
        if not fin or length > 125 or (opcode == CLOSE and length == 1):
            raise End(1002)
        payload = wsraw.mask_bytes(self.take(length), key)
        if len(payload) < length:
            return False
        if opcode == PING:
            held = [i for i, said in enumerate(self.said)
                    if isinstance(said, dict)
                    and said["type"] == "auth_success"]
            least = held[0] if held else len(self.said)
            self.pongs.append((payload, least, len(self.said)))
        if opcode != CLOSE:
            return True
        if not payload:
            raise End(None)
        code, = struct.unpack("!H", payload[:2])
        if code not in CLOSE_CODES:
            raise End(1002)
        self.check_text(payload[2:], True)
        raise End(code)

    def check_text(self, data, final):
        if re.search(rb"\xed[\xa0-\xbf]", data):
            raise End(1007)  # half surrogates, for which Python would wait
        try:
            codecs.getincrementaldecoder("utf-8")().decode(data, final)
        except UnicodeDecodeError:
            raise End(1007) from None

    def read_data(self, fin, opcode, key, length):
        if (opcode == CONT) == (self.opcode is None):
            raise End(1002)
        if opcode == BINARY and not self.app.accepts_binary:
            raise End(1003)
        if length > self.app.max_message - len(self.message):
            raise End(1009)
        self.opcode = opcode or self.opcode
        part = wsraw.mask_bytes(self.take(length), key)
        self.message += part
        is_whole = bool(fin and len(part) == length)
        if self.opcode == TEXT:
            self.check_text(self.message, is_whole)
        if is_whole:
            self.said.append(self.app.answer(self.opcode, self.message))
            self.opcode, self.message = None, b""
        return len(part) == length


# The conversations

def one_in(count, rare, usual):
    return st.integers(1, count).flatmap(
        lambda n: rare if n == count else usual)


MASKS = st.sampled_from([wsraw.MASK, b"\0\0\0\0", b"\xff\x01\x80\x7f"])
GOOD = st.sampled_from([VALID, VALID.upper(), SECOND, INFINITE])
TOKENS = st.one_of(GOOD, st.sampled_from(
    [EXPIRED, REVOKED, FUTURE, UNKNOWN, NIL, VALID[:-1], VALID + "0", "",
     None, 7, VALID.replace("-", ""), "{%s}" % VALID,
     "550e8400-e29b-41d4-a716-44665544000g"]))
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-9999, 9999),
                    st.text(max_size=4))
VALUES = st.recursive(SCALARS, lambda inner: st.one_of(
    st.lists(inner, max_size=3),
    st.dictionaries(st.sampled_from(["a", "type", "token", "payload", ""]),
                    inner, max_size=3)), max_leaves=6)
SPACES = st.sampled_from(["", " ", "\n", "\t", "\r\n "])


@st.composite
def objects(draw, *members):
    """The members in some order, maybe with others, maybe one of them twice."""
    items = [(name, draw(values)) for name, values in members]
    items += draw(st.lists(st.tuples(st.sampled_from(["x", "Type", "token "]),
                                     VALUES.map(json.dumps)), max_size=1))
    if draw(st.integers(1, 4)) == 4:
        items.append(draw(st.sampled_from(items)))
    items = draw(st.permutations(items))
    space = draw(SPACES)
    return "{" + ",".join("%s%s%s:%s" % (space, json.dumps(name), space, value)
                          for name, value in items) + space + "}"


LOGINS = objects(
    ("type", one_in(8, st.sampled_from(['"ping"', '""', "1", "null"]),
                    st.just('"token_auth"'))),
    ("payload", one_in(8, VALUES.map(json.dumps),
                       objects(("token", TOKENS.map(json.dumps))))))
PLAIN = TOKENS.map(lambda token: json.dumps(
    {"type": "token_auth", "payload": {"token": token}}))
OTHER = st.sampled_from(['{"type":"ping","payload":{}}', '{"type":""}'])
NESTED = st.integers(5, 10).map(
    lambda n: '{"type":"token_auth","payload":{"token":"%s","x":%s}}'
    % (VALID, "[" * n + "]" * n))


@st.composite
def damaged(draw, texts):
    """A text with one character gone, changed or too many."""
    text = draw(texts)
    at = draw(st.integers(0, max(len(text) - 1, 0)))
    new = draw(st.sampled_from(["", "{", "}", '"', ",", "\\", "\0", "1", "e",
                                "\u00e9", "\\ud800", "\\u0000", "NaN", "//"]))
    return text[:at] + new + text[at + draw(st.integers(0, 1)):]


TEXTS = st.one_of(PLAIN, PLAIN, PLAIN, OTHER, LOGINS, LOGINS, LOGINS, NESTED,
                  damaged(PLAIN), VALUES.map(json.dumps),
                  st.text(max_size=20))
BAD_TEXTS = st.sampled_from([b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\x80",
                             b"\xf4\x90\x80\x80", b"ok\xe2\x82", b"\x80"])
LONG = st.sampled_from([125, 126, 127, 1000, 4095, 4096, 4097, 5000]).map(
    lambda n: b"x" * n)
PAYLOADS = one_in(10, st.one_of(BAD_TEXTS, LONG, st.binary(max_size=20)),
                  TEXTS.map(str.encode))
CODES = st.sampled_from([0, 999, 1000, 1001, 1003, 1004, 1005, 1006, 1007,
                         1011, 1014, 1015, 1016, 2999, 3000, 4999, 5000,
                         65535])


def headers(**options):
    return st.fixed_dictionaries({"mask": MASKS, **options})


@st.composite
def controls(draw):
    opcode = draw(st.sampled_from([PING, PING, PONG]))
    size = draw(one_in(6, st.integers(120, 127), st.integers(0, 9)))
    return wsraw.frame(opcode, bytes(range(size)), **draw(headers()))


@st.composite
def messages(draw):
    """One message, in pieces, with control frames between them."""
    opcode = draw(one_in(20, st.just(BINARY), st.just(TEXT)))
    payload = draw(PAYLOADS)
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
    bounds = [0, *cuts, len(payload)]
    parts = []
    for i, (start, end) in enumerate(zip(bounds, bounds[1:])):
        parts.append(wsraw.frame(opcode if i == 0 else CONT,
                                 payload[start:end],
                                 fin=i == len(cuts), **draw(headers())))
        if i < len(cuts):
            parts += draw(st.lists(controls(), max_size=1))
    return b"".join(parts)


@st.composite
def closes(draw):
    payload = draw(one_in(8, st.sampled_from([b"", b"\x03"]), CODES.map(
        lambda code: struct.pack("!H", code))))
    if len(payload) == 2:
        payload += draw(one_in(3, BAD_TEXTS, st.sampled_from(
            [b"", b"bye", b"r" * 123, "\u20ac".encode()])))
    return wsraw.frame(CLOSE, payload, **draw(headers()))


@st.composite
def odd_frames(draw):
    """A frame that breaks the rules, or a good one with luck."""
    payload = draw(st.binary(max_size=8))
    return wsraw.frame(
        draw(st.integers(0, 15)), payload, fin=draw(st.booleans()),
        rsv=draw(one_in(3, st.integers(1, 7), st.just(0))),
        mask=draw(one_in(3, st.none(), MASKS)),
        form=draw(one_in(3, st.sampled_from([7, 16, 64]), st.none())))


@st.composite
def large_headers(draw):
    """The header of a frame that is announced and never comes."""
    return wsraw.header(draw(st.sampled_from([TEXT, BINARY, CONT, PING])),
                        draw(st.sampled_from([4097, 65536, ECHO_MAX + 1,
                                              1 << 40, 1 << 63])), form=64)


@st.composite
def streams(draw):
    """What a client sends after its upgrade, up to its half-close."""
    parts = draw(st.lists(st.one_of(messages(), messages(), messages(),
                                    controls()), max_size=6))
    parts += draw(one_in(2, st.lists(st.one_of(
        closes(), odd_frames(), large_headers(), st.binary(max_size=20)),
        min_size=1, max_size=2), st.just([])))
    data = b"".join(parts)
    if draw(st.integers(1, 5)) == 5:
        data = data[:draw(st.integers(0, len(data)))]
    return data


@st.composite
def writes(draw, data):
    """The stream after the upgrade request, cut into writes."""
    whole = wsraw.upgrade_request() + data
    cuts = draw(st.lists(st.integers(1, len(whole)), max_size=5))
    bounds = [0, *sorted(set(cuts)), len(whole)]
    return [whole[a:b] for a, b in zip(bounds, bounds[1:]) if a < b]


CONVERSATIONS = streams().flatmap(
    lambda data: st.tuples(st.just(data), writes(data)))


# The test

def hold(server, tls, pieces):
    """A conversation. returns: the frames that came, and how it ended"""
    with server.connect(tls, timeout=WITHIN) as client:
        for piece in pieces:
            client.send_quietly(piece)
        client.half_close()
        assert client.read_response(WITHIN).status == 101
        rest = wsraw.Client(client.sock)
        rest.buffer += client.buffer + client.read_to_eof(WITHIN)
        rest.eof = True
        frames = []
        while rest.buffer:
            frames.append(rest.read_frame())
        return frames, client.clean and not client.reset


def compare(model, frames):
    messages_seen, pongs_seen = [], []
    close = False
    for got in frames:
        assert close is False, "a frame after the Close: %r" % (got,)
        if got.opcode == CLOSE:
            close = struct.unpack("!H", got.payload[:2])[0] if (
                got.payload) else None
        elif got.opcode == PONG:
            pongs_seen.append((got.payload, len(messages_seen)))
        else:
            assert got.fin
            is_echo = isinstance(model.app, Echo)
            messages_seen.append((got.opcode, got.payload) if is_echo
                                 else json.loads(got.payload))
    assert messages_seen == model.said
    assert close == model.close
    assert [p for p, _ in pongs_seen] == [p for p, _, _ in model.pongs]
    for (_, at), (_, least, most) in zip(pongs_seen, model.pongs):
        assert least <= at <= most


def check(server, app, scheme):
    @settings(max_examples=EXAMPLES, deadline=None, database=None,
              derandomize=True, suppress_health_check=list(HealthCheck))
    @given(CONVERSATIONS)
    def converse(conversation):
        data, pieces = conversation
        model = Model(app(), data)
        frames, is_clean = hold(server, scheme == "wss", pieces)
        compare(model, frames)
        assert is_clean, "not an orderly end"

    converse()


@pytest.mark.limit(60 + EXAMPLES // 5)
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_server_is_as_the_model(server, scheme):
    check(server, Lobby, scheme)


@pytest.mark.limit(60 + EXAMPLES // 5)
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_echo_is_as_the_model(echo, scheme):
    check(echo, Echo, scheme)
