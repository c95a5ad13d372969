"""
The clock jumps a day either way while the server runs (e2e/vdso_clock.py).
"""

import time

import pytest

import e2e
import faults
import wsraw
from vdso_clock import Clock, needs_clock

pytestmark = needs_clock
DAY = 86400

USUAL, SHORT, LATER = e2e.token(1), e2e.token(2), e2e.token(3)


@pytest.fixture
def server(server_factory):
    return server_factory("--ping-interval", 1, "--pong-timeout", 4, rows=[
        e2e.row(USUAL, "usual"),
        e2e.row(SHORT, "short", expires_at=e2e.soon(DAY // 2)),
        e2e.row(LATER, "later", not_before=e2e.soon(DAY // 2))])


def login(server, tok):
    with server.open(tls=False) as client:
        return client.login(tok)["type"]


def expect_idle(client, seconds):
    """It is pinged each second as ever, and not thrown out."""
    pings, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        got = client.read_frame(3)
        assert got.opcode == wsraw.PING, got
        client.send_frame(wsraw.PONG, got.payload)
        pings += 1
    assert seconds - 2 <= pings <= seconds + 2, pings


def check_use(server, tok, since):
    used = e2e.last_used(server.data, tok)
    assert since - 2 <= used <= since + 10, (used, since)


@pytest.mark.parametrize("days", [1, -1, 365, -365])
def test_jump(server, days):
    """Connections and pings go by another clock; a token's validity and the
    time of its use follow the new time; logins stay durable."""
    with faults.Cases("the clock jumps") as cases:
        cases.case()
        begin = time.time()
        assert login(server, USUAL) == "auth_success"
        clock = Clock(server.pid)
        assert login(server, SHORT) == "auth_success"
        assert login(server, LATER) == "auth_error"
        with server.open(tls=True, token=USUAL) as client:
            clock.set(days * DAY)
            expect_idle(client, 3)
            assert client.login(USUAL)["type"] == "auth_success"
        ahead = "auth_success" if days > 0 else "auth_error"
        behind = "auth_error" if days > 0 else "auth_success"
        assert login(server, LATER) == ahead
        assert login(server, SHORT) == behind
        # The last use is the latest time that there was.
        check_use(server, USUAL, begin + max(0, days * DAY))
        assert server.get("/ready").status == 200
        clock.set(0)
        assert login(server, SHORT) == "auth_success"
        assert login(server, LATER) == "auth_error"
        server.kill()
        check_use(server, USUAL, begin + max(0, days * DAY))
        clock.close()


def test_back_and_forth_under_load(server_factory):
    """A hundred jumps: nobody is thrown out or waits."""
    rng = faults.chance("clock")
    tokens = [e2e.token(i) for i in range(64)]
    server = server_factory(rows=[e2e.row(t, "p") for t in tokens])
    with faults.Cases("the clock jumps, 100 times under load") as cases:
        cases.case()
        clock = Clock(server.pid)
        players = [faults.Player(server, tokens[i::4], i < 2, 8, rng)
                   for i in range(4)]
        for player in players:
            player.start()
        for _ in range(100):
            clock.set(rng.choice((0, DAY, -DAY, 7, -7)))
            time.sleep(0.02)
        clock.set(0)
        for player in players:
            player.is_stopped = True
        for player in players:
            player.join(30)
            assert player.problem is None, player.problem
        clock.close()
        rows = faults.check_uses(server.data, {
            tok: 1 for player in players for tok in player.acknowledged},
            cases, "jumps")
        assert rows == len(tokens)
