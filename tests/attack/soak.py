"""
Mixed traffic for a long time: nothing may grow.

    soak.py [--minutes 30] [--binary FILE]

Players log in over TLS and without, some stay and log in now and then, some
fail, some send nonsense, floods come and go, SIGHUP loads the certificate
anew, an import repeats what is there. The load is low: what is looked for is
growth, not speed. First the store is filled to its high-water mark: its
journal grows with each login until it is folded, and the pages are used again
after that. Then, each 10 s, memory, descriptors and file sizes are sampled;
after a quarter of the time, which warms up, their slopes must be flat.

Exit status: 0 flat, 1 not.
"""

import argparse
import os
import pathlib
import random
import signal
import ssl
import statistics
import sys
import threading
import time

E2E = pathlib.Path(__file__).resolve().parents[1] / "e2e"
sys.path.insert(0, str(E2E))

import conftest as e2e  # noqa: E402 (its folder comes first)
import wsraw  # noqa: E402

SAMPLE_S, RELOAD_S, IMPORT_S, FLOOD_S = 10, 20, 30, 15
PLAYERS, STAYERS, TOKENS = 2, 40, 500
# A fold begins with 2^18 logins; a token counts once a second.
FILL_TOKENS, FILL_LOGINS, FILL_BATCH = 40000, 2 * (1 << 18) + 20000, 100
NUISANCE = (OSError, EOFError, AssertionError, ssl.SSLError)
# The cache of TLS sessions (256) fills once, and stays when SIGHUP finds the
# same certificate.
KEPT_KIB = 256 + 128
TICK = os.sysconf("SC_CLK_TCK")
# name: (unit, growth over the measured time that is noise). A connection that
# stays touches more of its pages with time: two each for some more minutes.
COLUMNS = {"rss": ("KiB", 384), "anon": ("KiB", 384), "fds": ("", 5),
           "store": ("KiB", 64), "disk": ("KiB", 64)}


def read_answer(client):
    """The next frame that is no Ping."""
    got = client.read_frame()
    while got.opcode == wsraw.PING:
        client.send_frame(wsraw.PONG, got.payload)
        got = client.read_frame()
    assert got.opcode == wsraw.TEXT, got
    return got


class Traffic:
    """Threads that go on until the end, each with its kind of traffic."""

    def __init__(self, server, rows):
        self.server = server
        self.rows = rows
        self.tokens = [r["token"] for r in rows]
        self.context = server.ssl_context()
        self.over = threading.Event()
        self.counts = {}
        self.wrong = []
        self.threads = []

    def run(self, name, pause, action):
        """action again and again, with a pause; a surprise is remembered."""
        def loop():
            while not self.over.wait(pause * random.uniform(0.5, 1.5)):
                try:
                    action()
                except NUISANCE as problem:
                    if not self.over.is_set():
                        self.wrong.append("%s: %r" % (name, problem))
                self.counts[name] = self.counts.get(name, 0) + 1
        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        self.threads.append(thread)

    def open(self, tls=True, source="127.0.0.1"):
        server = self.server
        port = server.port if tls else server.plain_port
        client = wsraw.Client.connect(
            ("127.0.0.1", port), self.context if tls else None, source=source)
        client.upgrade(host="localhost:%d" % port)
        return client

    # What peers do

    def play(self):
        tok = random.choice(self.tokens)
        with self.open(random.random() < 0.7) as client:
            answer = client.login(tok)
            assert answer["payload"].get("token") == tok, answer

    def stayer(self):
        """One that is there for long: logs in, answers Pings, goes."""
        client = None

        def turn():
            nonlocal client
            if client is None or random.random() < 0.02:
                if client is not None:
                    client.close()
                client = self.open()
            tok = random.choice(self.tokens)
            client.send_json({"type": "token_auth",
                              "payload": {"token": tok}})
            got = read_answer(client)
            assert tok.encode() in got.payload, got
        return turn

    def fail(self):
        with self.open(source="127.0.0.3") as client:
            for _ in range(5):
                assert client.login(e2e.UNKNOWN) == e2e.TOKEN_ERROR

    def nonsense(self):
        """From an address that is cut off now and then: no surprise."""
        with socket_quietly():
            with self.open(False, source="127.0.0.4") as client:
                client.send(os.urandom(random.randrange(1, 9000)))
                client.half_close()
                client.read_to_eof(3)

    def http(self):
        assert self.server.get("/health").status == 200
        assert self.server.get("/nowhere", tls=False).status == 404

    def flood(self):
        """200 connections at once that say nothing."""
        with socket_quietly():
            crowd = []
            try:
                for _ in range(200):
                    crowd.append(wsraw.Client.connect(
                        ("127.0.0.1", self.server.port), source="127.0.0.5"))
                time.sleep(1)
            finally:
                for client in crowd:
                    client.close()

    def reload(self):
        self.server.signal(signal.SIGHUP)

    def import_again(self):
        e2e.import_rows(self.server.data, self.rows)

    def start(self):
        for _ in range(PLAYERS):
            self.run("logins", 0.4, self.play)
        for _ in range(STAYERS):
            self.run("stayers", 4, self.stayer())
        self.run("failures", 4, self.fail)
        self.run("nonsense", 1, self.nonsense)
        self.run("http", 2, self.http)
        self.run("floods", FLOOD_S, self.flood)
        self.run("reloads", RELOAD_S, self.reload)
        self.run("imports", IMPORT_S, self.import_again)

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(15)


