"""
A whole life with known tokens and a known private key; then nothing of them
may be anywhere but where they belong: not in logs, errors, the store, an
export, the memory of the server once its connections are gone, or a core.
"""

import base64
import os
import re
import resource
import signal
import struct
import subprocess
import uuid

import pytest

import wsraw
from conftest import (LONG_AGO, export_rows, row, run, token, wait_until,
                      write_csv)

# Each token has a way of its own into the server.
NAMES = ["good", "upper", "expired", "unknown", "query", "origin", "reason",
         "binary", "type", "unfinished", "extra", "broken", "ping", "header",
         "bad row", "later", "own mask", "plain", "half frame", "user agent"]
TOKENS = {name: token(0xc0ffee000100 + i) for i, name in enumerate(NAMES)}
PAGE = os.sysconf("SC_PAGE_SIZE")
PRESENT, SWAPPED = 1 << 63, 1 << 62


# What to look for

def encoded(data):
    """base64, wherever the bytes begin within a longer text."""
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + data)
        # The first and last characters depend on what is around.
        yield text[4 if shift else 0:len(text) // 4 * 4 - 4]


def forms(tok):
    """{form: bytes} of a token; the tail is what a partial wipe leaves."""
    raw, text = uuid.UUID(tok).bytes, tok.encode()
    found = {"text": text, "upper": text.upper(), "raw": raw,
             "little-endian": uuid.UUID(tok).bytes_le,
             "words": struct.pack("<4I", *struct.unpack(">4I", raw)),
             "hex": raw.hex().encode(),
             "upper hex": raw.hex().upper().encode(),
             "tail of text": text[19:], "tail raw": raw[8:]}
    for i, code in enumerate([*encoded(raw), *encoded(text)]):
        found["base64 %d" % i] = code
    return found


def masked_forms(tok):
    """As it came in, under the mask that is known."""
    for i in range(4):
        mask = wsraw.MASK[i:] + wsraw.MASK[:i]
        yield "masked %d" % i, wsraw.mask_bytes(tok.encode()[16:], mask)


def token_patterns(is_memory=False):
    patterns = {}
    for name, tok in TOKENS.items():
        for form, value in forms(tok).items():
            patterns["%s: %s" % (name, form)] = value
        if is_memory:
            for form, value in masked_forms(tok):
                patterns["%s: %s" % (name, form)] = value
    return patterns


def key_patterns(pem, der):
    """The lines of the PEM file, and the scalar in several forms."""
    scalar = scalar_of(der)
    found = {"scalar": scalar, "reversed scalar": scalar[::-1],
             "hex scalar": scalar.hex().encode(),
             "upper hex scalar": scalar.hex().upper().encode()}
    found.update(pem_patterns(pem))
    for i, code in enumerate(encoded(scalar)):
        found["base64 scalar %d" % i] = code
    return found


def pem_patterns(pem):
    lines = [x for x in pem.split(b"\n") if x and not x.startswith(b"-")]
    return {"PEM line %d" % i: x for i, x in enumerate(lines) if len(x) > 20}


def scalar_of(der):
    """RFC 5915: an OCTET STRING of 32 bytes within the key."""
    at = der.index(b"\x02\x01\x01\x04\x20")
    return der[at + 5:at + 37]


def hits(data, patterns):
    return [name for name, value in patterns.items() if value in data]


# Keys

def make_pair(folder, name):
    """cert and key file of a new P-256 pair, the key's DER"""
    key, cert = folder / (name + ".key"), folder / (name + ".crt")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                    "-out", cert, "-days", "30", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost"],
                   check=True, stderr=subprocess.DEVNULL)
    key.chmod(0o600)
    return cert, key, der_of(key)


def der_of(key):
    return subprocess.run(["openssl", "pkey", "-in", key, "-outform", "DER"],
                          check=True, stdout=subprocess.PIPE).stdout


# The memory of a process

MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)")


def mappings(pid):
    with open("/proc/%d/maps" % pid, encoding="utf-8") as lines:
        for line in lines:
            begin, end, mode, name = MAPPING.match(line).groups()
            if "r" in mode and name not in ("[vvar]", "[vsyscall]",
                                            "[vvar_vclock]"):
                yield int(begin, 16), int(end, 16), name or "anonymous"


