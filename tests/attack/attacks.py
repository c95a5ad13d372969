"""
One attack, from 127.0.0.1, for a bounded time.

    attacks.py KIND PORT PLAIN_PORT METRICS_PORT CA_FILE SECONDS

KINDS lists them. Each is a function that gets an Attacker and goes on while
it runs. What the server does to an attacker is not judged here: connections
that it ends are opened anew. Prints how many steps were made.
"""

import itertools
import json
import os
import pathlib
import random
import select
import socket
import ssl
import struct
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

import wsraw  # noqa: E402 (its folder comes first)

VALID = "550e8400-e29b-41d4-a716-446655440000"
UNKNOWN = "00000000-0000-4000-8000-0000000000ff"
NUISANCE = (OSError, EOFError, AssertionError, ValueError)
CROWD = 250  # of the 256 connections that an address may have
RST = struct.pack("ii", 1, 0)


def login(token):
    return wsraw.frame(wsraw.TEXT, '{"type":"token_auth","payload":'
                       '{"token":"%s"}}' % token)


class Attacker:
    def __init__(self, ports, ca_file, seconds):
        self.address, self.plain, self.metrics = [
            ("127.0.0.1", int(port)) for port in ports]
        self.ca_file = ca_file
        self.context = ssl.create_default_context(cafile=ca_file)
        self.end = time.monotonic() + seconds
        self.steps = itertools.count()

    def runs(self):
        return time.monotonic() < self.end

    def step(self):
        next(self.steps)

    def repeat(self, action, *args):
        """Again and again, whatever the server does to it."""
        while self.runs():
            try:
                action(*args)
            except NUISANCE:
                time.sleep(0.001)
            self.step()

    def spread(self, count, action, *args):
        """repeat() in so many threads."""
        threads = [threading.Thread(target=self.repeat, args=(action, *args),
                                    daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0, self.end - time.monotonic()) + 3)

    def tcp(self, plain=False):
        return socket.create_connection(self.plain if plain else self.address,
                                        timeout=2)

    def tls(self):
        return wsraw.Client.connect(self.address, self.context, timeout=2)

    def websocket(self, plain=False, token=None):
        client = wsraw.Client.connect(self.plain, timeout=2) if plain \
            else self.tls()
        try:
            client.upgrade(host="localhost:%d" % (
                self.plain if plain else self.address)[1])
            if token:
                client.login(token)
        except BaseException:
            client.close()
            raise
        return client

    def crowd(self, make, count=CROWD):
        """Up to so many connections at once."""
        made = []
        while len(made) < count and self.runs():
            try:
                made.append(make())
            except NUISANCE:
                time.sleep(0.005)
            self.step()
        return made

    def trickle(self, make, data, pause=1.0):
        """A byte a second over each connection of a crowd."""
        crowd = self.crowd(make)
        for at in itertools.count():
            for client in crowd:
                send_quietly(client, data[at % len(data):][:1])
                self.step()
            if not self.runs():
                break
            time.sleep(min(pause, max(0, self.end - time.monotonic())))


def socket_of(peer):
    return peer.sock if isinstance(peer, wsraw.Client) else peer


def send_quietly(peer, data):
    try:
        socket_of(peer).sendall(data)
    except OSError:
        pass


def throw_away(sock):
    """What has come; False at the end of it."""
    while select.select([sock], [], [], 0)[0]:
        if not sock.recv(1 << 16):
            return False
    return True


def pour(peer, data):
    """Sends until the peer ends it, but for 100 times at most."""
    sock = socket_of(peer)
    for _ in range(100):
        sock.sendall(data)
        if not throw_away(sock):
            return


def pour_while(a, peer, data):
    """Sends as long as the attack runs."""
    sock = socket_of(peer)
    while a.runs():
        sock.sendall(data)
        a.step()
        if not throw_away(sock):
            return


# Connections

def connections(a):
    """Opened and closed at once: RST, FIN, RST..."""
    def one():
        sock = a.tcp()
        if random.random() < 0.5:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        sock.close()
    a.spread(2, one)


def plain_connections(a):
    def one():
        sock = a.tcp(plain=True)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        sock.close()
    a.spread(2, one)


def held(a):
    """As many as an address may have, and attempts at more."""
    crowd = a.crowd(a.tcp, CROWD + 50)

    def more():
        sock = a.tcp()
        sock.close()
    a.spread(2, more)
    return crowd


# TLS handshakes

