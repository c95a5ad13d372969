"""kill -9, of the server and of imports, at any moment."""

import json
import os
import shutil
import subprocess
import time

import pytest

import e2e
import faults

KILLS = faults.size("FAULT_KILLS", 50)


class Ground:
    """A directory that servers are killed on, and what it has to hold."""

    def __init__(self, big_store, folder):
        self.big_store, self.folder = big_store, folder
        self.tokens = big_store.tokens
        self.begin_anew()

    def begin_anew(self):
        self.uses = self.big_store.copy_to(self.folder)


def killed_at_start(ground, rng):
    """It may not have got as far as listening."""
    server = e2e.Server(e2e.BINARY, ground.folder,
                        ["--listen", "127.0.0.1:0"])
    time.sleep(rng.uniform(0, 0.06))
    server.kill()


def killed_under_load(ground, rng, server_factory):
    """Five players, two over TLS. returns: the number of answers"""
    server = server_factory(data=ground.folder, rows=None)
    share = len(ground.tokens) // 5
    players = [faults.Player(server, ground.tokens[i * share:(i + 1) * share],
                             tls=i < 2, depth=rng.choice((1, 8, 40, 100)),
                             rng=rng) for i in range(5)]
    for player in players:
        player.start()
    time.sleep(rng.uniform(0.02, 0.5))
    server.kill()
    for player in players:
        player.end()
        ground.uses.update(player.acknowledged)
    for trouble in ("damaged", "fold_failed", "commit_failed"):
        assert trouble not in server.log_text()
    return sum(player.answers for player in players)


@pytest.mark.limit(90 + 2 * KILLS)
def test_server_killed_under_load(server_factory, big_store, data_dir):
    """One directory, killed on again and again; now and then it is replaced
    by one that is about to fold its journal."""
    rng = faults.chance("kill")
    ground = Ground(big_store, data_dir)
    answers = 0
    with faults.Cases("kill -9 of the server") as cases:
        for number in range(KILLS):
            if rng.random() < 0.3:
                ground.begin_anew()
            cases.case()
            if rng.random() < 0.1:
                killed_at_start(ground, rng)
            else:
                answers += killed_under_load(ground, rng, server_factory)
            rows = faults.check_uses(data_dir, ground.uses, cases,
                                     "kill %d" % number)
            if rows is not None and rows != len(ground.tokens):
                cases.blame("lost", "kill %d: %d records" % (number, rows))
    print("%d kills, %d answers" % (KILLS, answers))
    assert answers > 10 * KILLS, "hardly any load: %d" % answers


# Imports

IMPORTED, BEFORE = 12000, 500


def begin_import(folder, path):
    return subprocess.Popen(
        [str(e2e.BINARY), "import", "--data", str(folder), str(path)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env=e2e.child_env())


def imported_rows(folder, cases, where):
    """0, where the store does not exist either."""
    if not (folder / "store.mdb").exists():
        return 0
    return faults.check_uses(folder, {}, cases, where)


def kill_import(folder, path, delay):
    """returns: its exit status, None when it was killed"""
    process = begin_import(folder, path)
    try:
        return process.wait(delay)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


def whole_import(folder, path):
    """returns: the seconds that it takes, when it is left alone"""
    begin = time.monotonic()
    assert begin_import(folder, path).wait(30) == 0
    return time.monotonic() - begin


@pytest.mark.limit(60 + 2 * KILLS)
@pytest.mark.parametrize("kind", ["new store", "old store", "live server"])
def test_import_killed(server_factory, data_dir, kind):
    """Afterwards there are all of its rows or none, and who is served
    meanwhile does not notice."""
    rng = faults.chance("import " + kind)
    path = data_dir / "tokens.csv"
    e2e.write_csv(path, [e2e.row(e2e.token(0x20000 + i), "imported")
                         for i in range(IMPORTED)])
    first = e2e.fresh_directory()
    usual = whole_import(first, path)
    outcome = {"none": 0, "all": 0}
    with faults.Cases("kill -9 of import, " + kind) as cases:
        for number in range(-(-KILLS // 3)):
            cases.case()
            folder = data_dir / ("d%d" % number)
            os.mkdir(folder, 0o700)
            one_import(Moment(kind, folder, path, rng.uniform(0, 1.3 * usual)),
                       server_factory, cases, outcome)
            shutil.rmtree(folder)
    shutil.rmtree(first)
    print(kind, outcome)


class Moment:
    def __init__(self, kind, folder, path, delay):
        self.kind, self.folder = kind, folder
        self.path, self.delay = path, delay
        self.before = 0 if kind == "new store" else BEFORE


def one_import(m, server_factory, cases, outcome):
    server = None
    where = "%s, killed after %.4f s" % (m.folder.name, m.delay)
    if m.before:
        e2e.import_rows(m.folder, [e2e.row(e2e.token(i), "before")
                                   for i in range(BEFORE)])
    if m.kind == "live server":
        server = server_factory(data=m.folder, rows=None)
    status = kill_import(m.folder, m.path, m.delay)
    rows = imported_rows(m.folder, cases, where)
    if rows is None:
        return
    if rows not in (m.before, m.before + IMPORTED):
        cases.blame("wrong", "%s: %d rows" % (where, rows))
    if status == 0 and rows != m.before + IMPORTED:
        cases.blame("lost", "%s: it said 0, %d rows" % (where, rows))
    outcome["none" if rows == m.before else "all"] += 1
    if server:
        begin = time.time()
        server.open(token=e2e.token(7)).close()
        faults.check_uses(m.folder, {e2e.token(7): begin}, cases, where)
        server.kill()
    if begin_import(m.folder, m.path).wait(30) != 0:
        cases.blame("wrong", where + ": it cannot be repeated")
    elif imported_rows(m.folder, cases, where) != m.before + IMPORTED:
        cases.blame("wrong", where + ": repeated, and rows are missing")


@pytest.mark.limit(60 + 2 * KILLS)
def test_import_killed_again_and_again(server_factory, data_dir, tmp_path):
    """Beside one server, also while it deletes what the last one has left:
    its rows count all or not at all."""
    rng = faults.chance("import, again and again")
    path = tmp_path / "tokens.csv"
    e2e.write_csv(path, [e2e.row(e2e.token(0x20000 + i), "imported")
                         for i in range(IMPORTED)])
    server = server_factory(data=data_dir, rows=[
        e2e.row(e2e.token(i), "before") for i in range(BEFORE)])
    delete = ["token", "delete", "--data", data_dir, "--user", "imported"]
    usual = whole_import(data_dir, path)
    e2e.run(*delete, timeout=60)
    outcome = {"none": 0, "all": 0}
    with faults.Cases("kill -9 of import, again and again") as cases:
        for number in range(-(-KILLS // 3)):
            cases.case()
            kill_import(data_dir, path, rng.uniform(0, usual))
            rows = json.loads(e2e.run("verify", "--data", data_dir,
                                      "--json").stdout)["tokens"]
            if rows not in (BEFORE, BEFORE + IMPORTED):
                cases.blame("wrong", "kill %d: %d rows" % (number, rows))
            outcome["none" if rows == BEFORE else "all"] += 1
            if rows != BEFORE:
                e2e.run(*delete, timeout=60)
        server.open(token=e2e.token(7)).close()
    print(outcome)
    assert outcome["none"] > 0
