"""Walking over the blocks on disk, and removing those that were not used for longest."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple


class Stock(NamedTuple):
    """How much there is: bytes of all blocks, and files, which all-zero blocks have too."""

    bytes: int
    files: int

    def plus(self, size: int, files: int = 1) -> Stock:
        """This stock and `files` more files of `size` bytes together."""
        return Stock(self.bytes + size, self.files + files)

    def fits(self, limit: Stock) -> bool:
        """Whether neither bytes nor files are more than in `limit`."""
        return self.bytes <= limit.bytes and self.files <= limit.files


class Entry(NamedTuple):
    """A file among the blocks; they order by age, the newest first."""

    newness: int
    size: int
    path: str


def count(blocks: str) -> Stock:
    """Count what is on disk."""
    stock = Stock(0, 0)
    for entry in _walk(blocks):
        stock = stock.plus(entry.size)
    return stock


def evict(blocks: str, believed: Stock, limit: Stock) -> tuple[Stock, int]:
    """Remove the oldest until the rest fits `limit`; the rest, counted from disk, and how many went.

    `believed` is at least what is there: it bounds how many candidates are held in memory.
    """
    stock, gone = Stock(0, 0), 0
    excess = Stock(max(0, believed.bytes - limit.bytes), max(0, believed.files - limit.files))
    oldest = _Oldest(excess)
    for entry in _walk(blocks):
        stock = stock.plus(entry.size)
        oldest.offer(entry)
    for entry in oldest.sorted():
        if stock.fits(limit):
            break
        _remove(entry.path)
        stock, gone = stock.plus(-entry.size, -1), gone + 1
    return stock, gone


class _Oldest:
    """The oldest of the entries offered, no more of them than make up `excess`."""

    def __init__(self, excess: Stock) -> None:
        self._excess = excess
        self._kept = Stock(0, 0)
        self._heap: list[Entry] = []

    def offer(self, entry: Entry) -> None:
        heapq.heappush(self._heap, entry)
        self._kept = self._kept.plus(entry.size)
        while self._heap:
            without = self._kept.plus(-self._heap[0].size, -1)
            if not self._excess.fits(without):
                break
            heapq.heappop(self._heap)
            self._kept = without

    def sorted(self) -> Iterable[Entry]:
        return sorted(self._heap, reverse=True)


def _walk(folder: str) -> Iterator[Entry]:
    """Yield every file below, and remove empty folders; the ledger must be held, or one could be in use."""
    found = _list(folder)
    if not found:
        with suppress(OSError):
            os.rmdir(folder)
    for item in found:
        if item.is_dir(follow_symlinks=False):
            yield from _walk(item.path)
            continue
        # A torn block may be removed by whoever refills it.
        with suppress(FileNotFoundError):
            status = item.stat(follow_symlinks=False)
            yield Entry(-status.st_mtime_ns, status.st_size, item.path)


def _list(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as items:
            return list(items)
    except FileNotFoundError:
        return []


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
    # Up to and with `blocks` itself, when nothing is left.
    with suppress(OSError):
        while True:
            path = os.path.dirname(path)
            os.rmdir(path)
