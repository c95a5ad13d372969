"""
A server that runs for years: files that change are loaded, the local
certificate is renewed, and the operator hears of what is about to end.
"""

import datetime
import shutil
import signal
import socket
import ssl
import time

import pytest

from conftest import SECOND, VALID
from test_cert import dated, keys, openssl
from test_cert import served as served_under
from test_lifecycle import make_pair, served
from vdso_clock import Clock, needs_clock

_ = keys  # a fixture

pytestmark = pytest.mark.skipif(not shutil.which("openssl"),
                                reason="needs the openssl command")

DAY = 86400
LOADED = "event=certificate "
CHECKS = 2  # seconds between two looks at the files


def end_of(pem):
    """Days until a certificate ends."""
    text = openssl("x509", "-noout", "-enddate", stdin=pem).split("=")[1]
    end = datetime.datetime.strptime(text.strip(), "%b %d %H:%M:%S %Y %Z")
    return (end - datetime.datetime.utcnow()).total_seconds() / DAY


def craft_leaf(tls, days):
    """The leaf as it will be in some years: by the same CA, for its key."""
    csr, short = tls / "csr", tls / "short"
    openssl("x509", "-in", tls / "cert.pem", "-x509toreq", "-signkey",
            tls / "key.pem", "-copy_extensions", "copyall", "-out", csr)
    openssl("x509", "-req", "-in", csr, "-CA", tls / "ca.pem", "-CAkey",
            tls / "ca-key.pem", "-set_serial", 1, "-days", days,
            "-copy_extensions", "copyall", "-out", short)
    csr.unlink()
    assert days - 1 < end_of(short.read_text()) <= days
    short.rename(tls / "cert.pem")


def wait_loaded(server, mark):
    """It comes within some seconds; nobody has sent a signal."""
    server.wait_log(LOADED, start=mark, timeout=20)


@pytest.fixture
def live(server_factory, data_dir):
    """(server, certificate, key, pem) with a pair of its own."""
    first = make_pair(data_dir, "live")
    cert, key = data_dir / "live.pem", data_dir / "live.key"
    server = server_factory("--cert", cert, "--key", key)
    server.ca_file = cert
    return server, cert, key, first[0].decode().strip()


# Files that change

def test_changed_files_are_loaded(live, data_dir):
    """Nobody sends a signal, and nobody who plays notices: first a bad pair,
    which is told once and not used, then what was missing."""
    server, cert, key, first = live
    player = server.open(token=VALID)
    second = make_pair(data_dir, "next")[0].decode().strip()
    (data_dir / "next.key").rename(key)  # and the certificate comes later
    server.wait_log("event=reload_failed .*does not match", timeout=20)
    assert served(server) == first
    time.sleep(1.5 * CHECKS)  # it looks again, and has nothing to say
    assert server.log_text().count("reload_failed") == 1
    mark = server.log_mark()
    (data_dir / "next.pem").rename(cert)
    wait_loaded(server, mark)
    assert served(server) == second
    assert player.login(SECOND)["type"] == "auth_success"
    player.close()


def test_a_local_set_that_is_taken_away(server_factory):
    """A new CA is brought from elsewhere, in two steps and with a pause: in
    between nothing is made in its place."""
    server, other = server_factory(), server_factory(rows=None)
    other.stop()
    before = served(server)
    player = server.open(token=VALID)
    both = server.data / "both.crt"
    both.write_text(server.exported_ca().read_text() +
                    other.exported_ca().read_text())
    served_under(server, both)
    (server.data / "tls").rename(server.data / "tls.old")
    server.wait_log("event=reload_failed .*tls: No such file", timeout=20)
    assert served(server) == before
    assert not (server.data / "tls").exists()
    mark = server.log_mark()
    (other.data / "tls").rename(server.data / "tls")
    wait_loaded(server, mark)
    served_under(server, both)
    served_under(server, other.exported_ca())
    assert player.login(SECOND)["type"] == "auth_success"
    player.close()


