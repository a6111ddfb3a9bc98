"""Chunks: published, read through the gateway, redirected to CloudFront."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from image_gateway.errors import BadRequest, InvalidState, NotFound
from tests.support.moto_store import date_object
from tests.support.world import Image, World

CHUNK = 1024
DATA = b"".join(hashlib.sha256(bytes([number])).digest() * 16 for number in range(5))


@pytest.fixture
def image(world: World) -> Image:
    return world.make_image(DATA)


@pytest.fixture
def published(world: World, image: Image) -> Image:
    world.publish(image, CHUNK)
    return image


def test_manifest(world: World, published: Image) -> None:
    response = world.request("GET", published.path("chunked/manifest"))
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Content-Encoding"] == "identity"
    manifest = json.loads(response.data)
    pieces = [DATA[start : start + CHUNK] for start in range(0, len(DATA), CHUNK)]
    assert manifest == {
        "schema": "aero.chunked-disk-image.v1",
        "imageId": published.image_id,
        "version": f"sha256-{hashlib.sha256(DATA).hexdigest()}",
        "mimeType": "application/octet-stream",
        "totalSize": len(DATA),
        "chunkSize": CHUNK,
        "chunkCount": 3,
        "chunkIndexWidth": 8,
        "chunks": [{"size": len(piece), "sha256": hashlib.sha256(piece).hexdigest()} for piece in pieces],
    }


@pytest.mark.parametrize(
    ("name", "status", "index"),
    [
        ("0", 200, 0),
        ("00000000.bin", 200, 0),
        ("1", 200, 1),
        ("0001", 200, 1),
        ("0" * 31 + "2", 200, 2),
        ("00000002.bin", 200, 2),
        ("3", 404, None),
        ("00000003.bin", 404, None),
        ("2.bin", 404, None),
        ("9" * 32, 404, None),
        ("9" * 33, 400, None),
        ("-1", 400, None),
        ("1.img", 400, None),
        ("x", 400, None),
        ("1.bin.bin", 400, None),
        ("%31", 200, 1),
        ("٣", 400, None),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_chunks(
    world: World, published: Image, method: str, name: str, status: int, index: int | None
) -> None:
    response = world.request(method, published.path(f"chunked/chunks/{name}"))
    assert response.status_code == status
    if index is not None:
        piece = DATA[index * CHUNK : (index + 1) * CHUNK]
        assert response.headers["Content-Length"] == str(len(piece))
        assert response.headers["Content-Type"] == "application/octet-stream"
        assert response.data == (piece if method == "GET" else b"")


def test_a_chunk_keeps_the_rules_of_ranges(world: World, published: Image) -> None:
    path = published.path("chunked/chunks/2")
    whole = world.request("GET", path)
    part = world.request("GET", path, headers={"Range": "bytes=-2", "If-Range": whole.headers["ETag"]})
    assert (part.status_code, part.data) == (206, DATA[-2:])
    assert world.request("GET", path, headers={"Range": "bytes=512-"}).status_code == 416
    assert world.request("GET", path, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    other = world.request("GET", published.path("chunked/chunks/1"))
    assert other.headers["ETag"] != whole.headers["ETag"]


def test_a_manifest_is_always_whole(world: World, published: Image) -> None:
    response = world.request("GET", published.path("chunked/manifest"), headers={"Range": "bytes=0-9"})
    assert (response.status_code, response.headers["Accept-Ranges"]) == (200, "none")
    assert json.loads(response.data)["imageId"] == published.image_id


@pytest.mark.parametrize("later", [0, 2], ids=["in the second of publication", "later"])
def test_a_chunk_of_another_size_is_never_served(world: World, published: Image, later: int) -> None:
    record = world.catalog.find(published.image_id)
    assert record is not None
    assert record.chunked is not None
    key = record.location.chunk_key(0, 8)
    world.replace_object(key, b"short", ContentEncoding="identity")
    date_object(world.settings.s3_bucket, key, record.chunked.published_at + timedelta(seconds=later))
    response = world.request("GET", published.path("chunked/chunks/0"))
    assert (response.status_code, response.get_json()["error"]["code"]) == (502, "S3_ERROR")


@pytest.mark.parametrize("route", ["chunked/manifest", "chunked/chunks/0"])
def test_an_image_that_is_not_published_has_no_chunks(world: World, image: Image, route: str) -> None:
    assert world.request("GET", image.path(route)).status_code == 404
    assert "chunked" not in world.request("GET", image.path("stream-url")).get_json()


def test_stream_url_offers_the_manifest(world: World, published: Image) -> None:
    body = world.request("GET", published.path("stream-url")).get_json()
    manifest = body["url"].replace("/disk.img", "/manifest.json")
    assert body["chunked"] == {"delivery": "chunked", "manifestUrl": manifest}


def test_objects_lie_beside_the_disk_with_their_headers(world: World, published: Image) -> None:
    prefix = published.key.removesuffix("disk.img")
    keys = {item.key.removeprefix(prefix): item.key for item in world.store.list_objects(prefix)}
    assert set(keys) == {
        "disk.img",
        "manifest.json",
        "chunks/00000000.bin",
        "chunks/00000001.bin",
        "chunks/00000002.bin",
    }
    stored = world.clients.requests.head_object(Bucket="images", Key=keys["chunks/00000001.bin"])
    assert stored["ContentEncoding"] == "identity"
    assert "no-transform" in stored["CacheControl"]


def test_publishing_again_sends_nothing(world: World, published: Image) -> None:
    again = world.publish(published, CHUNK)
    assert (again.sent, again.kept) == (0, 3)


@pytest.mark.parametrize("damage", ["lost chunk", "lost manifest", "written later"])
def test_publishing_again_mends_what_was_damaged(world: World, published: Image, damage: str) -> None:
    record = world.catalog.find(published.image_id)
    assert record is not None
    assert record.chunked is not None
    if damage == "lost chunk":
        world.store.delete(record.location.chunk_key(1, 8))
    elif damage == "lost manifest":
        world.store.delete(record.location.manifest_key)
    else:
        early = record.chunked.published_at - timedelta(seconds=60)
        world.catalog.publish(record.image_id, replace(record.chunked, published_at=early), early)
        head = world.request("HEAD", published.path("chunked/chunks/1"))
        whole = world.request("GET", published.path("chunked/chunks/1"), headers={"Range": "bytes=0-1"})
        assert (whole.status_code, head.headers["ETag"]) == (200, whole.headers["ETag"])
    result = world.publish(published, CHUNK)
    assert (result.sent, result.kept) == ((1, 2) if damage == "lost chunk" else (0, 3))
    ranged = world.request("GET", published.path("chunked/chunks/1"), headers={"Range": "bytes=0-1"})
    assert (ranged.status_code, ranged.data) == (206, DATA[CHUNK : CHUNK + 2])
    assert world.request("GET", published.path("chunked/manifest")).status_code == 200


def test_a_publish_that_died_is_continued(
    world: World, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = world.store.put
    sent: list[str] = []

    def die_at_the_manifest(key: str, data: bytes, **options: Any) -> None:
        if key.endswith("manifest.json") and len(sent) == 3:
            sent.append("died")
            raise KeyboardInterrupt
        sent.append(key)
        put(key, data, **options)

    monkeypatch.setattr(world.store, "put", die_at_the_manifest)
    with pytest.raises(KeyboardInterrupt):
        world.publish(image, CHUNK)
    assert "chunked" not in world.request("GET", image.path("stream-url")).get_json()
    record = world.catalog.find(image.image_id)
    assert record is not None
    world.replace_object(record.location.chunk_key(1, 8), b"x" * CHUNK)
    result = world.publish(image, CHUNK)
    assert (result.sent, result.kept) == (1, 2)
    assert world.request("GET", image.path("chunked/chunks/1")).data == DATA[CHUNK : 2 * CHUNK]


def test_the_chunk_size_cannot_change_once_begun(world: World, published: Image) -> None:
    with pytest.raises(InvalidState, match="is 1024 bytes and cannot be changed"):
        world.publish(published, 512)


@pytest.mark.parametrize(
    ("data", "chunk_size", "text"),
    [
        (b"x" * 513, 512, "totalSize"),
        (b"x" * 512, 513, "chunkSize"),
        (b"QFI\xfb" + bytes(508), 512, "qcow2"),
        (b"vhdxfile" + bytes(504), 512, "VHDX"),
        pytest.param(bytes(4096) + b"conectix".ljust(512, b"\0"), 512, "fixed VHD", id="VHD footer"),
    ],
)
def test_what_cannot_be_published(world: World, data: bytes, chunk_size: int, text: str) -> None:
    image = world.make_image(data)
    with pytest.raises(BadRequest, match=text):
        world.publish(image, chunk_size)


def test_an_unfinished_or_unknown_image_cannot_be_published(world: World, image: Image) -> None:
    image_id, _ = world.begin()
    image.image_id = image_id
    with pytest.raises(InvalidState):
        world.publish(image, CHUNK)
    image.image_id = "nothing"
    with pytest.raises(NotFound):
        world.publish(image, CHUNK)
