"""The certificate that the server makes, and those that it is given."""

import hashlib
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import time

import pytest

from conftest import BINARY, VALID, Server, run

pytestmark = pytest.mark.skipif(not shutil.which("openssl"),
                                reason="needs the openssl command")

SERVE = ("--listen", "127.0.0.1:0")
NAMES = ["ca-key.pem", "ca.pem", "cert.pem", "key.pem"]

ALGORITHMS = {
    "p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "p521": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "rsa1024": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
    "rsa2048": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa3072": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
    "rsa4096": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
    "ed25519": ["-algorithm", "ED25519"],
}


def openssl(*args, stdin=None):
    return subprocess.run(["openssl", *map(str, args)], input=stdin,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=60, check=True, encoding="utf-8").stdout


def make_key(path, kind):
    openssl("genpkey", *ALGORITHMS[kind], "-out", path)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """keys(kind): a key of that kind, made once."""
    folder = tmp_path_factory.mktemp("keys")

    def key(kind):
        path = folder / (kind + ".key")
        return path if path.exists() else make_key(path, kind)

    return key


@pytest.fixture
def pair(keys, tmp_path):
    """pair(kind): a key of that kind and a self-signed certificate."""
    def make(kind, days=30):
        key = tmp_path / (kind + "-key.pem")
        cert = tmp_path / (kind + "-cert.pem")
        shutil.copy(keys(kind), key)
        openssl("req", "-x509", "-new", "-key", key, "-out", cert, "-days",
                days, "-subj", "/CN=localhost", "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1")
        return cert, key

    return make


def refused(data, cert, key, *words):
    """The start fails with one line that holds all words; nothing is left."""
    result = run("--data", data, *SERVE, "--cert", cert, "--key", key)
    lines = [x for x in result.stderr.splitlines() if x.strip()]
    assert result.returncode == 1, lines
    assert len(lines) == 1, lines
    for word in words:
        assert str(word) in lines[0], lines
    assert not (data / "tls").exists()


def refused_local(data, *words):
    """So does it with the set in the data directory; nothing is changed."""
    before = snapshot(data)
    result = run("--data", data, *SERVE)
    lines = [x for x in result.stderr.splitlines() if x.strip()]
    assert result.returncode == 1, lines
    assert len(lines) == 1, lines
    for word in words:
        assert str(word) in lines[0], lines
    assert snapshot(data) == before


def snapshot(data):
    return {path.name: (path.read_bytes(), path.stat().st_mode,
                        path.stat().st_mtime_ns)
            for path in (data / "tls").iterdir()}


def served(server, ca, name="localhost", address="127.0.0.1"):
    """Handshake with full verification: the chain's first certificate."""
    context = ssl.create_default_context(cafile=str(ca))
    with socket.create_connection((address, server.port), 5) as sock:
        with context.wrap_socket(sock, server_hostname=name) as tls:
            return tls.getpeercert(binary_form=True)


def sha256_of(path):
    text = openssl("x509", "-in", path, "-outform", "pem")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest()


@pytest.fixture
def made(server_factory):
    """A data directory that a first run has filled, the server gone."""
    server = server_factory(rows=None, plain=False)
    server.stop()
    return server.data


# The first run

def test_made_set(server):
    folder = server.data / "tls"
    assert sorted(os.listdir(folder)) == NAMES
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()}
    assert modes == {"ca-key.pem": 0o600, "ca.pem": 0o644,
                     "cert.pem": 0o644, "key.pem": 0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_log_names_fingerprint_and_ca(server):
    text = server.log_text()
    assert sha256_of(server.data / "tls" / "cert.pem") in text.lower()
    assert str(server.ca_file) in text
    assert "PRIVATE" not in text


@pytest.mark.parametrize("check", [
    ("-verify_hostname", "localhost"), ("-verify_ip", "127.0.0.1"),
    ("-verify_ip", "::1")])
def test_openssl_is_strict_and_content(server, check):
    openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile",
            server.ca_file, *check, server.data / "tls" / "cert.pem")