def handshakes(a):
    """Whole ones, back to back."""
    a.spread(4, lambda: a.tls().close())


def hellos(a):
    """Only what makes the server sign; the attacker computes nothing."""
    hello = client_hello(a)

    def one():
        sock = a.tcp()
        sock.sendall(hello)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        sock.recv(1)
        sock.close()
    a.spread(8, one)


def hellos_unread(a):
    """The same, gone before the server has read it."""
    hello = client_hello(a)

    def one():
        sock = a.tcp()
        sock.sendall(hello)
        sock.close()
    a.spread(2, one)


def hello_bursts(a):
    """A hello over each connection of a crowd at the same moment."""
    hello = client_hello(a)

    def one():
        crowd = a.crowd(a.tcp)
        time.sleep(0.05)
        for sock in crowd:
            send_quietly(sock, hello)
        time.sleep(0.2)
        for sock in crowd:
            sock.close()
    a.repeat(one)


def client_hello(a):
    """The first flight of OpenSSL."""
    outward = ssl.MemoryBIO()
    tls = a.context.wrap_bio(ssl.MemoryBIO(), outward,
                             server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outward.read()


def slow_handshakes(a):
    a.trickle(a.tcp, client_hello(a))


# HTTP

REQUEST = b"GET /ws HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"x" * 100


def slow_headers(a):
    a.trickle(a.tls, REQUEST)


def slow_headers_plain(a):
    a.trickle(lambda: a.tcp(plain=True), REQUEST)


def long_headers(a):
    """8 KiB and more, of one header and of many."""
    many = b"GET /ws HTTP/1.1\r\n" + b"a:b\r\n" * 4000

    def one(data):
        with a.tls() as client:
            pour(client, data)
    a.spread(2, one, REQUEST + b"x" * 16384)
    a.spread(2, one, many)


def header_drops(a):
    """A long header in pieces of a few bytes: is it parsed anew each time?"""
    data = b"GET /ws HTTP/1.1\r\n" + b"a:b\r\n" * 1600

    def one():
        with a.tcp(plain=True) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, len(data), 2):
                if not a.runs():
                    return
                sock.sendall(data[at:at + 2])
    a.spread(8, one)


def plain_http(a):
    """curl http://…:8443/"""
    def one():
        with a.tcp() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while sock.recv(4096):
                pass
    a.spread(4, one)


# WebSocket

SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def scrapes(a):
    """All places of the metrics' port and more, each asking on and on."""
    def one():
        with socket.create_connection(a.metrics, 5) as sock:
            sock.sendall(SCRAPE)
            while sock.recv(65536):
                pass
    a.spread(20, one)


def scrapes_unread(a):
    """Asked for and not read, until the server ends it."""
    def one():
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            sock.settimeout(5)
            sock.connect(a.metrics)
            sock.sendall(SCRAPE)
            select.select([], [], [], 1)
    a.spread(20, one)


def silent(a):
    """After the 101 nothing."""
    crowd = a.crowd(a.websocket)
    time.sleep(max(0, a.end - time.monotonic()))
    return crowd


def silent_plain(a):
    crowd = a.crowd(lambda: a.websocket(plain=True))
    time.sleep(max(0, a.end - time.monotonic()))
    return crowd


def readers_that_never_read(a):
    """Logins that work, pipelined; the answers are left where they are."""
    data = login(VALID) * 50

    def one(plain):
        with a.websocket(plain, VALID) as client:
            client.sock.settimeout(0.5)
            while a.runs():
                try:
                    client.sock.sendall(data)
                except TimeoutError:
                    time.sleep(0.5)
                a.step()
    for plain in (False, True):
        for _ in range(30):
            threading.Thread(target=a.repeat, args=(one, plain),
                             daemon=True).start()
    time.sleep(max(0, a.end - time.monotonic()) + 1)


def login_flood(a):
    """Logins that work, as fast as they are answered."""
    def one():
        with a.websocket(token=VALID) as client:
            pour_while(a, client, login(VALID) * 20)
    a.spread(4, one)


def long_frames(a):
    """A frame of 2^62 bytes; one of 4097."""
    def one(size):
        with a.websocket(plain=True) as client:
            client.send(wsraw.header(wsraw.TEXT, size))
            pour(client, b"x" * 4096)
    a.spread(2, one, 1 << 62)
    a.spread(2, one, 4097)


