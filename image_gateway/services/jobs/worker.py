"""The worker: claims jobs, runs them, and ends them in the catalog."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from image_gateway.catalog.jobs import JobRepository
from image_gateway.domain.clock import now_of
from image_gateway.domain.jobs import MAX_ATTEMPTS, Job, JobKind
from image_gateway.errors import FetchFailed, GatewayError, StoreError, StoreFact
from image_gateway.services.jobs.job_run import ClaimLost, JobRun, WorkerStopping

_log = logging.getLogger(__name__)
CLAIM_LIFETIME = timedelta(seconds=60)
POLL_SECONDS = 1.0
# Between attempts to reach a catalog that does not answer.
LONGEST_PAUSE_SECONDS = 30.0
FIRST_RETRY_SECONDS = 5.0

# Runs a job and ends it in the catalog; returns False when the claim was lost.
Handler = Callable[[JobRun], bool]


class Worker:
    """Runs jobs until it is stopped.

    Args:
        jobs: The queue.
        handlers: What runs a job of each kind. A GatewayError that one raises is shown to the image's owner.
        clock: Seconds since the epoch.
        clean_up: Called after a job has failed for good, and after its claim was lost.
        on_end: Called with each job that this worker has ended, as it is then.
        lifetime: How long a claim lasts without renewal; another worker takes over from a dead one then.
    """

    def __init__(
        self,
        jobs: JobRepository,
        handlers: Mapping[JobKind, Handler],
        clock: Callable[[], float] = time.time,
        lifetime: timedelta = CLAIM_LIFETIME,
        clean_up: Callable[[Job], None] = lambda _: None,
        on_end: Callable[[Job], None] = lambda _: None,
    ) -> None:
        self._lifetime = lifetime
        self._clean_up = clean_up
        self._on_end = on_end
        self._jobs = jobs
        self._handlers = handlers
        self._clock = clock
        self._stopping = threading.Event()
        self._name = f"{socket.gethostname()[:200]}:{os.getpid()}"

    def stop(self) -> None:
        """Claim no more jobs, and return the running ones to the queue at their next step."""
        self._stopping.set()

    def run(self, concurrency: int) -> None:
        """Run up to `concurrency` jobs at a time until `stop`, and return when they have ended."""
        threads = [
            threading.Thread(target=self._run_jobs, name=f"worker-{number}") for number in range(concurrency)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def run_one(self) -> bool:
        """Run the next job, if any. Return whether there was one."""
        job = self._jobs.claim(self._name, now_of(self._clock), self._lifetime, on_failed=self._tell_end)
        if job is None:
            return False
        self._run_job(job)
        return True

    def _run_jobs(self) -> None:
        pause = POLL_SECONDS
        while not self._stopping.is_set():
            try:
                ran = self.run_one()
            except Exception as error:  # noqa: BLE001  # Without its threads the worker would do nothing.
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                code = error.code if isinstance(error, GatewayError) else type(error).__name__
                text = "no job can be claimed or ended, next try in %.0f s: %s"
                _log.warning(text, pause, code, exc_info=not isinstance(error, GatewayError))
                self._stopping.wait(pause)
                continue
            pause = POLL_SECONDS
            if not ran:
                self._stopping.wait(POLL_SECONDS)

    def _run_job(self, job: Job) -> None:
        names = {"job": job.job_id, "image": job.image_id, "kind": job.kind.value}
        _log.info("job started", extra={**names, "attempt": job.attempt})
        run = JobRun(self._jobs, job, self._clock, self._stopping.is_set, self._lifetime)
        began = time.monotonic()
        try:
            with run.renewing():
                ended = "done" if self._handlers[job.kind](run) else "lost"
        except ClaimLost:
            ended = "lost"
        except WorkerStopping:
            self._jobs.release(job, now_of(self._clock), is_attempt=False)
            ended = "released"
        except GatewayError as error:
            ended = self._end_failed(run, error)
        except StoreFact as fact:
            _log.warning("the store does not have what the job needs: %s", fact, extra=names)
            ended = self._end_failed(run, StoreError("the store does not have what the job needs"))
        except Exception:  # noqa: BLE001  # Whatever a job raises, the worker goes on with the next.
            _log.exception("job crashed", extra=names)
            ended = self._end_failed(run, GatewayError("the worker failed; its log has the cause"))
        _log.info("job %s", ended, extra={**names, "seconds": round(time.monotonic() - began, 3)})
        if ended in ("done", "failed"):
            self._tell_end(job)
        if ended in ("failed", "lost"):
            self._clean_up(job)

    def _tell_end(self, job: Job) -> None:
        """Call `on_end`. What a handler ended may have failed: a verification that found something has."""
        try:
            ended = self._jobs.find(job.job_id)
        except GatewayError as error:
            _log.error("how job %s has ended cannot be looked up: %s", job.job_id, error.code)
            return
        if ended is not None and not ended.is_active:
            self._on_end(ended)

    def _end_failed(self, run: JobRun, error: GatewayError) -> str:
        """Return the job to the queue if another attempt may help, else fail it."""
        job, now = run.job, now_of(self._clock)
        attempt = 1 if run.made_progress else job.attempt
        if _may_succeed_later(error) and attempt < MAX_ATTEMPTS:
            _log.warning("job failed, it is tried again: %s", error.message, extra={"job": job.job_id})
            wait = timedelta(seconds=FIRST_RETRY_SECONDS * 2 ** (attempt - 1))
            return "queued again" if self._jobs.release(job, now + wait) else "lost"
        return "failed" if self._jobs.fail(job, now, error.code, error.message) else "lost"


def _may_succeed_later(error: GatewayError) -> bool:
    return error.retryable if isinstance(error, FetchFailed) else error.status >= 500
