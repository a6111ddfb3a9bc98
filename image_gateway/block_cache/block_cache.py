"""Blocks of images on the local disk: found, filled once, and given up on for a while after failures."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from image_gateway.block_cache.block_files import Block, BlockFiles, BlockKey, block_key
from image_gateway.block_cache.cache_directory import CacheDirectory, FileLock, ImageIndex
from image_gateway.block_cache.capacity import CacheUsage, Capacity
from image_gateway.observability.metrics import CACHE_FILLS, CACHE_HITS, CACHE_MISSES

# All-zero blocks take no bytes, but an inode each.
LEAST_FILES, BYTES_PER_FILE = 4096, 64 * 1024


class BlockCache:
    """At most `max_bytes` of blocks of `block_size` bytes under `folder`, the least recently used go first.

    Nothing is touched before the first `open`, so it may be made before a fork. Processes may share the
    folder whatever their sizes are; each keeps to its own bound when it adds a block.
    """

    def __init__(self, folder: Path, max_bytes: int, block_size: int) -> None:
        self.block_size = block_size
        self._max_bytes = max_bytes
        self._directory = CacheDirectory(folder)
        limit = CacheUsage(max_bytes, LEAST_FILES + max_bytes // BYTES_PER_FILE)
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
        """Open block `index` of an image of `size` bytes, for the caller to close.

        `image_id` is by what `forget` finds the block again.

        `fill(start, stop)` reads it from the store, in one thread of all processes while the others wait; it
        must not open blocks itself. What it raises is raised here, and who waited tries next. None when the
        cache cannot serve: its disk fails or is full, or 30 s of waiting were not enough.
        """
        key = block_key(self._directory.blocks, version, size, self.block_size, index)
        if not 0 <= key.start < size:
            return Block(0, None)
        block = self._find(key)
        if block is not None:
            CACHE_HITS.inc()
            return block
        CACHE_MISSES.inc()
        if self._backoff.resting or key.length > self._max_bytes:
            return None
        return self._find_or_fill(key, fill, image_id)

    def images(self) -> Iterator[str]:
        """Yield the ids of images that may have blocks here."""
        return self._index.images()

    def forget(self, image_id: str) -> bool:
        """Remove all blocks of an image that was deleted; whether there were any.

        What the account of bytes counts for them is corrected at the next eviction. Blocks that are being
        read stay readable. A disk that refuses is logged, and the next sweep tries again.
        """
        if not self._index.has(image_id):
            return False
        try:
            with self._directory.lock_ledger() as lock:
                return any(lock.attempts()) and self._index.forget(image_id)
        except OSError as error:
            self._backoff.note(error)
            return False

    def _find(self, key: BlockKey, discard: bool = False) -> Block | None:
        try:
            return self._block_files.find(key, discard)
        except OSError as error:
            self._backoff.note(error)
            return None

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
                    if block is not None or self._backoff.resting:
                        return block
                if taken:
                    return self._keep(key, fill(key.start, key.stop), image_id)
        self._backoff.mention("a block was being filled by others for long")
        return None

    def _open_lock(self, key: BlockKey) -> FileLock | None:
        try:
            return self._directory.lock_fill(key.stem)
        except OSError as error:
            self._backoff.note(error)
            return None

    def _keep(self, key: BlockKey, data: bytes, image_id: str | None) -> Block | None:
        CACHE_FILLS.inc()
        if len(data) != key.length:
            self._backoff.mention(f"a fill of {key.length} bytes got {len(data)}")
            return None
        try:
            if image_id is not None:
                self._index.note(image_id, key.folder)
            return self._block_files.put(key, data)
        except OSError as error:
            self._backoff.note(error)
            return None


REST_SECONDS = 10.0
LOG_SECONDS = 60.0
_log = logging.getLogger(__name__)


class FailureBackoff:
    """Remembers the last failure of the cache in this process."""

    def __init__(self) -> None:
        self._rest_until = 0.0
        self._silent_until = 0.0

    @property
    def resting(self) -> bool:
        """Whether nothing should be filled now: what is read could not be kept."""
        return time.monotonic() < self._rest_until

    def note(self, reason: OSError) -> None:
        """Log, and begin a rest."""
        self._rest_until = time.monotonic() + REST_SECONDS
        self.mention(f"{type(reason).__name__}: {reason}")

    def mention(self, reason: str) -> None:
        """Log, unless something was logged less than a minute ago."""
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + LOG_SECONDS
            _log.warning("the block cache is passed by: %s", reason)
