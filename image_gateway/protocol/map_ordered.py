"""A bounded parallel map that preserves order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def map_ordered(work: Callable[[int], Item], count: int, parallel: int) -> Generator[Item]:
    """Yield `work(0)` … `work(count - 1)` in order, computed by up to `parallel` threads.

    At most `parallel` results are in progress or buffered. After the first error, pending calls are cancelled
    and running ones are awaited.
    """
    pending: deque[Future[Item]] = deque()
    with ThreadPoolExecutor(parallel, "in-order") as pool:
        try:
            for index in range(count):
                if len(pending) == parallel:
                    yield pending.popleft().result()
                pending.append(pool.submit(work, index))
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
