"""What a process is started with: closed descriptors, a reader that sleeps."""

import itertools
import os
import signal
import subprocess
import time

import pytest

from conftest import BINARY, VALID, export_rows, import_rows, row, run, token

SUBSETS = [closed for n in (1, 2, 3)
           for closed in itertools.combinations((0, 1, 2), n)]


def closing(closed):
    """For subprocess: close these descriptors behind its own set-up."""
    def close():
        for fd in closed:
            os.close(fd)
    return close


@pytest.mark.parametrize("closed", SUBSETS, ids=str)
def test_closed_descriptors_do_not_become_the_store(data_dir, closed):
    """The first log line once went over the first page of the store."""
    import_rows(data_dir, [row(VALID, "jane.doe")])
    server = subprocess.Popen(
        [BINARY, "--data", data_dir, "--listen", "127.0.0.1:0"],
        preexec_fn=closing(closed), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while not (data_dir / "tls" / "cert.pem").exists():
        assert time.monotonic() < deadline and server.poll() is None
        time.sleep(0.02)
    time.sleep(0.2)
    server.send_signal(signal.SIGTERM)
    assert server.wait(12) == 0
    subprocess.run([BINARY, "export", "--data", data_dir],
                   preexec_fn=closing(closed), timeout=10,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=False)
    assert [r["username"] for r in export_rows(data_dir).values()] == ["jane.doe"]


def test_summary_that_cannot_be_written_is_an_error(data_dir, tmp_path):
    csv = tmp_path / "t.csv"
    csv.write_text("token,username\n%s,jane.doe\n" % token(0x91))
    with open("/dev/full", "wb") as full:
        result = subprocess.run([BINARY, "import", "--data", data_dir, csv],
                                stdout=full, stderr=subprocess.PIPE,
                                timeout=10, check=False)
    assert result.returncode == 1
    assert b"imported" in result.stderr and b"No space" in result.stderr
    assert len(export_rows(data_dir)) == 1


def test_log_that_nobody_reads_stops_nobody(data_dir):
    """A full pipe on stderr once froze the loop."""
    import_rows(data_dir, [row(VALID, "jane.doe")])
    reader, writer = os.pipe()
    server = subprocess.Popen(
        [BINARY, "--data", data_dir, "--listen", "127.0.0.1:0",
         "--listen-plain", "127.0.0.1:0"], stderr=writer)
    os.close(writer)
    log = b""
    while log.count(b"event=listening") < 2:
        log += os.read(reader, 4096)
    port = log.split(b" ws://127.0.0.1:")[1].split(b"/")[0].decode()
    for _ in range(1500):
        result = run("health", "http://127.0.0.1:%s/health" % port)
        assert result.returncode == 0, result.stderr
    server.send_signal(signal.SIGTERM)
    assert server.wait(12) == 0
    os.close(reader)
