"""
The units of dist/ under a real systemd: judged by systemd-analyze, and run by
a systemd of our own, which is process 1 of namespaces that hold nothing else.
It sees the machine's files but for /run, /var/lib, /usr/local/bin, /etc/passwd
and the control groups; all it starts ends with it.
"""

import os
import pathlib
import re
import shutil
import ssl
import stat
import subprocess
import textwrap
import time
import urllib.request

import pytest

import e2e
import wsraw
from crowd import Player, wait_for_logins
from engine import free_port

REPO = pathlib.Path(__file__).resolve().parents[2]
UNITS = ["openchampps.service", "openchampps.socket"]
EXPOSURE_MAX = 10  # tenths: systemd calls up to 2.0 safe
PLAYERS = [e2e.row(e2e.token(0x100 + i), "player%d" % i) for i in range(4)]


def quiet(*command, timeout=30, **options):
    return subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True,
                          timeout=timeout, **options)


# What systemd-analyze says

@pytest.fixture(scope="module")
def systemd(need):
    need(**{"systemd-analyze": "systemd"})


@pytest.fixture
def units(systemd, tmp_path):
    """The units, with the binary that is there."""
    for name in UNITS:
        text = (REPO / "dist" / name).read_text()
        (tmp_path / name).write_text(
            text.replace("/usr/local/bin/openchampps", str(e2e.BINARY)))
    return tmp_path


@pytest.mark.parametrize("name", UNITS)
def test_unit_is_valid(units, name):
    done = quiet("systemd-analyze", "verify", "--man=no", str(units / name))
    assert (done.returncode, done.stdout) == (0, "")


def test_unit_exposes_little(units):
    done = quiet("systemd-analyze", "security", "--offline=true",
                 "--threshold=%d" % EXPOSURE_MAX,
                 str(units / "openchampps.service"))
    if "unrecognized option" in done.stdout:
        pytest.skip("this systemd-analyze cannot judge a file")
    assert done.returncode == 0, done.stdout


# Run by systemd

BOOT = """set -eu
mount --make-rprivate /
for dir in /run /var/lib /usr/local/bin /sys/fs/cgroup; do
    mount -t tmpfs tmpfs "$dir"
done
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t proc proc /proc
for file in passwd group; do
    grep -v '^openchampps:' /etc/$file >/run/$file
done
echo 'openchampps:x:989:989::/var/lib/openchampps:/bin/false' >>/run/passwd
echo 'openchampps:x:989:' >>/run/group
for file in passwd group; do mount --bind /run/$file /etc/$file; done
cp {binary} /usr/local/bin/openchampps
cp -r {units} /run/units
exec env -i PATH="$PATH" container=test SYSTEMD_UNIT_PATH=/run/units \
    {systemd} --system --unit=multi-user.target --show-status=no \
    --log-target=console
"""
METRICS = re.compile(r"    # /etc/systemd/system/(openchampps-metrics\.socket)\n"
                     r"((?:    .*\n)+)")
# The service last: it takes the sockets that are there.
STARTED = ["openchampps-metrics.socket", "openchampps.socket",
           "openchampps.service"]
TARGETS = ["sysinit", "basic", "shutdown", "sockets", "multi-user"]


