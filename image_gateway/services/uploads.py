"""Multipart uploads: create, sign part URLs, show, abort and complete."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.audit import AuditEvent
from image_gateway.domain.callers import Caller
from image_gateway.domain.clock import now_of
from image_gateway.domain.images import (
    DiskFacts,
    ImageRecord,
    ImageState,
    SourceFacts,
    UploadPlan,
)
from image_gateway.domain.permissions import Action
from image_gateway.errors import BadRequest, GatewayError, InvalidState, UploadMissing
from image_gateway.protocol.parts import (
    ClaimedPart,
    StoredPart,
    count_parts,
    length_of_part,
    name_parts,
)
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.completion import Completion, completed_facts
from image_gateway.services.new_images import NewImage, UploadRules, draft_image
from image_gateway.services.purging import Purger, Writer
from image_gateway.services.reading.access import Access
from image_gateway.services.slots import FairSlots
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)
# Signing a thousand URLs takes tens of milliseconds of CPU time.
SIGNERS_AT_ONCE, SIGNERS_WAITING, SIGN_WAIT_SECONDS = 2, 8, 5.0
# How long a request that cannot complete an upload waits for another one that may be completing it.
COMPLETION_WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class SignedParts:
    """Presigned PUT URLs by part number, when they expire, and the server's time."""

    urls: dict[int, str] = field(repr=False)
    expires_at: datetime
    now: datetime


@dataclass(frozen=True)
class UploadStatus:
    """An open upload, with the parts that the store has."""

    record: ImageRecord
    parts: Sequence[StoredPart]
    now: datetime


