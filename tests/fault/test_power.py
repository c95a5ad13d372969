"""
The power fails. The writes of the real binary are recorded with strace and
played back to a file as a disk may hold it after a cut (replay.py). The real
binary has to open it, and every login that was answered before the cut, and
every import that had said so, must be in it.
"""

import os
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import time

import pytest

import e2e
import faults
import lmdbfile
import replay
from faults import needs_strace

CUTS = faults.size("FAULT_CUTS", 60)

# The files are written thousands of times, and never read after the test.
SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Film:
    """A server under strace, and what its players know."""

    def __init__(self, folder, keep, factory):
        self.folder, self.trace = folder, str(keep / "trace")
        self.before = {"store.mdb": (folder / "store.mdb").read_bytes()}
        self.stale_lock = (folder / "store.mdb-lock").read_bytes()
        self.server = factory(
            data=folder, rows=None,
            wrap=replay.STRACE + ["-o", self.trace])
        self.players = []

    def play(self, seconds, plan, rng):
        """plan: [(tokens, depth)]: one player each. Plain connections: what
        goes out over them can be read in the recording."""
        self.players = [faults.Player(self.server, tokens, False, depth, rng)
                        for tokens, depth in plan]
        for player in self.players:
            player.start()
        time.sleep(seconds)
        for player in self.players:
            player.is_stopped = True
        for player in self.players:
            player.join(30)
            assert player.problem is None, player.problem

    def end(self):
        """kill -9, of the server and not of strace."""
        tracer = self.server.pid
        path = "/proc/%d/task/%d/children" % (tracer, tracer)
        child, = pathlib.Path(path).read_text(encoding="ascii").split()
        os.kill(int(child), signal.SIGKILL)
        self.server.wait()
        return replay.Recording(self.trace)

    def time_of(self, tok, number):
        """When the n-th login of a token was sent. No two players share
        one."""
        for player in self.players:
            if tok in player.sent:
                return player.sent[tok][number]
        raise AssertionError("an answer that nobody asked for: " + tok)


