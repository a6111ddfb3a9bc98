"""The catalog: compare-and-set, lists, and nothing lost by a restart."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import (
    LEGAL_TRANSITIONS,
    DiskFacts,
    ImageRecord,
    ImageState,
    ListQuery,
    Usage,
    Visibility,
    states_before,
)
from image_gateway.domain.jobs import JobKind, new_job
from tests.support.records import CHUNKED, DISK, FREE, IMAGE_ID, NOW, SOURCE, make_record

LATER = NOW + timedelta(hours=1)
FIRST, SECOND = "1" * 64, "2" * 64


def found(catalog: Catalog, image_id: str = IMAGE_ID) -> ImageRecord:
    record = catalog.find(image_id)
    assert record is not None
    return record


def test_a_record_survives_a_restart(catalog: Catalog, database_url: str) -> None:
    catalog.add(make_record(), FREE)
    assert catalog.complete(IMAGE_ID, "u1", DISK, LATER)
    engine = open_engine(database_url)
    reopened = found(Catalog(engine))
    engine.dispose()
    assert reopened == make_record(
        state=ImageState.COMPLETE, disk=DISK, revision=2, updated_at=LATER, reserved_bytes=DISK.size
    )
    assert reopened.disk is not None
    assert reopened.disk.last_modified.tzinfo is not None


def test_find_nothing(catalog: Catalog) -> None:
    assert catalog.find("b" * 36) is None


@pytest.mark.parametrize(("image_id", "upload_id"), [(IMAGE_ID, "u2"), ("b" * 36, "u1")])
def test_complete_needs_the_image_and_its_upload(catalog: Catalog, image_id: str, upload_id: str) -> None:
    catalog.add(make_record(), FREE)
    assert not catalog.complete(image_id, upload_id, DISK, LATER)
    assert found(catalog) == make_record()


def test_complete_happens_once_among_many(catalog: Catalog) -> None:
    catalog.add(make_record(), FREE)
    facts = [replace(DISK, size=size) for size in range(16)]

    def complete(disk: DiskFacts) -> bool:
        return catalog.complete(IMAGE_ID, "u1", disk, LATER)

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(complete, facts))
    assert won.count(True) == 1
    assert found(catalog).disk == facts[won.index(True)]


def test_a_hash_is_declared_once_while_the_upload_is_open(catalog: Catalog) -> None:
    catalog.add(make_record(), FREE)
    assert not catalog.declare_sha256(IMAGE_ID, "u2", FIRST, LATER)
    assert not catalog.declare_sha256("b" * 36, "u1", FIRST, LATER)
    assert found(catalog) == make_record()
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda _: catalog.declare_sha256(IMAGE_ID, "u1", FIRST, LATER), range(8)))
    assert won.count(True) == 1
    assert not catalog.declare_sha256(IMAGE_ID, "u1", SECOND, LATER)
    declared = replace(make_record().plan, sha256=FIRST)
    assert found(catalog) == make_record(plan=declared, revision=2, updated_at=LATER)


@pytest.mark.parametrize("state", [ImageState.COMPLETE, ImageState.PROCESSING, ImageState.FAILED])
def test_no_hash_is_declared_of_an_upload_that_has_ended(catalog: Catalog, state: ImageState) -> None:
    catalog.add(make_record(), FREE)
    assert move(catalog, state)
    assert not catalog.declare_sha256(IMAGE_ID, "u1", FIRST, LATER)
    assert found(catalog).plan.sha256 is None


@pytest.mark.parametrize("state", [ImageState.COMPLETE, ImageState.PROCESSING])
@pytest.mark.parametrize("declared", [None, FIRST])
def test_an_upload_ends_with_the_hash_that_was_checked(
    catalog: Catalog, state: ImageState, declared: str | None
) -> None:
    record = make_record()
    catalog.add(replace(record, plan=replace(record.plan, sha256=declared)), FREE)
    for checked in {None, FIRST, SECOND} - {declared}:
        assert not move(catalog, state, checked)
    assert found(catalog).state is ImageState.UPLOADING
    assert catalog.jobs.list(IMAGE_ID, limit=9) == []
    assert move(catalog, state, declared)


def move(catalog: Catalog, state: ImageState, sha256: str | None = None) -> bool:
    """Try to bring the image into a state."""
    if state is ImageState.COMPLETE:
        return catalog.complete(IMAGE_ID, "u1", DISK, LATER, sha256=sha256)
    if state is ImageState.PROCESSING:
        job = new_job(IMAGE_ID, JobKind.CONVERT, LATER)
        return catalog.jobs.begin_processing("u1", SOURCE, job, LATER, sha256=sha256)
    if state is ImageState.FAILED:
        return catalog.fail(IMAGE_ID, "u1", LATER)
    return catalog.delete(IMAGE_ID, LATER)


def end_job(catalog: Catalog, state: ImageState) -> bool:
    """Try to bring the image into a state by its job, as workers do."""
    job = catalog.jobs.claim("worker", LATER, timedelta(minutes=1))
    if job is None:
        return False
    if state is ImageState.COMPLETE:
        return catalog.jobs.finish_disk(job, "u1", DISK, LATER)
    return catalog.jobs.fail(job, LATER, "BAD_REQUEST", "no disk")


@pytest.mark.parametrize("before", list(ImageState))
@pytest.mark.parametrize("after", [state for state in ImageState if state is not ImageState.UPLOADING])
def test_only_legal_transitions_happen(catalog: Catalog, before: ImageState, after: ImageState) -> None:
    catalog.add(make_record(), FREE)
    if before is not ImageState.UPLOADING:
        assert move(catalog, before)
    legal = after in LEGAL_TRANSITIONS[before]
    by_job = before is ImageState.PROCESSING and after in (ImageState.COMPLETE, ImageState.FAILED)
    assert (end_job if by_job else move)(catalog, after) == legal
    assert found(catalog).state is (after if legal else before)


def test_nothing_leads_back_to_uploading() -> None:
    assert states_before(ImageState.UPLOADING) == []
    assert LEGAL_TRANSITIONS.keys() == set(ImageState)


def test_the_first_chunk_size_holds(catalog: Catalog) -> None:
    catalog.add(make_record(), FREE)
    assert catalog.claim_chunk_size(IMAGE_ID, 1024) is None
    catalog.complete(IMAGE_ID, "u1", DISK, LATER)
    assert catalog.claim_chunk_size(IMAGE_ID, 1024) == 1024
    assert catalog.claim_chunk_size(IMAGE_ID, 2048) == 1024
    assert not catalog.publish(IMAGE_ID, replace(CHUNKED, chunk_size=2048), LATER)
    assert found(catalog).chunked is None
    assert catalog.publish(IMAGE_ID, CHUNKED, LATER)
    assert found(catalog).chunked == CHUNKED


def test_a_date_without_a_zone_is_refused(catalog: Catalog) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    with pytest.raises(Exception, match="naive datetime"):
        catalog.add(make_record(created_at=naive), FREE)
    assert catalog.usage("alice") == Usage(0, 0)


def test_describe_is_tied_to_a_revision(catalog: Catalog) -> None:
    catalog.add(make_record(), FREE)
    assert catalog.describe(IMAGE_ID, name="a", visibility=None, revision=1, now=LATER)
    assert not catalog.describe(IMAGE_ID, name="b", visibility=None, revision=1, now=LATER)
    assert catalog.describe(IMAGE_ID, name=None, visibility=Visibility.PUBLIC, revision=None, now=LATER)
    record = found(catalog)
    assert (record.name, record.visibility, record.revision) == ("a", Visibility.PUBLIC, 3)
    catalog.delete(IMAGE_ID, LATER)
    assert not catalog.describe(IMAGE_ID, name="c", visibility=None, revision=None, now=LATER)


def fill(catalog: Catalog, count: int) -> list[str]:
    """Add images, pairs of them at the same moment; returns their ids, newest first."""
    ids = [f"00000000-0000-4000-8000-{number:012d}" for number in range(count)]
    for number, image_id in enumerate(ids):
        created = NOW + timedelta(seconds=number // 2)
        catalog.add(make_record(image_id, created_at=created, name=f"Disk {number}%"), FREE)
    return ids[::-1]


def test_pages_follow_each_other_without_gap_or_repeat(catalog: Catalog) -> None:
    expected = fill(catalog, 11)
    catalog.add(make_record("f" * 36, owner="mallory"), FREE)
    seen: list[str] = []
    after = None
    while page := catalog.list(ListQuery("alice", 3, after=after)):
        seen += [record.image_id for record in page]
        after = (page[-1].created_at, page[-1].image_id)
    assert seen == expected


def test_lists_are_filtered(catalog: Catalog) -> None:
    newest, second, third, *_ = fill(catalog, 11)
    catalog.complete(second, "u1", DISK, LATER)
    catalog.delete(third, LATER)
    listed = [record.image_id for record in catalog.list(ListQuery("alice", 100))]
    assert len(listed) == 10
    assert third not in listed
    for state, expected in [(ImageState.COMPLETE, [second]), (ImageState.DELETED, [third])]:
        assert [record.image_id for record in catalog.list(ListQuery("alice", 9, state))] == expected
    for name, expected_ids in [("DISK 10", [newest]), ("0%", [newest]), ("_", []), ("%%", [])]:
        page = catalog.list(ListQuery("alice", 9, name=name))
        assert [record.image_id for record in page if record.image_id in (newest, second)] == expected_ids