class socket_quietly:
    """What happens to a hostile peer is no surprise."""

    def __enter__(self):
        return self

    def __exit__(self, kind, _problem, _trace):
        return kind is not None and issubclass(kind, NUISANCE)


# Samples

def sample(server, begin):
    fields = {}
    with open("/proc/%d/status" % server.pid, encoding="ascii") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            fields[name] = value.split()[0] if value.split() else ""
    with open("/proc/%d/stat" % server.pid, encoding="ascii") as stat:
        cpu = stat.read().rpartition(")")[2].split()[11:13]
    store = os.stat(server.data / "store.mdb")
    return {"t": time.monotonic() - begin, "rss": int(fields["VmRSS"]),
            "anon": int(fields["RssAnon"]),
            "fds": len(os.listdir("/proc/%d/fd" % server.pid)),
            "store": store.st_size // 1024, "disk": store.st_blocks // 2,
            "cpu": sum(map(int, cpu)) / TICK}


def growth(samples, name):
    """
    (slope an hour, growth over the time of the samples): Theil and Sen's
    line, which single samples amid a flood do not bend
    """
    points = [(s["t"], s[name]) for s in samples]
    slopes = [(y2 - y1) / (x2 - x1) for i, (x1, y1) in enumerate(points)
              for x2, y2 in points[i + 1:]]
    slope = statistics.median(slopes)
    return slope * 3600, slope * (points[-1][0] - points[0][0])


def judge(samples):
    """Prints the slopes; are all flat?"""
    warm = [s for s in samples if s["t"] > samples[-1]["t"] / 4]
    is_flat = True
    for name, (unit, noise) in COLUMNS.items():
        hourly, grown = growth(warm, name)
        verdict = "flat" if grown <= noise else "GROWS"
        is_flat = is_flat and grown <= noise
        print("%-6s %+9.1f %s an hour, %+.1f in all, noise %d: %s"
              % (name, hourly, unit, grown, noise, verdict))
    return is_flat


def show(s, counts):
    print("%6.0f s  rss %5d  anon %5d  fds %4d  store %5d  disk %5d  "
          "cpu %6.1f s  logins %d" % (
              s["t"], s["rss"], s["anon"], s["fds"], s["store"], s["disk"],
              s["cpu"], counts.get("logins", 0) + counts.get("stayers", 0)),
          flush=True)


def watch(server, traffic, minutes):
    samples = []
    begin = time.monotonic()
    while time.monotonic() - begin < minutes * 60:
        time.sleep(SAMPLE_S)
        assert server.process.poll() is None, "the server has ended"
        samples.append(sample(server, begin))
        show(samples[-1], traffic.counts)
    return samples


def fill(server, tokens):
    """Logs in until the journal has been folded twice."""
    begin = time.monotonic()
    done = 0
    requests = [b"".join(wsraw.frame(
        wsraw.TEXT, '{"type":"token_auth","payload":{"token":"%s"}}' % tok)
        for tok in tokens[at:at + FILL_BATCH])
        for at in range(0, len(tokens), FILL_BATCH)]
    with server.open(tls=False) as client:
        while done < FILL_LOGINS:
            for request in requests:
                client.send(request)
                for _ in range(FILL_BATCH):
                    read_answer(client)
                done += FILL_BATCH
    print("filled: %d logins in %.0f s" % (done, time.monotonic() - begin),
          flush=True)


def soak(keeper, minutes, binary):
    rows = [e2e.row(e2e.token(0x10000 + i), "player %d" % i)
            for i in range(FILL_TOKENS)]
    server = keeper.start("--max-address-failures", "10000",
                          "--ping-interval", "10", rows=rows, trust=None,
                          binary=binary)
    fill(server, [r["token"] for r in rows])
    traffic = Traffic(server, rows[:TOKENS])
    idle = sample(server, time.monotonic())
    traffic.start()
    try:
        samples = watch(server, traffic, minutes)
    finally:
        traffic.stop()
    time.sleep(12)  # the deadline of whoever says nothing
    after = sample(server, time.monotonic())
    print("before: %s\nafter:  %s" % (idle, after))
    print("traffic:", traffic.counts, "surprises:", traffic.wrong[:5])
    is_flat = judge(samples)
    assert after["fds"] <= idle["fds"], "descriptors are kept"
    kept = after["anon"] - idle["anon"]
    print("kept without connections: %+d KiB" % kept)
    return is_flat and kept <= KEPT_KIB and not traffic.wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--binary", type=pathlib.Path, default=e2e.BINARY)
    options = parser.parse_args()
    keeper = e2e.Keeper()
    try:
        is_flat = soak(keeper, options.minutes, options.binary)
    finally:
        keeper.finish()
    return 0 if is_flat else 1


if __name__ == "__main__":
    sys.exit(main())
