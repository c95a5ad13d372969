#!/usr/bin/python3
"""
Durable logins side by side with peers of the same durability.

    make bench                                 all, about 18 minutes
    make bench BENCH='--only reauth --rounds 1 --peers openchampps,node-lmdb'

Each server has one core, the generator (load.c) the other; rounds are
interleaved, and medians are compared, because a machine that is shared is not
the same from one minute to the next. Only the ratios mean something. A peer
that cannot be had is left out, and named.

Writes results.json, figures.md (report.py) and bench.svg (picture.py) into
build/bench. It never gates.
"""

import argparse
import json
import pathlib
import sys
import tempfile

import growth
import imports
import machine
import picture
import report
import works
from peers import PEERS, Bench

PARTS = ("reauth", "rate", "login", "idle", "written", "growth", "tokens",
         "import")


def words(known):
    """A type of argument: some of the known words, with commas between."""
    def parse(text):
        found = text.split(",")
        if not set(found) <= set(known):
            raise argparse.ArgumentTypeError("of: " + ",".join(known))
        return found
    return parse


def parse_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", type=words(PARTS), default=list(PARTS),
                        help=",".join(PARTS))
    parser.add_argument("--peers", type=words(PEERS), default=list(PEERS),
                        help=",".join(PEERS))
    parser.add_argument("--tokens", type=int, default=1000000)
    parser.add_argument("--most", type=int, default=10000000,
                        help="tokens and rows, of the curves and imports")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--idle", type=int, default=5000)
    parser.add_argument("--rate", type=int, default=1000,
                        help="logins a second, of the work at a fixed rate")
    parser.add_argument("--out", type=pathlib.Path, default=machine.BUILD)
    return parser.parse_args()


def run_side_by_side(bench, options, results):
    results["peers"] = bench.fill(options.peers)
    for name, why in results["peers"].items():
        if why:
            print(f"left out: {PEERS[name].title}: {why}", file=sys.stderr)
    names = [name for name, why in results["peers"].items() if not why]
    chosen = [work for work in works.WORKS
              if work.partition(",")[0] in options.only]
    results["works"] = works.run_works(bench, names, chosen, options)
    if "idle" in options.only:
        results["works"]["idle connections"] = works.run_idle(bench, names,
                                                              options)
    if "written" in options.only:
        results["works"]["written, 512 connections"] = works.run_written(
            bench, names, options)


def run(folder, options, results):
    bench = Bench(folder, options.tokens)
    run_side_by_side(bench, options, results)
    if "growth" in options.only:
        results["growth"] = growth.run_curves(bench, options)
    if "tokens" in options.only:
        results["growth"]["tokens"], results["cold"] = growth.run_tokens(
            folder, options)
    if "import" in options.only:
        results["import"] = imports.run_imports(folder, options)


def publish(results, folder):
    text = json.dumps(results, indent=1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(text + "\n")
    (folder / "figures.md").write_text(report.markdown(results))
    picture.draw(results, folder / "bench.svg")
    print(report.text(results))


def main():
    options = parse_options()
    # The first, because it makes the certificate.
    options.peers = [name for name in PEERS
                     if name == "openchampps" or name in options.peers]
    machine.raise_descriptors()
    results = {"machine": machine.describe(),
               "options": {name: str(value)
                           for name, value in vars(options).items()},
               "peers": {}, "works": {}, "growth": {}, "cold": {},
               "import": {}}
    try:
        with tempfile.TemporaryDirectory(dir=machine.BUILD) as name:
            run(pathlib.Path(name), options, results)
    finally:
        publish(results, options.out)


if __name__ == "__main__":
    main()
