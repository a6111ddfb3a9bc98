"""Requests, workers and the sweeper at once on an image that is converted: record, usage and bucket agree."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.callers import Caller
from image_gateway.domain.images import ImageFormat, ImageRecord, ImageState, Quota, Usage
from image_gateway.domain.jobs import JobKind, JobState
from image_gateway.errors import GatewayError
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.completion import Completion
from image_gateway.services.images import Images
from image_gateway.services.jobs import object_upload
from image_gateway.services.jobs.converting import Converting
from image_gateway.services.jobs.disk_writing import DiskRules
from image_gateway.services.jobs.worker import Worker
from image_gateway.services.new_images import NewImage, UploadRules
from image_gateway.services.purging import Purger
from image_gateway.services.reading.access import Access
from image_gateway.services.sweeping import Sweeper
from image_gateway.services.uploads import Uploads
from tests.support.depth import depths
from tests.support.memory_store import MemoryStore

OWNER = "alice"
ME = Caller(OWNER)
DATA = b"\x5a" * 2048
ROUNDS = depths(4, int(os.environ.get("RACE_ROUNDS", "6")))
PAIRS = [
    ("complete", "complete"),
    ("complete", "delete"),
    ("complete", "work"),
    ("work", "work"),
    ("work", "steal"),
    ("work", "cancel"),
    ("work", "delete"),
    ("work", "sweep"),
    ("cancel", "delete"),
    ("cancel", "cancel"),
]


class Gateway:
    """The services that change images and jobs, over a catalog and a store that is slow at random."""

    def __init__(self, catalog: Catalog, seed: int) -> None:
        clock = time.time
        self.catalog, self.store = catalog, MemoryStore(seed)
        store: Any = self.store
        quota = Quota(bytes=10**9)
        trail = AuditTrail(catalog.audit_entries, clock)
        access = Access(catalog, catalog.shares, hide_foreign=False, remember=0, clock=clock)
        rules = UploadRules("/images", 5 * 2**20, 10**12, "no-store", 3600, 86_400, 30 * 86_400, quota)
        self.purger = Purger(catalog, store, clock)
        completion = Completion(catalog, store, quota, 10**9, trail, clock)
        self.uploads = Uploads(catalog, store, access, rules, completion, self.purger, trail, clock)
        self.images = Images(catalog, self.purger, access, quota, trail, clock)
        self.sweeper = Sweeper(catalog, store, "/images", clock)

    def worker(self, ahead: float = 0) -> Worker:
        """A worker whose clock is ahead takes over what others have claimed."""
        store: Any = self.store
        rules = DiskRules(2**40, Quota(), "no-store", keep_sources=False, hashed_at_completion=10**9)
        clock = lambda: time.time() + ahead  # noqa: E731
        handler = Converting(self.catalog, store, rules, clock).run
        return Worker(
            self.catalog.jobs,
            {JobKind.CONVERT: handler},
            clock,
            clean_up=lambda job: self.purger.purge_if_ended(job.image_id),
        )

    def begin(self) -> ImageRecord:
        record = self.uploads.begin(OWNER, NewImage(size=len(DATA), format=ImageFormat.AUTO))
        self.store.put_part(record.plan.upload_id, 1, DATA)
        return record

    def complete(self, record: ImageRecord) -> Any:
        return self.uploads.complete(record.image_id, ME, record.plan.upload_id, None)

    def cancel(self, record: ImageRecord) -> None:
        for job in self.catalog.jobs.list(record.image_id, limit=9):
            self.catalog.jobs.cancel(job.job_id, record.created_at)
        self.purger.purge_if_ended(record.image_id)

    def act(self, name: str, record: ImageRecord, start: threading.Barrier) -> Any:
        acts: dict[str, Callable[[], Any]] = {
            "complete": lambda: self.complete(record),
            "work": lambda: self.worker().run_one(),
            "steal": lambda: self.worker(ahead=120).run_one(),
            "cancel": lambda: self.cancel(record),
            "delete": lambda: self.images.delete(record.image_id, ME, revision=None),
            "sweep": lambda: self.sweeper.sweep(),
        }
        start.wait(10)
        time.sleep(random.random() * 0.004)
        try:
            return acts[name]()
        except GatewayError as refusal:
            return refusal

    def drain(self) -> None:
        """Let workers end every job, after each wait and claim."""
        ahead = 1000.0
        while self.worker(ahead).run_one():
            ahead += 1000
            assert ahead < 20_000

    def check(self, record: ImageRecord, answers: list[Any]) -> None:
        self.drain()
        self.sweeper.sweep()
        now = self.catalog.find(record.image_id)
        assert now is not None
        jobs = self.catalog.jobs.list(record.image_id, limit=9)
        assert not [job for job in jobs if job.is_active]
        there = {item.key.rpartition("/")[2]: item.size for item in self.store.list_objects("")}
        uploads = list(self.store.list_uploads(""))
        if now.state is ImageState.COMPLETE:
            assert there == {"disk.img": len(DATA)}, answers
            assert self.store.open(record.location.disk_key).body.read_all() == DATA
            assert [job.state for job in jobs] == [JobState.DONE]
            assert self.catalog.usage(OWNER) == Usage(1, len(DATA))
        else:
            assert now.state in (ImageState.FAILED, ImageState.DELETED), answers
            assert there == {}, answers
            assert uploads == []
            assert now.purged_at is not None
            assert self.catalog.usage(OWNER) == Usage(0, 0)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_record_usage_and_bucket_agree(
    catalog: Catalog, one: str, other: str, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_upload, "PART_SIZE", 256)
    with ThreadPoolExecutor(2) as pool:
        for number in range(rounds):
            gateway = Gateway(catalog, seed=number)
            record = gateway.begin()
            if "complete" not in (one, other):
                gateway.complete(record)
            start = threading.Barrier(2)
            futures = [pool.submit(gateway.act, name, record, start) for name in (one, other)]
            answers = [(name, future.result()) for name, future in zip((one, other), futures, strict=True)]
            gateway.check(record, answers)
            gateway.images.delete(record.image_id, ME, revision=None)
            assert gateway.catalog.usage(OWNER) == Usage(0, 0)