def present_runs(pagemap, begin, end):
    """The parts of a mapping that have pages: most of ours have none."""
    pagemap.seek(begin // PAGE * 8)
    raw = pagemap.read((end - begin) // PAGE * 8)
    entries = struct.unpack("%dQ" % (len(raw) // 8), raw)
    start = None
    for i, entry in enumerate([*entries, 0]):
        is_there = bool(entry & (PRESENT | SWAPPED))
        if is_there and start is None:
            start = i
        elif not is_there and start is not None:
            yield begin + start * PAGE, (i - start) * PAGE
            start = None


def memory_hits(pid, patterns):
    """{"pattern": mapping and offset} of all that the process has."""
    found = {}
    with open("/proc/%d/pagemap" % pid, "rb") as pagemap, \
            open("/proc/%d/mem" % pid, "rb", 0) as mem:
        for begin, end, name in mappings(pid):
            if end - begin > 1 << 32:
                continue  # the map of the store; its file is read instead
            for at, size in present_runs(pagemap, begin, end):
                data = os.pread(mem.fileno(), size, at)
                for hit in hits(data, patterns):
                    where = at + data.index(patterns[hit]) - begin
                    found[hit] = "%s +%#x of %#x" % (name, where, end - begin)
    return found


# A life

def talk(server, name, tls=True):
    return server.open(tls), TOKENS[name]


def say(client, text, kind=None):
    """Sends it and waits for whatever becomes of it."""
    client.send_frame(wsraw.TEXT if kind is None else kind, text)
    client.read_frame()


def auth(tok, more=""):
    return '{"type":"token_auth","payload":{"token":"%s"%s}}' % (tok, more)


def odd_places(server):
    """A token where none belongs."""
    for request in (
            wsraw.upgrade_request(path="/ws?token=" + TOKENS["query"]),
            wsraw.upgrade_request(extra=["Origin: https://"
                                         + TOKENS["origin"]]),
            wsraw.upgrade_request(path="/" + TOKENS["header"],
                                  extra=["Authorization: Bearer "
                                         + TOKENS["header"]]),
            wsraw.upgrade_request(extra=["User-Agent: "
                                         + TOKENS["user agent"]])):
        with server.connect() as client:
            client.send(request)
            client.read_response()
    for name, kind, text in (
            ("reason", wsraw.CLOSE, b"\x03\xe8%s"),
            ("binary", wsraw.BINARY, b"%s"),
            ("ping", wsraw.PING, b"%s"),
            ("type", wsraw.TEXT, b'{"type":"%s"}'),
            ("extra", wsraw.TEXT, b'{"type":"x","%s":"%s"}'),
            ("broken", wsraw.TEXT, b'{"type":"token_auth","payload":%s'),
            ("unfinished", wsraw.TEXT, b'{"payload":{"token":"%s')):
        client, tok = talk(server, name)
        with client:
            say(client, text.replace(b"%s", tok.encode()), kind)


def logins(server):
    for name in ("good", "expired", "unknown"):
        client, tok = talk(server, name)
        with client:
            say(client, auth(tok))
    client, tok = talk(server, "upper")
    with client:
        say(client, auth(tok.upper(), ',"extra":[1,2,{"a":null}]'))
    client, tok = talk(server, "plain", tls=False)
    with client:
        say(client, auth(tok))
    client, tok = talk(server, "own mask")
    with client:
        client.send_frame(wsraw.TEXT, auth(tok), mask=b"\0\0\0\0")
        client.read_frame()
    client, tok = talk(server, "half frame")
    with client:
        client.send(wsraw.frame(wsraw.TEXT, auth(tok))[:-2])
        client.half_close()
        client.read_to_eof(5)


def imports(folder, data):
    """Output of imports, one with a bad row; a token in each message?"""
    rows = [row(TOKENS[n], n) for n in NAMES
            if n not in ("unknown", "later", "bad row", "expired")]
    rows.append(row(TOKENS["expired"], "old", expires_at=LONG_AGO))
    good, bad = folder / "good.csv", folder / "bad.csv"
    write_csv(good, rows)
    write_csv(bad, [row(TOKENS["bad row"], "x"),
                    row(TOKENS["bad row"] + "0", "x"),
                    row(TOKENS["bad row"].upper(), "y"),
                    row("x", TOKENS["bad row"], expires_at="soon"),
                    row(TOKENS["good"], "someone else")])
    results = [run("import", "--data", data, good),
               run("import", "--data", data, bad)]
    assert [r.returncode for r in results] == [0, 1]
    good.unlink()
    bad.unlink()
    return "".join(r.stdout + r.stderr for r in results)


def import_later(folder, data):
    """While the server runs."""
    path = folder / "later.csv"
    write_csv(path, [row(TOKENS["later"], "later")])
    result = run("import", "--data", data, path)
    path.unlink()
    assert result.returncode == 0
    return result.stdout + result.stderr


def settle(server, idle):
    """All connections have ended and been swept."""
    wait_until(lambda: len(os.listdir("/proc/%d/fd" % server.pid)) <= idle, 14)


@pytest.fixture
def life(server_factory, data_dir, tmp_path):
    """(server, output of the imports, pair): everything has happened"""
    pair = make_pair(tmp_path, "first")
    said = imports(tmp_path, data_dir)
    server = server_factory("--cert", pair[0], "--key", pair[1],
                            data=data_dir, rows=None)
    server.ca_file = pair[0]
    idle = len(os.listdir("/proc/%d/fd" % server.pid))
    said += import_later(tmp_path, data_dir)
    odd_places(server)
    logins(server)
    # The last thing that happens, so that nothing covers its traces.
    client, tok = talk(server, "later")
    with client:
        say(client, auth(tok))
    settle(server, idle)
    return server, said, pair


def files_of(data):
    return [p for p in data.rglob("*") if p.is_file()]


def file_hits(paths, patterns):
    return {"%s in %s" % (hit, path.name): len(path.read_bytes())
            for path in paths for hit in hits(path.read_bytes(), patterns)}


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root")


def test_nothing_on_disk_or_in_the_log(life, data_dir):
    server, said, (_, key, der) = life
    server.signal(signal.SIGHUP)
    server.wait_log("event=certificate.*\n(.*\n)*.*event=certificate")
    patterns = {**token_patterns(), **key_patterns(key.read_bytes(), der)}
    assert file_hits(files_of(data_dir), patterns) == {}
    server.stop()
    export = run("export", "--data", data_dir)
    assert export.returncode == 0
    assert len(export_rows(data_dir)) == len(NAMES) - 2
    assert file_hits(files_of(data_dir), patterns) == {}
    written = said + server.log_text() + export.stdout + export.stderr
    assert hits(written.encode(), patterns) == []


@needs_root
def test_no_token_in_memory(life):
    server, _, _ = life
    assert memory_hits(server.pid, token_patterns(is_memory=True)) == {}


@needs_root
def test_token_of_a_live_connection_is_found(life):
    """The search works: what a connection has just sent is there."""
    server, _, _ = life
    with server.open() as client:
        client.send(wsraw.frame(wsraw.TEXT, auth(TOKENS["good"]))[:-2])
        wait_until(lambda: memory_hits(
            server.pid, token_patterns(is_memory=True)))


@needs_root
def test_key_in_memory(life):
    """The scalar is in use; its file's text is not kept."""
    server, _, (_, key, der) = life
    assert memory_hits(server.pid, {"scalar": scalar_of(der)})
    assert memory_hits(server.pid, pem_patterns(key.read_bytes())) == {}


@needs_root
def test_old_key_is_gone_after_a_reload(life, tmp_path):
    server, _, (cert, key, der) = life
    old = key_patterns(key.read_bytes(), der)
    new_cert, new_key, new_der = make_pair(tmp_path, "second")
    mark = server.log_mark()
    os.replace(new_cert, cert)
    os.replace(new_key, key)
    server.signal(signal.SIGHUP)
    server.wait_log("event=certificate", start=mark)
    server.open().close()
    assert memory_hits(server.pid, {"scalar": scalar_of(new_der)})
    assert memory_hits(server.pid, old) == {}


def test_keys_of_the_local_ca(server_factory):
    """Each key that a first start makes is in its own file only."""
    server = server_factory()
    files = files_of(server.data)
    keys = [p for p in files if b"PRIVATE" in p.read_bytes()]
    assert sorted(p.name for p in keys) == ["ca-key.pem", "key.pem"]
    for key in keys:
        patterns = key_patterns(key.read_bytes(), der_of(key))
        assert file_hits([p for p in files if p != key], patterns) == {}
        assert hits(server.log_text().encode(), patterns) == []


@needs_root
def test_key_of_the_local_ca_is_not_in_memory(server_factory):
    """The one that signs certificates is needed at the start only."""
    server = server_factory()
    key = server.data / "tls" / "ca-key.pem"
    assert memory_hits(server.pid, key_patterns(key.read_bytes(),
                                                der_of(key))) == {}


# Cores

def limit_of(pid):
    with open("/proc/%d/limits" % pid, encoding="ascii") as lines:
        return next(x.split()[4:6] for x in lines
                    if x.startswith("Max core file size"))


def test_no_core_is_allowed(server_factory, tmp_path):
    """Though the one who starts it would have one."""
    server = server_factory(wrap=["prlimit", "--core=65536:unlimited"])
    assert limit_of(server.pid) == ["0", "0"]


def test_no_core_is_written(server_factory, tmp_path):
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as pattern:
        if pattern.read().startswith(("/", "|")):
            pytest.skip("cores go elsewhere on this machine")
    limit = resource.getrlimit(resource.RLIMIT_CORE)[1]
    if limit == 0:
        pytest.skip("no core may be written by anyone here")
    server = server_factory(wrap=["env", "-C", str(tmp_path), "prlimit",
                                  "--core=unlimited:unlimited"])
    server.signal(signal.SIGSEGV)
    assert server.wait(10) == -signal.SIGSEGV
    assert list(tmp_path.iterdir()) == []


@needs_root
def test_process_is_not_dumpable(server_factory, data_dir):
    """The kernel gives /proc/PID of such a process to root: neither ptrace
    nor its memory is open to others of the same user."""
    os.chown(data_dir, 65534, 65534)
    data_dir.chmod(0o700)
    server = server_factory(data=data_dir, rows=None, wrap=[
        "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    assert os.stat("/proc/%d/stat" % server.pid).st_uid == 0
