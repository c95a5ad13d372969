"""openchampps cert: what is served, and the CA for clients."""

import datetime
import json
import os
import re
import shutil
import ssl
import subprocess

import pytest

from conftest import BINARY, child_env, run
from test_cert import dated, keys, make_key, openssl, pair, sha256_of

_ = keys, pair  # fixtures

pytestmark = pytest.mark.skipif(not shutil.which("openssl"),
                                reason="needs the openssl command")

LEAF = ["subject", "names", "issuer", "sha256", "key", "not_before",
        "not_after", "days_left", "warning"]
CA = ["ca_sha256", "ca_not_after", "ca_days_left"]


def shown(*args, **options):
    """What a script reads."""
    result = run("cert", "--json", *args, **options)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout)


def refused(*args, words, status=1):
    result = run("cert", *args)
    lines = result.stderr.splitlines()
    assert (result.returncode, len(lines), result.stdout) == (status, 1, "")
    assert lines[0].startswith("openchampps cert: ")
    for word in words:
        assert str(word) in lines[0], lines


def date(path, which):
    """notBefore or notAfter, as openssl has it."""
    text = openssl("x509", "-in", path, "-noout", "-" + which).split("=")[1]
    return datetime.datetime.strptime(
        text.strip(), "%b %d %H:%M:%S %Y %Z").strftime("%Y-%m-%dT%H:%M:%SZ")


def snapshot(folder):
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino)
            for path in folder.rglob("*")}


# The local one

def test_local_for_scripts(server):
    tls = server.data / "tls"
    said = shown("--data", server.data)
    assert list(said) == LEAF + CA
    assert said["subject"] == "localhost"
    assert said["names"].split(" ") == ["localhost", "127.0.0.1", "::1"]
    assert re.fullmatch("openchampps local CA [0-9a-f]{8}", said["issuer"])
    assert said["sha256"] == sha256_of(tls / "cert.pem")
    assert said["key"] == "EC P-256"
    assert said["not_before"] == date(tls / "cert.pem", "startdate")
    assert said["not_after"] == date(tls / "cert.pem", "enddate")
    assert said["days_left"] in (819, 820)
    assert said["warning"] is None
    assert said["ca_sha256"] == sha256_of(tls / "ca.pem")
    assert said["ca_not_after"] == date(tls / "ca.pem", "enddate")
    assert said["ca_days_left"] in (3649, 3650)


def test_local_for_people(server):
    result = run("cert", "--data", server.data)
    said = shown("--data", server.data)
    lines = dict(line.split(": ", 1) for line in result.stdout.splitlines())
    assert list(lines) == list(said)
    for name, value in said.items():
        # A day may have ended between the two.
        if "days_left" not in name:
            assert lines[name] == ("-" if value is None else value)


def test_is_what_a_client_sees(server):
    der = ssl.PEM_cert_to_DER_cert(
        ssl.get_server_certificate(("127.0.0.1", server.port)))
    path = server.data / "seen.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(der))
    assert shown("--data", server.data)["sha256"] == sha256_of(path)
    assert shown("--data", server.data)["sha256"] in server.log_text()


def test_only_reads(server):
    before = snapshot(server.data)
    for args in ((), ("--json",), ("--ca", "pem"), ("--ca", "der")):
        assert subprocess.run(
            [BINARY, "cert", "--data", server.data, *args], env=child_env(),
            stdout=subprocess.DEVNULL, timeout=15).returncode == 0
    assert snapshot(server.data) == before


def test_options_of_the_environment(server):
    """As `docker exec` has them."""
    said = shown(env={"OPENCHAMPPS_DATA": str(server.data)})
    assert said["sha256"] == shown("--data", server.data)["sha256"]


def test_ca_key_is_not_needed(server_factory):
    data = server_factory(rows=None).data
    (data / "tls" / "ca-key.pem").unlink()
    assert list(shown("--data", data)) == LEAF + CA
    (data / "tls" / "ca.pem").unlink()
    assert list(shown("--data", data)) == LEAF
    refused("--data", data, "--ca", "pem", words=["ca.pem: No such file"])


def test_nothing_there_yet(data_dir):
    refused("--data", data_dir, words=[
        data_dir / "tls" / "cert.pem", "not there", "when it first starts"])
    refused("--data", data_dir, "--ca", "pem",
            words=[data_dir / "tls" / "ca.pem", "No such file"])
    assert list(data_dir.iterdir()) == []


def test_what_the_server_would_refuse(server_factory):
    data = server_factory(rows=None).data
    key = data / "tls" / "key.pem"
    key.chmod(0o644)
    refused("--data", data, words=[key, "0644", "chmod 600"])
    shutil.copy(data / "tls" / "ca-key.pem", key)
    key.chmod(0o600)
    refused("--data", data, words=[key, "does not match"])


# The CA for clients

def exported(server, form):
    return subprocess.run([BINARY, "cert", "--data", server.data, "--ca",
                           form], env=child_env(), stdout=subprocess.PIPE,
                          timeout=15, check=True).stdout


def test_ca_as_pem(server):
    text = exported(server, "pem").decode("ascii")
    assert text == server.ca_file.read_text()
    assert "PRIVATE" not in text


def test_ca_as_der(server):
    assert exported(server, "der") == ssl.PEM_cert_to_DER_cert(
        server.ca_file.read_text())


