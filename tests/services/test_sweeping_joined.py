"""The sweeper and uploads that the store has joined: they are completed, whatever the catalog knows."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from image_gateway.protocol.parts import ClaimedPart
from image_gateway.services.sweep_report import SweepReport
from image_gateway.services.sweeping import Sweeper
from image_gateway.storage.client import StoreClients
from image_gateway.storage.objects import ObjectStore
from tests.support.swept_world import HOUR, WEEK, Clock, events, objects
from tests.support.world import World


def join_in_store(world: World, data: bytes) -> str:
    """Join an upload as a gateway does that dies before it writes the record."""
    image_id, upload_id = world.begin()
    etag = world.put_part(image_id, upload_id, 1, data)
    world.clients.requests.complete_multipart_upload(
        Bucket=world.settings.s3_bucket,
        Key=world.key_of(image_id),
        UploadId=upload_id,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]},
    )
    return image_id


def test_an_upload_that_the_store_has_joined_is_completed_instead_of_removed(
    world: World, sweeper: Sweeper, clock: Clock
) -> None:
    image_id = join_in_store(world, b"joined")
    clock.now += WEEK.total_seconds() + HOUR
    assert sweeper.sweep(dry_run=True).completed_uploads == 1
    report = sweeper.sweep()
    assert (report.completed_uploads, report.expired_uploads, report.purged_images) == (1, 0, 0)
    assert world.request("GET", f"/v1/images/{image_id}/range").data == b"joined"
    assert events(world, image_id)[0] == ("upload completed", None)
    assert sweeper.sweep() == SweepReport(checked_images=1)


def test_a_joined_upload_that_is_not_what_was_declared_fails_and_is_removed(
    world: World, clock: Clock
) -> None:
    sweeper = Sweeper(world.catalog, world.store, world.settings.image_base_path, clock, hash_limit=100)
    body = {"sizeBytes": 6, "sha256": hashlib.sha256(b"wanted").hexdigest()}
    begun = world.request("POST", "/v1/images", json=body).get_json()
    image_id, upload_id = begun["imageId"], begun["uploadId"]
    etag = world.put_part(image_id, upload_id, 1, b"others")
    world.store.complete_upload(world.key_of(image_id), upload_id, [ClaimedPart(1, etag)])
    clock.now += WEEK.total_seconds() + HOUR
    assert sweeper.sweep().completed_uploads == 0
    sweeper.sweep()
    assert world.request("GET", f"/v1/images/{image_id}").get_json()["state"] == "failed"
    assert objects(world) == []


def test_a_dry_run_lets_no_joined_upload_fail(world: World, clock: Clock) -> None:
    sweeper = Sweeper(world.catalog, world.store, world.settings.image_base_path, clock, hash_limit=100)
    begun = world.request("POST", "/v1/images", json={"sizeBytes": 7}).get_json()
    world.store.put(world.key_of(begun["imageId"]), b"six by", content_type="a/b", cache_control="no-store")
    clock.now += WEEK.total_seconds() + HOUR
    sweeper.sweep(dry_run=True)
    assert world.request("GET", f"/v1/images/{begun['imageId']}").get_json()["state"] == "uploading"


def convert_after_backup(world: World) -> tuple[str, str]:
    """Begin an upload whose completion and conversion only the bucket knows, as after a restore."""
    begun = world.request("POST", "/v1/images", json={"format": "auto"}).get_json()
    image_id, upload_id = begun["imageId"], begun["uploadId"]
    record = world.catalog.find(image_id)
    assert record is not None
    world.store.abort_upload(record.upload_key, upload_id)
    world.store.put(record.location.disk_key, b"converted", content_type="a/b", cache_control="no-store")
    return image_id, upload_id


def test_an_open_upload_whose_disk_was_converted_is_completed_with_it(
    world: World, sweeper: Sweeper, clock: Clock
) -> None:
    image_id, _ = convert_after_backup(world)
    clock.now += WEEK.total_seconds() + HOUR
    for _ in range(2):
        sweeper.sweep()
    assert world.request("GET", f"/v1/images/{image_id}/range").data == b"converted"


def test_a_client_completes_an_open_upload_whose_disk_was_converted(world: World) -> None:
    image_id, upload_id = convert_after_backup(world)
    done = world.request("POST", f"/v1/images/{image_id}/complete", json={"uploadId": upload_id})
    assert done.status_code == 200, done.text
    assert world.request("GET", f"/v1/images/{image_id}/range").data == b"converted"


def test_a_missing_bucket_lets_no_upload_expire(world: World, clock: Clock) -> None:
    """A HEAD's 404 does not tell it from a missing object."""
    image_id = join_in_store(world, b"joined")
    clock.now += WEEK.total_seconds() + HOUR
    elsewhere = ObjectStore(StoreClients(replace(world.clients.address, bucket="not-created")))
    sweeper = Sweeper(world.catalog, elsewhere, world.settings.image_base_path, clock)
    sweeper._end_expired(report := SweepReport(), dry_run=False)
    assert (report.expired_uploads, report.left_for_later) == (0, 1)
    assert world.request("GET", f"/v1/images/{image_id}").get_json()["state"] == "uploading"
