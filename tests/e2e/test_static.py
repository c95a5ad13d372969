"""The binary as a file: static, hardened, small, and the same every time."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
BINARY = REPO / "build" / "openchampps"
SIZE_MAX = 450 * 1024


def readelf(option, path=BINARY):
    return subprocess.run(["readelf", "-W", option, path], check=True,
                          capture_output=True, text=True,
                          env={**os.environ, "LC_ALL": "C"}).stdout


def segments():
    """Program headers by type: their flags column."""
    found = {}
    for line in readelf("-l").splitlines():
        match = re.match(r"  ([A-Z_]+)\s+(?:0x[0-9a-f]+ ){5}([RWE ]{3})", line)
        if match:
            found.setdefault(match.group(1), []).append(match.group(2))
    return found


def test_is_position_independent():
    assert re.search(r"Type:\s+DYN", readelf("-h"))
    assert re.search(r"\(FLAGS_1\).*\bPIE\b", readelf("-d"))


def test_needs_no_loader_and_no_library():
    assert "INTERP" not in segments()
    assert "(NEEDED)" not in readelf("-d")


def test_relocations_are_read_only_at_once():
    assert "GNU_RELRO" in segments()
    assert re.search(r"\(FLAGS\).*\bBIND_NOW\b", readelf("-d"))
    assert re.search(r"\(FLAGS_1\).*\bNOW\b", readelf("-d"))
    assert "(TEXTREL)" not in readelf("-d")


def test_nothing_is_writable_and_executable():
    found = segments()
    assert [flags.strip() for flags in found["GNU_STACK"]] == ["RW"]
    assert not [flags for flags in found["LOAD"]
                if "W" in flags and "E" in flags]


def test_stack_is_protected():
    objects = list((REPO / "build" / "obj" / "src").rglob("*.o"))
    out = subprocess.run(["nm", *objects], check=True, capture_output=True,
                         text=True).stdout
    assert "__stack_chk_fail" in out


def test_is_stripped_and_small():
    sections = readelf("-S")
    assert ".symtab" not in sections
    assert ".debug" not in sections
    assert BINARY.stat().st_size < SIZE_MAX


def test_names_no_build_path():
    data = BINARY.read_bytes()
    home = pathlib.Path.home()
    for path in {REPO, REPO.parent, home}:
        if len(path.parts) > 1:
            assert os.fsencode(path) + b"/" not in data


def test_import_is_the_same_binary():
    link = REPO / "build" / "import"
    assert link.is_symlink() and link.resolve() == BINARY


def copy_tree(target):
    """The sources without what git ignores, sharing the fetched archives."""
    shutil.copytree(REPO, target, symlinks=True, ignore=shutil.ignore_patterns(
        "build", "data", ".git", "__pycache__", "node_modules"))
    return target


def build(tree):
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("MAKE", "MFLAGS"))}
    # Nothing to reach: the archives have to come from vendor/cache.
    env["http_proxy"] = env["https_proxy"] = "http://127.0.0.1:9"
    done = subprocess.run(["make", "-C", tree, "all"], env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-4000:]
    return (tree / "build" / "openchampps").read_bytes()


@pytest.mark.limit(600)
def test_two_builds_are_identical(tmp_path):
    """In two directories, offline, and as the binary under test."""
    first = build(copy_tree(tmp_path / "one"))
    second = build(copy_tree(tmp_path / "a longer name" / "two"))
    assert first == second
    assert first == BINARY.read_bytes()
