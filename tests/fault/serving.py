"""One start, or one server, and the faults that meet it."""

import collections
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import e2e
import faults
import wsraw

# LMDB writes several pages with lseek and writev where it has no pwritev.
DISK_CALLS = ("pwrite64", "pwritev", "writev", "lseek", "fdatasync", "fsync",
              "ftruncate", "open", "openat", "mmap", "rename", "pread64")
# At the start fcntl asks about descriptors, which cannot fail; later it locks.
LOCK_CALLS = ("fcntl",)

TOKENS = [e2e.token(i) for i in range(64)]
ROWS = [e2e.row(t, "p%d" % i) for i, t in enumerate(TOKENS)]


# Start-up

class Start:
    """One start with one fault; directories are copies of a template."""

    def __init__(self, template, scratch, cases):
        self.template, self.cases = template, cases
        self.folder = scratch / "d"

    def lay_out(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.template:
            shutil.copytree(self.template, self.folder)
        else:
            os.mkdir(self.folder, 0o700)

    def run(self, inject):
        self.cases.case()
        self.lay_out()
        call = inject.partition(":")[0]
        server = e2e.Server(
            e2e.BINARY, self.folder,
            ["--listen", "127.0.0.1:0", "--listen-plain", "127.0.0.1:0"],
            wrap=["strace", "-f", "-q", "-o", os.devnull, "-e",
                  "trace=" + call, "-e", "inject=" + inject])
        self.judge(server, inject)
        self.start_again(inject)

    def judge(self, server, where):
        try:
            server.wait_listening({"wss", "ws"}, 10)
        except AssertionError:
            self.judge_refusal(server, where)
            return
        try:
            self.log_in(server, where)
        finally:
            self.kill(server)

    def kill(self, server):
        """strace and what it runs."""
        for child in children(server.pid):
            os.kill(child, signal.SIGKILL)
        server.kill()

    def judge_refusal(self, server, where):
        try:
            status = server.wait(5)
        except subprocess.TimeoutExpired:
            self.kill(server)
            self.cases.blame("hung", where)
            return
        lines = [x for x in server.log_text().splitlines()
                 if x.startswith("openchampps: ")]
        if status < 0 or status > 128:
            self.cases.blame("crashed", "%s: status %d" % (where, status))
        elif status != 1 or len(lines) != 1 or len(lines[0]) < 24:
            self.cases.blame("wrong", "%s: status %d, log %r" % (
                where, status, server.log_text()))

    def log_in(self, server, where):
        try:
            with server.open(tls=True) as client:
                answer = client.login(TOKENS[0])["type"]
        except faults.GONE as problem:
            self.cases.blame("wrong", "%s: login: %r" % (where, problem))
            return
        expected = "auth_success" if self.template else "auth_error"
        if answer != expected:
            self.cases.blame("wrong", "%s: login: %s" % (where, answer))

    def start_again(self, where):
        server = e2e.Server(e2e.BINARY, self.folder,
                            ["--listen", "127.0.0.1:0"])
        try:
            server.wait_listening({"wss"}, 10)
            self.log_in(server, where + ", started again")
        except AssertionError:
            self.cases.blame("wrong", "%s: no start after it: %s" % (
                where, server.log_text()))
        server.kill()


def children(pid):
    path = pathlib.Path("/proc/%d/task/%d/children" % (pid, pid))
    return [int(x) for x in path.read_text(encoding="ascii").split()]


# Serving

class Serving:
    """A server that is met by one fault after the other."""

    def __init__(self, factory, cases):
        self.factory, self.cases = factory, cases
        self.given = collections.Counter()
        self.next = 0
        self.begin()

    def begin(self):
        self.server = self.factory("--ping-interval", 600, rows=ROWS)
        self.uses = {}
        self.client = self.server.open()

    def token(self):
        """Each one after the other: a new second for each login."""
        self.next = (self.next + 1) % len(TOKENS)
        return TOKENS[self.next]

    def log_in(self, client, where, deadline=8):
        """Success is what there has to be, or 1011."""
        tok, begin = self.token(), time.time()
        try:
            client.send(faults.login_frame(tok))
            got = client.read_frame(deadline)
        except faults.GONE as problem:
            way = "hung" if isinstance(problem, TimeoutError) else "wrong"
            self.given["ended"] += 1
            self.cases.blame(way, "%s: login: %r" % (where, problem))
            return False
        if got.opcode == wsraw.CLOSE and got.payload[:2] == b"\x03\xf3":
            self.given["1011"] += 1
            return False
        if b"auth_success" not in got.payload:
            self.cases.blame("wrong", "%s: %r" % (where, got.payload[:60]))
            return False
        self.given["success"] += 1
        self.uses[tok] = begin
        return True

    def work(self, where):
        """Two logins on an old connection, one on a new one, over TLS."""
        for _ in range(2):
            if not self.log_in(self.client, where):
                self.client = self.connect(where) or self.client
        fresh = self.connect(where)
        if fresh:
            self.log_in(fresh, where)
            fresh.close()

    def connect(self, where):
        try:
            return self.server.open(timeout=8)
        except faults.GONE as problem:
            self.cases.blame("wrong", "%s: connecting: %r" % (where, problem))
            return None

    def is_dead(self, where):
        status = self.server.process.poll()
        if status is None:
            return False
        self.cases.blame("crashed", "%s: status %d, log %s" % (
            where, status, self.server.log_text()[-600:]))
        self.server.wait()
        self.begin()
        return True

    def run(self, inject, work=None):
        """One case: the faults are on while there is work."""
        where = " and ".join(inject)
        self.cases.case()
        with faults.Strace(self.server, inject):
            (work or self.work)(where)
            if self.is_dead(where):
                return
        self.recover(where)

    def recover(self, where):
        if self.is_dead(where):
            return
        try:
            e2e.wait_until(lambda: self.server.get(
                "/ready", tls=False).status == 200, 8)
        except (AssertionError, *faults.GONE) as problem:
            self.cases.blame("hung", "%s: not ready again: %r, log %s" % (
                where, problem, self.server.log_text()[-600:]))
            self.server.kill()
            self.begin()
            return
        with self.server.open(tls=False) as client:
            self.log_in(client, where + ", afterwards")
        faults.check_uses(self.server.data, self.uses, self.cases, where)

    def count(self, trigger=()):
        """call -> how often one thread makes it in such work"""
        tracer = faults.Strace(self.server, trigger, DISK_CALLS + LOCK_CALLS)
        with tracer:
            self.work("counting")
        self.recover("counting")
        return tracer.counts()

    def end(self):
        self.client.close()
        print(dict(self.given))


def plain_socket(server):
    return socket.create_connection(("127.0.0.1", server.plain_port), 8)
