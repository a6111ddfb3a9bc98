"""A job that this process has claimed: keeps the claim, records progress, and says when to stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from image_gateway.catalog.jobs import JobRepository
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.clock import now_of
from image_gateway.domain.images import ImageRecord, ImageState
from image_gateway.domain.jobs import Job
from image_gateway.errors import GatewayError
from image_gateway.services.purging import Purger, Writer

_log = logging.getLogger(__name__)
# Renewals in the lifetime of a claim, when nothing else happens.
RENEWALS = 6
PROGRESS_SECONDS = 1.0


class ClaimLost(Exception):
    """Another worker has the job, or it was cancelled: this worker may change nothing more."""


class WorkerStopping(Exception):
    """This worker is shutting down: the job goes back to the queue."""


class JobRun:
    """One run of a claimed job.

    Handlers call `check` or `advance` at least once a part; both raise ClaimLost or WorkerStopping when the
    run has to end. All methods may be called from several threads.
    """

    def __init__(
        self,
        jobs: JobRepository,
        job: Job,
        clock: Callable[[], float],
        is_stopping: Callable[[], bool],
        lifetime: timedelta,
    ) -> None:
        self.job = job
        self._lifetime = lifetime
        self._jobs = jobs
        self._clock = clock
        self._is_stopping = is_stopping
        self._lock = threading.Lock()
        self._lost = False
        self._ended = threading.Event()
        self._done = 0
        self._total = job.bytes_total
        self._is_kept = True
        self._checkpoint: dict[str, Any] = dict(job.checkpoint)
        self._renewed_at = time.monotonic()
        self._written_at = 0.0

    @property
    def checkpoint(self) -> Mapping[str, Any]:
        """What an earlier run of this job stored."""
        return self._checkpoint

    @property
    def made_progress(self) -> bool:
        """Whether more is done than before this run, and the next run keeps it."""
        return self._is_kept and self._done > self.job.bytes_done

    def check(self) -> None:
        """Raise ClaimLost or WorkerStopping if the run has to end."""
        if self._lost:
            raise ClaimLost
        if self._is_stopping():
            raise WorkerStopping

    def start(self, total: int | None, done: int = 0, *, is_kept: bool = True) -> None:
        """Record how much there is to do, and what earlier runs have done, both in bytes.

        Without `is_kept` the next run has to begin at the start, so that nothing counts as progress.
        """
        with self._lock:
            self._total, self._done, self._is_kept = total, done, is_kept
        self._renew()
        self.check()

    def advance(self, size: int) -> None:
        """Record that `size` more bytes are done; written at most once a second."""
        with self._lock:
            self._done += size
            due = time.monotonic() - self._written_at >= PROGRESS_SECONDS
            if due:
                self._written_at = time.monotonic()
        if due:
            self._renew()
        self.check()

    def save(self, *, is_progress: bool = True, **values: Any) -> None:
        """Add values to the checkpoint, durably; raises ClaimLost."""
        with self._lock:
            self._checkpoint |= values
            kept = self._jobs.save_checkpoint(self.job, self._checkpoint, is_progress=is_progress)
        if not kept:
            self._lost = True
            raise ClaimLost

    @contextmanager
    def renewing(self) -> Iterator[None]:
        """Renew the claim in a thread for the time of the block."""
        thread = threading.Thread(target=self._renew_until_ended, name="renew-claim", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _renew_until_ended(self) -> None:
        while not self._ended.wait(self._lifetime.total_seconds() / RENEWALS):
            self._renew()

    def _renew(self) -> None:
        """Renew the claim; without an answer of the catalog it is lost when its lifetime is over."""
        expires_at = now_of(self._clock) + self._lifetime
        with self._lock:
            done, total, is_kept = self._done, self._total, self._is_kept
        try:
            kept = self._jobs.renew(self.job, expires_at, bytes_done=done, bytes_total=total, is_kept=is_kept)
        except GatewayError as error:
            _log.warning("the claim of job %s was not renewed: %s", self.job.job_id, error.code)
            kept = time.monotonic() - self._renewed_at < self._lifetime.total_seconds()
        else:
            self._renewed_at = time.monotonic()
        if not kept:
            self._lost = True


@contextmanager
def processed_image(catalog: Catalog, purger: Purger, job: Job) -> Iterator[tuple[ImageRecord, Writer]]:
    """Yield the image whose disk a job makes, and its registered writer.

    Raises:
        ClaimLost: The image is no longer being processed.
    """
    record = catalog.find(job.image_id)
    if record is None or record.state is not ImageState.PROCESSING:
        raise ClaimLost
    with purger.writing(record) as writer:
        if writer is None:
            raise ClaimLost
        yield record, writer