class Box:
    """A systemd that knows our units and empty targets."""

    def __init__(self, folder):
        self.folder = folder
        self.port, self.metrics_port = free_port(), free_port()
        self.group = None
        self.process = None
        self.pid = None

    def write_units(self):
        units = self.folder / "units"
        units.mkdir()
        for name in UNITS:
            shutil.copy(REPO / "dist" / name, units)
            (units / (name + ".d")).mkdir()
        for name in TARGETS:
            (units / (name + ".target")).write_text(
                "[Unit]\nDefaultDependencies=no\n")
        (units / "openchampps.socket.d" / "test.conf").write_text(
            "[Socket]\nListenStream=\nListenStream=127.0.0.1:%d\n"
            % self.port)
        (units / "openchampps.service.d" / "test.conf").write_text(
            "[Service]\nStandardError=append:/run/log.txt\nWatchdogSec=2\n")
        name, text = METRICS.search(
            (REPO / "docs" / "running.md").read_text()).groups()
        assert text.count("9464") == 1
        (units / name).write_text(textwrap.dedent(text).replace(
            "9464", str(self.metrics_port)))
        return units

    def start(self):
        found = quiet("findmnt", "-n", "-o", "TARGET", "-t", "cgroup2")
        if found.returncode != 0:
            pytest.skip("this machine has no cgroup2")
        self.group = pathlib.Path(found.stdout.splitlines()[0],
                                  "openchampps-test-%d" % os.getpid())
        systemd = next((path for path in ("/lib/systemd/systemd",
                                          "/usr/lib/systemd/systemd")
                        if os.path.exists(path)), None)
        if systemd is None:
            pytest.skip("systemd is not installed")
        boot = self.folder / "boot.sh"
        boot.write_text(BOOT.format(binary=e2e.BINARY, systemd=systemd,
                                    units=self.write_units()))
        self.group.mkdir()
        enter = 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"'
        with open(self.folder / "out.txt", "wb") as out:
            self.process = subprocess.Popen(
                ["sh", "-c", enter, "sh", str(self.group), "unshare",
                 "--fork", "--kill-child", "--pid", "--mount", "--cgroup",
                 "--uts", "--ipc", "sh", str(boot)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        end = time.monotonic() + 20
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                pytest.skip("systemd does not start in a namespace: "
                            + (self.folder / "out.txt").read_text()[-500:])
            time.sleep(0.1)

    def answers(self):
        children = pathlib.Path("/proc/%d/task/%d/children"
                                % (self.process.pid, self.process.pid))
        try:
            self.pid = int(children.read_text().split()[0])
        except (IndexError, OSError):
            return False
        return self.run("systemctl", "is-active", "multi-user.target"
                        ).stdout == "active\n"

    def stop(self):
        if self.process is not None:
            self.process.kill()  # and so the systemd, and all it started
            self.process.wait(10)
        if self.group is not None and self.group.exists():
            e2e.wait_until(self.remove_groups, 10)

    def remove_groups(self):
        try:
            for path, _, _ in os.walk(self.group, topdown=False):
                os.rmdir(path)
        except OSError:
            return False  # somebody is still ending there
        return True

    def run(self, *command, **options):
        return quiet("nsenter", "-t", str(self.pid), "-m", "-p", "-C",
                     *command, **options)

    def systemctl(self, *words):
        done = self.run("systemctl", *words, timeout=40)
        assert done.returncode == 0, done.stdout + self.log()
        return done.stdout

    def show(self, name):
        return self.systemctl("show", "--value", "-p", name,
                              "openchampps.service").strip()

    def file(self, path):
        return pathlib.Path("/proc/%d/root" % self.pid, path.lstrip("/"))

    def log(self):
        path = self.file("/run/log.txt")
        return path.read_text() if path.exists() else ""

    def ssl_context(self):
        ca = self.file("/var/lib/openchampps/tls/ca.pem").read_text()
        return ssl.create_default_context(cadata=ca)

    def log_in(self, tok, context=None):
        with wsraw.Client.connect(("127.0.0.1", self.port),
                                  context or self.ssl_context()) as client:
            client.upgrade()
            return client.login(tok)["type"]


@pytest.fixture(scope="module")
def box(systemd, need, tmp_path_factory):
    if os.getuid() != 0:
        pytest.skip("namespaces need root")
    need(unshare="util-linux", nsenter="util-linux", findmnt="util-linux",
         setpriv="util-linux")
    box = Box(tmp_path_factory.mktemp("box"))
    try:
        box.start()
        yield box
        assert not e2e.TOKEN_TEXT.search(box.log()), "a token in the log"
    finally:
        box.stop()


@pytest.fixture
def service(box):
    """Started as an operator would, its players imported by its user."""
    box.systemctl("start", *STARTED)
    e2e.write_csv(box.folder / "tokens.csv", PLAYERS)
    done = box.run("setpriv", "--reuid=989", "--regid=989", "--clear-groups",
                   "/usr/local/bin/openchampps", "import", "--data",
                   "/var/lib/openchampps", "-",
                   input=(box.folder / "tokens.csv").read_text())
    assert done.returncode == 0, done.stdout
    yield box
    box.systemctl("stop", *STARTED)
    assert box.show("Result") == "success", box.log()


def main_status(box):
    """/proc's word on the process that serves."""
    pid = box.show("MainPID")
    text = box.run("cat", "/proc/%s/status" % pid).stdout
    return dict(line.split(":\t", 1) for line in text.splitlines()
                if ":\t" in line)


def test_starts_inside_its_walls(service):
    assert service.log_in(PLAYERS[0]["token"]) == "auth_success"
    status = main_status(service)
    assert set(status["Uid"].split()) == {"989"}
    assert status["NoNewPrivs"] == "1"
    assert int(status["CapBnd"], 16) == int(status["CapPrm"], 16) == 0
    assert status["Seccomp"] == "2"
    log = service.log()
    assert "seccomp=yes" in log and "user=989:989" in log
    assert "notify_failed" not in log and "few_descriptors" not in log
    folder = service.file("/var/lib/openchampps")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.rglob("*"):
        assert path.stat().st_uid == 989, path
        assert not path.stat().st_mode & 0o077 or path.name.endswith(
            ("ca.pem", "cert.pem")), path


def test_port_is_its_only_network(service):
    """The socket is systemd's; the process is in a network of its own."""
    pid = service.show("MainPID")
    assert (service.run("readlink", "/proc/%s/ns/net" % pid).stdout
            != service.run("readlink", "/proc/1/ns/net").stdout)


def test_further_socket(service):
    """That of docs/running.md, for what the process could not open."""
    url = "http://127.0.0.1:%d/metrics" % service.metrics_port
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert b"openchampps_build_info" in answer.read()


def test_reload(service):
    pid, count = service.show("MainPID"), service.log().count("certificate ")
    service.systemctl("reload", "openchampps.service")
    e2e.wait_until(lambda: service.log().count("certificate ") > count)
    e2e.wait_until(lambda: service.show("SubState") == "running")
    assert service.show("MainPID") == pid
    assert service.log_in(PLAYERS[0]["token"]) == "auth_success"


def test_restart_refuses_nobody(service):
    context = service.ssl_context()
    players = [Player(service.port, context, row["token"]) for row in PLAYERS]
    for player in players:
        player.start()
    try:
        for _ in range(3):
            wait_for_logins(players, 3)
            service.systemctl("restart", "openchampps.service")
        wait_for_logins(players, 3)
    finally:
        for player in players:
            player.is_over.set()
        for player in players:
            player.join(20)
    assert [p.problem for p in players] == [None] * len(players)


def test_watchdog_restarts_what_hangs(service):
    """Beating it lives; standing still it is replaced."""
    pid = service.show("MainPID")
    time.sleep(3)
    assert service.show("MainPID") == pid
    assert service.run("kill", "-STOP", pid).returncode == 0
    context = service.ssl_context()
    e2e.wait_until(lambda: service.show("MainPID") not in (pid, "0"), 15)
    assert service.log_in(PLAYERS[0]["token"], context) == "auth_success"


def test_connection_starts_what_was_stopped(service):
    context = service.ssl_context()
    service.systemctl("stop", "openchampps.service")
    assert service.show("ExecMainStatus") == "0"
    assert service.show("MainPID") == "0"
    assert service.log_in(PLAYERS[0]["token"], context) == "auth_success"
    assert service.show("MainPID") != "0"


def test_wrong_options_are_not_tried_again(service):
    conf = service.file("/etc/openchampps.env")
    if conf.exists():
        pytest.skip("/etc/openchampps.env is this machine's")
    drop_in = service.file("/run/units/openchampps.service.d/wrong.conf")
    drop_in.write_text("[Service]\nEnvironment=OPENCHAMPPS_MAX_MESSAGE=x\n")
    try:
        service.systemctl("daemon-reload")
        done = service.run("systemctl", "restart", "openchampps.service")
        assert done.returncode != 0
        assert service.show("ExecMainStatus") == "2"
        assert service.show("NRestarts") == "0"
        assert re.search("OPENCHAMPPS_MAX_MESSAGE", service.log())
    finally:
        drop_in.unlink()
        service.systemctl("daemon-reload")
        service.run("systemctl", "reset-failed")
