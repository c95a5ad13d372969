"""
A raw HTTP/WebSocket client for tests: it sends any bytes at all.

It helps with nothing (no automatic pong, no automatic close), so a test says
what goes over the wire. Every read has a deadline: a silent server ends a
test, never hangs it. What the server sends is checked as it is read: frames
unmasked, lengths in the shortest form, control frames short and whole.
"""

import base64
import collections
import hashlib
import json
import os
import socket
import ssl
import struct
import time

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SAMPLE_KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, 1.3
MASK = b"\x37\xfa\x21\x3d"  # RFC 6455, 5.7

Frame = collections.namedtuple("Frame", "fin rsv opcode payload")
Response = collections.namedtuple("Response", "status reason headers body raw")


def accept_of(key):
    """Sec-WebSocket-Accept for a key. RFC 6455, 4.2.2"""
    digest = hashlib.sha1((key + GUID).encode()).digest()
    return base64.b64encode(digest).decode()


def mask_bytes(payload, key):
    """XOR with the key, fast enough for megabytes."""
    size = len(payload)
    pad = (key * (size // 4 + 1))[:size]
    number = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
    return number.to_bytes(size, "big")


def header(opcode, length, fin=True, rsv=0, mask=MASK, form=None):
    """
    A frame header alone. form: 7, 16 or 64 forces a length form; mask None
    sends the frame unmasked.
    """
    first = (0x80 if fin else 0) | (rsv << 4) | opcode
    bit = 0 if mask is None else 0x80
    if form is None:
        form = 7 if length < 126 else 16 if length < 65536 else 64
    if form == 7:
        head = struct.pack("!BB", first, bit | length)
    elif form == 16:
        head = struct.pack("!BBH", first, bit | 126, length)
    else:
        head = struct.pack("!BBQ", first, bit | 127, length)
    return head + (mask or b"")


def frame(opcode, payload=b"", **options):
    """A whole frame; options as of header()."""
    if isinstance(payload, str):
        payload = payload.encode()
    mask = options.get("mask", MASK)
    body = payload if mask is None else mask_bytes(payload, mask)
    return header(opcode, len(payload), **options) + body


def close_frame(code=None, reason=b"", **options):
    payload = b"" if code is None else struct.pack("!H", code) + reason
    return frame(CLOSE, payload, **options)


def upgrade_request(host="localhost", path="/ws", key=SAMPLE_KEY, extra=(),
                    drop=()):
    """The bytes of an upgrade request; extra lines, names to leave out."""
    lines = [
        "Host: " + host,
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: " + key,
        "Sec-WebSocket-Version: 13",
    ]
    gone = {name.lower() for name in drop}
    kept = [x for x in lines if x.split(":")[0].lower() not in gone]
    text = "\r\n".join(["GET %s HTTP/1.1" % path, *kept, *extra, "", ""])
    return text.encode("latin-1")


class Client:
    """
    One connection. After EOF: `clean` is True when TLS said close_notify (or
    TCP ended by FIN on a plain connection), `reset` when it was an RST.
    """

    def __init__(self, sock, timeout=10.0):
        self.sock = sock
        self.timeout = timeout
        self.buffer = bytearray()
        self.eof = self.clean = self.reset = False

    @classmethod
    def connect(cls, address, context=None, name="localhost", timeout=10.0,
                session=None, source=None):
        """Connects, over TLS where a context is given; source is an address
        of this machine to connect from."""
        sock = socket.create_connection(
            address, timeout=timeout,
            source_address=None if source is None else (source, 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            try:
                sock = context.wrap_socket(sock, server_hostname=name,
                                           suppress_ragged_eofs=False,
                                           session=session)
            except BaseException:
                sock.close()
                raise
        return cls(sock, timeout)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        self.sock.close()

    def abort(self):
        """Ends the connection with an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.sock.close()

    def half_close(self):
        """Sends a FIN and goes on reading; TLS says nothing about it."""
        try:
            socket.socket.shutdown(self.sock, socket.SHUT_WR)
        except OSError:
            pass  # the peer was faster

    # Bytes

    def send(self, data):
        self.sock.settimeout(self.timeout)
        self.sock.sendall(data)

    def send_quietly(self, data):
        """Sends to a peer that may have gone; says whether it took it."""
        try:
            self.send(data)
            return True
        except (OSError, ssl.SSLError):
            return False

    def trickle(self, data, pause=0.0):
        for i in range(len(data)):
            self.send(data[i:i + 1])
            if pause:
                time.sleep(pause)

    def fill(self, deadline):
        """Reads once; False at the end of the stream."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("nothing came in time; so far: %r"
                               % bytes(self.buffer[:200]))
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(1 << 16)
            self.clean = not data
        except ssl.SSLEOFError:
            data = b""
        except (ConnectionResetError, BrokenPipeError):
            data, self.reset = b"", True
        except (socket.timeout, ssl.SSLWantReadError):
            raise TimeoutError("nothing came in time; so far: %r"
                               % bytes(self.buffer[:200])) from None
        self.eof = not data
        self.buffer += data
        return bool(data)

    def read(self, count, deadline=None):
        deadline = deadline or time.monotonic() + self.timeout
        while len(self.buffer) < count:
            if self.eof or not self.fill(deadline):
                raise EOFError("stream ended after %r" % bytes(self.buffer))
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def read_to_eof(self, within=None):
        deadline = time.monotonic() + (within or self.timeout)
        while not self.eof and self.fill(deadline):
            pass
        data = bytes(self.buffer)
        self.buffer.clear()
        return data

    # HTTP

    def read_response(self, within=None):
        """One response; its body is what Content-Length says."""
        deadline = time.monotonic() + (within or self.timeout)
        while b"\r\n\r\n" not in self.buffer:
            if not self.fill(deadline):
                raise EOFError("no response: %r" % bytes(self.buffer))
        end = self.buffer.index(b"\r\n\r\n") + 4
        raw = self.read(end)
        lines = raw.decode("latin-1")[:-4].split("\r\n")
        version, status, reason = lines[0].split(" ", 2)
        assert version == "HTTP/1.1", lines[0]
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            assert colon and name and name == name.strip(), line
            headers.append((name.lower(), value.strip()))
        size = int(dict(headers).get("content-length", 0))
        status = int(status)
        body = b"" if status == 101 else self.read_some(size, deadline)
        return Response(status, reason, headers, body, raw)

    def read_some(self, count, deadline):
        """Up to count bytes: fewer where the stream ends (HEAD)."""
        while len(self.buffer) < count and not self.eof:
            self.fill(deadline)
        count = min(count, len(self.buffer))
        return self.read(count) if count else b""

    def upgrade(self, **options):
        """Sends the request, expects 101, returns the response."""
        key = options.get("key", SAMPLE_KEY)
        self.send(upgrade_request(**options))
        response = self.read_response()
        assert response.status == 101, response.raw
        assert dict(response.headers)["sec-websocket-accept"] == accept_of(key)
        return response

    # WebSocket

    def send_frame(self, opcode, payload=b"", **options):
        self.send(frame(opcode, payload, **options))

    def send_text(self, text):
        self.send_frame(TEXT, text)

    def send_json(self, value):
        self.send_text(json.dumps(value))

    def read_frame(self, within=None):
        deadline = time.monotonic() + (within or self.timeout)
        first, second = self.read(2, deadline)
        fin, rsv, opcode = bool(first & 0x80), first >> 4 & 7, first & 15
        assert not second & 0x80, "a server never masks"
        length = second & 0x7f
        if length == 126:
            length, = struct.unpack("!H", self.read(2, deadline))
            assert length > 125, "not the shortest length form"
        elif length == 127:
            length, = struct.unpack("!Q", self.read(8, deadline))
            assert length > 65535, "not the shortest length form"
        assert rsv == 0, "no extension was agreed on"
        assert opcode in (CONT, TEXT, BINARY, CLOSE, PING, PONG), opcode
        if opcode >= CLOSE:
            assert fin and length <= 125, "bad control frame"
        return Frame(fin, rsv, opcode, self.read(length, deadline))

    def read_frames(self, count, within=None):
        """
        Some frames, sorted by opcode: a pong may overtake an answer that
        waits for the disk.
        """
        frames = [self.read_frame(within) for _ in range(count)]
        return sorted(frames, key=lambda f: f.opcode)

    def read_text(self, within=None):
        """The next frame, which has to be a whole text message."""
        got = self.read_frame(within)
        assert got.opcode == TEXT and got.fin, got
        return got.payload.decode("utf-8")

    def read_json(self, within=None):
        return json.loads(self.read_text(within))

    def ask(self, value, within=None):
        """Sends a text (or a value as JSON), returns the parsed answer."""
        text = value if isinstance(value, (str, bytes)) else json.dumps(value)
        self.send_text(text)
        return self.read_json(within)

    def login(self, token, within=None):
        return self.ask({"type": "token_auth", "payload": {"token": token}},
                        within)

    def read_close(self, within=3.0):
        """The code of the next frame, a Close; None where it is empty."""
        got = self.read_frame(within)
        assert got.opcode == CLOSE, got
        if not got.payload:
            return None
        got.payload[2:].decode("utf-8")
        return struct.unpack("!H", got.payload[:2])[0]

    def expect_eof(self, within=3.5):
        """Nothing more comes, and the connection ends in time."""
        rest = self.read_to_eof(within)
        assert rest == b"", rest

    def expect_close(self, code, within=3.0, answer=True):
        """
        A Close with the code, then the end of TCP: at once where we answer
        and hang up (or began it), in its own time where we never do.
        """
        got = self.read_close(within)
        allowed = code if isinstance(code, (tuple, set)) else (code,)
        assert got in allowed, "close %s, expected %s" % (got, code)
        if answer:
            self.send_quietly(close_frame(got))
            self.half_close()
        self.expect_eof(1.5 if answer else 3.5)

    def expect_alive(self):
        """A ping is answered: the connection is up and in step."""
        mark = os.urandom(8)
        self.send_frame(PING, mark)
        got = self.read_frame()
        assert (got.opcode, got.payload) == (PONG, mark), got


def is_reset(error):
    """Is this what a connection that the server threw away looks like?"""
    return isinstance(error, (ConnectionError, EOFError, ssl.SSLError))
