"""Tests of deltas whose catalog was restored from a backup."""

from __future__ import annotations

import time

import pytest

from image_gateway.errors import Fenced
from image_gateway.protocol.deltas.segment import Extent
from image_gateway.services.deltas.restoring import DeltaFindings, DeltaRestoring
from tests.support.delta_world import DeltaWorld, make_services
from tests.support.delta_writing import OWNER, make_request, read_disk

BLOCK = 512


def restore(delta_world: DeltaWorld, *, dry_run: bool = False) -> DeltaFindings:
    world = delta_world.world
    return DeltaRestoring(world.catalog, world.store, time.time).run(dry_run=dry_run)


def lose_commits(delta_world: DeltaWorld, delta_id: str, generation: int) -> None:
    """Set the catalog back to an older generation, as a backup would."""
    with delta_world.world.catalog.deltas._transactions.writing() as connection:
        lost = f"delta_id = '{delta_id}' AND generation > {generation}"
        size = connection.exec_driver_sql(f"SELECT SUM(size) FROM delta_commits WHERE {lost}").scalar()
        connection.exec_driver_sql(f"DELETE FROM delta_commits WHERE {lost}")
        connection.exec_driver_sql(
            f"UPDATE deltas SET generation = {generation}, stored_bytes = stored_bytes - {size} WHERE {lost}"
        )


def test_nothing_is_found_where_nothing_is_lost(delta_world: DeltaWorld) -> None:
    guest = delta_world.guest()
    guest.write(1, b"x" * BLOCK)
    assert restore(delta_world) == DeltaFindings()


def test_lost_generations_are_never_used_again(delta_world: DeltaWorld) -> None:
    guest = delta_world.guest()
    guest.write(1, b"a" * BLOCK)
    kept = bytes(guest.disk)
    for number in range(4):
        guest.write(number, b"lost" * (BLOCK // 4))
    lose_commits(delta_world, guest.delta_id, 1)
    assert restore(delta_world, dry_run=True).advanced == [guest.delta_id]
    assert guest.row.generation == 1
    assert restore(delta_world) == DeltaFindings(advanced=[guest.delta_id])
    assert (guest.row.generation, guest.row.reset_generation) == (6, 6)
    fresh = make_services(delta_world.world)
    assert read_disk(delta_world.world, fresh, guest.delta_id, delta_world.base) == kept
    with pytest.raises(Fenced):
        guest.send(make_request(BLOCK, 6, [Extent(1, 1, b"x" * BLOCK)]))
    assert restore(delta_world) == DeltaFindings()


def test_missing_objects_are_reported(delta_world: DeltaWorld, damaged_store: None) -> None:
    world = delta_world.world
    segment, checkpoint, whole = (delta_world.guest() for _ in range(3))
    for guest in (segment, checkpoint, whole):
        guest.write(1, b"x" * BLOCK)
    record = world.catalog.find(delta_world.image_id)
    assert record is not None
    (commit,) = world.catalog.deltas.find_commits(segment.delta_id, after=0, upto=1)
    world.store.delete(record.location.delta_key(segment.delta_id, commit.name))
    kept = delta_world.services.history.snapshot(checkpoint.delta_id, OWNER, "kept", None)
    world.store.delete(record.location.delta_key(checkpoint.delta_id, kept.checkpoint))
    unknown = "00000000-0000-4000-8000-000000000000"
    key = record.location.delta_key(unknown, "00000001-000000000001-0000000000000000.seg")
    world.store.put(key, b"x", content_type="application/octet-stream", cache_control="no-store")
    found = restore(delta_world)
    assert sorted(found.damaged) == sorted([segment.delta_id, checkpoint.delta_id])
    assert (found.advanced, found.unknown) == ([], [unknown])
