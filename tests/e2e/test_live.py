"""Those who are logged in stay only as long as their token is valid."""

import datetime
import re
import time

import pytest

import wsraw
from conftest import (FAR_AHEAD, LONG_AGO, SECOND, VALID, hash_of,
                      import_rows, row, run, token)

WHY = b"\x03\xf0the token is no longer valid"
SOON = 1.6  # a second, and what a busy machine adds


def soon(seconds):
    """A second as the CSV has it; the server counts whole ones."""
    at = datetime.datetime.now(datetime.timezone.utc)
    at = at.replace(microsecond=0) + datetime.timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%d %H:%M:%S+00"), at.timestamp()


def closes_at(client, within=6):
    """When the Close comes, and that nothing comes before it but Pings."""
    while (got := client.read_frame(within)).opcode == wsraw.PING:
        client.send_frame(wsraw.PONG, got.payload)
    assert (got.opcode, got.payload) == (wsraw.CLOSE, WHY), got
    return time.time()


def replace(server, tokens, **columns):
    """Another process puts other records in the tokens' places."""
    import_rows(server.data, [row(t, "jane", **columns) for t in tokens],
                "--on-conflict", "replace")


def replaced(**columns):
    return lambda server: replace(server, [VALID], **columns)


def command(*args):
    """`openchampps token` does it."""
    def way(server):
        result = run("token", args[0], "--data", server.data, *args[1:])
        assert result.returncode == 0, result.stderr
    return way


ID = hash_of(VALID)[:12]
WAYS = {
    "revoked": command("revoke", ID),
    "user revoked": command("revoke", "--user", "jane"),
    "deleted": command("delete", ID),
    "replaced by a revoked one": replaced(is_revoked="t"),
    "replaced by an expired one": replaced(expires_at=LONG_AGO),
    "replaced by a future one": replaced(not_before=FAR_AHEAD,
                                         expires_at=""),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_change_by_another_process(server_factory, way):
    server = server_factory(rows=[row(VALID, "jane"), row(SECOND, "other")])
    with server.open(token=VALID) as client, \
            server.open(token=SECOND) as other:
        way(server)
        changed = time.time()
        assert closes_at(client) < changed + SOON
        other.expect_alive()
        assert other.login(SECOND)["type"] == "auth_success"
        with server.open() as again:
            assert again.login(VALID)["type"] == "auth_error"


def test_revoked_amid_logins(server_factory):
    """What was asked is answered, in order, until the Close."""
    server = server_factory(rows=[row(VALID, "jane")])
    with server.open(token=VALID) as client:
        for _ in range(20):
            client.send_json({"type": "token_auth",
                              "payload": {"token": VALID}})
        replace(server, [VALID], is_revoked="t")
        changed = time.time()
        for _ in range(20):
            assert client.read_json()["type"] == "auth_success"
        assert closes_at(client) < changed + SOON


def test_some_of_many(server_factory):
    """More than are judged in one turn; who stays is served meanwhile."""
    names = [token(i) for i in range(1, 401)]
    server = server_factory("--max-connections", "500",
                            rows=[row(t, "p") for t in names])
    clients = {t: server.open(tls=False, token=t) for t in names}
    gone = names[::20]
    replace(server, gone, is_revoked="t")
    changed = time.time()
    assert clients[names[1]].login(names[1])["type"] == "auth_success"
    for tok in gone:
        assert closes_at(clients[tok]) < changed + SOON
    for tok in names:
        if tok not in gone:
            clients[tok].expect_alive()
    for tok in names[1::20]:
        assert clients[tok].login(tok)["type"] == "auth_success"
    for client in clients.values():
        client.close()


def wakeups(server):
    with open("/proc/%d/status" % server.pid, encoding="ascii") as status:
        return int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)",
                             status.read()).group(1))


def test_nobody_there_no_wakeups(server_factory):
    server = server_factory(rows=[row(VALID, "jane")])
    with server.open(token=VALID):
        pass
    server.wait_log("event=closed")
    time.sleep(0.3)
    before = wakeups(server)
    time.sleep(1)
    assert wakeups(server) <= before + 1


def test_token_that_expires(server_factory):
    """Its connection ends within a second; the other one feels nothing."""
    text, at = soon(3)
    server = server_factory(rows=[row(VALID, "jane", expires_at=text),
                                  row(SECOND, "other")])
    with server.open(token=VALID) as client, \
            server.open(token=SECOND) as other:
        ended = closes_at(client)
        assert at <= ended < at + 1.5, ended - at
        assert client.read_to_eof(3.5) == b""
        assert other.login(SECOND)["type"] == "auth_success"
        with server.open() as again:
            assert again.login(VALID)["type"] == "auth_error"


def test_newest_login_counts(server_factory):
    """Who has logged in with another token since is judged by that one."""
    text, at = soon(2)
    server = server_factory(rows=[row(VALID, "jane", expires_at=text),
                                  row(SECOND, "other")],
                            trust=None)
    with server.open(token=VALID) as client:
        assert client.login(SECOND)["type"] == "auth_success"
        time.sleep(max(0, at + 1.5 - time.time()))
        client.expect_alive()


def test_backend_that_asks_for_many(server_factory):
    """A trusted one stays when the token that it asked for last expires, and
    is told so when it asks again; others are closed, whatever they asked."""
    text, at = soon(2)
    rows = [row(VALID, "jane", expires_at=text), row(SECOND, "other")]
    for trust, stays in (("127.0.0.1/32", True), (None, False)):
        server = server_factory(rows=rows, trust=trust)
        with server.open(token=SECOND) as client:
            assert client.login(VALID)["type"] == "auth_success"
            time.sleep(max(0, at + SOON - time.time()))
            if stays:
                assert client.login(VALID)["type"] == "auth_error"
                assert client.login(SECOND)["type"] == "auth_success"
            else:
                closes_at(client)
        text, at = soon(2)
        rows = [row(VALID, "jane", expires_at=text), row(SECOND, "other")]


def test_failed_login_changes_nothing(server_factory):
    text, at = soon(2)
    server = server_factory(rows=[row(VALID, "jane", expires_at=text)])
    with server.open(token=VALID) as client:
        assert client.login(token(7))["type"] == "auth_error"
        assert closes_at(client) < at + 2


def test_answer_and_close_are_apart(server_factory):
    """Half a second at least: a Godot client loses an answer otherwise."""
    text, at = soon(2)
    server = server_factory(rows=[row(VALID, "jane", expires_at=text)])
    with server.open(token=VALID) as client:
        answered = time.time()
        while time.time() < at - 0.05:
            assert client.login(VALID)["type"] == "auth_success"
            answered = time.time()
            time.sleep(0.02)
        assert closes_at(client) - answered >= 0.45


def test_changes_of_others_are_not_felt(server_factory):
    """An import makes the server judge all of them again: all stay."""
    names = [token(i) for i in range(1, 101)]
    server = server_factory("--trust", "127.0.0.1/32",
                            rows=[row(t, "p") for t in names])
    clients = [server.open(tls=False, token=t) for t in names]
    import_rows(server.data, [row(VALID, "late")])
    time.sleep(1)
    for client in clients:
        client.expect_alive()
    with server.open(token=VALID):
        pass
    for client in clients:
        client.close()
