"""The command line, and everything that can be wrong before it serves."""

import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess

import pytest

from conftest import (BINARY, FAR_AHEAD, VALID, Server, export_rows,
                      import_rows, row, run, token)
from lmdbfile import find_value, foreign_database

SERVE = ("--listen", "127.0.0.1:0")


def fails(result, *words, status=1):
    """
    One line on stderr that names the thing (a lower-case match of each
    word), the exit status, nothing on stdout. Returns the line.
    """
    found = [x for x in result.stderr.splitlines() if x.strip()]
    assert result.returncode == status, (result.returncode, found)
    assert found, "no word on stderr"
    for word in words:
        assert str(word).lower() in found[-1].lower(), found
    assert result.stdout == ""
    assert len(found) == 1, "more than one line"
    assert len(found[0]) < 400
    return found[0]


@pytest.fixture
def nobody(data_dir):
    """
    (wrap, directory, binary): how to run as a user who owns nothing, in a
    directory that lets it in.
    """
    if os.getuid() != 0:
        pytest.skip("needs root to become another user")
    if not shutil.which("setpriv"):
        pytest.skip("needs setpriv")
    data_dir.chmod(0o755)
    binary = shutil.copy(BINARY, data_dir / "openchampps")
    wrap = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    return wrap, data_dir, binary


# What answers at once

@pytest.mark.parametrize("args", [
    ("--help",), ("import", "--help"), ("export", "--help"),
    ("health", "--help"), ("cert", "--help")])
def test_help(args):
    result = run(*args)
    assert result.returncode == 0
    assert "usage" in result.stdout.lower()
    assert "--data" in result.stdout or args[0] == "health"
    assert result.stderr == ""


def test_help_names_the_options():
    text = run("--help").stdout
    for option in ("--data", "--listen", "--listen-plain", "--cert", "--key",
                   "--host", "--allow-origin", "--max-connections",
                   "--version", "--licenses", "import", "export", "cert"):
        assert option in text, option


def test_version():
    result = run("--version")
    assert result.returncode == 0 and result.stderr == ""
    assert re.search(r"openchampps \d+\.\d+", result.stdout)
    for library in ("musl", "BearSSL", "LMDB", "cJSON"):
        assert re.search(library + r"\W+v?\d+\.\d+", result.stdout), library


def test_licenses():
    result = run("--licenses")
    assert result.returncode == 0 and result.stderr == ""
    for words in ("MIT", "Thomas Pornin", "OpenLDAP Public License", "Symas",
                  "Dave Gamble", "Rich Felker"):
        assert words in result.stdout, words


# The command line

@pytest.mark.parametrize("args, word", [
    ((), "--data"),
    (("--listen", "127.0.0.1:0"), "--data"),
    (("import", "x.csv"), "--data"),
    (("export",), "--data"),
    (("--data",), "--data"),
    (("--data", "/nonexistent", "--frobnicate"), "frobnicate"),
    (("--data", "/nonexistent", "-Q"), "Q"),
    (("frobnicate",), "frobnicate"),
    (("import", "--data", "/nonexistent", "--frobnicate", "x"),
     "frobnicate"),
    (("import", "--data", "/nonexistent"), "FILE"),
    (("--data", "/nonexistent", "--max-connections", "many"),
     "max-connections"),
    (("--data", "/nonexistent", "--max-connections", "-1"),
     "max-connections"),
    (("--data", "/nonexistent", "--max-connections", "0"),
     "max-connections"),
    (("--data", "/nonexistent", "--cert", "x"), "--key"),
    (("--data", "/nonexistent", "--key", "x"), "--cert"),
])
def test_usage_error(args, word):
    fails(run(*args), word, status=2)


@pytest.mark.parametrize("address", [
    "nonsense", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999",
    "127.0.0.1:-1", "127.0.0.1:http", "300.0.0.1:1", "::1:1", "[::1]", "",
    "[::1:1", "127.0.0.1:1:1", "localhost:8443"])
