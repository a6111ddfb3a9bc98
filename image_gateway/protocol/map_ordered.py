"""Bounded parallel work whose results come out in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def map_ordered(work: Callable[[int], Item], count: int, parallel: int) -> Generator[Item]:
    """Yield `work(0)` … `work(count - 1)` in order, at most `parallel` of them under way or waiting.

    The first error stops the rest: what has not begun is cancelled, what has is waited for.
    """
    waiting: deque[Future[Item]] = deque()
    with ThreadPoolExecutor(parallel, "in-order") as pool:
        try:
            for index in range(count):
                if len(waiting) == parallel:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(work, index))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