def test_wrong_name_is_refused_by_clients(server):
    with pytest.raises(ssl.SSLCertVerificationError):
        served(server, server.ca_file, "example.org")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_python_verifies(server, name):
    der = served(server, server.ca_file, name)
    assert hashlib.sha256(der).hexdigest() == sha256_of(
        server.data / "tls" / "cert.pem")


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_node_verifies(server):
    script = """
        const [port, ca] = process.argv.slice(1);
        const socket = require('tls').connect({
            port, host: '127.0.0.1', servername: 'localhost',
            ca: require('fs').readFileSync(ca)}, () => {
                console.log(socket.authorized, socket.getProtocol());
                socket.destroy();
            });
        socket.on('error', e => { console.log(e.message); });
    """
    result = subprocess.run(["node", "-e", script, str(server.port),
                             str(server.ca_file)], stdout=subprocess.PIPE,
                            timeout=20, encoding="utf-8")
    assert result.stdout.split() == ["true", "TLSv1.2"]


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl_verifies(server):
    for host in ("localhost", "127.0.0.1"):
        result = subprocess.run(
            ["curl", "-sS", "--noproxy", "*", "--ipv4", "--cacert",
             str(server.ca_file),
             "https://%s:%d/health" % (host, server.port)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20,
            encoding="utf-8")
        assert result.stdout.strip() == "OK", result.stdout


@pytest.mark.parametrize("mask", ["000", "022", "077", "777"])
def test_modes_whatever_the_umask(server_factory, mask):
    server = server_factory(rows=None, plain=False, wrap=(
        "sh", "-c", 'umask %s; exec "$0" "$@"' % mask))
    test_made_set(server)


def test_names_asked_for(server_factory):
    server = server_factory("--host", "play.example.org", "--host",
                            "*.example.net", "--host", "192.0.2.7",
                            "--host", "2001:db8::7", rows=None, plain=False)
    for name in ("play.example.org", "eu.example.net", "192.0.2.7",
                 "2001:db8::7"):
        served(server, server.ca_file, name)
    for name in ("localhost", "127.0.0.1", "example.net"):
        with pytest.raises(ssl.SSLCertVerificationError):
            served(server, server.ca_file, name)


@pytest.mark.parametrize("name", [
    "", "a b", "https://a.example", "a.example:1", "[::1]", "1.2.3",
    "b\u00fccher.example"])
def test_bad_name(data_dir, name):
    result = run("--data", data_dir, *SERVE, "--host", name)
    lines = [x for x in result.stderr.splitlines() if x.strip()]
    assert result.returncode in (1, 2) and len(lines) == 1, lines
    assert "host" in lines[0]
    assert not (data_dir / "tls").exists()


# Later runs

def test_certificate_stays(server_factory, made):
    before = snapshot(made)
    server = server_factory(rows=None, plain=False, data=made)
    assert snapshot(made) == before
    assert hashlib.sha256(served(server, server.ca_file)).hexdigest() in (
        server.log_text().lower())


def test_other_names_later_are_a_warning(server_factory, made):
    before = snapshot(made)
    server = server_factory("--host", "new.example", rows=None, plain=False,
                            data=made)
    server.wait_log("cert.pem: made for other hosts")
    assert snapshot(made) == before
    served(server, server.ca_file)


def test_new_leaf_from_the_old_ca(server_factory, made):
    before = snapshot(made)
    for name in ("cert.pem", "key.pem"):
        (made / "tls" / name).unlink()
    server = server_factory("--host", "new.example", rows=None, plain=False,
                            data=made)
    after = snapshot(made)
    assert after["ca.pem"] == before["ca.pem"]
    assert after["ca-key.pem"] == before["ca-key.pem"]
    served(server, server.ca_file, "new.example")


def test_ca_key_may_be_taken_away(server_factory, made):
    (made / "tls" / "ca-key.pem").unlink()
    served(server_factory(rows=None, plain=False, data=made),
           made / "tls" / "ca.pem")


@pytest.mark.parametrize("lost", [
    ["cert.pem"], ["cert.pem", "key.pem"], ["cert.pem", "key.pem", "ca.pem"],
    NAMES])
def test_what_a_crash_leaves_is_completed(server_factory, made, lost):
    before = snapshot(made)
    for name in lost:
        (made / "tls" / name).unlink()
        (made / "tls" / (name + ".tmp")).write_text("-----BEGIN")
    server = server_factory(rows=None, plain=False, data=made)
    after = snapshot(made)
    assert sorted(after) == NAMES
    for name in set(NAMES) - set(lost):
        assert after[name] == before[name]
    test_openssl_is_strict_and_content(server, ("-verify_ip", "127.0.0.1"))
    served(server, server.ca_file)


@pytest.mark.limit(120)
def test_killed_at_any_moment_of_the_first_run(server_factory, data_dir):
    """Whatever a kill leaves, the next start makes it whole."""
    states = set()
    for step in range(60):
        shutil.rmtree(data_dir / "tls", ignore_errors=True)
        server = Server(BINARY, data_dir, [*SERVE])
        time.sleep(step * 0.0005)
        server.kill()
        tls = data_dir / "tls"
        states.add(tuple(sorted(os.listdir(tls))) if tls.exists() else None)
        if step % 5 == 4:
            again = server_factory(rows=None, plain=False, data=data_dir)
            served(again, again.ca_file)
            test_made_set(again)
            again.stop()
    assert len(states) > 1, "every kill came too early or too late"


def test_two_first_runs_at_once(data_dir):
    servers = [Server(BINARY, data_dir, [*SERVE]) for _ in range(4)]
    try:
        for server in servers:
            server.wait_listening({"wss"})
        seen = {served(server, server.ca_file) for server in servers}
        assert len(seen) == 1
    finally:
        for server in servers:
            server.finish()


@pytest.mark.parametrize("damage, words", [
    (lambda tls: (tls / "key.pem").unlink(), ("key.pem: missing",)),
    (lambda tls: [(tls / n).unlink() for n in NAMES if n != "ca.pem"],
     ("ca-key.pem: missing",)),
    (lambda tls: (tls / "cert.pem").write_text(""), ("cert.pem: not PEM",)),
    (lambda tls: (tls / "key.pem").write_text(""), ("key.pem: not PEM",)),
    (lambda tls: (tls / "key.pem").chmod(0o640),
     ("key.pem", "0640", "chmod 600")),
    (lambda tls: shutil.copy(tls / "ca-key.pem", tls / "key.pem"),
     ("key.pem", "does not match", "cert.pem")),
])
def test_damaged_set(made, damage, words):
    damage(made / "tls")
    refused_local(made, *words)


def test_tls_is_no_directory(data_dir):
    (data_dir / "tls").write_text("")
    result = run("--data", data_dir, *SERVE)
    assert result.returncode == 1
    assert "tls: not a directory" in result.stderr


# Given pairs

@pytest.mark.limit(90)
@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "rsa2048",
                                  "rsa3072", "rsa4096"])
