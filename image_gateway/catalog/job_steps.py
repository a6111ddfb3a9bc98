"""Changes of one job's row, as steps of a transaction that may change other rows as well."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Update, and_, or_, select, update

from image_gateway.catalog import image_rows
from image_gateway.catalog.job_rows import IS_ACTIVE, ended, job_of, json_or_none
from image_gateway.catalog.job_totals import add_ended
from image_gateway.catalog.models import ImageRow, JobRow
from image_gateway.domain.images import ImageState
from image_gateway.domain.jobs import MAKES_DISK, Job, JobState

ACTIVE = (JobState.QUEUED.value, JobState.RUNNING.value)
MAX_ERROR = 1024
_COLUMNS = JobRow.__table__.columns


def next_job(connection: Connection, now: datetime) -> Job | None:
    """Return the next job to run, locked; rows that other workers have locked are skipped."""
    waits = and_(JobRow.state == JobState.QUEUED.value, JobRow.run_after <= now)
    lost = and_(JobRow.state == JobState.RUNNING.value, JobRow.claim_expires_at <= now)
    statement = select(*_COLUMNS).where(IS_ACTIVE, or_(waits, lost))
    statement = statement.order_by(JobRow.run_after, JobRow.job_id).limit(1)
    row = connection.execute(statement.with_for_update(skip_locked=True)).first()
    return job_of(row) if row is not None else None


def claim(connection: Connection, job: Job, worker: str, now: datetime, lifetime: timedelta) -> Job:
    """Let `worker` have the job for `lifetime`, and return it so."""
    claimed = replace(
        job,
        state=JobState.RUNNING,
        attempt=job.attempt + 1,
        worker=worker,
        claim_id=str(uuid.uuid4()),
        claim_expires_at=now + lifetime,
        started_at=job.started_at or now,
    )
    names = ("attempt", "worker", "claim_id", "claim_expires_at", "started_at")
    changes = {name: getattr(claimed, name) for name in names}
    statement = update(JobRow).where(JobRow.job_id == job.job_id)
    connection.execute(statement.values(state=claimed.state.value, **changes))
    return claimed


def is_held(job: Job) -> tuple[Any, ...]:
    """Return the conditions of a statement that is to concern a job only while its claim holds."""
    return (
        JobRow.job_id == job.job_id,
        JobRow.state == JobState.RUNNING.value,
        JobRow.claim_id == job.claim_id,
    )


def of_claim(job: Job) -> Update:
    """Return an UPDATE of a job that changes nothing when its claim was lost."""
    return update(JobRow).where(*is_held(job))


def end(
    connection: Connection,
    jobs: Sequence[Job],
    state: JobState,
    now: datetime,
    code: str | None,
    message: str | None,
    result: Mapping[str, Any] | None = None,
) -> None:
    """End locked jobs without success, and their images if those have no disk now."""
    for job in jobs:
        _end_one(connection, job, state, now, code, message, result)
    add_ended(connection, jobs, state, now)


def _end_one(
    connection: Connection,
    job: Job,
    state: JobState,
    now: datetime,
    code: str | None,
    message: str | None,
    result: Mapping[str, Any] | None,
) -> None:
    values = {
        **ended(job, state, now),
        "error_code": code,
        "error_message": (message or "")[:MAX_ERROR] or None,
        "result": json_or_none(result),
    }
    statement = update(JobRow).where(JobRow.job_id == job.job_id, JobRow.state.in_(ACTIVE))
    connection.execute(statement.values(**values))
    if job.kind in MAKES_DISK:
        failed = image_rows.change_state(job.image_id, ImageState.FAILED, now)
        is_processing = ImageRow.state == ImageState.PROCESSING.value
        image_rows.end_and_release(connection, job.image_id, failed.where(is_processing))
