"""A catalog and a bucket that 0.1.0 left behind, after `image-gateway db upgrade`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner
from moto.backends import get_backend

from image_gateway.catalog.database import check_drift, current_revision, newest_revision, open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.cli.main import cli
from image_gateway.services.publishing import Publishing
from image_gateway.services.sweep_report import SweepReport
from image_gateway.services.sweeping import Sweeper
from image_gateway.settings import load_settings
from image_gateway.storage.client import StoreClients
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.first_release import FirstBucket, load_sql, read_bucket
from tests.support.world import World, make_world

pytestmark = pytest.mark.database
BOB = "auth0|bob/../*?%41"
COMPLETE = {"plain", "published", "two parts", "publishing interrupted"}
UPLOADING = {"uploading nothing yet", "uploading", "joined, not recorded"}


@dataclass(frozen=True)
class Upgraded:
    """Today's gateway a day after the first release stopped, and what that had stored.

    The tests share it; each of them changes other images.
    """

    world: World
    bucket: FirstBucket
    said: str

    def path(self, image: str, route: str = "") -> str:
        return f"/v1/images/{self.bucket.images[image]}{route}"


@pytest.fixture(scope="module")
def upgraded(
    databases: Databases, checker: ContractChecker, moto_clients: StoreClients
) -> Iterator[Upgraded]:
    for backends in get_backend("s3").values():
        for backend in backends.values():
            backend.reset()
    moto_clients.requests.create_bucket(Bucket=moto_clients.address.bucket)
    url = databases.make_empty()
    load_sql(url)
    bucket = read_bucket()
    bucket.load(moto_clients, url)
    environment = {
        "S3_BUCKET": moto_clients.address.bucket,
        "AWS_REGION": "us-east-1",
        "DATABASE_URL": url,
        "ACCESS_CACHE_SECONDS": "0",
    }
    ended = CliRunner().invoke(cli, ["db", "upgrade"], env={**os.environ, **environment})
    assert ended.exit_code == 0, ended.output
    engine = open_engine(url)
    try:
        world = make_world(load_settings(environment), Catalog(engine), checker, moto_clients)
        a_day_later = (bucket.made_at + timedelta(days=1)).timestamp()
        yield Upgraded(world.with_settings(clock=lambda: a_day_later), bucket, ended.output)
        assert current_revision(engine) == newest_revision()
        check_drift(engine)
    finally:
        engine.dispose()
        databases.drop(url)


def test_images_are_listed_shown_and_counted(upgraded: Upgraded) -> None:
    assert upgraded.said == f"tables: 0001 -> {newest_revision()}\n"
    listed = upgraded.world.request("GET", "/v1/images").get_json()["images"]
    states = {image["imageId"]: image["state"] for image in listed}
    images = upgraded.bucket.images
    assert states.keys() == {images[name] for name in COMPLETE | UPLOADING}
    assert {states[images[name]] for name in COMPLETE} == {"complete"}
    assert states[images["uploading nothing yet"]] == "uploading"
    shown = upgraded.world.request("GET", upgraded.path("two parts")).get_json()
    assert (shown["name"], shown["kind"], shown["format"], shown["visibility"], shown["size"]) == (
        "disk.img",
        "disk",
        "raw",
        "private",
        5 * 2**20 + 1000,
    )
    used = upgraded.world.request("GET", "/v1/usage").get_json()
    assert used["images"]["used"] == 7
    bob = upgraded.world.request("GET", "/v1/usage", user=BOB).get_json()
    assert (bob["images"]["used"], bob["bytes"]["used"]) == (1, 1)


def test_bytes_are_streamed_as_before(upgraded: Upgraded) -> None:
    for name in sorted(COMPLETE | {"of another owner"}):
        user = BOB if name == "of another owner" else "alice"
        data = upgraded.bucket.content_of(name)
        whole = upgraded.world.request("GET", upgraded.path(name, "/range"), user=user)
        assert (whole.status_code, whole.data) == (200, data)
        assert whole.headers["ETag"] == upgraded.bucket.object_of(name, "disk.img")["etag"]
        last = upgraded.world.request(
            "GET", upgraded.path(name, "/range"), user=user, headers={"Range": "bytes=-1"}
        )
        assert (last.status_code, last.data) == (206, data[-1:])
    refused = upgraded.world.request("GET", upgraded.path("of another owner", "/range"))
    assert refused.status_code in (403, 404)


def test_manifest_and_chunks_are_read_as_before(upgraded: Upgraded) -> None:
    manifest = upgraded.world.request("GET", upgraded.path("published", "/chunked/manifest"))
    assert manifest.data == upgraded.bucket.content_of("published", "manifest.json")
    chunks = [
        upgraded.world.request("GET", upgraded.path("published", f"/chunked/chunks/{index}")).data
        for index in range(3)
    ]
    assert b"".join(chunks) == upgraded.bucket.content_of("published")
    offered = upgraded.world.request("GET", upgraded.path("published", "/stream-url")).get_json()
    assert "chunked" in offered


def test_an_upload_in_progress_is_resumed_and_completed(upgraded: Upgraded) -> None:
    world = upgraded.world
    status = world.request("GET", upgraded.path("uploading", "/upload")).get_json()
    assert [(part["partNumber"], part["size"]) for part in status["parts"]] == [(1, 5 * 2**20)]
    signed = world.request(
        "POST",
        upgraded.path("uploading", "/upload-url"),
        json={"uploadId": status["uploadId"], "partNumber": 2},
    )
    assert signed.status_code == 200
    world.put_part(upgraded.bucket.images["uploading"], status["uploadId"], 2, b"the end")
    body = {"uploadId": status["uploadId"]}
    assert world.request("POST", upgraded.path("uploading", "/complete"), json=body).status_code == 200
    tail = world.request("GET", upgraded.path("uploading", "/range"), headers={"Range": "bytes=5242870-"})
    [upload] = [item for item in upgraded.bucket.document["uploads"] if item["parts"]]
    assert upload["parts"] == [{"seed": "sent", "size": 5 * 2**20}]
    assert tail.data.endswith(b"the end")
    assert len(tail.data) == 17


def test_an_upload_that_was_joined_but_not_recorded_is_completed(upgraded: Upgraded) -> None:
    record = upgraded.world.catalog.find(upgraded.bucket.images["joined, not recorded"])
    assert record is not None
    path = upgraded.path("joined, not recorded")
    body = {"uploadId": record.plan.upload_id}
    assert upgraded.world.request("POST", f"{path}/complete", json=body).status_code == 200
    read = upgraded.world.request("GET", f"{path}/range")
    assert read.data == upgraded.bucket.content_of("joined, not recorded")


def test_publishing_that_was_interrupted_is_continued(upgraded: Upgraded) -> None:
    world = upgraded.world
    publishing = Publishing(world.catalog, world.store, world.settings.cache_control)
    published = publishing.publish(upgraded.bucket.images["publishing interrupted"])
    assert (published.geometry.chunk_size, published.geometry.count) == (1024, 3)
    chunks = [
        world.request("GET", upgraded.path("publishing interrupted", f"/chunked/chunks/{index}")).data
        for index in range(3)
    ]
    assert b"".join(chunks) == upgraded.bucket.content_of("publishing interrupted")


def test_the_sweeper_keeps_what_is_in_use_and_ends_uploads_a_week_after_the_upgrade(
    upgraded: Upgraded,
) -> None:
    world = upgraded.world
    in_a_week = max(record.plan.expires_at for record in world.catalog.find_complete(after="", limit=100))
    used = {item.key for item in world.store.list_objects("")}
    open_uploads = len(list(world.store.list_uploads("")))
    assert open_uploads >= 1

    def sweep(moment: datetime) -> SweepReport:
        sweeper = Sweeper(world.catalog, world.store, world.settings.image_base_path, moment.timestamp)
        report = sweeper.sweep()
        assert (report.vanished, report.unknown, report.left_for_later) == ([], [], 0)
        return report

    assert sweep(in_a_week - timedelta(hours=1)).expired_uploads == 0
    assert {item.key for item in world.store.list_objects("")} == used
    assert len(list(world.store.list_uploads(""))) == open_uploads
    # The upload that was aborted in the store is among them.
    assert sweep(in_a_week + timedelta(hours=1)).expired_uploads == open_uploads + 1
    assert list(world.store.list_uploads("")) == []
    assert {item.key for item in world.store.list_objects("")} == used
