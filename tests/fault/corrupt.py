#!/usr/bin/python3
"""
Damaged databases: what the real binary makes of them.

    tests/fault/corrupt.py [--cases 1000] [--first 0] [--jobs 2]

Each case is a number: it decides the damage. The store's own key is another
in each run, so a case that went wrong leaves its database in build/fault. A
case damages a store of 5,000 tokens, verifies it and copies what is sound,
then serves it, logs 50 tokens in, exports it, imports a row while it is
served, lists, adds, revokes and deletes tokens, ends it, and serves it again.

No outcome is right but these: refused with a line that names the file; or
served, and each token gets its own username or none at all; what was revoked
or deleted gets none. Never may anything crash, hang, or name another player.
"""

import argparse
import collections
import csv
import importlib.util
import io
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent


def load_e2e():
    """tests/e2e/conftest.py, which is not the only one of that name."""
    sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
    if "e2e" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "e2e", HERE.parent / "e2e" / "conftest.py")
        sys.modules["e2e"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["e2e"])
    return sys.modules["e2e"]


e2e = load_e2e()
import damage  # noqa: E402
import wsraw  # noqa: E402

TOKENS = 5000
LOGINS = 50
AGAIN = 15  # logins of the second start
KEPT = e2e.REPO / "build" / "fault"
UNKNOWN = [e2e.token(0xffff00 + i) for i in range(4)]
NAMES = {e2e.token(i): "player %d" % i for i in range(1, TOKENS + 1)}
BY_HASH = {e2e.hash_of(t): name for t, name in NAMES.items()}
TOKEN_OF = {bytes.fromhex(e2e.hash_of(t)): t for t in NAMES}
ADDED = e2e.token(0x999999)
FAILURE = json.loads(json.dumps(e2e.TOKEN_ERROR))
PLAIN = ["--listen", "127.0.0.1:0", "--listen-plain", "127.0.0.1:0"]

REFUSED, WHOLE, ISOLATED, UNNOTICED, REFUSED_LATER = (
    "refused", "served whole", "bad part isolated", "loss not noticed",
    "refused at the second start")
WRONG, CRASHED, HUNG, RUDE = "WRONG NAME", "CRASHED", "HUNG", "NO CLEAR LINE"
BLIND = "CALLED SOUND"
BAD = {WRONG, CRASHED, HUNG, RUDE, BLIND}
OUTCOMES = [REFUSED, WHOLE, ISOLATED, UNNOTICED, REFUSED_LATER, WRONG, CRASHED,
            HUNG, RUDE, BLIND]


class Bad(Exception):
    """(outcome, text)"""


# The binary

def options():
    """No limit of a single address shall end a case early."""
    text = e2e.run("--help").stdout
    return PLAIN + (["--trust", "127.0.0.0/8"] if "--trust" in text else [])


def crashed(status):
    return status < 0 or status >= 128 or status not in (0, 1)


def command(*args, stdin=None):
    try:
        done = e2e.run(*args, stdin=stdin, timeout=20)
    except subprocess.TimeoutExpired:
        raise Bad(HUNG, args[0]) from None
    if crashed(done.returncode):
        raise Bad(CRASHED, "%s: status %d" % (args[0], done.returncode))
    return done


