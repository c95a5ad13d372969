"""openchampps token: add, list, show, revoke, delete, purge."""

import json
import os
import re
import subprocess
import time

import pytest

import logins
import strace
from conftest import (BINARY, FAR_AHEAD, LONG_AGO, NIL, REVOKED, ROWS,
                      TOKEN_TEXT, VALID, child_env, export_rows, hash_of,
                      import_rows, row, run, token)

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}"
                   r"-[0-9a-f]{12}\n")


def command(data, *args, stdin=None, status=0):
    """stdout of `token ARGS`; stderr is empty, or one line."""
    done = run("token", args[0], "--data", data, *args[1:], stdin=stdin)
    assert done.returncode == status, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == (status != 0), lines
    assert not TOKEN_TEXT.search(done.stderr)
    return done.stdout


def complaint(data, *args, stdin=None, status=1):
    """The line on stderr of what is refused; nothing else is said."""
    done = run("token", args[0], "--data", data, *args[1:], stdin=stdin)
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert not TOKEN_TEXT.search(done.stderr)
    name = "openchampps token %s: " % args[0]
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith(name), lines
    return lines[0][len(name):]


def rows_of(data, *args, **kwargs):
    """The objects of a listing."""
    text = command(data, "list", "--json", *args, **kwargs)
    return [json.loads(line) for line in text.split("\n")[:-1]]


def ids_of(data, *args):
    return [line["id"] for line in rows_of(data, *args)]


def id_of(tok):
    return hash_of(tok)[:12]


@pytest.fixture
def store(data_dir):
    import_rows(data_dir, ROWS)
    return data_dir


# Add

def test_add_makes_the_store_and_a_token(data_dir):
    text = command(data_dir, "add", "--username", "jane d\u00f6")
    assert UUID4.fullmatch(text)
    line, = rows_of(data_dir)
    assert line["token_sha256"] == hash_of(text.strip())
    assert (line["username"], line["state"]) == ("jane d\u00f6", "valid")
    assert line["expires_at"] is line["not_before"] is None
    assert line["last_used_at"] is None
    assert abs(time.time() - time.mktime(time.strptime(
        line["created_at"], "%Y-%m-%dT%H:%M:%SZ")) + time.timezone) < 60
    assert command(data_dir, "add", "--username", "x") != text
    assert export_rows(data_dir)[line["token_sha256"]]["username"]


def test_add_with_times(data_dir):
    made = json.loads(command(
        data_dir, "add", "--username", "x", "--json", "--expires",
        "2099-01-02 03:04:05+01", "--not-before", "2098-01-01T00:00:00Z"))
    assert made["expires_at"] == "2099-01-02T02:04:05Z"
    assert made["not_before"] == "2098-01-01T00:00:00Z"
    assert made["username"] == "x" and made["id"] == id_of(made["token"])
    line, = rows_of(data_dir)
    assert line["state"] == "not yet" and line["id"] == made["id"]
    assert line["expires_at"] == made["expires_at"]
    for ttl, seconds in (("7d", 7 * 86400), ("90m", 5400)):
        made = json.loads(command(data_dir, "add", "--username", "x",
                                  "--ttl", ttl, "--json"))
        line, = [x for x in rows_of(data_dir) if x["id"] == made["id"]]
        moments = [time.mktime(time.strptime(line[name], "%Y-%m-%dT%H:%M:%SZ"))
                   for name in ("created_at", "expires_at")]
        assert moments[1] - moments[0] == seconds


