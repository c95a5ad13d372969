"""What the scanners of others find: sslscan and testssl.sh, from Debian."""

import json
import subprocess
import xml.etree.ElementTree as ET

import pytest

import e2e

SUITES = {
    kind: {"ECDHE-%s-AES128-GCM-SHA256" % kind,
           "ECDHE-%s-AES256-GCM-SHA384" % kind,
           "ECDHE-%s-CHACHA20-POLY1305" % kind}
    for kind in ("ECDSA", "RSA")}
NEW_KEY = {"ECDSA": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
           "RSA": ["rsa:2048"]}
# What testssl.sh holds against a self-signed certificate of 30 days; nothing
# else may be worse than INFO.
EXPECTED = {"cert_chain_of_trust", "cert_expirationStatus", "cert_notAfter",
            "cert_revocation", "cert_extlifeSpan", "engine_problem"}
SAFE_FROM = ["heartbleed", "CCS", "ticketbleed", "ROBOT", "CRIME_TLS",
             "POODLE_SSL", "SWEET32", "FREAK", "DROWN", "LOGJAM", "BEAST",
             "LUCKY13", "RC4", "secure_renego", "secure_client_renego",
             "fallback_SCSV", "BREACH"]


def make_pair(folder, kind):
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", *NEW_KEY[kind],
                    "-nodes", "-keyout", key, "-out", cert, "-days", "30",
                    "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, stderr=subprocess.DEVNULL)
    key.chmod(0o600)
    return cert, key


@pytest.fixture(params=["ECDSA", "RSA"])
def scanned(request, server_factory, tmp_path):
    """(server, kind of key)"""
    cert, key = make_pair(tmp_path, request.param)
    server = server_factory("--cert", cert, "--key", key)
    return server, request.param


# sslscan

def scan_with_sslscan(server):
    result = subprocess.run(
        ["sslscan", "--xml=-", "--no-colour", "--show-sigs",
         "127.0.0.1:%d" % server.port],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=100,
        check=False)
    assert result.returncode == 0, result.stderr
    return ET.fromstring(result.stdout).find("ssltest")


@pytest.mark.limit(120)
def test_sslscan(need, scanned):
    need(sslscan="sslscan")
    server, kind = scanned
    found = scan_with_sslscan(server)
    enabled = {(p.get("type"), p.get("version")) for p in
               found.iter("protocol") if p.get("enabled") == "1"}
    assert enabled == {("tls", "1.2")}
    ciphers = {c.get("cipher") for c in found.iter("cipher")}
    assert ciphers == SUITES[kind]
    assert {c.get("curve") for c in found.iter("cipher")} == {"25519"}
    assert found.find("renegotiation").get("supported") == "0"
    compression = found.find("compression")
    assert compression is None or compression.get("supported") == "0"
    assert {h.get("vulnerable") for h in found.iter("heartbleed")} == {"0"}


# testssl.sh

def scan_with_testssl(server, folder):
    report = folder / "report.json"
    result = subprocess.run(
        ["testssl", "--quiet", "--color", "0", "--warnings", "batch",
         "--ip", "127.0.0.1", "--nodns", "none", "--connect-timeout", "5",
         "--openssl-timeout", "5", "--protocols", "--std", "--pfs",
         "--server-preference", "--server-defaults", "--vulnerable",
         "--jsonfile", report, "localhost:%d" % server.port],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=280,
        check=False, stdin=subprocess.DEVNULL)
    assert report.exists(), result.stdout.decode()[-2000:]
    return {one["id"]: one for one in json.loads(report.read_text())}


@pytest.mark.limit(300)
def test_testssl(need, scanned, tmp_path):
    need(testssl="testssl.sh")
    server, kind = scanned
    found = scan_with_testssl(server, tmp_path)
    severe = {name: one["finding"] for name, one in found.items()
              if one["severity"] not in ("OK", "INFO")}
    assert not set(severe) - EXPECTED, severe
    unsafe = [n for n in SAFE_FROM if found[n]["severity"] not in
              ("OK", "INFO")]
    assert unsafe == []
    for version in ("SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_3"):
        assert found[version]["finding"].startswith("not offered"), version
    assert set(found["PFS_ciphers"]["finding"].split()) == SUITES[kind]
    assert set(found["cipherorder_TLSv1_2"]["finding"].split()) == \
        SUITES[kind]
    assert set(found["PFS_ECDHE_curves"]["finding"].split()) == {
        "prime256v1", "X25519"}
    assert found["secure_renego"]["severity"] == "OK"
    assert found["secure_client_renego"]["severity"] == "OK"
