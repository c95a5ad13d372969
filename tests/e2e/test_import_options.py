"""openchampps import: dry runs, conflicts, rejects, zones, interruptions."""

import os
import pty
import re
import signal
import stat
import subprocess
import time

import pytest

import logins
from conftest import (AWKWARD, BINARY, NIL, SECOND, TOKEN_TEXT, VALID,
                      child_env, export_rows, hash_of, import_rows, last_used,
                      parse_time, row, run, summary, token, write_csv)
from strace import needs_strace

HEADER = "token,username,created_at,expires_at,last_used_at,is_revoked\n"
GOOD = HEADER + f"{VALID},jane.doe,,,,f\n{SECOND},john.roe,,,,t\n"


@pytest.fixture
def take(data_dir, tmp_path):
    """Imports this content with these options; the result and its path."""
    def take_it(content, *options, status=0):
        path = tmp_path / "tokens.csv"
        path.write_bytes(content if isinstance(content, bytes)
                         else content.encode())
        done = run("import", "--data", data_dir, *options, path)
        assert done.returncode == status, done.stderr
        assert not TOKEN_TEXT.search(done.stdout + done.stderr)
        return done, str(path)

    return take_it


def export(data):
    """Bytes: names hold line ends of all kinds."""
    return subprocess.run([BINARY, "export", "--data", data], check=True,
                          env=child_env(), stdout=subprocess.PIPE).stdout


