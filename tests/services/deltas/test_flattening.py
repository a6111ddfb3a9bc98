"""Tests of flattening: the new disk has the bytes of base and delta, and little of it is sent."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from image_gateway.domain.images import ImageState
from image_gateway.domain.jobs import JobState
from image_gateway.errors import StoreError, StoreUnavailable
from tests.support.delta_equation import sweep_later
from tests.support.delta_flattening import disk_of, flatten, make_flattening
from tests.support.delta_world import DeltaWorld
from tests.support.delta_writing import OWNER
from tests.support.world import MIB, World

# The bytes come from the store.
pytestmark = pytest.mark.any_database

PART = 16 * MIB
BLOCK = 4096


@pytest.fixture
def large(world: World, delta_world: DeltaWorld) -> DeltaWorld:
    """A base of three parts, of which the second is all zeros, and a short fourth."""
    base = b"base" * (PART // 4) + bytes(PART) + b"more" * (PART // 4) + b"end!" * 1000
    return DeltaWorld(world, delta_world.services, world.make_image(base).image_id, base)


def count_calls(delta_world: DeltaWorld, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Note which parts are sent, and which are copied within the store."""
    calls: list[tuple[str, int]] = []
    for name in ("upload_part", "copy_part"):
        original = getattr(delta_world.world.store, name)
        monkeypatch.setattr(delta_world.world.store, name, partial(_note, calls, name, original))
    return calls


def _note(
    calls: list[tuple[str, int]], name: str, original: Callable[..., None], *parts: Any, **options: Any
) -> None:
    calls.append((name, parts[2]))
    original(*parts, **options)


