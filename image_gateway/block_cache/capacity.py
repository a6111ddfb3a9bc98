"""Tracks the size of the cache and evicts the least recently used blocks."""

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
    """Total bytes of all blocks and number of files (all-zero blocks have an empty file)."""

    bytes: int
    files: int

    def plus(self, size: int, files: int = 1) -> CacheUsage:
        """Return this usage plus `files` files with `size` bytes in total."""
        return CacheUsage(self.bytes + size, self.files + files)

    def fits(self, limit: CacheUsage) -> bool:
        """Return whether neither bytes nor files exceed `limit`."""
        return self.bytes <= limit.bytes and self.files <= limit.files


class Entry(NamedTuple):
    """A block's file; sorts by age, newest first."""

    newness: int
    size: int
    path: str


def count(blocks: str) -> CacheUsage:
    """Return the usage counted on disk."""
    usage = CacheUsage(0, 0)
    for entry in _walk(blocks):
        usage = usage.plus(entry.size)
    return usage


def evict(blocks: str, believed: CacheUsage, limit: CacheUsage) -> tuple[CacheUsage, int]:
    """Remove the oldest files until the rest fits `limit`. Return the remaining usage and the number removed.

    Args:
        believed: An upper bound of the current usage; limits how many candidates are held in memory.
    """
    usage, evicted = CacheUsage(0, 0), 0
    excess = CacheUsage(max(0, believed.bytes - limit.bytes), max(0, believed.files - limit.files))
    oldest = _OldestEntries(excess)
    for entry in _walk(blocks):
        usage = usage.plus(entry.size)
        oldest.offer(entry)
    for entry in oldest.sorted():
        if usage.fits(limit):
            break
        _remove(entry.path)
        usage, evicted = usage.plus(-entry.size, -1), evicted + 1
    return usage, evicted


class _OldestEntries:
    """Collects the oldest of the offered entries, just enough to cover `excess`."""

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
    """Yield all files below `folder` and remove empty folders; the caller must hold the capacity lock."""
    found = _list(folder)
    if not found:
        with suppress(OSError):
            os.rmdir(folder)
    for item in found:
        if item.is_dir(follow_symlinks=False):
            yield from _walk(item.path)
            continue
        # A process that refills a torn block may have removed it.
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
    # Removes empty parents, up to and including `blocks` itself.
    with suppress(OSError):
        while True:
            path = os.path.dirname(path)
            os.rmdir(path)


_FORMAT = struct.Struct("<QQ")


def recorded_usage(directory: CacheDirectory) -> CacheUsage:
    """Return the usage as the last change recorded it, which may be too high; zero if there is no cache."""
    try:
        with open(directory.capacity, "rb") as file:
            return CacheUsage(*_FORMAT.unpack(file.read(_FORMAT.size)))
    except (OSError, struct.error):
        return CacheUsage(0, 0)


class Capacity:
    """Tracks the usage on disk and serializes changes across threads and processes.

    The recorded usage is never below the usage on disk, even if a process is killed: sizes are added before
    files are written and subtracted after they are deleted. Each process recounts before its first change.
    """

    def __init__(self, directory: CacheDirectory, limit: CacheUsage) -> None:
        self._directory = directory
        self._limit = limit
        self._counted = False

    @contextmanager
    def reserving(self, size: int) -> Iterator[None]:
        """Reserve `size` bytes for a file to be written inside the block; an OSError undoes the reservation.

        Raises:
            OSError: The disk failed.
            TimeoutError: Other processes held the lock for 30 s.
        """
        with self._directory.lock_capacity() as lock:
            if not any(lock.attempts()):
                raise TimeoutError("timeout while waiting for the lock of the cache's capacity")
            before = self._evict_if_needed(self._read(lock.fd), size)
            self._write(lock.fd, before.plus(size))
            try:
                yield
            except OSError:
                self._write(lock.fd, before)
                raise

    def _read(self, fd: int) -> CacheUsage:
        text = os.pread(fd, _FORMAT.size, 0)
        if self._counted and len(text) == _FORMAT.size:
            return CacheUsage(*_FORMAT.unpack(text))
        usage = count(self._directory.blocks)
        self._counted = True
        return usage

    def _evict_if_needed(self, usage: CacheUsage, size: int) -> CacheUsage:
        if usage.plus(size).fits(self._limit):
            return usage
        target = CacheUsage(
            min(self._limit.bytes * 9 // 10, self._limit.bytes - size),
            min(self._limit.files * 9 // 10, self._limit.files - 1),
        )
        usage, evicted = evict(self._directory.blocks, usage, target)
        CACHE_EVICTIONS.inc(evicted)
        return usage

    def _write(self, fd: int, usage: CacheUsage) -> None:
        os.pwrite(fd, _FORMAT.pack(*usage), 0)
        CACHE_BYTES.set(usage.bytes)
