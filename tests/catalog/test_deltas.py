"""Deltas in the catalog: the row is the fence, a key makes one commit, and owners' bytes are counted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from image_gateway.catalog.deltas import DeltaRepository
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.deltas import CommitKind, DeltaState, Parent
from image_gateway.domain.images import ImageState, Quota, Usage
from image_gateway.errors import QuotaExceeded
from tests.support.delta_records import DELTA, DELTA_ID, add_delta, add_image, make_commit
from tests.support.records import FREE, IMAGE_ID, NOW, make_record

SECOND, THIRD = DELTA_ID[:-1] + "2", DELTA_ID[:-1] + "3"
LATER = NOW + timedelta(seconds=5)


@pytest.fixture
def book(catalog: Catalog) -> DeltaRepository:
    add_image(catalog)
    return catalog.deltas


def test_what_is_kept_comes_back(book: DeltaRepository) -> None:
    assert book.add(DELTA, FREE)
    assert book.find(DELTA_ID) == DELTA
    fork = replace(
        DELTA,
        delta_id=SECOND,
        parent=Parent(DELTA_ID, 0),
        checkpoint="c.map",
        checkpoint_size=9,
        stored_bytes=9,
        live_bytes=4096,
    )
    assert book.add(fork, FREE)
    assert book.find(SECOND) == fork
    assert book.find("unknown") is None


@pytest.mark.parametrize(
    "changes",
    [{"image_id": "unknown"}, {"version": "another"}, {"parent": Parent("unknown", 0)}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_delta_needs_its_image_and_its_parent(
    book: DeltaRepository, catalog: Catalog, changes: dict[str, object]
) -> None:
    assert not book.add(replace(DELTA, stored_bytes=9, **changes), FREE)  # type: ignore[arg-type]
    assert book.find(DELTA_ID) is None
    assert catalog.usage("alice") == Usage(1, 0)


def test_an_open_upload_has_no_deltas_and_a_deleted_delta_no_forks(
    book: DeltaRepository, catalog: Catalog
) -> None:
    upload = IMAGE_ID[:-1] + "2"
    catalog.add(make_record(upload), FREE)
    assert not book.add(replace(DELTA, image_id=upload), FREE)
    add_delta(catalog)
    assert book.delete(DELTA_ID, NOW)
    assert not book.add(replace(DELTA, delta_id=SECOND, parent=Parent(DELTA_ID, 0)), FREE)


def test_an_image_with_deltas_is_not_deleted(book: DeltaRepository, catalog: Catalog) -> None:
    add_delta(catalog)
    assert [delta.delta_id for delta in book.find_active(IMAGE_ID, limit=9)] == [DELTA_ID]
    assert not catalog.delete(IMAGE_ID, NOW)
    book.delete(DELTA_ID, NOW)
    assert book.find_active(IMAGE_ID, limit=9) == []
    assert catalog.delete(IMAGE_ID, NOW)
    assert not book.add(replace(DELTA, delta_id=SECOND), FREE)


def test_of_a_delta_and_the_deletion_of_its_image_one_happens(catalog: Catalog) -> None:
    for number in range(20):
        image_id = f"{IMAGE_ID[:-2]}{number:02}"
        add_image(catalog, image_id)
        delta = replace(DELTA, delta_id=f"{DELTA_ID[:-2]}{number:02}", image_id=image_id)
        with ThreadPoolExecutor(2) as pool:
            added = pool.submit(catalog.deltas.add, delta, FREE)
            deleted = pool.submit(catalog.delete, image_id, NOW)
        assert added.result() != deleted.result()
        found = catalog.find(image_id)
        assert found is not None
        assert (found.state is ImageState.COMPLETE) == added.result()


def test_a_commit_is_the_next_generation(book: DeltaRepository, catalog: Catalog) -> None:
    delta = add_delta(catalog)
    first = make_commit(1, created_at=LATER)
    assert book.commit(delta, first, FREE)
    stored = replace(delta, stored_bytes=100, live_bytes=first.data_bytes, recent_extents=first.extents)
    assert book.find(DELTA_ID) == replace(stored, generation=1, updated_at=LATER)
    assert book.find_commit(DELTA_ID, first.idempotency_key) == first
    assert book.find_commits(DELTA_ID, after=0, upto=9) == [first]
    assert catalog.usage("alice") == Usage(1, 100)


@pytest.mark.parametrize(
    "refused",
    [
        make_commit(1, idempotency_key="b"),
        make_commit(3, idempotency_key="b"),
        make_commit(2, idempotency_key="a"),
        make_commit(2, epoch=1, idempotency_key="b"),
    ],
    ids=["again", "ahead", "same key", "another epoch"],
)
def test_another_commit_changes_nothing(book: DeltaRepository, catalog: Catalog, refused: object) -> None:
    delta = add_delta(catalog)
    first = make_commit(1, idempotency_key="a")
    assert book.commit(delta, first, FREE)
    before = book.find(DELTA_ID)
    assert not book.commit(delta, refused, FREE)  # type: ignore[arg-type]
    assert book.find(DELTA_ID) == before
    assert book.find_commits(DELTA_ID, after=0, upto=9) == [first]
    assert catalog.usage("alice") == Usage(1, 100)


def test_a_key_counts_for_one_delta(book: DeltaRepository, catalog: Catalog) -> None:
    one, other = add_delta(catalog), add_delta(catalog, delta_id=SECOND)
    assert book.commit(one, make_commit(1, idempotency_key="a"), FREE)
    assert book.commit(other, make_commit(1, idempotency_key="a"), FREE)
    assert book.find_commit(THIRD, "a") is None


def test_a_session_fences_those_before_it(book: DeltaRepository, catalog: Catalog) -> None:
    delta = add_delta(catalog)
    opened = [book.begin_session(DELTA_ID, LATER) for _ in range(2)]
    assert [found.epoch for found in opened if found] == [1, 2]
    assert not book.commit(delta, make_commit(1, epoch=1), FREE)
    assert book.commit(delta, make_commit(1, epoch=2), FREE)
    assert book.begin_session("unknown", NOW) is None


def test_of_many_writers_one_makes_each_generation(book: DeltaRepository, catalog: Catalog) -> None:
    delta = add_delta(catalog)
    with ThreadPoolExecutor(8) as pool:
        for generation in range(1, 21):
            commits = [make_commit(generation) for _ in range(4)]
            made = list(pool.map(lambda commit: book.commit(delta, commit, FREE), commits))
            assert made.count(True) == 1
            recorded = book.find_commits(DELTA_ID, after=generation - 1, upto=generation)
            assert recorded == [commits[made.index(True)]]
    assert catalog.usage("alice") == Usage(1, 2000)


def test_of_a_session_and_the_commit_of_an_older_one_the_order_is_clear(
    book: DeltaRepository, catalog: Catalog
) -> None:
    """After the session's answer no commit of the older epoch is recorded; the session sees those before."""
    for number in range(20):
        delta = add_delta(catalog, delta_id=f"{DELTA_ID[:-2]}{number:02}")
        with ThreadPoolExecutor(2) as pool:
            committed = pool.submit(book.commit, delta, make_commit(1), FREE)
            opened = pool.submit(book.begin_session, delta.delta_id, NOW)
        session = opened.result()
        assert session is not None
        assert session.generation == (1 if committed.result() else 0)


