"""What the server has given up before it serves, seen from outside."""

import os
import re
import shutil
import signal
import struct
import time

import pytest

from conftest import (BINARY, SECOND, VALID, import_rows, last_used, row,
                      run, token, wait_until)
from test_durability import Strace, needs_strace
from test_lifecycle import make_pair, served

needs_root = pytest.mark.skipif(os.getuid() != 0,
                                reason="needs root to become another user")
SERVE = ("--listen", "127.0.0.1:0")


def statuses(server):
    """/proc's status of each thread, as a dict."""
    found = []
    for task in os.listdir("/proc/%d/task" % server.pid):
        with open("/proc/%d/task/%s/status" % (server.pid, task),
                  encoding="utf-8") as lines:
            found.append(dict(re.split(r":\s*", line.rstrip("\n"), maxsplit=1)
                              for line in lines))
    return found


def sandbox_line(server):
    return server.wait_log(r"event=sandbox seccomp=(\w+) landlock=(\w+)"
                           r" user=([\d:]+)").groups()


def kernel_has_seccomp():
    with open("/proc/self/status", encoding="utf-8") as status:
        return "Seccomp:" in status.read()


needs_seccomp = pytest.mark.skipif(not kernel_has_seccomp(),
                                   reason="no seccomp in this kernel")


@needs_seccomp
def test_every_thread_is_held(server_factory):
    server = server_factory()
    seccomp, _, user = sandbox_line(server)
    assert seccomp == "yes"
    assert user == "%d:%d" % (os.getuid(), os.getgid())
    found = statuses(server)
    assert len(found) == 2, "a loop and a committer"
    for status in found:
        assert status["Seccomp"] == "2"
        assert status["NoNewPrivs"] == "1"


def test_held_before_it_listens(server_factory):
    log = server_factory().log_text()
    assert 0 < log.index("event=sandbox ") < log.index("event=listening ")


@needs_seccomp
@needs_strace
def test_forbidden_call_kills(server_factory):
    """strace turns a read of the loop into a call that is not listed."""
    server = server_factory()
    server.open(token=VALID).close()
    with Strace(server, ["recvfrom:syscall=getegid:retval=0:when=1"]):
        server.connect(tls=False).send(b"GET")
        assert server.wait(5) == -signal.SIGSYS
    assert last_used(server.data, VALID)


@needs_seccomp
@needs_strace
def test_forbidden_call_of_the_committer_kills(server_factory):
    server = server_factory()
    with server.open(tls=False) as client, Strace(
            server, ["fdatasync:syscall=getegid:retval=0:when=1"]):
        client.send_json({"type": "token_auth", "payload": {"token": VALID}})
        assert server.wait(5) == -signal.SIGSYS


@needs_strace
def test_kernel_without_any_of_it(server_factory):
    """It says so, once for each, and serves."""
    server = server_factory(wrap=(
        "strace", "-D", "-f", "-qq", "-o", os.devnull, "-e",
        "inject=seccomp,landlock_create_ruleset:error=ENOSYS", "-e",
        "trace=seccomp,landlock_create_ruleset"))
    assert sandbox_line(server)[:2] == ("no", "no")
    assert server.log_text().count("event=sandbox_incomplete") == 2
    server.open(token=VALID).close()
    assert all(s["NoNewPrivs"] == "1" for s in statuses(server))


def test_stop_and_go(server_factory):
    """A wait that was interrupted goes on by a call of its own."""
    server = server_factory()
    with server.open(token=VALID) as client:
        for _ in range(3):
            server.signal(signal.SIGSTOP)
            time.sleep(0.1)
            server.signal(signal.SIGCONT)
            client.expect_alive()


# --user

def owned_by(folder, uid, gid):
    folder.chmod(0o700)
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, uid, gid)


@needs_root
def test_user(server_factory, data_dir):
    import_rows(data_dir, [row(VALID, "jane.doe"), row(SECOND, "john.roe")])
    owned_by(data_dir, 4321, 1234)
    server = server_factory("--user", "4321:1234", data=data_dir, rows=None)
    assert sandbox_line(server)[2] == "4321:1234"
    for status in statuses(server):
        assert status["Uid"].split() == ["4321"] * 4
        assert status["Gid"].split() == ["1234"] * 4
        assert status["Groups"].strip() == ""
        for kind in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
            assert int(status[kind], 16) == 0, kind
    server.open(token=VALID).close()
    server.signal(signal.SIGHUP)
    server.wait_log("(?s)event=certificate .*event=certificate ")
    server.open(token=SECOND).close()
    server.stop()
    for path in data_dir.rglob("*"):
        found = path.stat()
        assert (found.st_uid, found.st_gid) == (4321, 1234), path


@needs_root
def test_user_gets_the_group_of_the_same_number(server_factory, data_dir):
    owned_by(data_dir, 4321, 4321)
    server = server_factory("--user", "4321", data=data_dir, rows=None)
    assert sandbox_line(server)[2] == "4321:4321"


@needs_root
def test_user_has_what_root_bound(server_factory, data_dir):
    """Port 443 is for root, so the addresses come first."""
    owned_by(data_dir, 4321, 4321)
    server = server_factory("--user", "4321", data=data_dir, rows=None,
                            listen="127.4.3.2:443", plain=False)
    assert server.port == 443


@needs_root
def test_memory_of_the_user_is_its_own(server_factory, data_dir):
    """A change of user must not make the process readable again."""
    if not shutil.which("setpriv"):
        pytest.skip("needs setpriv")
    owned_by(data_dir, 4321, 4321)
    server = server_factory("--user", "4321", data=data_dir, rows=None)
    result = run("-c", "head -c 1 /proc/%d/auxv" % server.pid, binary="/bin/sh",
                 wrap=("setpriv", "--reuid=4321", "--regid=4321",
                       "--clear-groups"))
    assert result.returncode != 0 and "denied" in result.stderr


