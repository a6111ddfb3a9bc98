"""Jobs and images that change at the same time: what a transaction finds changed, and the order of locks."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from image_gateway.catalog import image_rows, job_steps
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import ImageState, Usage
from image_gateway.domain.jobs import MAX_CLAIMS, Job, JobKind, JobState, new_job
from tests.support.records import DISK, FREE, IMAGE_ID, NOW, SOURCE, make_record

LIFETIME = timedelta(minutes=1)
OTHER_ID = "00000000-0000-4000-8000-000000000002"


def add_processing(catalog: Catalog, image_id: str = IMAGE_ID, kind: JobKind = JobKind.CONVERT) -> Job:
    record = replace(make_record(image_id), state=ImageState.PROCESSING, reserved_bytes=100)
    job = new_job(image_id, kind, NOW)
    catalog.jobs.add_with_image(record, job, FREE)
    return job


@pytest.mark.parametrize("end", ["disk", "source"])
def test_a_job_of_a_deleted_image_is_not_done(catalog: Catalog, end: str) -> None:
    """The image was deleted, and its jobs are about to be cancelled."""
    job = add_processing(catalog, kind=JobKind.IMPORT)
    held = catalog.jobs.claim("one", NOW, LIFETIME)
    assert held is not None
    assert catalog.delete(IMAGE_ID, NOW)
    before = catalog.jobs.find(job.job_id)
    if end == "disk":
        assert not catalog.jobs.finish_disk(held, "u1", DISK, NOW)
    else:
        following = new_job(IMAGE_ID, JobKind.CONVERT, NOW)
        assert not catalog.jobs.finish_source(held, SOURCE, following, NOW)
    assert catalog.jobs.list(IMAGE_ID, limit=9) == [before]
    assert catalog.jobs.cancel_of_image(IMAGE_ID, NOW) == 1
    assert catalog.usage("alice") == Usage(0, 0)


def test_failing_lost_jobs_holds_one_image_at_a_time(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another transaction has the second image and waits for the usage that the first one's end changed."""
    for image_id in (IMAGE_ID, OTHER_ID):
        add_processing(catalog, image_id)
    for attempt in range(MAX_CLAIMS):
        for _ in range(2):
            assert catalog.jobs.claim("one", NOW + attempt * LIFETIME, LIFETIME) is not None
    end, resize = job_steps.end, image_rows.resize
    has_lock, ended = threading.Event(), []
    settling: list[Future[bool]] = []
    with ThreadPoolExecutor(1) as pool:

        def resize_later(*arguments: Any) -> None:
            has_lock.set()
            resize(*arguments)

        def end_later(connection: Any, jobs: list[Job], *arguments: Any) -> None:
            (job,) = jobs
            if ended:
                image_id = job.image_id
                settling.append(pool.submit(catalog.settle, image_id, 50, FREE, ImageState.PROCESSING))
                # SQLite has one writer at a time: there it waits until this transaction has ended.
                has_lock.wait(1)
            ended.append(job)
            end(connection, jobs, *arguments)

        monkeypatch.setattr(image_rows, "resize", resize_later)
        monkeypatch.setattr(job_steps, "end", end_later)
        assert catalog.jobs.claim("one", NOW + MAX_CLAIMS * LIFETIME, LIFETIME) is None
        settling[0].result(10)
    assert len(ended) == 2
    assert {catalog.jobs.find(job.job_id).state for job in ended} == {JobState.FAILED}  # type: ignore[union-attr]
    assert catalog.usage("alice") == Usage(0, 0)
