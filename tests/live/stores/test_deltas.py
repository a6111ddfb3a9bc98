"""Deltas over a real store: flattening by copies within it, compaction, and the sweeper's equation."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from image_gateway.domain.clock import now_of
from image_gateway.domain.jobs import JobKind, JobState, new_job
from image_gateway.errors import ObjectChanged
from image_gateway.local.seaweed import LocalStore
from image_gateway.protocol.deltas import compaction_plan
from image_gateway.protocol.ranges import ByteRange
from image_gateway.services.jobs.compacting import Compacting
from image_gateway.services.jobs.worker import Worker
from tests.live.stores.conftest import running_places
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.delta_equation import require_equation
from tests.support.delta_flattening import disk_of, flatten, make_flattening
from tests.support.delta_world import DeltaWorld, make_services
from tests.support.delta_writing import OWNER, read_disk
from tests.support.world import MIB, World

BLOCK = 4096
BASE = random.Random(7).randbytes(16 * MIB) + bytes(16 * MIB) + b"end" * 1000


@pytest.fixture(scope="module")
def seaweed(store: LocalStore, databases: Databases, checker: ContractChecker) -> Iterator[World]:
    with running_places({"seaweedfs": store.address}, databases, checker) as places:
        yield places.world("seaweedfs")


@pytest.fixture
def large(seaweed: World) -> Iterator[DeltaWorld]:
    """An image of two parts and a short third."""
    image = seaweed.make_image(BASE)
    yield DeltaWorld(seaweed, make_services(seaweed), image.image_id, BASE)
    require_equation(seaweed.catalog, seaweed.store)


def test_a_disk_is_flattened_by_copies(large: DeltaWorld) -> None:
    guest = large.guest(BLOCK)
    guest.write(16 * MIB // BLOCK + 9, b"n" * BLOCK)
    record, job = make_flattening(large).request(guest.delta_id, OWNER, name="flat.img")
    assert flatten(large, job).state is JobState.DONE
    assert disk_of(large, record.image_id) == guest.disk


def test_a_base_that_was_replaced_is_not_copied(large: DeltaWorld) -> None:
    guest = large.guest(BLOCK)
    record, job = make_flattening(large).request(guest.delta_id, OWNER, name="flat.img")
    base = large.world.catalog.find(large.image_id)
    assert base is not None
    large.world.replace_object(base.location.disk_key, bytes(len(BASE)))
    assert flatten(large, job).state is JobState.QUEUED
    assert large.world.store.find(record.location.disk_key) is None
    large.world.catalog.jobs.cancel(job.job_id, now_of(time.time))


def test_a_copy_of_another_version_is_refused(large: DeltaWorld) -> None:
    base = large.world.catalog.find(large.image_id)
    assert base is not None
    assert base.disk is not None
    store, key, span = large.world.store, f"{base.location.work_prefix}copied", ByteRange(0, 6 * MIB)
    upload_id = store.create_upload(key, cache_control="no-store")
    store.copy_part(key, upload_id, 1, base.location.disk_key, span, source_etag=base.disk.etag)
    with pytest.raises(ObjectChanged):
        store.copy_part(key, upload_id, 2, base.location.disk_key, span, source_etag='"other"')
    store.abort_upload(key, upload_id)


def test_segments_are_compacted(large: DeltaWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction_plan, "MIN_FREED", BLOCK)
    guest, world = large.guest(BLOCK), large.world
    for number in range(8):
        guest.write(0, bytes([65 + number]) * 10 * BLOCK)
        guest.write(10 + number, b"k" * BLOCK)
        guest.write(100, bytes([97 + number]) * 5 * BLOCK)
        guest.write(100 + number % 4, None)
    job = world.catalog.jobs.add(new_job(large.image_id, JobKind.COMPACT, now_of(time.time)))
    Worker(
        world.catalog.jobs, {JobKind.COMPACT: Compacting(world.catalog, world.store, time.time).run}
    ).run_one()
    ended = world.catalog.jobs.find(job.job_id)
    assert ended is not None
    assert ended.state is JobState.DONE
    assert read_disk(world, make_services(world), guest.delta_id, BASE) == guest.disk
