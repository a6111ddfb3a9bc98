"""Start and stop of gunicorn: descriptors, memory, draining at SIGTERM."""

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

# https://man7.org/linux/man-pages/man3/mallopt.3.html
M_ARENA_MAX = -8
ARENAS = 2


def limit_malloc_arenas() -> bool:
    """Let malloc use at most two arenas; whether this C library knows such a limit (musl does not).

    By default each thread gets an arena of its own, up to eight for each core. Blocks of bodies are freed by
    other threads than those that allocated them, so every arena fills with holes that no other thread uses,
    and memory rises for hours. To be called before threads start; forked processes inherit it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(M_ARENA_MAX, ARENAS) == 1


# Beside clients: connections to the store, the catalog, log, pipes, files of the block cache.
SPARE_DESCRIPTORS = 256
# How long a server that stops still accepts connections, while /readyz already says 503.
DRAIN_SECONDS = 1.0
# How long a worker that stops waits for requests that clients have begun to send.
UNFINISHED_SECONDS = 2.0


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

    def set_on_sigterm(self, drain_seconds: float) -> None:
        """Set it when this process, the master, gets SIGTERM; gunicorn hears of it `drain_seconds` later."""
        master, then = os.getpid(), signal.getsignal(signal.SIGTERM)

        def drain(number: int, frame: FrameType | None) -> None:
            # A worker just forked has this handler too, until it makes its own.
            if os.getpid() == master and not self.is_set():
                self.set()
                _call_later(drain_seconds, lambda: os.kill(master, signal.SIGTERM))
            elif callable(then):
                then(number, frame)

        signal.signal(signal.SIGTERM, drain)

    def tell(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """Wrap a WSGI app, so that each request's environ says whether the server is stopping."""

        def call(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            environ[STOPPING_KEY] = self.is_set()
            return app(environ, start_response)

        return call


STOPPING = StopFlag()


def hurry_on_sigterm(worker: Any) -> None:
    """Make a gunicorn worker that gets SIGTERM refuse connections, and not wait for silent clients."""
    then = signal.getsignal(signal.SIGTERM)

    def leave(number: int, frame: FrameType | None) -> None:
        if callable(then):
            then(number, frame)
        if STOPPING.is_set():
            # Connections are refused when the last process has closed its copy.
            for listener in worker.sockets:
                listener.close()
        _call_later(UNFINISHED_SECONDS, lambda: end_requests(worker.sockets))

    signal.signal(signal.SIGTERM, leave)
    signal.siginterrupt(signal.SIGTERM, False)


def end_requests(listeners: Iterable[ListeningSocket]) -> None:
    """Read no more from clients; answers go on."""
    for listener in listeners:
        for client in list(listener.clients):
            # Who is gone already needs no end.
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RD)


def _call_later(seconds: float, call: Callable[[], None]) -> None:
    """Call in the main thread of this process; one call at a time can wait."""
    signal.signal(signal.SIGALRM, lambda *_: call())
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))


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