@needs_root
def test_directory_that_the_user_may_not_write(data_dir):
    result = run("--data", data_dir, "--user", "4321:1234", *SERVE)
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and "chown -R 4321:1234" in lines[0], lines
    assert str(data_dir) in lines[0]
    assert list(data_dir.iterdir()) == []


@needs_root
def test_store_that_root_wrote(data_dir):
    import_rows(data_dir, [row(VALID, "jane.doe")])
    os.chown(data_dir, 4321, 4321)
    result = run("--data", data_dir, "--user", "4321", *SERVE)
    assert result.returncode == 1
    assert "store.mdb" in result.stderr and "owns" in result.stderr


@needs_root
def test_user_without_root(data_dir):
    if not shutil.which("setpriv"):
        pytest.skip("needs setpriv")
    owned_by(data_dir, 4321, 4321)
    binary = shutil.copy(BINARY, data_dir / "server")
    wrap = ("setpriv", "--reuid=4321", "--regid=4321", "--clear-groups")
    result = run("--data", data_dir, "--user", "1234", *SERVE, wrap=wrap,
                 binary=binary)
    assert result.returncode == 1 and "start as root" in result.stderr


@pytest.mark.parametrize("user", ["0", "0:0", "root", "", "1:", "-1", "1:2:3",
                                  "4294967295"])
def test_bad_user(data_dir, user):
    result = run("--data", data_dir, "--user", user, *SERVE)
    assert result.returncode == 2
    assert "--user" in result.stderr


# What has to go on inside

def renewed(server, certificate):
    server.signal(signal.SIGHUP)
    wait_until(lambda: served(server) == certificate.decode().strip())


def test_certificate_renewed_by_rename(server_factory, tmp_path):
    first = make_pair(tmp_path, "live")[0]
    cert, key = tmp_path / "live.pem", tmp_path / "live.key"
    server = server_factory("--cert", cert, "--key", key)
    assert served(server) == first.decode().strip()
    second = make_pair(tmp_path, "next")[0]
    (tmp_path / "next.key").rename(key)
    (tmp_path / "next.pem").rename(cert)
    renewed(server, second)


@pytest.mark.parametrize("linked", ["files", "directory"])
def test_certificate_renewed_by_a_link(server_factory, tmp_path, linked):
    """As certbot has it (links to files), and as deployments do."""
    pairs = []
    for number in "12":
        folder = tmp_path / "archive" / number
        folder.mkdir(parents=True)
        pairs.append(make_pair(folder, "live")[0])
    live = tmp_path / "live"

    def point_at(number):
        target = tmp_path / "archive" / number
        if linked == "directory":
            live.unlink(missing_ok=True)
            live.symlink_to(target)
            return
        live.mkdir(exist_ok=True)
        for name in ("live.pem", "live.key"):
            (live / name).unlink(missing_ok=True)
            (live / name).symlink_to(tmp_path / "archive" / (number + name))

    if linked == "files":
        for number in "12":
            for name in ("live.pem", "live.key"):
                (tmp_path / "archive" / number / name).rename(
                    tmp_path / "archive" / (number + name))
    point_at("1")
    server = server_factory("--cert", live / "live.pem",
                            "--key", live / "live.key")
    assert served(server) == pairs[0].decode().strip()
    point_at("2")
    renewed(server, pairs[1])


def test_local_certificate_is_made_anew(server_factory):
    """All of tls/ is gone: a directory, keys, renames, syncs."""
    server = server_factory()
    before = served(server)
    shutil.rmtree(server.data / "tls")
    server.signal(signal.SIGHUP)
    wait_until(lambda: served(server) != before)
    assert (server.data / "tls").stat().st_mode & 0o777 == 0o700
    server.open(token=VALID).close()


@needs_strace
def test_store_is_reopened_after_a_panic(server_factory):
    """One failed write a commit; that of the meta page, the last or nearly,
    makes LMDB refuse everything until it is opened again."""
    server = server_factory(rows=[row(token(i), "p") for i in range(10)])
    with server.open() as client:
        for nth in range(1, 10):
            mark = server.log_mark()
            inject = "pwrite64:error=EIO:when=%d" % nth
            with Strace(server, [inject]):
                answer = client.login(token(nth), 8)
                assert answer["type"] == "auth_success"
                wait_until(lambda: server.get("/ready").status == 200, 8, 0.1)
            if "store_reopened" in "".join(server.lines[mark:]):
                break
        else:
            pytest.fail("no panic:\n" + server.log_text())
        client.expect_alive()
        assert client.login(token(0), 8)["type"] == "auth_success"
    assert last_used(server.data, token(nth))


LAST_PAGE = 16 + 24 + 2 * 48  # in each of LMDB's first two pages


def raise_last_page(data, by):
    """Makes the store look larger than its file and the map, or undoes it."""
    with open(data / "store.mdb", "r+b") as file:
        for at in (LAST_PAGE, 4096 + LAST_PAGE):
            file.seek(at)
            last, = struct.unpack("<Q", file.read(8))
            file.seek(at)
            file.write(struct.pack("<Q", last + by))


def test_store_that_seems_cut_short(server_factory):
    """Checked within the sandbox, and opened once it is whole again."""
    server = server_factory()
    far = 1 << 32
    raise_last_page(server.data, far)
    with server.open() as client:
        client.send_json({"type": "token_auth", "payload": {"token": VALID}})
        assert client.read_close(8) == 1011
        server.wait_log("event=reopen_failed .*cut short")
        raise_last_page(server.data, -far)
        server.wait_log("event=store_reopened")
        server.open(token=VALID).close()
