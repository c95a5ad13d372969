#!/usr/bin/python3
"""
The figures of results.json as a picture.

    tests/bench/picture.py build/bench/results.json docs/bench.svg
"""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("svg")
# pylint: disable=wrong-import-position
from matplotlib import pyplot

from peers import PEERS
from report import median

COLORS = dict(zip(PEERS, ("#c0392b", "#34495e", "#27ae60", "#2980b9",
                          "#8e8e8e")))
matplotlib.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 8,
    "font.family": "sans-serif", "axes.spines.top": False,
    "axes.spines.right": False, "axes.titlesize": 9,
    "axes.titlelocation": "left",
})


def bars(axes, results, title, works, key):
    """A group a work, a bar a server; works: {label: work}."""
    axes.set_title(title)
    found = {label: results["works"][work] for label, work in works.items()
             if work in results["works"]}
    width = 0.8 / len(PEERS)
    for i, name in enumerate(PEERS):
        at = [(g + (i - (len(PEERS) - 1) / 2) * width, median(runs[name], key))
              for g, runs in enumerate(found.values()) if name in runs]
        axes.bar([x for x, _ in at], [y for _, y in at], width,
                 color=COLORS[name], label=PEERS[name].title)
    axes.set_xticks(range(len(found)), list(found))
    axes.set_ylim(bottom=0)


def curve(axes, results, title, name):
    axes.set_title(title)
    runs_of = results["growth"].get(name, {})
    axes.plot([int(x) for x in runs_of],
              [median(runs, "cpu_us") for runs in runs_of.values()], "o-",
              color=COLORS["openchampps"], markersize=3)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(1, 1000)
    axes.minorticks_off()


def draw(results, path):
    figure, axes = pyplot.subplots(2, 4, figsize=(11, 5))
    bars(axes[0][0], results, "durable logins a second, by connections",
         {n: f"reauth, {n} connections" for n in ("64", "512")}, "per_second")
    bars(axes[0][1], results, "latency with one connection, µs",
         {"p50": "reauth, 1 connection"}, "p50_us")
    bars(axes[0][2], results, "p99 at a fixed rate, µs",
         {results["options"]["rate"] + " logins/s": "rate, 64 connections"},
         "p99_us")
    bars(axes[0][3], results, "KiB of an idle connection",
         {results["options"]["idle"] + " connections": "idle connections"},
         "anonymous")
    bars(axes[1][0], results, "server CPU of connect and login, µs",
         {"full handshake": "login, full handshake",
          "resumed": "login, resumed"}, "cpu_us")
    bars(axes[1][1], results, "bytes to disk of a login",
         {"512 connections": "written, 512 connections"}, "bytes")
    curve(axes[1][2], results, "our CPU of a login, µs, by connections",
          "connections")
    curve(axes[1][3], results, "the same at 512, by tokens", "tokens")
    figure.legend(*axes[0][0].get_legend_handles_labels(), ncols=len(PEERS),
                  loc="lower center", frameon=False)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    draw(json.loads(pathlib.Path(sys.argv[1]).read_text()), sys.argv[2])
