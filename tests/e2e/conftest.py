"""
End-to-end tests: the real binaries on loopback. Run them with

    /usr/bin/python3 -m pytest tests/e2e

What a test file may use from here:

    server            a running openchampps with ROWS imported, one per test
                      file; each test checks that it left it alive
    server_factory(*args, rows=ROWS, data=None, env=None, wrap=(),
                   plain=True, listen="127.0.0.1:0", trust="127.0.0.0/8",
                   passed=())
                      a server of the test's own: imports rows (None: no
                      import), starts it, waits until it accepts; passed:
                      (name, socket) pairs for it to accept on instead
    data_dir          an empty directory, mode 0700
    ssl_context       a client context that trusts `server`
    echo              build/echo on ws and wss with --max-message 16777216
    run(*args)        one command of the binary, to its end

A Server (see the class) knows its ports, log, CA and process; `connect()`
and `open()` give a wsraw.Client. Rows are made by row(token, username, ...),
tokens by token(n): they are all test data. `ws_login(server, token)` logs in
with python3-websockets instead of our own client.

At the end each server that a test did not end itself gets a SIGTERM and must
exit 0 within 10 s; no line of any log may hold a test token. When a test
fails the logs of its servers are part of the report. No test can hang: an
alarm ends it after 60 s, or @pytest.mark.limit(seconds).

E2E_BINARY and E2E_ECHO name other binaries to test.
"""

import asyncio
import csv
import datetime
import hashlib
import io
import os
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import uuid

import pytest
import websockets

import wsraw
from waiting import wait_until

REPO = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("E2E_BINARY",
                                     REPO / "build" / "openchampps"))
ECHO = pathlib.Path(os.environ.get("E2E_ECHO", REPO / "build" / "echo"))

FORMAT_ERROR = {"type": "auth_error",
                "payload": {"message": "Invalid token format"}}
TOKEN_ERROR = {"type": "auth_error",
               "payload": {"message": "Invalid or expired token"}}
AUTH_REQUIRED = {"type": "error",
                 "payload": {"message": "Authentication required",
                             "code": "AUTH_REQUIRED"}}
UNKNOWN_TYPE = {"type": "error",
                "payload": {"message": "Unknown message type",
                            "code": "UNKNOWN_TYPE"}}


# Test data

def token(number):
    return "00000000-0000-4000-8000-%012x" % number


VALID = "550e8400-e29b-41d4-a716-446655440000"
SECOND, NEVER, INFINITE = token(1), token(2), token(6)
EXPIRED, REVOKED, FUTURE = token(3), token(4), token(5)
UNKNOWN = token(0xff)
NIL = "00000000-0000-0000-0000-000000000000"
LONG_AGO = "2020-01-02 03:04:05.678901"
FAR_AHEAD = "2099-12-31 23:59:59"

AWKWARD = {
    token(0x40 + i): name for i, name in enumerate([
        'double"quote', "single'quote", "back\\slash", "new\nline",
        "carriage\r\nreturn", "tab\there", "braces{and}{{{", "}{",
        "comma,semi;colon", "smile \U0001f600", "\u65e5\u672c\u8a9e",
        "e\u0301\u00e9 \u2028 \u202e", "<script>&amp;</script>", "null",
        "a" * 255, "\U0001f600" * 63 + "xyz", "{" * 255, '"' * 255,
        "\u0001\u001f\u007f", " spaces around ", "%s%n\\u0041",
    ])}
AWKWARD_IDS = [ascii(name)[1:-1][:20] for name in AWKWARD.values()]


def row(tok, username, **columns):
    """One line of the CSV; columns override the defaults."""
    values = {"token": tok, "username": username,
              "created_at": "2026-01-01 00:00:00.123456",
              "expires_at": FAR_AHEAD, "not_before": "", "last_used_at": "",
              "is_revoked": "f"}
    values.update(columns)
    return values


