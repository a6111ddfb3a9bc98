"""Who hears of the end of a job, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import ImageState
from image_gateway.domain.jobs import MAX_CLAIMS, Job, JobKind, JobState, new_job
from image_gateway.errors import BadRequest, CatalogUnavailable, StoreUnavailable
from image_gateway.services.jobs.job_run import ClaimLost, JobRun
from image_gateway.services.jobs.worker import CLAIM_LIFETIME, Handler, Worker
from tests.support.clock import Clock
from tests.support.records import FREE, IMAGE_ID, NOW, make_record

Told = list[tuple[str, JobState, str | None]]


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = NOW.timestamp()
    return clock


@pytest.fixture
def job(catalog: Catalog) -> Job:
    job = new_job(IMAGE_ID, JobKind.IMPORT, NOW, url="https://example.org/disk.img")
    catalog.jobs.add_with_image(replace(make_record(), state=ImageState.PROCESSING), job, FREE)
    return job


def run_one(catalog: Catalog, clock: Clock, handler: Handler) -> Told:
    told: Told = []

    def on_end(job: Job) -> None:
        told.append((job.job_id, job.state, job.error_code))

    Worker(catalog.jobs, dict.fromkeys(JobKind, handler), clock, on_end=on_end).run_one()
    return told


def raising(error: Exception) -> Handler:
    def handler(_: JobRun) -> bool:
        raise error

    return handler


def finish(catalog: Catalog) -> Handler:
    return lambda run: catalog.jobs.finish(run.job, NOW)


def fail(catalog: Catalog) -> Handler:
    """As a verification does that found something."""
    return lambda run: catalog.jobs.fail(run.job, NOW, "VERIFICATION_FAILED", "1 problem")


@pytest.mark.parametrize(
    ("make_handler", "state", "code"),
    [
        (finish, JobState.DONE, None),
        (fail, JobState.FAILED, "VERIFICATION_FAILED"),
        (lambda _: raising(BadRequest("no")), JobState.FAILED, "BAD_REQUEST"),
    ],
    ids=["done", "failed by its handler", "failed by an error"],
)
def test_an_end_is_told_as_it_is(
    catalog: Catalog,
    clock: Clock,
    job: Job,
    make_handler: Callable[[Catalog], Handler],
    state: JobState,
    code: str | None,
) -> None:
    assert run_one(catalog, clock, make_handler(catalog)) == [(job.job_id, state, code)]


@pytest.mark.parametrize("error", [StoreUnavailable("away"), ClaimLost()], ids=["queued again", "lost"])
def test_a_job_that_has_not_ended_here_is_not_told(
    catalog: Catalog, clock: Clock, job: Job, error: Exception
) -> None:
    assert run_one(catalog, clock, raising(error)) == []


def test_a_job_whose_workers_died_too_often_is_told(catalog: Catalog, clock: Clock, job: Job) -> None:
    for attempt in range(MAX_CLAIMS):
        assert catalog.jobs.claim("dead", NOW + attempt * CLAIM_LIFETIME, CLAIM_LIFETIME) is not None
    clock.now += MAX_CLAIMS * CLAIM_LIFETIME / timedelta(seconds=1)
    assert run_one(catalog, clock, finish(catalog)) == [(job.job_id, JobState.FAILED, "WORKER_LOST")]


def test_an_end_that_cannot_be_looked_up_stops_nothing(
    catalog: Catalog,
    clock: Clock,
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def away(_: str) -> Job:
        raise CatalogUnavailable("away")

    cleaned: list[Job] = []
    handlers = dict.fromkeys(JobKind, raising(BadRequest("no")))
    worker = Worker(catalog.jobs, handlers, clock, clean_up=cleaned.append)
    with monkeypatch.context() as patch:
        patch.setattr(catalog.jobs, "find", away)
        assert worker.run_one()
    assert [ended.job_id for ended in cleaned] == [job.job_id]
    assert f"job {job.job_id}" in caplog.text
    ended = catalog.jobs.find(job.job_id)
    assert ended is not None
    assert ended.state is JobState.FAILED
