"""
Curves of ours: what a login costs while one thing grows and the rest stays.
And how long it takes from exec to the first login.
"""

import socket
import ssl
import subprocess
import sys
import time

from machine import SERVER_CORE, free_port, spawn
from peers import Bench, ours_command
from works import add, idlers, measure, tried

CONNECTIONS = (1, 8, 64, 512, 4096, 15000)
DEPTHS = (1, 4, 16, 64, 256)
INVALID = (0, 20, 50, 100)
TOKENS = (1000, 10000, 100000, 1000000, 10000000)
IDLE = (0, 10000)
SETTLE_S = 3  # after a store was filled
BETWEEN_S = 1  # two first logins: a shared machine has slow moments
UPGRADE = (b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
           b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
LOGIN = (b'{"type":"token_auth","payload":'
         b'{"token":"00000000-0000-4000-8000-000000000000"}}')


def reauth(connections, *more):
    return ["reauth", "--connections", connections, *more]


def curve_of(bench, points, options):
    """points: {x: (work, idle connections beside)}. returns: {x: [runs]}"""
    curve = {}
    for _ in range(options.rounds):
        for x, (work, idle) in points.items():
            with bench.serving("openchampps") as server, \
                    idlers(server, idle):
                add(curve, x, tried(f"growth, {work}", measure, server, work,
                                    options.seconds))
    return curve


def run_curves(bench, options):
    one_store = {
        "connections": {n: (reauth(n), 0) for n in CONNECTIONS},
        "idle connections beside 64": {n: (reauth(64), n) for n in IDLE},
        "logins in flight on each of 8 connections":
            {n: (reauth(8, "--depth", n), 0) for n in DEPTHS},
        "percent invalid, 64 connections":
            {n: (reauth(64, "--invalid", n), 0) for n in INVALID},
    }
    curves = {}
    for name, points in one_store.items():
        curves[name] = curve_of(bench, points, options)
        print(f"growth, {name}: done", file=sys.stderr)
    return curves


def connect_soon(port):
    """As soon as somebody listens."""
    until = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise RuntimeError("nobody listens") from None
            time.sleep(0.0001)


def frame(text):
    """Masked with zeros."""
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text


def first_login(bench):
    """ms from exec to auth_success."""
    port = free_port()
    context = ssl.create_default_context(cafile=bench.tls / "ca.pem")
    begin = time.monotonic()
    process = spawn(SERVER_CORE,
                    ours_command(bench.folder / "openchampps", port),
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with context.wrap_socket(connect_soon(port),
                                 server_hostname="localhost") as client:
            client.sendall(UPGRADE)
            client.recv(4096)
            client.sendall(frame(LOGIN))
            if b"auth_success" not in client.recv(4096):
                raise RuntimeError("no auth_success")
            return {"ms": (time.monotonic() - begin) * 1000}
    finally:
        process.terminate()
        process.wait()


def run_tokens(folder, options):
    """returns: growth with the tokens, first logins; both {tokens: [runs]}"""
    curve, cold = {}, {}
    for tokens in (n for n in TOKENS if n <= options.most):
        place = folder / f"tokens-{tokens}"
        place.mkdir()
        bench = Bench(place, tokens)
        bench.fill(["openchampps"])
        time.sleep(SETTLE_S)
        for _ in range(3 * options.rounds):
            time.sleep(BETWEEN_S)
            add(cold, tokens, tried("first login", first_login, bench))
        points = {tokens: (reauth(512), 0)}
        curve.update(curve_of(bench, points, options))
        print(f"growth, {tokens} tokens: done", file=sys.stderr)
    return curve, cold
