"""What an upload and a download share: progress reporting, and worker threads that stop together."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from image_gateway.client.errors import Stopped

OnBytes = Callable[[int], None]
GRACE_SECONDS = 2.0


class Progress(Protocol):
    """Receives progress and messages of a transfer."""

    def bar(self, title: str, total: int, done: int = 0) -> AbstractContextManager[OnBytes]:
        """Start a phase of `total` bytes, `done` of them complete; yields a callback for further bytes."""

    def say(self, line: str) -> None:
        """Report one line of text."""


class Counter:
    """Passes byte counts to a callback and ignores messages."""

    def __init__(self, on_bytes: OnBytes) -> None:
        self._on_bytes = on_bytes

    @contextmanager
    def bar(self, title: str, total: int, done: int = 0) -> Iterator[OnBytes]:
        yield self._on_bytes

    def say(self, line: str) -> None:
        """Ignore the message."""


class NullProgress(Counter):
    """Ignores all progress."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)


def for_each(
    work: Callable[[int], object], items: Iterable[int], *, parallel: int, stop: threading.Event
) -> None:
    """Call `work` on every item in up to `parallel` threads, in order.

    The first error or KeyboardInterrupt sets `stop` and is raised; remaining items are skipped. A thread that
    still blocks in a read after GRACE_SECONDS is abandoned.
    """
    group = _ThreadGroup(work, deque(items), stop)
    # Daemon threads, because the interpreter joins all others at exit.
    threads = [
        threading.Thread(target=group.run, daemon=True) for _ in range(min(parallel, len(group.items)))
    ]
    try:
        for thread in threads:
            thread.start()
        for _ in threads:
            group.ended.acquire()
            if stop.is_set():
                break
    except BaseException:
        stop.set()
        _join_for(threads, GRACE_SECONDS)
        raise
    _join_for(threads, GRACE_SECONDS)
    if group.errors:
        raise group.errors[0]
    if stop.is_set():
        raise Stopped


class _ThreadGroup:
    """State shared by the threads of one call."""

    def __init__(self, work: Callable[[int], object], items: deque[int], stop: threading.Event) -> None:
        self.items = items
        self.errors = deque[BaseException]()
        self.ended = threading.Semaphore(0)
        self._work = work
        self._stop = stop

    def run(self) -> None:
        try:
            while not self._stop.is_set() and (item := self._take()) is not None:
                self._work(item)
        except Stopped:
            self._stop.set()
        except BaseException as error:  # noqa: BLE001  # raised again by the caller's thread
            self.errors.append(error)
            self._stop.set()
        finally:
            self.ended.release()

    def _take(self) -> int | None:
        try:
            return self.items.popleft()
        except IndexError:
            return None


def _join_for(threads: list[threading.Thread], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for thread in threads:
        # A thread that was never started, after an early interrupt, cannot be joined.
        if thread.ident is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
