"""last_used_at is on the disk before auth_success is on the wire."""

import concurrent.futures
import random
import threading
import time

import pytest

import wsraw
from conftest import (EXPIRED, FORMAT_ERROR, NEVER, SECOND, TOKEN_ERROR,
                      UNKNOWN, VALID, export_rows, hash_of, import_rows,
                      last_used, parse_time, row, token, wait_until)
from strace import Strace, needs_strace

# The server reads the clock once per turn of its loop: a request may be
# stamped with a time this much older than its sending.
SLACK = 0.25


def test_unused_token_has_no_time(server_factory):
    server = server_factory()
    assert last_used(server.data, VALID) is None


def test_kill_right_after_the_answer(server_factory):
    server = server_factory()
    with server.open() as client:
        begin = time.time()
        assert client.login(VALID)["type"] == "auth_success"
        server.kill()
    assert int(begin - SLACK) <= last_used(server.data, VALID) <= time.time()
    again = server_factory(data=server.data, rows=None)
    assert int(begin - SLACK) <= last_used(again.data, VALID) <= time.time()
    assert last_used(again.data, SECOND) is None


def test_time_is_seen_while_the_server_runs(server_factory):
    server = server_factory()
    with server.open() as client:
        for tok in (VALID, SECOND, NEVER):
            begin = time.time()
            assert client.login(tok)["type"] == "auth_success"
            assert last_used(server.data, tok) >= int(begin - SLACK)


def test_time_is_seen_after_an_orderly_end(server_factory):
    server = server_factory()
    begin = time.time()
    server.open(token=VALID).close()
    server.stop()
    assert last_used(server.data, VALID) >= int(begin - SLACK)


def test_time_moves_on_with_each_second(server_factory):
    server = server_factory()
    with server.open() as client:
        seen = set()
        for _ in range(3):
            begin = time.time()
            client.login(VALID)
            seen.add(last_used(server.data, VALID))
            time.sleep(max(0, 1.1 - (time.time() - begin)))
    assert len(seen) == 3


def test_failed_login_leaves_the_time(server_factory):
    server = server_factory()
    with server.open() as client:
        assert client.login(EXPIRED) == TOKEN_ERROR
        assert client.login("x") == FORMAT_ERROR
        assert client.login(VALID)["type"] == "auth_success"
    assert last_used(server.data, EXPIRED) is None


def test_time_from_the_import_is_replaced(server_factory):
    server = server_factory(rows=[row(
        VALID, "jane.doe", last_used_at="2021-02-03 04:05:06")])
    assert last_used(server.data, VALID) == 1612325106
    begin = time.time()
    server.open(token=VALID).close()
    assert last_used(server.data, VALID) >= int(begin - SLACK)


def test_same_token_from_many_connections(server_factory):
    server = server_factory()
    clients = [server.open() for _ in range(20)]
    begin = time.time()
    for client in clients:
        client.send_json({"type": "token_auth", "payload": {"token": VALID}})
    for client in clients:
        assert client.read_json()["type"] == "auth_success"
    server.kill()
    assert last_used(server.data, VALID) >= int(begin - SLACK)


# Killed again and again under load

class Player(threading.Thread):
    """Logs in without a pause; remembers what was acknowledged, and when."""

    def __init__(self, server, tokens, tls, depth):
        super().__init__(daemon=True)
        self.server, self.tokens, self.tls = server, tokens, tls
        self.depth = depth
        self.acknowledged = {}
        self.problem = None

    def run(self):
        try:
            with self.server.open(self.tls, timeout=5) as client:
                while True:
                    self.turn(client)
        except (OSError, EOFError, TimeoutError):
            pass  # the server was killed
        except Exception as problem:  # told to the test
            self.problem = problem

    def turn(self, client):
        """depth requests in one write, then all their answers."""
        batch = random.sample(self.tokens, self.depth)
        begin = time.time()
        client.send(b"".join(wsraw.frame(
            wsraw.TEXT, '{"type":"token_auth","payload":{"token":"%s"}}' % t)
            for t in batch))
        for tok in batch:
            answer = client.read_json()
            assert answer["payload"].get("token") == tok, answer
            self.acknowledged[tok] = begin