def import_bytes(data, content, *options):
    """Through a pipe; the result, in bytes."""
    return subprocess.run(
        [BINARY, "import", "--data", data, *options, "-"], input=content,
        env=child_env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def usage(*args):
    done = run("import", "--data", "nowhere", *args, "tokens.csv")
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


# Times

@pytest.mark.parametrize("zone, seconds", [
    ("UTC", 0), ("Z", 0), ("+02", 7200), ("+05:30", 19800), ("-0330", -12600)])
def test_zone(take, data_dir, zone, seconds):
    """It is that of times without one, and of no others."""
    times = ["2026-07-01 12:00:00.25", "2026-07-01T12:00:00",
             "2026-07-01 12:00:00Z", "2026-07-01 14:00:00+02", "1782907200"]
    take("token,username,created_at\n" + "".join(
        f"{token(n)},name{n},{t}\n" for n, t in enumerate(times)),
        "--tz", zone)
    rows = export_rows(data_dir)
    noon = parse_time("2026-07-01T12:00:00Z")
    assert [parse_time(rows[hash_of(token(n))]["created_at"])
            for n in range(len(times))] == [noon - seconds] * 2 + [noon] * 3


def test_zone_from_the_environment(data_dir):
    done = run("import", "--data", data_dir, "-", env={
        "OPENCHAMPPS_TZ": "+02"}, stdin="token,username,created_at\n"
        f"{VALID},j,2026-07-01 12:00:00\n")
    assert done.returncode == 0
    assert ",2026-07-01T10:00:00Z," in export(data_dir).decode()


@pytest.mark.parametrize("zone", ["Europe/Berlin", "CET", "2", "+2", "+24"])
def test_zone_that_is_none(zone):
    assert usage("--tz", zone) == (
        f"openchampps import: --tz '{zone}' is no offset from UTC; names of "
        "zones are not known here, give UTC, +02 or -03:30; see openchampps "
        "import --help\n")


def test_before_all_times(take, data_dir):
    take(HEADER + f"{VALID},j,-infinity,-infinity,-infinity,f\n"
         f"{SECOND},k,,infinity,,f\n")
    rows = export_rows(data_dir)
    line = rows[hash_of(VALID)]
    assert (line["created_at"], line["expires_at"], line["last_used_at"]) == (
        "", "0001-01-01T00:00:00Z", "")
    assert rows[hash_of(SECOND)]["expires_at"] == ""


# Dry runs

def test_dry_run_makes_no_store(take, data_dir):
    done, path = take(GOOD, "--dry-run")
    assert done.stdout == summary(path + ": dry run", created=2)
    assert os.listdir(data_dir) == []


def test_dry_run_needs_the_directory(data_dir):
    done = run("import", "--dry-run", "--data", data_dir / "no", "-",
               stdin=GOOD)
    assert done.returncode == 1 and "it does not exist" in done.stderr


def test_dry_run_judges_all(take, data_dir):
    take(GOOD)
    before = (data_dir / "store.mdb").read_bytes()
    bad = (HEADER + f"{SECOND},jane.doe,,,,f\n{VALID},jane.doe,,,,f\n"
           f"{token(7)},new,,,,f\n{NIL},nil,,,,f\n{token(7)},new,,,,f\n")
    done, path = take(bad, "--dry-run", status=1)
    where = [line[len(path):].split(": ")[0]
             for line in done.stderr.splitlines()[:-1]]
    assert where == [":2:1", ":5:1", ":6:1"]
    assert "3 bad rows, nothing was imported" in done.stderr
    for option, counts in [("skip", {"skipped": 1}),
                           ("replace", {"replaced": 1}),
                           ("error", {"rejected": 3})]:
        done, path = take(bad, "--dry-run", "--skip-invalid", "--on-conflict",
                          option)
        assert done.stdout == summary(path + ": dry run", **{
            "created": 1, "unchanged": 1, "rejected": 2, **counts})
    assert (data_dir / "store.mdb").read_bytes() == before


def test_dry_run_writes_no_rejects(take, tmp_path, data_dir):
    take(GOOD + "bad\n", "--dry-run", "--skip-invalid", "--rejects",
         tmp_path / "rejects.csv")
    assert not (tmp_path / "rejects.csv").exists()
    assert os.listdir(data_dir) == []


# Conflicts

OTHER = HEADER + f"{VALID},other,,,2026-01-01 00:00:00,f\n"


def test_skipped_conflict(take, data_dir):
    take(GOOD)
    before = export(data_dir)
    done, path = take(OTHER + f"{SECOND},john.roe,,,,t\n", "--on-conflict",
                      "skip")
    assert done.stdout == summary(path, skipped=1, unchanged=1)
    assert done.stderr == ""
    assert export(data_dir) == before


def test_replaced_conflict(take, data_dir, server_factory):
    """The last use stays where it is newer: the row is the same one."""
    take(GOOD)
    server = server_factory(rows=None, data=data_dir, plain=False)
    logins.expect_logins(server, {VALID: "jane.doe"})
    used = last_used(data_dir, VALID)
    assert used
    done, path = take(OTHER, "--on-conflict", "replace")
    assert done.stdout == summary(path, replaced=1)
    assert last_used(data_dir, VALID) == used
    logins.expect_logins(server, {VALID: "other"})


def test_what_a_conflict_can_be():
    assert "--on-conflict 'keep' is none of error, skip, replace" in usage(
        "--on-conflict", "keep")


# Rejects

BAD = (b"\xef\xbb\xbf" + HEADER.replace("\n", "\r\n").encode()
       + f"{VALID},jane.doe,,,,f\r\n".encode()
       + b'x,"two\r\nlines, ""quoted""",,,,f\n'
       + f'{token(5)},a"b,,,,f\n\n{token(6)},c\xe9,yesterday,,,f\r'.encode(
           "latin-1")
       + f"{SECOND},john.roe,,,,t\n{VALID.upper()},again,,,,f\n".encode()
       + f"{token(8)},few".encode())
REJECTED = (b"\xef\xbb\xbf" + HEADER.replace("\n", "\r\n").encode()
            + b'x,"two\r\nlines, ""quoted""",,,,f\n'
            + f'{token(5)},a"b,,,,f\n\n{token(6)},c\xe9,yesterday,,,f\r'.encode(
                "latin-1")
            + f"{VALID.upper()},again,,,,f\n{token(8)},few".encode())


def test_rejects(take, data_dir, tmp_path):
    rejects = tmp_path / "rejects.csv"
    done, path = take(BAD, "--skip-invalid", "--rejects", rejects)
    assert done.stdout == summary(path, created=2, rejected=5)
    where = [re.sub(r": .*", "", line[len(path):])
             for line in done.stderr.splitlines()]
    assert where == [":3:1", ":5:39", ":7:38", ":9:1", ":10:1"]
    assert "the same token as in line 2" in done.stderr
    assert rejects.read_bytes() == REJECTED
    assert stat.S_IMODE(rejects.stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["rejects.csv", "tokens.csv"]
    assert len(export_rows(data_dir)) == 2


def test_rejects_of_stdin(data_dir, tmp_path):
    """A pipe cannot be read again: it is kept, without a name."""
    rejects = tmp_path / "rejects.csv"
    done = import_bytes(data_dir, BAD, "--skip-invalid", "--rejects", rejects)
    assert done.stdout.decode() == summary("stdin", created=2, rejected=5)
    assert rejects.read_bytes() == REJECTED
    assert os.listdir(tmp_path) == ["rejects.csv"]


def test_rejects_of_stdin_that_began_before(data_dir, tmp_path):
    """A file on stdin of which another has read a part."""
    source, rejects = tmp_path / "all", tmp_path / "rejects.csv"
    source.write_bytes(b"x" * 9000 + BAD)
    with open(source, "rb", buffering=0) as stdin:
        stdin.seek(9000)
        subprocess.run([BINARY, "import", "--data", data_dir,
                        "--skip-invalid", "--rejects", rejects, "-"],
                       stdin=stdin, env=child_env(), check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert rejects.read_bytes() == REJECTED


def test_conflicts_are_rejects(take, data_dir, tmp_path):
    take(GOOD)
    rejects = tmp_path / "rejects.csv"
    done, path = take(OTHER + f"{token(9)},new,,,,f\n", "--skip-invalid",
                      "--rejects", rejects)
    assert done.stdout == summary(path, created=1, rejected=1)
    assert "2:1: column token: is in the store already" in done.stderr
    assert rejects.read_text() == OTHER
    # Mended, that is: told to replace.
    done, path = take(rejects.read_text(), "--on-conflict", "replace")
    assert done.stdout == summary(path, replaced=1)


def test_many_rejects_in_order(take, tmp_path):
    """More than one buffer of them, found in the order of their hashes."""
    rejects = tmp_path / "rejects.csv"
    lines = [f"{token(n % 3000)},{'n' * 40},,,,f\n" for n in range(6000)]
    done, path = take(HEADER + "".join(lines), "--skip-invalid", "--rejects",
                      rejects, "--max-errors", "3")
    assert done.stdout == summary(path, created=3000, rejected=3000)
    assert [line.split(":")[1] for line in done.stderr.splitlines()[:3]] == [
        "3002", "3003", "3004"]
    assert done.stderr.splitlines()[3] == "… and 2997 more"
    assert rejects.read_text() == HEADER + "".join(lines[3000:])


def test_no_rejects_no_file(take, tmp_path):
    take(GOOD, "--skip-invalid", "--rejects", tmp_path / "rejects.csv")
    assert not (tmp_path / "rejects.csv").exists()


def test_rejects_need_a_new_file(take, tmp_path, data_dir):
    rejects = tmp_path / "rejects.csv"
    rejects.write_text("mine")
    done, _ = take(BAD, "--skip-invalid", "--rejects", rejects, status=1)
    assert done.stderr == (f"openchampps import: {rejects}: is there already; "
                           "give another name\n")
    assert rejects.read_text() == "mine"
    assert os.listdir(data_dir) == []


def test_rejects_that_cannot_be_written(take, tmp_path, data_dir):
    take(GOOD)
    before = export(data_dir)
    done, _ = take(HEADER + f"{token(9)},new,,,,f\nbad\n", "--skip-invalid",
                   "--rejects", tmp_path / "no" / "rejects.csv", status=1)
    assert "rejects.csv: No such file or directory" in done.stderr
    assert export(data_dir) == before


def test_rejects_without_skipping():
    assert "--rejects goes with --skip-invalid only" in usage("--rejects", "r")


def test_max_errors(take):
    for count, shown in [(0, 0), (1, 1), (7, 5)]:
        done, _ = take(HEADER + "bad\n" * 5, "--max-errors", count, status=1)
        lines = done.stderr.splitlines()
        more = shown < 5
        assert len(lines) == shown + more + 1
        assert more == (f"… and {5 - shown} more" in lines)
        assert "5 bad rows" in lines[-1]
    assert "--max-errors: 10001 is not between 0 and 10000" in usage(
        "--max-errors", "10001")


# Hashes in place of tokens

def test_export_is_taken_back(data_dir, tmp_path):
    """Byte by byte, whatever the names are, into a store of its own secret."""
    times = ["2026-01-01 00:00:00", "1969-12-31 23:59:59",
             "0001-01-01 00:00:00", "9999-12-31 23:59:59", ""]
    names = ['a "quoted" name', "new\nline\r\n", "comma,", ",", '"', "\n", "\r",
             " ", "é\u2028\U0001f600", "NULL", "\\N", "'", "x" * 255, "\x01",
             *AWKWARD.values()]
    import_rows(data_dir, [
        row(token(n), name, created_at=times[n % 5],
            expires_at=times[(n + 1) % 5] or "infinity",
            not_before=times[(n + 2) % 5], last_used_at=times[(n + 3) % 5],
            is_revoked="ft"[n % 2]) for n, name in enumerate(names)])
    first = export(data_dir)
    assert b"\r" in first and len(export_rows(data_dir)) == len(names)
    again = tmp_path / "again"
    again.mkdir(0o700)
    done = import_bytes(again, first, "--tz", "+05:30")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == summary("stdin", created=len(names))
    assert export(again) == first
    done = import_bytes(data_dir, first)
    assert done.stdout.decode() == summary("stdin", unchanged=len(names))
    assert export(data_dir) == first


def test_hashes_log_in(take, data_dir, server_factory):
    take(f"username,token_sha256\njane.doe,{hash_of(VALID)}\n"
         f"john.roe,{hash_of(SECOND).upper()}\n")
    logins.expect_logins(server_factory(rows=None, data=data_dir, plain=False),
                         {VALID: "jane.doe", SECOND: "john.roe"})


def test_bad_hashes(take):
    good = hash_of(VALID)
    done, path = take("token_sha256,username\n" + "".join(
        f"{text},j\n" for text in ["", good[:-1], good + "0", "g" + good[1:],
                                   good, good.upper()]), status=1)
    bad = "column token_sha256: not a SHA-256 (64 hex digits)"
    assert done.stderr.splitlines() == [
        f"{path}:2:1: column token_sha256: is empty", f"{path}:3:1: {bad}",
        f"{path}:4:1: {bad}", f"{path}:5:1: {bad}",
        f"{path}:7:1: column token_sha256: the same token as in line 6",
        f"openchampps import: {path}: 5 bad rows, nothing was imported"]
    assert good not in done.stderr.lower()


def test_both_columns(take):
    done, path = take("token,username,token_sha256\n", status=1)
    assert done.stderr == (
        f"openchampps import: {path}:1:16: column token_sha256 is there beside "
        "token; a file has one of the two\n")


# Progress

def on_terminal(command, stdin=subprocess.DEVNULL, feed=None):
    """What a command writes to a terminal on its stderr."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE,
                          stderr=theirs, env=child_env()) as process:
        os.close(theirs)
        if feed:
            feed(process.stdin)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # EIO: nobody has it open any more
                break
            if not piece:
                break
            shown += piece
        os.close(ours)
        assert process.wait(30) == 0
    return shown.decode()


def test_progress_on_a_terminal(data_dir, tmp_path):
    """A slow pipe, so that it takes longer than the pause between lines."""
    path = tmp_path / "many.csv"
    write_csv(path, [row(token(n), "player%d" % n) for n in range(20000)])

    def feed(pipe):
        content = path.read_bytes()
        for start in range(0, len(content), 300000):
            pipe.write(content[start:start + 300000])
            pipe.flush()
            time.sleep(0.12)
        pipe.close()

    shown = on_terminal([BINARY, "import", "--data", data_dir, "-"],
                        subprocess.PIPE, feed)
    assert re.search(r"\r\x1b\[Kreading \d+ rows, \d+/s\r\x1b\[K", shown)
    assert shown.endswith("\r\x1b[K")
    assert "left" not in shown


def test_no_progress_elsewhere(take):
    done, _ = take(HEADER + "".join(
        f"{token(n)},player{n},,,,f\n" for n in range(30000)))
    assert done.stderr == ""


# Interruptions

@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Half of these rows are new to a store that holds the other half."""
    folder = tmp_path_factory.mktemp("many")
    lines = [f"{token(0x100000 + n)},player{n},,,,f\n" for n in range(60000)]
    (folder / "half.csv").write_text(HEADER + "".join(lines[::2]))
    (folder / "all.csv").write_text(HEADER + "".join(lines)
                                    + "bad,row,,,,f\n" * 1000)
    return folder


def interrupt(command, number, delay):
    """Its exit status; negative when the signal ended it."""
    with subprocess.Popen(command, env=child_env(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        time.sleep(delay)
        process.send_signal(number)
        return process.wait(20)


@pytest.mark.limit(120)
@pytest.mark.parametrize("served", [False, True], ids=["alone", "served"])
def test_interrupted_anywhere(data_dir, many, tmp_path, server_factory,
                              served):
    """Status 0 and all of it, or the signal and nothing, not even a file."""
    assert run("import", "--data", data_dir, many / "half.csv").returncode == 0
    if served:
        server = server_factory(rows=None, data=data_dir, plain=False)
    before = export(data_dir)
    rejects = tmp_path / "rejects.csv"
    command = [BINARY, "import", "--data", data_dir, "--skip-invalid",
               "--rejects", rejects, many / "all.csv"]
    begin = time.monotonic()
    whole = run("import", "--data", data_dir, "--skip-invalid", "--dry-run",
                many / "all.csv")
    assert whole.returncode == 0
    step = (time.monotonic() - begin) / 6
    ended, tries = 0, 0
    while True:
        number = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP][tries % 3]
        status = interrupt(command, number, tries * step)
        tries += 1
        if status == 0:
            break
        assert status == -number
        ended += 1
        assert os.listdir(tmp_path) == []
        assert export(data_dir) == before
        assert tries < 100
    assert ended > 0
    assert os.listdir(tmp_path) == ["rejects.csv"]
    assert rejects.read_text() == HEADER + "bad,row,,,,f\n" * 1000
    assert len(export_rows(data_dir)) == 60000
    if served:
        logins.expect_logins(server, {token(0x100001): "player1"})


def interrupted_at(call, path, data_dir, folder, many):
    """SIGINT in the first such call on that path; the exit status."""
    return subprocess.run(
        ["strace", "-qq", "-o", "/dev/null", "-P", path, "-e",
         "trace=" + call, "-e", f"inject={call}:signal=SIGINT:when=1",
         BINARY, "import", "--data", data_dir, "--skip-invalid", "--rejects",
         folder / "rejects.csv", many / "all.csv"], env=child_env(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        timeout=30).returncode


@needs_strace
def test_interrupted_in_the_transaction(data_dir, many, tmp_path,
                                        server_factory):
    """While the rejects are copied: it holds the writer's lock then."""
    assert run("import", "--data", data_dir, many / "half.csv").returncode == 0
    server = server_factory(rows=None, data=data_dir, plain=False)
    before = export(data_dir)
    status = interrupted_at("pread64", many / "all.csv", data_dir, tmp_path,
                            many)
    assert status == -signal.SIGINT
    assert os.listdir(tmp_path) == []
    assert export(data_dir) == before
    logins.expect_logins(server, {token(0x100000): "player0"})


@needs_strace
def test_interrupted_too_late(data_dir, many, tmp_path):
    """In the commit: all is imported, and the status says so."""
    assert run("import", "--data", data_dir, many / "half.csv").returncode == 0
    assert interrupted_at("fdatasync", data_dir / "store.mdb", data_dir,
                          tmp_path, many) == 0
    assert os.listdir(tmp_path) == ["rejects.csv"]
    assert len(export_rows(data_dir)) == 60000
