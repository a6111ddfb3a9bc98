"""Any sequence of what requests, workers and the sweeper do keeps images, jobs and usage consistent."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import (
    COUNTED,
    DiskFacts,
    ImageRecord,
    ImageState,
    ListQuery,
    Quota,
    SourceFacts,
    Usage,
)
from image_gateway.domain.jobs import MAKES_DISK, MAX_ATTEMPTS, Job, JobKind, JobState, new_job
from image_gateway.errors import QuotaExceeded
from tests.support.databases import Databases
from tests.support.depth import depths
from tests.support.records import NOW, make_record

LIFETIME = timedelta(seconds=60)
OWNERS = ("alice", "bob")
QUOTA = Quota(images=5, bytes=1000, bytes_per_image=600, open_uploads=4)
sizes = st.integers(0, 700)


class CatalogModel(RuleBasedStateMachine):
    """Two owners; claims of workers are kept and used late, after they were lost."""

    databases: Databases
    images = Bundle("images")
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.url = self.databases.make_migrated()
        self.engine = open_engine(self.url)
        self.catalog = Catalog(self.engine)
        self.now: datetime = NOW
        self.count = 0
        self.ended: dict[str, JobState] = {}

    def teardown(self) -> None:
        self.engine.dispose()
        self.databases.drop(self.url)

    def record(self, owner: str, state: ImageState, size: int) -> ImageRecord:
        self.count += 1
        record = make_record(f"00000000-0000-4000-8000-{self.count:012d}")
        return replace(record, owner=owner, state=state, reserved_bytes=size)

    def job(self, image_id: str, kind: JobKind) -> Job:
        """A job with a number as its id: jobs of one moment are claimed in the order of their ids."""
        self.count += 1
        return replace(new_job(image_id, kind, self.now), job_id=f"00000000-0000-4000-9000-{self.count:012d}")

    @initialize()
    def no_usage(self) -> None:
        assert self.catalog.usage("alice") == Usage(0, 0)

    @rule(target=images, owner=st.sampled_from(OWNERS), size=sizes)
    def begin_upload(self, owner: str, size: int) -> str:
        record = self.record(owner, ImageState.UPLOADING, size)
        try:
            self.catalog.add(record, QUOTA)
        except QuotaExceeded:
            assert self.catalog.find(record.image_id) is None
        return record.image_id

    @rule(target=images, owner=st.sampled_from(OWNERS), size=sizes, kind=st.sampled_from(sorted(MAKES_DISK)))
    def begin_job(self, owner: str, size: int, kind: JobKind) -> str:
        record = self.record(owner, ImageState.PROCESSING, size)
        try:
            self.catalog.jobs.add_with_image(record, self.job(record.image_id, kind), QUOTA)
        except QuotaExceeded:
            assert self.catalog.jobs.list(record.image_id, limit=9) == []
        return record.image_id

    @rule(image_id=images, size=sizes, raw=st.booleans())
    def complete_upload(self, image_id: str, size: int, raw: bool) -> None:
        if raw:
            self.catalog.complete(image_id, "u1", DiskFacts(size, '"e"', NOW, None), self.now)
        else:
            source = SourceFacts(size, '"e"', NOW)
            job = self.job(image_id, JobKind.CONVERT)
            self.catalog.jobs.begin_processing("u1", source, job, self.now)

    @rule(image_id=images, size=sizes, state=st.sampled_from([ImageState.UPLOADING, ImageState.PROCESSING]))
    def settle(self, image_id: str, size: int, state: ImageState) -> None:
        before = self.catalog.find(image_id)
        try:
            self.catalog.settle(image_id, size, QUOTA, state)
        except QuotaExceeded:
            assert self.catalog.find(image_id) == before

    @rule(image_id=images, kind=st.sampled_from([JobKind.PUBLISH, JobKind.VERIFY]))
    def queue(self, image_id: str, kind: JobKind) -> None:
        record = self.catalog.find(image_id)
        if record is not None and record.state is ImageState.COMPLETE:
            self.catalog.jobs.add(self.job(image_id, kind))

    @rule(image_id=images, act=st.sampled_from(["fail", "delete", "cancel_of_image"]))
    def end_image(self, image_id: str, act: str) -> None:
        if act == "fail":
            self.catalog.fail(image_id, "u1", self.now)
        elif act == "delete":
            self.catalog.delete(image_id, self.now)
        else:
            record = self.catalog.find(image_id)
            if record is not None and record.state is ImageState.DELETED:
                self.catalog.jobs.cancel_of_image(image_id, self.now)

    @rule(image_id=images, which=st.integers(0, 9))
    def cancel(self, image_id: str, which: int) -> None:
        jobs = self.catalog.jobs.list(image_id, limit=10)
        if jobs:
            self.catalog.jobs.cancel(jobs[which % len(jobs)].job_id, self.now)

    @rule(job=claims)
    def delete_the_image_of(self, job: Job) -> None:
        self.catalog.delete(job.image_id, self.now)

    @rule(target=claims)
    def claim(self) -> Any:
        job = self.catalog.jobs.claim("worker", self.now, LIFETIME)
        if job is None:
            return multiple()
        assert 1 <= job.attempt <= MAX_ATTEMPTS
        return job

    @rule(seconds=st.integers(-5, 90))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(job=claims, done=st.integers(0, 9), kept=st.booleans())
    def renew(self, job: Job, done: int, kept: bool) -> None:
        self.catalog.jobs.renew(job, self.now + LIFETIME, bytes_done=done, bytes_total=9, is_kept=kept)

    @rule(job=claims, attempted=st.booleans())
    def release(self, job: Job, attempted: bool) -> None:
        self.catalog.jobs.release(job, self.now, is_attempt=attempted)

    @rule(job=claims, size=sizes, how=st.sampled_from(["disk", "source", "plain", "fail"]))
    def finish(self, job: Job, size: int, how: str) -> None:
        before = self.catalog.jobs.list(job.image_id, limit=99), self.catalog.find(job.image_id)
        jobs, source = self.catalog.jobs, SourceFacts(size, '"e"', NOW)
        makes_disk = job.kind in MAKES_DISK
        if how == "fail":
            ended = jobs.fail(job, self.now, "CODE", "message")
        elif not makes_disk:
            ended = jobs.finish(job, self.now)
        elif how == "source" and job.kind is JobKind.IMPORT:
            ended = jobs.finish_source(job, source, self.job(job.image_id, JobKind.CONVERT), self.now)
        else:
            ended = jobs.finish_disk(job, "u1", DiskFacts(size, '"e"', NOW, None), self.now)
        after = jobs.list(job.image_id, limit=99), self.catalog.find(job.image_id)
        # A worker that lost its claim, or whose image ended, changes nothing.
        assert ended or after == before

    @invariant()
    def usage_is_the_sum_of_the_records(self) -> None:
        for owner in OWNERS:
            found = self.catalog.list(ListQuery(owner, 999))
            counted = [record for record in found if record.state in COUNTED]
            total = sum(record.reserved_bytes for record in counted)
            assert self.catalog.usage(owner) == Usage(len(counted), total)
            assert all(record.reserved_bytes == 0 for record in found if record.state not in COUNTED)

    @invariant()
    def jobs_and_images_agree(self) -> None:
        for number in range(1, self.count + 1):
            image_id = f"00000000-0000-4000-8000-{number:012d}"
            record = self.catalog.find(image_id)
            jobs = self.catalog.jobs.list(image_id, limit=99)
            active = [job.kind for job in jobs if job.is_active]
            assert len(active) == len(set(active))
            if record is not None and record.state is ImageState.PROCESSING:
                assert [kind for kind in active if kind in MAKES_DISK], jobs
            for job in jobs:
                self._check(job)

    def _check(self, job: Job) -> None:
        assert job.bytes_total is None or job.bytes_done <= job.bytes_total
        assert 0 <= job.attempt <= MAX_ATTEMPTS
        assert (job.claim_id is not None) == (job.state is JobState.RUNNING)
        assert job.seconds is None or job.seconds >= 0
        if job.is_active:
            assert job.job_id not in self.ended
        else:
            assert self.ended.setdefault(job.job_id, job.state) is job.state
            assert (job.params, job.checkpoint) == ({}, {})


@pytest.mark.parametrize("examples", depths(15, 50))
def test_any_sequence_of_changes_keeps_the_catalog_consistent(databases: Databases, examples: int) -> None:
    machine: Any = type("Machine", (CatalogModel,), {"databases": databases})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
