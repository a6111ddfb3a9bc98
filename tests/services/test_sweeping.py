"""The sweeper: what was left behind is collected, what is in use is left alone."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from image_gateway.domain.audit import AuditEvent
from image_gateway.errors import StoreUnavailable
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.sweep_report import SweepReport
from image_gateway.services.sweeping import Sweeper
from tests.support.swept_world import HOUR, WEEK, Clock, events, objects, uploads
from tests.support.world import Image, World


def test_what_is_in_use_is_left_alone(world: World, sweeper: Sweeper, clock: Clock) -> None:
    image = world.make_image(b"x")
    world.begin()
    clock.now += 2 * HOUR
    report = sweeper.sweep()
    assert report == SweepReport(checked_images=1)
    assert objects(world) == [image.key]
    assert len(uploads(world)) == 1


def test_an_upload_left_alone_is_ended_with_its_parts(world: World, sweeper: Sweeper, clock: Clock) -> None:
    image_id, upload_id = world.begin()
    world.put_part(image_id, upload_id, 1, b"x")
    clock.now += WEEK.total_seconds() + HOUR
    assert sweeper.sweep(dry_run=True).expired_uploads == 1
    assert len(uploads(world)) == 1
    report = sweeper.sweep()
    assert (report.expired_uploads, report.purged_images, report.left_for_later) == (1, 1, 0)
    assert uploads(world) == []
    assert world.request("GET", f"/v1/images/{image_id}").get_json()["state"] == "failed"
    assert world.request("GET", "/v1/usage").get_json()["images"]["used"] == 0
    assert sweeper.sweep() == SweepReport()


def test_more_than_a_page_of_them(
    world: World, sweeper: Sweeper, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_gateway.services.sweeping.PAGE", 3)
    for _ in range(8):
        world.begin()
    clock.now += WEEK.total_seconds() + HOUR
    assert sweeper.sweep(dry_run=True).expired_uploads == 8
    report = sweeper.sweep()
    assert (report.expired_uploads, report.purged_images) == (8, 8)
    assert uploads(world) == []


@pytest.fixture
def dated(world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """moto says of every upload that it was initiated in 2010: let it be now."""
    list_uploads, now = world.store.list_uploads, datetime.fromtimestamp(clock(), UTC)
    monkeypatch.setattr(
        world.store,
        "list_uploads",
        lambda prefix: (replace(upload, initiated=now) for upload in list_uploads(prefix)),
    )


def test_an_upload_without_a_record_is_aborted_when_old_enough(
    world: World, sweeper: Sweeper, clock: Clock, dated: None
) -> None:
    key = f"images/{'0' * 40}/00000000-0000-4000-8000-000000000000/{'0' * 16}/disk.img"
    world.store.create_upload(key, cache_control="no-store")
    foreign = "images/somebody/elses.bin"
    world.store.create_upload(foreign, cache_control="no-store")
    assert sweeper.sweep().orphaned_uploads == 0
    clock.now += HOUR + 60
    assert sweeper.sweep(older_than=timedelta(hours=2)).orphaned_uploads == 0
    assert sweeper.sweep(dry_run=True).orphaned_uploads == 1
    assert sweeper.sweep().orphaned_uploads == 1
    assert uploads(world) == [foreign]


def test_objects_of_a_deleted_image_are_removed(
    world: World, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = world.make_image(bytes(2048))
    world.publish(image, 512)
    monkeypatch.setattr("image_gateway.services.images.PURGED_AT_ONCE", 2)
    world.request("DELETE", f"/v1/images/{image.image_id}")
    # Two of the chunks, and the zero map.
    assert len(objects(world)) == 3
    report = sweeper.sweep()
    assert (report.purged_images, report.left_for_later) == (1, 0)
    assert objects(world) == []
    assert sweeper.sweep() == SweepReport()


def test_an_upload_from_before_a_restore_is_kept_even_if_no_record_knows_it(
    world: World, sweeper: Sweeper, clock: Clock, dated: None
) -> None:
    key = f"images/{'0' * 40}/00000000-0000-4000-8000-000000000000/{'0' * 16}/disk.img"
    world.store.create_upload(key, cache_control="no-store")
    world.catalog.properties.mark_restored(datetime.fromtimestamp(clock.now + 60, UTC))
    clock.now += 2 * HOUR
    for _ in range(2):
        report = sweeper.sweep()
        assert (report.orphaned_uploads, report.kept_uploads) == (0, 1)
    assert uploads(world) == [key]


def test_a_vanished_object_is_reported_and_nothing_changed(world: World, sweeper: Sweeper) -> None:
    image: Image = world.make_image(b"x")
    world.store.delete(image.key)
    for _ in range(2):
        assert sweeper.sweep().vanished == [image.image_id]
    assert world.request("GET", f"/v1/images/{image.image_id}").get_json()["state"] == "complete"


def test_objects_of_images_are_looked_up_at_the_same_time(
    world: World, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one, a sweep of a million images takes hours."""
    there, gone, unknown = (world.make_image(b"x") for _ in range(3))
    world.store.delete(gone.key)
    all_ask, head = threading.Barrier(3, timeout=30), world.store.head

    def head_together(key: str) -> object:
        all_ask.wait()
        if key == unknown.key:
            raise StoreUnavailable("the store does not answer")
        return head(key)

    monkeypatch.setattr(world.store, "head", head_together)
    report = sweeper.sweep()
    assert (report.checked_images, report.vanished, report.left_for_later) == (3, [gone.image_id], 1)
    assert world.catalog.find(there.image_id) is not None