@pytest.mark.parametrize("option", ["--listen", "--listen-plain"])
def test_bad_address(data_dir, option, address):
    result = run("--data", data_dir, *SERVE, option, address)
    fails(result, address or option, status=2)
    assert list(data_dir.iterdir()) == [], "half-written"


def test_plain_listener_is_for_loopback(data_dir):
    result = run("--data", data_dir, *SERVE, "--listen-plain", "0.0.0.0:0")
    assert result.returncode in (1, 2)
    fails(result, "0.0.0.0:0", "--plain-anywhere", status=result.returncode)


def test_address_of_another_machine(data_dir):
    result = run("--data", data_dir, "--listen", "192.0.2.1:8443")
    assert result.returncode == 1
    assert "192.0.2.1:8443" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("option", ["--listen", "--listen-plain"])
def test_port_in_use(data_dir, option):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = "127.0.0.1:%d" % other.getsockname()[1]
        result = run("--data", data_dir, *SERVE, option, address)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1].lower()
    assert address in last and "in use" in last


def test_listens_on_ipv6(data_dir):
    server = Server(BINARY, data_dir, ["--listen", "[::1]:0"])
    try:
        server.wait_listening({"wss"})
        with socket.create_connection(("::1", server.port), timeout=5):
            pass
    finally:
        server.finish()


# The directory

def test_directory_that_is_missing(tmp_path):
    path = tmp_path / "missing"
    fails(run("--data", path, *SERVE), path)
    assert not path.exists()


@pytest.mark.parametrize("command", ["import", "export"])
def test_command_on_a_missing_directory(tmp_path, command):
    path = tmp_path / "missing"
    source = tmp_path / "tokens.csv"
    source.write_text("token,username\n")
    args = [source] if command == "import" else []
    fails(run(command, "--data", path, *args), path)
    assert not path.exists()


def test_directory_that_is_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    fails(run("--data", path, *SERVE), path)
    assert path.read_text() == "x"


def test_directory_that_may_not_be_read(nobody):
    wrap, folder, binary = nobody
    path = folder / "data"
    path.mkdir(0o700)
    fails(run("--data", path, *SERVE, wrap=wrap, binary=binary), path)


def test_directory_that_may_not_be_written(nobody):
    wrap, folder, binary = nobody
    path = folder / "data"
    path.mkdir()
    path.chmod(0o755)
    fails(run("--data", path, *SERVE, wrap=wrap, binary=binary), path)
    assert list(path.iterdir()) == []


def test_database_of_another_user(nobody):
    """A directory of one's own, a store that root wrote."""
    wrap, folder, binary = nobody
    path = folder / "data"
    path.mkdir(0o700)
    import_rows(path, [row(VALID, "jane.doe")])
    os.chown(path, 65534, 65534)
    result = run("--data", path, *SERVE, wrap=wrap, binary=binary)
    assert result.returncode == 1
    assert str(path) in result.stderr.splitlines()[-1]


def test_directory_of_a_user_of_no_name(nobody):
    """The numeric user of a container works."""
    wrap, folder, binary = nobody
    path = folder / "data"
    path.mkdir(0o700)
    os.chown(path, 65534, 65534)
    server = Server(binary, path, SERVE, wrap=wrap)
    try:
        server.wait_listening({"wss"})
        assert server.get("/health").status == 200
    finally:
        server.finish()


def test_full_directory_path_with_a_space(tmp_path):
    path = tmp_path / "with space"
    path.mkdir(0o700)
    server = Server(BINARY, path, SERVE)
    try:
        server.wait_listening({"wss"})
    finally:
        server.finish()


# The database

def files_of(folder):
    return {p: p.read_bytes() for p in pathlib.Path(folder).rglob("*")
            if p.is_file() and "lock" not in p.name}


