"""Totals of ended jobs by kind and state, updated in the transaction that ends a job.

Counting the rows of ended jobs costs more with each one that is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, union_all
from sqlalchemy.dialects import postgresql, sqlite

from image_gateway.catalog.job_rows import IS_ACTIVE, seconds_of
from image_gateway.catalog.models import JobRow, JobTotalRow
from image_gateway.domain.jobs import Job, JobCount, JobKind, JobState


def add_ended(connection: Connection, jobs: Sequence[Job], state: JobState, now: datetime) -> None:
    """Count jobs that end in `state` now.

    Call it last in a transaction: all jobs share the rows of the totals. They are locked in one order.
    """
    for kind in sorted({job.kind for job in jobs}):
        seconds = [seconds_of(job, now) for job in jobs if job.kind is kind]
        connection.execute(_addition(connection, kind, state, len(seconds), sum(seconds)))


def count_jobs(connection: Connection) -> list[JobCount]:
    """Return number and seconds of the jobs by kind and state: active ones, and all that ever ended."""
    active = select(JobRow.kind, JobRow.state, func.count().label("jobs"), func.sum(JobRow.seconds))
    active = active.where(IS_ACTIVE).group_by(JobRow.kind, JobRow.state)
    ended = select(JobTotalRow.kind, JobTotalRow.state, JobTotalRow.jobs, JobTotalRow.seconds)
    rows: Sequence[Any] = connection.execute(union_all(active, ended)).all()
    return [JobCount(JobKind(kind), JobState(state), jobs, total or 0) for kind, state, jobs, total in rows]


def _addition(connection: Connection, kind: JobKind, state: JobState, jobs: int, seconds: float) -> Any:
    upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = upsert(JobTotalRow).values(kind=kind.value, state=state.value, jobs=jobs, seconds=seconds)
    more = {"jobs": JobTotalRow.jobs + jobs, "seconds": JobTotalRow.seconds + seconds}
    return statement.on_conflict_do_update(index_elements=["kind", "state"], set_=more)
