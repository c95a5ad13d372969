"""
A real PostgreSQL writes the CSV, the real binary imports it, every player
logs in over wss under the name that the database holds.

The cluster is private: its own directory, a Unix socket, no TCP. Run as a
script, this file writes tests/e2e/data/postgres_tokens.csv anew.
"""

import contextlib
import glob
import importlib.util
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import tempfile
import time

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
E2E = REPO / "tests" / "e2e"
COMMITTED = E2E / "data" / "postgres_tokens.csv"
EXPECTED = E2E / "data" / "postgres_tokens.json"

sys.path.insert(0, str(E2E))
import logins  # noqa: E402 (beside the path it needs)


def load_support():
    """tests/e2e/conftest.py under a name of its own."""
    spec = importlib.util.spec_from_file_location("e2e_support",
                                                  E2E / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


e2e = load_support()

COPY = (r"\copy (select t.token, u.username, t.created_at, t.expires_at,"
        " t.last_used_at, t.is_revoked from auth_tokens t join users u"
        " on u.id = t.user_id order by t.token) to 'tokens.csv' csv header")

TABLES = """
create table users (
    id serial primary key, username text not null, email text);
create table auth_tokens (
    id serial primary key, user_id integer not null references users,
    token uuid not null unique, created_at {time} not null default now(),
    expires_at {time}, last_used_at {time},
    is_revoked boolean not null default false, ip_address inet);
"""

NAMES = [
    "jane.doe", 'double"quote', '"quoted"', '""', "it's", "comma, name", ",",
    "new\nline", "\n", "carriage\r\nreturn", "cr\ralone", "{braces}", "}{",
    '{"type":"auth_success"}', "back\\slash", "\\N", "\\.", "\n\\.\n", "NULL",
    "null", " leading", "trailing ", " ", "\t", "\u00a0", "\u200b", "t", "0",
    "Zoë", "日本語", "\U0001f600", "e\u0301", "\u202eright to left", "\u0001",
    "\u007f", ";semicolon;", "#", "--", "=1+1", "a" * 255, "é" * 127,
    "\ufeffmark",
]


def test_token(number):
    return "00000000-0000-4000-8000-0000000000%02x" % number


test_token.__test__ = False


def literal(text):
    return "NULL" if text is None else "'%s'" % text.replace("'", "''")


def insert(token, name, **times):
    """SQL for one player; times: created_at, expires_at, …"""
    columns = ["user_id", "token", *times]
    values = ["(select id from u)", literal(token),
              *(literal(value) for value in times.values())]
    return ("with u as (insert into users (username) values (%s) returning id)"
            " insert into auth_tokens (%s) values (%s);\n"
            % (literal(name), ", ".join(columns), ", ".join(values)))


def awkward_players():
    """(SQL, {token: username, or None where no login may work})"""
    created = "2026-11-24 08:20:05.448196"
    sql, expected = "", {}
    for number, name in enumerate(NAMES, 1):
        expected[test_token(number)] = name
        sql += insert(test_token(number), name, created_at=created,
                      expires_at="2099-12-31 23:59:59")
    special = {
        "never": ({"expires_at": None}, True),
        "infinity": ({"expires_at": "infinity"}, True),
        "whole second": ({"created_at": "2026-11-24 08:20:05"}, True),
        "short fraction": ({"last_used_at": "2026-11-25 09:00:00.5"}, True),
        "expired": ({"expires_at": "2020-01-01 00:00:00.1"}, False),
        "expired long ago": ({"expires_at": "0001-01-01 00:00:00"}, False),
        "expires at zero": ({"expires_at": "1970-01-01 00:00:00"}, False),
        "last of all": ({"expires_at": "9999-12-31 23:59:59.999999"}, True),
        "revoked": ({"is_revoked": "true"}, False),
    }
    for number, (name, (columns, works)) in enumerate(special.items(), 0x80):
        expected[test_token(number)] = name if works else None
        sql += insert(test_token(number), name,
                      **{"created_at": created, **columns})
    return sql, expected


# A private cluster

def programs():
    """The directory of initdb and postgres; installs the package if absent."""
    def find():
        found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
        return os.path.dirname(max(found)) if found else None

    if find() is None and os.getuid() == 0 and shutil.which("apt-get"):
        apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        quiet = {"stdout": subprocess.DEVNULL, "env": env}
        subprocess.run([*apt, "update"], **quiet)
        subprocess.run([*apt, "install", "-y", "--no-install-recommends",
                        "postgresql"], **quiet)
    return find()


class Cluster:
    """A running PostgreSQL in `folder`; its superuser is `owner`."""

    def __init__(self, folder):
        self.folder = folder
        self.bin = programs()
        if self.bin is None:
            raise RuntimeError("it is not installed and cannot be")
        # It refuses to run as root; Debian's package brings a user.
        self.user = {}
        if os.getuid() == 0:
            account = pwd.getpwnam("postgres")
            self.user = {"user": account.pw_uid, "group": account.pw_gid,
                         "extra_groups": []}
            os.chown(folder, account.pw_uid, account.pw_gid)
        self.process = None

    def tool(self, name, *args):
        return [os.path.join(self.bin, name), *args]

    def start(self):
        done = subprocess.run(
            self.tool("initdb", "-D", self.folder + "/db", "-U", "owner",
                      "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8",
                      "--no-sync"),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            cwd="/", **self.user)
        if done.returncode != 0:
            raise RuntimeError("initdb: " + done.stdout.strip())
        with open(self.folder + "/log", "w") as log:
            self.process = subprocess.Popen(
                self.tool("postgres", "-D", self.folder + "/db", "-k",
                          self.folder, "-c", "listen_addresses=",
                          "-c", "fsync=off"),
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/",
                **self.user)
        self.wait_ready()

    def wait_ready(self):
        end = time.monotonic() + 30
        ready = self.tool("pg_isready", "-q", "-h", self.folder)
        while subprocess.run(ready).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > end:
                log = pathlib.Path(self.folder, "log").read_text()
                raise RuntimeError("it does not start: " + log.strip())
            time.sleep(0.05)

    def stop(self):
        if self.process is not None:
            self.process.send_signal(2)  # SIGINT: a fast shutdown
            self.process.wait(30)

    def psql(self, *args, database="postgres", stdin=None, cwd="/"):
        done = subprocess.run(
            self.tool("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h",
                      self.folder, "-U", "owner", "-d", database, *args),
            input=stdin, encoding="utf-8", stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, cwd=cwd,
            env={**os.environ, "PGCLIENTENCODING": "UTF8"})
        assert done.returncode == 0, done.stdout

    def export(self, database, sql, folder, zone=None):
        """The bytes of tokens.csv: sql filled in, COPY run in folder."""
        time_type = "timestamp" if zone is None else "timestamptz"
        self.psql("-c", f"create database {database}")
        self.psql(database=database, stdin=TABLES.format(time=time_type))
        self.psql(database=database, stdin=sql)
        setting = ["-c", f"set timezone to '{zone}'"] if zone else []
        self.psql(*setting, "-c", COPY, database=database, cwd=folder)
        return pathlib.Path(folder, "tokens.csv").read_bytes()


@contextlib.contextmanager
def running_cluster():
    folder = tempfile.mkdtemp(prefix="pg-")
    cluster = None
    try:
        cluster = Cluster(folder)
        cluster.start()
        yield cluster
    finally:
        if cluster is not None:
            cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


# The tests

@pytest.fixture(scope="module")
def cluster():
    with contextlib.ExitStack() as stack:
        try:
            cluster = stack.enter_context(running_cluster())
        except (RuntimeError, KeyError, OSError) as reason:
            pytest.skip("PostgreSQL: %s" % reason)
        yield cluster


@pytest.fixture
def start():
    """Imports a file and serves what came of it."""
    keeper = e2e.Keeper()

    def import_and_serve(path, rows):
        data = keeper.directory()
        done = e2e.run("import", "--data", data, path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == e2e.summary(path, created=rows)
        return keeper.start(rows=None, data=data, plain=False)

    yield import_and_serve
    keeper.finish()


def test_awkward_usernames(cluster, start, tmp_path):
    sql, expected = awkward_players()
    cluster.export("awkward", sql, tmp_path)
    server = start(tmp_path / "tokens.csv", len(expected))
    logins.expect_logins(server, expected)


def test_committed_output_is_real(cluster, tmp_path):
    """tests/e2e/data holds what this PostgreSQL writes."""
    sql, expected = awkward_players()
    assert cluster.export("committed", sql, tmp_path) == \
        COMMITTED.read_bytes()
    assert json.loads(EXPECTED.read_text(encoding="utf-8")) == expected


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns",
                                  "Pacific/Kiritimati", "Pacific/Marquesas"])
