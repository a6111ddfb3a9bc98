"""Runs `flatten` jobs: writes base and delta as the disk of a new image."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.clock import now_of
from image_gateway.domain.deltas import DeltaState
from image_gateway.domain.images import DiskFacts, ImageState
from image_gateway.domain.jobs import Job
from image_gateway.errors import NotFound, StoreError, StoreUnavailable
from image_gateway.protocol.parts import MIN_PART_SIZE
from image_gateway.protocol.ranges import ByteRange
from image_gateway.protocol.zero_map import ZeroMapBuilder, block_size_of
from image_gateway.services.deltas.flattening import release_hold
from image_gateway.services.deltas.maps import DeltaMaps
from image_gateway.services.deltas.reading import represent_delta
from image_gateway.services.jobs.disk_writing import Disk, DiskRules, DiskWriting, put_zeros
from image_gateway.services.jobs.job_run import JobRun, processed_image
from image_gateway.services.jobs.object_upload import ObjectUpload
from image_gateway.services.purging import Purger
from image_gateway.services.reading.reader import Reader
from image_gateway.services.reading.representations import Overlay, Representation
from image_gateway.storage.body import BodyBroken
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)


class Flattening:
    """Flattens deltas. A run that was interrupted continues with the parts that the store does not have."""

    def __init__(
        self, catalog: Catalog, store: ObjectStore, rules: DiskRules, clock: Callable[[], float]
    ) -> None:
        self._catalog = catalog
        self._clock = clock
        self._maps = DeltaMaps(catalog, store)
        self._reader = Reader(store)
        self._writing = DiskWriting(catalog, store, rules)
        self._purger = Purger(catalog, store, clock)

    def run(self, run: JobRun) -> bool:
        """Write the disk, and make the image complete. Return False when the claim was lost.

        Raises:
            NotFound: The delta, its base, or the generation is gone.
        """
        with processed_image(self._catalog, self._purger, run.job) as (record, writer):
            source = self._find_source(run.job)
            # Not all stores compare ETags when they copy.
            self._reader.require_version(source)
            parts = _Parts(self._reader, source)
            info = self._writing.write(record, run, writer, Disk(parts.size, parts.write, parts.zeros))
            disk = DiskFacts(info.size, info.etag, info.last_modified, info.cache_control)
            upload_id = record.plan.upload_id
            finished = self._catalog.jobs.finish_disk(run.job, upload_id, disk, now_of(self._clock))
        if finished:
            self._release(run.job)
        return finished

    def clean_up(self, job: Job) -> None:
        """Delete the snapshot of a job that has ended without success. The sweeper does what is missed."""
        current = self._catalog.jobs.find(job.job_id)
        if current is None or not current.is_active:
            self._release(job)

    def _release(self, job: Job) -> None:
        release_hold(self._catalog, job.params["deltaId"], job.job_id, self._clock)

    def _find_source(self, job: Job) -> Representation:
        delta = self._catalog.deltas.find(job.params["deltaId"])
        base = self._catalog.find(delta.image_id) if delta is not None else None
        if delta is None or base is None or delta.state is DeltaState.DELETED:
            raise NotFound("the delta was deleted")
        if base.state is not ImageState.COMPLETE or base.disk is None or base.version != delta.version:
            raise NotFound("the base of the delta is gone")
        contents = self._maps.at(delta, base, job.params["generation"])
        return represent_delta(base, base.disk, delta.delta_id, contents, is_fixed=True)


class _Parts:
    """Writes the parts of one disk; used by several threads."""

    def __init__(self, reader: Reader, source: Representation) -> None:
        if source.overlay is None:
            raise ValueError("only a disk with a delta over it is flattened")
        self.size = source.size
        self.zeros = ZeroMapBuilder(source.size)
        self._reader = reader
        self._source = source
        self._overlay: Overlay = source.overlay
        self._lock = threading.Lock()
        self._can_copy = True

    def write(self, upload: ObjectUpload, number: int, span: ByteRange) -> None:
        """Write a part: copied within the store if nothing of it was written to the delta, or all is zero."""
        if self._reader.is_zero(self._source, span):
            self._put_zeros(upload, number, span)
        elif not self._copy(upload, number, span):
            data = self._read(span)
            if data.count(0) == span.length:
                self._put_zeros(upload, number, span)
                return
            with self._lock:
                self.zeros.scan(span.start, data)
            upload.put(number, data)

    def _copy(self, upload: ObjectUpload, number: int, span: ByteRange) -> bool:
        """Copy a part from the base. Return False if it must be read: stores copy no small parts, or none."""
        if not self._can_copy or span.length < MIN_PART_SIZE:
            return False
        if any(part.is_zero or part.segment is not None for part in self._overlay.parts(span)):
            return False
        base = self._overlay.base
        try:
            upload.copy(number, base.key, span, base.etag)
        except StoreError as error:
            # A base that was replaced is refused when it is read, too.
            _log.warning("the store does not copy parts, they are sent: %s", error.message)
            self._can_copy = False
            return False
        self._note_zeros(base, span)
        return True

    def _note_zeros(self, base: Representation, span: ByteRange) -> None:
        """Take over what is known of zeros in the base."""
        size = block_size_of(self.size)
        for start in range(span.start, span.stop, size):
            stop = min(start + size, span.stop)
            if self._reader.is_zero(base, ByteRange(start, stop)):
                with self._lock:
                    self.zeros.add(start, stop)

    def _put_zeros(self, upload: ObjectUpload, number: int, span: ByteRange) -> None:
        if self._can_copy:
            try:
                put_zeros(upload, number, span)
            except StoreError as error:
                _log.warning("the store does not copy parts, they are sent: %s", error.message)
                self._can_copy = False
        if not self._can_copy:
            upload.put(number, bytes(span.length))
        with self._lock:
            self.zeros.add(span.start, span.stop)

    def _read(self, span: ByteRange) -> bytearray:
        data = bytearray()
        body = self._reader.open_version(self._source, span)
        try:
            for block in body:
                data += block
        except BodyBroken as error:
            raise StoreUnavailable("the store closed the connection while the delta was read") from error
        finally:
            body.close()
        if len(data) != span.length:
            raise StoreUnavailable("the store sent fewer bytes than the delta has")
        return data
