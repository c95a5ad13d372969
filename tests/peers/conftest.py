"""
Our server against other people's programs: browsers, libraries, containers.

    /usr/bin/python3 -m pytest tests/peers

The servers, rows and fixtures are those of tests/e2e/conftest.py, which a
test file gets by `import e2e`. What a test needs and the machine lacks is
installed from Debian's packages where that is possible (`need`); else the
test is skipped and says why.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
# What the tests install for themselves; it outlives them.
SCRATCH = REPO / "build" / "peers"

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import load_e2e  # noqa: E402  (needs the path)

e2e = load_e2e.load()

import engine as engines  # noqa: E402

# Fixtures and hooks, found by their names.
server_factory = e2e.server_factory
module_server = e2e.module_server
server = e2e.server
engine = engines.engine
image = engines.image
pytest_configure = e2e.pytest_configure
pytest_runtest_call = e2e.pytest_runtest_call
pytest_runtest_makereport = e2e.pytest_runtest_makereport


def install(packages):
    """True where apt could install them."""
    if os.getuid() != 0 or not shutil.which("apt-get"):
        return False
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL,
             "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    # An update that fails for one source may have done for the others.
    subprocess.run([*apt, "update"], **quiet)
    done = subprocess.run([*apt, "install", "-y", "--no-install-recommends",
                           *packages], **quiet)
    return done.returncode == 0


@pytest.fixture(scope="session")
def need():
    """need(command="package", …): the commands are there, or it skips."""
    def check(**wanted):
        missing = {c: p for c, p in wanted.items() if not shutil.which(c)}
        if missing and not install(missing.values()):
            pytest.skip("needs %s; Debian's %s could not be installed"
                        % (", ".join(missing), ", ".join(missing.values())))

    return check
