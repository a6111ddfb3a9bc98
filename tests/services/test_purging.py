"""What the sweeper finds between bucket and catalog, and the fence between a purge and those who write."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import pytest

from image_gateway.errors import NotFound
from image_gateway.protocol.layout import ImageLocation
from image_gateway.services.publishing import Publishing
from image_gateway.services.purging import WRITER_LIFETIME, Purger
from image_gateway.services.sweep_report import SweepReport
from image_gateway.services.sweeping import Sweeper
from tests.support.clock import Clock
from tests.support.world import Image, World


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sweeper(world: World, clock: Clock) -> Sweeper:
    return Sweeper(world.catalog, world.store, world.settings.image_base_path, clock)


def put(world: World, key: str) -> None:
    world.store.put(key, b"x", content_type="application/octet-stream", cache_control="no-store")


def keys(world: World) -> list[str]:
    return [item.key for item in world.store.list_objects("")]


def delete(world: World, image: Image) -> None:
    assert world.request("DELETE", f"/v1/images/{image.image_id}").status_code == 200


def test_objects_that_no_record_knows_are_reported_and_kept(world: World, sweeper: Sweeper) -> None:
    """As after the catalog was restored from a backup that is older than the bucket."""
    kept = world.make_image(b"x")
    lost = ImageLocation("/images", "alice", "00000000-0000-4000-8000-00000000abcd", "0" * 16)
    for key in (lost.disk_key, lost.chunk_key(0, 8), "images/somebody/elses.txt", "other/place"):
        put(world, key)
    before = keys(world)
    for dry_run in (True, False):
        report = sweeper.sweep(dry_run=dry_run)
        assert report.unknown == [lost.prefix.removesuffix(f"{'0' * 16}/")]
        assert (report.purged_images, report.left_for_later) == (0, 0)
    assert keys(world) == before
    assert kept.key in before
    assert json.loads(json.dumps(report.as_numbers()))["unknown"] == 1


def test_what_comes_back_after_a_purge_is_purged_again(world: World, sweeper: Sweeper) -> None:
    image = world.make_image(b"x")
    delete(world, image)
    record = world.catalog.find(image.image_id)
    assert record is not None
    assert record.purged_at is not None
    put(world, record.location.chunk_key(7, 8))
    assert sweeper.sweep(dry_run=True).purged_images == 1
    assert sweeper.sweep().purged_images == 1
    assert keys(world) == []
    assert sweeper.sweep() == SweepReport()


def test_a_purge_is_complete_only_when_nobody_can_write_any_more(
    world: World, sweeper: Sweeper, clock: Clock
) -> None:
    image = world.make_image(b"x")
    record = world.catalog.find(image.image_id)
    assert record is not None
    purger = Purger(world.catalog, world.store, clock)
    with purger.writing(record) as writer:
        assert writer is not None
        delete(world, image)
        assert keys(world) == []
        put(world, record.location.chunk_key(0, 8))
        assert sweeper.sweep().left_for_later == 1
        put(world, record.location.chunk_key(1, 8))
        still = world.catalog.find(image.image_id)
        assert still is not None
        assert still.purged_at is None
    assert sweeper.sweep().purged_images == 1
    assert keys(world) == []
    with purger.writing(record) as refused:
        assert refused is None


def test_a_writer_that_died_holds_a_purge_up_for_a_while(
    world: World, sweeper: Sweeper, clock: Clock
) -> None:
    image = world.make_image(b"x")
    record = world.catalog.find(image.image_id)
    assert record is not None
    assert world.catalog.writers.add("dead", record.image_id, record.state, clock.at(0) + WRITER_LIFETIME)
    delete(world, image)
    assert sweeper.sweep().left_for_later == 1
    clock.now += WRITER_LIFETIME.total_seconds() - 1
    assert sweeper.sweep().left_for_later == 1
    clock.now += 1
    report = sweeper.sweep()
    assert (report.purged_images, report.left_for_later) == (1, 0)
    clock.now += timedelta(days=2).total_seconds()
    sweeper.sweep()
    assert not world.catalog.writers.any_active(record.image_id, clock.at(-(10**6)))


def test_publishing_stops_when_the_image_is_deleted(
    world: World, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after hours at the last chunk, but at the next look at the catalog."""
    monkeypatch.setattr("image_gateway.services.purging.RENEW_SECONDS", 0.0)
    image = world.make_image(bytes(range(256)) * 40)
    written: list[int] = []

    def note(size: int) -> None:
        written.append(size)
        if len(written) == 3:
            delete(world, image)

    publishing = Publishing(world.catalog, world.store, "no-store", time.time)
    with pytest.raises(NotFound, match="was deleted while it was being published"):
        publishing.publish(image.image_id.upper(), chunk_size=512, parallel=2, on_bytes=note)
    assert len(written) == 3
    assert keys(world) == []
    record = world.catalog.find(image.image_id)
    assert record is not None
    assert record.purged_at is not None
