"""Processes on a core of their own, and what the kernel knows about them."""

import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import time

REPO = pathlib.Path(__file__).resolve().parents[2]
BUILD = REPO / "build" / "bench"
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]


def spawn(core, command, **more):
    """Popen on a core: a child has the affinity of who starts it."""
    os.sched_setaffinity(0, {core})
    try:
        return subprocess.Popen([str(word) for word in command], **more)
    finally:
        os.sched_setaffinity(0, CORES)


def raise_descriptors():
    """As many as may be: connections need them at both ends."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def cpu_ns(pid):
    """Of all threads, in nanoseconds."""
    total = 0
    for file in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
        total += int(file.read_text().split()[0])
    return total


def memory_kib(pid):
    """What is not a page of a file: {resident, anonymous}."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    found = dict(re.findall(r"^(\w+):\s+(\d+) kB", status, re.MULTILINE))
    return {"resident": int(found["VmRSS"]), "anonymous": int(found["RssAnon"])}


def written_bytes(folder):
    """To the disk that a folder is on, by everybody: what the kernel counts
    for one process is too much where files are cached in large folios."""
    device = os.stat(folder).st_dev
    stat = pathlib.Path(
        f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")
    if not stat.exists():
        raise RuntimeError("the disk does not count")
    return 512 * int(stat.read_text().split()[6])


class Group:
    """The processes that are one server. Each says `ready` in its log."""

    def __init__(self):
        self.processes = []

    def start(self, command, log, ready, **more):
        with open(log, "wb") as file:
            process = spawn(SERVER_CORE, command, stdout=file,
                            stderr=subprocess.STDOUT, **more)
        self.processes.append(process)
        until = time.monotonic() + 60
        while ready not in pathlib.Path(log).read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("does not start: " + last_line(log))
            time.sleep(0.01)

    def sum(self, number_of):
        return sum(number_of(process.pid) for process in self.processes)

    def memory_kib(self, kind):
        return self.sum(lambda pid: memory_kib(pid)[kind])

    def stop(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []


def last_line(path):
    lines = pathlib.Path(path).read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no word"


def describe():
    """The machine, for the results."""
    info = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", info)
    return {"cpu": model[1] if model else os.uname().machine,
            "cores": len(CORES), "kernel": os.uname().release,
            "date": time.strftime("%Y-%m-%d"), "load": os.getloadavg()[0]}