@pytest.mark.limit(180)
def test_20_kills_under_load(server_factory, data_dir):
    groups = [[token(32 * g + i) for i in range(32)] for g in range(6)]
    import_rows(data_dir, [row(t, "player") for g in groups for t in g])
    sent = {}
    total = 0
    for cycle in range(20):
        server = server_factory(data=data_dir, rows=None)
        players = [Player(server, g, tls=i % 2 == 0, depth=1 + 3 * (i % 3))
                   for i, g in enumerate(groups)]
        for player in players:
            player.start()
        time.sleep(random.uniform(0.1, 0.5))
        server.kill()
        for player in players:
            player.join(10)
            assert player.problem is None, player.problem
            sent.update(player.acknowledged)
            total += len(player.acknowledged)
        check_all(data_dir, sent, cycle)
    assert total > 200, "hardly any load: %d" % total


def check_all(data, sent, cycle):
    """Each acknowledged token has the time of its sending, or a later."""
    rows = export_rows(data)
    for tok, begin in sent.items():
        used = parse_time(rows[hash_of(tok)]["last_used_at"])
        assert used is not None, "cycle %d: a time is lost" % cycle
        assert used >= int(begin - SLACK), "cycle %d: an old time" % cycle


# A slow and a broken disk, made by strace

SLOW = ["fdatasync,fsync:delay_enter=1500000"]
BROKEN = [
    ["fdatasync,fsync:error=EIO"],
    ["pwrite64,pwritev,writev:error=ENOSPC"],
    ["pwrite64,pwritev,writev:error=EIO", "fdatasync,fsync:error=EIO"],
]


@needs_strace
def test_success_waits_for_the_disk(server_factory):
    server = server_factory()
    with server.open() as client, Strace(server, SLOW):
        begin = time.monotonic()
        assert client.login(VALID)["type"] == "auth_success"
        assert time.monotonic() - begin > 1.4
    server.kill()
    assert last_used(server.data, VALID) is not None


def timed(action, *args):
    begin = time.monotonic()
    action(*args)
    return time.monotonic() - begin


@needs_strace
def test_slow_disk_holds_up_nobody_else(server_factory):
    """Handshakes, pings, failures, health: under a second each."""
    server = server_factory()
    slow, pinger, failing = [server.open() for _ in range(3)]
    with Strace(server, SLOW):
        begin = time.monotonic()
        slow.send_json({"type": "token_auth", "payload": {"token": VALID}})
        time.sleep(0.1)
        times = []
        while time.monotonic() - begin < 1.2:
            times += [
                timed(pinger.expect_alive),
                timed(lambda: server.open().close()),
                timed(lambda: failing.login(UNKNOWN)),
                timed(server.get, "/health"),
            ]
        assert slow.read_json()["type"] == "auth_success"
        assert time.monotonic() - begin > 1.4
    assert max(times) < 1, times
    for client in (slow, pinger, failing):
        client.close()


@needs_strace
def test_answers_stay_in_order_on_a_slow_disk(server_factory):
    """A failure asked for after a success is answered after it."""
    server = server_factory()
    with server.open() as client, Strace(server, SLOW):
        plan = [VALID, UNKNOWN, SECOND, "x"]
        client.send(b"".join(wsraw.frame(
            wsraw.TEXT, '{"type":"token_auth","payload":{"token":"%s"}}' % t)
            for t in plan))
        got = [client.read_json() for _ in plan]
    assert [g["payload"].get("token", g["type"]) for g in got] == [
        VALID, "auth_error", SECOND, "auth_error"]
    assert got[1] == TOKEN_ERROR and got[3] == FORMAT_ERROR


HUNG = ["fdatasync,fsync:delay_enter=8000000:when=1"]


@needs_strace
def test_hung_disk_is_not_ready(server_factory):
    server = server_factory()
    with server.open() as client, Strace(server, HUNG):
        client.send_json({"type": "token_auth", "payload": {"token": VALID}})
        wait_until(lambda: server.get("/ready").status == 503, 8, 0.2)
        assert server.get("/health").status == 200
        assert client.read_json(10)["type"] == "auth_success"
        assert server.get("/ready").status == 200
    assert "commit_stalled" in server.log_text()


def read_past_pings(client):
    """The next frame that is none; a peer that is alive answers them."""
    while (got := client.read_frame(12)).opcode == wsraw.PING:
        client.send_frame(wsraw.PONG, got.payload)
    return got