class Cuts:
    """Cuts a recording in many places, and looks at what is left."""

    def __init__(self, film, recording, known, rows, rng):
        self.film, self.recording, self.rng = film, recording, rng
        self.rows, self.known = rows, known
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="fault-",
                                                    dir=SCRATCH))

    def choose(self, number):
        """Half of them right after an answer, half anywhere."""
        answers = [line for line, _, _ in self.recording.answers]
        lines = [step[0] for step in self.recording.steps]
        half = min(len(answers), number // 2)
        return sorted(self.rng.sample(answers, half)
                      + self.rng.choices(lines, k=number - half))

    def run(self, cases, number=CUTS, believes_syncs=True):
        disk = replay.Disk(self.film.folder,
                           {os.fsencode(name): data for name, data
                            in self.film.before.items()}, believes_syncs)
        expected, answers = dict(self.known), iter(self.recording.answers)
        answer = next(answers, None)
        try:
            for cut in self.recording.play(disk, self.choose(number)):
                while answer is not None and answer[0] <= cut:
                    _, tok, number = answer
                    expected[tok] = self.film.time_of(tok, number)
                    answer = next(answers, None)
                for how in replay.HOWS:
                    cases.case()
                    self.look(disk, how, expected, cases, "line %d, %s"
                              % (cut, how))
        finally:
            shutil.rmtree(self.folder)

    def lay_out(self, files):
        for old in self.folder.iterdir():
            if old.is_file():
                old.unlink()
        for name, data in files.items():
            (self.folder / os.fsdecode(name)).write_bytes(data)
        lock = self.rng.choice([None, self.film.stale_lock,
                                self.rng.randbytes(8192)])
        if lock is not None:
            (self.folder / "store.mdb-lock").write_bytes(lock)

    def look(self, disk, how, expected, cases, where):
        self.lay_out(disk.after_a_cut(self.rng, how))
        rows = faults.check_uses(self.folder, expected, cases, where)
        if rows is not None and rows != self.rows:
            cases.blame("lost", "%s: %d records" % (where, rows))


SMALL = [e2e.token(i) for i in range(2000)]


def film_small(factory, folder, keep, rng, seconds):
    e2e.import_rows(folder, [e2e.row(t, "p") for t in SMALL])
    factory(data=folder, rows=None).kill()  # makes the certificate
    film = Film(folder, keep, factory)
    film.play(seconds, [(SMALL[i::8], (1, 3, 20, 40)[i % 4])
                        for i in range(8)], rng)
    return film, film.end()


@needs_strace
@pytest.mark.limit(120 + 2 * CUTS)
def test_logins(server_factory, data_dir, tmp_path):
    rng = faults.chance("power, logins")
    film, recording = film_small(server_factory, data_dir, tmp_path, rng, 2.5)
    print("%d answers, %d steps" % (len(recording.answers),
                                    len(recording.steps)))
    assert len(recording.answers) > 500
    with faults.Cases("power cut while players log in") as cases:
        Cuts(film, recording, {}, len(SMALL), rng).run(cases)


@needs_strace
@pytest.mark.limit(120 + 5 * CUTS)
def test_fold(server_factory, big_store, data_dir, tmp_path):
    """While the journal is folded, under load; 2^18 touches, 16,384 rows."""
    rng = faults.chance("power, fold")
    known = big_store.copy_to(data_dir)
    film = Film(data_dir, tmp_path, server_factory)
    film.play(4, [(big_store.tokens[i::6], 60) for i in range(6)], rng)
    recording = film.end()
    assert "fold_failed" not in film.server.log_text()
    print("%d answers, %d steps" % (len(recording.answers),
                                    len(recording.steps)))
    with faults.Cases("power cut while the journal is folded") as cases:
        cuts = Cuts(film, recording, known, len(big_store.tokens), rng)
        cuts.run(cases, CUTS // 2)
    disk = replay.Disk(data_dir, {b"store.mdb": film.before["store.mdb"]})
    for _ in recording.play(disk, [recording.steps[-1][0]]):
        pass
    assert folded_rows(film.before["store.mdb"]) == 0
    assert folded_rows(disk.names[b"store.mdb"].certain) > 0, "no fold"


def folded_rows(data):
    """Number of records in last_used, from the newest main table."""
    metas = [struct.unpack_from("<QQQ", data, page * replay.PAGE + 128)
             for page in (0, 1)]  # root of the main table, last page, txn
    root = max(metas, key=lambda meta: meta[2])[0] * replay.PAGE
    page = bytes(2 * replay.PAGE) + bytes(data[root:root + replay.PAGE])
    (at, length), = lmdbfile.find_value(page, b"last_used")
    assert length == 48  # struct MDB_db
    return struct.unpack_from("<Q", page, at + 32)[0]


IMPORT_ROWS = 3000


class Import:
    """An import under strace; before: rows that are there already."""

    def __init__(self, folder, keep, before):
        self.folder, self.before = folder, before
        store = folder / "store.mdb"
        self.files = {b"store.mdb": store.read_bytes()} if before else {}
        rows, trace = keep / "rows.csv", str(keep / "trace")
        e2e.write_csv(rows, [e2e.row(e2e.token(0x10000 + i), "p")
                             for i in range(IMPORT_ROWS)])
        subprocess.run(replay.STRACE + ["-o", trace, str(e2e.BINARY), "import",
                                        "--data", str(folder), str(rows)],
                       check=True, stdin=subprocess.DEVNULL, timeout=60,
                       stdout=subprocess.DEVNULL, env=e2e.child_env())
        self.recording = replay.Recording(trace)
        calls = self.recording.calls
        # Descriptor 1 is where the summary goes.
        self.done = min(c.enter for c in calls if c.name in ("write", "writev")
                        and c.numbers()[0] == 1)
        self.first = min(c.enter for c in calls if c.name == "pwrite64")

    def cut(self, rng, cases):
        lines = sorted({step[0] for step in self.recording.steps
                        if step[0] >= self.first})
        places = rng.choices(lines, k=CUTS) + [self.done]
        disk = replay.Disk(self.folder, self.files)
        with tempfile.TemporaryDirectory(dir=SCRATCH) as left:
            left = pathlib.Path(left)
            for cut in self.recording.play(disk, places):
                for how in replay.HOWS:
                    cases.case()
                    for old in left.iterdir():
                        old.unlink()
                    for name, data in disk.after_a_cut(rng, how).items():
                        (left / os.fsdecode(name)).write_bytes(data)
                    self.look(left, cut >= self.done, cases,
                              "line %d, %s" % (cut, how))

    def look(self, left, is_done, cases, where):
        if not (left / "store.mdb").exists():
            rows = 0
        else:
            rows = faults.check_uses(left, {}, cases, where)
        if rows not in (None, self.before, self.before + IMPORT_ROWS):
            cases.blame("wrong", "%s: %d rows" % (where, rows))
        if is_done and rows == self.before:
            cases.blame("lost", where + ": it had said that it is done")


@needs_strace
@pytest.mark.limit(120 + 2 * CUTS)
def test_import(data_dir, tmp_path):
    """Into a directory without a store: before it has said that it is done
    there are none of its rows or all, and afterwards all."""
    with faults.Cases("power cut while rows are imported") as cases:
        Import(data_dir, tmp_path, 0).cut(
            faults.chance("power, import"), cases)


@needs_strace
@pytest.mark.limit(120 + 2 * CUTS)
def test_import_beside_a_server(server_factory, data_dir, tmp_path):
    """Likewise, where most of it is written ahead of the last commit."""
    server_factory(data=data_dir, rows=[e2e.row(e2e.token(i), "old")
                                        for i in range(7)])
    film = Import(data_dir, tmp_path, 7)
    syncs = [c for c in film.recording.calls if c.name == "fdatasync"]
    assert len(syncs) >= 3, "nothing was staged"
    with faults.Cases("power cut while rows are staged") as cases:
        film.cut(faults.chance("power, staging"), cases)


@needs_strace
@pytest.mark.limit(120 + 2 * CUTS)
def test_the_model_sees_a_disk_that_lies(server_factory, data_dir, tmp_path):
    """Where no sync is believed, logins are lost: else this tests nothing."""
    rng = faults.chance("power, lies")
    film, recording = film_small(server_factory, data_dir, tmp_path, rng, 0.5)

    class Witness(faults.Cases):
        def case(self):
            pass

        def blame(self, way, text):
            self.problems.append(way)

    witness = Witness("a disk that lies")
    Cuts(film, recording, {}, len(SMALL), rng).run(witness, 40, False)
    assert witness.problems
