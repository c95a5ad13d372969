"""
System calls that fail: strace makes the n-th call of the static binary fail,
for every n that a run meets.

During start-up: one clear line and status 1, or a start; afterwards a clean
start works on the same directory. While serving: players are let in, or get
1011 where the store cannot be read; nobody is refused a good token, nothing
crashes or hangs; afterwards /ready is 200 again by itself, and every login
that was answered is on the disk.
"""

import json
import os
import signal
import subprocess
import time

import pytest

import e2e
import faults
import wsraw
from faults import needs_strace
from serving import (DISK_CALLS, LOCK_CALLS, ROWS, TOKENS, Serving, Start,
                     children, plain_socket)

EVERY = os.environ.get("FAULT_ERRORS") == "all"
CODES = {"mmap": ("ENOMEM", "EIO"), "fcntl": ("ENOLCK", "EAGAIN")}
USUAL_CODES = ("EIO", "ENOSPC")


def codes_of(call, rng):
    """The errors to try: all of them, or one by chance."""
    codes = CODES.get(call, USUAL_CODES)
    return codes if EVERY else (rng.choice(codes),)


# Start-up

def start_command(folder):
    return [str(e2e.BINARY), "--data", str(folder), "--listen", "127.0.0.1:0",
            "--listen-plain", "127.0.0.1:0"]


def calls_of_start(folder, scratch):
    """call -> how often a clean start makes it"""
    path = scratch / "trace"
    process = subprocess.Popen(
        ["strace", "-f", "-q", "-o", str(path), "-e", "trace="
         + ",".join(DISK_CALLS + ("write",))] + start_command(folder),
        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        env=e2e.child_env())
    for line in process.stderr:
        if b"ws://" in line:
            break
    for child in children(process.pid):
        os.kill(child, signal.SIGKILL)
    process.wait(10)
    process.stderr.close()
    return faults.count_calls(path.read_text(encoding="latin-1"))


@needs_strace
@pytest.mark.limit(900)
@pytest.mark.parametrize("kind", ["new directory", "old directory"])
def test_start(server_factory, tmp_path, kind):
    rng = faults.chance("start " + kind)
    template = None
    if kind == "old directory":
        template = tmp_path / "template"
        os.mkdir(template, 0o700)
        server = server_factory(data=template, rows=ROWS)
        server.open(token=TOKENS[0]).close()
        server.kill()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with faults.Cases("n-th call fails at start, " + kind) as cases:
        start = Start(template, scratch, cases)
        start.lay_out()
        counts = calls_of_start(start.folder, scratch)
        print(kind, dict(counts))
        assert {"open", "mmap"} <= set(counts)
        # Certificates are written; an eventfd, which takes a write always, is
        # too when somebody logs in. Two lines say "listening".
        counts["write"] = 0 if template else counts["write"] - 2
        for call in DISK_CALLS + ("write",):
            for n in range(1, counts[call] + 1):
                for code in codes_of(call, rng):
                    start.run("%s:error=%s:when=%d" % (call, code, n))


# Serving

@needs_strace
@pytest.mark.limit(900)
def test_serving(server_factory):
    """Each call that a commit makes, once and from then on."""
    rng = faults.chance("serving")
    with faults.Cases("n-th call fails while serving") as cases:
        serving = Serving(server_factory, cases)
        counts = serving.count()
        print(dict(counts))
        assert {"pwrite64", "writev", "fdatasync"} <= set(counts)
        for call in DISK_CALLS:
            for n in range(1, counts[call] + 1):
                for code in codes_of(call, rng):
                    for more in ("", "+"):
                        serving.run(["%s:error=%s:when=%d%s"
                                     % (call, code, n, more)])
        serving.end()


# Import beside a server

class Importing:
    """Imports into one live store, each of rows of its own, each with a fault:
    all of its rows count or none, and the next import clears up."""

    ROWS = 1500

    def __init__(self, server, folder, cases):
        self.server, self.cases = server, cases
        self.path = folder / "rows.csv"
        self.first = 0x100000
        self.tokens = self.counts()["tokens"]

    def counts(self):
        return json.loads(e2e.run("verify", "--data", self.server.data,
                                  "--json").stdout)

    def write_rows(self):
        self.first += self.ROWS
        e2e.write_csv(self.path, [e2e.row(e2e.token(self.first + i), "new")
                                  for i in range(self.ROWS)])

    def import_rows(self, *strace):
        try:
            return subprocess.run(
                [*strace, str(e2e.BINARY), "import", "--data",
                 str(self.server.data), str(self.path)], timeout=20,
                stdin=subprocess.DEVNULL, capture_output=True,
                env=e2e.child_env())
        except subprocess.TimeoutExpired:
            return None

    def count_calls(self, scratch):
        self.write_rows()
        trace = scratch / "trace"
        calls = ",".join(DISK_CALLS + LOCK_CALLS)
        done = self.import_rows("strace", "-f", "-q", "-o", str(trace), "-e",
                                "trace=" + calls)
        assert done.returncode == 0, done.stderr
        self.tokens += self.ROWS
        return faults.count_calls(trace.read_text(encoding="latin-1"))

    def run(self, inject):
        self.cases.case()
        self.write_rows()
        done = self.import_rows("strace", "-qq", "-o", os.devnull, "-e",
                                "trace=" + inject.partition(":")[0], "-e",
                                "inject=" + inject)
        if done is None:
            self.cases.blame("hung", inject)
        else:
            self.judge(done, inject)
        self.import_again(inject)

    def judge(self, done, where):
        lines = done.stderr.decode().splitlines()
        if done.returncode not in (0, 1):
            self.cases.blame("crashed", "%s: status %d" % (
                where, done.returncode))
        elif done.returncode == 0 and lines or len(lines) > 1 or (
                done.returncode == 1 and not lines and "writev" not in where):
            self.cases.blame("wrong", "%s: status %d, %r" % (
                where, done.returncode, lines))
        # It is for revocations.
        if not (self.server.data / "ballast").exists():
            self.cases.blame("lost", where + ": the ballast")
        came = self.counts()["tokens"] - self.tokens
        if came not in (0, self.ROWS) or (done.returncode == 0
                                          and came != self.ROWS):
            self.cases.blame("wrong", "%s: status %d, %d rows" % (
                where, done.returncode, came))

    def import_again(self, where):
        done = self.import_rows()
        self.tokens += self.ROWS
        counts = self.counts()
        if done is None or done.returncode != 0 or counts["staged"] != 0 \
                or counts["tokens"] != self.tokens:
            self.cases.blame("wrong", "%s: again: %r, %r" % (
                where, done, counts))
        try:
            with self.server.open(tls=False) as client:
                answer = client.login(e2e.token(self.first))["type"]
        except faults.GONE as problem:
            answer = problem
        if answer != "auth_success":
            self.cases.blame("wrong", "%s: login: %r" % (where, answer))