def test_a_quota_refuses_and_changes_nothing(book: DeltaRepository, catalog: Catalog) -> None:
    delta = add_delta(catalog)
    assert book.commit(delta, make_commit(1), Quota(bytes=150))
    with pytest.raises(QuotaExceeded, match="at most 150 bytes are allowed, 100 are in use and 100 more"):
        book.commit(delta, make_commit(2), Quota(bytes=150))
    found = book.find(DELTA_ID)
    assert found is not None
    assert (found.generation, found.stored_bytes) == (1, 100)
    assert len(book.find_commits(DELTA_ID, after=0, upto=9)) == 1
    with pytest.raises(QuotaExceeded):
        book.add(replace(DELTA, delta_id=SECOND, stored_bytes=51), Quota(bytes=150))
    assert book.find(SECOND) is None


def test_a_deleted_delta_is_counted_no_more(book: DeltaRepository, catalog: Catalog) -> None:
    delta = add_delta(catalog)
    book.commit(delta, make_commit(1), FREE)
    assert not book.delete(DELTA_ID, LATER, generation=0)
    assert book.delete(DELTA_ID, LATER, generation=1)
    assert not book.delete(DELTA_ID, LATER)
    assert catalog.usage("alice") == Usage(1, 0)
    found = book.find(DELTA_ID)
    assert found is not None
    assert (found.state, found.stored_bytes) == (DeltaState.DELETED, 0)
    assert not book.commit(delta, make_commit(2), FREE)
    assert not book.rename(DELTA_ID, "x", NOW, generation=None)
    assert book.begin_session(DELTA_ID, NOW) is None


def test_a_new_name(book: DeltaRepository, catalog: Catalog) -> None:
    add_delta(catalog)
    assert not book.rename(DELTA_ID, "x", LATER, generation=1)
    assert book.rename(DELTA_ID, "x", LATER, generation=0)
    assert book.find(DELTA_ID) == replace(DELTA, name="x", updated_at=LATER)


def test_lists_are_of_one_owner_newest_first_in_pages(book: DeltaRepository, catalog: Catalog) -> None:
    other = IMAGE_ID[:-1] + "2"
    add_image(catalog, other)
    ids = [f"{DELTA_ID[:-2]}{number:02}" for number in range(6)]
    for number, delta_id in enumerate(ids):
        image_id = other if number == 1 else IMAGE_ID
        # Two of each moment.
        add_delta(
            catalog, delta_id=delta_id, image_id=image_id, created_at=NOW + timedelta(seconds=number // 2)
        )
    add_delta(catalog, delta_id=SECOND, owner="bob")
    book.delete(ids[4], NOW)
    left = [ids[number] for number in (5, 3, 2, 1, 0)]
    assert [delta.delta_id for delta in book.list("alice", limit=9)] == left
    seen, after = [], None
    while page := book.list("alice", limit=2, after=after):
        seen += [delta.delta_id for delta in page]
        after = page[-1].created_at, page[-1].delta_id
    assert seen == left
    assert [delta.delta_id for delta in book.list("alice", limit=9, image_id=other)] == [ids[1]]


def test_the_log_is_newest_first(book: DeltaRepository, catalog: Catalog) -> None:
    delta = add_delta(catalog)
    commits = [make_commit(number, kind=CommitKind.COMMIT) for number in range(1, 6)]
    for commit in commits:
        assert book.commit(delta, commit, FREE)
    assert book.log(DELTA_ID, before=None, limit=2) == commits[:2:-1]
    assert book.log(DELTA_ID, before=4, limit=9) == commits[2::-1]
    assert book.find_commits(DELTA_ID, after=1, upto=3) == commits[1:3]
