"""The queue of background jobs: claims, fencing, and the images that jobs make."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import DiskFacts, ImageFormat, ImageRecord, ImageState, Quota, Usage
from image_gateway.domain.jobs import MAX_CLAIMS, Job, JobKind, JobState, new_job
from image_gateway.errors import QuotaExceeded
from tests.support.records import DISK, FREE, IMAGE_ID, NOW, SOURCE, make_record

LIFETIME = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def add_processing(catalog: Catalog, image_id: str = IMAGE_ID, kind: JobKind = JobKind.CONVERT) -> Job:
    """An image that is being processed, and its job."""
    record = replace(make_record(image_id), state=ImageState.PROCESSING, reserved_bytes=100)
    job = new_job(image_id, kind, NOW, url="https://example.org/disk")
    catalog.jobs.add_with_image(record, job, FREE)
    return job


def claim(catalog: Catalog, now: datetime = NOW, worker: str = "one") -> Job:
    job = catalog.jobs.claim(worker, now, LIFETIME)
    assert job is not None
    return job


def found(catalog: Catalog, job: Job) -> Job:
    current = catalog.jobs.find(job.job_id)
    assert current is not None
    return current


def image(catalog: Catalog, image_id: str = IMAGE_ID) -> ImageRecord:
    record = catalog.find(image_id)
    assert record is not None
    return record


def test_a_job_is_stored_as_it_was_queued(catalog: Catalog) -> None:
    job = add_processing(catalog)
    assert found(catalog, job) == job
    assert catalog.jobs.list(IMAGE_ID, limit=10) == [job]
    assert image(catalog).state is ImageState.PROCESSING
    assert catalog.usage("alice") == Usage(1, 100)


def test_an_image_with_a_job_needs_room(catalog: Catalog) -> None:
    record = replace(make_record(), state=ImageState.PROCESSING, reserved_bytes=100)
    with pytest.raises(QuotaExceeded):
        catalog.jobs.add_with_image(record, new_job(IMAGE_ID, JobKind.IMPORT, NOW), Quota(bytes=99))
    assert catalog.find(IMAGE_ID) is None
    assert catalog.jobs.list(IMAGE_ID, limit=10) == []


def test_a_claim_hides_the_job_until_it_expires(catalog: Catalog) -> None:
    add_processing(catalog)
    job = claim(catalog)
    assert (job.state, job.attempt, job.worker, job.started_at) == (JobState.RUNNING, 1, "one", NOW)
    assert catalog.jobs.claim("two", NOW + LIFETIME - SECOND, LIFETIME) is None
    again = claim(catalog, NOW + LIFETIME, "two")
    assert (again.job_id, again.attempt, again.worker) == (job.job_id, 2, "two")
    assert again.claim_id != job.claim_id


def test_the_oldest_job_is_first(catalog: Catalog) -> None:
    newer = new_job(IMAGE_ID, JobKind.VERIFY, NOW + SECOND)
    older = new_job(IMAGE_ID, JobKind.PUBLISH, NOW)
    for job in (newer, older):
        catalog.jobs.add(job)
    assert claim(catalog, NOW + SECOND).job_id == older.job_id
    assert claim(catalog, NOW + SECOND).job_id == newer.job_id
    assert catalog.jobs.claim("one", NOW + SECOND, LIFETIME) is None


def test_a_worker_whose_claim_was_replaced_changes_nothing(catalog: Catalog) -> None:
    add_processing(catalog)
    lost = claim(catalog)
    claim(catalog, NOW + LIFETIME, "two")
    before = found(catalog, lost)
    jobs, later = catalog.jobs, NOW + LIFETIME
    assert not jobs.renew(lost, later, bytes_done=5, bytes_total=9)
    assert not jobs.save_checkpoint(lost, {"uploadId": "u"})
    assert not jobs.release(lost, later)
    assert not jobs.finish(lost, later)
    assert not jobs.finish_disk(lost, "u1", DISK, later)
    assert not jobs.finish_source(lost, SOURCE, new_job(IMAGE_ID, JobKind.CONVERT, later), later)
    assert not jobs.fail(lost, later, "BAD_REQUEST", "no")
    assert found(catalog, lost) == before
    assert image(catalog).state is ImageState.PROCESSING


def test_attempts_without_progress_are_counted(catalog: Catalog) -> None:
    job = add_processing(catalog)
    for attempt in range(MAX_CLAIMS):
        assert claim(catalog, NOW + attempt * LIFETIME).attempt == attempt + 1
    now = NOW + MAX_CLAIMS * LIFETIME
    assert catalog.jobs.claim("one", now, LIFETIME) is None
    failed = found(catalog, job)
    assert (failed.state, failed.error_code, failed.finished_at) == (JobState.FAILED, "WORKER_LOST", now)
    assert image(catalog).state is ImageState.FAILED
    assert catalog.usage("alice") == Usage(0, 0)


def test_a_job_that_cannot_be_tried_again_does_not_hide_the_next(catalog: Catalog) -> None:
    add_processing(catalog)
    for attempt in range(MAX_CLAIMS):
        claim(catalog, NOW + attempt * LIFETIME)
    waiting = new_job(IMAGE_ID, JobKind.VERIFY, NOW + MAX_CLAIMS * LIFETIME)
    catalog.jobs.add(waiting)
    assert claim(catalog, NOW + MAX_CLAIMS * LIFETIME).job_id == waiting.job_id


@pytest.mark.parametrize("by", ["checkpoint", "bytes"])
def test_after_progress_attempts_count_anew(catalog: Catalog, by: str) -> None:
    add_processing(catalog)
    for attempt in range(5 * MAX_CLAIMS):
        job = claim(catalog, NOW + attempt * LIFETIME)
        assert job.attempt <= 2
        if by == "checkpoint":
            assert catalog.jobs.save_checkpoint(job, {"parts": attempt})
        else:
            expires_at = NOW + (attempt + 1) * LIFETIME
            assert catalog.jobs.renew(job, expires_at, bytes_done=attempt + 1, bytes_total=99)


def test_the_same_bytes_again_are_no_progress(catalog: Catalog) -> None:
    add_processing(catalog)
    for attempt in range(MAX_CLAIMS):
        job = claim(catalog, NOW + attempt * LIFETIME)
        catalog.jobs.renew(job, NOW + (attempt + 1) * LIFETIME, bytes_done=0, bytes_total=99)
    assert catalog.jobs.claim("one", NOW + MAX_CLAIMS * LIFETIME, LIFETIME) is None


def test_a_released_job_waits_for_its_time(catalog: Catalog) -> None:
    add_processing(catalog)
    assert catalog.jobs.release(claim(catalog), NOW + 5 * SECOND)
    assert catalog.jobs.claim("two", NOW + 4 * SECOND, LIFETIME) is None
    assert claim(catalog, NOW + 5 * SECOND).attempt == 2


def test_a_disk_completes_the_image(catalog: Catalog) -> None:
    job = add_processing(catalog)
    disk = DiskFacts(512, '"disk"', NOW, None)
    assert catalog.jobs.finish_disk(claim(catalog), "u1", disk, NOW + SECOND)
    record, ended = image(catalog), found(catalog, job)
    assert (record.state, record.disk, record.reserved_bytes) == (ImageState.COMPLETE, disk, 512)
    assert (ended.state, ended.finished_at, ended.seconds) == (JobState.DONE, NOW + SECOND, 1)
    assert (ended.params, ended.checkpoint) == ({}, {})
    assert catalog.usage("alice") == Usage(1, 512)


def test_a_source_queues_its_conversion(catalog: Catalog) -> None:
    job = add_processing(catalog, kind=JobKind.IMPORT)
    following = new_job(IMAGE_ID, JobKind.CONVERT, NOW)
    assert catalog.jobs.finish_source(claim(catalog), SOURCE, following, NOW)
    assert image(catalog).source == SOURCE
    assert found(catalog, job).state is JobState.DONE
    assert claim(catalog).job_id == following.job_id


@pytest.mark.parametrize("kind", list(JobKind))
@pytest.mark.parametrize("claimed", [False, True])
def test_cancelling_fails_an_image_without_a_disk(catalog: Catalog, kind: JobKind, claimed: bool) -> None:
    job = add_processing(catalog, kind=kind)
    held = claim(catalog) if claimed else None
    cancelled = catalog.jobs.cancel(job.job_id, NOW + SECOND)
    assert cancelled is not None
    assert cancelled.state is JobState.CANCELLED
    makes_disk = kind in (JobKind.CONVERT, JobKind.FLATTEN, JobKind.IMPORT)
    assert image(catalog).state is (ImageState.FAILED if makes_disk else ImageState.PROCESSING)
    assert held is None or not catalog.jobs.finish(held, NOW + SECOND)
    assert catalog.jobs.cancel(job.job_id, NOW + 2 * SECOND) == cancelled


def test_a_done_job_stays_done(catalog: Catalog) -> None:
    job = add_processing(catalog)
    catalog.jobs.finish_disk(claim(catalog), "u1", DISK, NOW)
    ended = catalog.jobs.cancel(job.job_id, NOW)
    assert ended is not None
    assert ended.state is JobState.DONE
    assert image(catalog).state is ImageState.COMPLETE


def test_a_failed_job_tells_why(catalog: Catalog) -> None:
    job = add_processing(catalog)
    assert catalog.jobs.fail(claim(catalog), NOW, "UNSUPPORTED_IMAGE", "x" * 5000)
    failed = found(catalog, job)
    assert (failed.state, failed.error_code) == (JobState.FAILED, "UNSUPPORTED_IMAGE")
    assert failed.error_message == "x" * 1024
    assert image(catalog).state is ImageState.FAILED


def test_a_failed_job_keeps_what_it_found_out(catalog: Catalog) -> None:
    add_processing(catalog, kind=JobKind.VERIFY)
    result = {"chunks": 4, "problems": ["chunk 2: wrong SHA-256"]}
    held = claim(catalog)
    assert catalog.jobs.fail(held, NOW, "VERIFICATION_FAILED", "1 problem", result)
    failed = found(catalog, held)
    assert (failed.state, failed.result) == (JobState.FAILED, result)


def test_an_image_has_one_active_job_of_a_kind(catalog: Catalog) -> None:
    catalog.add(make_record(), FREE)
    jobs = [new_job(IMAGE_ID, JobKind.PUBLISH, NOW) for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        added = list(pool.map(catalog.jobs.add, jobs))
    assert len({job.job_id for job in added}) == 1
    assert len(catalog.jobs.list(IMAGE_ID, limit=100)) == 1
    other = catalog.jobs.add(new_job(IMAGE_ID, JobKind.VERIFY, NOW))
    assert other.job_id != added[0].job_id


def test_an_upload_becomes_a_source_once(catalog: Catalog) -> None:
    catalog.add(replace(make_record(), format=ImageFormat.QCOW2), FREE)
    jobs = [new_job(IMAGE_ID, JobKind.CONVERT, NOW) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        begun = list(pool.map(lambda job: catalog.jobs.begin_processing("u1", SOURCE, job, NOW), jobs))
    assert begun.count(True) == 1
    assert [job.job_id for job in catalog.jobs.list(IMAGE_ID, limit=9)] == [jobs[begun.index(True)].job_id]
    assert image(catalog).source == SOURCE


def test_deleting_the_image_is_followed_by_its_jobs(catalog: Catalog) -> None:
    job = add_processing(catalog)
    held = claim(catalog)
    assert catalog.delete(IMAGE_ID, NOW)
    assert catalog.usage("alice") == Usage(0, 0)
    assert catalog.jobs.find_images_ended(limit=10) == [IMAGE_ID]
    assert catalog.jobs.cancel_of_image(IMAGE_ID, NOW) == 1
    assert found(catalog, job).state is JobState.CANCELLED
    assert not catalog.jobs.finish_disk(held, "u1", DISK, NOW)
    assert image(catalog).state is ImageState.DELETED
    assert catalog.jobs.find_images_ended(limit=10) == []


def test_jobs_of_dead_workers_return_to_the_queue(catalog: Catalog) -> None:
    job = add_processing(catalog)
    held = claim(catalog)
    assert catalog.jobs.requeue_lost(NOW + LIFETIME - SECOND) == 0
    assert catalog.jobs.requeue_lost(NOW + LIFETIME) == 1
    assert (found(catalog, job).state, found(catalog, job).attempt) == (JobState.QUEUED, 1)
    assert not catalog.jobs.finish(held, NOW + LIFETIME)
    assert claim(catalog, NOW + LIFETIME).attempt == 2


def test_jobs_are_counted_and_forgotten(catalog: Catalog) -> None:
    add_processing(catalog)
    catalog.jobs.finish_disk(claim(catalog), "u1", DISK, NOW + 3 * SECOND)
    publish = catalog.jobs.add(new_job(IMAGE_ID, JobKind.PUBLISH, NOW))
    assert sorted(catalog.jobs.count()) == [("convert", "done", 1, 3.0), ("publish", "queued", 1, 0.0)]
    assert catalog.jobs.forget(NOW + 3 * SECOND, limit=10) == 0
    assert catalog.jobs.forget(NOW + 4 * SECOND, limit=10) == 1
    assert catalog.jobs.list(IMAGE_ID, limit=10) == [publish]
    assert sorted(catalog.jobs.count()) == [("convert", "done", 1, 3.0), ("publish", "queued", 1, 0.0)]


@pytest.mark.thorough
def test_many_workers_finish_each_of_many_jobs_once(catalog: Catalog) -> None:
    """Four workers; each dies now and then with a job in its hands, and its claim expires by the clock."""
    count = 1000
    ids = [f"00000000-0000-4000-9000-{number:012d}" for number in range(count)]
    for image_id in ids:
        catalog.jobs.add(new_job(image_id, JobKind.PUBLISH, NOW))
    finished: list[str] = []
    lock, steps = threading.Lock(), iter(range(10**9))

    def work(worker: int) -> None:
        while True:
            with lock:
                step = next(steps)
            job = catalog.jobs.claim(f"worker-{worker}", NOW + step * SECOND, timedelta(seconds=200))
            if job is None:
                with lock:
                    over = len(finished) == count
                if over:
                    return
                continue
            dies = step % 17 == worker
            if not dies and catalog.jobs.finish(job, NOW + step * SECOND):
                with lock:
                    finished.append(job.job_id)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(finished) == len(set(finished)) == count
