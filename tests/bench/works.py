"""What is measured of each server, one run at a time."""

import contextlib
import json
import os
import subprocess
import sys
import time

from machine import BUILD, LOAD_CORE, cpu_ns, spawn, written_bytes
from peers import PEERS

# work: arguments of load.c
WORKS = {
    "reauth, 1 connection": ["reauth", "--connections", 1],
    "reauth, 64 connections": ["reauth", "--connections", 64],
    "reauth, 512 connections": ["reauth", "--connections", 512],
    "reauth, 64, a fifth invalid":
        ["reauth", "--connections", 64, "--invalid", 20],
    "rate, 64 connections": ["reauth", "--connections", 64, "--rate"],
    "login, full handshake": ["login", "--connections", 8],
    "login, resumed": ["login", "--connections", 8, "--resume"],
}


def load(server, work, seconds, **more):
    return spawn(LOAD_CORE,
                 [BUILD / "load", *work, "--port", server.port, "--ca",
                  server.ca, "--tokens", server.tokens, "--seconds", seconds],
                 stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                 stderr=subprocess.PIPE, text=True, **more)


def expect(process, word):
    line = process.stdout.readline()
    if not line.startswith(word):
        raise RuntimeError(process.stderr.read().strip() or "no " + word)


def measure(server, work, seconds):
    """One run; the server's CPU is that between `begin` and `end`."""
    process = load(server, work, seconds)
    expect(process, "begin")
    before = server.sum(cpu_ns)
    expect(process, "end")
    spent_ns = server.sum(cpu_ns) - before
    result = json.loads(process.stdout.read())
    if process.wait() != 0 or result["logins"] == 0:
        raise RuntimeError(process.stderr.read().strip() or "no logins")
    result["cpu_us"] = spent_ns / 1000 / result["logins"]
    return result


@contextlib.contextmanager
def idlers(server, count):
    """Connections that have logged in and do nothing."""
    if count == 0:
        yield
        return
    process = load(server, ["idle", "--connections", count], 1)
    try:
        expect(process, "{")
        yield
    finally:
        process.stdin.close()
        process.wait()


def measure_idle(server, count):
    """KiB of memory for each idle connection. Pages of the store's file are
    everybody's, and not counted in `anonymous`."""
    kinds = ("anonymous", "resident")
    before = {kind: server.memory_kib(kind) for kind in kinds}
    with idlers(server, count):
        time.sleep(3)
        return {kind: (server.memory_kib(kind) - before[kind]) / count
                for kind in kinds}


def measure_written(server, settle_s, seconds):
    """Bytes to disk for each login, the work that a server leaves for later
    included."""
    os.sync()
    before = written_bytes(BUILD)
    work = ["reauth", "--connections", 512, "--warmup", 0]
    result = measure(server, work, seconds)
    time.sleep(settle_s)
    os.sync()
    return {"bytes": (written_bytes(BUILD) - before) / result["logins"],
            "logins": result["logins"]}


def tried(what, function, *args):
    """A run's result; None, and a word about it, when it failed."""
    try:
        return function(*args)
    except RuntimeError as error:
        print(f"{what}: failed: {error}", file=sys.stderr)
        return None


def add(runs_of, name, result):
    if result is not None:
        runs_of.setdefault(str(name), []).append(result)


def run_works(bench, names, works, options):
    """Rounds are interleaved. returns: {work: {server: [runs]}}"""
    results = {work: {} for work in works}
    for number in range(options.rounds):
        for name in names:
            with bench.serving(name) as server:
                for work in works:
                    args = WORKS[work]
                    if args[-1] == "--rate":
                        args = [*args, options.rate]
                    add(results[work], name,
                        tried(f"{name}, {work}", measure, server, args,
                              options.seconds))
            print(f"round {number + 1}, {name}: done", file=sys.stderr)
    return results


def run_idle(bench, names, options):
    """returns: {server: [runs]}"""
    runs_of = {}
    for name in names:
        with bench.serving(name) as server:
            add(runs_of, name, tried(name + ", idle", measure_idle, server,
                                     options.idle))
    return runs_of


def run_written(bench, names, options):
    """returns: {server: [runs]}"""
    runs_of = {}
    for name in names:
        with bench.serving(name) as server:
            add(runs_of, name, tried(name + ", written", measure_written,
                                     server, PEERS[name].settle_s,
                                     6 * options.seconds))
        print(f"written, {name}: done", file=sys.stderr)
    return runs_of
