"""What a service manager sees: notifications."""

import re
import signal
import socket
import time

import pytest

from conftest import VALID
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
