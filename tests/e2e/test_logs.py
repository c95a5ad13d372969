"""
The log (logfmt and JSON) and the audit file: what an operator reads there of
who logged in, when, from where, and why the connection ended.
"""

import datetime
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
import uuid

import pytest

import wsraw
from conftest import (AWKWARD, EXPIRED, FUTURE, NIL, REVOKED, ROWS,
                      SECOND, TOKEN_ERROR, TOKEN_TEXT, UNKNOWN, VALID,
                      import_rows, run, wait_until)
from strace import Strace, needs_strace

BURST = 1000  # LOG_BURST
LOGFMT = re.compile(r'([a-z_0-9]+)=("(?:[^"\\]|\\.)*"|[^ "=\\]+)|(\S+)')


def public_id(tok):
    return hashlib.sha256(uuid.UUID(tok).bytes).hexdigest()[:12]


def parse_logfmt(line):
    """The fields of a line, which has to be made of nothing else."""
    fields, end = {}, 0
    for match in LOGFMT.finditer(line):
        assert match.start() == end, line
        end = match.end() + 1
        key, value, word = match.groups()
        if word:
            fields["word"] = word
        else:
            fields[key] = json.loads(value) if value[0] == '"' else value
    assert end == len(line) + 1, line
    return fields


def parse_json(line):
    """As parse_logfmt; values as text."""
    return {key: str(value) for key, value in json.loads(line).items()}


PARSE = {"logfmt": parse_logfmt, "json": parse_json}


def events(server, form="logfmt", name=None):
    """The parsed lines of the log, those of one event where it is named."""
    lines = server.log_text().splitlines()
    found = [PARSE[form](line) for line in lines]
    return [f for f in found if name in (None, f["event"])]


def wait_events(server, name, count, form="logfmt"):
    def enough():
        return len(events(server, form, name)) >= count

    wait_until(enough, 10)
    found = events(server, form, name)
    assert len(found) == count, found
    return found


def audit_lines(path):
    """The file's whole lines, each of them one JSON object."""
    content = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in content.split(b"\n")[:-1]]


def wait_audit(path, count):
    wait_until(lambda: len(audit_lines(path)) >= count, 10)
    found = audit_lines(path)
    assert len(found) == count, found
    return found


def seconds_of(text):
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text), text
    return datetime.datetime.fromisoformat(
        text.replace("Z", "+00:00")).timestamp()


@pytest.fixture
def folder(tmp_path):
    """Where an audit file is, beside the data directory."""
    path = tmp_path / "log"
    path.mkdir(mode=0o700)
    return path


# The log

@pytest.mark.parametrize("form", PARSE)
def test_a_connection_in_the_log(server_factory, form):
    server = server_factory("--log", form)
    began = time.time()
    with server.open(token=VALID) as client:
        here = "127.0.0.1:%d" % client.sock.getsockname()[1]
        assert client.login(SECOND)["type"] == "auth_success"
        assert client.login(UNKNOWN) == TOKEN_ERROR
        client.send(wsraw.close_frame(1000))
        client.read_close()
    closed = wait_events(server, "closed", 1, form)[0]
    first, second = events(server, form, "login")
    failed, = events(server, form, "login_failed")
    for line in (first, second, failed, closed):
        assert line["peer"] == here
        assert line["conn"] == closed["conn"]
        assert line["level"] == "info"
        assert began - 1 <= seconds_of(line["time"]) <= time.time() + 1
    assert (first["result"], first["user"]) == ("ok", "jane.doe")
    assert first["token"] == public_id(VALID)
    assert (second["user"], second["token"]) == ("john.roe",
                                                 public_id(SECOND))
    assert failed["result"] == "unknown"
    assert failed["token"] == public_id(UNKNOWN)
    assert closed["reason"] == "closed by the peer"
    assert (closed["logins"], closed["failures"]) == ("2", "1")


@pytest.mark.parametrize("form", PARSE)
def test_every_line_is_of_the_format(server_factory, form):
    server = server_factory(env={"OPENCHAMPPS_LOG": form})
    for tok in AWKWARD:
        server.open(tls=False, token=tok).close()
    server.signal(signal.SIGHUP)
    wait_events(server, "certificate", 2, form)
    wait_events(server, "closed", len(AWKWARD), form)
    server.stop()
    names = [f["user"] for f in events(server, form, "login")]
    assert names == list(AWKWARD.values())
    listening = events(server, form, "listening")
    assert len(listening) == 2
    assert listening[0]["url" if form == "json" else "word"] == server.url \
        .replace("localhost", "127.0.0.1")
    assert events(server, form)[-1]["event"] == "stopped"
    assert "\x7f" not in server.log_text()


