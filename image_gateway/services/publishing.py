"""Publishes a complete raw disk as chunk objects: all chunks first, the manifest last."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.clock import now_of
from image_gateway.domain.images import ChunkedFacts, DiskFacts, ImageRecord, ImageState
from image_gateway.errors import BadRequest, GatewayError, InvalidState, NotFound, ObjectMissing, StoreFact
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
from image_gateway.protocol.ranges import ByteRange
from image_gateway.protocol.zero_map import ZeroMapBuilder
from image_gateway.services.chunk_writing import ChunkWriter, read_disk
from image_gateway.services.published_objects import PublishedObjects, PublishOptions, resolve_options
from image_gateway.services.purging import Purger, Writer
from image_gateway.services.reading.access import canonical_id
from image_gateway.services.reading.zero_maps import put_zero_map, write_zero_map
from image_gateway.services.zero_chunks import merge_zero_ranges
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """The result: `sent` chunks were written, `kept` chunks existed already.

    `copied` of the `sent` chunks were all-zero and copied within the store. `zero_ranges` are the byte ranges
    (start, end), end excluded, of the all-zero chunks, in order and merged; a store whose ETags are not MD5s
    hides them when nothing was left to do.
    """

    geometry: ChunkGeometry
    disk_sha256: str
    sent: int
    kept: int
    copied: int = 0
    zero_ranges: list[tuple[int, int]] = field(default_factory=list)


class Publishing:
    """Publishes images as chunks; may be repeated, and run concurrently for the same image.

    Args:
        cache_control: Cache-Control of the objects, unless `publish` is given another one.
        latest: Whether to write `latest.json` beside the versions.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: ObjectStore,
        cache_control: str,
        clock: Callable[[], float] = time.time,
        *,
        latest: bool = False,
    ) -> None:
        self._purger = Purger(catalog, store, clock)
        self._catalog = catalog
        self._store = store
        self._objects = PublishedObjects(store)
        self._cache_control = cache_control
        self._latest = latest
        self._clock = clock

    def publish(
        self,
        image_id: str,
        *,
        chunk_size: int | None = None,
        parallel: int = 4,
        on_bytes: Callable[[int], None] = lambda _: None,
        checksum: str | None = None,
        cache_control: str | None = None,
    ) -> Published:
        """Write the chunks of a complete image and list them in `stream-url`.

        Idempotent; repairs a version whose objects are missing or were overwritten. Keeps at most `parallel`
        chunks in memory; calls `on_bytes` with the size of each finished chunk. Resumes an interrupted run:
        chunks that exist with the right size and MD5 are not written again.

        Args:
            checksum: `sha256` (the default) or `none`, which leaves the chunks' hashes out of the manifest.
            cache_control: Cache-Control of the objects; must contain no-transform.

        Raises:
            NotFound: There is no such image.
            InvalidState: The image is not complete, or was published with other options.
            BadRequest: The chunk size does not fit the disk, the image is not raw, or an option is invalid.
        """
        record, disk = self._find(image_id)
        options = resolve_options(self._objects, record, checksum, cache_control, self._cache_control)
        if record.chunked is not None and chunk_size in (None, record.chunked.chunk_size):
            done = self._find_published(record, record.chunked, disk)
            if done is not None:
                self._add_zero_map(record, disk, done)
                self._point_to(record, done.disk_sha256, options)
                return done
        geometry = self._claim(record, disk, chunk_size)
        self._refuse_containers(record, disk)
        try:
            with self._purger.writing(record) as writer:
                published = (
                    self._cut(record, disk, geometry, options, parallel, on_bytes, writer) if writer else None
                )
        except (GatewayError, StoreFact):
            self._clean_up_if_deleted(record)
            raise
        if published is None:
            self._clean_up_if_deleted(record)
            raise InvalidState("the image changed while it was being published: publish again")
        self._point_to(record, published.disk_sha256, options)
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

    def _find_published(
        self, record: ImageRecord, chunked: ChunkedFacts, disk: DiskFacts
    ) -> Published | None:
        """Return what was published, or None unless all objects exist, have their size, and are not newer."""
        geometry = ChunkGeometry(disk.size, chunked.chunk_size)
        zeros = self._objects.find_zero_chunks(record, chunked, geometry)
        if zeros is None:
            return None
        ranges = merge_zero_ranges(geometry, zeros)
        return Published(geometry, chunked.disk_sha256, sent=0, kept=geometry.count, zero_ranges=ranges)

    def _refuse_containers(self, record: ImageRecord, disk: DiskFacts) -> None:
        head = read_disk(self._store, record, disk, ByteRange(0, min(SNIFF_LENGTH, disk.size)))
        tail = read_disk(self._store, record, disk, ByteRange(max(0, disk.size - SNIFF_LENGTH), disk.size))
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
        options: PublishOptions,
        parallel: int,
        on_bytes: Callable[[int], None],
        writer: Writer,
    ) -> Published | None:
        """Write chunks and manifest; returns None when the image was deleted meanwhile."""
        chunk_writer = ChunkWriter(
            self._store,
            record,
            disk,
            geometry,
            cache_control=options.cache_control,
            with_sha256=options.with_sha256,
        )
        whole = hashlib.sha256()
        facts: list[ChunkFacts] = []
        zeros: list[int] = []
        zero_blocks = ZeroMapBuilder(disk.size)
        sent = copied = 0
        # Closed before the writer ends, so that chunks in progress are waited for.
        with closing(chunk_writer.write_all(parallel)) as chunks:
            for index, chunk in enumerate(chunks):
                if not writer.may_go_on():
                    return None
                whole.update(chunk.data)
                zero_blocks.scan(geometry.start_of(index), chunk.data)
                facts.append(chunk.facts)
                sent += chunk.sent
                copied += chunk.copied
                if chunk.is_zero:
                    zeros.append(index)
                on_bytes(len(chunk.data))
        if record.declared_disk_sha256 not in (None, whole.hexdigest()):
            raise InvalidState("the image's SHA-256 does not match the declared sha256: not published")
        if not put_zero_map(self._store, self._catalog, record, zero_blocks.build()):
            return None
        if not self._write_manifest(record, geometry, options, whole.hexdigest(), facts):
            return None
        kept = geometry.count - sent
        _log.info(
            "published image %s: %d chunks sent, %d copied, %d kept",
            record.image_id,
            sent - copied,
            copied,
            kept,
        )
        return Published(geometry, whole.hexdigest(), sent, kept, copied, merge_zero_ranges(geometry, zeros))

    def _write_manifest(
        self,
        record: ImageRecord,
        geometry: ChunkGeometry,
        options: PublishOptions,
        disk_sha256: str,
        facts: list[ChunkFacts],
    ) -> bool:
        manifest = build_manifest(
            record.image_id, f"sha256-{disk_sha256}", geometry, DEFAULT_INDEX_WIDTH, facts
        ).to_json()
        key = record.location.manifest_key
        self._store.put(key, manifest, content_type="application/json", cache_control=options.cache_control)
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
            cache_control=options.cache_control,
        )
        if info.size != len(manifest):
            raise InvalidState("the manifest was replaced while it was being published: publish again")
        return self._catalog.publish(record.image_id, chunked, now_of(self._clock))

    def _add_zero_map(self, record: ImageRecord, disk: DiskFacts, done: Published) -> None:
        """Write the zero map of an image that was published without one; all-zero chunks are known."""
        if record.zero_map_bytes is not None or not done.zero_ranges:
            return
        with self._purger.writing(record) as writer:
            if writer:
                write_zero_map(self._store, self._catalog, record, disk.size, done.zero_ranges)
        self._clean_up_if_deleted(record)

    def _point_to(self, record: ImageRecord, disk_sha256: str, options: PublishOptions) -> None:
        """Let `latest.json` point at the manifest, if that is wanted and the image still exists."""
        if not self._latest:
            return
        with self._purger.writing(record) as writer:
            if writer:
                self._objects.point_to(record, f"sha256-{disk_sha256}", options.cache_control)
        self._clean_up_if_deleted(record)

    def _clean_up_if_deleted(self, record: ImageRecord) -> None:
        """If the image was deleted meanwhile, delete its new objects and raise NotFound."""
        current = self._catalog.find(record.image_id)
        if current is not None and current.state is ImageState.DELETED:
            self._purger.purge_or_leave(current)
            raise NotFound(f"the image {record.image_id} was deleted while it was being published")