@needs_strace
@pytest.mark.limit(900)
def test_import_beside_a_server(server_factory, tmp_path):
    rng = faults.chance("import beside a server")
    with faults.Cases("n-th call fails in import, live server") as cases:
        importing = Importing(server_factory(rows=ROWS), tmp_path, cases)
        counts = importing.count_calls(tmp_path)
        print(dict(counts))
        assert counts["fdatasync"] >= 3, "nothing was staged"
        # The first ones are about the standard descriptors; and writev is how
        # the reason is written, too.
        for call in DISK_CALLS + LOCK_CALLS:
            first = 4 if call == "fcntl" else 1
            for n in range(first, counts[call] + 1):
                for code in codes_of(call, rng):
                    for more in ("", "+"):
                        importing.run("%s:error=%s:when=%d%s" % (
                            call, code, n, more))


PANIC = "pwrite64:error=EIO:when=1+"


@needs_strace
@pytest.mark.limit(900)
def test_serving_after_a_panic(server_factory):
    """The write of LMDB's meta page fails: it lets nobody read until it has
    been closed and opened again, and then the opening fails too."""
    rng = faults.chance("panic")
    with faults.Cases("n-th call fails in reopening after a panic") as cases:
        serving = Serving(server_factory, cases)
        counts = serving.count([PANIC])
        print(dict(counts))
        assert "store_reopened" in serving.server.log_text()
        for call in ("open", "openat", "mmap", "ftruncate",
                     "pread64") + LOCK_CALLS:
            for n in range(1, min(counts[call], 12) + 1):
                for code in codes_of(call, rng):
                    for more in ("", "+"):
                        serving.run([PANIC, "%s:error=%s:when=%d%s"
                                     % (call, code, n, more)])
        serving.end()


@needs_strace
@pytest.mark.limit(300)
@pytest.mark.parametrize("call", ["pwrite64", "writev"])
def test_short_writes(server_factory, call):
    """The kernel takes one byte, or none."""
    with faults.Cases("short %s" % call) as cases:
        serving = Serving(server_factory, cases)
        for number in (0, 1):
            for when in ("1", "2", "3", "1+2", "1+"):
                serving.run(["%s:retval=%d:when=%s" % (call, number, when)])
        serving.end()


# A signal may interrupt these, or there may be nothing to do after all. Every
# third call: a handshake looks at a byte and then reads, and every second one
# would always be the same of the two.
STORMS = (
    ["%s:error=EINTR:when=1+3" % call for call in (
        "accept4", "recvfrom", "sendto", "poll", "epoll_wait", "fdatasync")]
    + ["%s:error=EAGAIN:when=1+3" % call for call in (
        "accept4", "recvfrom", "sendto", "read")]
    + ["accept4:error=%s:when=1+3" % code for code in (
        "EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "ECONNABORTED", "EPROTO",
        "EPERM")]
    + ["epoll_wait:error=ENOMEM:when=1+3", "poll:error=ENOMEM:when=1+3"])


@needs_strace
@pytest.mark.limit(60 + 10 * len(STORMS))
def test_storms(server_factory):
    """Every third call: everybody is served, if later."""
    with faults.Cases("every third call says EINTR, EMFILE, ...") as cases:
        serving = Serving(server_factory, cases)
        for storm in STORMS:
            serving.run([storm])
        assert serving.given["1011"] == 0
        serving.end()


@needs_strace
@pytest.mark.limit(120)
@pytest.mark.parametrize("code", ["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"])
def test_no_connection_can_be_accepted(server_factory, code):
    """Who is there is served; new ones come in when the fault has ended."""
    with faults.Cases("accept4 says %s, always" % code) as cases:
        serving = Serving(server_factory, cases)

        def work(where):
            with plain_socket(serving.server) as late:
                for _ in range(3):
                    serving.log_in(serving.client, where)
                    time.sleep(0.2)
                work.late = late.dup()

        serving.run(["accept4:error=%s" % code], work)
        client = wsraw.Client(work.late, 8)
        client.upgrade(host=serving.server.host(False))
        serving.log_in(client, code + ", who waited")
        client.close()
        serving.end()
