"""Progress bars on stderr with bytes, rate and remaining time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from image_gateway.protocol.printable import escape_unprintable


class Terminal:
    """Shows progress bars and messages on stderr; messages appear above the running bar."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    @contextmanager
    def bar(self, title: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
        """Show a bar of `total` bytes, starting at `done`; yields a callback for further bytes."""
        columns = (
            TextColumn("{task.description:<24}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(title, total=total, completed=done)
            yield lambda step: progress.advance(task, step)

    def say(self, line: str) -> None:
        """Print a line, with terminal control characters escaped."""
        self._console.print(
            escape_unprintable(line), markup=False, emoji=False, highlight=False, soft_wrap=True
        )


@contextmanager
def byte_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar of `total` bytes; yields a callback for further bytes."""
    with Terminal().bar(title, total) as advance:
        yield advance


def human_size(size: int) -> str:
    """Format a number of bytes, such as 256.0 MiB."""
    value = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