def test_given_pair(server_factory, pair, kind):
    cert, key = pair(kind)
    server = server_factory("--cert", cert, "--key", key, rows=None,
                            plain=False)
    der = served(server, cert)
    assert hashlib.sha256(der).hexdigest() == sha256_of(cert)
    assert sha256_of(cert) in server.log_text().lower()
    assert not (server.data / "tls").exists()


@pytest.mark.parametrize("kind, change", [
    ("p256", ["ec"]), ("rsa2048", ["rsa", "-traditional"]),
    ("rsa2048", ["pkcs8", "-topk8", "-nocrypt"])])
def test_forms_of_a_key(server_factory, pair, kind, change):
    cert, key = pair(kind)
    text = openssl(*change, "-in", key)
    key.write_text("A line of text before it\n" + text)
    server = server_factory("--cert", cert, "--key", key, rows=None,
                            plain=False)
    served(server, cert)


def test_both_in_one_file(server_factory, pair):
    cert, key = pair("p256")
    key.write_text(key.read_text() + cert.read_text())
    server = server_factory("--cert", key, "--key", key, rows=None,
                            plain=False)
    served(server, cert)


@pytest.fixture
def chain(keys, tmp_path):
    """(root, chain file, key): root signs intermediate signs leaf."""
    def issue(name, signer, kind, text):
        csr, ext = tmp_path / (name + ".csr"), tmp_path / (name + ".ext")
        ext.write_text(text)
        openssl("req", "-new", "-key", keys(kind), "-subj", "/CN=" + name,
                "-out", csr)
        openssl("x509", "-req", "-in", csr, "-CA", signer[0], "-CAkey",
                signer[1], "-CAcreateserial", "-days", 30, "-extfile", ext,
                "-out", tmp_path / (name + ".pem"))
        return tmp_path / (name + ".pem"), keys(kind)

    root = tmp_path / "root.pem"
    openssl("req", "-x509", "-new", "-key", keys("rsa2048"), "-subj",
            "/CN=root", "-days", 30, "-out", root)
    middle = issue("middle", (root, keys("rsa2048")), "p384",
                   "basicConstraints=critical,CA:TRUE\n")
    leaf = issue("leaf", middle, "p256", "subjectAltName=DNS:localhost\n")
    path = tmp_path / "chain.pem"
    path.write_text(leaf[0].read_text() + middle[0].read_text())
    return root, path, leaf[1]


def test_chain_is_sent(server_factory, chain):
    root, path, key = chain
    server = server_factory("--cert", path, "--key", key, rows=None,
                            plain=False)
    served(server, root)
    text = openssl("s_client", "-connect", "127.0.0.1:%d" % server.port,
                   "-servername", "localhost", "-showcerts", stdin="")
    assert text.count("BEGIN CERTIFICATE") == 2