def soon(seconds):
    """A time from now, as the CSV has it (UTC)."""
    now = datetime.datetime.now(datetime.timezone.utc)
    moment = now + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


ROWS = [
    row(VALID, "jane.doe"),
    row(SECOND, "john.roe"),
    row(NEVER, "never", expires_at=""),
    row(INFINITE, "infinite", expires_at="infinity"),
    row(EXPIRED, "expired", expires_at=LONG_AGO),
    row(REVOKED, "revoked", is_revoked="t"),
    row(FUTURE, "future", not_before=soon(86400)),
    row("00000000-0000-7000-8000-000000000007", "version7"),
    row("00000000-0000-0000-0000-000000000001", "version0"),
    row("ffffffff-ffff-ffff-ffff-ffffffffffff", "max"),
] + [row(tok, name) for tok, name in AWKWARD.items()]


def write_csv(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def hash_of(tok):
    """The name under which an export lists a token."""
    return hashlib.sha256(uuid.UUID(tok).bytes).hexdigest()


def parse_time(text):
    """Epoch seconds of what an export prints; None where it is empty."""
    if not text:
        return None
    if re.fullmatch(r"\d+", text):
        return int(text)
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return int(moment.timestamp())


# Processes

def child_env(extra=None):
    """The environment of a child: none of our options leak in."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith("OPENCHAMPPS_")}
    env.update(extra or {})
    return env


def run(*args, stdin=None, env=None, wrap=(), timeout=15, binary=None):
    """One command to its end; stdout and stderr as text."""
    command = [*wrap, str(binary or BINARY), *map(str, args)]
    return subprocess.run(command, input=stdin, env=child_env(env),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=timeout, encoding="utf-8", errors="replace")


def pass_on(passed):
    """The words before a command that is to find these sockets."""
    return [sys.executable, str(REPO / "tests" / "e2e" / "pass_on.py"),
            ":".join(str(sock.fileno()) for _, sock in passed),
            ":".join(name for name, _ in passed)]


def import_rows(data, rows, *args):
    """Imports rows, and fails the test where the command does."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tokens.csv")
        write_csv(path, rows)
        result = run("import", "--data", data, *args, path, timeout=30)
    assert result.returncode == 0, result.stderr
    return result


def summary(name, **counts):
    """What an import says at its end; counts that are not given are 0."""
    kinds = ["created", "replaced", "unchanged", "skipped", "rejected"]
    assert set(counts) <= set(kinds)
    return "%s: %s\n" % (name, ", ".join(
        "%s %d" % (kind, counts.get(kind, 0)) for kind in kinds))


def export_rows(data):
    """What `export` prints, as {hash: row}."""
    result = run("export", "--data", data)
    assert result.returncode == 0, result.stderr
    reader = csv.DictReader(io.StringIO(result.stdout, newline=""))
    return {line["token_sha256"]: line for line in reader}


def last_used(data, tok):
    return parse_time(export_rows(data)[hash_of(tok)]["last_used_at"])


def fresh_directory():
    """A directory 0700 that other users can be let into."""
    return pathlib.Path(tempfile.mkdtemp(prefix="e2e-"))


LISTENING = re.compile(r'listening(?: (?:url=)?|","url":")(wss?)://'
                       r'([^\s"]+?):(\d+)/ws')
TOKEN_TEXT = re.compile(r"(?i)550e8400-?e29b-?41d4-?a716-?446655440000"
                        r"|00000000-?0000-?4000-?8000-?[0-9a-f]{12}"
                        r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-"
                        r"[0-9a-f]{4}-[0-9a-f]{12}\b")


