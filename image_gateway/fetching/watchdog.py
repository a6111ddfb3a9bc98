"""Breaks off a connection whose peer keeps it busy without getting anywhere."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_MOST_POLL_SECONDS = 1.0


class Watchdog:
    """A thread that shuts a socket down when a step takes too long in all.

    A socket's own timeout starts again with every byte, so a peer could hold the headers of a response or the
    trailer of a chunked body open for ever.

    Args:
        connection: The socket; whoever made it closes it.
        poll_seconds: Precision of the limits.
    """

    def __init__(self, connection: socket.socket, poll_seconds: float) -> None:
        self.expired = False
        self._connection = connection
        self._poll_seconds = min(poll_seconds, _MOST_POLL_SECONDS)
        self._deadline: float | None = None
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, name="fetch-watchdog", daemon=True).start()

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Shut the socket down unless the block ends within `seconds`; reads and writes then fail or end."""
        self._deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self._deadline = None

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(self._poll_seconds):
            deadline = self._deadline
            if deadline is not None and time.monotonic() > deadline:
                self.expired = True
                with suppress(OSError):  # The peer may have closed it.
                    # SSLSocket.shutdown would make later reads return what is still encrypted.
                    socket.socket.shutdown(self._connection, socket.SHUT_RDWR)
                return
