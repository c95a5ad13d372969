#!/usr/bin/python3
"""
The figures of results.json as text, or as Markdown.

    tests/bench/report.py build/bench/results.json
    tests/bench/report.py build/bench/results.json --into docs/performance.md

The second puts the Markdown between the lines `<!-- figures -->` and
`<!-- end of figures -->` of that file.
"""

import argparse
import json
import pathlib
import re
import statistics

from peers import PEERS

UNITS = {"per_second": "logins/s", "p50_us": "p50 µs", "p99_us": "p99 µs",
         "cpu_us": "server µs", "generator_cpu": "generator",
         "anonymous": "KiB", "resident": "KiB with files",
         "bytes": "bytes/login", "logins": "logins", "ms": "ms",
         "rows_per_second": "rows/s", "memory_mib": "MiB", "seconds": "s"}
LOGIN_KEYS = ("per_second", "p50_us", "p99_us", "cpu_us", "generator_cpu")
MORE_IS_BETTER = ("per_second", "rows_per_second")

GOAL_HEAD = ["goal", "wanted", "measured", ""]
# What is compared: a name, work, and figure.
COMPARED = [
    ("latency of a login (p50), 1 connection", "reauth, 1 connection",
     "p50_us"),
    ("logins a second, 64 connections", "reauth, 64 connections",
     "per_second"),
    ("logins a second, 512 connections", "reauth, 512 connections",
     "per_second"),
    ("logins a second, 64, a fifth invalid", "reauth, 64, a fifth invalid",
     "per_second"),
    ("latency at a fixed rate, p50", "rate, 64 connections", "p50_us"),
    ("latency at a fixed rate, p99", "rate, 64 connections", "p99_us"),
    ("server CPU at that rate", "rate, 64 connections", "cpu_us"),
    ("server CPU of connect, full handshake, login", "login, full handshake",
     "cpu_us"),
    ("server CPU of connect, resumed, login", "login, resumed", "cpu_us"),
    ("memory of an idle connection", "idle connections", "anonymous"),
    ("bytes to disk of a login, 512 connections", "written, 512 connections",
     "bytes"),
]


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def number(value):
    """Three figures of it."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(runs, key):
    """Median, and from where to where."""
    values = [run[key] for run in runs]
    text = number(statistics.median(values))
    if len(values) > 1:
        text += f" ({number(min(values))}–{number(max(values))})"
    return text


def times_better(ours, peer, key):
    """How many times as good ours is; above 1 is better."""
    ratio = median(ours, key) / median(peer, key)
    return ratio if key in MORE_IS_BETTER else 1 / ratio


# --- Text ---

def columns(rows):
    """Lines of cells, in columns as wide as the widest of them."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in
                               zip(row, widths)).rstrip() for row in rows)


def table(title, runs_of, keys, name_of=str):
    """One line a server, or a point of a curve."""
    rows = [[title, *(UNITS[key] for key in keys)]]
    for name, runs in runs_of.items():
        rows.append(["  " + name_of(name),
                     *(spread(runs, key) for key in keys)])
    return columns(rows)


def keys_of(runs_of):
    known = next(iter(runs_of.values()), [{}])[0]
    if "per_second" in known:
        return LOGIN_KEYS
    return [key for key in known if key in UNITS]


def title_of(name):
    return PEERS[name].title


def text(results):
    parts = ["{cpu}, {cores} cores, Linux {kernel}, {date}".format(
        **results["machine"])]
    parts.append(columns([["server", "before it answers"]] + [
        ["  " + title_of(name), why or PEERS[name].durability]
        for name, why in results["peers"].items()]))
    for work, runs_of in results["works"].items():
        parts.append(table(work, runs_of, keys_of(runs_of), title_of))
    for name, runs_of in results["growth"].items():
        parts.append(table("growth: " + name, runs_of, LOGIN_KEYS))
    if results["cold"]:
        parts.append(table("exec to first login, tokens", results["cold"],
                           ["ms"]))
    for rows, runs_of in results["import"].items():
        parts.append(table("import, " + rows, runs_of, keys_of(runs_of)))
    parts.append(columns([GOAL_HEAD, *goals(results)]))
    return "\n\n".join(parts)


# --- Goals ---

def ratio_of(results, work, key):
    """Ours / libwebsockets + LMDB; None: not measured."""
    runs_of = results["works"].get(work, {})
    if not {"openchampps", "libwebsockets"} <= set(runs_of):
        return None
    return (median(runs_of["openchampps"], key) /
            median(runs_of["libwebsockets"], key))


def ours(results, work, key):
    runs = results["works"].get(work, {}).get("openchampps")
    return median(runs, key) if runs else None


def point(curve, x, key):
    return median(curve[x], key) if x in curve else None


def over(a, b):
    return None if a is None or b is None else a / b


