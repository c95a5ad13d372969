"""backup under load, verify, the restore drill, compact."""

import fcntl
import json
import os
import signal
import stat
import subprocess
import threading
import time

import pytest

import lmdbfile
from conftest import (BINARY, VALID, child_env, export_rows, hash_of,
                      import_rows, parse_time, row, run, token, wait_until)
from logins import expect_logins

COUNT = 3000
TOKENS = [token(i) for i in range(1, COUNT + 1)]
NAMES = {tok: "player %d" % i for i, tok in enumerate(TOKENS)}


def rows(count=COUNT):
    return [row(tok, NAMES[tok]) for tok in TOKENS[:count]]


def answer(result):
    """The counts that a command prints with --json."""
    return json.loads(result.stdout.splitlines()[-1])


def command(*args):
    result = run(*args, "--json", timeout=30)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    return answer(result)


def refused(result, word):
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 1 and len(lines) == 1, result
    assert word in lines[0], lines
    return lines[0]


class Players:
    """Log in all the time; times[token] is the newest acknowledged one."""

    def __init__(self, server, threads=4):
        self.server, self.times = server, {}
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self.play, args=(n, threads))
                        for n in range(threads)]

    def play(self, first, step):
        try:
            with self.server.open(tls=False) as client:
                while not self.is_over.is_set():
                    for tok in TOKENS[first::step]:
                        if self.is_over.is_set():
                            return
                        self.log_in(client, tok)
        except (OSError, EOFError):
            pass  # the server was killed

    def log_in(self, client, tok):
        begin = time.time()
        assert client.login(tok)["type"] == "auth_success"
        self.times[tok] = int(begin - 0.25)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: len(self.times) > 100)
        return self

    def __exit__(self, *unused):
        self.is_over.set()
        for thread in self.threads:
            thread.join(10)


def test_the_drill(server_factory, tmp_path):
    """Under load: back up; lose the server and its store; restore."""
    server = server_factory(rows=rows())
    data, backup = server.data, tmp_path / "backup.mdb"
    with Players(server) as players:
        for force in ((), ("--force",), ("--force",)):
            before = dict(players.times)
            counts = command("backup", "--data", data, backup, *force)
            assert counts["tokens"] == COUNT and counts["damaged"] == 0
            assert command("verify", "--data", data)["tokens"] == COUNT
        played = len(players.times)
        wait_until(lambda: len(players.times) > played
                   or played == COUNT)  # it went on
        server.kill()
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert not os.path.exists(str(backup) + ".partial")
    (data / "store.mdb").write_bytes(b"\x5a" * 100000)
    refused(run("verify", "--data", data), "restore a backup")
    assert command("verify", backup) == counts
    refused(run("restore", "--data", data, backup), "--force")
    assert command("restore", "--data", data, "--force", backup)["tokens"] == (
        COUNT)
    assert command("verify", "--data", data)["damaged"] == 0
    lines = export_rows(data)
    assert len(lines) == COUNT
    for tok, used in before.items():
        assert parse_time(lines[hash_of(tok)]["last_used_at"]) >= used
    again = server_factory(data=data, rows=None)
    expect_logins(again, {tok: NAMES[tok] for tok in TOKENS[::100]})


def test_a_restore_into_an_empty_directory(data_dir, tmp_path):
    import_rows(data_dir, rows(50))
    backup = tmp_path / "b.mdb"
    command("backup", "--data", data_dir, backup)
    there = tmp_path / "new"
    there.mkdir(mode=0o700)
    command("restore", "--data", there, backup)
    assert [f.name for f in there.iterdir()] == ["store.mdb"]
    assert export_rows(there) == export_rows(data_dir)


def test_a_backup_needs_nothing_but_itself(data_dir, tmp_path):
    """A copied file is a store as well: no directory of its own, no lock."""
    import_rows(data_dir, rows(50))
    backup = tmp_path / "b.mdb"
    command("backup", "--data", data_dir, backup)
    backup.chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        assert command("verify", backup)["tokens"] == 50
        assert [f.name for f in tmp_path.iterdir()] == ["b.mdb"]
    finally:
        tmp_path.chmod(0o700)


