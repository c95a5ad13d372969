"""Waiting for what comes true by itself, never blindly."""

import time


def wait_until(condition, timeout=5.0, pause=0.02):
    """Polls a condition that no line of the log tells of."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(pause)
