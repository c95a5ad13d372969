"""Prometheus' own tool reads the metrics and the alert rules."""

import re
import subprocess
import urllib.request

from conftest import REPO
import e2e


def scrape(server):
    server.wait_log("listening http://")
    url = re.search(r"listening (http://\S+/metrics)", server.log_text())[1]
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read()


def test_metrics_are_what_promtool_expects(need, server_factory):
    need(promtool="prometheus")
    server = server_factory("--metrics", "127.0.0.1:0")
    with server.open(token=e2e.VALID) as client:
        client.login(e2e.UNKNOWN)
        text = scrape(server)
    done = subprocess.run(["promtool", "check", "metrics"], input=text,
                          capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b"" and done.stdout == b"", done


def test_alert_rules(need):
    need(promtool="prometheus")
    done = subprocess.run(
        ["promtool", "check", "rules", REPO / "docs" / "alerts.yml"],
        capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 rules found" in done.stdout
