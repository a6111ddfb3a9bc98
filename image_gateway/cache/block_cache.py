"""Blocks of images on the local disk, read from the store once for all threads of all workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from image_gateway.cache.block import Block
from image_gateway.cache.eviction import Stock
from image_gateway.cache.image_index import ImageIndex
from image_gateway.cache.ledger import Ledger
from image_gateway.cache.locks import FileLock
from image_gateway.cache.place import Place, place_of
from image_gateway.cache.room import Room
from image_gateway.cache.shelf import Shelf
from image_gateway.cache.trouble import Trouble
from image_gateway.metrics.instruments import CACHE_FILLS, CACHE_HITS, CACHE_MISSES

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
        self._room = Room(folder)
        limit = Stock(max_bytes, LEAST_FILES + max_bytes // BYTES_PER_FILE)
        self._shelf = Shelf(self._room, Ledger(self._room, limit))
        self._index = ImageIndex(self._room)
        self._trouble = Trouble()

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
        place = place_of(self._room.blocks, version, size, self.block_size, index)
        if not 0 <= place.start < size:
            return Block(0, None)
        block = self._find(place)
        if block is not None:
            CACHE_HITS.inc()
            return block
        CACHE_MISSES.inc()
        if self._trouble.resting or place.length > self._max_bytes:
            return None
        return self._find_or_fill(place, fill, image_id)

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
            with self._room.lock_ledger() as lock:
                return any(lock.attempts()) and self._index.forget(image_id)
        except OSError as error:
            self._trouble.note(error)
            return False

    def _find(self, place: Place, discard: bool = False) -> Block | None:
        try:
            return self._shelf.find(place, discard)
        except OSError as error:
            self._trouble.note(error)
            return None

    def _find_or_fill(
        self, place: Place, fill: Callable[[int, int], bytes], image_id: str | None
    ) -> Block | None:
        lock = self._open_lock(place)
        if lock is None:
            return None
        with lock:
            for taken in lock.attempts():
                if taken or self._shelf.knows(place):
                    block = self._find(place, discard=taken)
                    if block is not None or self._trouble.resting:
                        return block
                if taken:
                    return self._keep(place, fill(place.start, place.stop), image_id)
        self._trouble.mention("a block was being filled by others for long")
        return None

    def _open_lock(self, place: Place) -> FileLock | None:
        try:
            return self._room.lock_fill(place.stem)
        except OSError as error:
            self._trouble.note(error)
            return None

    def _keep(self, place: Place, data: bytes, image_id: str | None) -> Block | None:
        CACHE_FILLS.inc()
        if len(data) != place.length:
            self._trouble.mention(f"a fill of {place.length} bytes got {len(data)}")
            return None
        try:
            if image_id is not None:
                self._index.note(image_id, place.folder)
            return self._shelf.put(place, data)
        except OSError as error:
            self._trouble.note(error)
            return None