def test_the_same_pair_again_keeps_the_sessions(server_factory):
    """SIGHUP without a new certificate costs nobody a full handshake."""
    server = server_factory()
    context = server.ssl_context()

    def handshake(session=None):
        with socket.create_connection(("127.0.0.1", server.port), 5) as sock:
            with context.wrap_socket(sock, server_hostname="localhost",
                                     session=session) as tls:
                return tls.session_reused, tls.session

    _, session = handshake()
    assert handshake(session)[0]
    server.signal(signal.SIGHUP)
    server.wait_log("(?s)%s.*%s" % (LOADED, LOADED))
    assert handshake(session)[0]


# The local certificate

def test_renewed_at_the_start(server_factory):
    server = server_factory("--host", "localhost", "--host", "192.0.2.7",
                            rows=None)
    server.stop()
    tls = server.data / "tls"
    craft_leaf(tls, 20)
    kept = {name: (tls / name).read_bytes()
            for name in ("ca.pem", "ca-key.pem", "key.pem")}
    again = server_factory(data=server.data, rows=None)
    again.wait_log("event=certificate_renewed")
    assert 819 < end_of(served(again)) <= 820
    for name in ("localhost", "192.0.2.7"):
        served_under(again, again.ca_file, name)
    assert {name: (tls / name).read_bytes() for name in kept} == kept
    assert (tls / "cert.pem").stat().st_mode & 0o777 == 0o644
    assert len(list(tls.iterdir())) == 4


def test_not_renewed_before_time(server_factory):
    server = server_factory(rows=None)
    server.stop()
    craft_leaf(server.data / "tls", 31)
    again = server_factory(data=server.data, rows=None)
    assert 30 < end_of(served(again)) <= 31
    assert "certificate_" not in again.log_text()


def test_renewed_while_it_runs(server_factory):
    server = server_factory()
    player = server.open(token=VALID)
    craft_leaf(server.data / "tls", 29)
    server.wait_log("event=certificate_renewed", timeout=20)
    assert 819 < end_of(served(server)) <= 820
    served_under(server, server.ca_file)
    assert player.login(SECOND)["type"] == "auth_success"
    player.close()


@needs_clock
def test_renewed_by_the_clock(server_factory):
    """Nothing but time passes: 800 days, then until the end of the CA."""
    server = server_factory()
    player = server.open(token=VALID)
    clock = Clock(server.pid)
    clock.set(800 * DAY)
    server.wait_log("event=certificate_renewed", timeout=20)
    assert 1619 < end_of(served(server)) <= 1620
    assert player.login(SECOND)["type"] == "auth_success"
    assert "ca_ending" not in server.log_text()
    clock.set(3570 * DAY)
    line = server.wait_log("level=error event=ca_ending .*", timeout=20)
    assert "days_left=79" in line[0] or "days_left=80" in line[0]
    assert "docs/trust.md" in line[0]
    assert 3649 < end_of(served(server)) <= 3650
    assert player.login(SECOND)["type"] == "auth_success"
    player.close()
    clock.close()


def test_cannot_be_renewed(server_factory):
    server = server_factory(rows=None)
    server.stop()
    tls = server.data / "tls"
    craft_leaf(tls, 20)
    (tls / "ca-key.pem").unlink()
    before = (tls / "cert.pem").read_text()
    again = server_factory(data=server.data, rows=None)
    again.wait_log("event=certificate_trouble .*cannot be renewed: "
                   ".*ca-key.pem: No such file.*days_left=(19|20)")
    assert served(again) == before.strip()


# What the operator hears

@needs_clock
def test_days_are_told_once_a_day(server_factory, keys, tmp_path):
    cert = dated(tmp_path, keys("p256"), -1, 15.5)
    server = server_factory("--cert", cert, "--key", keys("p256"), rows=None)
    assert "days_left=15" in server.log_text()
    clock = Clock(server.pid)
    for day, words in ((1, None), (2, "expires on"), (16, "expired on")):
        mark = server.log_mark()
        clock.set(day * DAY)
        server.wait_log(LOADED + ".*days_left=%d\n" % (15 - day), start=mark,
                        timeout=20)
        if words:
            server.wait_log("level=warning event=certificate_trouble .*%s.*"
                            " days_left=%d\n" % (words, 15 - day), start=mark)
        else:
            assert "certificate_trouble" not in server.log_text()
    assert server.log_text().count("certificate_trouble") == 2
    clock.close()
