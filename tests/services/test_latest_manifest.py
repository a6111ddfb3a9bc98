"""`latest.json` points at the newest manifest: written last, mended, and gone with its image."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from image_gateway.errors import StoreUnavailable
from image_gateway.services.publishing import Published, Publishing
from tests.support.world import Image, World

CHUNK = 1024
DATA = b"x" * CHUNK + bytes(CHUNK)


@pytest.fixture
def image(world: World) -> Image:
    return world.make_image(DATA)


def publish(world: World, image: Image, *, latest: bool = True, **options: Any) -> Published:
    publishing = Publishing(world.catalog, world.store, world.settings.cache_control, latest=latest)
    return publishing.publish(image.image_id, chunk_size=CHUNK, **options)


def test_it_is_not_written_unless_it_is_wanted(world: World, image: Image) -> None:
    publish(world, image, latest=False)
    assert [item.key for item in world.store.list_objects("images/") if "latest" in item.key] == []


@pytest.mark.parametrize(
    ("value", "short"),
    [
        (None, "private, no-store, no-transform"),
        ("public, max-age=31536000, immutable, no-transform", "public, max-age=60, no-transform"),
    ],
)
def test_latest_points_at_the_manifest(world: World, image: Image, value: str | None, short: str) -> None:
    publish(world, image, cache_control=value)
    record = world.catalog.find(image.image_id)
    assert record is not None
    location = record.location
    latest = json.loads(world.store.open(location.latest_key).body.read_all())
    assert latest == {
        "schema": "aero.chunked-disk-image.latest.v1",
        "imageId": image.image_id,
        "version": f"sha256-{hashlib.sha256(DATA).hexdigest()}",
        "manifestKey": location.manifest_key,
        "manifestUrl": f"{location.version}/manifest.json",
    }
    assert location.latest_key.rpartition("/")[0] == location.prefix.rstrip("/").rpartition("/")[0]
    assert world.store.head(location.latest_key).cache_control == short


def test_latest_is_written_last_and_mended(
    world: World, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, names = world.store.put, []

    def note(key: str, data: bytes, **options: Any) -> str:
        names.append(key.rpartition("/")[2])
        if names.count("latest.json") == 1 and key.endswith("latest.json"):
            raise StoreUnavailable("busy")
        return put(key, data, **options)

    monkeypatch.setattr(world.store, "put", note)
    with pytest.raises(StoreUnavailable):
        publish(world, image)
    assert names[-2:] == ["manifest.json", "latest.json"]
    del names[:-1]
    assert publish(world, image).sent == 0
    assert publish(world, image).sent == 0
    assert names == ["latest.json"] * 2


def test_latest_goes_with_its_image(world: World, image: Image) -> None:
    publish(world, image)
    record = world.catalog.find(image.image_id)
    assert record is not None
    assert world.request("DELETE", f"/v1/images/{image.image_id}").status_code == 200
    folder = record.location.latest_key.removesuffix("latest.json")
    assert list(world.store.list_objects(folder)) == []
