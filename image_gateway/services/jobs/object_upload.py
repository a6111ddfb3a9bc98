"""Writes an object by a multipart upload that later runs of the same job continue."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from image_gateway.errors import InvalidState, ObjectMissing, StoreUnavailable, UploadMissing
from image_gateway.protocol.parts import MIB, ClaimedPart, choose_part_size
from image_gateway.protocol.ranges import ByteRange
from image_gateway.services.jobs.job_run import JobRun
from image_gateway.storage.object_reads import ObjectInfo
from image_gateway.storage.objects import ObjectStore

PART_SIZE = 16 * MIB


@dataclass(frozen=True)
class UploadTarget:
    """Where to write: the key, the key of a helper object of zeros, and the stored Cache-Control."""

    key: str
    zeros_key: str
    cache_control: str


class ObjectUpload:
    """A multipart upload whose id and part size are in the checkpoint of a job.

    `present` has the sizes of the parts that the store had when the upload was opened. `finished` is set when
    an earlier run has joined them already.
    """

    def __init__(
        self,
        store: ObjectStore,
        target: UploadTarget,
        run: JobRun,
        size: int | None,
        part_size: int | None = None,
    ) -> None:
        """Open the upload of the job's checkpoint, or begin one.

        Args:
            size: Size of the object in bytes; None if it is not known.
            part_size: Size of the parts of a new upload; by default as large as the size needs.
        """
        self._last: int | None = None
        self._wanted_part_size = part_size
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
            self.present = {part.number: part.size for part in parts}
        except UploadMissing:
            self._open_finished(size)

    @property
    def part_size(self) -> int:
        """The size in bytes of every part but the last."""
        return int(self._run.checkpoint["partSize"])

    def put(self, number: int, data: bytes) -> None:
        """Write a part."""
        try:
            self._store.upload_part(self._target.key, self._upload_id, number, data)
        except UploadMissing as error:
            raise StoreUnavailable("the upload of this job vanished from the store") from error

    def copy(self, number: int, source_key: str, byte_range: ByteRange) -> None:
        """Write a part that the store copies from another object."""
        try:
            self._store.copy_part(self._target.key, self._upload_id, number, source_key, byte_range)
        except UploadMissing as error:
            raise StoreUnavailable("the upload or the source of this job vanished from the store") from error

    def put_zeros(self, number: int, length: int) -> None:
        """Write a part of zeros, which the store copies from a helper object."""
        self._make_zeros()
        self.copy(number, self._target.zeros_key, ByteRange(0, length))

    def keep_only(self, last: int) -> None:
        """Join no part beyond this number: an earlier run may have sent more of another version."""
        self._last = last

    def complete(self) -> ObjectInfo:
        """Join the parts, delete the helper object, and return the facts of the object."""
        if self.finished is None:
            parts = self._store.list_parts(self._target.key, self._upload_id)
            last = self._last or len(parts)
            listed = [ClaimedPart(part.number, part.etag) for part in parts if part.number <= last]
            self._store.complete_upload(self._target.key, self._upload_id, listed)
        self._store.delete(self._target.zeros_key)
        try:
            return self._store.head(self._target.key)
        except ObjectMissing as error:
            raise StoreUnavailable("the object that this job wrote is missing in the store") from error

    @property
    def _upload_id(self) -> str:
        return str(self._run.checkpoint["uploadId"])

    def _begin(self, size: int | None) -> None:
        part_size = self._wanted_part_size or choose_part_size(size, PART_SIZE)
        upload_id = self._store.create_upload(self._target.key, cache_control=self._target.cache_control)
        self._run.save(uploadId=upload_id, partSize=part_size)

    def _open_finished(self, size: int | None) -> None:
        """The upload is gone: an earlier run joined its parts, or somebody aborted it."""
        try:
            found = self._store.head(self._target.key)
        except ObjectMissing:
            self._begin(size)
            return
        if size is not None and found.size != size:
            raise InvalidState("the object that this job writes was replaced by another one in the store")
        self.finished = found

    def _make_zeros(self) -> None:
        with self._lock:
            if self._has_zeros:
                return
            zeros, key = bytes(self.part_size), self._target.zeros_key
            self._store.put(key, zeros, content_type="application/octet-stream", cache_control="no-store")
            self._has_zeros = True