@pytest.mark.parametrize("args, reason", [
    ([], "--username NAME is missing"),
    (["--username", "a" * 256], "--username: longer than 255 bytes"),
    (["--username", b"\xff\xfe"], "--username: not UTF-8"),
    (["--username", ""], "--username: the value is empty"),
    (["--username", "x", "--ttl", "0"], "--ttl: 0 is not between"),
    (["--username", "x", "--ttl", "7x"], "--ttl: '7x' is not a time"),
    (["--username", "x", "--ttl", "7d", "--expires", FAR_AHEAD],
     "--ttl and --expires exclude each other"),
    (["--username", "x", "--expires", "tomorrow"], "--expires: not a time"),
    (["--username", "x", "--expires", LONG_AGO],
     "--expires: it is not in the future"),
    (["--username", "x", "--ttl", "1d", "--not-before", FAR_AHEAD],
     "it would expire before it is valid"),
    (["--username", "x", "more"], "it takes options only"),
])
def test_add_refuses(data_dir, args, reason):
    done = subprocess.run(
        [str(BINARY), "token", "add", "--data", str(data_dir), *args],
        env=child_env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=15)
    assert done.returncode == 2 and done.stdout == b""
    assert done.stderr.decode("utf-8", "replace").startswith(
        "openchampps token add: " + reason)
    assert not list(data_dir.iterdir())


def test_a_token_that_cannot_be_printed(store):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run(
            [str(BINARY), "token", "add", "--data", str(store), "--username",
             "x"], env=child_env(), stdout=full, stderr=subprocess.PIPE,
            timeout=15, encoding="utf-8")
    assert done.returncode == 1
    name = re.search(r"token ([0-9a-f]{12}) is stored, but was not printed",
                     done.stderr)
    assert command(store, "delete", name[1]) == "deleted 1\n"


# List and show

def test_list_for_people(store):
    lines = command(store, "list", "--user", "jane.doe").splitlines()
    assert lines[0].split() == ["id", "state", "expires_at", "last_used_at",
                                "username"]
    assert lines[1].split() == [id_of(VALID), "valid",
                                "2099-12-31T23:59:59Z", "-", "jane.doe"]
    assert len(lines) == 2
    assert "new?line" in command(store, "list")


def test_list_filters(store):
    everything = rows_of(store)
    hashes = [line["token_sha256"] for line in everything]
    assert hashes == sorted(export_rows(store))
    states = {line["username"]: line["state"] for line in everything}
    assert states["expired"] == "expired" and states["revoked"] == "revoked"
    assert states["future"] == "not yet" and states["never"] == "valid"
    assert [x["username"] for x in rows_of(store, "--expired")] == ["expired"]
    assert [x["username"] for x in rows_of(store, "--revoked")] == ["revoked"]
    assert rows_of(store, "--revoked", "--expired") == []
    assert rows_of(store, "--user", "nobody") == []


def test_list_unused(data_dir):
    import_rows(data_dir, [
        row(token(1), "old", last_used_at="2026-02-01 00:00:00"),
        row(token(2), "new", last_used_at="2026-08-01 00:00:00"),
        row(token(3), "never"),
        row(token(4), "just made", created_at="2026-07-01 00:00:00"),
        row(token(5), "unknown", created_at="")])
    names = {x["username"] for x in rows_of(
        data_dir, "--unused-since", "2026-06-01T00:00:00Z")}
    assert names == {"old", "never", "unknown"}
    assert ids_of(data_dir, "--unused-since", "20000d") == [id_of(token(5))]
    assert "in the past" in complaint(
        data_dir, "list", "--unused-since", FAR_AHEAD, status=2)
    assert "or so long ago (90d)" in complaint(
        data_dir, "list", "--unused-since", "90y", status=2)


def test_pages_of_a_list(store):
    whole, got, last = ids_of(store), [], []
    while True:
        page = ids_of(store, "--limit", 4, *last)
        got += page
        if not page:
            break
        last = ["--after", page[-1]]
        if len(got) == 8:  # where the page before ended is no more
            command(store, "delete", page[-1])
    assert got == whole
    assert ids_of(store, "--after", "f" * 64) == []
    assert "12 to 64 hex digits" in complaint(store, "list", "--after",
                                              VALID, status=2)


