"""What the fault tests share: the table, players, strace, a big store."""

import collections
import functools
import os
import pathlib
import random
import shutil
import ssl
import tempfile
import threading
import time

import e2e
import strace
import wsraw

SEED = int(os.environ.get("FAULT_SEED", time.time_ns() & 0xffffffff))

# The server reads the clock once per turn of its loop, and the machine may
# be busy: a login may be stamped with a time this much before its sending.
SLACK = 1.0


def chance(name):
    """A source of chance of its own for each test."""
    print("FAULT_SEED=%d" % SEED)
    return random.Random("%d %s" % (SEED, name))


def size(name, default):
    return int(os.environ.get(name, default))


needs_strace = strace.needs_strace


# The table

class Table:
    """fault -> cases, and how many of them went wrong in which way."""
    WAYS = ("lost", "crashed", "hung", "wrong")

    def __init__(self):
        self.rows = collections.OrderedDict()

    def count(self, fault, cases=1):
        row = self.rows.setdefault(fault, collections.Counter())
        row["cases"] += cases

    def blame(self, fault, way):
        self.rows.setdefault(fault, collections.Counter())[way] += 1

    def lines(self):
        if not self.rows:
            return []
        columns = ("cases",) + self.WAYS
        lines = ["%-44s" % "fault" + "".join("%9s" % c for c in columns)]
        for fault, row in self.rows.items():
            lines.append("%-44s" % fault
                         + "".join("%9d" % row[c] for c in columns))
        return lines


TABLE = Table()


class Cases:
    """
    The cases of one fault. What goes wrong in one is noted and the next one
    runs; leaving `with` fails the test when there was any.
    """

    def __init__(self, fault):
        self.fault = fault
        self.problems = []

    def __enter__(self):
        return self

    def __exit__(self, kind, *unused):
        if kind is None:
            assert not self.problems, "%d of %s:\n%s" % (
                len(self.problems), self.fault,
                "\n".join(self.problems[:20]))

    def case(self):
        TABLE.count(self.fault)

    def blame(self, way, text):
        TABLE.blame(self.fault, way)
        self.problems.append("%s: %s" % (way, text))


# Players

def login_frame(tok):
    return wsraw.frame(
        wsraw.TEXT, '{"type":"token_auth","payload":{"token":"%s"}}' % tok)


GONE = (OSError, EOFError, TimeoutError, ssl.SSLError)


class Player(threading.Thread):
    """
    Logs its tokens in without a pause, depth at a time, until it is stopped
    or the server is gone.

    acknowledged   token -> time of the last sending that was answered
    sent           token -> times of all sendings
    """

    def __init__(self, server, tokens, tls, depth, rng):
        super().__init__(daemon=True)
        self.server, self.tokens, self.tls = server, tokens, tls
        self.depth = min(depth, len(tokens))
        self.rng = random.Random(rng.random())
        self.acknowledged = {}
        self.sent = collections.defaultdict(list)
        self.answers = 0
        self.problem = None
        self.is_stopped = False

    def run(self):
        try:
            with self.server.open(self.tls, timeout=20) as client:
                while not self.is_stopped:
                    self.turn(client)
        except GONE as problem:
            self.problem = problem
        except Exception as problem:  # told to the test
            self.problem = AssertionError(repr(problem))

    def turn(self, client):
        batch = self.rng.sample(self.tokens, self.depth)
        begin = time.time()
        for tok in batch:
            self.sent[tok].append(begin)
        client.send(b"".join(map(login_frame, batch)))
        for tok in batch:
            answer = client.read_json()
            assert answer["payload"].get("token") == tok, answer["type"]
            self.acknowledged[tok] = begin
            self.answers += 1

    def end(self):
        """After a kill: it was only the connection that ended."""
        self.join(30)
        assert not isinstance(self.problem, AssertionError), self.problem


hash_of = functools.lru_cache(None)(e2e.hash_of)
parse_time = functools.lru_cache(None)(e2e.parse_time)


