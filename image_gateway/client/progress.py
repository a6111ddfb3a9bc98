"""Who watches a transfer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from image_gateway.client.file_slices import OnBytes


class Progress(Protocol):
    """Sees the progress of a transfer, and hears what happens besides."""

    def bar(self, title: str, total: int, done: int = 0) -> AbstractContextManager[OnBytes]:
        """Begin a phase of `total` bytes, `done` of which are there; what is yielded hears of each step."""

    def say(self, line: str) -> None:
        """Hear one line for people."""


class Counter:
    """Hears of bytes alone."""

    def __init__(self, on_bytes: OnBytes) -> None:
        self._on_bytes = on_bytes

    @contextmanager
    def bar(self, title: str, total: int, done: int = 0) -> Iterator[OnBytes]:
        yield self._on_bytes

    def say(self, line: str) -> None:
        """Hear nothing."""


class NullProgress(Counter):
    """Watches nothing."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