def make_alike(store):
    """
    Gives one token a key next to another's, in the file: its record does not
    verify any more. returns: both hashes, the sound one first
    """
    first, second = sorted(export_rows(store))[5:7]
    near = first[:-2] + "%02x" % ((int(first[-2:], 16) + 1) & 0xff)
    assert near > first
    path = store / "store.mdb"
    data = path.read_bytes()
    assert bytes.fromhex(second) in data
    path.write_bytes(data.replace(bytes.fromhex(second),
                                  bytes.fromhex(near)))
    return first, near


def test_ids_that_begin_alike_and_a_damaged_record(store):
    first, near = make_alike(store)
    shown = rows_of(store, status=1)
    digits = len(os.path.commonprefix([first, near])) + 1
    assert [x["id"] for x in shown[4:8]] == [
        shown[4]["token_sha256"][:12], first[:digits], near[:digits],
        shown[7]["token_sha256"][:12]]
    assert shown[6] == {
        "token_sha256": near, "created_at": None, "not_before": None,
        "id": near[:digits], "state": "damaged", "expires_at": None,
        "last_used_at": None, "username": None}
    assert "1 records are damaged" in run("token", "list", "--data",
                                          store).stderr
    behind = rows_of(store, "--after", first[:digits], status=1)
    assert behind == shown[6:]
    assert rows_of(store, "--limit", 1, "--after", first, status=1) == [
        shown[6]]
    assert rows_of(store, "--after", near) == shown[7:]
    for name in ("show", "revoke", "delete"):
        assert "several tokens begin so" in complaint(store, name, first[:60])
    assert "record is damaged" in run("token", "show", "--data", store,
                                      near).stderr
    assert command(store, "revoke", near, status=1) == \
        "revoked 0, damaged 1\n"
    assert command(store, "purge", "--expired-before", "1d", status=1) == \
        "deleted 1, damaged 1\n"
    assert command(store, "delete", near) == "deleted 1\n"
    assert command(store, "show", first[:12]).count(first) == 1


def test_options_do_not_come_from_the_environment(store):
    """OPENCHAMPPS_USER is the server's user in a container."""
    done = run("token", "revoke", id_of(VALID),
               env={"OPENCHAMPPS_DATA": str(store),
                    "OPENCHAMPPS_USER": "65532", "OPENCHAMPPS_REVOKED": "1"})
    assert done.stdout == "revoked 1\n" and done.returncode == 0


def test_show(store):
    text = command(store, "show", id_of(VALID))
    fields = dict(line.split(": ", 1) for line in text.splitlines())
    assert fields["username"] == "jane.doe"
    assert fields["token_sha256"] == hash_of(VALID)
    assert fields["state"] == "valid" and fields["last_used_at"] == "-"
    assert fields["created_at"] == "2026-01-01T00:00:00Z"
    assert json.loads(command(store, "show", "--json", "-",
                              stdin=VALID.upper() + "\r\n"))["id"] == \
        id_of(VALID)
    assert command(store, "show", hash_of(VALID)) == text
    assert command(store, "show", hash_of(VALID)[:13].upper()) == text
    assert "there is no such token" in complaint(store, "show", "0" * 12)
    assert "there is no such token" in complaint(store, "show", "-", stdin=NIL)
    assert "one token is expected, not 2" in complaint(
        store, "show", "-", stdin="%s\n%s\n" % (VALID, REVOKED))
    assert "12 to 64 hex digits" in complaint(store, "show", VALID)
    assert "12 to 64 hex digits" in complaint(store, "show", "0" * 11)
    assert "12 to 64 hex digits" in complaint(store, "show", "0" * 65)


# Revoke, delete, purge

def test_revoke(store):
    assert command(store, "revoke", id_of(VALID), hash_of(token(1)),
                   id_of(VALID)) == "revoked 2\n"
    assert command(store, "revoke", id_of(VALID), id_of(token(2))) == \
        "revoked 1, already revoked 1\n"
    assert json.loads(command(store, "revoke", "--json", id_of(VALID))) == {
        "revoked": 0, "already_revoked": 1, "unknown": 0, "damaged": 0,
        "refused": 0}
    gone = {line["username"] for line in rows_of(store, "--revoked")}
    assert gone == {"revoked", "jane.doe", "john.roe", "never"}