class Served:
    """A server, or why it refused."""

    def __init__(self, data, args):
        self.server = e2e.Server(e2e.BINARY, data, args)
        self.refusal = None
        try:
            self.server.wait_listening({"ws"}, 10)
        except AssertionError:
            self.read_refusal(data)

    def read_refusal(self, data):
        try:
            status = self.server.wait(2)
        except subprocess.TimeoutExpired:
            self.server.kill()
            raise Bad(HUNG, "start") from None
        self.refusal = self.server.log_text()
        if crashed(status):
            raise Bad(CRASHED, "start: status %d" % status)
        lines = self.refusal.strip().splitlines()
        if status != 1 or len(lines) != 1 or str(data) not in lines[0]:
            raise Bad(RUDE, "status %d: %s" % (status, self.refusal))

    def check_alive(self):
        status = self.server.process.poll()
        if status is not None:
            raise Bad(CRASHED, "server: status %d\n%s"
                      % (status, self.server.log_text()[-2000:]))

    def ask(self, tokens):
        """{token: answer}; None where the connection ended instead."""
        answers, left = {}, list(tokens)
        while left:
            got = self.ask_until_close(left)
            for tok, answer in zip(left, got):
                answers[tok] = answer
            if len(got) < len(left):
                answers[left[len(got)]] = None
            left = left[len(got) + 1:]
            self.check_alive()
        return answers

    def ask_until_close(self, tokens):
        got = []
        try:
            client = wsraw.Client.connect(
                ("127.0.0.1", self.server.plain_port), timeout=10)
            with client:
                client.upgrade(host=self.server.host(False))
                for tok in tokens:
                    client.send_quietly(wsraw.frame(wsraw.TEXT, json.dumps(
                        {"type": "token_auth", "payload": {"token": tok}})))
                while len(got) < len(tokens):
                    frame = client.read_frame()
                    if frame.opcode == wsraw.CLOSE:
                        break
                    if frame.opcode == wsraw.TEXT:
                        got.append(json.loads(frame.payload))
        except TimeoutError:
            self.check_alive()
            raise Bad(HUNG, "a login\n" + self.server.log_text()) from None
        except (OSError, EOFError):
            time.sleep(0.05)  # it may be dying
            self.check_alive()
        return got

    def stop(self):
        self.server.signal(signal.SIGTERM)
        try:
            status = self.server.wait(15)
        except subprocess.TimeoutExpired:
            self.server.kill()
            raise Bad(HUNG, "SIGTERM") from None
        if crashed(status):
            raise Bad(CRASHED, "end: status %d" % status)

    def end(self):
        if self.server.process.poll() is None:
            self.server.kill()


# The store that is damaged

def log_in_many(served, tokens):
    for at in range(0, len(tokens), 250):
        answers = served.ask(tokens[at:at + 250])
        assert all(answers.values()), "the store to damage is not sound"


def make_base(folder):
    """
    folder/base: tokens, last uses of imports and of a fold, and a journal
    with records of one and of several pages; folder/*.mdb: states before.
    """
    data = folder / "base"
    data.mkdir(mode=0o700)
    rng = random.Random(1)
    tokens = list(NAMES)
    rng.shuffle(tokens)
    half = len(tokens) // 2
    for part in (tokens[:half], tokens[half:]):
        e2e.import_rows(data, [
            e2e.row(t, NAMES[t],
                         last_used_at="2026-01-01 00:00:00" if i % 2 else "")
            for i, t in enumerate(part)])
        shutil.copy(data / "store.mdb", folder / ("%s.mdb" % part[0]))
    served = Served(data, options())
    try:
        log_in_many(served, tokens[:2000])
        shutil.copy(data / "store.mdb", folder / "before-fold.mdb")
        time.sleep(11.5)  # idle for ten seconds: it folds
        log_in_many(served, tokens[1500:2300])
        for tok in tokens[2300:2330]:
            served.ask([tok])
        served.stop()
    finally:
        served.end()
    (data / "store.mdb-lock").unlink()
    uses = {key: line["last_used_at"]
            for key, line in e2e.export_rows(data).items()}
    (folder / "uses.json").write_text(json.dumps(uses))
    (data / "store.mdb-lock").unlink()
    return data


def tokens_on(data, pages):
    """Tokens whose key lies on one of these pages."""
    found = []
    for start in pages:
        for at in range(start, start + damage.PAGE - 32, 2):
            tok = TOKEN_OF.get(bytes(data[at:at + 32]))
            if tok is not None:
                found.append(tok)
    return found


def changed_pages(before, after):
    size, step = min(len(before), len(after)), damage.PAGE
    return [at for at in range(0, size, step)
            if before[at:at + step] != after[at:at + step]]


# One case