def test_unchanged_parts_are_copied_and_others_sent(
    large: DeltaWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = large.guest(BLOCK)
    guest.write(2 * PART // BLOCK + 5, b"n" * 3 * BLOCK)
    guest.write(len(large.base) // BLOCK, b"t" * BLOCK)
    record, job = make_flattening(large).request(guest.delta_id, OWNER, name="flat.img")
    flattened = bytes(guest.disk)
    guest.write(0, b"later" + bytes(BLOCK - 5))
    calls = count_calls(large, monkeypatch)
    assert flatten(large, job).state is JobState.DONE
    assert disk_of(large, record.image_id) == flattened
    assert sorted(calls) == [("copy_part", 1), ("copy_part", 2), ("upload_part", 3), ("upload_part", 4)]
    assert large.world.catalog.delta_objects.snapshots(guest.delta_id) == []
    assert large.world.catalog.usage("alice").images == 3


def test_a_part_that_became_zero_is_copied_from_zeros(
    large: DeltaWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = large.guest(BLOCK)
    guest.write(0, None, count=PART // BLOCK)
    record, job = make_flattening(large).request(guest.delta_id, OWNER, name="flat.img")
    calls = count_calls(large, monkeypatch)
    assert flatten(large, job).state is JobState.DONE
    assert disk_of(large, record.image_id) == guest.disk
    assert ("copy_part", 1) in calls
    flat = large.world.catalog.find(record.image_id)
    assert flat is not None
    assert flat.zero_map_bytes is not None


def test_a_store_that_does_not_copy_is_sent_everything(
    large: DeltaWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = large.guest(BLOCK)
    guest.write(0, None, count=PART // BLOCK)

    def refuse(*_: object, **__: object) -> None:
        raise StoreError("NotImplemented")

    monkeypatch.setattr(large.world.store, "copy_part", refuse)
    record, job = make_flattening(large).request(guest.delta_id, OWNER, name="flat.img")
    assert flatten(large, job).state is JobState.DONE
    assert disk_of(large, record.image_id) == guest.disk


def test_an_interrupted_flattening_continues(large: DeltaWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = large.guest(BLOCK)
    guest.write(2 * PART // BLOCK, b"n" * BLOCK)
    record, job = make_flattening(large).request(guest.delta_id, OWNER, name="flat.img")
    store, failures = large.world.store, [StoreUnavailable("no answer")]
    upload_part = store.upload_part

    def fail_once(key: str, upload_id: str, number: int, data: bytes) -> None:
        if failures and number == 3:
            raise failures.pop()
        upload_part(key, upload_id, number, data)

    monkeypatch.setattr(store, "upload_part", fail_once)
    assert flatten(large, job).state is JobState.QUEUED
    calls = count_calls(large, monkeypatch)
    assert flatten(large, job, attempts=2).state is JobState.DONE
    assert disk_of(large, record.image_id) == guest.disk
    assert ("copy_part", 1) not in calls


def test_a_fork_and_an_older_generation_are_flattened(delta_world: DeltaWorld) -> None:
    guest, services = delta_world.guest(), delta_world.services
    guest.write(3, b"a" * 512)
    before = bytes(guest.disk)
    fork = services.deltas.fork(guest.delta_id, OWNER, generation=None, name="fork")
    guest.write(3, b"b" * 512)
    for delta_id, generation in ((fork.delta_id, None), (guest.delta_id, 1)):
        record, job = make_flattening(delta_world).request(
            delta_id, OWNER, name="flat.img", generation=generation
        )
        assert flatten(delta_world, job).state is JobState.DONE
        assert disk_of(delta_world, record.image_id) == before


def test_a_deleted_delta_fails_the_job(delta_world: DeltaWorld) -> None:
    guest = delta_world.guest()
    guest.write(3, b"a" * 512)
    record, job = make_flattening(delta_world).request(guest.delta_id, OWNER, name="flat.img")
    delta_world.services.deltas.delete(guest.delta_id, OWNER, generation=None)
    ended = flatten(delta_world, job)
    assert (ended.state, ended.error_code) == (JobState.FAILED, "NOT_FOUND")
    failed = delta_world.world.catalog.find(record.image_id)
    assert failed is not None
    assert failed.state is ImageState.FAILED


def test_a_base_that_was_replaced_is_not_copied(large: DeltaWorld, damaged_store: None) -> None:
    guest = large.guest(BLOCK)
    _, job = make_flattening(large).request(guest.delta_id, OWNER, name="flat.img")
    base = large.world.catalog.find(large.image_id)
    assert base is not None
    large.world.replace_object(base.location.disk_key, b"x" * len(large.base))
    ended = flatten(large, job)
    assert (ended.state, ended.error_code) == (JobState.QUEUED, None)


def test_the_sweeper_releases_what_a_cancelled_job_kept(delta_world: DeltaWorld) -> None:
    guest, catalog = delta_world.guest(), delta_world.world.catalog
    guest.write(3, b"a" * 512)
    _, job = make_flattening(delta_world).request(guest.delta_id, OWNER, name="flat.img")
    kept = delta_world.services.history.snapshot(guest.delta_id, OWNER, "mine", None)
    assert sweep_later(catalog, delta_world.world.store).released_snapshots == 0
    catalog.jobs.cancel(job.job_id, job.created_at)
    assert sweep_later(catalog, delta_world.world.store).released_snapshots == 1
    assert catalog.delta_objects.snapshots(guest.delta_id) == [kept]


def test_a_copy_names_the_etag_of_its_source(large: DeltaWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = large.guest(BLOCK)
    _, job = make_flattening(large).request(guest.delta_id, OWNER, name="flat.img")
    base = large.world.catalog.find(large.image_id)
    assert base is not None
    assert base.disk is not None
    client, conditions = large.world.clients.requests, set[str | None]()
    upload_part_copy = client.upload_part_copy

    def note(**request: Any) -> Any:
        """Moto does not look at the condition."""
        if request["CopySource"]["Key"] == base.location.disk_key:
            conditions.add(request.get("CopySourceIfMatch"))
        return upload_part_copy(**request)

    monkeypatch.setattr(client, "upload_part_copy", note)
    assert flatten(large, job).state is JobState.DONE
    assert conditions == {base.disk.etag}