def test_chain_in_the_wrong_order(data_dir, chain, tmp_path):
    parts = re.findall(r"-----BEGIN.*?END CERTIFICATE-----\n",
                       chain[1].read_text(), re.DOTALL)
    path = tmp_path / "wrong.pem"
    path.write_text(parts[1] + parts[0])
    refused(data_dir, path, chain[2], chain[2], "certificate 2 of", path,
            "must come first")


def test_encrypted_key(data_dir, pair):
    cert, key = pair("p256")
    text = key.read_text()
    for change in (["pkcs8", "-topk8"], ["ec", "-aes128"]):
        key.write_text(openssl(*change, "-passout", "pass:test", stdin=text))
        refused(data_dir, cert, key, key, "encrypted", "openssl pkey -in")


def test_key_that_is_a_link(server_factory, data_dir, pair, tmp_path):
    """The mode of what it points to counts, as in mounted secrets."""
    cert, key = pair("p256")
    link = tmp_path / "link.pem"
    link.symlink_to(key)
    server = server_factory("--cert", cert, "--key", link, rows=None,
                            plain=False)
    served(server, cert)
    key.chmod(0o644)
    refused(data_dir, cert, link, "0644", "chmod 600 %s" % link)


def test_unsupported_kinds(data_dir, pair):
    for kind in ("ed25519", "rsa1024"):
        cert, key = pair(kind)
        refused(data_dir, cert, key, key, "unsupported private key", "P-256",
                "2048 to 4096")


def test_der_instead_of_pem(data_dir, pair, tmp_path):
    cert, key = pair("p256")
    der = tmp_path / "cert.der"
    openssl("x509", "-in", cert, "-outform", "der", "-out", der)
    refused(data_dir, der, key, der, "not PEM", "openssl x509 -inform der")


def test_too_much(data_dir, pair, tmp_path):
    cert, key = pair("p256")
    many = tmp_path / "many.pem"
    many.write_text(cert.read_text() * 11)
    refused(data_dir, many, key, many, "more than 10 certificates")
    many.write_text(cert.read_text() + "\n" * 65536)
    refused(data_dir, many, key, many, "larger than 65536 bytes")


def test_what_is_no_file(data_dir, pair, tmp_path):
    cert, key = pair("p256")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    refused(data_dir, fifo, key, fifo, "not a regular file")
    refused(data_dir, cert, fifo, fifo, "not a regular file")
    refused(data_dir, tmp_path, key, tmp_path, "not a regular file")


CA_CONFIG = """
[ca]
default_ca = it
[it]
new_certs_dir = %(folder)s
database = %(folder)s/index.txt
serial = %(folder)s/serial
default_md = sha256
policy = any
[any]
commonName = supplied
"""


def dated(folder, key, first, last):
    """A self-signed certificate that is valid from first to last."""
    csr, cert = folder / "x.csr", folder / "cert.pem"
    config = folder / "ca.conf"
    config.write_text(CA_CONFIG % {"folder": folder})
    (folder / "index.txt").write_text("")
    (folder / "serial").write_text("01\n")
    openssl("req", "-new", "-key", key, "-subj", "/CN=localhost", "-out", csr)
    openssl("ca", "-config", config, "-batch", "-selfsign", "-notext",
            "-keyfile", key, "-in", csr, "-startdate", stamp(first),
            "-enddate", stamp(last), "-out", cert)
    return cert


def stamp(days):
    moment = time.gmtime(time.time() + days * 86400)
    return time.strftime("%Y%m%d%H%M%SZ", moment)


@pytest.mark.parametrize("first, last, words", [
    (-5, 5, "expires on"), (-5, -1, "expired on"),
    (1, 100, "is not valid before")])
def test_dates_are_a_warning(server_factory, keys, tmp_path, first, last,
                             words):
    cert = dated(tmp_path, keys("p256"), first, last)
    server = server_factory("--cert", cert, "--key", keys("p256"),
                            rows=None, plain=False)
    server.wait_log(words + r" 20\d\d-\d\d-\d\d")
    pem = ssl.get_server_certificate(("127.0.0.1", server.port))
    assert pem.strip() == cert.read_text().strip()


def test_good_dates_are_no_warning(server_factory, keys, tmp_path):
    cert = dated(tmp_path, keys("p256"), -1, 100)
    server = server_factory("--cert", cert, "--key", keys("p256"),
                            rows=None, plain=False)
    assert "certificate_trouble" not in server.log_text()


def test_login_under_each_kind_of_key(server_factory, pair):
    for kind in ("p256", "rsa2048"):
        cert, key = pair(kind)
        server = server_factory("--cert", cert, "--key", key, plain=False)
        context = ssl.create_default_context(cafile=str(cert))
        server.open(token=VALID, context=context).close()
