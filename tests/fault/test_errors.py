"""
System calls that fail: strace makes the n-th call of the static binary fail,
for every n that a run meets.

During start-up: one clear line and status 1, or a start; afterwards a clean
start works on the same directory. While serving: players are let in, or get
1011 where the store cannot be read; nobody is refused a good token, nothing
crashes or hangs; afterwards /ready is 200 again by itself, and every login
that was answered is on the disk.
"""

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
