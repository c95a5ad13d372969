"""
Dockerfile.scratch, built from source and run as README says to: read-only,
without capabilities, under a number for a user. The engine is engine.py's.
"""

import asyncio
import csv
import io
import json
import pathlib
import signal
import ssl
import stat
import tarfile
import time

import pytest
import websockets

import e2e
from engine import free_port, tokens_csv
from test_static import SIZE_MAX

USER = 65532
HARDENED = ["--read-only", "--cap-drop", "ALL",
            "--security-opt", "no-new-privileges", "--network", "host"]
PLAYERS = [e2e.row(e2e.VALID, "jane.doe"),
           e2e.row(e2e.SECOND, 'quote"d, {braces}'),
           e2e.row(e2e.EXPIRED, "expired", expires_at=e2e.LONG_AGO)]


class Appliance:
    """The image on a named volume, in one container at a time."""

    def __init__(self, engine, image, volume):
        self.engine, self.image = engine, image
        self.mount = ["-v", volume + ":/data"]
        self.volume = volume
        self.name = None
        self.url = self.context = None

    def command(self, *args, stdin=None, check=True):
        """A command in a container of its own."""
        return self.engine.docker("run", "-i", "--rm", *HARDENED, *self.mount,
                                  self.image, *args, input=stdin or "",
                                  check=check)

    def execute(self, *args, stdin=None, check=True):
        """A command in the container that serves."""
        return self.engine.docker("exec", "-i", self.name, "/openchampps",
                                  *args, input=stdin or "", check=check)

    def start(self):
        port = free_port()
        self.name = "appliance-%d" % port
        self.engine.docker(
            "run", "-d", "--name", self.name, *HARDENED, *self.mount,
            "--health-interval", "1s",
            "-e", "OPENCHAMPPS_LISTEN=127.0.0.1:%d" % port, self.image)
        e2e.wait_until(self.is_listening, 15)
        self.url = "wss://localhost:%d/ws" % port
        self.context = ssl.create_default_context(cadata=self.ca())

    def inspect(self, what):
        done = self.engine.docker("inspect", "--format", "{{json %s}}" % what,
                                  self.name)
        return json.loads(done.stdout)

    def is_listening(self):
        assert self.inspect(".State.Running"), self.log()
        return "event=listening" in self.log()

    def log(self):
        done = self.engine.docker("logs", self.name)
        return done.stdout + done.stderr

    def ca(self):
        """What an operator copies out to give to clients."""
        done = self.engine.docker("cp", self.name + ":/data/tls/ca.pem", "-",
                                  encoding=None, errors=None)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
            return tar.extractfile("ca.pem").read().decode()

    def login(self, token):
        async def talk():
            async with websockets.connect(self.url,
                                          ssl=self.context) as peer:
                return await ask(peer, token)

        return asyncio.run(asyncio.wait_for(talk(), 10))

    def stop(self):
        """docker stop, as an operator would; the seconds that it took."""
        begin = time.monotonic()
        self.engine.docker("stop", self.name)
        took = time.monotonic() - begin
        assert self.inspect(".State.ExitCode") == 0, self.log()
        assert not e2e.TOKEN_TEXT.search(self.log()), "a token in the log"
        return took

    def last_used(self, token):
        """Asked of a container of its own: this one must not run."""
        text = self.command("export").stdout
        rows = {line["token_sha256"]: line
                for line in csv.DictReader(io.StringIO(text, newline=""))}
        return e2e.parse_time(rows[e2e.hash_of(token)]["last_used_at"])


async def ask(peer, token):
    await peer.send(json.dumps({"type": "token_auth",
                                "payload": {"token": token}}))
    return json.loads(await peer.recv())


def success(name, token):
    return {"type": "auth_success",
            "payload": {"username": name, "token": token}}


@pytest.fixture
def appliance(engine, image, request):
    """Players imported, serving; a volume of the test's own."""
    volume = request.node.name
    box = Appliance(engine, image, volume)
    done = box.command("import", "-", stdin=tokens_csv(PLAYERS))
    assert "created 3" in done.stdout
    box.start()
    yield box
    engine.docker("rm", "-f", box.name)
    engine.docker("volume", "rm", volume)


# The image

def test_configuration(engine, image):
    done = engine.docker("image", "inspect", "--format", "{{json .Config}}",
                         image)
    config = json.loads(done.stdout)
    assert config["User"] == "%d:%d" % (USER, USER)
    assert config["Entrypoint"] == ["/openchampps"]
    assert config["Cmd"] is None
    assert config["Healthcheck"]["Test"] == ["CMD", "/openchampps", "health"]
    assert config["Volumes"] == {"/data": {}}
    assert config["ExposedPorts"] == {"8443/tcp": {}}
    assert config["StopSignal"] == "SIGTERM"
    assert "OPENCHAMPPS_DATA=/data" in config["Env"]
    assert config["Labels"]["org.opencontainers.image.title"] == "openchampps"


