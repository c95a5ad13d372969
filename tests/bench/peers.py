"""
The servers that are compared: how each gets its tokens and is started. All
serve the same certificate, and token i is player<i>'s in all of them.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable

from machine import BUILD, REPO, Group, free_port, last_line

BINARY = REPO / "build" / "openchampps"
HERE = pathlib.Path(__file__).resolve().parent
NODE = BUILD / "node"


@dataclasses.dataclass
class Peer:
    title: str
    durability: str  # of what is answered
    fill: Callable   # fill(folder, tokens)
    start: Callable  # start(group, folder, port, tls)
    settle_s: int    # how long after the last login it still writes


def write_rows(path, tokens):
    with open(path, "w") as file:
        file.write("token,username\n")
        for first in range(0, tokens, 10000):
            file.writelines("00000000-0000-4000-8000-%012x,player%d\n" % (i, i)
                            for i in range(first, min(tokens, first + 10000)))


def fill_ours(folder, tokens):
    """Also makes the certificate, by serving for a moment."""
    rows = folder / "tokens.csv"
    write_rows(rows, tokens)
    subprocess.run([BINARY, "import", "--data", folder, rows], check=True,
                   stdout=subprocess.DEVNULL)
    rows.unlink()
    group = Group()
    start_ours(group, folder, free_port(), None)
    group.stop()


def ours_command(folder, port):
    return [BINARY, "--data", folder, "--listen", f"127.0.0.1:{port}",
            "--trust", "127.0.0.1/32", "--max-connections", "20000"]


def start_ours(group, folder, port, _tls):
    group.start(ours_command(folder, port), folder / "log", "listening")


def fill_lws(folder, tokens):
    subprocess.run([BUILD / "lws_server", "fill", folder, str(tokens)],
                   check=True)


def start_lws(group, folder, port, tls):
    group.start([BUILD / "lws_server", port, folder, tls / "cert.pem",
                 tls / "key.pem"], folder / "log", "listening")


# --- Node ---

def install_node():
    """npm ci, unless what is locked is there already."""
    lock = (HERE / "node" / "package-lock.json").read_bytes()
    stamp = NODE / "installed"
    if stamp.exists() and stamp.read_bytes() == lock:
        return
    NODE.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / "node" / name, NODE)
    with open(NODE / "install.log", "w") as log:
        done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund"],
                              cwd=NODE, stdout=log, stderr=log)
    if done.returncode != 0:
        raise RuntimeError("npm: " + last_line(NODE / "install.log"))
    stamp.write_bytes(lock)


def node(*words):
    return ["node", HERE / "node" / "server.js", *words]


def node_environment():
    return {**os.environ, "NODE_PATH": str(NODE / "node_modules")}


def fill_node(store):
    def fill(folder, tokens):
        install_node()
        done = subprocess.run(node("fill", store, str(tokens)), cwd=folder,
                              env=node_environment(), text=True,
                              stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip() or "node failed")
    return fill


def start_node(store):
    def start(group, folder, port, tls):
        group.start(node("serve", store, port, tls / "cert.pem",
                         tls / "key.pem"), folder / "log", "listening",
                    cwd=folder, env=node_environment())
    return start


def start_redis(group, folder, port, tls):
    """Debian's redis-tools has the server, under another name: the package
    redis-server would also start one for the whole machine."""
    group.start(["redis-server", "--port", 0, "--unixsocket", "redis.sock",
                 "--appendonly", "yes", "--appendfsync", "always",
                 "--auto-aof-rewrite-percentage", 0, "--save", ""],
                folder / "redis.log", "eady to accept connections", cwd=folder,
                executable="/usr/bin/redis-check-rdb")
    start_node("redis")(group, folder, port, tls)


PEERS = {
    "openchampps": Peer("openchampps", "2 syncs a commit", fill_ours,
                        start_ours, 15),
    "libwebsockets": Peer("libwebsockets + LMDB", "2 syncs a commit",
                          fill_lws, start_lws, 1),
    "node-lmdb": Peer("Node ws + lmdb", "flushed, 1 sync a commit",
                      fill_node("lmdb"), start_node("lmdb"), 2),
    "node-sqlite": Peer("Node ws + SQLite",
                        "synchronous=FULL, 1 sync a commit",
                        fill_node("sqlite"), start_node("sqlite"), 1),
    "node-redis": Peer("Node ws + Redis",
                       "appendfsync always, 1 sync a batch",
                       fill_node("redis"), start_redis, 1),
}


class Bench:
    """Filled stores in a folder, and servers on them."""

    def __init__(self, folder, tokens):
        self.folder, self.tokens = folder, tokens
        self.tls = folder / "openchampps" / "tls"

    def fill(self, names):
        """returns: {name: why it cannot be had; None: it can}"""
        found = {}
        for name in names:
            place = self.folder / name
            place.mkdir(mode=0o700)
            try:
                PEERS[name].fill(place, self.tokens)
                with self.serving(name):
                    found[name] = None
            except (OSError, RuntimeError,
                    subprocess.CalledProcessError) as error:
                found[name] = str(error).partition("\n")[0]
        os.sync()
        return found

    @contextlib.contextmanager
    def serving(self, name):
        """A started server: .port, .ca, .tokens and what Group has."""
        group = Group()
        group.port, group.tokens = free_port(), self.tokens
        group.ca = self.tls / "ca.pem"
        try:
            PEERS[name].start(group, self.folder / name, group.port, self.tls)
            yield group
        finally:
            group.stop()