def test_what_is_not_there_changes_nothing(store):
    before = export_rows(store)
    for what in ("revoke", "delete"):
        assert "id 000000000000: there is no such token" in complaint(
            store, what, id_of(VALID), "0" * 12)
        assert "12 to 64 hex digits" in complaint(store, what, id_of(VALID),
                                                  token(1))
        assert "standard input, line 3: not a token" in complaint(
            store, what, "-", stdin="%s\n\n%s\n%s\n" % (
                VALID, VALID[:-1], token(1)))
        assert "line 2: not a token" in complaint(
            store, what, "-", stdin="%s\n%s\n" % (VALID, "x" * 9000))
        assert "one of these is needed" in complaint(store, what, status=2)
        assert "one of these is needed" in complaint(
            store, what, "--user", "x", id_of(VALID), status=2)
    assert export_rows(store) == before


def test_tokens_on_standard_input(store):
    lines = "%s\r\n\n%s\n%s\n%s" % (VALID.upper(), token(1), REVOKED, VALID)
    assert command(store, "revoke", "-", stdin=lines) == \
        "revoked 2, already revoked 1\n"
    text = command(store, "delete", "-", status=1,
                   stdin="%s\n%s\n" % (VALID, token(0xabc)))
    assert text == "deleted 1, unknown 1\n"
    assert hash_of(VALID) not in export_rows(store)
    assert command(store, "delete", "-", stdin="") == "deleted 0\n"


def test_by_user(data_dir):
    import_rows(data_dir, [row(token(i), "u%d" % (i % 3), is_revoked="ft"[
        i % 6 == 0]) for i in range(2700)])
    assert command(data_dir, "revoke", "--user", "u0") == \
        "revoked 450, already revoked 450\n"
    assert command(data_dir, "revoke", "--user", "u") == "revoked 0\n"
    assert command(data_dir, "delete", "--user", "u1", "--dry-run") == \
        "would delete 900\n"
    assert len(export_rows(data_dir)) == 2700
    assert json.loads(command(data_dir, "delete", "--user", "u1", "--json",
                              "--dry-run"))["would_delete"] == 900
    assert command(data_dir, "delete", "--user", "u1") == "deleted 900\n"
    assert run("verify", "--data", data_dir).returncode == 0
    left = export_rows(data_dir)
    assert {line["username"] for line in left.values()} == {"u0", "u2"}
    assert all((line["username"] == "u0") == (line["is_revoked"] == "t")
               for line in left.values())


def test_purge(data_dir):
    import_rows(data_dir, [row(token(i), "x", expires_at=(
        "", "infinity", FAR_AHEAD, "2020-01-01 00:00:00", "2026-01-01 00:00:00"
        )[i % 5]) for i in range(3000)])
    assert "--expired-before TIME is needed" in complaint(
        data_dir, "purge", status=2)
    assert "it has to be in the past" in complaint(
        data_dir, "purge", "--expired-before", FAR_AHEAD, status=2)
    assert command(data_dir, "purge", "--expired-before",
                   "2020-01-01 00:00:00") == "deleted 0\n"
    assert command(data_dir, "purge", "--expired-before", "2020-01-01 "
                   "00:00:01", "--dry-run") == "would delete 600\n"
    assert command(data_dir, "purge", "--expired-before", "2020-01-01 "
                   "00:00:01") == "deleted 600\n"
    assert command(data_dir, "purge", "--expired-before", "1d") == \
        "deleted 600\n"
    left = export_rows(data_dir).values()
    assert sorted({line["expires_at"] for line in left}) == [
        "", "2099-12-31T23:59:59Z"]
    assert len(left) == 1800


