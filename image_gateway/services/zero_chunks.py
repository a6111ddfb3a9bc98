"""All-zero chunk objects: hashed once per size, sent once, and then copied within the store."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterable

from image_gateway.errors import ObjectChanged, ObjectMissing, StoreError
from image_gateway.protocol.manifest import MIME_TYPE, ChunkGeometry
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)


class ZeroChunk:
    """The all-zero chunk of one size in one publication; thread-safe."""

    def __init__(self, store: ObjectStore, size: int, cache_control: str) -> None:
        self.data = bytes(size)
        self.md5 = md5_of(self.data)
        self.sha256 = hashlib.sha256(self.data).hexdigest()
        self._store = store
        self._cache_control = cache_control
        self._lock = threading.Lock()
        # Key and ETag of an object to copy.
        self._source: tuple[str, str] | None = None
        self._copies = True

    def found(self, key: str, etag: str) -> None:
        """Note that the store has this object already, so that it can be copied."""
        with self._lock:
            self._source = self._source or (key, etag)

    def write(self, key: str) -> bool:
        """Write the object: by a copy if the store has one to copy. Return whether it was copied.

        The first object of a size is sent while other threads wait for it. A store that refuses to copy gets
        every object sent. Raises StoreUnavailable as `ObjectStore.put`.
        """
        with self._lock:
            if self._source is None:
                self._source = (key, self._put(key))
                return False
            source, etag = self._source
            copies = self._copies
        if copies and self._copy(source, etag, key):
            return True
        self._put(key)
        return False

    def _copy(self, source: str, etag: str, key: str) -> bool:
        try:
            self._store.copy(
                source, key, source_etag=etag, content_type=MIME_TYPE, cache_control=self._cache_control
            )
        except (ObjectMissing, ObjectChanged):
            with self._lock:
                self._source = None
            return False
        except StoreError as error:
            _log.warning("all-zero chunks are sent instead of copied: %s", error)
            with self._lock:
                self._copies = False
            return False
        return True

    def _put(self, key: str) -> str:
        return self._store.put(key, self.data, content_type=MIME_TYPE, cache_control=self._cache_control)


class ZeroChunks:
    """The all-zero chunks of one publication, which has at most two sizes of chunks."""

    def __init__(self, store: ObjectStore, geometry: ChunkGeometry, cache_control: str) -> None:
        sizes = {geometry.size_of(0), geometry.size_of(geometry.count - 1)}
        self._by_size = {size: ZeroChunk(store, size, cache_control) for size in sizes}

    def find(self, data: bytes) -> ZeroChunk | None:
        """Return the chunk that equals the data, or None if a byte is not zero."""
        zeros = self._by_size[len(data)]
        return zeros if data == zeros.data else None


def md5_of(data: bytes) -> str:
    """Return the MD5 in hexadecimal, which is the ETag of objects that were sent in one request."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def merge_zero_ranges(geometry: ChunkGeometry, indexes: Iterable[int]) -> list[tuple[int, int]]:
    """Return the byte ranges (start, end), end excluded, of these chunks; adjacent ones become one range."""
    ranges: list[tuple[int, int]] = []
    for index in indexes:
        start = geometry.start_of(index)
        end = start + geometry.size_of(index)
        if ranges and ranges[-1][1] == start:
            start = ranges.pop()[0]
        ranges.append((start, end))
    return ranges