def refuses_database(folder, *words):
    """Serving and importing and exporting: refused, nothing changed."""
    before = files_of(folder)
    source = folder.parent / (folder.name + ".csv")
    source.write_text("token,username\n%s,jane\n" % VALID)
    try:
        for args in (("--data", folder, *SERVE), ("export", "--data", folder),
                     ("import", "--data", folder, source)):
            fails(run(*args), "store.mdb", *words)
            assert files_of(folder) == before, args[0]
    finally:
        source.unlink()


@pytest.mark.parametrize("content", [
    b"This is not a database.\n" * 1000, bytes(range(256)) * 256, b"x",
    b"SQLite format 3\x00" + b"\x00" * 8000, b"\x00" * 65536],
    ids=["text", "bytes", "short", "sqlite", "zeros"])
def test_database_that_is_none(data_dir, content):
    (data_dir / "store.mdb").write_bytes(content)
    refuses_database(data_dir)


def test_database_of_another_program(data_dir):
    (data_dir / "store.mdb").write_bytes(foreign_database())
    refuses_database(data_dir)


def test_database_of_a_newer_lmdb(data_dir):
    import_rows(data_dir, [row(VALID, "jane.doe")])
    path = data_dir / "store.mdb"
    data = bytearray(path.read_bytes())
    for page in (0, 4096):
        assert data[page + 16:page + 24] == struct.pack("<II", 0xbeefc0de, 1)
        data[page + 20:page + 24] = struct.pack("<I", 2)
    path.write_bytes(data)
    refuses_database(data_dir)


def test_database_of_a_newer_version_of_ours(data_dir):
    import_rows(data_dir, [row(VALID, "jane.doe")])
    path = data_dir / "store.mdb"
    data = bytearray(path.read_bytes())
    places = find_value(data, b"version")
    assert places, "no version in the meta table"
    for start, size in places:
        data[start:start + size] = (99).to_bytes(size, "little")
    path.write_bytes(data)
    refuses_database(data_dir, "newer")


@pytest.mark.parametrize("keep", [1, 4095, 4096, 5000, 8192, 0.5])
def test_database_cut_short(data_dir, keep):
    """As a full disk or a broken copy leaves it."""
    import_rows(data_dir, [row(token(i), "p%d" % i) for i in range(200)])
    path = data_dir / "store.mdb"
    data = path.read_bytes()
    path.write_bytes(data[:len(data) // 2 if keep == 0.5 else keep])
    refuses_database(data_dir)


def test_second_server_on_one_directory(server_factory):
    """It works: both serve the same tokens, changes of each are seen."""
    first = server_factory()
    second = server_factory(data=first.data, rows=None)
    for server in (first, second, first):
        server.open(token=VALID).close()
    second.stop()
    first.open(token=VALID).close()
    assert export_rows(first.data)


# Certificate and key

def make_key(path, mode=0o600):
    subprocess.run(["openssl", "ecparam", "-genkey", "-noout", "-name",
                    "prime256v1", "-out", str(path)], check=True)
    path.chmod(mode)
    return path


@pytest.fixture
def pair(tmp_path):
    key = make_key(tmp_path / "key.pem")
    cert = tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-key", str(key), "-out",
                    str(cert), "-days", "30", "-subj", "/CN=localhost"],
                   check=True)
    return cert, key


def serve_with(data, cert, key):
    return run("--data", data, *SERVE, "--cert", cert, "--key", key)


def test_certificate_that_is_missing(data_dir, pair, tmp_path):
    path = tmp_path / "missing.pem"
    fails(serve_with(data_dir, path, pair[1]), path)
    fails(serve_with(data_dir, pair[0], path), path)
    assert not (data_dir / "tls").exists()


