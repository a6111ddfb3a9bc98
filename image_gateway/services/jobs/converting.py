"""Runs `convert` jobs: writes the raw disk of an image from its source, or the zeros of an empty disk."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

from image_gateway.catalog.repository import Catalog
from image_gateway.conversion.disk_reader import DiskReader, open_disk
from image_gateway.domain.clock import now_of
from image_gateway.domain.images import (
    DiskFacts,
    ImageFormat,
    ImageRecord,
    SourceFacts,
)
from image_gateway.errors import BadRequest, ObjectChanged, ObjectMissing, StoreError, StoreUnavailable
from image_gateway.protocol.formats import HEAD_LENGTH, SNIFF_LENGTH, DiskFormat, detect_format
from image_gateway.protocol.ranges import ByteRange
from image_gateway.protocol.zero_map import ZeroMapBuilder
from image_gateway.services.jobs.disk_writing import Disk, DiskRules, DiskWriting, put_zeros
from image_gateway.services.jobs.job_run import JobRun, processed_image
from image_gateway.services.jobs.object_upload import ObjectUpload
from image_gateway.services.purging import Purger, Writer
from image_gateway.storage.body import BodyBroken
from image_gateway.storage.object_reads import ObjectInfo, Pin
from image_gateway.storage.objects import ObjectStore

HASH_BLOCK = 8 * 1024 * 1024


class StoredSource:
    """The bytes of an image's source, read at one version."""

    def __init__(self, store: ObjectStore, key: str, facts: SourceFacts) -> None:
        self.size = facts.size
        self._store = store
        self._key = key
        self._pin = Pin(etag=facts.etag)

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to but not including `end`."""
        if start >= end:
            return b""
        try:
            span = ByteRange(start, end)
            return self._store.open(self._key, byte_range=span, pin=self._pin).body.read_all()
        except (ObjectMissing, ObjectChanged) as error:
            raise StoreError("the source of the image was deleted or replaced in the store") from error
        except BodyBroken as error:
            raise StoreUnavailable(
                "the store closed the connection early while the source was read"
            ) from error


class Converting:
    """Writes disks. A part that is all zeros is copied within the store instead of being sent."""

    def __init__(
        self, catalog: Catalog, store: ObjectStore, rules: DiskRules, clock: Callable[[], float]
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._rules = rules
        self._clock = clock
        self._writing = DiskWriting(catalog, store, rules)
        self._purger = Purger(catalog, store, clock)

    def run(self, run: JobRun) -> bool:
        """Convert, and make the image complete. Return False when the claim was lost."""
        with processed_image(self._catalog, self._purger, run.job) as (record, writer):
            info = self._find_finished(record) or self._write_disk(record, run, writer)
            disk = DiskFacts(info.size, info.etag, info.last_modified, info.cache_control)
            upload_id = record.plan.upload_id
            finished = self._catalog.jobs.finish_disk(run.job, upload_id, disk, now_of(self._clock))
        if finished and record.source is not None and not self._rules.keep_sources:
            self._store.delete(record.location.source_key)
            self._catalog.forget_source(record.image_id)
        return finished

    def _find_finished(self, record: ImageRecord) -> ObjectInfo | None:
        """Return the disk if the source is gone, which is deleted only after a conversion.

        The catalog does not know of it after it was restored from a backup.
        """
        if record.source is None or self._store.find(record.location.source_key) is not None:
            return None
        return self._store.find(record.location.disk_key)

    def _write_disk(self, record: ImageRecord, run: JobRun, writer: Writer) -> ObjectInfo:
        if record.source is None:
            size = record.plan.size or 0
            zeros = ZeroMapBuilder(size)
            zeros.add(0, size)
            return self._writing.write(record, run, writer, Disk(size, put_zeros, zeros))
        source = StoredSource(self._store, record.location.source_key, record.source)
        self._check_hash(record, source, run)
        disk_format = self._format_of(record, source)
        with open_disk(source, disk_format, max_size=self._rules.max_size) as reader:
            if disk_format in (DiskFormat.RAW, DiskFormat.ISO):
                copy_part = _copy_from(record.location.source_key, record.source.etag)
                copied = Disk(source.size, copy_part, ZeroMapBuilder(source.size))
                return self._writing.write(record, run, writer, copied)
            return self._writing.write(record, run, writer, _converted(reader))

    def _check_hash(self, record: ImageRecord, source: StoredSource, run: JobRun) -> None:
        """Compare a large source with its declared SHA-256, once for all runs."""
        declared = record.plan.sha256
        if declared is None or source.size <= self._rules.hashed_at_completion or "hashed" in run.checkpoint:
            return
        digest = hashlib.sha256()
        for start in range(0, source.size, HASH_BLOCK):
            digest.update(source.read(start, min(start + HASH_BLOCK, source.size)))
            run.check()
        if digest.hexdigest() != declared:
            raise BadRequest(f"sha256: what was uploaded has SHA-256 {digest.hexdigest()}, not {declared}")
        run.save(hashed=True)

    def _format_of(self, record: ImageRecord, source: StoredSource) -> DiskFormat:
        """Return the source's format; raises BadRequest if it is not the one that was declared."""
        head = source.read(0, min(HEAD_LENGTH, source.size))
        tail = source.read(max(0, source.size - SNIFF_LENGTH), source.size)
        found = detect_format(head, tail)
        if record.format is not ImageFormat.AUTO and found.value != record.format.value:
            raise BadRequest(f"format: {record.format.value} was declared, but the bytes are {found.value}")
        return found


def _copy_from(source_key: str, etag: str) -> Callable[[ObjectUpload, int, ByteRange], None]:
    return lambda upload, number, span: upload.copy(number, source_key, span, etag)


def _converted(reader: DiskReader) -> Disk:
    """Return the disk that QEMU reads. Its connection answers one thread at a time."""
    lock = threading.Lock()
    zeros = ZeroMapBuilder(reader.size)

    def write_part(upload: ObjectUpload, number: int, span: ByteRange) -> None:
        data = bytearray(span.length)
        with lock:
            for extent in reader.extents(span.start, span.stop):
                if not extent.is_zero:
                    begin, end = extent.start - span.start, extent.end - span.start
                    data[begin:end] = reader.read(extent.start, extent.end)
            # Not by extents: for some formats QEMU reports holes as data.
            zeros.scan(span.start, data)
        if data.count(0) == span.length:
            put_zeros(upload, number, span)
        else:
            upload.put(number, data)

    return Disk(reader.size, write_part, zeros)
