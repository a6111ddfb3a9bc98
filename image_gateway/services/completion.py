"""Completes uploads: checks the parts before the store joins them, and the object afterwards."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.audit import AuditEvent
from image_gateway.domain.clock import now_of
from image_gateway.domain.images import (
    DiskFacts,
    ImageFormat,
    ImageRecord,
    ImageState,
    Quota,
    SourceFacts,
)
from image_gateway.domain.jobs import JobKind, new_job
from image_gateway.errors import (
    BadRequest,
    GatewayError,
    InvalidState,
    ObjectChanged,
    ObjectMissing,
    PartsRejected,
    StoreError,
    StoreUnavailable,
    UploadMissing,
)
from image_gateway.protocol.parts import (
    ClaimedPart,
    StoredPart,
    find_gap,
    find_list_problem,
    find_plan_problem,
    find_rivals,
    find_store_problem,
    resolve_rivals,
)
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.slots import FairSlots
from image_gateway.storage.body import BodyBroken
from image_gateway.storage.object_reads import ObjectInfo, Pin
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)
HASHES_AT_ONCE, HASHES_WAITING, HASH_WAIT_SECONDS = 2, 8, 10.0


class Completion:
    """Joins the parts of an open upload to an object.

    Images of up to `hash_limit` bytes are hashed to verify a declared SHA-256: one request at a time for each
    image, and at most HASHES_AT_ONCE at a time in this process.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: ObjectStore,
        quota: Quota,
        hash_limit: int,
        trail: AuditTrail,
        clock: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._quota = quota
        self._hash_limit = hash_limit
        self._trail = trail
        self._clock = clock
        self._hashes = FairSlots(
            HASHES_AT_ONCE, per_holder=1, room=HASHES_AT_ONCE + HASHES_WAITING, seconds=HASH_WAIT_SECONDS
        )

    def join(
        self, record: ImageRecord, claimed: Sequence[ClaimedPart] | None, sha256: str | None = None
    ) -> DiskFacts | SourceFacts:
        """Complete the upload in the store and return the facts of the disk, or of what is to be converted.

        Updates the record's usage only, and its declared SHA-256 if `sha256` is the first. BadRequest or
        InvalidState describe the problem with the list, QuotaExceeded the exceeded limit; the upload stays
        usable. If the upload no longer exists, or the store did not respond, the result depends on whether
        the object exists.
        """
        key = record.upload_key
        try:
            chosen = self._choose(record, claimed)
            # Before the parts are joined: whoever completes the upload after a crash checks it, too.
            record = self._declare(record, sha256)
            self._join_parts(record, chosen)
        except UploadMissing:
            _log.info(
                "the multipart upload of image %s no longer exists: checking for its object", record.image_id
            )
        except (BadRequest, InvalidState, StoreUnavailable, StoreError):
            # A request whose response was lost, or a concurrent one, may have joined the parts already.
            if not self._exists(key):
                raise
        joined = self.find_joined(self._declare(record, sha256))
        if joined is None:
            raise InvalidState(
                "the upload does not exist in the store (aborted or expired): create the image again"
            )
        return joined

    def find_joined(self, record: ImageRecord, *, check: bool = True) -> DiskFacts | SourceFacts | None:
        """Return the facts of an open upload's object, or None if its parts were never joined.

        The catalog does not know it when the gateway died before it wrote that down, or when the catalog was
        restored from a backup. It is the disk if a job has converted the source, and deleted it, since then.
        InvalidState if the object is not what was declared: the upload has failed. Without `check` it is not
        compared, and nothing is changed.
        """
        info = self._store.find_listed(record.upload_key)
        if info is None and record.format is not ImageFormat.RAW:
            info = self._store.find_listed(record.location.disk_key)
            return _disk_of(info) if info is not None else None
        if info is None:
            return None
        if check:
            self._check_declared(record, info)
        is_disk = record.format is ImageFormat.RAW
        return _disk_of(info) if is_disk else SourceFacts(info.size, info.etag, info.last_modified)

    def record(
        self,
        record: ImageRecord,
        joined: DiskFacts | SourceFacts,
        sha256: str | None,
        *,
        user: str | None = None,
    ) -> DiskFacts | SourceFacts | None:
        """Record that the parts are joined; a job converts what is not raw.

        Return the disk, or the source of a conversion; None when the image was changed meanwhile.
        """
        now, upload_id = now_of(self._clock), record.plan.upload_id
        if isinstance(joined, DiskFacts):
            if not self._catalog.complete(record.image_id, upload_id, joined, now, sha256=sha256):
                return None
            _log.info("image %s is complete: %d bytes", record.image_id, joined.size)
            self._note_completed(record, joined, user)
            return joined
        job = new_job(record.image_id, JobKind.CONVERT, now)
        if not self._catalog.jobs.begin_processing(upload_id, joined, job, now, sha256=sha256):
            return None
        self._note_completed(record, joined, user, job.job_id)
        return joined

    def _note_completed(
        self,
        record: ImageRecord,
        joined: DiskFacts | SourceFacts,
        user: str | None,
        job_id: str | None = None,
    ) -> None:
        event, size = AuditEvent.UPLOAD_COMPLETED, joined.size
        self._trail.note(event, record.image_id, user=user, size=size, job=job_id)

    def _declare(self, record: ImageRecord, sha256: str | None) -> ImageRecord:
        """Record the SHA-256 of an upload that has none, and return the image's record with it.

        Raises:
            InvalidState: The upload has ended meanwhile, or another SHA-256 was declared.
        """
        plan = record.plan
        if sha256 is None or plan.sha256 == sha256:
            return record
        if not self._catalog.declare_sha256(record.image_id, plan.upload_id, sha256, now_of(self._clock)):
            current = self._catalog.find(record.image_id)
            if current is None or current.plan.sha256 != sha256:
                raise InvalidState("sha256: the upload has ended, or another SHA-256 was declared for it")
        return replace(record, plan=replace(plan, sha256=sha256))

    def _join_parts(self, record: ImageRecord, chosen: Sequence[ClaimedPart]) -> None:
        try:
            self._store.complete_upload(record.upload_key, record.plan.upload_id, chosen)
        except PartsRejected as error:
            raise BadRequest(str(error)) from error

    def _choose(self, record: ImageRecord, claimed: Sequence[ClaimedPart] | None) -> list[ClaimedPart]:
        """Check the claimed parts and return those to join, in ascending order."""
        problem = None if claimed is None else find_list_problem(claimed)
        if problem:
            raise BadRequest(problem)
        stored = self._store.list_parts(record.upload_key, record.plan.upload_id)
        if claimed is None:
            chosen = [ClaimedPart(part.number, part.etag) for part in stored]
            problem = find_rivals(stored) or (find_gap(stored) if record.plan.size is None else None)
        else:
            stored = resolve_rivals(stored, claimed)
            chosen = sorted(claimed, key=lambda part: part.number)
        problem = problem or self._find_plan_problem(record, chosen, stored)
        problem = problem or find_store_problem(chosen, stored)
        if problem:
            raise InvalidState(problem) if claimed is None else BadRequest(problem)
        self._settle(record, chosen, stored)
        return chosen

    def _find_plan_problem(
        self, record: ImageRecord, chosen: Sequence[ClaimedPart], stored: Sequence[StoredPart]
    ) -> str | None:
        if record.plan.size is None:
            return None
        numbers = {part.number for part in chosen}
        kept = [part for part in stored if part.number in numbers]
        return find_plan_problem(kept, record.plan.size, record.plan.part_size)

    def _settle(
        self, record: ImageRecord, chosen: Sequence[ClaimedPart], stored: Sequence[StoredPart]
    ) -> None:
        """Count the image's real size against the quota while the upload can still be refused."""
        sizes = {part.number: part.size for part in stored}
        size = sum(sizes[part.number] for part in chosen)
        if size != record.reserved_bytes or record.plan.size is None:
            self._catalog.settle(record.image_id, size, self._quota)

    def _exists(self, key: str) -> bool:
        try:
            self._store.head(key)
        except (ObjectMissing, GatewayError):
            return False
        return True

    def _check_declared(self, record: ImageRecord, disk: ObjectInfo) -> None:
        """Compare the object with the declared size and SHA-256; a mismatch fails the upload."""
        plan = record.plan
        if plan.size is not None and disk.size != plan.size:
            self._refuse(record, "size", f"the object has {disk.size} bytes, but sizeBytes was {plan.size}")
        if plan.sha256 is not None and disk.size <= self._hash_limit:
            with self._hashes.acquire(record.image_id):
                found = self._known_hash(record) or self._hash(record, disk)
            if found != plan.sha256:
                text = f"the object's SHA-256 is {found}, which does not match the declared sha256"
                self._refuse(record, "sha256", text)

    def _known_hash(self, record: ImageRecord) -> str | None:
        """Return the hash that another request verified while this one waited."""
        current = self._catalog.find(record.image_id)
        ended = (ImageState.PROCESSING, ImageState.COMPLETE)
        checked = current is not None and current.state in ended
        return record.plan.sha256 if checked else None

    def _hash(self, record: ImageRecord, disk: ObjectInfo) -> str:
        digest = hashlib.sha256()
        try:
            body = self._store.open(record.upload_key, pin=Pin(etag=disk.etag)).body
            try:
                for block in body:
                    digest.update(block)
            finally:
                body.close()
        except (BodyBroken, ObjectMissing, ObjectChanged) as error:
            raise StoreUnavailable(
                "reading the object to verify its SHA-256 failed; complete the upload again"
            ) from error
        return digest.hexdigest()

    def _refuse(self, record: ImageRecord, mismatch: str, reason: str) -> None:
        if self._catalog.fail(record.image_id, record.plan.upload_id, now_of(self._clock)):
            self._trail.note(AuditEvent.UPLOAD_FAILED, record.image_id, mismatch=mismatch)
        raise InvalidState(f"{reason}; the upload failed: create the image again")


def _disk_of(info: ObjectInfo) -> DiskFacts:
    return DiskFacts(info.size, info.etag, info.last_modified, info.cache_control)


def completed_facts(record: ImageRecord, sha256: str | None) -> DiskFacts | SourceFacts | None:
    """Return what became of a completed upload: the disk, or the source while it is being converted.

    Raises:
        BadRequest: Another SHA-256 than `sha256` was declared.
        InvalidState: The upload was completed without one, so that `sha256` was not compared.
    """
    declared = record.plan.sha256
    if sha256 is not None and declared not in (None, sha256):
        raise BadRequest("sha256: another SHA-256 was declared for this upload")
    processing = record.state is ImageState.PROCESSING
    facts = record.source if processing else record.disk if record.state is ImageState.COMPLETE else None
    if facts is not None and sha256 is not None and declared is None:
        raise InvalidState("sha256: the upload was completed without one, so it was not compared")
    return facts
