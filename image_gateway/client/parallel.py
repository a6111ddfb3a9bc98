"""Runs a function on many items in threads; stops at the first error or Ctrl-C."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from image_gateway.client.errors import Stopped

GRACE_SECONDS = 2.0


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