class Case:
    def __init__(self, folder, number):
        self.rng = random.Random(number)
        self.number = number
        kinds = list(damage.KINDS)
        self.kind = kinds[number % len(kinds)]
        self.before = (folder / "base" / "store.mdb").read_bytes()
        self.after = bytearray(self.before)
        old = self.rng.choice(sorted(folder.glob("*.mdb"))).read_bytes()
        self.text = damage.KINDS[self.kind](self.rng, self.after, old)
        self.data = pathlib.Path(tempfile.mkdtemp(dir=folder))
        self.uses = json.loads((folder / "uses.json").read_text())
        self.losses = 0  # of tokens and of last uses
        self.gone = set()  # revoked or deleted
        self.is_reported = False

    def prepare(self, folder):
        shutil.copytree(folder / "base" / "tls", self.data / "tls")
        (self.data / "store.mdb").write_bytes(self.after)
        if self.rng.random() < 0.1:  # with nobody in it, it means nothing
            (self.data / "store.mdb-lock").write_bytes(
                self.rng.randbytes(self.rng.choice([0, 100, 8192])))

    def pick(self, count):
        """Half of them where the damage is."""
        near = tokens_on(self.before, changed_pages(self.before, self.after))
        self.rng.shuffle(near)
        picked = near[:count // 2]
        rest = [t for t in NAMES if t not in picked]
        return [*picked, *self.rng.sample(rest, count - len(picked)),
                *self.gone]

    def judge(self, answers):
        for tok, answer in answers.items():
            wanted = {"type": "auth_success",
                      "payload": {"username": NAMES.get(tok), "token": tok}}
            if tok in self.gone.union(UNKNOWN):
                if answer not in (None, FAILURE):
                    raise Bad(WRONG, "an unknown token: %r" % answer)
            elif tok in NAMES and answer != wanted:
                if answer not in (None, FAILURE):
                    raise Bad(WRONG, "%r in place of %r" % (answer, wanted))
                self.losses += 1

    def check_export(self):
        done = command("export", "--data", str(self.data))
        reader = csv.DictReader(io.StringIO(done.stdout, newline=""))
        rows = {line["token_sha256"]: line for line in reader}
        for key, line in rows.items():
            name = line["username"]
            if BY_HASH.get(key, name) != name or (
                    key not in BY_HASH and key != e2e.hash_of(ADDED)):
                raise Bad(WRONG, "export: %s has the name %s" % (key, name))
            self.losses += line["last_used_at"] < self.uses.get(key, "")
        self.losses += len(BY_HASH.keys() - rows.keys())
        self.is_reported |= done.returncode == 1 and bool(done.stderr.strip())

    def import_one(self):
        path = self.data / "one.csv"
        e2e.write_csv(path, [e2e.row(
            ADDED, "added", last_used_at="2026-02-02 00:00:00")])
        done = command("import", "--data", str(self.data), str(path))
        if done.returncode == 1:
            self.losses += 1
            self.is_reported |= "store.mdb" in done.stderr
        return done.returncode == 0

    def token(self, name, *args, stdin=None):
        """A token command: it works, or it says in a line why not."""
        done = command("token", name, "--data", str(self.data), *args,
                       stdin=stdin)
        lines = done.stderr.splitlines()
        if len(lines) != done.returncode:
            raise Bad(RUDE, "token %s: status %d: %s" % (
                name, done.returncode, done.stderr))
        if done.returncode != 0:
            self.losses += 1
            self.is_reported = True
        return done

    def list_tokens(self):
        for line in self.token("list", "--json").stdout.split("\n")[:-1]:
            line = json.loads(line)
            key, name = line["token_sha256"], line["username"]
            if line["state"] == "damaged":
                self.losses += 1
            elif name != BY_HASH.get(key, "added"):
                raise Bad(WRONG, "list: %s has the name %s" % (key, name))

    def change_tokens(self):
        """Two near the damage, two elsewhere."""
        for tok in self.pick(4):
            name = self.rng.choice(["revoke", "delete"])
            done = self.token(name, "-", stdin=tok)
            if done.returncode == 0:
                self.gone.add(tok)
        done = self.token("add", "--username", "added")
        if done.returncode == 0:
            shown = self.token("show", "--json", "-", stdin=done.stdout)
            if json.loads(shown.stdout)["username"] != "added":
                raise Bad(WRONG, "a new token: " + shown.stdout)
        self.token("purge", "--expired-before", "1d")

    def serve(self, args, count):
        served = Served(self.data, args)
        try:
            if served.refusal is not None:
                return False
            self.judge(served.ask(self.pick(count) + UNKNOWN))
            if count == LOGINS:
                self.check_export()
                self.import_one()
                self.list_tokens()
                self.change_tokens()
            served.stop()
            self.is_reported |= "level=error" in served.server.log_text()
        finally:
            served.end()
        return True

    def verify(self):
        """Is it sound? Asked in both ways, which have to agree."""
        there = command("verify", "--data", str(self.data))
        alone = command("verify", str(self.data / "store.mdb"))
        if there.returncode != alone.returncode:
            raise Bad(BLIND, "verify: %s%s" % (there.stderr, alone.stderr))
        return there.returncode == 0

    def back_up(self, is_sound):
        path = str(self.data / "backup")
        made = command("backup", "--data", str(self.data), path)
        if (made.returncode == 0) != is_sound or not is_sound and (
                os.path.exists(path) or len(made.stderr.splitlines()) != 1):
            raise Bad(BLIND, "backup: %s" % made.stderr)
        command("backup", "--data", str(self.data), "--salvage", "--force",
                path)
        if os.path.exists(path) and command("verify", path).returncode != 0:
            raise Bad(BLIND, "the salvaged copy is damaged")

    def run(self, args):
        is_sound = self.verify()
        self.back_up(is_sound)
        outcome = self.run_server(args)
        if is_sound and outcome not in (WHOLE, UNNOTICED):
            raise Bad(BLIND, outcome)
        return outcome

    def run_server(self, args):
        if not self.serve(args, LOGINS):
            command("export", "--data", str(self.data))
            tried = [self.token("list"), self.token("revoke", "0" * 12),
                     self.token("add", "--username", "x")]
            if self.import_one() or any(x.returncode == 0 for x in tried):
                return RUDE
            return REFUSED
        if not self.serve(args, AGAIN):
            return REFUSED_LATER
        if self.losses == 0:
            return WHOLE
        return ISOLATED if self.is_reported else UNNOTICED


def run_case(job):
    folder, number, args = job
    case = Case(folder, number)
    try:
        case.prepare(folder)
        outcome, text = case.run(args), ""
    except Bad as bad:
        outcome, text = bad.args
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / ("case-%d.mdb" % number)).write_bytes(case.after)
    finally:
        shutil.rmtree(case.data, ignore_errors=True)
    return case.number, case.kind, outcome, "%s: %s" % (case.text, text)