def test_old_audit_entries_are_forgotten(world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_gateway.services.sweeping.PAGE", 3)
    kept = timedelta(days=2)
    sweeper = Sweeper(world.catalog, world.store, world.settings.image_base_path, clock, audit_kept=kept)
    image = world.make_image(b"x")
    for number in range(5):
        world.request("PATCH", f"/v1/images/{image.image_id}", json={"name": f"name {number}"})
    clock.now += 47 * HOUR
    assert sweeper.sweep().forgotten_audit_entries == 0
    AuditTrail(world.catalog.audit_entries, clock).note(AuditEvent.JOB_DONE, image.image_id)
    clock.now += 2 * HOUR
    assert sweeper.sweep(dry_run=True).forgotten_audit_entries == 7
    assert sweeper.sweep().forgotten_audit_entries == 7
    assert [event for event, _ in events(world, image.image_id)] == ["job done"]
    assert sweeper.sweep().forgotten_audit_entries == 0


def test_the_end_of_an_idle_upload_is_noted_for_its_owner(
    world: World, sweeper: Sweeper, clock: Clock
) -> None:
    image_id, _ = world.begin()
    clock.now += WEEK.total_seconds() + HOUR
    sweeper.sweep(dry_run=True)
    assert events(world, image_id) == [("image created", "alice")]
    for _ in range(2):
        sweeper.sweep()
    assert events(world, image_id) == [("upload expired", None), ("image created", "alice")]


def test_what_the_store_refuses_is_left_for_the_next_sweep(
    world: World, sweeper: Sweeper, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.begin()
    clock.now += WEEK.total_seconds() + HOUR

    def refuse(*_: object) -> None:
        raise StoreUnavailable("not now")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "abort_upload", refuse)
        assert sweeper.sweep().left_for_later == 1
    assert sweeper.sweep().purged_images == 1
    assert uploads(world) == []


def test_two_sweepers_count_each_upload_once(world: World, sweeper: Sweeper, clock: Clock) -> None:
    for _ in range(6):
        world.begin()
    clock.now += WEEK.total_seconds() + HOUR
    other = Sweeper(world.catalog, world.store, world.settings.image_base_path, clock)
    sweeper._end_expired(first := SweepReport(), dry_run=False)
    other._end_expired(second := SweepReport(), dry_run=False)
    assert (first.expired_uploads, second.expired_uploads) == (6, 0)
    for each in (sweeper, other):
        assert each.sweep().left_for_later == 0
    assert uploads(world) == []