def import_rate(results, rows):
    return point(results["import"].get(f"{rows} rows", {}), "openchampps",
                 "rows_per_second")


def measured(results):
    """(goal, is it a least value?, wanted, measured)"""
    beside = results["growth"].get("idle connections beside 64", {})
    cold = results["cold"]
    return [
        ("64 connections, logins a second / libwebsockets", True, 2.0,
         ratio_of(results, "reauth, 64 connections", "per_second")),
        ("512 connections, the same", True, 2.5,
         ratio_of(results, "reauth, 512 connections", "per_second")),
        ("1 connection, p50 / libwebsockets", False, 0.95,
         ratio_of(results, "reauth, 1 connection", "p50_us")),
        ("bytes to disk a login, 512 connections", False, 400,
         ours(results, "written, 512 connections", "bytes")),
        ("full login, server CPU / libwebsockets", False, 1.25,
         ratio_of(results, "login, full handshake", "cpu_us")),
        ("resumed login, the same", False, 1.1,
         ratio_of(results, "login, resumed", "cpu_us")),
        ("KiB of an idle connection", False, 14,
         ours(results, "idle connections", "anonymous")),
        ("a login's CPU beside 10000 idle / beside none", False, 1.1,
         over(point(beside, "10000", "cpu_us"), point(beside, "0", "cpu_us"))),
        ("exec to first login, 1 M tokens, ms", False, 10,
         point(cold, "1000000", "ms")),
        ("the same, 10 M tokens", False, 10, point(cold, "10000000", "ms")),
        ("import, 1 M rows, rows/s", True, 1500000,
         import_rate(results, 1000000)),
        ("import, rate of 1 M / rate of 10 M rows", False, 1.3,
         over(import_rate(results, 1000000), import_rate(results, 10000000))),
    ]


def goals(results):
    for name, is_least, wanted, value in measured(results):
        if value is not None:
            good = value >= wanted if is_least else value <= wanted
            yield [name, ("≥ " if is_least else "≤ ") + str(wanted),
                   number(value), "" if good else "missed"]


# --- Markdown ---

def md_table(rows):
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def md_compared(results):
    """How many times as good ours is, by peer."""
    names = [name for name, why in results["peers"].items()
             if name != "openchampps" and not why]
    rows = [["openchampps is better by a factor of"] +
            [title_of(name) for name in names]]
    for what, work, key in COMPARED:
        runs_of = results["works"].get(work, {})
        if "openchampps" in runs_of:
            rows.append([what] + [
                number(times_better(runs_of["openchampps"], runs_of[name],
                                    key)) if name in runs_of else "–"
                for name in names])
    return md_table(rows)


def md_imports(results):
    """Rates as multiples of ours."""
    sizes = results["import"]
    names = {name: None for runs_of in sizes.values() for name in runs_of}
    rows = [["import"]]
    for size in sizes:
        rows[0] += [f"rate, {size}", "MiB"]
    for name in names:
        row = [name]
        for runs_of in sizes.values():
            row += md_import(runs_of, name)
        rows.append(row)
    return md_table(rows)


def md_import(runs_of, name):
    if name not in runs_of:
        return ["–", "–"]
    rate, ours_rate = (median(runs_of[who], "rows_per_second")
                       for who in (name, "openchampps"))
    return [number(rate / ours_rate),
            f"{median(runs_of[name], 'memory_mib'):.0f}"]


def md_growth(results):
    """The cost of a login, as a multiple of the curve's cheapest point."""
    rows = [["while this grows", "server CPU of a login, least = 1"]]
    for name, curve in results["growth"].items():
        costs = {x: median(runs, "cpu_us") for x, runs in curve.items()}
        least = min(costs.values(), default=None)
        rows.append([name, ", ".join(f"{x}: {number(cost / least)}"
                                     for x, cost in costs.items())])
    return md_table(rows)


def markdown(results):
    parts = ["{date}, {cpu}, {cores} cores, Linux {kernel}; load average "
             "before: {load:.1f}.".format(**results["machine"]),
             md_compared(results)]
    if results["growth"]:
        parts.append(md_growth(results))
    if results["import"]:
        parts.append(md_imports(results))
    parts.append(md_table([GOAL_HEAD, *goals(results)]))
    return "\n\n".join(parts) + "\n"


def put_into(path, figures):
    old = path.read_text()
    new, count = re.subn(
        r"(?s)(<!-- figures -->\n).*(<!-- end of figures -->)",
        lambda found: found[1] + figures + found[2], old)
    if count != 1:
        raise SystemExit(f"{path}: no place for figures")
    path.write_text(new)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("--into", type=pathlib.Path)
    options = parser.parse_args()
    results = json.loads(options.results.read_text())
    if options.into:
        put_into(options.into, markdown(results))
    else:
        print(text(results))


if __name__ == "__main__":
    main()