def test_connections_are_numbered(server_factory):
    server = server_factory()
    for _ in range(3):
        server.connect(tls=False).close()
    found = wait_events(server, "closed", 3)
    assert [line["conn"] for line in found] == ["1", "2", "3"]
    with server.open(token=VALID):
        pass
    assert wait_events(server, "closed", 4)[3]["conn"] == "4"
    assert events(server, name="login")[0]["conn"] == "4"


def test_a_scan_is_one_line(server_factory):
    server = server_factory()
    before = server.log_mark()
    server.connect(tls=False).close()
    server.get("/health")
    wait_events(server, "closed", 2)
    assert len(server.lines) - before == 2


def test_a_flood_is_counted(server_factory):
    flood = 3 * BURST
    server = server_factory()
    for _ in range(flood):
        with socket.create_connection(("127.0.0.1", server.plain_port)):
            pass
    with server.open(token=VALID):
        pass

    def told():
        return len(events(server, name="closed")) + sum(
            int(f["lines"]) for f in events(server, name="left_out"))

    wait_until(lambda: told() == flood + 1, 10)
    written = len(events(server, name="closed"))
    assert BURST <= written < 2 * BURST
    assert {f["kind"] for f in events(server, name="left_out")} == {"closed"}
    assert {f["level"] for f in events(server, name="left_out")} == {"warning"}
    assert len(events(server, name="login")) == 1


def test_what_was_left_out_is_told_at_the_end(server_factory):
    server = server_factory()
    for _ in range(BURST + 200):
        with socket.create_connection(("127.0.0.1", server.plain_port)):
            pass
    server.get("/health", tls=False)  # they have all been accepted
    server.stop()
    assert len(events(server, name="closed")) + sum(
        int(f["lines"])
        for f in events(server, name="left_out")) == BURST + 201


def test_a_refused_peer_is_named(server_factory):
    server = server_factory("--max-address-connections", 1, trust=None)
    with server.open(tls=False):
        with server.connect(tls=False) as client:
            here = "127.0.0.1:%d" % client.sock.getsockname()[1]
            client.expect_eof()
    found, = wait_events(server, "connection_refused", 1)
    assert found["peer"] == here
    assert found["reason"] == "--max-address-connections is reached"


def test_one_limit_does_not_hide_another(server_factory):
    """Each reason is told of; once one line in ten seconds was for all."""
    server = server_factory("--max-connections", "3",
                            "--max-address-connections", "2", trust=None)
    with server.open(False), server.open(False), \
            server.open(False, source="127.0.0.2"):
        for source in (None, "127.0.0.2", "127.0.0.3"):
            with pytest.raises((OSError, AssertionError, EOFError)):
                server.open(False, source=source)
        with pytest.raises((OSError, AssertionError, EOFError)):
            server.open(False)
    reasons = {e["reason"] for e in events(server, name="connection_refused")}
    assert "--max-connections is reached" in reasons
    wait_events(server, "closed", 3)
    with server.open(False), server.open(False):
        with pytest.raises((OSError, AssertionError, EOFError)):
            server.open(False)
    server.wait_log("--max-address-connections is reached")


def test_bad_format(data_dir):
    done = run("--data", data_dir, "--log", "xml")
    assert done.returncode == 2
    assert done.stderr == ("openchampps: --log: 'xml' is neither logfmt nor "
                           "json; see openchampps --help\n")


# The audit file

