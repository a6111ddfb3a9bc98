"""What callers ask of jobs: import, make an empty disk, publish, verify, show and cancel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.audit import AuditEvent
from image_gateway.domain.callers import Caller
from image_gateway.domain.clock import now_of
from image_gateway.domain.images import ImageFormat, ImageRecord, ImageState
from image_gateway.domain.jobs import Job, JobKind, JobState, new_job
from image_gateway.domain.permissions import Action
from image_gateway.errors import BadRequest, InvalidState, NotFound
from image_gateway.fetching.decompression import is_compressed
from image_gateway.fetching.url_rules import FetchRules, parse_url
from image_gateway.protocol.manifest import DEFAULT_CHUNK_SIZE, ManifestError, check_geometry
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.new_images import NewImage, UploadRules, draft_image
from image_gateway.services.purging import Purger
from image_gateway.services.reading.access import Access, canonical_id

# Jobs of one image in a list; older ones are left out.
LISTED = 100


class JobRequests:
    """Queues jobs and shows them. Workers run them, in other processes."""

    def __init__(
        self,
        catalog: Catalog,
        access: Access,
        purger: Purger,
        rules: UploadRules,
        fetch_rules: FetchRules,
        trail: AuditTrail,
        clock: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._access = access
        self._purger = purger
        self._rules = rules
        self._fetch_rules = fetch_rules
        self._trail = trail
        self._clock = clock

    def import_url(self, owner: str, url: str, new: NewImage) -> tuple[ImageRecord, Job]:
        """Create an image whose bytes a worker fetches from a URL. `new.sha256` is that of the file there.

        Raises:
            BadRequest: The URL is not allowed.
            QuotaExceeded: The owner's limit of images is reached.
        """
        source = parse_url(url, self._fetch_rules)
        file_name, sha256 = source.file_name, new.sha256.lower() if new.sha256 else None
        # What is decompressed or converted has another hash than the file.
        of_disk = new.format is ImageFormat.RAW and not is_compressed(file_name)
        name = file_name if new.name == NewImage.name else new.name
        new = replace(new, name=name, sha256=sha256 if of_disk else None)
        params = {"url": str(source), "sha256": sha256}
        return self._add(owner, new, JobKind.IMPORT, AuditEvent.IMPORT_REQUESTED, **params)

    def make_empty(self, owner: str, new: NewImage) -> tuple[ImageRecord, Job]:
        """Create an image whose bytes are all zero; raises BadRequest and QuotaExceeded as for an upload."""
        if new.size is None or new.size < 512 or new.size % 512:
            raise BadRequest("sizeBytes must be a multiple of 512 bytes, and at least 512")
        return self._add(owner, new, JobKind.CONVERT, AuditEvent.EMPTY_DISK_REQUESTED)

    def publish(self, image_id: str, caller: Caller, *, chunk_size: int | None, checksum: bool) -> Job:
        """Queue the publishing of a complete image as chunks, or return the job that does it already.

        Raises:
            BadRequest: The disk cannot be cut into chunks of this size.
            InvalidState: The image is not complete, or chunks of another size were begun.
        """
        record, disk = self._access.find_readable(image_id, caller, Action.PROCESS)
        try:
            check_geometry(disk.size, chunk_size or DEFAULT_CHUNK_SIZE)
        except ManifestError as error:
            raise BadRequest(f"chunkSize: {error}") from error
        if record.chunked is not None and chunk_size not in (None, record.chunked.chunk_size):
            raise InvalidState(
                f"the image is published in chunks of {record.chunked.chunk_size} bytes; that cannot change"
            )
        job = new_job(
            record.image_id, JobKind.PUBLISH, now_of(self._clock), chunkSize=chunk_size, checksum=checksum
        )
        return self._queue(job, AuditEvent.PUBLISH_REQUESTED, caller)

    def verify(self, image_id: str, caller: Caller, *, sample: int | None, seed: int | None) -> Job:
        """Queue a verification of a published image, or return the job that does it already."""
        record, _ = self._access.find_readable(image_id, caller, Action.PROCESS)
        if record.chunked is None:
            raise InvalidState("the image is not published as chunks: publish it first")
        job = new_job(record.image_id, JobKind.VERIFY, now_of(self._clock), sample=sample, seed=seed)
        return self._queue(job, AuditEvent.VERIFY_REQUESTED, caller)

    def list(self, image_id: str, caller: Caller) -> Sequence[Job]:
        """Return the newest jobs of an image, newest first."""
        record = self._access.find_even_deleted(image_id, caller, Action.PROCESS)
        return self._catalog.jobs.list(record.image_id, limit=LISTED)

    def find(self, job_id: str, caller: Caller) -> Job:
        """Return a job of an image that the caller owns; raises NotFound."""
        job = self._catalog.jobs.find(canonical_id(job_id) or "")
        if job is None:
            raise NotFound("there is no such job")
        self._access.find_even_deleted(job.image_id, caller, Action.PROCESS)
        return job

    def cancel(self, job_id: str, caller: Caller) -> Job:
        """Cancel a job, and fail the image if the job was to make its disk; idempotent.

        InvalidState when the job has ended otherwise. The worker stops at its next step.
        """
        job = self.find(job_id, caller)
        cancelled = self._catalog.jobs.cancel(job.job_id, now_of(self._clock)) or job
        if cancelled.state is not JobState.CANCELLED:
            raise InvalidState(f"the job has ended: it is {cancelled.state.value}")
        if job.is_active:
            self._trail.note_end(cancelled, user=caller.user)
        record = self._catalog.find(job.image_id)
        if record is not None and record.state is ImageState.FAILED:
            self._purger.purge_or_leave(record)
        return cancelled

    def _add(
        self, owner: str, new: NewImage, kind: JobKind, event: AuditEvent, **params: Any
    ) -> tuple[ImageRecord, Job]:
        now = now_of(self._clock)
        record = draft_image(owner, new, self._rules, now, ImageState.PROCESSING)
        job = new_job(record.image_id, kind, now, **params)
        self._catalog.jobs.add_with_image(record, job, self._rules.quota)
        self._trail.note(
            event,
            record.image_id,
            user=owner,
            image_name=record.name,
            format=record.format.value,
            job=job.job_id,
        )
        return record, job

    def _queue(self, job: Job, event: AuditEvent, caller: Caller) -> Job:
        added = self._catalog.jobs.add(job)
        if added.job_id == job.job_id:
            self._trail.note(event, job.image_id, user=caller.user, job=job.job_id)
        return added
