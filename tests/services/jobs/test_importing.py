"""Imports that are interrupted, and files that change meanwhile: over a store in memory and a real server."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, BinaryIO

import pytest

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import ImageFormat, ImageRecord, ImageState, Quota, Usage
from image_gateway.domain.jobs import Job, JobKind, JobState, new_job
from image_gateway.errors import CatalogUnavailable
from image_gateway.fetching.url_rules import FetchRules
from image_gateway.services.jobs import importing, object_upload
from image_gateway.services.jobs.disk_writing import DiskRules
from image_gateway.services.jobs.importing import Importing
from image_gateway.services.jobs.worker import Worker
from image_gateway.services.purging import Purger
from tests.fetching.source_server import SourceServer, drip, running
from tests.support.memory_store import WatchedStore
from tests.support.records import FREE, IMAGE_ID, NOW, make_record

PART = 1000
OLD, NEW = b"a" * (5 * PART + 10), b"b" * (5 * PART + 20)
RULES = FetchRules(allow_http=True, allow_private=True, allowed_hosts=(), connect_seconds=5, stall_seconds=5)


class Imports:
    """One import, and workers that are stopped and started."""

    def __init__(self, catalog: Catalog, source: SourceServer) -> None:
        self.catalog, self.source, self.store = catalog, source, WatchedStore()
        self.now = NOW.timestamp()
        self.quota = Quota()
        self.lifetime = timedelta(minutes=1)
        self.job: Job | None = None

    def queue(
        self, path: str = "/disk.img", *, image_format: ImageFormat = ImageFormat.RAW, **params: Any
    ) -> None:
        plan = replace(make_record().plan, upload_id="", size=None)
        record = replace(make_record(), state=ImageState.PROCESSING, plan=plan, reserved_bytes=0)
        record = replace(record, format=image_format)
        self.job = new_job(IMAGE_ID, JobKind.IMPORT, NOW, url=self.source.url(path), **params)
        self.catalog.jobs.add_with_image(record, self.job, FREE)

    def work(self, stop_after: int | None = None, meanwhile: Callable[[], object] | None = None) -> Job:
        """Run the job once; the worker is told to stop when the store has so many parts of this run.

        `meanwhile` is called instead, if it is given.
        """
        rules = DiskRules(2**40, self.quota, "no-store", keep_sources=False, hashed_at_completion=0)
        clock = lambda: self.now  # noqa: E731
        handler = Importing(self.catalog, self.store, rules, RULES, clock).run  # type: ignore[arg-type]
        purger = Purger(self.catalog, self.store, clock)  # type: ignore[arg-type]
        worker = Worker(
            self.catalog.jobs,
            {JobKind.IMPORT: handler},
            clock,
            self.lifetime,
            clean_up=lambda job: purger.purge_if_ended(job.image_id),
        )
        before = len(self.store.sent)

        def stop() -> None:
            if stop_after is not None and len(self.store.sent) - before >= stop_after:
                (meanwhile or worker.stop)()

        self.store.after_part = stop
        self.now += 1000
        assert worker.run_one()
        assert self.job is not None
        found = self.catalog.jobs.find(self.job.job_id)
        assert found is not None
        return found

    @property
    def record(self) -> ImageRecord:
        found = self.catalog.find(IMAGE_ID)
        assert found is not None
        return found

    def stored(self) -> bytes:
        return self.store.open(self.record.location.disk_key).body.read_all()

    def uploads(self) -> list[str]:
        return [upload.upload_id for upload in self.store.list_uploads("")]


@pytest.fixture
def source() -> Iterator[SourceServer]:
    with running() as server:
        server.data = OLD
        yield server


@pytest.fixture
def imports(catalog: Catalog, source: SourceServer, monkeypatch: pytest.MonkeyPatch) -> Imports:
    monkeypatch.setattr(object_upload, "PART_SIZE", PART)
    monkeypatch.setattr(importing, "PART_SIZE_OF_UNKNOWN", PART)
    monkeypatch.setattr(importing, "PARTS_SENT_AT_ONCE", 1)
    return Imports(catalog, source)


def lose_end(imports: Imports, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a worker join the parts and lose the catalog before it has recorded it."""

    def finish(*_: object) -> bool:
        raise CatalogUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(imports.catalog.jobs, "finish_disk", finish)
        assert imports.work().state is JobState.QUEUED
    assert imports.uploads() == []


