"""Bodies read from the block cache, which is filled from the store block by block."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from image_gateway.block_cache.block_cache import BlockCache
from image_gateway.block_cache.block_files import Block
from image_gateway.errors import GatewayError, StoreFact, StoreUnavailable
from image_gateway.protocol.ranges import ByteRange
from image_gateway.storage.body import BodyBroken, ObjectBody
from image_gateway.storage.object_reads import Pin
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)
# Bytes passed to the server at a time; a stalled client is detected after each of them.
SEND_SIZE = 1024 * 1024


class CachedObject(NamedTuple):
    """An object that is read through the cache; `version` names its bytes, which never change."""

    key: str
    size: int
    pin: Pin
    version: str
    image_id: str


class BlockCacheReader:
    """Reads byte ranges of objects through the block cache."""

    def __init__(self, store: ObjectStore, cache: BlockCache) -> None:
        self._store = store
        self._cache = cache

    def open(self, source: CachedObject, wanted: ByteRange) -> CachedBody | None:
        """Return a body of this range with its first block open; None when the cache cannot be used now.

        Raises the store's errors for the first block, such as ObjectChanged and ObjectMissing.
        """
        body = CachedBody(self, source, wanted)
        return body if body.begin() else None

    def block(self, source: CachedObject, index: int) -> Block | None:
        """Return a block of an object from the cache, or read it from the store."""
        return self._cache.open(
            source.version,
            source.size,
            index,
            lambda start, stop: self._fill(source, ByteRange(start, stop)),
            image_id=source.image_id,
        )

    def fill_ahead(self, source: CachedObject, index: int) -> bool:
        """Read a block into the cache. Return False if it is there or being read, or cannot be stored.

        Raises the store's errors.
        """
        return self._cache.fill_ahead(
            source.version,
            source.size,
            index,
            lambda start, stop: self._fill(source, ByteRange(start, stop)),
            image_id=source.image_id,
        )

    def forget(self, image_id: str) -> None:
        """Remove the blocks of a deleted image from this machine's disk."""
        if self._cache.forget(image_id):
            _log.info("removed the cached blocks of deleted image %s", image_id)

    def pass_through(self, source: CachedObject, wanted: ByteRange) -> ObjectBody:
        """Return the rest of a body directly from the store."""
        return self._store.open(source.key, byte_range=wanted, pin=source.pin).body

    @property
    def block_size(self) -> int:
        return self._cache.block_size

    def _fill(self, source: CachedObject, wanted: ByteRange) -> bytes:
        try:
            return self._store.open(source.key, byte_range=wanted, pin=source.pin).body.read_all()
        except BodyBroken as error:
            raise StoreUnavailable("the store closed the connection within a block; try again") from error


class CachedBody:
    """Iterates over exactly the bytes of a range; bytes that are not cached are read from the store.

    Raises BodyBroken if that fails, too. A range within one block has a `file` positioned at its first byte,
    which the server may send with sendfile.
    """

    def __init__(self, reads: BlockCacheReader, source: CachedObject, wanted: ByteRange) -> None:
        self._source = source
        self._reads = reads
        self._position = wanted.start
        self._stop = wanted.stop
        self._block: Block | None = None
        self._block_start = 0
        self._rest: ObjectBody | None = None

    def begin(self) -> bool:
        """Open the first block; returns False when the cache cannot be used."""
        return self._position == self._stop or self._open_block()

    @property
    def file(self) -> BinaryIO | None:
        """The open file at the range's first byte, if the range is short and within one block.

        A file that the server sends cannot be interrupted when the permission is revoked.
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
        """Close the open block or stream; may be called again."""
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
            raise BodyBroken(f"reading a cached block failed: {error.strerror}") from error
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
            self._rest = self._reads.pass_through(self._source, ByteRange(self._position, self._stop))
        except (StoreFact, GatewayError) as error:
            _log.warning("resuming a cached body failed: %s", type(error).__name__)
            raise BodyBroken("reading the next block from the store failed") from error
        return False

    def _open_block(self) -> bool:
        index = self._position // self._reads.block_size
        self._block_start = index * self._reads.block_size
        self._block = self._reads.block(self._source, index)
        return self._block is not None
