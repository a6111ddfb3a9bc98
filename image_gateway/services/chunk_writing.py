"""Reads a disk in chunks and writes those that the store lacks."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass

from image_gateway.domain.images import DiskFacts, ImageRecord
from image_gateway.errors import ObjectChanged, ObjectMissing, StoreError, StoreUnavailable
from image_gateway.protocol.manifest import DEFAULT_INDEX_WIDTH, MIME_TYPE, ChunkFacts, ChunkGeometry
from image_gateway.protocol.map_ordered import map_ordered
from image_gateway.protocol.ranges import ByteRange
from image_gateway.services.zero_chunks import ZeroChunks, md5_of
from image_gateway.storage.body import BodyBroken
from image_gateway.storage.object_reads import Pin
from image_gateway.storage.objects import ObjectStore


@dataclass(frozen=True)
class WrittenChunk:
    """A chunk that the store has now: `sent` unless it had it before, and perhaps `copied` instead."""

    data: bytes
    facts: ChunkFacts
    sent: bool
    is_zero: bool
    copied: bool


class ChunkWriter:
    """Writes the chunk objects of one image."""

    def __init__(
        self,
        store: ObjectStore,
        record: ImageRecord,
        disk: DiskFacts,
        geometry: ChunkGeometry,
        *,
        cache_control: str,
        with_sha256: bool,
    ) -> None:
        self._store = store
        self._record = record
        self._disk = disk
        self._geometry = geometry
        self._cache_control = cache_control
        self._with_sha256 = with_sha256
        self._zeros = ZeroChunks(store, geometry, cache_control)

    def write_all(self, parallel: int) -> Generator[WrittenChunk]:
        """Yield the written chunks in order, with at most `parallel` in progress.

        Chunks whose size and MD5 are right already are not written again.
        """
        stored = {
            item.key: (item.size, item.etag)
            for item in self._store.list_objects(self._record.location.chunks_prefix)
        }
        return map_ordered(lambda index: self._write(index, stored), self._geometry.count, parallel)

    def _write(self, index: int, stored: dict[str, tuple[int, str]]) -> WrittenChunk:
        start = self._geometry.start_of(index)
        data = read_disk(
            self._store,
            self._record,
            self._disk,
            ByteRange(start, start + self._geometry.size_of(index)),
        )
        key = self._record.location.chunk_key(index, DEFAULT_INDEX_WIDTH)
        zeros = self._zeros.find(data)
        etag = f'"{zeros.md5 if zeros else md5_of(data)}"'
        sent, copied = stored.get(key) != (len(data), etag), False
        if zeros is None:
            if sent:
                self._store.put(key, data, content_type=MIME_TYPE, cache_control=self._cache_control)
            return WrittenChunk(data, self._facts(data), sent, is_zero=False, copied=False)
        if sent:
            copied = zeros.write(key)
        else:
            zeros.found(key, etag)
        return WrittenChunk(zeros.data, self._facts(data, zeros.sha256), sent, is_zero=True, copied=copied)

    def _facts(self, data: bytes, sha256: str | None = None) -> ChunkFacts:
        if not self._with_sha256:
            return ChunkFacts(len(data))
        return ChunkFacts(len(data), sha256 or hashlib.sha256(data).hexdigest())


def read_disk(store: ObjectStore, record: ImageRecord, disk: DiskFacts, part: ByteRange) -> bytes:
    """Return a range of an image's disk object.

    Raises:
        StoreError: The object vanished or was replaced.
        StoreUnavailable: The store did not send all of it.
    """
    try:
        return store.open(record.location.disk_key, byte_range=part, pin=Pin(etag=disk.etag)).body.read_all()
    except (ObjectMissing, ObjectChanged) as error:
        raise StoreError("the image's object was deleted or replaced in the store") from error
    except BodyBroken as error:
        raise StoreUnavailable("the store closed the connection early; publish again to continue") from error