def test_an_interrupted_import_sends_no_part_again(imports: Imports) -> None:
    imports.queue(sha256=hashlib.sha256(OLD).hexdigest())
    assert imports.work(stop_after=2).state is JobState.QUEUED
    assert imports.work().state is JobState.DONE
    assert imports.stored() == OLD
    assert len(set(imports.store.sent)) == len(imports.store.sent) == 6


@pytest.mark.parametrize("validator", ["ETag", "Last-Modified", "none"])
def test_parts_of_two_versions_are_never_joined(imports: Imports, validator: str) -> None:
    if validator != "ETag":
        imports.source.etag = None
    if validator == "Last-Modified":
        imports.source.modified = "Sat, 28 Nov 2026 10:00:00 GMT"
    imports.queue()
    imports.work(stop_after=4)
    imports.source.data = NEW
    imports.source.etag = '"two"' if imports.source.etag else None
    imports.source.modified = "Sun, 29 Nov 2026 10:00:00 GMT" if imports.source.modified else None
    # Stopped again before all parts of the old version were replaced.
    imports.work(stop_after=1)
    assert imports.work().state is JobState.DONE
    assert imports.stored() == NEW


def test_a_worker_that_reads_an_old_version_writes_to_an_upload_of_its_own(imports: Imports) -> None:
    imports.queue()
    imports.work(stop_after=2)
    [old] = imports.uploads()
    imports.source.data, imports.source.etag = NEW, '"two"'
    imports.work(stop_after=2)
    [new] = imports.uploads()
    assert new != old
    assert imports.work().state is JobState.DONE
    assert imports.stored() == NEW
    assert imports.uploads() == []


@pytest.mark.parametrize("declared", [True, False])
def test_a_file_that_changed_after_its_parts_were_joined_is_kept(
    imports: Imports, monkeypatch: pytest.MonkeyPatch, declared: bool
) -> None:
    imports.queue(**({"sha256": hashlib.sha256(OLD).hexdigest()} if declared else {}))
    lose_end(imports, monkeypatch)
    imports.source.data, imports.source.etag = NEW, '"two"'
    assert imports.work().state is JobState.DONE
    assert imports.stored() == OLD


