#!/usr/bin/python3
"""
Durable logins per second, side by side with a peer of the same durability.

    make bench          or tests/bench/bench.py [--tokens N] [--rounds N]

Servers: ours, and lws_server.c (libwebsockets, OpenSSL, LMDB with group
commit). Each has one core, the generator (load.c) the other; the rounds are
interleaved, and medians are compared, because a machine that is shared is not
the same from one minute to the next. Only the ratios mean something.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

REPO = pathlib.Path(__file__).resolve().parents[2]
BUILD = REPO / "build" / "bench"
TICKS = os.sysconf("SC_CLK_TCK")
SERVER_CORE, LOAD_CORE = 0, 1
WORK = {
    "reauth, 1 connection": ["reauth", "--connections", "1"],
    "reauth, 64 connections": ["reauth", "--connections", "64"],
    "reauth, 512 connections": ["reauth", "--connections", "512"],
    "reauth, 64, a fifth invalid":
        ["reauth", "--connections", "64", "--invalid", "20"],
    "login, full handshake": ["login", "--connections", "4"],
    "login, resumed": ["login", "--connections", "4", "--resume"],
}


def on_core(core):
    return ["taskset", "-c", str(core % os.cpu_count())]


def cpu_of(pid):
    fields = pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")")[1]
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / TICKS


def resident_of(pid):
    status = pathlib.Path("/proc/%d/status" % pid).read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1])


class Server:
    def __init__(self, command, stream, pattern):
        self.process = subprocess.Popen(
            on_core(SERVER_CORE) + command, text=True,
            stdout=subprocess.PIPE if stream == "stdout" else None,
            stderr=subprocess.PIPE if stream == "stderr" else None)
        self.pid = self.process.pid
        lines = getattr(self.process, stream)
        for line in lines:
            if re.search(pattern, line):
                return
        raise SystemExit("a server did not start: %s" % command)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def make_stores(folder, tokens):
    """Token i is player<i>'s, in both."""
    ours = folder / "ours"
    ours.mkdir(mode=0o700)
    rows = folder / "tokens.csv"
    with open(rows, "w") as file:
        file.write("token,username\n")
        for i in range(tokens):
            file.write("00000000-0000-4000-8000-%012x,player%d\n" % (i, i))
    subprocess.run([REPO / "build" / "openchampps", "import", "--data", ours,
                    rows], check=True, stdout=subprocess.DEVNULL)
    rows.unlink()
    subprocess.run([BUILD / "lws_server", "fill", folder / "lws",
                    str(tokens)], check=True)


def start_ours(folder, port):
    return Server([str(REPO / "build" / "openchampps"),
                   "--data", str(folder / "ours"), "--trust", "127.0.0.1/32",
                   "--listen", "127.0.0.1:%d" % port,
                   "--max-connections", "20000"], "stderr", "listening")


def start_lws(folder, port):
    tls = folder / "ours" / "tls"
    return Server([str(BUILD / "lws_server"), str(port), str(folder / "lws"),
                   str(tls / "cert.pem"), str(tls / "key.pem")],
                  "stdout", "listening")


# Ours first: it makes the certificate that both serve.
SERVERS = {"openchampps": (start_ours, 9461), "libwebsockets": (start_lws, 9462)}


def load(folder, port, work, options):
    return subprocess.Popen(
        on_core(LOAD_CORE) +
        [str(BUILD / "load"), *work, "--port", str(port),
         "--ca", str(folder / "ours" / "tls" / "ca.pem"),
         "--tokens", str(options.tokens), "--seconds", str(options.seconds)],
        stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def measure(folder, server, port, work, options):
    """One run; the server's CPU is that between `begin` and `end`."""
    process = load(folder, port, work, options)
    assert process.stdout.readline() == "begin\n"
    before = cpu_of(server.pid)
    assert process.stdout.readline() == "end\n"
    spent = cpu_of(server.pid) - before
    result = json.loads(process.stdout.read())
    if process.wait() != 0 or result["logins"] == 0:
        raise SystemExit("a run failed: %s" % work)
    result["cpu_us"] = spent * 1e6 / result["logins"]
    return result


def measure_idle(folder, server, port, options):
    """KiB of resident memory for each idle connection."""
    before = resident_of(server.pid)
    process = load(folder, port,
                   ["idle", "--connections", str(options.idle)], options)
    process.stdout.readline()
    time.sleep(3)
    each = (resident_of(server.pid) - before) / options.idle
    process.stdin.close()
    process.wait()
    return each


def run_all(folder, options):
    results = {}
    for number in range(options.rounds):
        for name, (start, port) in SERVERS.items():
            server = start(folder, port)
            for work, args in WORK.items():
                got = measure(folder, server, port, args, options)
                results.setdefault(work, {}).setdefault(name, []).append(got)
            server.stop()
            print("round %d, %s: done" % (number + 1, name), file=sys.stderr)
    for name, (start, port) in SERVERS.items():
        server = start(folder, port)
        kib = measure_idle(folder, server, port, options)
        results.setdefault("idle", {})[name] = [{"kib": kib}]
        server.stop()
    return results


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def print_table(results):
    keys = ("per_second", "p50_us", "p99_us", "cpu_us")
    print("%-30s %-14s" % ("median", "") + "".join("%12s" % k for k in keys))
    for work in WORK:
        for name, runs in results[work].items():
            print("%-30s %-14s" % (work, name) +
                  "".join("%12.1f" % median(runs, k) for k in keys))
        ours, peer = results[work].values()
        print("%-45s" % "  ours / peer" + "".join(
            "%12.2f" % (median(ours, k) / median(peer, k)) for k in keys))
    for name, runs in results["idle"].items():
        print("%-30s %-14s%12.1f KiB" % ("idle connection", name,
                                         runs[0]["kib"]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=1000000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--json", help="where to put all figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        folder = pathlib.Path(name)
        make_stores(folder, options.tokens)
        results = run_all(folder, options)
    print_table(results)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
