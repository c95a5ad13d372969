"""Damaged databases, a share of what `make test-faults` runs."""

import os
import pathlib
import socket
import sys

import pytest

from conftest import REPO, VALID, import_rows, row, run

sys.path.append(str(REPO / "tests" / "fault"))
import corrupt  # noqa: E402

CASES = 144  # twelve of each kind


@pytest.mark.limit(300)
def test_damaged_databases():
    results = corrupt.run_cases(range(CASES))
    print(corrupt.table(results))
    bad = [r for r in results if r[2] in corrupt.BAD]
    assert bad == []
    outcomes = {outcome for _, _, outcome, _ in results}
    assert {corrupt.REFUSED, corrupt.WHOLE, corrupt.ISOLATED} <= outcomes


def make_fifo(path):
    os.mkfifo(path)


def make_loop(path):
    path.symlink_to(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize("make, word", [
    (pathlib.Path.mkdir, "not a regular file"),
    (make_fifo, "not a regular file"),
    (make_socket, "not a regular file"),
    (make_loop, "symbolic link"),
    (pathlib.Path.touch, "empty (0 bytes)"),
])
def test_no_database_at_all(data_dir, make, word):
    path = data_dir / "store.mdb"
    make(path)
    for args in (("--listen", "127.0.0.1:0"), ("export",)):
        command = args if args[0] == "export" else ()
        rest = () if command else args
        result = run(*command, "--data", data_dir, *rest)
        lines = result.stderr.strip().splitlines()
        assert result.returncode == 1 and len(lines) == 1, lines
        assert word in lines[0].lower() and str(path) in lines[0], lines


def test_a_refusal_names_the_page(data_dir):
    import_rows(data_dir, [row(VALID, "jane.doe")])
    path = data_dir / "store.mdb"
    data = bytearray(path.read_bytes())
    data[4096 + 16] ^= 1
    path.write_bytes(data)
    result = run("export", "--data", data_dir)
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.strip() == (
        "openchampps export: store %s: page 1: it is not a database of this"
        " program; restore a backup" % path)
