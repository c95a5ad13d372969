"""openchampps import: what it takes, what it refuses, what it leaves."""

import csv
import json
import os
import pathlib
import struct
import subprocess
import threading

import pytest

import lmdbfile
import logins
from conftest import (BINARY, EXPIRED, NIL, REPO, REVOKED, SECOND, TOKEN_TEXT,
                      VALID, child_env, export_rows, hash_of, import_rows, row,
                      run, soon, summary, token, wait_until, write_csv)
from strace import needs_strace

DATA = pathlib.Path(__file__).resolve().parent / "data"
HEADER = "token,username,created_at,expires_at,last_used_at,is_revoked\n"
LOCK_TXNID = 48  # behind LMDB's magic, format, and a mutex of musl's
MORE = 100  # faults that are reported one by one


def import_bytes(data_dir, content, name="tokens.csv"):
    """Imports a file of these bytes; the result, and the path it had."""
    path = data_dir.parent / (data_dir.name + "-" + name)
    path.write_bytes(content if isinstance(content, bytes)
                     else content.encode())
    try:
        return run("import", "--data", data_dir, path), str(path)
    finally:
        path.unlink()


def accepts(data_dir, content, created, unchanged=0):
    done, path = import_bytes(data_dir, content)
    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout == summary(path, created=created, unchanged=unchanged)


def refuses(data_dir, content, *faults):
    """
    Refused with these lines `LINE:COLUMN: reason`, then a summary; nothing
    was written, nothing is told that might be a token.
    """
    before = sorted(os.listdir(data_dir))
    done, path = import_bytes(data_dir, content)
    assert (done.returncode, done.stdout) == (1, "")
    *lines, last = done.stderr.splitlines()
    assert lines == [path + ":" + fault for fault in faults]
    count = "%d bad row%s" % (len(faults), "s" if len(faults) > 1 else "")
    assert last == (f"openchampps import: {path}: {count}, nothing was "
                    "imported")
    assert not TOKEN_TEXT.search(done.stderr)
    assert sorted(os.listdir(data_dir)) == before


def refuses_file(data_dir, content, reason):
    """Refused as a whole, with one line: FILE:reason."""
    done, path = import_bytes(data_dir, content)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "openchampps import: %s:%s\n" % (path, reason)
    assert not TOKEN_TEXT.search(done.stderr)
    assert os.listdir(data_dir) == []


@pytest.fixture
def serve(server_factory, data_dir):
    """Serves data_dir once files are imported."""
    return lambda: server_factory(rows=None, data=data_dir, plain=False)


# What PostgreSQL wrote

