"""Players who come and go while a server is restarted under them."""

import collections
import threading
import time

import wsraw
from wsraw import CLOSE, TEXT, close_frame


class Player(threading.Thread):
    """
    Comes, logs in, leaves, again and again. Whoever is told that the server
    goes away, or is cut off in the middle of a handshake, comes again at
    once, as game clients do. To be refused, or left without an answer, is a
    failure.
    """

    def __init__(self, port, context, tok):
        super().__init__(daemon=True)
        self.address, self.context = ("127.0.0.1", port), context
        self.token = tok
        self.is_over = threading.Event()
        self.count = collections.Counter()
        self.problem = None

    def run(self):
        try:
            while not self.is_over.is_set():
                self.log_in()
        except Exception as problem:
            self.problem = problem

    def log_in(self):
        for _ in range(5):
            outcome = self.try_once()
            self.count[outcome] += 1
            if outcome == "answered":
                return
        raise AssertionError("sent away five times in a row")

    def try_once(self):
        # Refused, it raises.
        client = wsraw.Client.connect(self.address, timeout=15)
        try:
            client.sock = self.context.wrap_socket(
                client.sock, server_hostname="localhost")
            client.upgrade()
        except (EOFError, OSError):
            client.close()
            return "in a handshake"
        with client:
            client.send_json({"type": "token_auth",
                              "payload": {"token": self.token}})
            got = client.read_frame()
            if got.opcode == CLOSE:
                assert got.payload[:2] == b"\x03\xe9", got  # 1001
                client.send_quietly(close_frame(1001))
                return "going away"
            assert got.opcode == TEXT and b"auth_success" in got.payload, got
            return "answered"


def wait_for_logins(players, more):
    """Each of them logs in so many times more."""
    wanted = [player.count["answered"] + more for player in players]
    end = time.monotonic() + 30
    for player, count in zip(players, wanted):
        while player.count["answered"] < count:
            assert player.problem is None, repr(player.problem)
            assert time.monotonic() < end, player.count
            time.sleep(0.02)
