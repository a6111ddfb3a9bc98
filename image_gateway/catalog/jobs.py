"""Stores background jobs in the catalog. The rows are the queue: there is no broker beside them (ADR 24)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, and_, delete, insert, select, update

from image_gateway.catalog import image_rows, job_steps
from image_gateway.catalog.job_rows import IS_ACTIVE, done, job_of, json_or_none, row_of
from image_gateway.catalog.job_steps import ACTIVE, is_held, of_claim
from image_gateway.catalog.job_totals import add_ended, count_jobs
from image_gateway.catalog.mapping import columns_of
from image_gateway.catalog.mapping import row_of as image_row_of
from image_gateway.catalog.models import ImageRow, JobRow
from image_gateway.catalog.transaction import Transactions
from image_gateway.catalog.usage import reserve
from image_gateway.domain.images import DiskFacts, ImageRecord, ImageState, Quota, SourceFacts
from image_gateway.domain.jobs import MAX_CLAIMS, Job, JobCount, JobState

_COLUMNS = JobRow.__table__.columns


class JobRepository:
    """Stores jobs in SQL. Each method runs in one transaction, together with the change of the job's image.

    Methods that take a claimed `job` return False, and change nothing, when its claim was lost: another
    worker took over, or the job was cancelled.
    """

    def __init__(self, engine: Engine) -> None:
        self._transactions = Transactions(engine)

    def add(self, job: Job) -> Job:
        """Insert a job. Return it, or the active job of the same kind that the image has already."""
        with self._transactions.writing() as connection:
            # The lock on the image lets one of two requests see the other's job.
            image_rows.find_and_lock(connection, job.image_id)
            statement = select(*_COLUMNS).where(
                JobRow.image_id == job.image_id, JobRow.kind == job.kind.value, JobRow.state.in_(ACTIVE)
            )
            row = connection.execute(statement.limit(1)).first()
            if row is not None:
                return job_of(row)
            connection.execute(insert(JobRow).values(**row_of(job)))
            return job

    def add_with_image(self, record: ImageRecord, job: Job, quota: Quota) -> None:
        """Insert an image that is being processed, and its job. Raises QuotaExceeded like `Catalog.add`."""
        with self._transactions.writing() as connection:
            reserve(connection, record.owner, record.reserved_bytes, quota)
            connection.execute(insert(ImageRow).values(**image_row_of(record)))
            connection.execute(insert(JobRow).values(**row_of(job)))

    def begin_processing(
        self, upload_id: str, source: SourceFacts, job: Job, now: datetime, *, sha256: str | None = None
    ) -> bool:
        """Move an image with this open upload to `processing`, with its source and the job to convert it.

        Return False if the upload is not open, or its declared SHA-256 is not `sha256`.
        """
        statement = image_rows.change_state(job.image_id, ImageState.PROCESSING, now)
        is_open = ImageRow.state == ImageState.UPLOADING.value
        statement = statement.where(is_open, ImageRow.upload_id == upload_id).values(**columns_of(source))
        statement = statement.where(ImageRow.declared_sha256.is_not_distinct_from(sha256))
        with self._transactions.writing() as connection:
            if connection.execute(statement).rowcount != 1:
                return False
            connection.execute(insert(JobRow).values(**row_of(job)))
            return True

    def find(self, job_id: str) -> Job | None:
        """Return the job, or None."""
        statement = select(*_COLUMNS).where(JobRow.job_id == job_id)
        with self._transactions.reading() as connection:
            row = connection.execute(statement).first()
        return job_of(row) if row is not None else None

    def list(self, image_id: str, *, limit: int) -> Sequence[Job]:
        """Return the newest jobs of an image, newest first."""
        statement = select(*_COLUMNS).where(JobRow.image_id == image_id)
        newest_first = statement.order_by(JobRow.created_at.desc(), JobRow.job_id.desc()).limit(limit)
        with self._transactions.reading() as connection:
            return [job_of(row) for row in connection.execute(newest_first)]

    def claim(
        self,
        worker: str,
        now: datetime,
        lifetime: timedelta,
        on_failed: Callable[[Job], None] = lambda _: None,
    ) -> Job | None:
        """Claim the job that waits longest, or one whose worker has stopped renewing its claim.

        A job that was claimed MAX_CLAIMS times without progress is failed instead, which `on_failed` is told,
        and the next is tried.
        """
        while True:
            # One image in a transaction: the locks of two, and of their owner's usage, have no order.
            with self._transactions.writing() as connection:
                job = job_steps.next_job(connection, now)
                if job is None or job.attempt < MAX_CLAIMS:
                    return job_steps.claim(connection, job, worker, now, lifetime) if job else None
                job_steps.end(connection, [job], JobState.FAILED, now, "WORKER_LOST", _lost(job))
            on_failed(job)

    def renew(
        self,
        job: Job,
        expires_at: datetime,
        *,
        bytes_done: int,
        bytes_total: int | None,
        is_kept: bool = True,
    ) -> bool:
        """Extend a claim to `expires_at` and record progress.

        Attempts count anew after more bytes than before, if the next run keeps them.
        """
        values: dict[str, Any] = {"bytes_done": bytes_done, "bytes_total": bytes_total}
        if is_kept and bytes_done > job.bytes_done:
            values["attempt"] = 1
        return self._update(job, claim_expires_at=expires_at, **values)

    def save_checkpoint(self, job: Job, checkpoint: Mapping[str, Any], *, is_progress: bool = True) -> bool:
        """Store what a worker needs to continue. Attempts count anew if the job made progress."""
        attempts = {"attempt": 1} if is_progress else {}
        return self._update(job, checkpoint=json.dumps(checkpoint), **attempts)

    def release(self, job: Job, run_after: datetime, *, is_attempt: bool = True) -> bool:
        """Return a claimed job to the queue, for another worker or a later attempt.

        With `is_attempt` false the claim does not count: the job was not the reason for its end.
        """
        return self._update(
            job,
            state=JobState.QUEUED.value,
            run_after=run_after,
            claim_id=None,
            claim_expires_at=None,
            attempt=JobRow.attempt if is_attempt else JobRow.attempt - 1,
        )

    def finish(self, job: Job, now: datetime, result: Mapping[str, Any] | None = None) -> bool:
        """End a job that changed nothing of its image's record, or that has recorded it."""
        values = {**done(job, now), "result": json_or_none(result)}
        with self._transactions.writing() as connection:
            if connection.execute(of_claim(job).values(**values)).rowcount != 1:
                return False
            add_ended(connection, [job], JobState.DONE, now)
            return True

    def finish_disk(self, job: Job, upload_id: str, disk: DiskFacts, now: datetime) -> bool:
        """End a job that made the image's disk, which is readable then."""
        with self._transactions.writing() as connection:
            if connection.execute(of_claim(job).values(**done(job, now))).rowcount != 1:
                return False
            before = ImageState.PROCESSING
            if image_rows.complete(connection, job.image_id, before, upload_id, disk, now):
                add_ended(connection, [job], JobState.DONE, now)
                return True
            # The image was deleted, and its jobs are about to be cancelled.
            connection.rollback()
            return False

    def finish_source(self, job: Job, source: SourceFacts, following: Job, now: datetime) -> bool:
        """End an import whose bytes have to be converted, and queue that."""
        is_processing = ImageRow.state == ImageState.PROCESSING.value
        statement = image_rows.update_image(job.image_id, now).where(is_processing)
        with self._transactions.writing() as connection:
            if connection.execute(of_claim(job).values(**done(job, now))).rowcount != 1:
                return False
            if connection.execute(statement.values(**columns_of(source))).rowcount != 1:
                connection.rollback()
                return False
            connection.execute(insert(JobRow).values(**row_of(following)))
            add_ended(connection, [job], JobState.DONE, now)
            return True

    def fail(
        self, job: Job, now: datetime, code: str, message: str, result: Mapping[str, Any] | None = None
    ) -> bool:
        """End a claimed job as failed; the image has failed too if the job was to make its disk."""
        with self._transactions.writing() as connection:
            held = connection.execute(select(JobRow.job_id).where(*is_held(job)).with_for_update()).first()
            if held is None:
                return False
            job_steps.end(connection, [job], JobState.FAILED, now, code, message, result)
            return True

    def cancel(self, job_id: str, now: datetime) -> Job | None:
        """Cancel a job that has not ended, and fail the image if the job was to make its disk.

        Return the job as it is then, or None if there is none.
        """
        with self._transactions.writing() as connection:
            statement = select(*_COLUMNS).where(JobRow.job_id == job_id).with_for_update()
            row = connection.execute(statement).first()
            job = job_of(row) if row is not None else None
            if job is not None and job.is_active:
                job_steps.end(connection, [job], JobState.CANCELLED, now, None, None)
        return self.find(job_id)

    def cancel_of_image(self, image_id: str, now: datetime) -> int:
        """Cancel the active jobs of an image that was deleted, and return their number."""
        statement = select(*_COLUMNS).where(JobRow.image_id == image_id, JobRow.state.in_(ACTIVE))
        statement = statement.order_by(JobRow.job_id).with_for_update()
        with self._transactions.writing() as connection:
            jobs = [job_of(row) for row in connection.execute(statement)]
            job_steps.end(connection, jobs, JobState.CANCELLED, now, None, None)
        return len(jobs)

    def count(self) -> Sequence[JobCount]:
        """Return number and total seconds of the jobs by kind and state, forgotten ones included."""
        with self._transactions.reading() as connection:
            return count_jobs(connection)

    def find_images_ended(self, *, limit: int) -> Sequence[str]:
        """Return ids of deleted and failed images that have active jobs."""
        ended = ImageRow.state.in_((ImageState.DELETED.value, ImageState.FAILED.value))
        with_jobs = ImageRow.image_id.in_(select(JobRow.image_id).where(IS_ACTIVE))
        with self._transactions.reading() as connection:
            found = connection.execute(select(ImageRow.image_id).where(with_jobs, ended).limit(limit))
            return list(found.scalars())

    def requeue_lost(self, now: datetime) -> int:
        """Return the jobs of workers that stopped renewing their claims to the queue; return their number."""
        lost = and_(JobRow.state == JobState.RUNNING.value, JobRow.claim_expires_at <= now)
        values = {"state": JobState.QUEUED.value, "claim_id": None, "claim_expires_at": None}
        with self._transactions.writing() as connection:
            return connection.execute(update(JobRow).where(IS_ACTIVE, lost).values(**values)).rowcount

    def forget(self, finished_before: datetime, *, limit: int) -> int:
        """Delete up to `limit` jobs that ended before `finished_before`, and return their number."""
        old = select(JobRow.job_id).where(JobRow.finished_at < finished_before, JobRow.state.not_in(ACTIVE))
        chosen = old.order_by(JobRow.finished_at, JobRow.job_id).limit(limit)
        with self._transactions.writing() as connection:
            return connection.execute(delete(JobRow).where(JobRow.job_id.in_(chosen))).rowcount

    def _update(self, job: Job, **values: Any) -> bool:
        with self._transactions.writing() as connection:
            return connection.execute(of_claim(job).values(**values)).rowcount == 1


def _lost(job: Job) -> str:
    return f"the worker stopped {job.attempt} times without progress; last seen: {job.worker}"
