"""Writes the disks that jobs make, part by part, with their zero maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import ImageRecord, ImageState, Quota
from image_gateway.protocol.map_ordered import map_ordered
from image_gateway.protocol.parts import count_parts
from image_gateway.protocol.ranges import ByteRange
from image_gateway.protocol.zero_map import ZeroMapBuilder
from image_gateway.services.jobs.job_run import ClaimLost, JobRun
from image_gateway.services.jobs.object_upload import ObjectUpload, UploadTarget
from image_gateway.services.purging import Writer
from image_gateway.services.reading.zero_maps import put_zero_map
from image_gateway.storage.object_reads import ObjectInfo
from image_gateway.storage.objects import ObjectStore

# Parts of one job that are read or written at the same time, each in memory.
PARALLEL_PARTS = 3


@dataclass(frozen=True)
class DiskRules:
    """Limits of the disks that jobs make, in bytes, and what is stored with their objects.

    The declared SHA-256 of sources of up to `hashed_at_completion` bytes was checked before the job.
    """

    max_size: int
    quota: Quota
    cache_control: str
    keep_sources: bool
    hashed_at_completion: int


@dataclass
class Disk:
    """What is written: its size, how a part of it is written, and the zero blocks that were found."""

    size: int
    write_part: Callable[[ObjectUpload, int, ByteRange], None]
    zeros: ZeroMapBuilder


class DiskWriting:
    """Writes disks by multipart uploads that later runs of a job continue."""

    def __init__(self, catalog: Catalog, store: ObjectStore, rules: DiskRules) -> None:
        self._catalog = catalog
        self._store = store
        self._rules = rules

    def write(self, record: ImageRecord, run: JobRun, writer: Writer, disk: Disk) -> ObjectInfo:
        """Write all parts that the store does not have yet, join them, and return the object's facts.

        Raises:
            QuotaExceeded: The disk is over a limit of the image's owner.
            ClaimLost: The image was deleted, or another worker has the job.
        """
        self._catalog.settle(record.image_id, disk.size, self._rules.quota, ImageState.PROCESSING)
        target = UploadTarget(
            record.location.disk_key, f"{record.location.work_prefix}zero-part", self._rules.cache_control
        )
        upload = ObjectUpload(self._store, target, run, disk.size)
        if upload.finished is None:
            self._write_parts(run, writer, upload, disk)
        info = upload.complete(disk.size)
        # After an interruption the map lacks the zeros of earlier runs, which only costs their reads.
        put_zero_map(self._store, self._catalog, record, disk.zeros.build())
        return info

    def _write_parts(self, run: JobRun, writer: Writer, upload: ObjectUpload, disk: Disk) -> None:
        missing = [
            (number, span)
            for number, span in _parts_of(disk.size, upload.part_size)
            if upload.present.get(number) != span.length
        ]
        run.start(disk.size, disk.size - sum(span.length for _, span in missing))

        def write(index: int) -> int:
            number, span = missing[index]
            run.check()
            disk.write_part(upload, number, span)
            return span.length

        # Closed before the writer ends, so that parts in progress are waited for.
        with closing(map_ordered(write, len(missing), upload.parts_at_once(PARALLEL_PARTS, 2))) as lengths:
            for length in lengths:
                if not writer.may_go_on():
                    raise ClaimLost
                run.advance(length)


def put_zeros(upload: ObjectUpload, number: int, span: ByteRange) -> None:
    """Write a part of zeros; a whole one is copied within the store instead of being sent."""
    if span.length == upload.part_size:
        upload.put_zeros(number, span.length)
    else:
        upload.put(number, bytes(span.length))


def _parts_of(size: int, part_size: int) -> Iterable[tuple[int, ByteRange]]:
    for index in range(count_parts(size, part_size)):
        start = index * part_size
        yield index + 1, ByteRange(start, min(start + part_size, size))
