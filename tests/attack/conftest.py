"""
Attacks on a live server, and what a player elsewhere notices of them.

    /usr/bin/python3 -m pytest tests/attack

The servers, rows and fixtures are those of tests/e2e/conftest.py, which a
test file gets by `import e2e`. What was measured is printed at the end
(`table`). Attackers are processes of their own: see attacks.py and player.py.
"""

import pathlib
import sys

import pytest

LINES = []

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import load_e2e  # noqa: E402  (needs the path)

e2e = load_e2e.load()

# Fixtures and hooks, found by their names.
data_dir = e2e.data_dir
server_factory = e2e.server_factory
pytest_configure = e2e.pytest_configure
pytest_runtest_call = e2e.pytest_runtest_call
pytest_runtest_makereport = e2e.pytest_runtest_makereport


@pytest.fixture
def table():
    """table(line): a line for the end of the run."""
    return LINES.append


def pytest_terminal_summary(terminalreporter):
    for line in LINES:
        terminalreporter.write_line(line)
