"""
A container engine for tests: Debian's docker.io, started here with directories
of its own, without a bridge and firewall rules: containers use the host's
network. The base image is bootstrapped from Debian's packages, so that no
image registry is asked. Where a machine cannot do that the tests are skipped
and say why.
"""

import csv
import io
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]


class Engine:
    """A dockerd of our own in `folder`."""

    def __init__(self, folder):
        self.folder = folder
        self.url = "unix://%s/socket" % folder
        # The mounts it leaves behind end with their namespace.
        self.command = [
            "unshare", "--mount", "setpriv", "--pdeathsig", "TERM",
            "dockerd", "--bridge=none", "--iptables=false",
            "--data-root", folder + "/data", "--exec-root", folder + "/exec",
            "--pidfile", folder + "/pid", "--host", self.url]
        self.process = None

    def log_tail(self):
        lines = pathlib.Path(self.folder, "log").read_text().splitlines()
        return "\n".join(lines[-5:])

    def start(self):
        with open(self.folder + "/log", "wb") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log)
        end = time.monotonic() + 30
        while self.docker("version", check=False).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > end:
                pytest.skip("dockerd does not start: " + self.log_tail())
            time.sleep(0.1)

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            names = self.docker("ps", "-aq").stdout.split()
            if names:
                self.docker("rm", "-f", *names)
            self.process.terminate()
        self.process.wait(30)

    def docker(self, *args, check=True, timeout=60, **options):
        """One docker command to its end; fails the test where it fails."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                   "encoding": "utf-8", "errors": "replace", **options}
        done = subprocess.run(["docker", *args], timeout=timeout,
                              env=self.environment(), **options)
        assert not check or done.returncode == 0, \
            "docker %s: %s" % (args[0], (done.stderr or "")[-4000:])
        return done

    def environment(self):
        return {**os.environ, "DOCKER_HOST": self.url, "DOCKER_BUILDKIT": "1",
                # Debian's client beside its engine, whatever is on PATH.
                "PATH": "/usr/bin:/usr/sbin:/bin:/sbin"}


def mirrors():
    """The host's sources of Debian 12; none: mmdebstrap's own choice."""
    done = subprocess.run(
        ["apt-get", "indextargets", "--format",
         "deb $(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return sorted({line for line in done.stdout.splitlines()
                   if line.split()[2].startswith("bookworm")
                   and line.endswith(" main")})


def bootstrap(engine):
    """Makes debian:12, the default of the Dockerfile."""
    path = engine.folder + "/base.tar"
    done = subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=apt", "bookworm", path,
         *mirrors()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=240)
    if done.returncode != 0:
        pytest.skip("no base image, mmdebstrap: " + done.stdout[-500:])
    engine.docker("import", path, "debian:12")
    os.unlink(path)
    done = engine.docker("run", "--rm", "--network", "host", "debian:12",
                         "/bin/true", check=False)
    if done.returncode != 0:
        pytest.skip("this machine runs no container: " + done.stderr[-500:])


@pytest.fixture(scope="session")
def engine(need):
    if os.getuid() != 0:
        pytest.skip("dockerd needs root")
    need(dockerd="docker.io", mmdebstrap="mmdebstrap", setpriv="util-linux",
         unshare="util-linux")
    folder = tempfile.mkdtemp(prefix="docker-")
    engine = Engine(folder)
    try:
        engine.start()
        bootstrap(engine)
        yield engine
    finally:
        engine.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def image(engine):
    """The image's name, built from the sources of this tree."""
    engine.docker("build", "--network", "host", "--progress", "plain",
                  "-f", str(REPO / "Dockerfile.scratch"), "-t", "openchampps",
                  str(REPO), timeout=300)
    return "openchampps"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def tokens_csv(rows):
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