def run_cases(numbers, jobs=2, say=lambda result: None):
    """[(number, kind, outcome, text)] of these cases."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="corrupt-"))
    results = []
    try:
        make_base(folder)
        work = [(folder, number, options()) for number in numbers]
        with multiprocessing.Pool(jobs) as pool:
            for result in pool.imap_unordered(run_case, work):
                results.append(result)
                say(result)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return results


def table(results):
    counts = collections.Counter((kind, out) for _, kind, out, _ in results)
    shown = [o for o in OUTCOMES if o not in BAD
             or any(out == o for _, _, out, _ in results)]
    lines = [("kind", "cases", *shown, "bad")]
    for kind in [*damage.KINDS, None]:
        row = [sum(n for (k, out), n in counts.items()
                   if kind in (None, k) and out == o) for o in shown]
        bad = sum(n for (k, out), n in counts.items()
                  if kind in (None, k) and out in BAD)
        cases = sum(n for (k, _), n in counts.items() if kind in (None, k))
        lines.append((kind or "all", cases, *row, bad))
    widths = [max(len(str(x)) for x in column) for column in zip(*lines)]
    return "\n".join("  ".join(
        str(x).ljust(w) if i == 0 else str(x).rjust(w)
        for i, (x, w) in enumerate(zip(line, widths))) for line in lines)


def main():
    parser = argparse.ArgumentParser(description="damaged databases")
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()

    def say(result):
        if result[2] in BAD or args.verbose:
            print("case %d: %s: %s: %s" % result, flush=True)

    begin = time.monotonic()
    results = run_cases(range(args.first, args.first + args.cases),
                        args.jobs, say)
    print(table(results))
    print("%d cases in %.0f s" % (len(results), time.monotonic() - begin))
    return 1 if any(out in BAD for _, _, out, _ in results) else 0


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main())
