"""GET /metrics on a listener of its own: exact counts after known deeds."""

import json
import re
import socket
import time
import urllib.error
import urllib.request

import pytest

from conftest import (EXPIRED, REPO, SECOND, UNKNOWN, VALID, parse_time, run,
                      wait_until)
from strace import Strace, needs_strace
from test_proxy import LOCAL, header, through_proxy

DOCS = REPO / "docs"


@pytest.fixture
def measured(server_factory):
    return server_factory("--metrics", "127.0.0.1:0")


def metrics_port(server):
    server.wait_log("listening http://")
    return int(re.search(r"listening http://127\.0\.0\.1:(\d+)/metrics",
                         server.log_text())[1])


def fetch(server, path="/metrics"):
    url = "http://127.0.0.1:%d%s" % (metrics_port(server), path)
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert answer.status == 200
        return answer.read().decode()


def scrape(server):
    """All samples, as {"name{labels}": value}."""
    samples = {}
    for line in fetch(server).splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            assert name not in samples, "twice: " + name
            samples[name] = float(value)
    return samples


def logins(samples, result):
    return samples['openchampps_logins_total{result="%s"}' % result]


def test_logins_are_counted(measured):
    with measured.open() as client:
        for _ in range(3):
            assert client.login(VALID)["type"] == "auth_success"
        client.login(SECOND)
        client.login(UNKNOWN)
        client.login(EXPIRED)
        client.login("no token")
        samples = scrape(measured)
        assert logins(samples, "success") == 4
        assert logins(samples, "invalid") == 2
        assert logins(samples, "malformed") == 1
        assert logins(samples, "damaged") == logins(samples, "failed") == 0
        assert samples["openchampps_login_seconds_count"] == 4
        assert 0 < samples["openchampps_login_seconds_sum"] < 10
        commits = samples["openchampps_commit_seconds_count"]
        assert 2 <= commits <= 4
        assert samples["openchampps_commit_touches_count"] == commits
        assert samples["openchampps_commit_touches_sum"] == commits
        assert samples["openchampps_journal_touches"] == commits


def test_connections_are_counted(measured):
    with measured.open(token=VALID), measured.open(), \
            socket.create_connection(("127.0.0.1", measured.port)):
        states = {"live": 1, "login": 1, "handshake": 1, "closing": 0}

        def has_states():
            samples = scrape(measured)
            return all(samples['openchampps_connections{state="%s"}' % s] == n
                       for s, n in states.items())
        wait_until(has_states, 5)
        samples = scrape(measured)
        assert samples['openchampps_tls_handshakes_total{result="full"}'] == 2
        assert samples["openchampps_received_bytes_total"] > 500
        assert samples["openchampps_sent_bytes_total"] > 1000
    measured.get("/health", tls=False)
    closed = 'openchampps_connections_closed_total{reason="health answered"}'
    wait_until(lambda: scrape(measured).get(closed) == 1, 5)
    failed = 'openchampps_tls_handshakes_total{result="failed"}'
    wait_until(lambda: scrape(measured)[failed] == 1, 5)


def test_refusals_are_counted(server_factory):
    server = server_factory("--metrics", "127.0.0.1:0",
                            "--max-connections", "1")
    with server.open(token=VALID):
        with socket.create_connection(("127.0.0.1", server.port)) as refused:
            assert refused.recv(1) == b""
        # Those who come for metrics have places of their own.
        samples = scrape(server)
    assert samples["openchampps_connections_refused_total"
                   '{reason="--max-connections is reached"}'] == 1


def by_label(samples, name):
    """{label's value: value} of one family."""
    found = {}
    for sample, value in samples.items():
        match = re.fullmatch(name + r'\{[a-z]+="(.*)"\}', sample)
        if match:
            found[match[1]] = value
    return found


def all_of(samples, name):
    return sum(by_label(samples, "openchampps_connections" + name).values())


def test_every_connection_is_counted_once(server_factory):
    """accepted = refused + closed + there; those for metrics are not in it."""
    server = server_factory("--metrics", "127.0.0.1:0",
                            "--max-connections", "3")
    fetch(server, "/health")
    with server.open(token=VALID), server.open(), server.open(tls=False):
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", server.port)) as more:
                assert more.recv(1) == b""
    def has_none():
        return all_of(scrape(server), "") == 0
    wait_until(has_none, 10)
    server.get("/ready")
    wait_until(has_none, 10)
    samples = scrape(server)
    assert samples["openchampps_connections_accepted_total"] == 6
    assert all_of(samples, "_refused_total") == 2
    assert all_of(samples, "_closed_total") == 4
    moved = [name for name in samples if name.endswith("_bytes_total")]
    assert len(moved) == 2
    assert scrape(server).items() >= {n: samples[n] for n in moved}.items()


def test_refusals_of_proxied_addresses_are_counted(server_factory):
    server = server_factory("--metrics", "127.0.0.1:0", "--proxy-protocol",
                            "--max-address-connections", "1",
                            trust="127.0.0.0/8")
    with through_proxy(server, header("192.0.2.7"), tls=False):
        with through_proxy(server, header("192.0.2.7"), tls=False) as more:
            assert more.sock.recv(1) == b""
        with through_proxy(server, LOCAL, tls=False):
            pass
        wait_until(lambda: all_of(scrape(server), "") == 1, 5)
        samples = scrape(server)
    assert by_label(samples, "openchampps_connections_refused_total") == {
        "--max-address-connections is reached": 1}
    assert all_of(samples, "_closed_total") == 1
    assert samples["openchampps_connections_accepted_total"] == 3
    assert samples['openchampps_tls_handshakes_total{result="failed"}'] == 0