def test_ca_of_ones_own_without_what_stands_around(server_factory, tmp_path):
    """Text and a key in the same file do not get out."""
    data = server_factory(rows=None).data
    ca, key = data / "tls" / "ca.pem", data / "tls" / "ca-key.pem"
    text = ca.read_text()
    ca.write_text("My CA\n" + key.read_text() + text)
    result = run("cert", "--data", data, "--ca", "pem")
    assert result.stdout == text


def test_full_disk(server):
    with open("/dev/full", "wb") as full:
        for args in ((), ("--ca", "pem"), ("--ca", "der")):
            result = subprocess.run(
                [BINARY, "cert", "--data", server.data, *args], stdout=full,
                env=child_env(), stderr=subprocess.PIPE, timeout=15)
            assert result.returncode == 1
            assert b"No space left" in result.stderr


# A given pair

@pytest.mark.parametrize("kind, name", [
    ("p256", "EC P-256"), ("p384", "EC P-384"), ("rsa2048", "RSA 2048")])
def test_given_pair(pair, kind, name):
    cert, key = pair(kind)
    said = shown("--cert", cert, "--key", key)
    assert list(said) == LEAF
    assert said["key"] == name
    assert said["sha256"] == sha256_of(cert)
    assert said["names"] == "localhost 127.0.0.1"
    assert said["subject"] == said["issuer"] == "localhost"
    assert said["days_left"] in (29, 30)


def test_given_pair_beats_the_local_one(server, pair):
    """As with the server, whose options the environment may hold."""
    cert, key = pair("p256")
    said = shown("--data", server.data, env={
        "OPENCHAMPPS_CERT": str(cert), "OPENCHAMPPS_KEY": str(key)})
    assert said["sha256"] == sha256_of(cert)


@pytest.mark.parametrize("first, last, days, words", [
    (-5, 13.5, 13, "expires on 20"), (-5, -0.5, -1, "expired on 20"),
    (0.5, 99.5, 99, "is not valid before 20"), (-1, 14.5, 14, None)])
def test_dates(keys, tmp_path, first, last, days, words):
    cert = dated(tmp_path, keys("p256"), first, last)
    said = shown("--cert", cert, "--key", keys("p256"))
    assert said["days_left"] == days
    assert words in said["warning"] if words else said["warning"] is None


def test_names_of_many_kinds(tmp_path, keys):
    """No subject but an organization, odd bytes, what is no host."""
    cert = tmp_path / "cert.pem"
    openssl("req", "-x509", "-new", "-key", keys("p256"), "-out", cert,
            "-days", 30, "-utf8", "-subj", "/C=DE/O=Würfel\x1b[31m & Söhne",
            "-addext", "subjectAltName=DNS:*.example.org,email:a@b.example,"
            "URI:https://c.example,IP:2001:db8::7,IP:192.0.2.7")
    said = shown("--cert", cert, "--key", keys("p256"))
    assert said["subject"] == "Würfel\x1b[31m & Söhne"
    assert said["names"] == "*.example.org 2001:db8::7 192.0.2.7"
    text = run("cert", "--cert", cert, "--key", keys("p256")).stdout
    assert "\x1b" not in text and "subject: Würfel?[31m" in text


def test_no_names_at_all(tmp_path, keys):
    cert = tmp_path / "cert.pem"
    openssl("req", "-x509", "-new", "-key", keys("p256"), "-out", cert,
            "-days", 30, "-subj", "/C=DE")
    said = shown("--cert", cert, "--key", keys("p256"))
    assert (said["subject"], said["issuer"], said["names"]) == (
        None, None, "")


def test_largest_number_of_names(tmp_path, keys):
    """A file of nearly 64 KiB, with the names that grow most."""
    def make(count):
        config = tmp_path / "config"
        names = ["192.%d.%d.255" % (100 + i // 256, i % 256)
                 for i in range(count)]
        config.write_text("[req]\ndistinguished_name=dn\n[dn]\n[x]\n"
                          "subjectAltName=@san\n[san]\n" + "\n".join(
                              "IP.%d=%s" % (i, name)
                              for i, name in enumerate(names)))
        cert = tmp_path / "cert.pem"
        openssl("req", "-x509", "-new", "-key", keys("p256"), "-out", cert,
                "-days", 30, "-subj", "/CN=x", "-config", config,
                "-extensions", "x")
        return cert, names

    cert, names = make(7900)
    assert 60000 < cert.stat().st_size < 65536
    said = shown("--cert", cert, "--key", keys("p256"))
    assert said["names"].split(" ") == names


# The command line

@pytest.mark.parametrize("args, word", [
    ((), "--data"), (("--cert", "x"), "go together"),
    (("--data", "x", "--key", "x"), "go together"),
    (("--data", "x", "y"), "options only"),
    (("--data", "x", "--ca", "jks"), "pem or der"),
    (("--data", "x", "--ca", ""), "--ca"),
    (("--data", "x", "--ca", "pem", "--json"), "--json"),
    (("--cert", "x", "--key", "y", "--ca", "pem"), "local CA")])
def test_misuse(args, word):
    refused(*args, words=[word, "--help"], status=2)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")
def test_another_user_is_told_why(server):
    os.chmod(server.data, 0o755)
    try:
        binary = shutil.copy(BINARY, server.data / "copy")
        result = run("cert", "--data", server.data, binary=binary, wrap=(
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"))
    finally:
        os.chmod(server.data, 0o700)
    assert result.returncode == 1
    assert "tls/cert.pem: Permission denied" in result.stderr
