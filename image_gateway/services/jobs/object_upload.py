"""Writes an object by a multipart upload that later runs of the same job continue."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from image_gateway.errors import (
    GatewayError,
    InvalidState,
    ObjectChanged,
    ObjectMissing,
    PartsRejected,
    StoreError,
    StoreUnavailable,
    UploadMissing,
)
from image_gateway.protocol.parts import MIB, ClaimedPart, choose_part_size
from image_gateway.protocol.ranges import ByteRange
from image_gateway.services.jobs.job_run import ClaimLost, JobRun
from image_gateway.storage.object_reads import ObjectInfo
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)
PART_SIZE = 16 * MIB
# What the parts of one job that are in memory may have together; a single one may have more.
PARTS_IN_MEMORY = 96 * MIB


@dataclass(frozen=True)
class UploadTarget:
    """Where to write: the key, the key of a helper object of zeros, and the stored Cache-Control."""

    key: str
    zeros_key: str
    cache_control: str


class ObjectUpload:
    """A multipart upload whose id, part size and version of the bytes are in the checkpoint of a job.

    `present` has the sizes of the parts that the store had when the upload was opened. `finished` is set when
    an earlier run has joined them already, whatever version it had.
    """

    def __init__(
        self,
        store: ObjectStore,
        target: UploadTarget,
        run: JobRun,
        size: int | None,
        part_size: int | None = None,
        version: str | None = "",
    ) -> None:
        """Open the upload of the job's checkpoint, or begin one.

        Args:
            size: Size of the object in bytes; None if it is not known.
            part_size: Size of the parts of a new upload; by default as large as the size needs.
            version: Identifies the bytes that are written. A new upload begins for another one than that of
                the checkpoint, and for None, which is not known to be equal to any.
        """
        self._wanted_part_size = part_size
        self._version = version
        self._store = store
        self._target = target
        self._run = run
        self._lock = threading.Lock()
        self._has_zeros = False
        self.finished: ObjectInfo | None = None
        self.present: dict[int, int] = {}
        if "uploadId" not in run.checkpoint:
            self._begin(size)
            return
        try:
            parts = store.list_parts(target.key, self._upload_id)
        except UploadMissing:
            self._open_finished(size)
            return
        if self._is_same_version:
            self.present = {part.number: part.size for part in parts}
            return
        # A worker that was stopped for long may still send parts of the other version.
        store.abort_upload(target.key, self._upload_id)
        self._begin(size)

    @property
    def part_size(self) -> int:
        """The size in bytes of every part but the last."""
        return int(self._run.checkpoint["partSize"])

    def parts_at_once(self, wanted: int, copies: int = 1) -> int:
        """Return how many parts may be in progress: `wanted`, or fewer if these would take too much memory.

        Args:
            wanted: At most so many.
            copies: How often each is in memory.
        """
        return max(1, min(wanted, PARTS_IN_MEMORY // (copies * self.part_size)))

    def put(self, number: int, data: bytes | bytearray) -> None:
        """Write a part."""
        try:
            self._store.upload_part(self._target.key, self._upload_id, number, data)
        except UploadMissing as error:
            raise StoreUnavailable("the upload of this job vanished from the store") from error

    def copy(
        self, number: int, source_key: str, byte_range: ByteRange, source_etag: str | None = None
    ) -> None:
        """Write a part that the store copies from another object, which must have `source_etag` if given."""
        try:
            self._store.copy_part(
                self._target.key, self._upload_id, number, source_key, byte_range, source_etag=source_etag
            )
        except UploadMissing as error:
            raise StoreUnavailable("the upload or the source of this job vanished from the store") from error
        except ObjectChanged as error:
            raise StoreError("the source of this job was replaced in the store") from error

    def put_zeros(self, number: int, length: int) -> None:
        """Write a part of zeros, which the store copies from a helper object."""
        self._make_zeros()
        self.copy(number, self._target.zeros_key, ByteRange(0, length))

    def complete(self, size: int | None) -> ObjectInfo:
        """Join the parts, delete the helper object, and return the facts of the object.

        Args:
            size: The sum of the parts; not used when an earlier run has joined them.
        """
        if self.finished is None:
            self._join(size)
        self._store.delete(self._target.zeros_key)
        try:
            info = self._store.head(self._target.key)
        except ObjectMissing as error:
            raise StoreUnavailable("the object that this job wrote is missing in the store") from error
        if self.finished is None and info.size != size:
            raise InvalidState("the object that this job writes was replaced by another one in the store")
        return info

    def _join(self, size: int | None) -> None:
        try:
            parts = self._store.list_parts(self._target.key, self._upload_id)
            if sum(part.size for part in parts) != size:
                raise StoreUnavailable("the store does not have all parts of this job, or has others")
            listed = [ClaimedPart(part.number, part.etag) for part in parts]
            self._store.complete_upload(self._target.key, self._upload_id, listed)
        except UploadMissing:
            # The answer to an earlier request was lost, or another worker joined the same parts.
            _log.info("the upload of job %s is gone: looking for its object", self._run.job.job_id)
        except PartsRejected as error:
            raise StoreUnavailable("the store rejected the parts of this job") from error

    @property
    def _upload_id(self) -> str:
        return str(self._run.checkpoint["uploadId"])

    def _begin(self, size: int | None) -> None:
        part_size = self._wanted_part_size or choose_part_size(size, PART_SIZE)
        upload_id = self._store.create_upload(self._target.key, cache_control=self._target.cache_control)
        try:
            self._run.save(is_progress=False, uploadId=upload_id, partSize=part_size, version=self._version)
        except ClaimLost:
            self._abandon(upload_id)
            raise

    @property
    def _is_same_version(self) -> bool:
        return self._version is not None and self._run.checkpoint.get("version", "") == self._version

    def _abandon(self, upload_id: str) -> None:
        try:
            self._store.abort_upload(self._target.key, upload_id)
        except GatewayError as error:
            _log.warning("aborting an upload failed, the sweeper will retry: %s", error.code)

    def _open_finished(self, size: int | None) -> None:
        """The upload is gone: an earlier run joined its parts, or somebody aborted it."""
        try:
            found = self._store.head(self._target.key)
        except ObjectMissing:
            self._begin(size)
            return
        if self._is_same_version and size is not None and found.size != size:
            raise InvalidState("the object that this job writes was replaced by another one in the store")
        self.finished = found

    def _make_zeros(self) -> None:
        with self._lock:
            if self._has_zeros:
                return
            zeros, key = bytes(self.part_size), self._target.zeros_key
            self._store.put(key, zeros, content_type="application/octet-stream", cache_control="no-store")
            self._has_zeros = True
