"""Caches blocks of images on the local disk, and pauses after disk failures."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from image_gateway.block_cache.block_files import Block, BlockFiles, BlockKey, block_key
from image_gateway.block_cache.cache_directory import CacheDirectory, FileLock, ImageIndex
from image_gateway.block_cache.capacity import CacheUsage, Capacity
from image_gateway.observability.metrics import CACHE_FILLS, CACHE_HITS, CACHE_MISSES

# All-zero blocks occupy no bytes, but one inode each.
MIN_FILES, BYTES_PER_FILE = 4096, 64 * 1024


class BlockCache:
    """Caches up to `max_bytes` of blocks of `block_size` bytes under `folder`, with LRU eviction.

    The disk is not accessed before the first `open`, so the cache may be created before a fork. Processes
    with different sizes may share the folder; each enforces its own limit when it adds a block.
    """

    def __init__(self, folder: Path, max_bytes: int, block_size: int) -> None:
        self.block_size = block_size
        self._max_bytes = max_bytes
        self._directory = CacheDirectory(folder)
        limit = CacheUsage(max_bytes, MIN_FILES + max_bytes // BYTES_PER_FILE)
        self._block_files = BlockFiles(self._directory, Capacity(self._directory, limit))
        self._index = ImageIndex(self._directory)
        self._backoff = FailureBackoff()

    def open(
        self,
        version: str,
        size: int,
        index: int,
        fill: Callable[[int, int], bytes],
        *,
        image_id: str | None = None,
    ) -> Block | None:
        """Return block `index` of an image of `size` bytes; the caller must close it.

        Returns None if the cache cannot serve the block: a disk error, a full disk, or a timeout of 30 s.

        Args:
            fill: Reads bytes [start, stop) from the store. Called by one thread of all processes while the
                others
                wait; must not open blocks itself. Its exceptions are propagated, and a waiting thread
                retries.
            image_id: The id by which `forget` finds the block.
        """
        key = block_key(self._directory.blocks, version, size, self.block_size, index)
        if not 0 <= key.start < size:
            return Block(0, None)
        block = self._find(key)
        if block is not None:
            CACHE_HITS.inc()
            return block
        CACHE_MISSES.inc()
        if self._backoff.paused or key.length > self._max_bytes:
            return None
        return self._find_or_fill(key, fill, image_id)

    def fill_ahead(
        self, version: str, size: int, index: int, fill: Callable[[int, int], bytes], *, image_id: str
    ) -> bool:
        """Store block `index`, for `open` to find. Return False if that is not needed or not possible.

        Never waits for another thread or process that fills the block. Arguments are those of `open`.
        """
        key = block_key(self._directory.blocks, version, size, self.block_size, index)
        if not 0 <= key.start < size or self._backoff.paused or key.length > self._max_bytes:
            return False
        if self._is_cached(key):
            return False
        lock = self._open_lock(key)
        if lock is None:
            return False
        with lock:
            if not next(lock.attempts()) or self._is_cached(key, discard=True):
                return False
            block = self._store(key, fill(key.start, key.stop), image_id)
        if block is not None:
            block.close()
        return block is not None

    def images(self) -> Iterator[str]:
        """Yield the ids of images that may have cached blocks."""
        return self._index.images()

    def forget(self, image_id: str) -> bool:
        """Remove all blocks of a deleted image. Return whether there were any.

        The byte count is corrected at the next eviction. Open blocks stay readable. A disk error is logged,
        and the next sweep retries.
        """
        if not self._index.has(image_id):
            return False
        try:
            with self._directory.lock_capacity() as lock:
                return any(lock.attempts()) and self._index.forget(image_id)
        except OSError as error:
            self._backoff.record_failure(error)
            return False

    def _find(self, key: BlockKey, discard: bool = False) -> Block | None:
        try:
            return self._block_files.find(key, discard)
        except OSError as error:
            self._backoff.record_failure(error)
            return None

    def _is_cached(self, key: BlockKey, discard: bool = False) -> bool:
        block = self._find(key, discard)
        if block is not None:
            block.close()
        return block is not None

    def _find_or_fill(
        self, key: BlockKey, fill: Callable[[int, int], bytes], image_id: str | None
    ) -> Block | None:
        lock = self._open_lock(key)
        if lock is None:
            return None
        with lock:
            for taken in lock.attempts():
                if taken or self._block_files.knows(key):
                    block = self._find(key, discard=taken)
                    if block is not None or self._backoff.paused:
                        return block
                if taken:
                    return self._store(key, fill(key.start, key.stop), image_id)
        self._backoff.log_limited("timeout while waiting for another process to fill a block")
        return None

    def _open_lock(self, key: BlockKey) -> FileLock | None:
        try:
            return self._directory.lock_fill(key.stem)
        except OSError as error:
            self._backoff.record_failure(error)
            return None

    def _store(self, key: BlockKey, data: bytes, image_id: str | None) -> Block | None:
        CACHE_FILLS.inc()
        if len(data) != key.length:
            self._backoff.log_limited(f"short read: expected {key.length} bytes, got {len(data)}")
            return None
        try:
            if image_id is not None:
                self._index.add(image_id, key.folder)
            return self._block_files.put(key, data)
        except OSError as error:
            self._backoff.record_failure(error)
            return None


PAUSE_SECONDS = 10.0
LOG_INTERVAL_SECONDS = 60.0
_log = logging.getLogger(__name__)


class FailureBackoff:
    """Pauses the cache of this process after a disk failure."""

    def __init__(self) -> None:
        self._paused_until = 0.0
        self._muted_until = 0.0

    @property
    def paused(self) -> bool:
        """Whether filling is paused, because new blocks could not be stored."""
        return time.monotonic() < self._paused_until

    def record_failure(self, reason: OSError) -> None:
        """Log the error and start a pause."""
        self._paused_until = time.monotonic() + PAUSE_SECONDS
        self.log_limited(f"{type(reason).__name__}: {reason}")

    def log_limited(self, reason: str) -> None:
        """Log a warning, at most once a minute."""
        now = time.monotonic()
        if now >= self._muted_until:
            self._muted_until = now + LOG_INTERVAL_SECONDS
            _log.warning("the block cache is bypassed: %s", reason)
