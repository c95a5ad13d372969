"""What a service manager sees: notifications, sockets passed on, restarts."""

import os
import re
import signal
import socket
import subprocess
import time

import pytest

from conftest import (BINARY, VALID, child_env, last_used, pass_on, row, run,
                      token)
from crowd import Player, wait_for_logins
from test_lifecycle import make_pair
from wsraw import close_frame


# Notifications

class Manager:
    """The end of NOTIFY_SOCKET that systemd has."""

    def __init__(self, name):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(name.replace("@", "\0", 1))
        self.env = {"NOTIFY_SOCKET": name}

    def next(self, within=5):
        """The next message, as a dict."""
        self.sock.settimeout(within)
        text = self.sock.recv(4096).decode()
        return dict(line.split("=", 1) for line in text.splitlines())

    def next_but_beats(self):
        while True:
            message = self.next()
            if message != {"WATCHDOG": "1"}:
                return message


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    name = str(tmp_path / "notify")
    manager = Manager("@" + name if request.param == "abstract" else name)
    yield manager
    manager.sock.close()


def monotonic_us():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_tells_its_manager(server_factory, manager):
    server = server_factory(env=manager.env)
    assert manager.next() == {"READY": "1"}
    server.open(token=VALID).close()
    before = monotonic_us()
    server.signal(signal.SIGHUP)
    told = manager.next()
    assert told.pop("RELOADING") == "1"
    assert before <= int(told.pop("MONOTONIC_USEC")) <= monotonic_us()
    assert not told
    assert manager.next() == {"READY": "1"}
    with server.open(token=VALID) as client:
        server.signal()
        assert manager.next() == {"STOPPING": "1"}
        assert client.read_close(8) == 1001
        client.send_quietly(close_frame(1001))
    assert server.wait() == 0
    with pytest.raises(socket.timeout):
        manager.next(0.1)


def test_failed_reload_ends_too(server_factory, manager, data_dir):
    """The old certificate stays, and the manager does not wait for more."""
    make_pair(data_dir, "live")
    server = server_factory("--cert", data_dir / "live.pem", "--key",
                            data_dir / "live.key", env=manager.env)
    assert manager.next() == {"READY": "1"}
    (data_dir / "live.pem").unlink()
    server.signal(signal.SIGHUP)
    assert manager.next()["RELOADING"] == "1"
    assert manager.next() == {"READY": "1"}
    server.wait_log("reload_failed")


def test_watchdog_follows_the_loop(server_factory, manager):
    """Twice in the time; none while it stands still; also while it ends."""
    server = server_factory(env={**manager.env, "WATCHDOG_USEC": "300000"})
    assert manager.next() == {"READY": "1"}
    begin = time.monotonic()
    for _ in range(8):
        assert manager.next() == {"WATCHDOG": "1"}
    assert time.monotonic() - begin > 0.9
    server.signal(signal.SIGSTOP)
    with pytest.raises(socket.timeout):
        while True:
            manager.next(0.5)
    server.signal(signal.SIGCONT)
    assert manager.next() == {"WATCHDOG": "1"}
    client = server.open(token=VALID)  # it will not answer the Close
    server.signal()
    assert manager.next_but_beats() == {"STOPPING": "1"}
    assert manager.next() == {"WATCHDOG": "1"}
    client.close()
    assert server.wait() == 0


def test_watchdog_of_another_process(server_factory, manager):
    server_factory(env={**manager.env, "WATCHDOG_USEC": "200000",
                        "WATCHDOG_PID": "1"})
    assert manager.next() == {"READY": "1"}
    with pytest.raises(socket.timeout):
        manager.next(0.7)


def test_manager_that_is_not_there(server_factory, tmp_path):
    name = str(tmp_path / "nobody")
    server = server_factory(env={"NOTIFY_SOCKET": name})
    assert re.search(r'notify_failed .*nobody.*No such file',
                     server.log_text())
    server.open(token=VALID).close()


# Sockets passed on

def listening(address="127.0.0.1"):
    return socket.create_server((address, 0), backlog=1024)


@pytest.fixture
def port():
    with listening() as sock:
        yield sock


def test_accepts_on_what_is_passed(server_factory, port):
    with listening() as plain, listening() as metrics:
        server = server_factory(passed=[("ws", plain), ("wss", port),
                                        ("metrics", metrics)])
        assert server.port == port.getsockname()[1]
        assert server.plain_port == plain.getsockname()[1]
        server.open(token=VALID).close()
        server.open(tls=False, token=VALID).close()
        number = metrics.getsockname()[1]
        server.wait_log("http://127.0.0.1:%d/metrics" % number)
        assert run("health", "http://127.0.0.1:%d/health" % number
                   ).returncode == 0


