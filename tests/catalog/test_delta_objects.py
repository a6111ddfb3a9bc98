"""Checkpoints, snapshots and retired objects of deltas in the catalog, and what is counted of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from image_gateway.catalog.delta_objects import DeltaObjectRepository
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.deltas import CommitKind, Delta
from image_gateway.domain.images import Quota, Usage
from image_gateway.errors import QuotaExceeded
from tests.support.delta_records import (
    DELTA_ID,
    add_delta,
    add_image,
    make_commit,
    make_snapshot,
    named,
)
from tests.support.records import FREE, IMAGE_ID, NOW

OTHER = DELTA_ID[:-1] + "2"
LATER = NOW + timedelta(seconds=5)


@pytest.fixture
def delta(catalog: Catalog) -> Delta:
    """A delta with three commits of 100 bytes."""
    add_image(catalog)
    delta = add_delta(catalog)
    for generation in (1, 2, 3):
        assert catalog.deltas.commit(delta, make_commit(generation), FREE)
    return found(catalog)


@pytest.fixture
def book(catalog: Catalog) -> DeltaObjectRepository:
    return catalog.delta_objects


def found(catalog: Catalog, delta_id: str = DELTA_ID) -> Delta:
    delta = catalog.deltas.find(delta_id)
    assert delta is not None
    return delta


def test_a_checkpoint_replaces_the_one_before(
    book: DeltaObjectRepository, catalog: Catalog, delta: Delta
) -> None:
    assert book.set_checkpoint(delta, 2, named("a.map"), 4096, [named("1.seg", 100)], NOW)
    expected = replace(
        delta,
        checkpoint="a.map",
        checkpoint_generation=2,
        checkpoint_size=50,
        recent_extents=0,
        live_bytes=4096,
        stored_bytes=350,
    )
    assert found(catalog) == expected
    written = [named("merged.seg", 30)]
    assert book.set_checkpoint(expected, 3, named("b.map"), 9, [named("a.map")], LATER, written=written)
    assert (found(catalog).checkpoint, found(catalog).stored_bytes) == ("b.map", 430)
    assert book.retired_objects(DELTA_ID) == {"1.seg": NOW, "a.map": LATER}
    assert catalog.usage("alice") == Usage(1, 430)


def test_a_checkpoint_in_place_of_another_one_is_refused(
    book: DeltaObjectRepository, catalog: Catalog, delta: Delta
) -> None:
    assert book.set_checkpoint(delta, 3, named("a.map"), 0, [], NOW)
    before = found(catalog)
    assert not book.set_checkpoint(delta, 3, named("b.map"), 0, [named("1.seg")], NOW)
    assert not book.set_checkpoint(before, 4, named("b.map"), 0, [named("1.seg")], NOW)
    assert found(catalog) == before
    assert book.retired_objects(DELTA_ID) == {}
    catalog.deltas.delete(DELTA_ID, NOW)
    assert not book.set_checkpoint(before, 3, named("b.map"), 0, [], NOW)
    assert catalog.usage("alice") == Usage(1, 0)


def test_of_many_checkpoints_one_is_recorded(
    book: DeltaObjectRepository, catalog: Catalog, delta: Delta
) -> None:
    with ThreadPoolExecutor(8) as pool:
        names = [f"{number}.map" for number in range(8)]
        made = list(
            pool.map(lambda name: book.set_checkpoint(delta, 3, named(name), 0, [named("1.seg")], NOW), names)
        )
    assert made.count(True) == 1
    assert found(catalog).checkpoint == names[made.index(True)]
    assert catalog.usage("alice") == Usage(1, 350)


def test_commits_meanwhile_do_not_disturb_a_checkpoint(
    book: DeltaObjectRepository, catalog: Catalog, delta: Delta
) -> None:
    assert catalog.deltas.commit(delta, make_commit(4), FREE)
    assert book.set_checkpoint(delta, 3, named("a.map"), 0, [], NOW)
    assert (found(catalog).generation, found(catalog).checkpoint_generation) == (4, 3)


def test_a_reset_is_a_generation_in_a_new_epoch(
    book: DeltaObjectRepository, catalog: Catalog, delta: Delta
) -> None:
    reset = make_commit(4, epoch=1, kind=CommitKind.RESET, created_at=LATER)
    assert book.reset(delta, reset, named("r.map"), 9, [named("1.seg")], FREE)
    now = found(catalog)
    assert (now.generation, now.epoch, now.checkpoint, now.reset_generation) == (4, 1, "r.map", 4)
    assert (now.checkpoint_generation, now.live_bytes, now.stored_bytes) == (4, 9, 350)
    assert book.retired_objects(DELTA_ID) == {"1.seg": LATER}
    assert not catalog.deltas.commit(delta, make_commit(5), FREE)
    assert catalog.deltas.commit(delta, make_commit(5, epoch=1), FREE)
    # The delta is at another generation now.
    assert not book.reset(delta, make_commit(4, epoch=1), named("s.map"), 9, [], FREE)
    with pytest.raises(QuotaExceeded):
        book.reset(found(catalog), make_commit(6, epoch=2), named("s.map"), 9, [], Quota(bytes=460))
    assert found(catalog).generation == 5


def test_a_snapshot_is_counted_until_its_object_is_gone(
    book: DeltaObjectRepository, catalog: Catalog, delta: Delta
) -> None:
    first, second = make_snapshot(), make_snapshot(snapshot_id="s2", checkpoint="s2.map", created_at=LATER)
    for snapshot in (second, first):
        assert book.add_snapshot(delta, snapshot, FREE)
    assert book.snapshots(DELTA_ID) == [first, second]
    assert catalog.usage("alice") == Usage(1, 314)
    with pytest.raises(QuotaExceeded):
        book.add_snapshot(delta, make_snapshot(snapshot_id="s3"), Quota(bytes=320))
    assert book.delete_snapshot(first, LATER)
    assert not book.delete_snapshot(first, LATER)
    assert book.snapshots(DELTA_ID) == [second]
    assert book.retired_objects(DELTA_ID) == {"s1.map": LATER}
    assert found(catalog).stored_bytes == 314
    book.forget_objects(delta, ["s1.map", "unknown"])
    assert (found(catalog).stored_bytes, catalog.usage("alice")) == (307, Usage(1, 307))
    catalog.deltas.delete(DELTA_ID, NOW)
    assert not book.add_snapshot(delta, first, FREE)


def test_objects_are_forgotten_once(book: DeltaObjectRepository, catalog: Catalog, delta: Delta) -> None:
    retired = [named(f"{number}.seg", 10) for number in range(8)]
    assert book.set_checkpoint(delta, 3, named("a.map"), 0, retired, NOW)
    names = [item.name for item in retired]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: book.forget_objects(delta, names), range(4)))
    assert (found(catalog).stored_bytes, catalog.usage("alice")) == (270, Usage(1, 270))


def test_the_objects_of_a_deleted_delta_are_not_counted_again(
    book: DeltaObjectRepository, catalog: Catalog, delta: Delta
) -> None:
    assert book.set_checkpoint(delta, 3, named("a.map"), 0, [named("1.seg", 100)], NOW)
    catalog.deltas.delete(DELTA_ID, NOW)
    book.forget_objects(delta, ["1.seg"])
    assert (found(catalog).stored_bytes, catalog.usage("alice")) == (0, Usage(1, 0))


def test_the_end_of_a_snapshot_dates_retired_objects_of_its_image_anew(
    book: DeltaObjectRepository, catalog: Catalog, delta: Delta
) -> None:
    image_id = IMAGE_ID[:-1] + "2"
    add_image(catalog, image_id)
    other = add_delta(catalog, delta_id=OTHER, image_id=image_id)
    for each in (delta, other):
        retired = [named("old.seg", delta_id=each.delta_id)]
        assert book.set_checkpoint(each, 0, named("a.map"), 0, retired, NOW)
    snapshot = make_snapshot()
    assert book.add_snapshot(delta, snapshot, FREE)
    assert book.delete_snapshot(snapshot, LATER)
    assert [book.retired_objects(each) for each in (DELTA_ID, OTHER)] == [
        {"old.seg": LATER, "s1.map": LATER},
        {"old.seg": NOW},
    ]


def test_what_may_have_objects(book: DeltaObjectRepository, catalog: Catalog, delta: Delta) -> None:
    image_id = IMAGE_ID[:-1] + "2"
    add_image(catalog, image_id)
    add_delta(catalog, delta_id=OTHER, image_id=image_id)
    assert book.images_with_deltas(after="", limit=9) == [IMAGE_ID, image_id]
    assert book.images_with_deltas(after=IMAGE_ID, limit=9) == [image_id]
    assert book.images_with_deltas(after="", limit=1) == [IMAGE_ID]
    book.mark_purged(DELTA_ID, NOW)
    assert found(catalog).purged_at is None
    catalog.deltas.delete(DELTA_ID, NOW)
    assert [each.delta_id for each in book.deltas_of(IMAGE_ID)] == [DELTA_ID]
    book.add_snapshot(delta, make_snapshot(), FREE)
    book.mark_purged(DELTA_ID, LATER)
    assert found(catalog).purged_at == LATER
    assert book.deltas_of(IMAGE_ID) == []
    assert book.images_with_deltas(after="", limit=9) == [image_id]
    assert (book.snapshots(DELTA_ID), book.retired_objects(DELTA_ID)) == ([], {})
    assert catalog.deltas.log(DELTA_ID, before=None, limit=9) == []


def test_only_commits_that_a_checkpoint_has_are_forgotten(
    book: DeltaObjectRepository, catalog: Catalog, delta: Delta
) -> None:
    def generations() -> list[int]:
        return [commit.generation for commit in catalog.deltas.find_commits(DELTA_ID, after=0, upto=9)]

    assert book.forget_commits(LATER, limit=9) == 0
    assert book.set_checkpoint(delta, 2, named("a.map"), 0, [], NOW)
    assert book.forget_commits(NOW, limit=9) == 0
    assert book.forget_commits(LATER, limit=1) == 1
    assert book.forget_commits(LATER, limit=9) == 1
    assert generations() == [3]
    at_third = found(catalog)
    reset = make_commit(4, epoch=1, kind=CommitKind.RESET)
    assert book.reset(at_third, reset, named("r.map"), 0, [], FREE)
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: book.forget_commits(LATER, limit=9), range(4))) == 2
    assert generations() == []