class Uploads:
    """Manages uploads from their creation until the image is complete."""

    def __init__(
        self,
        catalog: Catalog,
        store: ObjectStore,
        access: Access,
        rules: UploadRules,
        completion: Completion,
        purger: Purger,
        trail: AuditTrail,
        clock: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._access = access
        self._rules = rules
        self._completion = completion
        self._purger = purger
        self._trail = trail
        self._clock = clock
        self._signing = FairSlots(
            SIGNERS_AT_ONCE, per_holder=1, room=SIGNERS_AT_ONCE + SIGNERS_WAITING, seconds=SIGN_WAIT_SECONDS
        )

    def begin(self, owner: str, new: NewImage) -> ImageRecord:
        """Create a multipart upload in the store and its record; if one fails, the other is removed.

        BadRequest when the size exceeds the store's maximum, or is not declared although a byte quota is set;
        QuotaExceeded when a limit of the owner would be exceeded.
        """
        if new.size is None and self._rules.quota.limits_bytes:
            raise BadRequest("sizeBytes: is required because a byte quota is set")
        draft = draft_image(owner, new, self._rules, now_of(self._clock))
        upload_id = self._store.create_upload(draft.upload_key, cache_control=self._rules.cache_control)
        record = replace(draft, plan=replace(draft.plan, upload_id=upload_id))
        try:
            self._catalog.add(record, self._rules.quota)
        except BaseException:
            self._abandon(record.upload_key, upload_id)
            raise
        event, image_format = AuditEvent.IMAGE_CREATED, record.format.value
        self._trail.note(event, record.image_id, user=owner, image_name=record.name, format=image_format)
        return record

    def sign_parts(
        self, image_id: str, caller: Caller, upload_id: str, numbers: Sequence[int]
    ) -> SignedParts:
        """Return the URLs that upload these parts of an open upload.

        With a declared size, numbers beyond the plan are BadRequest and each URL accepts only the exact
        length of its part.
        """
        record = self._find_open(image_id, caller, upload_id)
        self._check_in_plan(record.plan, numbers)
        left = self._prolong(record)
        lifetime = min(self._rules.url_lifetime, left)
        with self._signing.acquire(record.owner):
            key = record.upload_key
            urls = {number: self._sign(key, record.plan, number, lifetime) for number in numbers}
        now = now_of(self._clock)
        return SignedParts(urls, now + timedelta(seconds=lifetime), now)

    def status(self, image_id: str, caller: Caller) -> UploadStatus:
        """Return the plan and the uploaded parts; InvalidState when the upload is not open.

        If the store has completed the upload but the record is not updated yet, updates the record.
        """
        record = self._access.find(image_id, caller, Action.UPLOAD)
        _require_open(record)
        try:
            parts = self._store.list_parts(record.upload_key, record.plan.upload_id)
        except UploadMissing as error:
            self.complete(record.image_id, caller, record.plan.upload_id, None)
            raise InvalidState("the upload is not open: the image is complete") from error
        self._prolong(record)
        return UploadStatus(record, parts, now_of(self._clock))

    def abort(self, image_id: str, caller: Caller) -> None:
        """Abort an open upload and delete its parts; idempotent.

        Parts that the store does not delete are left to the sweeper. InvalidState when the image is complete.
        """
        record = self._access.find(image_id, caller, Action.UPLOAD)
        if self._catalog.fail(record.image_id, record.plan.upload_id, now_of(self._clock)):
            self._trail.note(AuditEvent.UPLOAD_ABORTED, record.image_id, user=caller.user)
        else:
            record = self._access.find(record.image_id, caller, Action.UPLOAD)
        if record.state in (ImageState.PROCESSING, ImageState.COMPLETE):
            raise InvalidState(f"the upload is already {record.state.value}: delete the image instead")
        self._purger.purge_or_leave(record)

    def complete(
        self,
        image_id: str,
        caller: Caller,
        upload_id: str,
        parts: Sequence[ClaimedPart] | None,
        sha256: str | None = None,
    ) -> DiskFacts | SourceFacts:
        """Complete the upload; idempotent. A raw image is readable then, of any other the source is returned.

        A job converts the source. Without `parts` the parts that the store lists are used. An invalid list is
        BadRequest or InvalidState and changes nothing: the upload stays open. `sha256`, in hex, is that of
        what was uploaded; BadRequest if another one was declared, InvalidState if the upload was completed
        without one.
        """
        sha256 = sha256.lower() if sha256 else None
        record = self._find(image_id, caller, upload_id)
        ended = completed_facts(record, sha256)
        if ended is not None:
            return ended
        _require_open(record)
        with self._purger.writing(record) as writer:
            facts = self._join(record, caller, parts, sha256, writer) if writer is not None else None
        return facts or self._settled(record, caller, sha256)

    def _join(
        self,
        record: ImageRecord,
        caller: Caller,
        parts: Sequence[ClaimedPart] | None,
        sha256: str | None,
        writer: Writer,
    ) -> DiskFacts | SourceFacts | None:
        """Join the parts and record it; returns None when another request changed the image meanwhile."""
        try:
            joined = self._completion.join(record, parts, sha256)
        except GatewayError:
            # While another request joins the parts, the store may list none and not have the object yet.
            # Unregister first, so that failed requests do not wait for each other.
            writer.end()
            writer.wait_for_others(COMPLETION_WAIT_SECONDS)
            current = self._catalog.find(record.image_id)
            ended = completed_facts(current, sha256) if current is not None else None
            if ended is None:
                raise
            return ended
        return self._completion.record(record, joined, record.plan.sha256 or sha256, user=caller.user)

    def _settled(self, record: ImageRecord, caller: Caller, sha256: str | None) -> DiskFacts | SourceFacts:
        """Return the result of the request that ended the upload first."""
        current = self._access.find_even_deleted(record.image_id, caller, Action.UPLOAD)
        ended = completed_facts(current, sha256)
        if ended is not None:
            return ended
        if current.state is ImageState.UPLOADING:
            # Another request declared a SHA-256 while this one joined the parts without checking one.
            return self.complete(current.image_id, caller, current.plan.upload_id, None, sha256)
        # No record refers to the object that this request may have created.
        self._purger.purge_or_leave(current)
        raise InvalidState(f"the upload is not open: the image is {current.state.value}")

    def _find(self, image_id: str, caller: Caller, upload_id: str) -> ImageRecord:
        record = self._access.find(image_id, caller, Action.UPLOAD)
        if record.plan.upload_id != upload_id:
            raise BadRequest("uploadId does not match the upload of this image")
        return record

    def _find_open(self, image_id: str, caller: Caller, upload_id: str) -> ImageRecord:
        record = self._find(image_id, caller, upload_id)
        _require_open(record)
        return record

    def _check_in_plan(self, plan: UploadPlan, numbers: Sequence[int]) -> None:
        if plan.size is None:
            return
        count = count_parts(plan.size, plan.part_size)
        beyond = [number for number in numbers if number > count]
        if beyond:
            raise BadRequest(f"partNumber: the upload has {count} parts, so it has no {name_parts(beyond)}")

    def _sign(self, key: str, plan: UploadPlan, number: int, lifetime: int) -> str:
        length = None if plan.size is None else length_of_part(number, plan.size, plan.part_size)
        return self._store.sign_part(key, plan.upload_id, number, lifetime=lifetime, length=length)

    def _prolong(self, record: ImageRecord) -> int:
        """Extend the upload's lifetime; returns the seconds until it expires.

        Written only when half of the lifetime is over. InvalidState after the maximum lifetime.
        """
        now = now_of(self._clock)
        last = record.created_at + timedelta(seconds=self._rules.longest_upload)
        if now >= last:
            raise InvalidState(
                f"the upload started on {record.created_at:%Y-%m-%d} has expired: create a new image"
            )
        lifetime = timedelta(seconds=self._rules.upload_lifetime)
        expires_at = min(now + lifetime, last)
        if record.plan.expires_at - now < lifetime / 2 and record.plan.expires_at < expires_at:
            self._catalog.prolong_upload(record.image_id, expires_at)
        return max(1, int((last - now).total_seconds()))

    def _abandon(self, key: str, upload_id: str) -> None:
        try:
            self._store.abort_upload(key, upload_id)
        except GatewayError as error:
            _log.error("aborting an upload without a record failed: %s (%s)", key, error.code)


def _require_open(record: ImageRecord) -> None:
    if record.state is not ImageState.UPLOADING:
        raise InvalidState(f"the upload is not open: the image is {record.state.value}")
