"""A catalog is restored from a backup while the bucket went on: nothing that anyone stored is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import ImageState, Quota
from image_gateway.domain.jobs import JobKind
from image_gateway.errors import InvalidState, StoreUnavailable
from image_gateway.protocol.layout import owner_key
from image_gateway.services.jobs.converting import Converting
from image_gateway.services.jobs.disk_writing import DiskRules
from image_gateway.services.jobs.worker import Worker
from image_gateway.services.purging import Purger
from image_gateway.services.restoring import RestorePlan, RestoreReport, Restoring
from image_gateway.services.sweeping import Sweeper
from tests.support.backups import back_up, restore
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.world import Image, World, make_world

LONG = timedelta(days=60)
DRY = RestorePlan(dry_run=True)


@dataclass
class Restored:
    """A world with the catalog of the backup, and what was done after the backup in the one that is lost."""

    world: World
    lost: World
    kept: Image
    deleted: Image
    published: Image
    completed: Image
    converted: str
    new: Image
    strangers: Image
    lease: dict[str, Any]
    link: dict[str, Any]

    def keys(self) -> set[str]:
        """The keys of all objects and open uploads."""
        store = self.world.store
        return {item.key for item in store.list_objects("")} | {
            f"{upload.key} {upload.upload_id}" for upload in store.list_uploads("")
        }

    def sweep(self, later: timedelta = timedelta()) -> None:
        clock = lambda: time.time() + later.total_seconds()  # noqa: E731
        world = self.world
        report = Sweeper(world.catalog, world.store, world.settings.image_base_path, clock).sweep()
        assert report.left_for_later == 0

    def work(self) -> None:
        while make_worker(self.world).run_one():
            pass

    def run(self, plan: RestorePlan = RestorePlan()) -> RestoreReport:  # noqa: B008  # It is frozen.
        world = self.world
        restoring = Restoring(
            world.catalog, world.store, world.settings.image_base_path, 5 * 2**20, time.time
        )
        return restoring.run(plan)

    def read(self, image: Image | str, user: str = "alice") -> bytes:
        image_id = image if isinstance(image, str) else image.image_id
        answer = self.world.request("GET", f"/v1/images/{image_id}/range", user=user)
        assert answer.status_code == 200, answer.text
        return answer.data


def make_worker(world: World) -> Worker:
    rules = DiskRules(2**40, Quota(), "no-store", keep_sources=False, hashed_at_completion=10**9)
    convert = Converting(world.catalog, world.store, rules, time.time).run
    purger = Purger(world.catalog, world.store, time.time)
    return Worker(
        world.catalog.jobs,
        dict.fromkeys(JobKind, convert),
        clean_up=lambda job: purger.purge_if_ended(job.image_id),
    )


def upload_to_convert(world: World) -> str:
    begun = world.request("POST", "/v1/images", json={"format": "auto"}).get_json()
    image_id, upload_id = begun["imageId"], begun["uploadId"]
    record = world.catalog.find(image_id)
    assert record is not None
    world.store.upload_part(record.upload_key, upload_id, 1, b"to convert")
    body = {"uploadId": upload_id}
    assert world.request("POST", f"/v1/images/{image_id}/complete", json=body).status_code == 200
    return image_id


@pytest.fixture
def restored(
    world: World, databases: Databases, checker: ContractChecker, tmp_path: Path
) -> Iterator[Restored]:
    world = world.with_settings(lease_keys=(("k1", "0" * 64),))
    kept, deleted, published = (world.make_image(data) for data in (b"kept", b"deleted", bytes(1024)))
    open_id, open_upload = world.begin()
    etag = world.put_part(open_id, open_upload, 1, b"completed later")
    world.begin()
    converted = upload_to_convert(world)
    lease = world.make_lease(kept)
    world.show_to(kept, "shared")
    link = world.request("POST", kept.path("share-links"), json={}).get_json()

    file, url = tmp_path / "backup", databases.make_empty()
    back_up(world.settings.database_url, file)

    world.request("DELETE", f"/v1/leases/{lease['leaseId']}")
    world.request("DELETE", kept.path(f"share-links/{link['linkId']}"))
    assert world.request("DELETE", f"/v1/images/{deleted.image_id}").status_code == 200
    world.publish(published, 512)
    assert world.complete(open_id, open_upload, [(1, etag)]).status_code == 200
    assert make_worker(world).run_one()
    new, strangers = world.make_image(b"new"), world.make_image(b"a stranger's", owner="carol")
    world.publish(new_disk := world.make_image(bytes(2048)), 1024)
    begun_id, begun = world.begin()
    world.put_part(begun_id, begun, 1, b"began after the backup")
    world.store.delete(new_disk.key)

    restore(file, url)
    engine = open_engine(url)
    settings = replace(world.settings, database_url=url)
    after = make_world(settings, Catalog(engine), checker, world.clients)
    completed = Image(open_id, open_upload, world.key_of(open_id), b"completed later", "", "")
    yield Restored(after, world, kept, deleted, published, completed, converted, new, strangers, lease, link)
    engine.dispose()
    databases.drop(url)


def test_the_backup_is_the_catalog_of_that_moment(restored: Restored) -> None:
    states = {
        name: restored.world.request("GET", f"/v1/images/{image_id}").get_json().get("state")
        for name, image_id in {
            "deleted": restored.deleted.image_id,
            "completed": restored.completed.image_id,
            "converted": restored.converted,
            "new": restored.new.image_id,
        }.items()
    }
    assert states == {
        "deleted": "complete",
        "completed": "uploading",
        "converted": "processing",
        "new": None,
    }


def test_sweeper_and_worker_delete_no_object_that_the_lost_catalog_knew(restored: Restored) -> None:
    before = {item.key for item in restored.world.store.list_objects("")}
    restored.work()
    restored.sweep()
    restored.sweep(LONG)
    restored.sweep(LONG)
    assert {item.key for item in restored.world.store.list_objects("")} == before
    assert restored.read(restored.completed) == b"completed later"
    assert restored.read(restored.converted) == b"to convert"


def test_uploads_from_before_the_restore_are_kept_as_well(restored: Restored) -> None:
    restored.run()
    before = restored.keys()
    restored.sweep()
    assert restored.keys() == before


def test_a_dry_run_reports_the_same_and_changes_nothing(restored: Restored) -> None:
    before = restored.keys()
    dry = restored.run(replace(DRY, revoke_links=True, delete_vanished=True, adopt=True))
    assert restored.world.catalog.properties.restored_at() is None
    assert (
        restored.world.bearing(restored.lease["token"], "GET", restored.kept.path("range")).status_code == 200
    )
    real = restored.run()
    assert restored.keys() == before
    assert dry == real
    assert (real.revoked_leases, real.share_links) == (1, 1)
    assert real.vanished == [restored.deleted.image_id]
    assert real.republished == [restored.published.image_id]
    unknown = {(disk.image_id, disk.size, disk.owner) for disk in real.unknown}
    assert unknown == {
        (restored.new.image_id, 3, "alice"),
        (restored.strangers.image_id, 12, None),
    }
    assert len(real.unknown_prefixes) == 1


def test_what_had_been_revoked_stays_revoked(restored: Restored) -> None:
    world, path = restored.world, restored.kept.path("range")
    assert world.bearing(restored.lease["token"], "GET", path).status_code == 200
    redeem = {"token": restored.link["token"]}
    restored.run(RestorePlan(revoke_links=True))
    assert world.bearing(restored.lease["token"], "GET", path).status_code in (401, 403)
    assert world.request("POST", "/v1/share-links/redeem", json=redeem).status_code in (403, 404, 410)
    assert restored.read(restored.kept) == b"kept"


def test_vanished_images_are_deleted_and_unknown_disks_adopted_when_told_so(restored: Restored) -> None:
    plan = RestorePlan(delete_vanished=True, adopt=True, owners=("carol",))
    report = restored.run(plan)
    assert set(report.adopted) == {restored.new.image_id, restored.strangers.image_id}
    assert restored.read(restored.new) == b"new"
    assert restored.read(restored.strangers, "carol") == b"a stranger's"
    shown = restored.world.request("GET", f"/v1/images/{restored.new.image_id}").get_json()
    assert (shown["name"], shown["visibility"]) == (f"recovered-{restored.new.image_id[:8]}.img", "private")
    gone = restored.world.catalog.find(restored.deleted.image_id)
    assert gone is not None
    assert gone.state is ImageState.DELETED
    chunk = restored.world.request("GET", restored.published.path("chunked/chunks/1"))
    assert (chunk.status_code, chunk.data) == (200, bytes(512))
    used = restored.world.request("GET", "/v1/usage", user="carol").get_json()
    assert (used["images"]["used"], used["bytes"]["used"]) == (1, 12)
    again = restored.run(plan)
    assert (again.vanished, again.unknown, again.adopted, again.republished) == ([], [], [], [])
    restored.sweep()
    assert restored.read(restored.new) == b"new"


def test_another_bucket_is_not_taken_for_a_loss_of_all_images(restored: Restored) -> None:
    world = restored.world
    for image in (restored.kept, restored.published):
        world.store.delete(image.key)
    with pytest.raises(InvalidState, match="check S3_BUCKET"):
        restored.run(RestorePlan(delete_vanished=True))
    assert len(restored.run().vanished) == 3
    assert world.request("GET", f"/v1/images/{restored.kept.image_id}").get_json()["state"] == "complete"


def test_a_store_that_lists_a_disk_it_does_not_find_deletes_no_record(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a proxy does that answers 404 for some time: a HEAD's answer has no error code."""
    store = restored.world.store
    find = store.find
    monkeypatch.setattr(store, "find", lambda key: None if key == restored.kept.key else find(key))
    with pytest.raises(StoreUnavailable, match="does not find"):
        restored.run(RestorePlan(delete_vanished=True))
    shown = restored.world.request("GET", f"/v1/images/{restored.kept.image_id}").get_json()
    assert shown["state"] == "complete"


