"""
dist/compose.yaml as it is, but for the port: judged by Compose, and run on the
engine of engine.py. Its port is published through a bridge where the kernel
has one; else the container uses the host's network.
"""

import asyncio
import json
import pathlib
import ssl
import subprocess
import time

import pytest
import websockets

import e2e
from engine import free_port, tokens_csv

FILE = pathlib.Path(__file__).resolve().parents[2] / "dist" / "compose.yaml"
PORTS = '    ports:\n      - "8443:8443"\n'
PUBLISHED = '    ports:\n      - "127.0.0.1:%d:8443"\n'
HOSTS = "    network_mode: host\n"
PLAYERS = [e2e.row(e2e.VALID, "jane.doe")]


class Project:
    """What `up` made of the file."""

    def __init__(self, engine, folder):
        self.engine = engine
        self.file = folder / "compose.yaml"
        self.port = free_port()

    def compose(self, *words, check=True, stdin=""):
        done = subprocess.run(
            ["docker-compose", "-p", "lobbytest", "-f", str(self.file),
             *words], input=stdin, env=self.engine.environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        assert not check or done.returncode == 0, done.stdout
        return done

    def write(self, ports, listen=""):
        text = FILE.read_text()
        assert text.count(PORTS) == text.count("    environment:\n") == 1
        text = text.replace(PORTS, ports)
        self.file.write_text(text.replace("    environment:\n",
                                          "    environment:\n" + listen))

    def up(self):
        self.write(PUBLISHED % self.port)
        done = self.compose("up", "-d", "--no-build", check=False)
        if done.returncode == 0:
            return
        assert "network" in done.stdout, done.stdout
        self.compose("down", check=False)
        self.write(HOSTS, '      OPENCHAMPPS_LISTEN: "127.0.0.1:%d"\n'
                   % self.port)
        self.compose("up", "-d", "--no-build")

    def container(self):
        return self.compose("ps", "-q", "lobby").stdout.split()[-1]

    def inspect(self, what):
        done = self.engine.docker("inspect", "--format",
                                  "{{json %s}}" % what, self.container())
        return json.loads(done.stdout)

    def log(self):
        done = self.engine.docker("logs", self.container())
        return done.stdout + done.stderr

    def execute(self, *words, stdin=""):
        return self.engine.docker("exec", "-i", self.container(),
                                  "/openchampps", *words, input=stdin)

    def url(self):
        return "wss://localhost:%d/ws" % self.port

    def ssl_context(self):
        done = self.engine.docker("volume", "inspect", "--format",
                                  "{{.Mountpoint}}", "lobbytest_tokens")
        ca = pathlib.Path(done.stdout.strip(), "tls", "ca.pem")
        return ssl.create_default_context(cadata=ca.read_text())


@pytest.fixture(scope="module")
def project(engine, image, need, tmp_path_factory):
    need(**{"docker-compose": "docker-compose"})
    project = Project(engine, tmp_path_factory.mktemp("compose"))
    try:
        project.up()
        e2e.wait_until(lambda: "event=listening" in project.log(), 15)
        project.execute("import", "-", stdin=tokens_csv(PLAYERS))
        yield project
    finally:
        project.compose("down", "-v", "-t", "15", check=False)


def test_file_is_valid(need, project):
    done = subprocess.run(["docker-compose", "-f", str(FILE), "config", "-q"],
                          env=project.engine.environment(), timeout=30,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert (done.returncode, done.stdout) == (0, b"")


def test_logs_a_player_in(project):
    assert asyncio.run(asyncio.wait_for(ask(project), 10))["type"] == (
        "auth_success")


async def ask(project):
    async with websockets.connect(project.url(),
                                  ssl=project.ssl_context()) as peer:
        await peer.send(json.dumps({"type": "token_auth",
                                    "payload": {"token": e2e.VALID}}))
        return json.loads(await peer.recv())


def test_runs_inside_its_walls(project):
    host = project.inspect(".HostConfig")
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"]
    assert not host.get("Tmpfs") and not host["Privileged"]
    assert host["Memory"] == 1 << 30 and host["PidsLimit"] == 16
    status = dict(line.split(":\t", 1) for line in pathlib.Path(
        "/proc/%d/status" % project.inspect(".State.Pid")
    ).read_text().splitlines())
    assert status["NoNewPrivs"] == "1"
    assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 0
    assert set(status["Uid"].split()) == {"65532"}
    limits = pathlib.Path("/proc/%d/limits"
                          % project.inspect(".State.Pid")).read_text()
    files = next(line for line in limits.splitlines()
                 if line.startswith("Max open files"))
    assert files.split()[3:5] == ["16384", "16384"]
    assert "few_descriptors" not in project.log()


def test_is_healthy(project):
    """The file's interval is an operator's; the probe itself is run here."""
    check = project.inspect(".Config.Healthcheck")
    assert check["Test"] == ["CMD", "/openchampps", "health"]
    assert project.execute("health").stdout.strip() == "200 OK"


def test_stops_in_order_and_comes_back(project):
    begin = time.monotonic()
    project.compose("stop")
    assert time.monotonic() - begin < 15
    assert project.inspect(".State.ExitCode") == 0
    assert "settled=yes" in project.log()
    assert not e2e.TOKEN_TEXT.search(project.log())
    project.compose("start")
    e2e.wait_until(lambda: project.log().count("event=listening") == 2, 15)
    test_logs_a_player_in(project)
