"""A lock between all threads of all processes that goes with its holder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from types import TracebackType

WAIT_SECONDS = 30.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.02


class FileLock:
    """An exclusive flock, on a descriptor of its own so that threads of one process exclude each other."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def attempts(self) -> Iterator[bool]:
        """Try to take the lock until the caller stops or 30 s are over; yields whether it was taken."""
        deadline = time.monotonic() + WAIT_SECONDS
        pause = _SHORTEST_PAUSE
        while time.monotonic() < deadline:
            yield self._try()
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE)

    def _try(self) -> bool:
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Unlocked first: a child forked meanwhile has the descriptor too, and would keep the lock.
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        os.close(self.fd)
