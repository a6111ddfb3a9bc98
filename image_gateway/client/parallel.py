"""Work on many items by threads that end together: at the first error, and at Ctrl-C."""

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
    """Do `work` on every item, `parallel` at a time, begun in their order.

    The first error, or KeyboardInterrupt, sets `stop` and is raised; what has not begun never does. A
    thread that hangs in a read is left to the end of the process after a few seconds.
    """
    group = _Group(work, deque(items), stop)
    # Daemons, for the interpreter waits for every other thread before it ends.
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


class _Group:
    """What the threads of one call share."""

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
        # One that never started, for the interrupt came first, cannot be joined.
        if thread.ident is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