class Server:
    """
    A running server.

    port, plain_port    where it listens, None where it does not
    data, ca_file       its directory and its CA; exported_ca(form): as
                        `openchampps cert --ca` writes it
    process             the Popen; log_text() is its stderr so far
    """

    def __init__(self, binary, data, args, env=None, wrap=(), fds=()):
        self.data = pathlib.Path(data)
        self.ca_file = self.data / "tls" / "ca.pem"
        self.port = self.plain_port = None
        self.ended_by_test = False
        self.lines = []
        self.news = threading.Condition()
        command = [*wrap, str(binary), "--data", str(data), *map(str, args)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env=child_env(env), pass_fds=fds)
        self.pid = self.process.pid
        self.reader = threading.Thread(target=self.read_log, daemon=True)
        self.reader.start()

    def read_log(self):
        for raw in self.process.stderr:
            with self.news:
                self.lines.append(raw.decode("utf-8", "replace"))
                self.news.notify_all()
        with self.news:
            self.lines.append("")
            self.news.notify_all()

    def log_text(self):
        with self.news:
            return "".join(self.lines)

    def wait_log(self, pattern, timeout=10.0, start=0):
        """Waits for a log line; start skips what was there (log_mark())."""
        def found():
            ended = self.lines and self.lines[-1] == ""
            return ended or re.search(pattern, "".join(self.lines[start:]))

        with self.news:
            self.news.wait_for(found, timeout)
            match = re.search(pattern, "".join(self.lines[start:]))
        assert match, "no %r in the log:\n%s" % (pattern, self.log_text())
        return match

    def log_mark(self):
        with self.news:
            return len(self.lines)

    def wait_listening(self, schemes, timeout=15.0):
        """Waits until it accepts on each scheme, learns the ports."""
        def found():
            ended = self.lines and self.lines[-1] == ""
            return ended or schemes <= {
                m[0] for m in LISTENING.findall("".join(self.lines))}

        with self.news:
            self.news.wait_for(found, timeout)
            ports = {m[0]: int(m[2])
                     for m in LISTENING.findall("".join(self.lines))}
        assert schemes <= set(ports), ("not listening, status %s, log:\n%s"
                                       % (self.process.poll(),
                                          self.log_text()))
        self.port, self.plain_port = ports.get("wss"), ports.get("ws")

    @property
    def url(self):
        return "wss://localhost:%d/ws" % self.port

    @property
    def plain_url(self):
        return "ws://127.0.0.1:%d/ws" % self.plain_port

    def exported_ca(self, form="pem"):
        """The CA as clients are given it, in a file of their own."""
        path = self.data / ("for-clients." + form)
        if not path.exists():
            path.write_bytes(subprocess.run(
                [BINARY, "cert", "--data", self.data, "--ca", form],
                env=child_env(), stdout=subprocess.PIPE, timeout=15,
                check=True).stdout)
        return path

    def ssl_context(self):
        return ssl.create_default_context(cafile=str(self.ca_file))

    def connect(self, tls=True, context=None, **options):
        """A connection, no byte sent over it yet (but for TLS)."""
        if not tls:
            return wsraw.Client.connect(("127.0.0.1", self.plain_port),
                                        **options)
        return wsraw.Client.connect(("127.0.0.1", self.port),
                                    context or self.ssl_context(), **options)

    def host(self, tls=True):
        return "localhost:%d" % (self.port if tls else self.plain_port)

    def open(self, tls=True, token=None, **options):
        """A connection after its 101, logged in where a token is given."""
        client = self.connect(tls, **options)
        client.upgrade(host=self.host(tls))
        if token:
            answer = client.login(token)
            assert answer["type"] == "auth_success", answer
        return client

    def get(self, path, tls=True, within=None):
        """A plain GET; the connection has to end after the answer."""
        with self.connect(tls) as client:
            client.send(("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n"
                         % (path, self.host(tls))).encode())
            response = client.read_response(within)
            client.expect_eof()
        return response

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, timeout=10.0):
        """Its exit status; the log is complete afterwards."""
        self.ended_by_test = True
        status = self.process.wait(timeout)
        self.reader.join(5)
        return status

    def kill(self):
        """kill -9, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def stop(self):
        """SIGTERM; it has to exit 0 within 10 s."""
        self.signal()
        status = self.wait()
        assert status == 0, "exit %s after SIGTERM:\n%s" % (
            status, self.log_text())

    def finish(self):
        """End of its life: stopped in order, no token in the log."""
        try:
            if self.process.poll() is None:
                self.stop()
            else:
                assert self.ended_by_test, "the server died, status %s" % (
                    self.process.returncode)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.reader.join(5)
        leak = TOKEN_TEXT.search(self.log_text())
        assert not leak, "a token in the log: " + leak.group()


class Keeper:
    """Makes servers, remembers them, ends them all."""

    def __init__(self):
        self.servers = []
        self.folders = []

    def directory(self):
        self.folders.append(fresh_directory())
        return self.folders[-1]

    def start(self, *args, rows=ROWS, data=None, env=None, wrap=(),
              plain=True, binary=BINARY, listen="127.0.0.1:0",
              trust="127.0.0.0/8", passed=()):
        data = data or self.directory()
        if rows:
            import_rows(data, rows)
        where = ["--listen", listen]
        schemes = {"wss", "ws"} if plain else {"wss"}
        if plain:
            where += ["--listen-plain", "127.0.0.1:0"]
        if passed:
            where, schemes = [], {name for name, _ in passed} & {"wss", "ws"}
            wrap = [*pass_on(passed), *wrap]
        if trust and binary == BINARY:
            where += ["--trust", trust]  # the limits by address: test_limits
        server = Server(binary, data, [*where, *args], env, wrap,
                        [sock.fileno() for _, sock in passed])
        try:
            server.wait_listening(schemes)
        except AssertionError:
            server.kill()
            raise
        self.servers.append(server)
        LIVE.append(server)
        return server

    def finish(self):
        problems = []
        for server in self.servers:
            LIVE.remove(server)
            try:
                server.finish()
            except (AssertionError, subprocess.TimeoutExpired) as problem:
                problems.append("%s\n%s" % (problem, server.log_text()))
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
        assert not problems, "\n".join(problems)


LIVE = []  # whose logs a failing test reports


# Fixtures

@pytest.fixture
def data_dir():
    path = fresh_directory()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def server_factory():
    keeper = Keeper()
    yield keeper.start
    keeper.finish()


@pytest.fixture(scope="module")
def module_server():
    keeper = Keeper()
    yield keeper.start()
    keeper.finish()


@pytest.fixture
def server(module_server):
    yield module_server
    status = module_server.process.poll()
    assert status is None, "this test ended the server, status %s" % status


@pytest.fixture
def ssl_context(server):
    return server.ssl_context()


@pytest.fixture(scope="module")
def echo():
    keeper = Keeper()
    yield keeper.start("--max-message", 16777216, rows=None, binary=ECHO)
    keeper.finish()


def ws_login(server, tok, tls=True):
    """The answer to a token, asked with python3-websockets."""
    async def talk():
        options = {"ssl": server.ssl_context()} if tls else {}
        url = server.url if tls else server.plain_url
        async with websockets.connect(url, **options) as socket:
            await socket.send('{"type":"token_auth","payload":{"token":"%s"}}'
                              % tok)
            return await socket.recv()

    return asyncio.run(asyncio.wait_for(talk(), 10))


# No test hangs, no failure is without a log

def pytest_configure(config):
    # In a shell's background it would be ignored, and so by what is started.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "limit(seconds): when to give up")


def on_alarm(_number, _frame):
    pytest.fail("the test took too long")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    marker = item.get_closest_marker("limit")
    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(marker.args[0] if marker else 60)
    yield
    signal.alarm(0)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if not report.failed:
        return
    for server in LIVE:
        text = server.log_text()[-8000:]
        name = "log of %s (pid %d)" % (server.process.args[0], server.pid)
        report.sections.append((name, TOKEN_TEXT.sub("TOKEN", text)))
