"""Waiting for a condition in the test's own process."""

from __future__ import annotations

import time
from collections.abc import Callable

_POLL_SECONDS = 0.02


def wait_for(condition: Callable[[], object], what: str, *, seconds: float = 30) -> None:
    """Poll until the condition is true; fails the test, saying what did not happen, after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not after {seconds:.0f} s: {what}"
        time.sleep(_POLL_SECONDS)
