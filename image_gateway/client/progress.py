"""Progress reporting for transfers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from image_gateway.client.file_slices import OnBytes


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
