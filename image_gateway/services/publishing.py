"""Publishes a complete raw disk as chunk objects: all chunks first, the manifest last."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.clock import now_of
from image_gateway.domain.images import ChunkedFacts, DiskFacts, ImageRecord, ImageState
from image_gateway.errors import (
    BadRequest,
    GatewayError,
    InvalidState,
    NotFound,
    ObjectChanged,
    ObjectMissing,
    StoreError,
    StoreFact,
    StoreUnavailable,
)
from image_gateway.protocol.formats import SNIFF_LENGTH, find_container_format
from image_gateway.protocol.manifest import (
    DEFAULT_CHUNK_SIZE,
    DEFAULT_INDEX_WIDTH,
    ChunkFacts,
    ChunkGeometry,
    ManifestError,
    build_manifest,
    check_geometry,
)
from image_gateway.protocol.map_ordered import map_ordered
from image_gateway.protocol.ranges import ByteRange
from image_gateway.services.purging import Purger, Writer
from image_gateway.services.reading.access import canonical_id
from image_gateway.storage.body import BodyBroken
from image_gateway.storage.object_reads import Pin
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """The result: `sent` chunks were written, `kept` chunks existed already."""

    geometry: ChunkGeometry
    disk_sha256: str
    sent: int
    kept: int


@dataclass(frozen=True)
class _Chunk:
    data: bytes
    facts: ChunkFacts
    sent: bool


class Publishing:
    """Publishes images as chunks; may be repeated, and run concurrently for the same image."""

    def __init__(
        self,
        catalog: Catalog,
        store: ObjectStore,
        cache_control: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._purger = Purger(catalog, store, clock)
        self._catalog = catalog
        self._store = store
        self._cache_control = cache_control
        self._clock = clock

    def publish(
        self,
        image_id: str,
        *,
        chunk_size: int | None = None,
        parallel: int = 4,
        on_bytes: Callable[[int], None] = lambda _: None,
    ) -> Published:
        """Write the chunks of a complete image and list them in `stream-url`.

        Idempotent; repairs a version whose objects are missing or were overwritten. Keeps at most `parallel`
        chunks in memory; calls `on_bytes` with the size of each finished chunk. Resumes an interrupted run:
        chunks that exist with the right size and MD5 are not written again. Raises NotFound, InvalidState, or
        BadRequest (the chunk size does not fit the disk, or the image is not raw).
        """
        record, disk = self._find(image_id)
        if record.chunked is not None and chunk_size in (None, record.chunked.chunk_size):
            geometry = ChunkGeometry(disk.size, record.chunked.chunk_size)
            if self._is_whole(record, record.chunked, geometry):
                return Published(geometry, record.chunked.disk_sha256, sent=0, kept=geometry.count)
        geometry = self._claim(record, disk, chunk_size)
        self._refuse_containers(record, disk)
        try:
            with self._purger.writing(record) as writer:
                published = self._cut(record, disk, geometry, parallel, on_bytes, writer) if writer else None
        except (GatewayError, StoreFact):
            self._clean_up_if_deleted(record)
            raise
        if published is None:
            self._clean_up_if_deleted(record)
            raise InvalidState("the image changed while it was being published: publish again")
        return published

    def size_of(self, image_id: str) -> int:
        """Return the size in bytes of the disk to publish; raises the errors of `publish`."""
        return self._find(image_id)[1].size

    def _find(self, image_id: str) -> tuple[ImageRecord, DiskFacts]:
        record = self._catalog.find(canonical_id(image_id) or "")
        if record is None or record.state is ImageState.DELETED:
            raise NotFound(f"there is no image {image_id}")
        if record.disk is None:
            raise InvalidState("the image is not complete: its upload is still open")
        return record, record.disk

    def _claim(self, record: ImageRecord, disk: DiskFacts, wanted: int | None) -> ChunkGeometry:
        try:
            geometry = check_geometry(disk.size, wanted or DEFAULT_CHUNK_SIZE)
        except ManifestError as error:
            raise BadRequest(str(error)) from error
        claimed = self._catalog.claim_chunk_size(record.image_id, geometry.chunk_size)
        if claimed is None:
            raise InvalidState("the image is not complete: its upload is still open")
        if wanted not in (None, claimed):
            raise InvalidState(f"the chunk size of this image is {claimed} bytes and cannot be changed")
        return ChunkGeometry(disk.size, claimed)

    def _is_whole(self, record: ImageRecord, chunked: ChunkedFacts, geometry: ChunkGeometry) -> bool:
        """Return whether all objects of a published version exist, have the right size, and are not newer."""
        sizes = {
            item.key: item.size
            for item in self._store.list_objects(record.location.prefix)
            if item.last_modified <= chunked.published_at
        }
        chunks = (
            sizes.get(record.location.chunk_key(index, chunked.index_width)) == geometry.size_of(index)
            for index in range(geometry.count)
        )
        return sizes.get(record.location.manifest_key) == chunked.manifest_size and all(chunks)

    def _refuse_containers(self, record: ImageRecord, disk: DiskFacts) -> None:
        head = self._read(record, disk, ByteRange(0, min(SNIFF_LENGTH, disk.size)))
        tail = self._read(record, disk, ByteRange(max(0, disk.size - SNIFF_LENGTH), disk.size))
        name = find_container_format(head, tail)
        if name:
            raise BadRequest(
                f"the image is {name}, not raw: convert it (qemu-img convert -O raw) and upload the result"
            )

    def _cut(
        self,
        record: ImageRecord,
        disk: DiskFacts,
        geometry: ChunkGeometry,
        parallel: int,
        on_bytes: Callable[[int], None],
        writer: Writer,
    ) -> Published | None:
        """Write chunks and manifest; returns None when the image was deleted meanwhile."""
        whole = hashlib.sha256()
        facts: list[ChunkFacts] = []
        sent = 0
        # Closed before the writer ends, so that chunks in progress are waited for.
        with closing(self._write_chunks(record, disk, geometry, parallel)) as chunks:
            for chunk in chunks:
                if not writer.may_go_on():
                    return None
                whole.update(chunk.data)
                facts.append(chunk.facts)
                sent += chunk.sent
                on_bytes(len(chunk.data))
        if record.declared_disk_sha256 not in (None, whole.hexdigest()):
            raise InvalidState("the image's SHA-256 does not match the declared sha256: not published")
        if not self._write_manifest(record, geometry, whole.hexdigest(), facts):
            return None
        _log.info("published image %s: %d chunks, %d sent", record.image_id, geometry.count, sent)
        return Published(geometry, whole.hexdigest(), sent=sent, kept=geometry.count - sent)

    def _write_chunks(
        self, record: ImageRecord, disk: DiskFacts, geometry: ChunkGeometry, parallel: int
    ) -> Generator[_Chunk]:
        """Yield the written chunks in order, with at most `parallel` in progress."""
        there = {
            item.key: (item.size, item.etag)
            for item in self._store.list_objects(record.location.chunks_prefix)
        }
        return map_ordered(
            lambda index: self._write_chunk(record, disk, geometry, index, there), geometry.count, parallel
        )

    def _write_chunk(
        self,
        record: ImageRecord,
        disk: DiskFacts,
        geometry: ChunkGeometry,
        index: int,
        there: dict[str, tuple[int, str]],
    ) -> _Chunk:
        start = geometry.start_of(index)
        data = self._read(record, disk, ByteRange(start, start + geometry.size_of(index)))
        key = record.location.chunk_key(index, DEFAULT_INDEX_WIDTH)
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        missing = there.get(key) != (len(data), f'"{md5}"')
        if missing:
            self._put(key, data, "application/octet-stream")
        return _Chunk(data, ChunkFacts(len(data), hashlib.sha256(data).hexdigest()), missing)

    def _read(self, record: ImageRecord, disk: DiskFacts, part: ByteRange) -> bytes:
        try:
            return self._store.open(
                record.location.disk_key, byte_range=part, pin=Pin(etag=disk.etag)
            ).body.read_all()
        except (ObjectMissing, ObjectChanged) as error:
            raise StoreError("the image's object was deleted or replaced in the store") from error
        except BodyBroken as error:
            raise StoreUnavailable(
                "the store closed the connection early; publish again to continue"
            ) from error

    def _write_manifest(
        self, record: ImageRecord, geometry: ChunkGeometry, disk_sha256: str, facts: list[ChunkFacts]
    ) -> bool:
        manifest = build_manifest(
            record.image_id, f"sha256-{disk_sha256}", geometry, DEFAULT_INDEX_WIDTH, facts
        ).to_json()
        key = record.location.manifest_key
        self._put(key, manifest, "application/json")
        try:
            info = self._store.head(key)
        except ObjectMissing:
            return False
        chunked = ChunkedFacts(
            chunk_size=geometry.chunk_size,
            index_width=DEFAULT_INDEX_WIDTH,
            disk_sha256=disk_sha256,
            manifest_size=info.size,
            manifest_etag=info.etag,
            published_at=info.last_modified,
            cache_control=self._cache_control,
        )
        if info.size != len(manifest):
            raise InvalidState("the manifest was replaced while it was being published: publish again")
        return self._catalog.publish(record.image_id, chunked, now_of(self._clock))

    def _clean_up_if_deleted(self, record: ImageRecord) -> None:
        """If the image was deleted meanwhile, delete its new objects and raise NotFound."""
        current = self._catalog.find(record.image_id)
        if current is not None and current.state is ImageState.DELETED:
            self._purger.purge_or_leave(current)
            raise NotFound(f"the image {record.image_id} was deleted while it was being published")

    def _put(self, key: str, data: bytes, content_type: str) -> None:
        self._store.put(key, data, content_type=content_type, cache_control=self._cache_control)
