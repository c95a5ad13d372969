"""
Faults that the kernel really makes, nothing pretended: a full disk, no
descriptors, a limit of file size, stops. What is expected of a server is in
test_errors.py.
"""

import os
import pathlib
import resource
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

import e2e
import faults
import wsraw
from serving import ROWS, TOKENS, Serving, Start, plain_socket

@pytest.mark.limit(120)
def test_out_of_descriptors(server_factory):
    with faults.Cases("no descriptors, by RLIMIT_NOFILE") as cases:
        serving = Serving(server_factory, cases)
        pid = serving.server.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        for spare in range(4):
            cases.case()
            used = len(os.listdir("/proc/%d/fd" % pid))
            resource.prlimit(pid, resource.RLIMIT_NOFILE,
                             (used + spare, before[1]))
            waiting = [plain_socket(serving.server) for _ in range(8)]
            for _ in range(3):
                serving.log_in(serving.client, "%d spare" % spare)
                time.sleep(0.1)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            for sock in waiting:
                client = wsraw.Client(sock, 8)
                client.upgrade(host=serving.server.host(False))
                serving.log_in(client, "%d spare, waited" % spare)
                client.close()
            serving.recover("%d spare" % spare)
        serving.end()


@pytest.mark.limit(120)
def test_stopped_and_continued(server_factory):
    """SIGSTOP and SIGCONT interrupt what the threads wait in."""
    rng = faults.chance("stop")
    with faults.Cases("SIGSTOP, SIGCONT under load, 200 times") as cases:
        serving = Serving(server_factory, cases)
        players = [faults.Player(serving.server, TOKENS[i::4], i < 2, 4, rng)
                   for i in range(4)]
        for player in players:
            player.start()
        cases.case()
        for _ in range(200):
            serving.server.signal(signal.SIGSTOP)
            time.sleep(rng.uniform(0, 0.003))
            serving.server.signal(signal.SIGCONT)
            time.sleep(rng.uniform(0, 0.01))
        for player in players:
            player.is_stopped = True
        for player in players:
            player.join(30)
            if player.problem is not None:
                cases.blame("wrong", repr(player.problem))
            serving.uses.update(player.acknowledged)
        serving.recover("stops")
        serving.end()


@pytest.fixture
def small_disk(request):
    """A file system of its own, of 2 MB where no test asks for more."""
    size = getattr(request, "param", "2m")
    folder = tempfile.mkdtemp(prefix="fault-disk-")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o",
                           "size=%s,mode=700" % size, "none", folder],
                          stderr=subprocess.PIPE)
    if made.returncode != 0:
        os.rmdir(folder)
        pytest.skip("cannot mount: %s" % made.stderr)
    yield pathlib.Path(folder)
    subprocess.run(["umount", "-l", folder], check=True)
    os.rmdir(folder)


def fill(folder, leave=0):
    """Fills the disk but for some bytes. returns: the file to remove"""
    path = folder / "filling"
    with open(path, "wb", buffering=0) as filling:
        try:
            while True:
                filling.write(bytes(4096))
        except OSError:
            pass
        room = filling.tell()
        filling.truncate(max(0, room - leave))
    return path


@pytest.mark.limit(180)
def test_full_disk(server_factory, small_disk):
    """Really full, with 0 to 7 pages left: writes that come short."""
    with faults.Cases("full disk (tmpfs), 0 to 7 pages left") as cases:
        server = server_factory("--ping-interval", 600, data=small_disk,
                                rows=ROWS)
        serving = Serving(lambda *a, **k: server, cases)
        for pages in range(8):
            cases.case()
            where = "%d pages left" % pages
            filling = fill(small_disk, 4096 * pages)
            deadline = time.monotonic() + 4
            while time.monotonic() < deadline and server.get(
                    "/ready", tls=False).status == 200:
                serving.work(where)
            full = server.get("/ready", tls=False).status == 503
            serving.work(where)
            if not full and pages < 2:
                cases.blame("wrong", where + ": it stayed ready")
            filling.unlink()
            serving.recover(where)
        serving.end()


def change(data, cases, where, *args, stdin=None):
    """`token ARGS` on a full disk. returns: (stdout, the ballast was given)"""
    done = e2e.run("token", args[0], "--data", data, *args[1:], stdin=stdin)
    if done.returncode != 0:
        cases.blame("wrong", "%s: %s: %s" % (where, args[0], done.stderr))
    return done.stdout, "ballast was given up" in done.stderr


MANY = [e2e.row(e2e.token(0x10000 + i), "many") for i in range(3000)]


