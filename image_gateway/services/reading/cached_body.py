"""Bodies from the block cache, filled from the store block by block."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import BinaryIO

from image_gateway.block_cache.block_cache import BlockCache
from image_gateway.block_cache.block_files import Block
from image_gateway.errors import GatewayError, StoreFact, StoreUnavailable
from image_gateway.protocol.ranges import Part
from image_gateway.storage.body import BodyBroken, ObjectBody
from image_gateway.storage.object_reads import Pin
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)
# What is handed to the server at once; a stalled reader is noticed for each.
SEND_SIZE = 1024 * 1024


class BlockCacheReader:
    """Reads parts of objects by way of the block cache."""

    def __init__(self, store: ObjectStore, cache: BlockCache) -> None:
        self._store = store
        self._cache = cache

    def open(
        self, key: str, size: int, part: Part, pin: Pin, version: str, image_id: str
    ) -> CachedBody | None:
        """A body of this part, its first block at hand; None when the cache cannot be used now.

        Raises what the store raises for the first block, ObjectChanged and ObjectMissing among it.
        """
        body = CachedBody(self, key, size, part, pin, version, image_id)
        return body if body.begin() else None

    def block(self, body: CachedBody, index: int) -> Block | None:
        """A block of the body's object, from the cache or filled now."""
        return self._cache.open(
            body.version,
            body.size,
            index,
            lambda start, stop: self._fill(body, Part(start, stop)),
            image_id=body.image_id,
        )

    def forget(self, image_id: str) -> None:
        """Remove the blocks of a deleted image from this machine's disk."""
        if self._cache.forget(image_id):
            _log.info("the cached blocks of the deleted image %s are removed", image_id)

    def pass_through(self, body: CachedBody, part: Part) -> ObjectBody:
        """The rest of a body straight from the store."""
        return self._store.open(body.key, part=part, pin=body.pin).body

    @property
    def block_size(self) -> int:
        return self._cache.block_size

    def _fill(self, body: CachedBody, part: Part) -> bytes:
        try:
            return self._store.open(body.key, part=part, pin=body.pin).body.read_all()
        except BodyBroken as error:
            raise StoreUnavailable("the store broke off within a block; try again") from error


class CachedBody:
    """Iterates over exactly the bytes of a part; what the cache cannot give comes from the store.

    Raises BodyBroken when neither can. A part within one block has a `file` at its first byte, which the
    server may send by itself.
    """

    def __init__(
        self, reads: BlockCacheReader, key: str, size: int, part: Part, pin: Pin, version: str, image_id: str
    ) -> None:
        self.image_id = image_id
        self.key = key
        self.size = size
        self.pin = pin
        self.version = version
        self._reads = reads
        self._position = part.start
        self._stop = part.stop
        self._block: Block | None = None
        self._block_start = 0
        self._rest: ObjectBody | None = None

    def begin(self) -> bool:
        """Open the first block; False when the cache cannot."""
        return self._position == self._stop or self._open_block()

    @property
    def file(self) -> BinaryIO | None:
        """The open file at the part's first byte, when one block holds all of it and it is short.

        What the server sends by itself cannot be broken off when permission is taken back.
        """
        block = self._block
        if block is None or block.file is None or self._stop > self._block_start + block.length:
            return None
        if self._stop - self._position > SEND_SIZE:
            return None
        block.file.seek(self._position - self._block_start)
        return block.file

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._rest is not None:
            return next(self._rest)
        if self._position == self._stop:
            self.close()
            raise StopIteration
        if self._block is None and not self._next_block():
            return next(self)
        return self._read()

    def close(self) -> None:
        """Let go of what is open; may be called again."""
        if self._block is not None:
            self._block.close()
            self._block = None
        if self._rest is not None:
            self._rest.close()

    def _read(self) -> bytes:
        block = self._block
        if block is None:
            raise BodyBroken("the body is closed")
        offset = self._position - self._block_start
        wanted = min(SEND_SIZE, self._stop - self._position, block.length - offset)
        try:
            data = block.read(offset, wanted)
        except OSError as error:
            raise BodyBroken(f"a cached block cannot be read: {error.strerror}") from error
        self._position += len(data)
        if offset + len(data) == block.length:
            block.close()
            self._block = None
        return data

    def _next_block(self) -> bool:
        """Open the block at the position, or the rest from the store instead (False)."""
        try:
            if self._open_block():
                return True
            self._rest = self._reads.pass_through(self, Part(self._position, self._stop))
        except (StoreFact, GatewayError) as error:
            _log.warning("a cached body cannot be gone on with: %s", type(error).__name__)
            raise BodyBroken("the store does not give the next block") from error
        return False

    def _open_block(self) -> bool:
        index = self._position // self._reads.block_size
        self._block_start = index * self._reads.block_size
        self._block = self._reads.block(self, index)
        return self._block is not None