def test_help_and_misuse(data_dir):
    text = run("token", "--help")
    assert text.returncode == 0
    for name in ("add", "list", "show", "revoke", "delete", "purge"):
        assert re.search("^  %s " % name, text.stdout, re.MULTILINE)
        one = run("token", name, "--help")
        assert one.returncode == 0 and one.stdout.startswith(
            "usage: openchampps token %s --data DIR" % name)
    for args in ((), ("frobnicate",), (VALID,)):
        done = run("token", *args)
        assert done.returncode == 2 and "token --help" in done.stderr
        assert VALID not in done.stderr
    assert "does not exist" in complaint(data_dir, "list")
    assert "does not exist" in complaint(data_dir, "revoke", "0" * 12)
    assert not list(data_dir.iterdir())


@strace.needs_strace
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync", "pwritev"])
def test_a_write_that_finds_no_room(store, call):
    """The ballast is given up, and as there is room, made again."""
    ballast = store / "ballast"
    before = ballast.stat().st_ctime_ns
    tracer = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call,
              "-e", "inject=%s:error=ENOSPC:when=1" % call]
    done = run("token", "revoke", "--data", store, id_of(VALID), wrap=tracer)
    assert (done.returncode, done.stdout) == (0, "revoked 1\n"), done.stderr
    assert done.stderr == "" or "ballast was given up" in done.stderr
    assert ("given up" in done.stderr) == (ballast.stat().st_ctime_ns != before)
    assert call == "pwritev" or done.stderr
    ballast.unlink()
    done = run("token", "revoke", "--data", store, id_of(token(1)),
               wrap=tracer)
    if call != "pwritev":
        assert (done.returncode, done.stdout) == (1, "")
        assert "the disk is full" in done.stderr


# With a server

def test_a_live_server_sees_it_at_once(server_factory):
    server = server_factory()
    made = command(server.data, "add", "--username", "new").strip()
    logins.expect_logins(server, {made: "new", VALID: "jane.doe"})
    line, = rows_of(server.data, "--user", "new")
    assert line["last_used_at"] is not None  # it is in the journal still
    assert command(server.data, "revoke", "-", stdin=made) == "revoked 1\n"
    assert command(server.data, "delete", id_of(VALID)) == "deleted 1\n"
    logins.expect_logins(server, {made: None, VALID: None,
                                  token(1): "john.roe"})
    server.stop()
    assert TOKEN_TEXT.search(server.log_text()) is None


def test_logins_go_on_meanwhile(server_factory):
    """No login waits for thousands of changes."""
    count = 30000
    server = server_factory(rows=[
        row(token(i), "one" if i % 2 else "two") for i in range(count)])
    with server.open(tls=False) as client:
        before = latest(client, 60)
        process = subprocess.Popen(
            [str(BINARY), "token", "delete", "--data", str(server.data),
             "--user", "two"], env=child_env(), stdout=subprocess.PIPE)
        during = 0.0
        while process.poll() is None:
            during = max(during, latest(client, 1))
        out = process.stdout.read()
    assert out == b"deleted %d\n" % (count // 2)
    print("slowest login: %.3f s, before %.3f s" % (during, before))
    assert during < 2


def latest(client, count):
    """Seconds of the slowest of so many logins."""
    slowest = 0.0
    for i in range(count):
        begin = time.monotonic()
        assert client.login(token(2 * i + 1))["type"] == "auth_success"
        slowest = max(slowest, time.monotonic() - begin)
    return slowest


@pytest.mark.parametrize("when", ["1970-01-01T00:00:00Z", "0000000000"])
def test_expiry_at_the_epoch_is_not_never(data_dir, when):
    """Zero means never in a record; the instant itself is long past."""
    why = complaint(data_dir, "add", "--username", "jane", "--expires", when,
                    status=2)
    assert "not in the future" in why


def test_a_token_without_dashes_is_not_echoed(store):
    bare = VALID.replace("-", "")
    done = run("token", "revoke", "--data", store, bare)
    assert done.returncode == 1 and bare not in done.stderr