def test_the_hash_of_a_compressed_file_is_not_that_of_the_disk(
    imports: Imports, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports.source.data = gzip.compress(OLD)
    imports.queue("/disk.img.gz", sha256=hashlib.sha256(imports.source.data).hexdigest())
    lose_end(imports, monkeypatch)
    job = imports.work()
    assert (job.state, job.error_message) == (JobState.DONE, None)
    assert imports.stored() == OLD


@pytest.mark.parametrize("path", ["/disk.img", "/disk.img.gz"])
def test_a_disk_that_is_whole_needs_no_url_any_more(
    imports: Imports, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """As after a restore of a catalog that did not know of the disk."""
    imports.source.data = gzip.compress(OLD) if path.endswith(".gz") else OLD
    imports.queue(path, sha256=hashlib.sha256(imports.source.data).hexdigest())
    lose_end(imports, monkeypatch)
    before = len(imports.source.requests)
    assert imports.work().state is JobState.DONE
    assert imports.stored() == OLD
    assert len(imports.source.requests) == before


def test_no_quota_deletes_a_disk_that_is_whole(imports: Imports, monkeypatch: pytest.MonkeyPatch) -> None:
    imports.queue()
    lose_end(imports, monkeypatch)
    imports.quota = Quota(bytes_per_image=1)
    job = imports.work()
    assert (job.state, job.error_message) == (JobState.DONE, None)
    assert imports.stored() == OLD
    assert imports.catalog.usage("alice") == Usage(1, len(OLD))


def test_a_restored_import_whose_disk_was_converted_leaves_no_source(imports: Imports) -> None:
    imports.queue(image_format=ImageFormat.AUTO)
    location = imports.record.location
    for key, data in ((location.disk_key, NEW), (location.source_key, OLD)):
        imports.store.put(key, data, content_type="a/b", cache_control="no-store")
    assert imports.work().state is JobState.DONE
    assert imports.stored() == NEW
    assert [item.key for item in imports.store.list_objects("")] == [location.disk_key]


@pytest.mark.parametrize("path", ["/disk.img", "/disk.img.gz"])
def test_an_import_may_take_all_of_the_quota(imports: Imports, path: str) -> None:
    imports.source.data = gzip.compress(OLD) if path.endswith(".gz") else OLD
    imports.quota = Quota(bytes=len(OLD))
    imports.queue(path)
    imports.work(stop_after=2)
    job = imports.work()
    assert (job.state, job.error_message) == (JobState.DONE, None)
    assert imports.catalog.usage("alice") == Usage(1, len(OLD))


def test_a_file_of_unknown_size_counts_while_it_is_fetched(imports: Imports) -> None:
    imports.source.data = gzip.compress(OLD)
    imports.queue("/disk.img.gz")
    imports.work(stop_after=3)
    assert imports.catalog.usage("alice").bytes >= 2 * PART


def test_a_file_without_a_version_that_always_breaks_off_is_given_up(imports: Imports) -> None:
    """Opening the upload anew is no progress."""
    imports.source.etag = None
    imports.queue()
    runs = 0
    while True:
        imports.source.cuts.extend([PART // 2] * 5)
        runs += 1
        job = imports.work()
        if not job.is_active:
            break
        assert runs < 10
    assert (job.state, job.error_code) == (JobState.FAILED, "SOURCE_UNREACHABLE")
    assert runs == 3


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_a_worker_whose_image_ended_leaves_no_objects(imports: Imports, end: str) -> None:
    """The request that ended it purged what was there at that moment."""
    imports.queue()
    now = NOW

    def end_image() -> None:
        assert imports.job is not None
        if end == "delete":
            imports.catalog.delete(IMAGE_ID, now)
        imports.catalog.jobs.cancel(imports.job.job_id, now)

    assert imports.work(stop_after=6, meanwhile=end_image).state is JobState.CANCELLED
    assert imports.record.purged_at is not None
    assert (imports.uploads(), list(imports.store.list_objects(""))) == ([], [])
    assert imports.catalog.usage("alice") == Usage(0, 0)


def test_the_job_of_an_image_that_was_deleted_is_cancelled_at_once(imports: Imports) -> None:
    imports.queue()
    imports.catalog.delete(IMAGE_ID, NOW)
    assert imports.work().state is JobState.CANCELLED
    assert imports.record.purged_at is not None


def test_a_cancelled_import_from_a_slow_server_ends_within_a_part(
    imports: Imports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow server may take hours for one."""
    monkeypatch.setattr(object_upload, "PART_SIZE", 2**30)
    imports.queue()
    head = b'HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\nETag: "one"\r\n\r\n'
    dripped = drip(head, b"x")
    assert imports.job is not None
    job_id = imports.job.job_id

    def script(server: SourceServer, out: BinaryIO) -> None:
        imports.catalog.jobs.cancel(job_id, NOW)
        dripped(server, out)  # type: ignore[operator]

    imports.source.scripts.append(script)
    # A sixth of it passes until the worker sees that its claim is gone.
    imports.lifetime = timedelta(seconds=1)
    assert imports.work().state is JobState.CANCELLED
