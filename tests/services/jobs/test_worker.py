"""The worker: what it does with jobs that end, fail, crash, are cancelled, or have to wait."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import ImageState
from image_gateway.domain.jobs import MAX_ATTEMPTS, Job, JobKind, JobState, new_job
from image_gateway.errors import (
    BadRequest,
    CatalogUnavailable,
    FetchFailed,
    GatewayError,
    ObjectMissing,
    StoreUnavailable,
)
from image_gateway.services.jobs import worker as worker_module
from image_gateway.services.jobs.job_run import ClaimLost, JobRun
from image_gateway.services.jobs.worker import CLAIM_LIFETIME, Handler, Worker
from tests.support.records import DISK, FREE, IMAGE_ID, NOW, make_record

URL = "https://example.org/disk.img?signature=secret-signature"


class Clock:
    """The time that the worker sees; the test moves it."""

    def __init__(self) -> None:
        self.now = NOW.timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def job(catalog: Catalog) -> Job:
    record = replace(make_record(), state=ImageState.PROCESSING)
    job = new_job(IMAGE_ID, JobKind.IMPORT, NOW, url=URL)
    catalog.jobs.add_with_image(record, job, FREE)
    return job


def make_worker(catalog: Catalog, clock: Clock, handler: Handler) -> Worker:
    return Worker(catalog.jobs, dict.fromkeys(JobKind, handler), clock)


def current(catalog: Catalog, job: Job) -> Job:
    found = catalog.jobs.find(job.job_id)
    assert found is not None
    return found


def raising(error: Exception) -> Handler:
    def handler(_: JobRun) -> bool:
        raise error

    return handler


def test_a_job_is_run_and_ended(catalog: Catalog, clock: Clock, job: Job) -> None:
    def handler(run: JobRun) -> bool:
        run.start(100)
        run.advance(60)
        run.save(uploadId="u")
        return catalog.jobs.finish_disk(run.job, "u1", DISK, NOW)

    worker = make_worker(catalog, clock, handler)
    assert worker.run_one()
    ended = current(catalog, job)
    assert (ended.state, ended.bytes_done, ended.bytes_total) == (JobState.DONE, 100, 100)
    assert not worker.run_one()


def test_progress_and_checkpoint_are_seen_while_it_runs(catalog: Catalog, clock: Clock, job: Job) -> None:
    seen: list[Job] = []

    def handler(run: JobRun) -> bool:
        run.start(100, done=20)
        run.save(uploadId="u")
        seen.append(current(catalog, job))
        return catalog.jobs.finish(run.job, NOW)

    make_worker(catalog, clock, handler).run_one()
    assert (seen[0].bytes_done, seen[0].bytes_total, seen[0].state) == (20, 100, JobState.RUNNING)
    assert seen[0].checkpoint == {"uploadId": "u"}


@pytest.mark.parametrize(
    "error",
    [
        BadRequest("no such format"),
        FetchFailed("the server refuses", retryable=False),
    ],
)
def test_an_error_of_the_request_fails_it_at_once(
    catalog: Catalog, clock: Clock, job: Job, error: GatewayError
) -> None:
    make_worker(catalog, clock, raising(error)).run_one()
    failed = current(catalog, job)
    assert (failed.state, failed.error_code, failed.error_message) == (
        JobState.FAILED,
        error.code,
        error.message,
    )
    record = catalog.find(IMAGE_ID)
    assert record is not None
    assert record.state is ImageState.FAILED


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailable("away"),
        FetchFailed("the server is away", retryable=True),
        ZeroDivisionError("a fault of ours"),
    ],
)
def test_what_may_pass_is_tried_three_times(
    catalog: Catalog, clock: Clock, job: Job, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    worker = make_worker(catalog, clock, raising(error))
    for attempt in range(1, MAX_ATTEMPTS):
        assert worker.run_one()
        waiting = current(catalog, job)
        assert (waiting.state, waiting.attempt) == (JobState.QUEUED, attempt)
        # Not at once, and longer each time.
        assert waiting.run_after - NOW - timedelta(seconds=clock.now - NOW.timestamp()) == timedelta(
            seconds=5 * 2 ** (attempt - 1)
        )
        assert not worker.run_one()
        clock.now = waiting.run_after.timestamp()
    assert worker.run_one()
    failed = current(catalog, job)
    assert failed.state is JobState.FAILED
    assert failed.error_message
    assert "secret-signature" not in caplog.text


def test_progress_gives_it_more_attempts(catalog: Catalog, clock: Clock, job: Job) -> None:
    done = iter(range(1, 100))

    def handler(run: JobRun) -> bool:
        run.start(100, next(done))
        raise StoreUnavailable("away again")

    worker = make_worker(catalog, clock, handler)
    for _ in range(4 * MAX_ATTEMPTS):
        assert worker.run_one()
        assert current(catalog, job).state is JobState.QUEUED
        clock.now = current(catalog, job).run_after.timestamp()


@pytest.mark.parametrize("step", ["advance", "save", "check"])
def test_a_cancelled_job_stops_at_its_next_step(catalog: Catalog, clock: Clock, job: Job, step: str) -> None:
    stopped: list[str] = []

    def handler(run: JobRun) -> bool:
        run.start(100)
        catalog.jobs.cancel(job.job_id, NOW)
        steps: dict[str, Callable[[], object]] = {
            "advance": lambda: run.advance(1),
            "save": lambda: run.save(part=1),
            "check": lambda: (run.start(100), run.check()),
        }
        try:
            steps[step]()
        except ClaimLost:
            stopped.append(step)
            raise
        return True

    make_worker(catalog, clock, handler).run_one()
    assert stopped == [step]
    assert current(catalog, job).state is JobState.CANCELLED


def test_a_worker_that_stops_returns_its_job(catalog: Catalog, clock: Clock, job: Job) -> None:
    def handler(run: JobRun) -> bool:
        run.start(100, 40)
        worker.stop()
        run.advance(1)
        return True

    worker = make_worker(catalog, clock, handler)
    worker.run_one()
    returned = current(catalog, job)
    assert (returned.state, returned.claim_id) == (JobState.QUEUED, None)
    assert returned.bytes_done >= 40
    assert make_worker(catalog, clock, lambda run: catalog.jobs.finish(run.job, NOW)).run_one()


def test_a_stopped_worker_ends(catalog: Catalog, clock: Clock) -> None:
    worker = make_worker(catalog, clock, raising(AssertionError("no job was queued")))
    thread = threading.Thread(target=worker.run, args=(3,))
    thread.start()
    worker.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_a_catalog_that_is_away_for_a_moment_does_not_end_the_job(
    catalog: Catalog, clock: Clock, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> bool:
        raise CatalogUnavailable("away")

    def handler(run: JobRun) -> bool:
        with monkeypatch.context() as patch:
            patch.setattr(catalog.jobs, "renew", away)
            run.start(100, 10)
            run.advance(1)
        return catalog.jobs.finish(run.job, NOW)

    make_worker(catalog, clock, handler).run_one()
    assert current(catalog, job).state is JobState.DONE


def test_the_log_has_the_job_and_no_url(
    catalog: Catalog, clock: Clock, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    make_worker(catalog, clock, raising(BadRequest("no"))).run_one()
    assert [record.getMessage() for record in caplog.records] == ["job started", "job failed"]
    assert {getattr(record, "job", None) for record in caplog.records} == {job.job_id}
    assert "secret-signature" not in caplog.text
    assert "secret-signature" not in repr(job)
    assert timedelta(seconds=30) < CLAIM_LIFETIME


def test_stopping_workers_use_up_no_attempts(catalog: Catalog, clock: Clock, job: Job) -> None:
    def handler(run: JobRun) -> bool:
        worker.stop()
        run.check()
        return True

    for _ in range(2 * MAX_ATTEMPTS):
        worker = make_worker(catalog, clock, handler)
        assert worker.run_one()
        assert (current(catalog, job).state, current(catalog, job).attempt) == (JobState.QUEUED, 0)


def test_bytes_that_are_not_kept_give_it_no_more_attempts(catalog: Catalog, clock: Clock, job: Job) -> None:
    done = iter(range(1, 100))

    def handler(run: JobRun) -> bool:
        run.save(is_progress=False, uploadId="u")
        run.start(100, is_kept=False)
        run.advance(next(done))
        raise StoreUnavailable("away again")

    worker = make_worker(catalog, clock, handler)
    for _ in range(MAX_ATTEMPTS):
        assert worker.run_one()
        clock.now += 60
    assert current(catalog, job).state is JobState.FAILED


def test_a_thread_of_the_worker_survives_any_error(
    catalog: Catalog,
    clock: Clock,
    job: Job,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here the store says in the clean-up what no one expected."""
    monkeypatch.setattr(worker_module, "POLL_SECONDS", 0.01)
    other = catalog.jobs.add(new_job(IMAGE_ID, JobKind.VERIFY, NOW))
    cleaned: list[str] = []

    def clean_up(ended: Job) -> None:
        cleaned.append(ended.job_id)
        if len(cleaned) == 1:
            raise ObjectMissing("the store says 404")
        worker.stop()

    handler = raising(BadRequest("no"))
    worker = Worker(catalog.jobs, dict.fromkeys(JobKind, handler), clock, clean_up=clean_up)
    worker.run(1)
    assert sorted(cleaned) == sorted([job.job_id, other.job_id])
    assert "ObjectMissing" in caplog.text