def check_uses(data, expected, cases, where):
    """
    expected: {token: time of a sending that was answered}. The store opens,
    each of its records verifies, each of the tokens has such a time or a
    later one. returns: the rows
    """
    result = e2e.run("export", "--data", data, timeout=60)
    if result.returncode != 0:
        way = "crashed" if result.returncode < 0 else "wrong"
        cases.blame(way, "%s: export says %d: %s" % (
            where, result.returncode, result.stderr.strip()))
        return None
    uses, rows = {}, 0
    for line in result.stdout.splitlines()[1:]:
        rows += 1
        uses[line[:64]] = line.rsplit(",", 2)[1]
    for tok, begin in expected.items():
        used = parse_time(uses.get(hash_of(tok), ""))
        if used is None or used < int(begin - SLACK):
            cases.blame("lost", "%s: %s, answered after %d, has %s" % (
                where, tok, begin, used))
            break
    return rows


# strace

class Strace(strace.Strace):
    """As that of tests/e2e; counts() says how many calls there were."""

    def __init__(self, server, inject=(), trace=()):
        handle, self.path = tempfile.mkstemp(prefix="fault-trace-")
        os.close(handle)
        super().__init__(server, inject, trace, self.path)

    def __exit__(self, *unused):
        super().__exit__(*unused)
        self.text = pathlib.Path(self.path).read_text(encoding="latin-1")
        os.unlink(self.path)

    def counts(self):
        return count_calls(self.text)


def count_calls(text):
    """call -> the most of it that one thread made."""
    seen = collections.Counter()
    for line in text.splitlines():
        pid, _, rest = line.partition(" ")
        name = rest.strip().partition("(")[0]
        if name.isidentifier():
            seen[name, pid] += 1
    most = collections.Counter()
    for (name, _), number in seen.items():
        most[name] = max(most[name], number)
    return most


# A big store

class BigStore:
    """
    A directory whose journal is about to be folded: 2^18 touches less a few
    hundred, of 16,384 tokens. times: {token: when it was last answered}
    """
    ROWS = 16384
    SHORT_OF_A_FOLD = 600
    CONNECTIONS, DEPTH = 4, 256

    def __init__(self):
        self.path = e2e.fresh_directory()
        self.tokens = [e2e.token(0x10000 + i) for i in range(self.ROWS)]
        e2e.import_rows(self.path, [e2e.row(t, "p") for t in self.tokens])
        order = sorted(self.tokens, key=e2e.hash_of)  # as rows are numbered
        self.times = dict.fromkeys(self.tokens)
        keeper = e2e.Keeper()
        server = keeper.start("--ping-interval", 600, data=self.path,
                              rows=None)
        try:
            self.fill(server, order)
        finally:
            server.kill()
            keeper.finish()

    def fill(self, server, order):
        """Tokens 8,192 rows apart take turns: the server remembers only the
        last use of one of them, so each login is a touch of its own."""
        half = self.ROWS // 2
        pairs = [tok for i in range(half)
                 for tok in (order[i], order[i + half])]
        share = self.ROWS // self.CONNECTIONS
        touches = (1 << 18) - self.SHORT_OF_A_FOLD
        threads = [threading.Thread(target=self.log_in, args=(
            server, pairs[i * share:(i + 1) * share],
            touches // self.CONNECTIONS)) for i in range(self.CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert None not in self.times.values(), "the filling broke off"

    def log_in(self, server, tokens, number):
        frames = [login_frame(tok) for tok in tokens]
        size_of_answer = len(
            '{"type":"auth_success","payload":{"username":"p","token":"%s"}}'
            % tokens[0]) + 2
        with server.open(tls=False, timeout=60) as client:
            at = 0
            while number > 0:
                count = min(self.DEPTH, number, len(tokens) - at)
                begin = time.time()
                client.send(b"".join(frames[at:at + count]))
                answers = client.read(count * size_of_answer)
                assert answers.count(b"auth_success") == count
                self.times.update(dict.fromkeys(tokens[at:at + count], begin))
                number -= count
                at = (at + count) % len(tokens)

    def copy_to(self, folder):
        """Makes folder a copy of it. returns: what is known of its uses"""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.path, folder)
        return dict(self.times)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)