@needs_strace
def test_full_pipeline_on_a_hung_disk_is_not_blamed(server_factory):
    """More logins in flight than the output holds, and a commit that hangs
    for longer than Ping and Pong take: nothing is read meanwhile, so a Pong
    cannot be missed. Once it was, with 1008."""
    server = server_factory("--ping-interval", "1", "--pong-timeout", "1",
                            "--max-output", "1K")
    with server.open(token=SECOND) as client, Strace(server, HUNG):
        login = wsraw.frame(wsraw.TEXT,
                            '{"type":"token_auth","payload":{"token":"%s"}}'
                            % VALID)
        client.send(login * 60)
        for _ in range(60):
            assert b"auth_success" in read_past_pings(client).payload
        client.send_frame(wsraw.PING, b"here")
        assert read_past_pings(client) == (True, 0, wsraw.PONG, b"here")


@needs_strace
def test_commits_are_shared_on_a_slow_disk(server_factory):
    """30 players at 1.5 s a sync: a few commits, not thirty."""
    server = server_factory(rows=[row(token(i), "p%d" % i)
                                  for i in range(30)])
    clients = [server.open(tls=False) for _ in range(30)]
    with Strace(server, SLOW), \
            concurrent.futures.ThreadPoolExecutor(30) as pool:
        begin = time.monotonic()
        answers = list(pool.map(lambda i: clients[i].login(token(i), 20),
                                range(30)))
        spent = time.monotonic() - begin
    assert all(a["type"] == "auth_success" for a in answers)
    assert spent < 10, spent
    for client in clients:
        client.close()


@needs_strace
@pytest.mark.parametrize("inject", BROKEN,
                         ids=["EIO at sync", "ENOSPC at write", "EIO at all"])
def test_broken_disk_locks_nobody_out(server_factory, inject):
    server = server_factory()
    assert server.get("/ready").status == 200
    with server.open() as client:
        with Strace(server, inject):
            begin = time.time()
            for tok in (VALID, SECOND):
                assert client.login(tok, 8)["type"] == "auth_success"
            assert client.login(EXPIRED, 8) == TOKEN_ERROR
            wait_until(lambda: server.get("/ready").status == 503)
            assert server.get("/health").status == 200
            server.open(token=NEVER).close()
            client.expect_alive()
        wait_until(lambda: server.get("/ready").status == 200, 30, 0.2)
        client.expect_alive()
    for tok in (VALID, SECOND, NEVER):
        assert last_used(server.data, tok) >= int(begin - SLACK)
    assert "level=error" in server.log_text() or (
        "level=warn" in server.log_text())


@needs_strace
def test_log_of_a_broken_disk_is_short(server_factory):
    server = server_factory()
    mark = server.log_mark()
    with server.open() as client, Strace(server, BROKEN[0]):
        for i in range(200):
            client.login((VALID, SECOND, NEVER)[i % 3], 8)
    others = [line for line in server.lines[mark:]
              if "event=login " not in line]
    assert len(others) < 40, server.log_text()


@needs_strace
def test_signal_waits_for_a_slow_disk(server_factory):
    """What was asked before the SIGTERM is kept and answered."""
    server = server_factory()
    client = server.open()
    with Strace(server, SLOW):
        client.send_json({"type": "token_auth", "payload": {"token": VALID}})
        time.sleep(0.3)
        begin = time.monotonic()
        server.signal()
        assert client.read_json(8)["type"] == "auth_success"
        answered = time.monotonic()
        assert client.read_close(8) == 1001
        assert time.monotonic() - answered > 0.9
        client.close()
        assert server.wait(10) == 0
        assert time.monotonic() - begin < 10
    assert last_used(server.data, VALID) is not None


@needs_strace
def test_signal_does_not_wait_for_a_broken_disk(server_factory):
    """It ends in time, and says that something was not written."""
    server = server_factory()
    client = server.open()
    with Strace(server, BROKEN[2]):
        assert client.login(VALID, 8)["type"] == "auth_success"
        begin = time.monotonic()
        server.signal()
        server.wait(12)
        assert time.monotonic() - begin < 11
    client.close()
    assert "level=error" in server.log_text()