def test_holds_one_file(engine, image, tmp_path):
    """Of all layers together: the binary and an empty /data."""
    path = tmp_path / "image.tar"
    engine.docker("save", "-o", str(path), image)
    found = {}
    with tarfile.open(path) as outer:
        manifest = json.load(outer.extractfile("manifest.json"))
        for layer in manifest[0]["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(layer)) as tar:
                found.update({m.name.strip("/"): m for m in tar})
    assert sorted(found) == ["data", "openchampps"]
    data, binary = found["data"], found["openchampps"]
    assert data.isdir() and stat.S_IMODE(data.mode) == 0o700
    assert (data.uid, data.gid) == (USER, USER)
    assert binary.isfile() and stat.S_IMODE(binary.mode) == 0o755
    assert (binary.uid, binary.gid) == (0, 0)
    assert binary.size < SIZE_MAX


@pytest.mark.parametrize("option", ["--help", "--version", "--licenses"])
def test_tells_about_itself(engine, image, option):
    done = engine.docker("run", "--rm", *HARDENED, image, option)
    assert "openchampps" in done.stdout and done.stderr == ""


# In use

def test_runs_as_nobody(appliance):
    """What /proc says of the process that serves."""
    proc = pathlib.Path("/proc/%d" % appliance.inspect(".State.Pid"))
    status = dict(line.split(":\t", 1) for line in
                  (proc / "status").read_text().splitlines())
    assert set(status["Uid"].split()) == {str(USER)}
    assert set(status["Gid"].split()) == {str(USER)}
    assert status["NSpid"].split()[-1] == "1"
    assert status["NoNewPrivs"] == "1"
    for kind in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0
    root = (proc / "mountinfo").read_text().splitlines()[0].split()
    assert root[4] == "/" and "ro" in root[5].split(",")


def test_volume_is_private(appliance):
    where = appliance.engine.docker("volume", "inspect", "--format",
                                    "{{.Mountpoint}}", appliance.volume)
    folder = pathlib.Path(where.stdout.strip())
    for path in [folder, *folder.rglob("*")]:
        info = path.stat()
        assert (info.st_uid, info.st_gid) == (USER, USER), path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    keys = list(folder.rglob("*key.pem"))
    assert len(keys) == 2
    for key in keys:
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_logs_players_in(appliance):
    for player in PLAYERS[:2]:
        token = player["token"]
        assert appliance.login(token) == success(player["username"], token)
    for token in (e2e.EXPIRED, e2e.UNKNOWN):
        assert appliance.login(token) == e2e.TOKEN_ERROR


def test_becomes_healthy(appliance):
    e2e.wait_until(
        lambda: appliance.inspect(".State.Health.Status") == "healthy", 20)
    probe = appliance.inspect(".State.Health.Log")[-1]
    assert probe["ExitCode"] == 0 and probe["Output"].strip() == "200 OK"


def test_exec_imports_while_it_serves(appliance):
    row = e2e.row(e2e.NEVER, "newcomer", expires_at="")
    assert appliance.login(e2e.NEVER) == e2e.TOKEN_ERROR
    done = appliance.execute("import", "-", stdin=tokens_csv([row]))
    assert "created 1" in done.stdout
    assert appliance.login(e2e.NEVER) == success("newcomer", e2e.NEVER)
    text = appliance.execute("export").stdout
    assert "newcomer" in text and not e2e.TOKEN_TEXT.search(text)


def test_second_container_is_sent_to_exec(appliance):
    """Both are process 1 of their own: LMDB cannot tell them apart."""
    row = e2e.row(e2e.NEVER, "newcomer")
    for args in (["export"], ["import", "-"],
                 ["--listen", "127.0.0.1:%d" % free_port()]):
        done = appliance.command(*args, stdin=tokens_csv([row]), check=False)
        assert done.returncode == 1 and done.stdout == "", args
        assert "docker exec" in done.stderr, args
    assert appliance.login(e2e.NEVER) == e2e.TOKEN_ERROR
    assert appliance.login(e2e.VALID) == success("jane.doe", e2e.VALID)


def test_stop_drains_and_all_is_kept(appliance):
    async def stay():
        """Logged in when it stops: told so, not cut off."""
        async with websockets.connect(appliance.url,
                                      ssl=appliance.context) as peer:
            await ask(peer, e2e.VALID)
            stop = asyncio.create_task(asyncio.to_thread(appliance.stop))
            with pytest.raises(websockets.ConnectionClosed) as caught:
                await peer.recv()
            return caught.value.rcvd.code, await stop

    begin = int(time.time())
    code, took = asyncio.run(asyncio.wait_for(stay(), 40))
    assert code == 1001
    assert took < 10
    assert begin <= appliance.last_used(e2e.VALID) <= time.time()
    assert appliance.last_used(e2e.SECOND) is None
    authority = appliance.ca()
    first = appliance.name
    appliance.start()
    appliance.engine.docker("rm", first)
    assert appliance.ca() == authority
    assert appliance.login(e2e.VALID) == success("jane.doe", e2e.VALID)


def test_killed_and_started_again(appliance):
    """Nothing of a killed container's is in the way of the next."""
    begin = int(time.time())
    assert appliance.login(e2e.VALID) == success("jane.doe", e2e.VALID)
    appliance.engine.docker("kill", appliance.name)
    assert appliance.inspect(".State.ExitCode") == 128 + signal.SIGKILL
    assert begin <= appliance.last_used(e2e.VALID) <= time.time()
    appliance.engine.docker("start", appliance.name)
    e2e.wait_until(lambda: appliance.log().count("event=listening") == 2, 15)
    assert appliance.login(e2e.VALID) == success("jane.doe", e2e.VALID)


def test_foreign_directory_is_refused(engine, image, tmp_path):
    """A bind mount that belongs to somebody else."""
    tmp_path.chmod(0o700)
    done = engine.docker("run", "--rm", *HARDENED, "-v",
                         "%s:/data" % tmp_path, image, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "/data" in done.stderr and "Permission denied" in done.stderr