def long_messages(a):
    """Fragments that add up to more than a message may have."""
    def one():
        with a.websocket(plain=True, token=VALID) as client:
            client.send(wsraw.frame(wsraw.TEXT, "x", fin=False))
            pour(client, wsraw.frame(wsraw.CONT, b"x" * 1000, fin=False))
    a.spread(4, one)


def endless_fragments(a):
    """A message of empty fragments, and no end."""
    def one(plain):
        with a.websocket(plain, VALID) as client:
            client.send(wsraw.frame(wsraw.TEXT, "", fin=False))
            pour_while(a, client,
                       wsraw.frame(wsraw.CONT, b"", fin=False) * 2000)
    a.spread(4, one, True)
    a.spread(4, one, False)


def tiny_fragments(a):
    """Messages of a byte a frame, as long as may be."""
    one_message = wsraw.frame(wsraw.TEXT, "x", fin=False) + b"".join(
        [wsraw.frame(wsraw.CONT, b"x", fin=False)] * 4000) + \
        wsraw.frame(wsraw.CONT, b"")

    def one():
        with a.websocket(plain=True, token=VALID) as client:
            pour_while(a, client, one_message)
    a.spread(6, one)


def pings(a):
    def one(plain):
        with a.websocket(plain, VALID) as client:
            pour_while(a, client, wsraw.frame(wsraw.PING, b"p" * 125) * 100)
    a.spread(4, one, True)


def pings_tls(a):
    def one():
        with a.websocket(token=VALID) as client:
            pour_while(a, client, wsraw.frame(wsraw.PING, b"p" * 125) * 100)
    a.spread(4, one)


def pings_unread(a):
    """The Pongs are not taken."""
    def one():
        with a.websocket(plain=True, token=VALID) as client:
            client.sock.settimeout(0.5)
            while a.runs():
                try:
                    client.sock.sendall(
                        wsraw.frame(wsraw.PING, b"p" * 125) * 100)
                except TimeoutError:
                    time.sleep(0.1)
                a.step()
    a.spread(40, one)


def failures(a):
    def one():
        with a.websocket() as client:
            pour(client, login(UNKNOWN) * 10)
    a.spread(4, one)


# JSON: messages of nearly 4 KiB

def json_message(text):
    return wsraw.frame(wsraw.TEXT, text)


DEEP = [
    "[" * 4090,
    '{"a":' * 800,
    '{"type":"x","payload":' + "[" * 2000 + "]" * 2000 + "}",
]
WIDE = [  # correct, so that they are no failures
    '{"type":"x","p":[%s]}' % ",".join(["0"] * 2000),
    '{"type":"x",%s}' % ",".join('"%x":1' % i for i in range(500)),
    '{"type":"x","p":"%s"}' % ("\\u0041" * 670),
    '{"type":"x","p":[%s]}' % ",".join(["1e9999"] * 570),
    '{"type":"x","p":[%s]}' % ",".join(["{}"] * 1300),
    '{"type":"x","p":[%s]}' % ",".join(["[[[[[]]]]]"] * 360),
    '{"type":"x","p":%s}' % ("9" * 4000),
    '{"type":"x"%s}' % (" " * 4000),
]


def json_deep(a):
    def one():
        with a.websocket(plain=True) as client:
            pour(client, b"".join(map(json_message, DEEP)))
    a.spread(4, one)


def json_wide(a):
    data = b"".join(map(json_message, WIDE))

    def one(plain):
        with a.websocket(plain, VALID) as client:
            pour_while(a, client, data)
    a.spread(6, one, True)
    a.spread(2, one, False)


def crowd_sends(data):
    """Each connection of a crowd always has as much to read as it takes."""
    def attack(a):
        crowd = {c.sock: c for c in a.crowd(
            lambda: a.websocket(plain=True, token=VALID), CROWD - 50)}
        left = {sock: data for sock in crowd}
        for sock in crowd:
            sock.setblocking(False)
        while a.runs() and left:
            readable, writable, _ = select.select(list(left), list(left), [],
                                                  0.5)
            for sock in readable:
                if not throw_away(sock):
                    del left[sock]
            for sock in writable:
                if sock in left:
                    sent = sock.send(left[sock])
                    left[sock] = left[sock][sent:] or data
                    a.step()
    return attack


# Bytes that mean nothing