@pytest.mark.limit(120)
@pytest.mark.parametrize("small_disk", ["16m"], indirect=True)
@pytest.mark.parametrize("what", ["revoke", "delete"])
def test_tokens_on_a_full_disk(server_factory, small_disk, what):
    """Not a byte is left: DIR/ballast goes, the change is made, and the
    ballast is back when there is room."""
    ballast = small_disk / "ballast"
    first, done = TOKENS[0], what + ("d" if what[-1] == "e" else "ed")
    with faults.Cases("%s on a full disk (tmpfs)" % what) as cases:
        server = server_factory(data=small_disk, rows=ROWS + MANY)
        serving = Serving(lambda *a, **k: server, cases)
        assert ballast.stat().st_blocks * 512 >= 1 << 20
        for args, stdin, count in (
                (["-"], first, 1), (["--user", "many"], None, len(MANY))):
            cases.case()
            where = " ".join([what, *args])
            filling = fill(small_disk)
            serving.work(where)
            assert change(small_disk, cases, where, what, *args,
                          stdin=stdin) == ("%s %d\n" % (done, count), True)
            assert not ballast.exists()
            tok = stdin or MANY[7]["token"]
            with server.open(tls=False) as client:
                if client.login(tok)["type"] != "auth_error":
                    cases.blame("wrong", where + ": it still logs in")
            serving.work(where)
            filling.unlink()
            serving.recover(where)
            serving.work(where)
            e2e.wait_until(ballast.exists)
        serving.uses.pop(first, None)
        serving.end()


@pytest.mark.limit(60)
@pytest.mark.parametrize("small_disk", ["16m"], indirect=True)
def test_revoke_on_a_full_disk_without_a_server(small_disk):
    """Nor is there room for LMDB's lock file."""
    with faults.Cases("revoke on a full disk, no server") as cases:
        cases.case()
        e2e.import_rows(small_disk, ROWS)
        (small_disk / "store.mdb-lock").unlink()
        filling = fill(small_disk)
        assert change(small_disk, cases, "offline", "revoke", "-",
                      stdin=TOKENS[0])[0] == "revoked 1\n"
        line = e2e.export_rows(small_disk)[e2e.hash_of(TOKENS[0])]
        assert line["is_revoked"] == "t"
        assert not (small_disk / "ballast").exists()
        filling.unlink()
        change(small_disk, cases, "offline", "add", "--username", "x")
        assert (small_disk / "ballast").exists()


def start_on_full(disk, pages, template, cases):
    """template: a directory with a store and without a lock file, or None"""
    where = "%d pages left, %s" % (pages, "old" if template else "new")
    for old in list(disk.iterdir()):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    start = Start(template, disk, cases)
    start.lay_out()
    filling = fill(disk, 4096 * pages)
    server = e2e.Server(e2e.BINARY, start.folder, [
        "--listen", "127.0.0.1:0", "--listen-plain", "127.0.0.1:0"])
    start.judge(server, where)
    filling.unlink()
    start.start_again(where)


@pytest.mark.limit(120)
@pytest.mark.parametrize("kind", ["new", "old"])
def test_start_on_a_full_disk(small_disk, data_dir, kind):
    """LMDB maps its lock file: where there is no page for it on a tmpfs,
    writing to it would be a SIGBUS."""
    template = None
    if kind == "old":
        e2e.import_rows(data_dir, ROWS)
        (data_dir / "store.mdb-lock").unlink()
        template = data_dir
    with faults.Cases("start on a full disk (tmpfs), " + kind) as cases:
        for pages in range(12):
            cases.case()
            start_on_full(small_disk, pages, template, cases)


@pytest.mark.limit(120)
def test_file_size_limit(server_factory):
    """RLIMIT_FSIZE: a short write, then EFBIG and SIGXFSZ."""
    with faults.Cases("file size limit (RLIMIT_FSIZE)") as cases:
        serving = Serving(server_factory, cases)
        for spare in (0, 100, 4096, 6000, 8192):
            cases.case()
            where = "%d bytes to the limit" % spare
            pid = serving.server.pid
            before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            size = os.stat(serving.server.data / "store.mdb").st_size
            resource.prlimit(pid, resource.RLIMIT_FSIZE,
                             (size + spare, before[1]))
            deadline = time.monotonic() + 5
            while not serving.is_dead(where):
                serving.work(where)
                if time.monotonic() > deadline or serving.server.get(
                        "/ready", tls=False).status == 503:
                    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
                    serving.recover(where)
                    break
        serving.end()