# Names

def test_what_is_there_is_not_replaced(data_dir, tmp_path):
    import_rows(data_dir, rows(5))
    there = tmp_path / "there"
    there.write_text("mine")
    refused(run("backup", "--data", data_dir, there), "--force")
    assert there.read_text() == "mine"
    command("backup", "--data", data_dir, "--force", there)
    assert command("verify", there)["tokens"] == 5
    refused(run("backup", "--data", data_dir, "--force", tmp_path),
            "not a regular file")
    link = tmp_path / "link"
    link.symlink_to(there)
    refused(run("backup", "--data", data_dir, "--force", link),
            "not a regular file")
    refused(run("backup", "--data", data_dir, tmp_path / "no" / "b"),
            "No such file")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["link", "there"]


def test_a_backup_never_replaces_the_store(data_dir):
    import_rows(data_dir, rows(5))
    store = data_dir / "store.mdb"
    same = data_dir / "same"
    os.link(store, same)
    for path in (store, same):
        refused(run("backup", "--data", data_dir, "--force", path),
                "what is to be copied")
    assert command("verify", "--data", data_dir)["tokens"] == 5


def test_two_backups_to_one_name(data_dir, tmp_path):
    import_rows(data_dir, rows(5))
    partial = tmp_path / "b.partial"
    with open(partial, "wb") as other:
        other.write(b"x" * 99999)  # also what a killed one left
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        refused(run("backup", "--data", data_dir, tmp_path / "b"),
                "another copy")
        assert partial.stat().st_size == 99999
    command("backup", "--data", data_dir, tmp_path / "b")
    assert [f.name for f in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("args", [
    ("backup", "FILE"), ("backup", "--data", "DIR"),
    ("backup", "--data", "DIR", "a", "b"), ("verify",), ("verify", "a", "b"),
    ("compact",), ("compact", "--data", "DIR", "a"), ("restore", "FILE"),
    ("restore", "--data", "DIR"), ("verify", "--force", "FILE"),
])
def test_usage(args):
    result = run(*args)
    assert result.returncode == 2 and result.stdout == "", result
    assert "--help" in result.stderr


# Damage

def damage_token(path, tok, at=40):
    """One byte of a sealed record, on a page that stays sound."""
    data = bytearray(path.read_bytes())
    places = lmdbfile.find_value(data, bytes.fromhex(hash_of(tok)))
    assert places
    for offset, _ in places:
        data[offset + at] ^= 1
    path.write_bytes(data)


def test_damage_is_told_and_not_copied(data_dir, tmp_path):
    import_rows(data_dir, rows(300))
    store, backup = data_dir / "store.mdb", tmp_path / "b.mdb"
    command("backup", "--data", data_dir, backup)
    whole = backup.read_bytes()
    damage_token(store, TOKENS[7])
    public_id = hash_of(TOKENS[7])[:12]
    for where in (("--data", data_dir), (store,)):
        result = run("verify", *where, "--json")
        told = [json.loads(line) for line in result.stdout.splitlines()]
        refused(result, "1 pages or records are damaged")
        assert len(told) == 2 and told[0]["page"] > 1
        assert told[0]["table"] == "tokens"
        assert told[0]["record"] == public_id
        assert told[1]["tokens"] == 299 and told[1]["damaged"] == 1
        assert public_id in run("verify", *where).stdout
    line = refused(run("backup", "--data", data_dir, "--force", backup),
                   public_id)
    assert "nothing was written" in line
    refused(run("compact", "--data", data_dir), public_id)
    assert backup.read_bytes() == whole
    assert [f.name for f in tmp_path.iterdir()] == ["b.mdb"]
    # A damaged backup does not replace a store either.
    refused(run("restore", "--data", data_dir, "--force", store), public_id)
    result = run("backup", "--data", data_dir, "--salvage", tmp_path / "s")
    refused(result, "without 1 pages or records")
    assert command("verify", tmp_path / "s")["tokens"] == 299


def test_what_is_told_is_bounded(data_dir):
    import_rows(data_dir, rows(300))
    store = data_dir / "store.mdb"
    for tok in TOKENS[:150]:
        damage_token(store, tok)
    result = run("verify", store)
    refused(result, "150 pages or records")
    assert 100 < len(result.stdout.splitlines()) < 120


def test_a_store_in_use_is_not_called_damaged(server_factory):
    """Named as a file, it moves on while it is read: that is no damage."""
    server = server_factory(rows=rows())
    with Players(server):
        for _ in range(20):
            result = run("verify", server.data / "store.mdb")
            if result.returncode != 0:
                refused(result, "name its directory with --data")


# Compact

def grow(data):
    """A store with many free pages: what was imported over is freed."""
    import_rows(data, rows())
    for size in (40, 250):
        import_rows(data, [row(token(0x1000000 * size + i), "n" * size)
                           for i in range(1000)])


def test_compact(server_factory, data_dir):
    grow(data_dir)
    before = export_rows(data_dir)
    size = (data_dir / "store.mdb").stat().st_size
    server = server_factory(data=data_dir, rows=None)
    refused(run("compact", "--data", data_dir), "stop the server")
    refused(run("restore", "--data", data_dir, "--force",
                data_dir / "store.mdb"), "stop the server")
    server.stop()
    counts = command("compact", "--data", data_dir)
    assert (data_dir / "store.mdb").stat().st_size == counts["bytes"] < size
    assert counts["free_pages"] < 20
    assert export_rows(data_dir) == before
    again = server_factory(data=data_dir, rows=None)
    expect_logins(again, {TOKENS[0]: NAMES[TOKENS[0]], VALID: None})
    again.stop()
    assert command("verify", "--data", data_dir)["damaged"] == 0


def test_compact_refuses_what_is_not_there(data_dir):
    refused(run("compact", "--data", data_dir), "No such file")
    refused(run("compact", "--data", data_dir / "no"), "does not exist")


def test_compact_killed_at_any_moment(data_dir):
    import_rows(data_dir, rows(1000))
    before = export_rows(data_dir)
    begin = time.monotonic()
    command("compact", "--data", data_dir)
    took = time.monotonic() - begin
    for n in range(12):
        process = subprocess.Popen(
            [str(BINARY), "compact", "--data", str(data_dir)],
            stdout=subprocess.DEVNULL, env=child_env())
        time.sleep(took * n / 11)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert command("verify", "--data", data_dir)["tokens"] == 1000
    assert export_rows(data_dir) == before
    command("compact", "--data", data_dir)
    assert not (data_dir / "store.mdb.partial").exists()


def test_who_opens_the_store_waits_for_a_compaction(data_dir):
    import_rows(data_dir, rows(5))
    directory = os.open(data_dir, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    reader = subprocess.Popen(
        [str(BINARY), "verify", "--data", str(data_dir)],
        stdout=subprocess.PIPE, env=child_env())
    with pytest.raises(subprocess.TimeoutExpired):
        reader.wait(0.3)
    os.close(directory)
    assert b"tokens: 5" in reader.communicate(timeout=10)[0]


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be two users")
def test_a_file_of_somebody_else_is_not_written_to(data_dir, tmp_path):
    """Whoever can write to the directory would own the backup."""
    import_rows(data_dir, rows(3))
    partial = tmp_path / "copy.mdb.partial"
    partial.touch(mode=0o666)
    os.chown(partial, 65534, 65534)
    refused(run("backup", "--data", data_dir, tmp_path / "copy.mdb"),
            "somebody else")
    partial.unlink()
    (tmp_path / "other").touch()
    os.link(tmp_path / "other", partial)
    refused(run("backup", "--data", data_dir, tmp_path / "copy.mdb"),
            "somebody else")
    assert (tmp_path / "other").stat().st_size == 0


def test_a_lock_file_is_no_link(data_dir, tmp_path):
    import_rows(data_dir, rows(3))
    lock, victim = data_dir / "store.mdb-lock", tmp_path / "victim"
    victim.write_text("mine")
    lock.unlink()
    lock.symlink_to(victim)
    assert run("export", "--data", data_dir).returncode == 1
    assert victim.read_text() == "mine"
