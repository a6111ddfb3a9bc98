"""What a worker is told, or allows itself, about its beginning and end."""

from __future__ import annotations

import mmap
import os
import resource
import signal
from types import FrameType

# Beside clients: connections to the store, the catalog, log, pipes, files of the block cache.
SPARE_DESCRIPTORS = 256


class StopFlag:
    """Whether the whole server is stopping; one byte that the master and all its workers see.

    A worker alone cannot tell a stop from a reload, and a reload must not make the server unready.
    """

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)

    def is_set(self) -> bool:
        return self._shared[0] != 0

    def set(self) -> None:
        self._shared[0] = 1

    def set_on_sigterm(self) -> None:
        """Set it when this process, the master, gets SIGTERM, before gunicorn hears of it."""
        master, then = os.getpid(), signal.getsignal(signal.SIGTERM)

        def note(number: int, frame: FrameType | None) -> None:
            # A worker just forked has this handler too, until it makes its own.
            if os.getpid() == master:
                self.set()
            if callable(then):
                then(number, frame)

        signal.signal(signal.SIGTERM, note)


STOPPING = StopFlag()


def raise_descriptor_limit(connections: int, threads: int) -> int:
    """Ask the system for enough descriptors; return how many connections there is room for."""
    spare = SPARE_DESCRIPTORS + 4 * threads
    wanted = connections + spare
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    if hard == resource.RLIM_INFINITY or hard > soft:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(threads + 1, min(connections, soft - spare))