@needs_strace
def test_failing_commits_are_counted(measured):
    with measured.open() as client:
        with Strace(measured, ["fdatasync,fsync:error=EIO"]):
            for tok in (VALID, SECOND):
                assert client.login(tok, 8)["type"] == "auth_success"
            samples = scrape(measured)
            assert samples["openchampps_ready"] == 0
            assert samples["openchampps_commits_failed_total"] >= 1
            assert samples["openchampps_commit_seconds_count"] == 0
            assert logins(samples, "success") == 2
            assert samples["openchampps_login_seconds_count"] == 2
        wait_until(lambda: scrape(measured)["openchampps_ready"] == 1, 30, 0.2)
        samples = scrape(measured)
        assert samples["openchampps_commit_touches_sum"] == 2
        assert samples["openchampps_touches_dropped_total"] == 0


def test_places_for_metrics_are_few(measured):
    address = ("127.0.0.1", metrics_port(measured))
    held = [socket.create_connection(address) for _ in range(16)]
    time.sleep(0.2)
    with socket.create_connection(address) as one_more:
        one_more.settimeout(5)
        assert one_more.recv(1) == b""
    measured.wait_log("too many connections for metrics")
    with measured.open() as client:
        assert client.login(VALID)["type"] == "auth_success"
    for connection in held:
        connection.close()
    wait_until(lambda: not isinstance(try_fetch(measured), OSError), 5)
    assert all_of(scrape(measured), "_refused_total") == 0


def try_fetch(server):
    try:
        return fetch(server)
    except OSError as error:
        return error


def test_other_paths(measured):
    assert fetch(measured, "/health") == "OK"
    assert fetch(measured, "/ready") == "OK"
    for path in ("/", "/ws", "/metrics/"):
        with pytest.raises(urllib.error.HTTPError) as error:
            fetch(measured, path)
        assert error.value.code == 404
    # Players' ports do not tell.
    assert measured.get("/metrics").status == 404
    assert measured.get("/metrics", tls=False).status == 404


def test_reload_keeps_the_counts(measured):
    full = 'openchampps_tls_handshakes_total{result="full"}'
    measured.open(token=VALID).close()
    assert scrape(measured)[full] == 1
    for name in ("cert.pem", "key.pem"):  # so that another one is made
        (measured.data / "tls" / name).unlink()
    measured.signal(1)
    measured.wait_log("(?s)event=certificate_created.*certificate_created")
    assert scrape(measured)[full] == 1


def test_no_token_and_no_name_is_told(measured):
    with measured.open() as client:
        name = client.login(VALID)["payload"]["username"]
        client.login(UNKNOWN)
        text = fetch(measured)
    for secret in (VALID, UNKNOWN, name):
        assert secret.lower() not in text.lower()


def test_content_type(measured):
    url = "http://127.0.0.1:%d/metrics" % metrics_port(measured)
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert answer.headers["Content-Type"] == (
            "text/plain; version=0.0.4; charset=utf-8")
        length = int(answer.headers["Content-Length"])
        assert len(answer.read()) == length
    head = urllib.request.Request(url, method="HEAD")
    with urllib.request.urlopen(head, timeout=5) as answer:
        assert answer.status == 200 and answer.read() == b""
        assert int(answer.headers["Content-Length"]) > 1000
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(url, b"x", timeout=5)
    assert error.value.code == 405 and error.value.headers["Allow"]


def test_end_of_the_certificate(measured):
    end = scrape(measured)["openchampps_certificate_end_timestamp_seconds"]
    assert 819 < (end - time.time()) / 86400 <= 820
    said = json.loads(run("cert", "--json", "--data", measured.data).stdout)
    assert parse_time(said["not_after"]) == end


def test_format(measured):
    """Every sample belongs to a family that says what it is."""
    text = fetch(measured)
    families = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    assert len(families) == len(re.findall(r"^# HELP ", text, re.M)) > 15
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name = re.match(r'[a-z_]+', line)[0]
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        assert name in families or families.get(family) == "histogram", line
        assert (families.get(name) == "counter") == name.endswith("_total")
        assert re.fullmatch(r'[a-z_]+(\{[a-z]+="[^"\n]*"\})? [0-9.]+', line)


def test_dashboard_and_alerts_name_what_is_there(measured):
    with measured.open(token=VALID):
        known = {re.match(r"[a-z_]+", name)[0] for name in scrape(measured)}
    known |= {"openchampps_connections_refused_total",
              "openchampps_connections_closed_total"}
    dashboard = (DOCS / "grafana.json").read_text()
    json.loads(dashboard)
    for text in (dashboard, (DOCS / "alerts.yml").read_text(),
                 (DOCS / "metrics.md").read_text()):
        named = set(re.findall(r"\bopenchampps_[a-z_]+|\bprocess_[a-z_]+",
                               text))
        assert named
        for name in named:
            assert name in known or name + "_count" in known, name
    table = (DOCS / "metrics.md").read_text()
    for name in known:
        assert re.sub(r"_(bucket|sum|count)$", "", name) in table, name