def test_committed_output_of_postgresql(data_dir, serve):
    expected = json.loads((DATA / "postgres_tokens.json").read_text())
    path = DATA / "postgres_tokens.csv"
    done = run("import", "--data", data_dir, path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == summary(path, created=len(expected))
    logins.expect_logins(serve(), expected)


def test_sample(data_dir, serve):
    done = run("import", "--data", data_dir, REPO / "tools" / "sample.csv")
    assert (done.returncode, done.stderr) == (0, "")
    logins.expect_logins(serve(), {
        VALID: "jane.doe", token(1): "sample.player", token(2): None,
        token(3): None})


# Forms of one content

ROWS = HEADER + (f"{VALID},jane.doe,2026-01-01 00:00:00.5,,,f\n"
                 f"{EXPIRED},expired,,2020-01-01 00:00:00,,f\n"
                 f'{REVOKED},"a ""b"",c\nd",,infinity,,t\n'
                 f"{SECOND},Zoë,,,,\n")
LOGINS = {VALID: "jane.doe", EXPIRED: None, REVOKED: None, SECOND: "Zoë"}


def reordered(text, order):
    rows = list(csv.reader(text.splitlines(keepends=True)))
    return "".join(",".join('"%s"' % r[i].replace('"', '""') if r[i] else ""
                            for i in order) + "\n" for r in rows)


FORMS = {
    "as it is": ROWS,
    "no last line end": ROWS.rstrip("\n"),
    "crlf": ROWS.replace("\n", "\r\n").replace("c\r\nd", "c\nd"),
    "cr": ROWS.replace("\n", "\r").replace("c\rd", "c\nd"),
    "bom": "\ufeff" + ROWS,
    "blank lines": "\n" + ROWS.replace("f\n", "f\n\n") + "\r\n\n",
    "other order, all quoted": reordered(ROWS, [5, 3, 1, 0, 2, 4]),
    "upper case": ROWS.replace(VALID, VALID.upper()),
    "booleans": ROWS.replace(",f\n", ",false\n").replace(",t\n", ",1\n"),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(data_dir, serve, form):
    accepts(data_dir, FORMS[form], 4)
    accepts(data_dir, ROWS, 0, 4)
    logins.expect_logins(serve(), LOGINS)


def test_required_columns_are_enough(data_dir, serve):
    accepts(data_dir, f"username,token\njane.doe,{VALID}\n", 1)
    logins.expect_logins(serve(), {VALID: "jane.doe"})


def test_other_columns_are_named_once(data_dir, serve):
    content = ("id,token,email,username,ip\x1baddress\n"
               f"1,{VALID},jane@example.org,jane.doe,::1\n"
               f"2,{SECOND},,john.roe,\n")
    done, path = import_bytes(data_dir, content)
    assert done.returncode == 0
    assert done.stderr == path + ": columns ignored: id, email, ip?address\n"
    assert done.stdout == summary(path, created=2)
    logins.expect_logins(serve(), {VALID: "jane.doe", SECOND: "john.roe"})


def test_stdin(data_dir, serve):
    done = run("import", "--data", data_dir, "-", stdin=ROWS)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == summary("stdin", created=4)
    done = run("import", "--data", data_dir, "-", stdin="token\n")
    assert done.returncode == 1
    assert "stdin:1:1: column username is missing" in done.stderr
    logins.expect_logins(serve(), LOGINS)


def test_pipe_that_comes_in_pieces(data_dir, serve):
    """A slow writer: lines are cut anywhere."""
    command = [BINARY, "import", "--data", data_dir, "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=child_env(),
                          stdout=subprocess.PIPE) as process:
        for byte in ROWS.encode():
            process.stdin.write(bytes([byte]))
            process.stdin.flush()
        process.stdin.close()
        assert process.stdout.read().decode() == summary("stdin", created=4)
        assert process.wait(10) == 0
    logins.expect_logins(serve(), LOGINS)


def test_header_alone(data_dir):
    accepts(data_dir, HEADER, 0)


def test_command_by_its_own_name(data_dir, tmp_path):
    link = tmp_path / "import"
    link.symlink_to(BINARY)
    done = run("--data", data_dir, "-", stdin=ROWS, binary=link)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == summary("stdin", created=4)


# Times

def test_time_forms(data_dir, serve):
    """Each form of a moment ahead and of one that has passed."""
    def forms(seconds):
        at = soon(seconds)
        clock = soon(seconds + 5 * 3600 + 1800), soon(seconds - 12600 - 15)
        epoch = subprocess.run(["date", "-u", "-d", at, "+%s"], check=True,
                               stdout=subprocess.PIPE, text=True).stdout
        return [at, at + ".123456", at + "+00", clock[0] + ".5+05:30",
                clock[1] + "-03:30:15", at.replace(" ", "T") + "Z",
                clock[0].replace(" ", "T") + "+05:30", epoch.strip()]

    ahead, past = forms(600), forms(-600)
    text, expected = "token,username,expires_at,not_before\n", {}
    for number, (late, early) in enumerate(zip(ahead, past)):
        names = ["%s %d" % (what, number) for what in
                 ("valid", "expired", "future", "begun")]
        times = [(late, ""), (early, ""), ("", late), ("", early)]
        for i, (name, pair) in enumerate(zip(names, times)):
            tok = token(0x100 + 4 * number + i)
            text += f"{tok},{name},{pair[0]},{pair[1]}\n"
            expected[tok] = name if i in (0, 3) else None
    accepts(data_dir, text, len(expected))
    logins.expect_logins(serve(), expected)


# Bad rows

def with_row(line):
    """A good row, the line, a good row."""
    return HEADER + f"{VALID},jane.doe,,,,\n{line}\n{SECOND},john.roe,,,,\n"


T, NOT_UUID = token(9), "not a UUID (8-4-4-4-12 hex digits)"
NOT_TIME = ("not a time (expected 2026-11-24 08:20:05, with or without "
            "fraction and zone, or epoch seconds)")
BAD_ROWS = {
    "no token": (",j,,,,", "3:1: column token: is empty"),
    "no uuid": ("550e8400,j,,,,", "3:1: column token: " + NOT_UUID),
    "token with a space": (f"{T} ,j,,,,", "3:1: column token: " + NOT_UUID),
    "bare digits": (T.replace("-", "") + ",j,,,,",
                    "3:1: column token: " + NOT_UUID),
    "nil": (f"{NIL},j,,,,",
            "3:1: column token: the nil UUID is never a token"),
    "null name": (f"{T},,,,,", "3:38: column username: is empty (NULL)"),
    "empty name": (f'{T},"",,,,', "3:38: column username: is an empty text"),
    "long name": (f"{T},{'é' * 128},,,,",
                  "3:38: column username: longer than 255 bytes"),
    "time": (f"{T},j,yesterday,,,", "3:40: column created_at: " + NOT_TIME),
    "quoted empty time": (f'{T},j,,"",,', "3:41: column expires_at: "
                          + NOT_TIME),
    "date": (f"{T},j,,2026-02-29 00:00:00,,",
             "3:41: column expires_at: no such date"),
    "five-digit year": (f"{T},j,,10000-01-01 00:00:00,,",
                        "3:41: column expires_at: "
                        "year outside 0001 to 9999"),
    "bc": (f"{T},j,0044-03-15 00:00:00 BC,,,", "3:40: column created_at: "
           "years before Christ are not supported"),
    "milliseconds": (f"{T},j,,,1795508405448,", "3:42: column last_used_at: "
                     "not epoch seconds (9 or 10 digits; are these "
                     "milliseconds?)"),
    "infinite use": (f"{T},j,,,infinity,", "3:42: column last_used_at: "
                     "infinity is not possible here"),
    "infinite creation": (f"{T},j,infinity,,,", "3:40: column created_at: "
                          "infinity is not possible here"),
    "boolean": (f"{T},j,,,,yes", "3:43: column is_revoked: neither t nor f"),
    "few fields": (f"{T},j,,,", "3:1: fewer fields than the header line"),
    "many fields": (f"{T},j,,,,,", "3:44: more fields than the header line"),
    "quote inside": (f'{T},j"j,,,,', "3:39: quote inside an unquoted field"),
    "after a quote": (f'{T},"j"j,,,,', "3:41: text after a closing quote"),
    "nul": (f"{T},j\0j,,,,", "3:39: NUL byte"),
    "long row": (f"{T},\"{'j' * 70000}\",,,,", "3:38: row too long (is a "
                 "closing quote missing?)"),
    "second line of a field": (f'{T},"a\nb",x,,,',
                               "4:4: column created_at: " + NOT_TIME),
    "repeated": (f"{VALID},jane.doe,,,,",
                 "3:1: column token: the same token as in line 2"),
    "repeated in capitals": (f"{VALID.upper()},other,,,,",
                             "3:1: column token: the same token as in line 2"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_row(data_dir, case):
    line, fault = BAD_ROWS[case]
    refuses(data_dir, with_row(line), fault)


def test_name_that_is_not_utf8(data_dir):
    line = f"{T},j,,,,"
    refuses(data_dir, with_row(line).encode().replace(b",j,", b",\xff\xfe,"),
            "3:38: column username: not UTF-8")


def test_unterminated_quote(data_dir):
    refuses(data_dir, HEADER + f'{VALID},j,,,,\n{T},"jane,,,,\n{SECOND},x,,,,',
            "3:38: unterminated quote")


def test_every_bad_row_is_reported_in_order(data_dir):
    content = HEADER + "".join([
        f"{VALID},jane.doe,,,,\n", "x,j,,,,\n", f'{T},a"b,,,,\n',
        f"{VALID},twice,,,,\n", f"{SECOND},j,,x,,\n"])
    refuses(data_dir, content,
            "3:1: column token: " + NOT_UUID,
            "4:39: quote inside an unquoted field",
            "5:1: column token: the same token as in line 2",
            "6:41: column expires_at: " + NOT_TIME)


def test_reports_have_an_end(data_dir):
    content = HEADER + "x,j,,,,\n" * (MORE + 23)
    done, path = import_bytes(data_dir, content)
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert lines[:MORE] == ["%s:%d:1: column token: %s"
                            % (path, n + 2, NOT_UUID) for n in range(MORE)]
    assert lines[MORE:] == [
        "… and 23 more",
        "openchampps import: %s: 123 bad rows, nothing was imported" % path]


# Files that are none

def test_empty_file(data_dir):
    for content in (b"", b"\xef\xbb\xbf", b"\n\r\n"):
        refuses_file(data_dir, content, " no header line; the first line has "
                     "to name the columns")


MISSING = " is missing in the header line (names with commas between them)"
BAD_HEADERS = {
    "username,id": "1:1: column token" + MISSING,
    "token,id": "1:1: column username" + MISSING,
    "token;username": "1:1: column token" + MISSING,
    VALID + ",jane.doe": "1:1: column token" + MISSING,
    "\n\ntoken,username,token": "3:16: column token is there twice in the "
                                "header line",
    "token,username,is_revoked,is_revoked":
        "1:27: column is_revoked is there twice in the header line",
    'token,"username': "1:7: unterminated quote",
    'token,user"name"\n': "1:11: quote inside an unquoted field",
    "," * 64: "1:65: too many fields in one row",
}


@pytest.mark.parametrize("header", BAD_HEADERS)
def test_bad_header(data_dir, header):
    refuses_file(data_dir, header, BAD_HEADERS[header])


def test_binary_file(data_dir):
    refuses_file(data_dir, BINARY.read_bytes(), "1:8: NUL byte")


@pytest.mark.parametrize("make, reason", [
    (lambda path: None, "No such file or directory"),
    (lambda path: path.mkdir(), "Is a directory"),
    (lambda path: path.symlink_to(path), ""),
], ids=["missing", "directory", "loop"])
def test_file_that_cannot_be_read(data_dir, tmp_path, make, reason):
    path = tmp_path / "tokens.csv"
    make(path)
    done = run("import", "--data", data_dir, path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"openchampps import: {path}: {reason}")
    assert done.stderr.count("\n") == 1
    assert os.listdir(data_dir) == []


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another")
def test_file_of_another_user(data_dir):
    path = data_dir / "tokens.csv"
    path.write_text(ROWS)
    path.chmod(0o600)
    os.chmod(data_dir, 0o755)
    done = run("import", "--data", data_dir, path,
               wrap=("setpriv", "--reuid=65534", "--clear-groups"),
               binary=BINARY)
    assert done.returncode == 1
    if "setpriv" not in done.stderr:  # the binary may not be reachable
        assert done.stderr == ("openchampps import: %s: Permission denied\n"
                               % path)


@pytest.mark.parametrize("args, reason", [
    (["tokens.csv"], "--data DIR is missing"),
    (["--data", "x"], "FILE.csv is missing (- reads from stdin)"),
    (["--data", "x", "a.csv", "b.csv"], "one FILE at a time"),
    (["--data", "x", "--nonsense", "a.csv"], "unknown option '--nonsense'"),
])
def test_usage(args, reason):
    done = run("import", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("openchampps import: %s; see openchampps import "
                           "--help\n" % reason)


# What is in the store already

def test_bad_file_changes_nothing(data_dir, serve):
    accepts(data_dir, ROWS, 4)
    before = (data_dir / "store.mdb").read_bytes()
    refuses(data_dir, HEADER + f"{T},new,,,,\n{NIL},bad,,,,\n",
            "3:1: column token: the nil UUID is never a token")
    assert (data_dir / "store.mdb").read_bytes() == before
    logins.expect_logins(serve(), {**LOGINS, T: None})


IN_STORE = "column token: is in the store already, with another record"


@pytest.mark.parametrize("changed", [
    f"{VALID},john.roe,2026-01-01 00:00:00.5,,,f",
    f"{VALID},jane.doe,2026-01-01 00:00:01,,,f",
    f"{VALID},jane.doe,2026-01-01 00:00:00.5,2099-01-01 00:00:00,,f",
    f"{VALID},jane.doe,2026-01-01 00:00:00.5,,,t",
], ids=["username", "created_at", "expires_at", "is_revoked"])
def test_conflict(data_dir, serve, changed):
    accepts(data_dir, ROWS, 4)
    refuses(data_dir, HEADER + f"{T},new,,,,\n{changed}\n", "3:1: " + IN_STORE)
    logins.expect_logins(serve(), {**LOGINS, T: None})


def test_every_conflict_is_reported_in_order(data_dir):
    rows = [f"{token(n)},name{n},,,,\n" for n in range(20)]
    accepts(data_dir, HEADER + "".join(rows), 20)
    rows = [line.replace("name", "nom") for line in rows]
    refuses(data_dir, HEADER + "".join(rows),
            *("%d:1: %s" % (n + 2, IN_STORE) for n in range(20)))


def test_same_file_again(data_dir):
    accepts(data_dir, ROWS, 4)
    accepts(data_dir, ROWS, 0, 4)
    accepts(data_dir, ROWS + f"{T},new,,,,\n", 1, 4)


def test_last_use_is_no_conflict(data_dir):
    """It moves with every login; the rest of the record is the same."""
    accepts(data_dir, HEADER + f"{VALID},jane.doe,,,2026-01-01 00:00:00,\n", 1)
    accepts(data_dir, HEADER + f"{VALID},jane.doe,,,2026-01-02 00:00:00,\n",
            0, 1)
    accepts(data_dir, HEADER + f"{VALID},jane.doe,,,,\n", 0, 1)


# Beside a server

def test_beside_a_server(server_factory):
    server = server_factory(plain=False)
    with server.open(token=VALID) as client:
        accepts(server.data, HEADER + f"{token(0x70)},at once,,,,\n", 1)
        answer = client.login(token(0x70))
        assert answer["payload"]["username"] == "at once"
        assert client.login(VALID)["type"] == "auth_success"


@pytest.mark.limit(120)
def test_many_rows_beside_a_server(server_factory, tmp_path):
    """Every login is answered while 50,000 rows come in."""
    server = server_factory(plain=False)
    path = tmp_path / "many.csv"
    write_csv(path, [row(token(0x10000 + n), "player%d" % n)
                     for n in range(50000)])
    results = []
    worker = threading.Thread(target=lambda: results.append(
        run("import", "--data", server.data, path, timeout=60)))
    with server.open(token=VALID) as client:
        worker.start()
        count = 0
        while worker.is_alive():
            assert client.login(VALID)["type"] == "auth_success"
            count += 1
        worker.join()
        assert count > 0
        assert results[0].returncode == 0, results[0].stderr
        wait_until(lambda: client.login(token(0x10000 + 49999))["type"]
                   == "auth_success")


def counts(data):
    return json.loads(run("verify", "--data", data, "--json").stdout)


@pytest.fixture
def beside(server_factory, tmp_path):
    """A server with two tokens, and a file of 60,000 others."""
    server = server_factory(plain=False, rows=[row(VALID, "jane.doe"),
                                               row(token(2), "jane.doe")])
    path = tmp_path / "many.csv"
    write_csv(path, [row(token(0x10000 + n), "player%d" % n)
                     for n in range(60000)])
    return server, path


def kill_in_commit(number, data, path):
    """In the commits before it stages some; the last one of all is its own."""
    subprocess.run(
        ["strace", "-qq", "-o", "/dev/null", "-P", data / "store.mdb", "-e",
         "trace=fdatasync", "-e",
         f"inject=fdatasync:signal=KILL:when={number}",
         BINARY, "import", "--data", data, path], env=child_env(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30)


@needs_strace
@pytest.mark.limit(120)
def test_killed_beside_a_server(beside, tmp_path):
    """What it has written by then counts for nobody, and the next one deletes
    it."""
    server, path = beside
    kill_in_commit(3, server.data, path)
    assert counts(server.data)["tokens"] == 2
    assert 0 < counts(server.data)["staged"] < 60000
    assert len(export_rows(server.data)) == 2
    some = token(0x10000)
    with server.open(token=VALID) as client:
        assert client.login(some)["type"] == "auth_error"
    copy = tmp_path / "copy.mdb"
    assert run("backup", "--data", server.data, copy).returncode == 0
    answer = json.loads(run("verify", copy, "--json").stdout)
    assert answer["tokens"] == 2 and answer["staged"] == 0
    accepts(server.data, HEADER + f"{token(5)},another,,,,\n", 1)
    assert counts(server.data)["staged"] == 0
    assert counts(server.data)["tokens"] == 3
    accepts(server.data, path.read_text(), 60000)
    with server.open(token=VALID) as client:
        assert client.login(some)["payload"]["username"] == "player0"


@needs_strace
@pytest.mark.limit(120)
def test_killed_right_after_a_commit(beside):
    """LMDB's readers are a commit behind then, until somebody takes the
    writer's lock: as if it had been killed before it said in the lock file
    that its first step is committed."""
    server, path = beside
    kill_in_commit(3, server.data, path)
    assert counts(server.data)["staged"] > 0
    newest = lmdbfile.newest_commit(server.data / "store.mdb")
    with open(server.data / "store.mdb-lock", "r+b") as lock:
        lock.seek(LOCK_TXNID)
        assert lock.read(8) == struct.pack("=Q", newest)
        lock.seek(LOCK_TXNID)
        lock.write(struct.pack("=Q", newest - 1))
    assert counts(server.data)["staged"] == 0
    accepts(server.data, HEADER + f"{token(5)},another,,,,\n", 1)
    assert counts(server.data)["staged"] == 0
    assert counts(server.data)["tokens"] == 3


@pytest.mark.limit(120)
def test_conflict_beside_a_server(beside):
    """It is found before anything is written."""
    server, path = beside
    with open(path, "a") as file:
        file.write(f"{VALID},somebody else,,,,,f\n")
    result = run("import", "--data", server.data, path)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"{path}:60002:1: column token: is in the store already, with "
        "another record",
        f"openchampps import: {path}: 1 bad row, nothing was imported"]
    assert counts(server.data)["staged"] == 0
    assert len(export_rows(server.data)) == 2


@pytest.mark.limit(120)
@pytest.mark.parametrize("what", ["skip", "replace"])
def test_other_records_beside_a_server(beside, what):
    server, path = beside
    with open(path, "a") as file:
        file.write(f"{VALID},somebody else,,,,,f\n{token(2)},another,,,,,f\n")
    result = run("import", "--data", server.data, "--on-conflict", what, path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == (
        f"{path}: created 60000, replaced {2 * (what == 'replace')}, unchanged "
        f"0, skipped {2 * (what == 'skip')}, rejected 0\n")
    exported = export_rows(server.data)
    assert exported[hash_of(VALID)]["username"] == (
        "somebody else" if what == "replace" else "jane.doe")
    assert len(exported) == 60002
    assert counts(server.data)["tokens"] == 60002


@pytest.mark.limit(120)
def test_again_beside_a_server(beside):
    """Rows that change nothing, some new ones, and a newer last use."""
    server, path = beside
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join(rows[:40001]))
    assert run("import", "--data", server.data, path).returncode == 0
    newest = rows[7].replace(",,,f", ",,2026-11-01 12:00:00,f")
    assert newest != rows[7]
    path.write_text("".join(rows[:7] + [newest] + rows[8:]))
    result = run("import", "--data", server.data, path)
    assert result.stdout == summary(path, created=20000, unchanged=40000)
    assert counts(server.data)["tokens"] == 60002
    used = [line["last_used_at"] for line in export_rows(server.data).values()
            if line["last_used_at"]]
    assert used == ["2026-11-01T12:00:00Z"]


@needs_strace
@pytest.mark.limit(120)
@pytest.mark.parametrize("what", ["error", "skip", "replace"])
def test_changes_while_it_stages(beside, what):
    """Rows that were unchanged when it looked are judged again at the end when
    somebody has changed tokens meanwhile. Its first pause is longer here."""
    server, path = beside
    mine = [row(token(0x1000 + n), "mine") for n in range(500)]
    import_rows(server.data, mine)
    many = path.read_text().splitlines()[1:]
    write_csv(path, mine)
    with open(path, "a") as file:
        file.write("\n".join(many) + "\n")
    with subprocess.Popen(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e",
             "trace=nanosleep,clock_nanosleep", "-e",
             "inject=nanosleep,clock_nanosleep:delay_enter=2000000:when=1",
             BINARY, "import", "--data", server.data, "--on-conflict", what,
             path], text=True,
            env=child_env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE) as process:
        wait_until(lambda: counts(server.data)["staged"] > 0, 20)
        for verb, tok in ("delete", mine[7]), ("revoke", mine[8]):
            done = run("token", verb, "--data", server.data, "-",
                       stdin=tok["token"], timeout=30)
            assert done.returncode == 0, done.stderr
        output, errors = process.communicate()
    exported = export_rows(server.data)
    if what == "error":
        assert process.returncode == 1
        assert f"{path}:10:1: column token: is in the store" in errors
        assert len(exported) == 501 and counts(server.data)["staged"] == 0
        return
    assert process.returncode == 0, errors
    assert output == (
        f"{path}: created 60001, replaced {int(what == 'replace')}, unchanged "
        f"498, skipped {int(what == 'skip')}, rejected 0\n")
    assert len(exported) == 60502
    assert exported[hash_of(mine[8]["token"])]["is_revoked"] == (
        "t" if what == "skip" else "f")


def test_column_names_cannot_talk_to_a_terminal(data_dir, tmp_path):
    """C1 controls are two bytes in UTF-8."""
    path = tmp_path / "odd.csv"
    path.write_bytes(b"token,username,\x1b[31m\xc2\x9b31m\n%s,jane,\n"
                     % VALID.encode())
    done = run("import", "--data", data_dir, path)
    assert done.returncode == 0 and "columns ignored" in done.stderr
    assert "\x1b" not in done.stderr and "\x9b" not in done.stderr
