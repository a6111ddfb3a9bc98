"""The audit trail: logs what happened to an image, and stores it for the image's owner."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

from image_gateway.catalog.audit_entries import AuditRepository
from image_gateway.domain.audit import AuditEntry, AuditEvent
from image_gateway.domain.clock import now_of
from image_gateway.domain.jobs import Job, JobKind, JobState
from image_gateway.domain.permissions import Role
from image_gateway.errors import CatalogUnavailable
from image_gateway.observability.audit import audit

_log = logging.getLogger(__name__)
# Names are text of users, of up to 256 characters.
MAX_DETAIL = 256
_ENDS = {
    JobState.DONE: AuditEvent.JOB_DONE,
    JobState.FAILED: AuditEvent.JOB_FAILED,
    JobState.CANCELLED: AuditEvent.JOB_CANCELLED,
}


class AuditTrail:
    """Notes events after they happened: a catalog that cannot be used is logged, and nothing is raised."""

    def __init__(self, entries: AuditRepository, clock: Callable[[], float]) -> None:
        self._entries = entries
        self._clock = clock

    def note(
        self,
        event: AuditEvent,
        image_id: str,
        *,
        user: str | None = None,
        role: Role | None = None,
        **details: str | int | None,
    ) -> None:
        """Log and store an event of an image.

        Args:
            user: Who did it; None without an identity.
            role: The user's role, which is one of the details if it is that of an admin.
            details: Ids, names and words, never secrets; None is left out. Stored under camelCase names.
        """
        if role is Role.ADMIN:
            details["role"] = role.value
        audit(event.value, user=user, image=image_id, **details)
        entry = AuditEntry(
            entry_id=str(uuid.uuid4()),
            image_id=image_id,
            created_at=now_of(self._clock),
            event=event.value,
            user=user,
            details={_camel_case(name): _cut(value) for name, value in details.items() if value is not None},
        )
        try:
            self._entries.add(entry)
        except CatalogUnavailable as error:
            text = "the audit entry %r of image %s was not stored: %s"
            _log.error(text, event.value, image_id, error.code)

    def note_end(self, job: Job, *, user: str | None = None) -> None:
        """Note that a job has ended, by its state; `user` is who cancelled it.

        A compaction that was done is left out: nobody asked for it, and an image that is written to has many.
        """
        if job.kind is JobKind.COMPACT and job.state is JobState.DONE:
            return
        event, kind = _ENDS[job.state], job.kind.value
        self.note(event, job.image_id, user=user, job=job.job_id, kind=kind, code=job.error_code)


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _cut(value: str | int) -> str:
    text = str(value)
    return text if len(text) <= MAX_DETAIL else f"{text[: MAX_DETAIL - 1]}…"
