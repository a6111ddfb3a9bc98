"""Maps rows of jobs to domain records, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, text

from image_gateway.catalog.models import JobRow
from image_gateway.domain.jobs import Job, JobKind, JobState

# The constant of the partial index: SQLite, and PostgreSQL's plans for any values, use that for nothing else.
IS_ACTIVE = text("state IN ('queued', 'running')")
_COLUMNS = JobRow.__table__.columns
_CONVERTED = ("kind", "state", "params", "checkpoint", "result")
_PLAIN_COLUMNS = [column.name for column in _COLUMNS if column.name not in _CONVERTED]


def row_of(job: Job) -> dict[str, Any]:
    """Return the column values of a job."""
    return {
        **{name: getattr(job, name) for name in _PLAIN_COLUMNS},
        "kind": job.kind.value,
        "state": job.state.value,
        "params": json.dumps(dict(job.params)),
        "checkpoint": json.dumps(dict(job.checkpoint)),
        "result": json_or_none(job.result),
    }


def job_of(row: Any) -> Job:
    """Return the job in a row that has all columns in the table's order."""
    values = dict(zip(_COLUMNS.keys(), row, strict=True))
    values |= {
        "kind": JobKind(values["kind"]),
        "state": JobState(values["state"]),
        "params": json.loads(values["params"]),
        "checkpoint": json.loads(values["checkpoint"]),
        "result": json.loads(values["result"]) if values["result"] is not None else None,
    }
    return Job(**values)


def json_or_none(document: Mapping[str, Any] | None) -> str | None:
    """Return a document as JSON; None stays NULL."""
    return json.dumps(dict(document)) if document is not None else None


def seconds_of(job: Job, now: datetime) -> float:
    """Return the time from the first claim of a job to its end `now`."""
    return max(0.0, (now - job.started_at).total_seconds()) if job.started_at else 0.0


def ended(job: Job, state: JobState, now: datetime) -> dict[str, Any]:
    """Return the changes that end a job."""
    # The URL of an import may hold a secret, and no one needs it any more.
    return {
        "state": state.value,
        "finished_at": now,
        "seconds": seconds_of(job, now),
        "claim_id": None,
        "claim_expires_at": None,
        "params": "{}",
        "checkpoint": "{}",
    }


def done(job: Job, now: datetime) -> dict[str, Any]:
    """Return the changes that end a job with success."""
    all_bytes = func.coalesce(JobRow.bytes_total, JobRow.bytes_done)
    return {**ended(job, JobState.DONE, now), "bytes_done": all_bytes}
