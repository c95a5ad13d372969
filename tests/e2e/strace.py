"""Faults in the system calls of a running server, made by strace."""

import os
import shutil
import signal
import subprocess

import pytest

from waiting import wait_until

needs_strace = pytest.mark.skipif(not shutil.which("strace"),
                                  reason="needs strace")


class Strace:
    """
    strace attached to a server; what it injects is on within `with`. inject: a
    list of its expressions; "when" counts the calls of each thread by itself.
    trace: names of calls to record in the file output.
    """

    def __init__(self, server, inject=(), trace=(), output=os.devnull):
        self.pid = server.pid
        self.command = ["strace", "-f", "-q", "-o", output]
        calls = set(trace)
        for one in inject:
            calls.update(one.split(":")[0].split(","))
            self.command += ["-e", "inject=" + one]
        self.command += ["-e", "trace=" + ",".join(sorted(calls)),
                         "-p", str(server.pid)]

    def traced(self):
        """Is each thread of the server under strace?"""
        for task in os.listdir("/proc/%d/task" % self.pid):
            with open("/proc/%d/task/%s/status" % (self.pid, task),
                      encoding="utf-8") as status:
                if "TracerPid:\t0\n" in status.read():
                    return False
        return True

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE)
        try:
            wait_until(lambda: self.process.poll() is not None
                       or self.traced(), pause=0.005)
        except BaseException:
            self.__exit__()
            raise
        if self.process.poll() is not None:
            pytest.skip("strace cannot attach: %s"
                        % self.process.stderr.read())
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(10)
        self.process.stderr.close()