def test_every_login_is_in_it(server_factory, folder):
    path = folder / "audit.log"
    server = server_factory("--audit", path)
    began = time.time()
    results = [(VALID, "ok"), (UNKNOWN, "unknown"), (EXPIRED, "expired"),
               (REVOKED, "revoked"), (FUTURE, "early"), (NIL, "unknown"),
               (VALID, "ok")]
    with server.open() as client:
        here = "127.0.0.1:%d" % client.sock.getsockname()[1]
        for tok, _ in results:
            client.login(tok)
        client.login("no token at all")
        lines = wait_audit(path, len(results) + 1)
    for line, (tok, result) in zip(lines, results):
        assert began - 1 <= seconds_of(line.pop("time")) <= time.time() + 1
        expected = {"event": "login", "peer": here, "conn": 1,
                    "result": result, "token": public_id(tok)}
        if result == "ok":
            expected["user"] = "jane.doe"
        assert line == expected
    assert lines[-1]["result"] == "malformed"
    assert "token" not in lines[-1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_one_player_does_not_fill_the_file(server_factory, folder):
    """Of a second's logins over one connection a few are told of; all are
    counted."""
    server = server_factory("--audit", folder / "audit", trust=None)
    begun = time.time()
    with server.open(False) as client:
        for _ in range(300):
            assert client.login(VALID)["type"] == "auth_success"
        for _ in range(100):
            assert client.login(SECOND)["type"] == "auth_success"
            assert client.login(VALID)["type"] == "auth_success"
    took = int(time.time() - begun) + 2
    time.sleep(0.2)
    assert 2 <= len(audit_lines(folder / "audit")) <= 4 * took
    closed = wait_events(server, "closed", 1)
    assert closed[0]["logins"] == "500"


def test_odd_names_and_no_token(server_factory, folder):
    path = folder / "audit.log"
    server = server_factory("--audit", path)
    for tok in AWKWARD:
        server.open(tls=False, token=tok).close()
    lines = wait_audit(path, len(AWKWARD))
    assert [line["user"] for line in lines] == list(AWKWARD.values())
    text = path.read_text(encoding="utf-8")
    assert not TOKEN_TEXT.search(text)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


def test_it_is_there_after_a_kill_and_appended_to(server_factory, folder,
                                                  data_dir):
    path = folder / "audit.log"
    server = server_factory("--audit", path, data=data_dir)
    with server.open(token=VALID):
        wait_audit(path, 1)
        server.kill()
    server = server_factory("--audit", path, data=data_dir, rows=None)
    with server.open(token=SECOND):
        lines = wait_audit(path, 2)
    assert [line["user"] for line in lines] == ["jane.doe", "john.roe"]


def test_it_is_whole_after_the_end(server_factory, folder):
    path = folder / "audit.log"
    server = server_factory("--audit", path)
    logins = 2000
    with server.open() as client:
        for _ in range(logins // 100):
            client.send(b"".join(
                wsraw.frame(wsraw.TEXT, '{"type":"token_auth","payload":'
                            '{"token":"%s"}}' % VALID) for _ in range(100)))
            for _ in range(100):
                client.read_text()
    server.stop()
    assert len(audit_lines(path)) == logins
    # The log has had enough of them, the file has them all.
    assert len(events(server, name="login")) < logins


def test_rotation(server_factory, folder):
    """logrotate: rename, then SIGHUP. No line is lost, each is in one file."""
    path, old = folder / "audit.log", folder / "audit.log.1"
    server = server_factory("--audit", path)
    with server.open(token=VALID) as client:
        wait_audit(path, 1)
        path.rename(old)
        client.login(SECOND)
        wait_audit(old, 2)
        server.signal(signal.SIGHUP)
        wait_events(server, "audit_opened", 2)
        assert client.login(UNKNOWN) == TOKEN_ERROR
        new = wait_audit(path, 1)
    assert [line["result"] for line in audit_lines(old)] == ["ok", "ok"]
    assert new[0]["result"] == "unknown"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_rotation_under_load(server_factory, folder):
    path = folder / "audit.log"
    server = server_factory("--audit", path)
    rounds, batch = 8, 50
    with server.open() as client:
        for number in range(rounds):
            client.send(b"".join(
                wsraw.frame(wsraw.TEXT, '{"type":"token_auth","payload":'
                            '{"token":"%s"}}' % VALID)
                for _ in range(batch)))
            if path.exists():
                path.rename(folder / ("audit.log.%d" % number))
                server.signal(signal.SIGHUP)
            for _ in range(batch):
                client.read_text()
    server.stop()
    files = list(folder.iterdir())
    assert len(files) > 2
    assert sum(len(audit_lines(f)) for f in files) == rounds * batch
    for f in files:
        assert f.read_bytes()[-1:] in (b"", b"\n")


def test_a_reopen_that_fails_keeps_the_old_file(server_factory, folder):
    path, old = folder / "audit.log", folder / "audit.log.1"
    server = server_factory("--audit", path)
    with server.open(token=VALID) as client:
        path.rename(old)
        path.mkdir()
        server.signal(signal.SIGHUP)
        line, = wait_events(server, "reload_failed", 1)
        assert "Is a directory" in line["reason"]
        assert line["kept"] == "the audit file in use"
        client.login(VALID)
        wait_audit(old, 2)


def test_full_disk_keeps_nobody_out(server_factory):
    server = server_factory("--audit", "/dev/full")
    with server.open(token=VALID) as client:
        failed, = wait_events(server, "audit_failed", 1)
        assert failed["reason"] == "No space left on device"
        for _ in range(5):
            assert client.login(VALID)["type"] == "auth_success"
    server.stop()
    assert len(events(server, name="audit_failed")) == 1


needs_mount = pytest.mark.skipif(os.getuid() != 0, reason="needs root")


@needs_mount
def test_full_file_system_and_room_again(server_factory, folder):
    """What was logged while there was no room is there afterwards."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs",
                           str(folder)], check=False, capture_output=True)
    if done.returncode != 0:
        pytest.skip("cannot mount: %s" % done.stderr.decode())
    try:
        path, filler = folder / "audit.log", folder / "filler"
        server = server_factory("--audit", path)
        with server.open(token=VALID) as client:
            wait_audit(path, 1)
            with pytest.raises(OSError), open(filler, "wb", 0) as out:
                while True:
                    out.write(b"x" * 4096)
            logins = 40  # more than what is left of a page
            for _ in range(logins):
                assert client.login(VALID)["type"] == "auth_success"
            wait_events(server, "audit_failed", 1)
            filler.unlink()
            lines = wait_audit(path, logins + 1)
            assert client.login(VALID)["type"] == "auth_success"
            recovered, = wait_events(server, "audit_recovered", 1)
            assert recovered["lost"] == "0"
        assert {line["result"] for line in lines} == {"ok"}
        server.stop()
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("where, why", [
    ("missing/audit.log", "No such file or directory"),
    (".", "Is a directory"),
])
def test_what_cannot_be_opened_is_refused(data_dir, folder, where, why):
    done = run("--data", data_dir, "--listen", "127.0.0.1:0", "--audit",
               folder / where)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == \
        "openchampps: --audit: %s: %s" % (folder / where, why)


@needs_strace
def test_a_hung_disk_stops_nobody(server_factory, folder):
    path = folder / "audit.log"
    server = server_factory("--audit", path)
    with server.open(token=VALID) as client:
        wait_audit(path, 1)
        hung = Strace(server, ["write:delay_enter=2500000"])
        hung.command[1:1] = ["-P", str(path)]
        with hung:
            began = time.monotonic()
            for _ in range(5):
                assert client.login(VALID)["type"] == "auth_success"
            assert time.monotonic() - began < 2
            assert len(audit_lines(path)) == 1
        wait_audit(path, 6)


def has_landlock(server):
    return "landlock=yes" in server.log_text()


def test_a_link_out_of_the_sandbox_is_refused(server_factory, folder,
                                              tmp_path):
    """At the start, not first when the log is rotated."""
    server = server_factory()
    if not has_landlock(server):
        pytest.skip("no Landlock in this kernel")
    (tmp_path / "other").mkdir()
    (folder / "audit.log").symlink_to(tmp_path / "other" / "audit.log")
    done = run("--data", server_factory().data, "--listen", "127.0.0.1:0",
               "--audit", folder / "audit.log")
    assert done.returncode == 1


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_another_user_writes_it(server_factory, data_dir):
    import_rows(data_dir, ROWS)
    home = data_dir.parent / (data_dir.name + "-log")
    home.mkdir(mode=0o700)
    try:
        for folder in (data_dir, home):
            for path in (folder, *folder.rglob("*")):
                os.chown(path, 4321, 4321)
        path = home / "audit.log"
        server = server_factory("--user", "4321", "--audit", path,
                                data=data_dir, rows=None)
        with server.open(token=VALID) as client:
            wait_audit(path, 1)
            path.rename(home / "audit.log.1")
            server.signal(signal.SIGHUP)
            wait_events(server, "audit_opened", 2)
            client.login(SECOND)
            wait_audit(path, 1)
        assert path.stat().st_uid == 4321
        server.stop()
        os.chown(home, 0, 0)
        done = run("--data", data_dir, "--listen", "127.0.0.1:0", "--user",
                   "4321", "--audit", path)
        assert done.returncode == 1
        assert "Permission denied" in done.stderr
    finally:
        shutil.rmtree(home)


def test_the_thread_is_held_as_well(server_factory, folder):
    server = server_factory("--audit", folder / "audit.log")
    tasks = os.listdir("/proc/%d/task" % server.pid)
    assert len(tasks) == 3
    for task in tasks:
        with open("/proc/%d/task/%s/status" % (server.pid, task),
                  encoding="utf-8") as status:
            text = status.read()
        if "Seccomp:" in text:
            assert "Seccomp:\t2" in text


def test_the_data_directory_will_do(server_factory, data_dir):
    path = data_dir / "audit.log"
    server = server_factory("--audit", path, data=data_dir)
    with server.open(token=VALID):
        wait_audit(path, 1)
