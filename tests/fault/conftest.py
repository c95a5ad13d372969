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

import importlib.util
import pathlib
import sys

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]


def load_e2e():
    """tests/e2e/conftest.py, as a module of another name than this one."""
    folder = REPO / "tests" / "e2e"
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("e2e",
                                                  folder / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["e2e"] = module
    spec.loader.exec_module(module)
    return module


e2e = load_e2e()
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
