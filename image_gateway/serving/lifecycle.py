"""gunicorn startup and shutdown: file descriptor limit, malloc arenas, draining on SIGTERM."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from image_gateway.routes.health import STOPPING as STOPPING_KEY
from image_gateway.serving.client_sockets import ListeningSocket
from image_gateway.settings.descriptors import wanted_descriptors

# https://man7.org/linux/man-pages/man3/mallopt.3.html
M_ARENA_MAX = -8
MAX_ARENAS = 2


def limit_malloc_arenas() -> bool:
    """Limit malloc to two arenas and return whether that succeeded; musl has no such limit.

    By default glibc creates up to eight arenas per core. Body blocks are freed by other threads than those
    that allocated them, which fragments all arenas, so that memory grows for hours. Call it before threads
    start; forked processes inherit the limit.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(M_ARENA_MAX, MAX_ARENAS) == 1


# How long a stopping server still accepts connections while /readyz returns 503.
DRAIN_SECONDS = 1.0
# How long a stopping worker waits for incomplete requests.
UNFINISHED_SECONDS = 2.0


class StopFlag:
    """Flag in shared memory: the master is stopping.

    A worker gets SIGTERM on a reload as well, which must not make the server unready.
    """

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)

    def is_set(self) -> bool:
        """Return whether the server is stopping."""
        return self._shared[0] != 0

    def set(self) -> None:
        """Mark the server as stopping, in all processes."""
        self._shared[0] = 1

    def set_on_sigterm(self, drain_seconds: float) -> None:
        """Set the flag on SIGTERM in this process, the master; gunicorn stops `drain_seconds` later."""
        master, previous = os.getpid(), signal.getsignal(signal.SIGTERM)

        def drain(number: int, frame: FrameType | None) -> None:
            # A worker inherits this handler until it installs its own.
            if os.getpid() == master and not self.is_set():
                self.set()
                _call_later(drain_seconds, lambda: os.kill(master, signal.SIGTERM))
            elif callable(previous):
                previous(number, frame)

        signal.signal(signal.SIGTERM, drain)

    def tell(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """Wrap a WSGI app to add the flag to the environ of each request."""

        def call(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            environ[STOPPING_KEY] = self.is_set()
            return app(environ, start_response)

        return call


STOPPING = StopFlag()


def hurry_on_sigterm(worker: Any) -> None:
    """Install a SIGTERM handler that shortens the shutdown of a gunicorn worker.

    When the whole server stops, the worker closes its listening sockets. Clients that have not sent a
    complete request after two seconds are disconnected.
    """
    previous = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        if callable(previous):
            previous(number, frame)
        if STOPPING.is_set():
            # The kernel refuses connections once every process has closed its copy.
            for listener in worker.sockets:
                listener.close()
        _call_later(UNFINISHED_SECONDS, lambda: end_requests(worker.sockets))

    signal.signal(signal.SIGTERM, stop)
    signal.siginterrupt(signal.SIGTERM, False)


def end_requests(listeners: Iterable[ListeningSocket]) -> None:
    """Shut down the receiving side of all client connections; running responses continue."""
    for listener in listeners:
        for client in list(listener.clients):
            # The client may be disconnected already.
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RD)


def _call_later(seconds: float, call: Callable[[], None]) -> None:
    """Call a function in the main thread after `seconds`; replaces an earlier pending call."""
    signal.signal(signal.SIGALRM, lambda *_: call())
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))


def raise_descriptor_limit(connections: int, threads: int) -> int:
    """Raise RLIMIT_NOFILE as far as needed and allowed.

    Args:
        connections: Desired client connections per worker.
        threads: Threads per worker.

    Returns:
        The number of client connections that the limit allows.
    """
    wanted = wanted_descriptors(connections, threads)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    if hard == resource.RLIM_INFINITY or hard > soft:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(threads + 1, connections - (wanted - soft))