def test_time_zones(cluster, start, tmp_path, zone):
    """timestamptz: twenty minutes on each side of an expiry."""
    now = time.time()

    def moment(minutes):
        at = time.gmtime(now + 60 * minutes)
        return time.strftime("%Y-%m-%d %H:%M:%S.25+00", at)

    sql = (insert(test_token(1), "soon", expires_at=moment(20))
           + insert(test_token(2), "gone", expires_at=moment(-20))
           + insert(test_token(3), "of 1850", created_at="1850-01-01 00:00+00",
                    expires_at="infinity")
           + insert(test_token(4), "never was", created_at="-infinity",
                    expires_at="-infinity"))
    database = zone.replace("/", "_").lower()
    text = cluster.export(database, sql, tmp_path, zone).decode()
    assert ".25+" in text or ".25-" in text
    server = start(tmp_path / "tokens.csv", 4)
    logins.expect_logins(server, {test_token(1): "soon", test_token(2): None,
                                  test_token(3): "of 1850",
                                  test_token(4): None})


@pytest.mark.parametrize("column, value, reason", [
    ("expires_at", "10000-01-01 00:00:00", "year outside 0001 to 9999"),
    ("created_at", "infinity", "infinity is not possible here"),
    ("created_at", "0044-03-15 12:00:00 BC",
     "years before Christ are not supported")])
def test_times_that_are_refused(cluster, tmp_path, column, value, reason):
    database = "refused_" + "".join(filter(str.isalnum, value.lower()))
    sql = insert(test_token(1), "jane.doe", **{"created_at": "2026-01-01",
                                               column: value})
    cluster.export(database, sql, tmp_path)
    keeper = e2e.Keeper()
    done = e2e.run("import", "--data", keeper.directory(),
                   tmp_path / "tokens.csv")
    keeper.finish()
    assert done.returncode == 1 and done.stdout == ""
    assert "tokens.csv:2:" in done.stderr
    assert f": column {column}: {reason}\n" in done.stderr


def write_committed():
    sql, expected = awkward_players()
    with running_cluster() as cluster, \
            tempfile.TemporaryDirectory() as folder:
        COMMITTED.parent.mkdir(exist_ok=True)
        COMMITTED.write_bytes(cluster.export("committed", sql, folder))
    EXPECTED.write_text(json.dumps(expected, ensure_ascii=True, indent=1)
                        + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_committed()