def test_a_disk_whose_image_has_several_is_not_adopted(restored: Restored) -> None:
    """Deleting an image deletes all below its prefix."""
    world, new = restored.world, restored.new
    second = new.key.replace("/disk.img", "0/disk.img")
    world.store.put(second, b"new", content_type="a/b", cache_control="no-store")
    report = restored.run(RestorePlan(adopt=True, owners=("carol",)))
    assert report.adopted == [restored.strangers.image_id]
    assert sum(disk.image_id == new.image_id for disk in report.unknown) == 2


def test_a_disk_with_two_owners_is_not_adopted(restored: Restored) -> None:
    world, new = restored.world, restored.new
    other = new.key.replace(owner_key("alice"), owner_key("carol"))
    world.store.put(other, b"new", content_type="a/b", cache_control="no-store")
    report = restored.run(RestorePlan(adopt=True, owners=("carol",)))
    assert report.adopted == [restored.strangers.image_id]
    assert sum(disk.image_id == new.image_id for disk in report.unknown) == 2


def test_a_disk_that_was_restored_with_another_etag_is_named(restored: Restored) -> None:
    """It is there, and reads are tied to the ETag of the record."""
    key = restored.kept.key
    restored.world.store.put(key, b"KEPT", content_type="a/b", cache_control="no-store")
    assert restored.run(DRY).changed == [restored.kept.image_id]


def test_the_time_of_the_restore_is_that_of_the_last_one(restored: Restored) -> None:
    properties = restored.world.catalog.properties
    moments = [datetime(2026, 12, day, tzinfo=UTC) for day in (1, 2)]
    for moment in moments:
        properties.mark_restored(moment)
    assert properties.restored_at() == moments[-1]
