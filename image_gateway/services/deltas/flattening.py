"""Makes images of deltas: what callers ask, and the snapshot that keeps the generation until the job ends."""

from __future__ import annotations

from collections.abc import Callable

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.audit import AuditEvent
from image_gateway.domain.callers import Caller
from image_gateway.domain.clock import now_of
from image_gateway.domain.deltas import Delta, Snapshot
from image_gateway.domain.images import ImageRecord, ImageState
from image_gateway.domain.jobs import Job, JobKind, new_job
from image_gateway.domain.permissions import DeltaAction
from image_gateway.errors import QuotaExceeded
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.deltas.delta_access import DeltaAccess
from image_gateway.services.deltas.history import DeltaHistory
from image_gateway.services.new_images import NewImage, UploadRules, draft_image


class DeltaFlattening:
    """Queues jobs that write base and delta as a new image."""

    def __init__(
        self,
        catalog: Catalog,
        access: DeltaAccess,
        history: DeltaHistory,
        rules: UploadRules,
        trail: AuditTrail,
        clock: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._access = access
        self._history = history
        self._rules = rules
        self._trail = trail
        self._clock = clock

    def request(
        self, delta_id: str, caller: Caller, *, name: str, generation: int | None = None
    ) -> tuple[ImageRecord, Job]:
        """Create an image of the caller's that a worker writes from a delta at a kept generation.

        A snapshot named `flatten <job id>` keeps the generation until the job has ended.

        Raises:
            NotFound: There is no such delta, or the generation is no longer kept.
            QuotaExceeded: The image or the snapshot is over a limit of the owner.
            BadRequest: The disk is larger than the store takes.
        """
        found = self._access.find(delta_id, caller, DeltaAction.MANAGE)
        delta, now = found.delta, now_of(self._clock)
        at = delta.generation if generation is None else generation
        new = NewImage(name=name, kind=found.record.kind, size=delta.disk_size)
        record = draft_image(caller.user or "", new, self._rules, now, ImageState.PROCESSING)
        job = new_job(record.image_id, JobKind.FLATTEN, now, deltaId=delta.delta_id, generation=at)
        self._history.keep(found, at, _name_of_hold(job.job_id), job.job_id)
        try:
            self._catalog.jobs.add_with_image(record, job, self._rules.quota)
        except QuotaExceeded:
            release_hold(self._catalog, delta.delta_id, job.job_id, self._clock)
            raise
        self._note(delta, record, job, caller)
        return record, job

    def _note(self, delta: Delta, record: ImageRecord, job: Job, caller: Caller) -> None:
        """Note the request for the owner of the base and for that of the new image."""
        for image_id in (delta.image_id, record.image_id):
            self._trail.note(
                AuditEvent.DELTA_FLATTEN_REQUESTED,
                image_id,
                user=caller.user,
                delta=delta.delta_id,
                image_name=record.name,
                new_image=record.image_id,
                job=job.job_id,
            )


def _name_of_hold(job_id: str) -> str:
    return f"flatten {job_id}"


def is_hold(snapshot: Snapshot) -> bool:
    """Return whether a snapshot is that of a job, whose id it has. No user can choose both id and name."""
    return snapshot.name == _name_of_hold(snapshot.snapshot_id)


def release_hold(catalog: Catalog, delta_id: str, job_id: str, clock: Callable[[], float]) -> None:
    """Delete the snapshot of a flattening that has ended; a missing one is not an error."""
    for snapshot in catalog.delta_objects.snapshots(delta_id):
        if snapshot.snapshot_id == job_id:
            catalog.delta_objects.delete_snapshot(snapshot, now_of(clock))