def random_bytes(a):
    def over_tcp(plain):
        with a.tcp(plain) as sock:
            pour(sock, os.urandom(4096))

    def over_tls():
        with a.tls() as client:
            pour(client, os.urandom(4096))

    def after_upgrade():
        with a.websocket() as client:
            pour(client, os.urandom(4096))
    jobs = [lambda: over_tcp(True), lambda: over_tcp(False), over_tls,
            after_upgrade]
    for job in jobs[1:]:
        threading.Thread(target=a.repeat, args=(job,), daemon=True).start()
    a.repeat(jobs[0])


# TLS records

def record(kind, body):
    return struct.pack("!BHH", kind, 0x303, len(body)) + body


def broken_records(a):
    """Before the handshake: empty records, alerts, ChangeCipherSpec."""
    floods = [record(22, b"") * 3000, record(21, b"\x01\x64") * 2000,
              record(20, b"\x01") * 2000, record(23, b"") * 3000,
              record(21, b"\x01\x00"), record(22, b"\x00\x00\x00\x00") * 1500]

    def one(data):
        with a.tcp() as sock:
            pour(sock, data)
    threads = [threading.Thread(target=a.repeat, args=(one, data), daemon=True)
               for data in floods]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, a.end - time.monotonic()) + 3)


def hello_in_pieces(a):
    """A ClientHello of a byte a record."""
    hello = client_hello(a)[5:]
    data = b"".join(record(22, hello[i:i + 1]) for i in range(len(hello)))

    def one():
        with a.tcp() as sock:
            sock.sendall(data)
            sock.recv(1)
    a.spread(4, one)


def tiny_records(a):
    """WebSocket frames of a byte a record."""
    ping = wsraw.frame(wsraw.PING, b"")

    def one():
        with a.websocket(token=VALID) as client:
            client.sock.settimeout(2)
            while a.runs():
                for i in range(len(ping)):
                    client.sock.sendall(ping[i:i + 1])
                a.step()
                if not throw_away(client.sock):
                    return
    a.spread(4, one)


def sealed(kind, body):
    """An attack of records that are encrypted as they have to be."""
    def attack(a):
        from forge import Forger  # needs python3-cryptography

        def one():
            peer = Forger(a.address, a.ca_file)
            peer.sock.settimeout(2)
            with peer.sock:
                while a.runs():
                    peer.sock.sendall(b"".join(
                        peer.seal(kind, body) for _ in range(500)))
                    a.step()
                    if not throw_away(peer.sock):
                        return
        a.spread(2, one)
    return attack


# A ClientHello that offers one cipher suite and no extension.
BARE_HELLO = b"\x01\x00\x00\x29\x03\x03" + bytes(32) + \
    b"\x00\x00\x02\xc0\x2b\x01\x00"

KINDS = {
    "connections": connections,
    "plain connections": plain_connections,
    "held connections": held,
    "handshakes": handshakes,
    "hellos": hellos,
    "hellos unread": hellos_unread,
    "hello bursts": hello_bursts,
    "slow handshakes": slow_handshakes,
    "slow headers": slow_headers,
    "slow headers plain": slow_headers_plain,
    "long headers": long_headers,
    "header drops": header_drops,
    "plain HTTP": plain_http,
    "metrics": scrapes,
    "metrics unread": scrapes_unread,
    "silent": silent,
    "silent plain": silent_plain,
    "never read": readers_that_never_read,
    "login flood": login_flood,
    "long frames": long_frames,
    "long messages": long_messages,
    "endless fragments": endless_fragments,
    "tiny fragments": tiny_fragments,
    "pings": pings,
    "pings TLS": pings_tls,
    "pings unread": pings_unread,
    "failures": failures,
    "JSON deep": json_deep,
    "JSON wide": json_wide,
    "JSON crowd": crowd_sends(b"".join(map(json_message, WIDE))),
    "login crowd": crowd_sends(login(VALID) * 300),
    "ping crowd": crowd_sends(wsraw.frame(wsraw.PING, b"p" * 125) * 250),
    "random bytes": random_bytes,
    "broken records": broken_records,
    "hello in pieces": hello_in_pieces,
    "tiny records": tiny_records,
    "empty records": sealed(23, b""),
    "warning alerts": sealed(21, b"\x01\x64"),
    "renegotiation": sealed(22, BARE_HELLO),
    "late ChangeCipherSpec": sealed(20, b"\x01"),
}


def main(kind, *args):
    *ports, ca_file, seconds = args
    attacker = Attacker(ports, ca_file, float(seconds))
    KINDS[kind](attacker)
    json.dump({"steps": next(attacker.steps)}, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # threads may wait for a peer that will not answer


if __name__ == "__main__":
    main(*sys.argv[1:])
