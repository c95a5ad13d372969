"""
The real binary under faults: killed, powered off, with broken calls.

    make test-faults        or /usr/bin/python3 -m pytest tests/fault

Servers, rows and fixtures are those of tests/e2e/conftest.py (`import e2e`),
what the files here share is in faults.py and serving.py. Sizes by environment
variables:

    FAULT_KILLS          servers killed under load, 50; so many imports too
    FAULT_CUTS           power cuts per recording, 60; 5 disks each
    FAULT_ERRORS=all     each errno at each call, not one of them by chance
    FAULT_SEED           what chance follows; printed

At the end of a session a table says what was run and what came of it.
"""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import load_e2e  # noqa: E402  (needs the path)

e2e = load_e2e.load()
import faults  # noqa: E402  (needs e2e)

# Fixtures and hooks, found by their names.
data_dir = e2e.data_dir
server_factory = e2e.server_factory
pytest_configure = e2e.pytest_configure
pytest_runtest_call = e2e.pytest_runtest_call
pytest_runtest_makereport = e2e.pytest_runtest_makereport


def pytest_report_header():
    return "FAULT_SEED=%d" % faults.SEED


def pytest_terminal_summary(terminalreporter):
    lines = faults.TABLE.lines()
    if lines:
        terminalreporter.section("faults")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def big_store():
    """faults.BigStore: made once, copied by who wants to break it."""
    store = faults.BigStore()
    yield store
    store.remove()
