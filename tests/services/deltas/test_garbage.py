"""Tests of the sweep of deltas: what is needed stays, everything else goes after an hour."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from image_gateway.domain.deltas import COMMITS_PER_CHECKPOINT
from image_gateway.errors import StoreUnavailable
from image_gateway.services.sweep_report import SweepReport
from tests.support.delta_equation import sweep_later
from tests.support.delta_world import DeltaWorld, make_services
from tests.support.delta_writing import OWNER, Guest, read_disk

BLOCK = 512
HOUR = 3600


def sweep(delta_world: DeltaWorld, clock: Callable[[], float], *, dry_run: bool = False) -> SweepReport:
    return sweep_later(delta_world.world.catalog, delta_world.world.store, clock, dry_run=dry_run)


def count(delta_world: DeltaWorld) -> int:
    record = delta_world.world.catalog.find(delta_world.image_id)
    assert record is not None
    return len(list(delta_world.world.store.list_objects(record.location.deltas_prefix)))


def overwrite(guest: Guest, commits: int = COMMITS_PER_CHECKPOINT + 1) -> None:
    """Commit one block again and again, until a checkpoint retires all but one of the segments."""
    for number in range(commits):
        guest.write(1, bytes([number + 1]) * BLOCK)


def read(delta_world: DeltaWorld, delta_id: str, generation: int | None = None) -> bytes:
    fresh = make_services(delta_world.world)
    return read_disk(delta_world.world, fresh, delta_id, delta_world.base, generation)


def test_what_a_checkpoint_retires_goes_after_an_hour(delta_world: DeltaWorld) -> None:
    guest = delta_world.guest()
    overwrite(guest)
    before, used = count(delta_world), delta_world.world.catalog.usage("alice").bytes
    assert before == COMMITS_PER_CHECKPOINT + 2
    assert sweep(delta_world, lambda: time.time() + HOUR - 60) == SweepReport()
    dry = sweep(delta_world, lambda: time.time() + HOUR + 60, dry_run=True)
    assert (dry.deleted_delta_objects, count(delta_world)) == (COMMITS_PER_CHECKPOINT - 1, before)
    report = sweep(delta_world, lambda: time.time() + HOUR + 60)
    assert report == dry
    assert count(delta_world) == 3
    assert delta_world.world.catalog.usage("alice").bytes == used - report.deleted_delta_bytes
    assert read(delta_world, guest.delta_id) == guest.disk


def test_what_a_fork_needs_of_a_deleted_delta_is_counted(delta_world: DeltaWorld) -> None:
    catalog, services = delta_world.world.catalog, delta_world.services
    free, guest = catalog.usage("alice").bytes, delta_world.guest()
    guest.write(7, b"k" * 8 * BLOCK)
    fork = services.deltas.fork(guest.delta_id, OWNER, generation=None, name="fork")
    used = catalog.usage("alice").bytes
    services.deltas.delete(guest.delta_id, OWNER, generation=None)
    sweep_later(catalog, delta_world.world.store)
    assert catalog.usage("alice").bytes == used
    services.deltas.delete(fork.delta_id, OWNER, generation=None)
    sweep_later(catalog, delta_world.world.store)
    assert (catalog.usage("alice").bytes, count(delta_world)) == (free, 0)


def test_snapshots_and_forks_keep_what_they_need(delta_world: DeltaWorld) -> None:
    guest, services = delta_world.guest(), delta_world.services
    guest.write(7, b"k" * BLOCK)
    kept = services.history.snapshot(guest.delta_id, OWNER, "kept", None)
    old = bytes(guest.disk)
    guest.write(7, b"f" * BLOCK)
    fork = services.deltas.fork(guest.delta_id, OWNER, generation=None, name="fork")
    forked = bytes(guest.disk)
    guest.write(7, b"n" * BLOCK)
    overwrite(guest)
    sweep_later(delta_world.world.catalog, delta_world.world.store)
    assert read(delta_world, guest.delta_id, kept.generation) == old
    assert read(delta_world, fork.delta_id) == forked
    services.deltas.delete(guest.delta_id, OWNER, generation=None)
    assert sweep_later(delta_world.world.catalog, delta_world.world.store).purged_deltas == 0
    assert read(delta_world, fork.delta_id) == forked
    services.deltas.delete(fork.delta_id, OWNER, generation=None)
    assert sweep_later(delta_world.world.catalog, delta_world.world.store).purged_deltas == 2
    assert count(delta_world) == 0


def test_what_a_deleted_snapshot_kept_goes_an_hour_after_its_end(delta_world: DeltaWorld) -> None:
    guest, services = delta_world.guest(), delta_world.services
    guest.write(7, b"k" * BLOCK)
    kept = services.history.snapshot(guest.delta_id, OWNER, "kept", None)
    overwrite(guest)
    world = delta_world.world
    sweep_later(world.catalog, world.store)
    left = count(delta_world)
    deleted_at = time.time() + 2 * HOUR
    later = make_services(world, clock=lambda: deleted_at)
    later.history.delete_snapshot(guest.delta_id, OWNER, kept.snapshot_id)
    sweep(delta_world, lambda: deleted_at + HOUR - 60)
    assert count(delta_world) == left
    sweep(delta_world, lambda: deleted_at + HOUR + 60)
    # The snapshot's checkpoint. Block 7 still needs its segment.
    assert count(delta_world) == left - 1


def test_what_no_row_names_goes_by_its_own_age(delta_world: DeltaWorld) -> None:
    guest, world = delta_world.guest(), delta_world.world
    guest.write(1, b"x" * BLOCK)
    record = world.catalog.find(delta_world.image_id)
    assert record is not None
    for delta_id in (guest.delta_id, "00000000-0000-4000-8000-000000000000"):
        key = record.location.delta_key(delta_id, "00000001-000000000002-00.seg")
        world.store.put(key, b"x", content_type="application/octet-stream", cache_control="no-store")
    assert sweep(delta_world, lambda: time.time() + HOUR - 60) == SweepReport()
    assert sweep(delta_world, lambda: time.time() + HOUR + 60).deleted_delta_objects == 2
    assert count(delta_world) == 1


def test_what_is_older_than_a_restore_is_kept(delta_world: DeltaWorld, damaged_store: None) -> None:
    guest, world = delta_world.guest(), delta_world.world
    record = world.catalog.find(delta_world.image_id)
    assert record is not None
    key = record.location.delta_key(guest.delta_id, "00000001-000000000001-00.seg")
    world.store.put(key, b"x", content_type="application/octet-stream", cache_control="no-store")
    lost = make_services(world).deltas.create(delta_world.image_id, OWNER, block_size=None, name=None)
    make_services(world).deltas.delete(lost.delta_id, OWNER, generation=None)
    world.catalog.properties.mark_restored(lost.created_at.replace(year=lost.created_at.year + 1))
    report = sweep_later(world.catalog, world.store)
    assert (report.kept_delta_objects, report.deleted_delta_objects, report.purged_deltas) == (1, 0, 1)


def test_a_missing_checkpoint_keeps_everything(delta_world: DeltaWorld, damaged_store: None) -> None:
    guest, other = delta_world.guest(), delta_world.guest()
    overwrite(guest)
    overwrite(other)
    record = delta_world.world.catalog.find(delta_world.image_id)
    assert record is not None
    delta_world.world.store.delete(record.location.delta_key(other.delta_id, str(other.row.checkpoint)))
    before = count(delta_world)
    report = sweep_later(delta_world.world.catalog, delta_world.world.store)
    assert (report.left_for_later, report.deleted_delta_objects, count(delta_world)) == (1, 0, before)


def test_an_interrupted_sweep_is_continued(delta_world: DeltaWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    guest, world = delta_world.guest(), delta_world.world
    overwrite(guest)
    delete_many = world.store.delete_many

    def fail_afterwards(keys: list[str]) -> None:
        delete_many(keys)
        raise StoreUnavailable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "delete_many", fail_afterwards)
        assert sweep_later(world.catalog, world.store).left_for_later == 1
    assert len(world.catalog.delta_objects.retired_objects(guest.delta_id)) == COMMITS_PER_CHECKPOINT - 1
    sweep_later(world.catalog, world.store)
    assert world.catalog.delta_objects.retired_objects(guest.delta_id) == {}


def test_deltas_of_an_image_that_an_older_program_deleted(delta_world: DeltaWorld) -> None:
    guest, world = delta_world.guest(), delta_world.world
    guest.write(1, b"x" * BLOCK)
    with world.catalog.deltas._transactions.writing() as connection:
        connection.exec_driver_sql("UPDATE images SET state = 'deleted'")
    report = sweep(delta_world, time.time)
    assert (report.ended_deltas, report.purged_deltas) == (1, 0)
    assert guest.row.state.value == "deleted"
