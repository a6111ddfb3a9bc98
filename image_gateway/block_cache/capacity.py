"""How many bytes the cache holds, and which blocks are evicted."""

from __future__ import annotations

import heapq
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from image_gateway.block_cache.cache_directory import CacheDirectory
from image_gateway.observability.metrics import CACHE_BYTES, CACHE_EVICTIONS


class CacheUsage(NamedTuple):
    """How much there is: bytes of all blocks, and files, which all-zero blocks have too."""

    bytes: int
    files: int

    def plus(self, size: int, files: int = 1) -> CacheUsage:
        """This usage and `files` more files of `size` bytes together."""
        return CacheUsage(self.bytes + size, self.files + files)

    def fits(self, limit: CacheUsage) -> bool:
        """Whether neither bytes nor files are more than in `limit`."""
        return self.bytes <= limit.bytes and self.files <= limit.files


class Entry(NamedTuple):
    """A file among the blocks; they order by age, the newest first."""

    newness: int
    size: int
    path: str


def count(blocks: str) -> CacheUsage:
    """Count what is on disk."""
    usage = CacheUsage(0, 0)
    for entry in _walk(blocks):
        usage = usage.plus(entry.size)
    return usage


def evict(blocks: str, believed: CacheUsage, limit: CacheUsage) -> tuple[CacheUsage, int]:
    """Remove the oldest until the rest fits `limit`; the rest, counted from disk, and how many went.

    `believed` is at least what is there: it bounds how many candidates are held in memory.
    """
    usage, gone = CacheUsage(0, 0), 0
    excess = CacheUsage(max(0, believed.bytes - limit.bytes), max(0, believed.files - limit.files))
    oldest = _Oldest(excess)
    for entry in _walk(blocks):
        usage = usage.plus(entry.size)
        oldest.offer(entry)
    for entry in oldest.sorted():
        if usage.fits(limit):
            break
        _remove(entry.path)
        usage, gone = usage.plus(-entry.size, -1), gone + 1
    return usage, gone


class _Oldest:
    """The oldest of the entries offered, no more of them than make up `excess`."""

    def __init__(self, excess: CacheUsage) -> None:
        self._excess = excess
        self._kept = CacheUsage(0, 0)
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
    """Yield every file below, and remove empty folders; the capacity must be held, or one could be in use."""
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


_FORMAT = struct.Struct("<QQ")


class Capacity:
    """Knows the usage of blocks, and lets one thread of all processes at a time change it.

    What it says is never less than what is on disk, wherever a process is killed: sizes are added before
    files are written and subtracted after they are gone. Each process counts anew when it first changes it.
    """

    def __init__(self, directory: CacheDirectory, limit: CacheUsage) -> None:
        self._directory = directory
        self._limit = limit
        self._counted = False

    @contextmanager
    def reserving(self, size: int) -> Iterator[None]:
        """Make room for a file of `size` bytes, written within; an OSError there gives the room back.

        Raises OSError, a TimeoutError when other processes hold its lock for long.
        """
        with self._directory.lock_ledger() as lock:
            if not any(lock.attempts()):
                raise TimeoutError("the cache's capacity is held by others")
            before = self._make_room(self._open(lock.fd), size)
            self._write(lock.fd, before.plus(size))
            try:
                yield
            except OSError:
                self._write(lock.fd, before)
                raise

    def _open(self, fd: int) -> CacheUsage:
        text = os.pread(fd, _FORMAT.size, 0)
        if self._counted and len(text) == _FORMAT.size:
            return CacheUsage(*_FORMAT.unpack(text))
        usage = count(self._directory.blocks)
        self._counted = True
        return usage

    def _make_room(self, usage: CacheUsage, size: int) -> CacheUsage:
        if usage.plus(size).fits(self._limit):
            return usage
        target = CacheUsage(
            min(self._limit.bytes * 9 // 10, self._limit.bytes - size),
            min(self._limit.files * 9 // 10, self._limit.files - 1),
        )
        usage, gone = evict(self._directory.blocks, usage, target)
        CACHE_EVICTIONS.inc(gone)
        return usage

    def _write(self, fd: int, usage: CacheUsage) -> None:
        os.pwrite(fd, _FORMAT.pack(*usage), 0)
        CACHE_BYTES.set(usage.bytes)