def test_without_names_all_are_wss(data_dir, port):
    with listening() as second:
        text = start_and_end(data_dir, [("", port), ("", second)],
                             names=False)
        for sock in (port, second):
            assert "wss://127.0.0.1:%d/ws" % sock.getsockname()[1] in text


def start_and_end(data_dir, passed, *args, names=True):
    """Its log, when it has listened for a moment or refused."""
    fds = [sock.fileno() for _, sock in passed]
    words = pass_on(passed)
    command = [*(words if names else [*words[:-1], ""]), str(BINARY),
               "--data", str(data_dir), *args]
    process = subprocess.Popen(command, pass_fds=fds, env=child_env(),
                               stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.count("listening") and len(lines) >= len(passed):
            process.terminate()
    assert process.wait(10) == (0 if "listening" in "".join(lines) else 1)
    return "".join(lines)


def unbound():
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def datagram():
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def local():
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind("\0openchampps-test-%d" % os.getpid())
    sock.listen()
    return sock


@pytest.mark.parametrize("name, make, args, why", [
    ("http", listening, [], "its name is 'http'"),
    ("wss", unbound, [], "does not listen"),
    ("wss", datagram, [], "not a TCP socket"),
    ("wss", local, [], "not a TCP socket"),
    ("wss", lambda: open("/dev/null", "rb"), [], "not a socket"),
    ("wss", listening, ["--listen", "127.0.0.1:0"], "leave out --listen"),
    ("wss", listening, ["--metrics", "127.0.0.1:0"], "leave out --listen"),
    ("ws", lambda: listening("0.0.0.0"), [], "--plain-anywhere"),
], ids=["name", "not listening", "udp", "unix", "file", "listen", "metrics",
        "in clear"])
def test_bad_sockets_are_refused(data_dir, name, make, args, why):
    with make() as sock:
        text = start_and_end(data_dir, [(name, sock)], *args)
    assert len(text.splitlines()) == 1 and why in text, text
    assert not list(data_dir.iterdir()), "something was written"


def test_plain_anywhere_is_obeyed(data_dir):
    with listening("0.0.0.0") as sock:
        text = start_and_end(data_dir, [("ws", sock)], "--plain-anywhere")
    assert "listening ws://0.0.0.0" in text


def test_variables_of_another_process(server_factory, port):
    """Inherited by accident: the options say where to listen."""
    server = server_factory(env={"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    assert server.port != port.getsockname()[1]


# Restarts

PLAYERS = [row(token(0x100 + i), "player%d" % i) for i in range(6)]


@pytest.fixture
def crowd(port):
    """crowd(server): players of its store at the port, until the end."""
    players = []

    def gather(server):
        for player in PLAYERS:
            players.append(Player(port.getsockname()[1], server.ssl_context(),
                                  player["token"]))
            players[-1].start()
        return players

    yield gather
    for player in players:
        player.is_over.set()
    for player in players:
        player.join(20)


def finish(players, begin, server):
    for player in players:
        player.is_over.set()
    for player in players:
        player.join(20)
        assert player.problem is None, repr(player.problem)
    server.stop()
    for player in players:
        used = last_used(server.data, player.token)
        assert begin <= used <= time.time()


def test_restart_refuses_nobody(server_factory, port, crowd):
    """As systemd does it: the old one ends, then the new one starts."""
    begin = int(time.time())
    old = server_factory(rows=PLAYERS, passed=[("wss", port)])
    players = crowd(old)
    for _ in range(2):
        wait_for_logins(players, 3)
        old.stop()
        old = server_factory(rows=None, data=old.data,
                             passed=[("wss", port)])
    wait_for_logins(players, 3)
    finish(players, begin, old)


def test_two_at_once_hand_over(server_factory, port, crowd):
    """The new one serves while the old one drains: one store, one port."""
    begin = int(time.time())
    old = server_factory(rows=PLAYERS, passed=[("wss", port)])
    players = crowd(old)
    stayed = [old.open(token=player["token"]) for player in PLAYERS]
    wait_for_logins(players, 3)
    new = server_factory(rows=None, data=old.data, passed=[("wss", port)])
    wait_for_logins(players, 3)
    old.signal()
    wait_for_logins(players, 3)
    for client in stayed:
        client.close()
    assert old.wait() == 0
    assert new.log_text().count("level=error") == 0
    wait_for_logins(players, 3)
    finish(players, begin, new)