@pytest.mark.parametrize("content", [
    "", "garbage\n", "-----BEGIN CERTIFICATE-----\n!!\n"
    "-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\nAAAA",
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_certificate_that_is_none(data_dir, pair, content):
    pair[0].write_text(content)
    fails(serve_with(data_dir, *pair), pair[0])


@pytest.mark.parametrize("content", [
    "", "garbage\n", "-----BEGIN PRIVATE KEY-----\nAAAA\n"
    "-----END PRIVATE KEY-----\n", "-----BEGIN EC PRIVATE KEY-----\nAAAA"])
def test_key_that_is_none(data_dir, pair, content):
    pair[1].write_text(content)
    fails(serve_with(data_dir, *pair), pair[1])


def test_certificate_and_key_in_the_wrong_order(data_dir, pair):
    pair[0].chmod(0o600)
    result = serve_with(data_dir, pair[1], pair[0])
    assert result.returncode == 1
    assert "key.pem" in result.stderr or "cert.pem" in result.stderr


def test_key_of_another_certificate(data_dir, pair, tmp_path):
    other = make_key(tmp_path / "other.pem")
    fails(serve_with(data_dir, pair[0], other), other, "match")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_key_that_others_may_read(data_dir, pair, mode):
    pair[1].chmod(mode)
    line = fails(serve_with(data_dir, *pair), pair[1])
    assert re.search(r"chmod|0?600|permission|others", line)


def test_key_content_is_never_printed(data_dir, pair):
    secret = pair[1].read_text().splitlines()[1]
    pair[1].write_text(pair[1].read_text().replace("\nM", "\nN", 1))
    result = serve_with(data_dir, *pair)
    assert result.returncode == 1
    assert secret[:20] not in result.stderr


# The environment

def test_options_from_the_environment(data_dir):
    server = Server(BINARY, data_dir, [], env={
        "OPENCHAMPPS_LISTEN": "127.0.0.1:0",
        "OPENCHAMPPS_LISTEN_PLAIN": "127.0.0.1:0",
        "OPENCHAMPPS_ALLOW_ORIGIN": "https://game.example"})
    try:
        server.wait_listening({"wss", "ws"})
        with server.connect(tls=False) as client:
            client.upgrade(extra=["Origin: https://game.example"])
    finally:
        server.finish()


def test_data_from_the_environment(data_dir):
    result = run("export", env={"OPENCHAMPPS_DATA": str(data_dir / "no")})
    fails(result, data_dir / "no")
    import_rows(data_dir, [row(VALID, "jane.doe")])
    result = run("export", env={"OPENCHAMPPS_DATA": str(data_dir)})
    assert result.returncode == 0 and "jane.doe" in result.stdout


def test_flag_beats_the_environment(data_dir):
    import_rows(data_dir, [row(VALID, "jane.doe", expires_at=FAR_AHEAD)])
    result = run("export", "--data", data_dir,
                 env={"OPENCHAMPPS_DATA": "/nonexistent"})
    assert result.returncode == 0 and "jane.doe" in result.stdout


def test_bad_value_in_the_environment(data_dir):
    result = run("--data", data_dir, *SERVE,
                 env={"OPENCHAMPPS_MAX_CONNECTIONS": "many"})
    fails(result, "max", "many", status=2)


# The first run

def test_empty_directory_is_all_it_needs(server_factory):
    server = server_factory(rows=None)
    assert (server.data / "store.mdb").is_file()
    assert server.ca_file.is_file()
    for path in server.data.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0 or path.suffix == ".pem", path
    assert export_rows(server.data) == {}


def test_log_says_where_it_listens(server_factory):
    """In these words: scripts wait for them."""
    server = server_factory(rows=None)
    for scheme, port in (("wss", server.port), ("ws", server.plain_port)):
        words = "listening %s://127.0.0.1:%d/ws" % (scheme, port)
        assert words in server.log_text()


def test_second_run_keeps_what_the_first_made(server_factory):
    first = server_factory()
    kept = {p: p.read_bytes() for p in (first.data / "tls").iterdir()}
    first.stop()
    second = server_factory(data=first.data, rows=None)
    assert {p: p.read_bytes() for p in (first.data / "tls").iterdir()} == kept
    second.open(token=VALID).close()
