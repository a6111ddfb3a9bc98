"""Publishing on a real store: all-zero chunks are copied, options hold, latest.json points at the newest."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.errors import BadRequest, InvalidState, ObjectChanged, ObjectMissing, StoreUnavailable
from image_gateway.local.seaweed import LocalStore
from image_gateway.services.publishing import Published, Publishing
from image_gateway.settings import load_settings
from image_gateway.storage.client import StoreClients
from tests.support.aws_shape import AwsShape, Canned, aws_shape
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.world import Image, World, make_world

CHUNK = 1024 * 1024
NOISE = random.Random(11).randbytes(CHUNK)
# Chunks: noise, zeros, zeros, noise, zeros, and a short one of zeros.
DATA = NOISE + bytes(2 * CHUNK) + NOISE[::-1] + bytes(CHUNK) + bytes(512)
ZERO_RANGES = [(CHUNK, 3 * CHUNK), (4 * CHUNK, 5 * CHUNK + 512)]
COPY = "x-amz-copy-source"


@dataclass
class Writes:
    """The chunks that were sent and copied, and answers to copies that a test wants."""

    sent: list[str] = field(default_factory=list)
    copied: list[str] = field(default_factory=list)
    answers: list[Canned] = field(default_factory=list)

    def script(self, method: str, target: str, headers: Mapping[str, str]) -> Canned | None:
        name = urlsplit(target).path.rpartition("/")[2]
        if method != "PUT" or not name.endswith(".bin"):
            return None
        if COPY not in headers:
            self.sent.append(name)
            return None
        if self.answers:
            return self.answers.pop(0)
        self.copied.append(name)
        return None


@pytest.fixture(scope="module")
def shape(store: LocalStore) -> Iterator[AwsShape]:
    address = urlsplit(store.address.endpoint or "")
    with aws_shape((address.hostname or "", address.port or 0)) as made:
        yield made


@pytest.fixture(scope="module")
def shaped_world(
    store: LocalStore, shape: AwsShape, databases: Databases, checker: ContractChecker
) -> Iterator[World]:
    url = databases.make_migrated()
    engine = open_engine(url)
    settings = load_settings(
        {"S3_BUCKET": "images", "AWS_REGION": "us-east-1", "DATABASE_URL": url, "ACCESS_CACHE_SECONDS": "0"}
    )
    clients = StoreClients(replace(store.address, endpoint=shape.url))
    world = make_world(settings, Catalog(engine), checker, clients)
    yield world
    for pool in world.store._reads._pools.values():  # type: ignore[attr-defined]
        while kept := pool.take():
            kept.close()
    clients.requests.close()
    engine.dispose()
    databases.drop(url)


@pytest.fixture
def world(shaped_world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    # The SDK does not wait between its tries.
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    return shaped_world


@pytest.fixture
def writes(shape: AwsShape) -> Iterator[Writes]:
    made = Writes()
    shape.script = made.script
    yield made
    shape.script = lambda *_: None


@pytest.fixture
def image(world: World) -> Image:
    return world.make_image(DATA)


def publish(world: World, image: Image, *, latest: bool = False, **options: Any) -> Published:
    publishing = Publishing(world.catalog, world.store, world.settings.cache_control, latest=latest)
    return publishing.publish(image.image_id, chunk_size=CHUNK, **{"parallel": 3, **options})


def manifest(world: World, image: Image) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(world.request("GET", image.path("chunked/manifest")).data)
    return document


def read_chunks(world: World, image: Image) -> bytes:
    return b"".join(
        world.request("GET", image.path(f"chunked/chunks/{index}")).data
        for index in range(manifest(world, image)["chunkCount"])
    )


def head(world: World, key: str) -> dict[str, Any]:
    return dict(world.clients.requests.head_object(Bucket="images", Key=key))


def test_zero_chunks_are_sent_once_per_size(world: World, image: Image, writes: Writes) -> None:
    result = publish(world, image)
    assert (result.sent, result.copied, result.kept) == (6, 2, 0)
    assert result.zero_ranges == ZERO_RANGES
    assert len(writes.copied) == 2
    assert sorted(writes.sent + writes.copied) == [f"{index:08d}.bin" for index in range(6)]
    assert read_chunks(world, image) == DATA
    hashes = [chunk["sha256"] for chunk in manifest(world, image)["chunks"]]
    assert hashes == [
        hashlib.sha256(DATA[start : start + CHUNK]).hexdigest() for start in range(0, len(DATA), CHUNK)
    ]
    prefix = image.key.removesuffix("disk.img")
    stored = {name: head(world, f"{prefix}chunks/{name}") for name in writes.sent + writes.copied}
    facts = ("ContentType", "ContentEncoding", "CacheControl")
    assert {tuple(answer[name] for name in facts) for answer in stored.values()} == {
        ("application/octet-stream", "identity", world.settings.cache_control)
    }


def test_publishing_again_keeps_copies_and_knows_the_zeros(
    world: World, image: Image, writes: Writes
) -> None:
    publish(world, image)
    again = publish(world, image)
    assert (again.sent, again.kept, again.zero_ranges) == (0, 6, ZERO_RANGES)
    record = world.catalog.find(image.image_id)
    assert record is not None
    world.store.delete(record.location.chunk_key(2, 8))
    writes.sent.clear()
    writes.copied.clear()
    mended = publish(world, image, parallel=1)
    assert (mended.sent, mended.copied, mended.kept) == (1, 1, 5)
    assert (writes.sent, writes.copied) == ([], ["00000002.bin"])


@pytest.mark.parametrize("size", [4, 12])
def test_a_copy_of_a_large_chunk_is_kept(world: World, size: int) -> None:
    chunk = size * CHUNK
    image = world.make_image(bytes(3 * chunk))
    publishing = Publishing(world.catalog, world.store, world.settings.cache_control)
    assert publishing.publish(image.image_id, chunk_size=chunk).copied == 2
    record = world.catalog.find(image.image_id)
    assert record is not None
    world.store.delete(record.location.manifest_key)
    again = publishing.publish(image.image_id)
    assert (again.sent, again.kept, again.zero_ranges) == (0, 3, [(0, 3 * chunk)])


@pytest.mark.parametrize("code", ["SlowDown", "InternalError"])
@pytest.mark.parametrize("status", [200, 503])
def test_a_copy_that_fails_for_the_moment_is_tried_again(
    world: World, image: Image, writes: Writes, status: int, code: str
) -> None:
    writes.answers = [Canned(status, code)]
    result = publish(world, image)
    assert (result.copied, writes.answers) == (2, [])
    assert read_chunks(world, image) == DATA


@pytest.mark.parametrize("status", [200, 503])
def test_a_publish_that_copies_in_vain_is_continued(
    world: World, image: Image, writes: Writes, status: int
) -> None:
    writes.answers = [Canned(status, "SlowDown")] * 3
    with pytest.raises(StoreUnavailable):
        publish(world, image, parallel=1)
    assert "chunked" not in world.request("GET", image.path("stream-url")).get_json()
    result = publish(world, image)
    assert result.kept == 2
    assert result.sent == 4
    assert read_chunks(world, image) == DATA


@pytest.mark.parametrize(
    "answer",
    [
        Canned(403, "AccessDenied"),
        Canned(501, "NotImplemented"),
        Canned(200, body=b"<CopyObjectResult/>"),
        Canned(404, "NoSuchKey"),
        Canned(412, "PreconditionFailed"),
    ],
    ids=lambda answer: f"{answer.status} {answer.code}",
)
def test_a_store_that_does_not_copy_gets_the_bytes(
    world: World, image: Image, writes: Writes, answer: Canned
) -> None:
    writes.answers = [answer] * 6
    result = publish(world, image)
    assert (result.sent, result.copied) == (6, 0)
    assert sorted(writes.sent) == [f"{index:08d}.bin" for index in range(6)]
    assert read_chunks(world, image) == DATA


def test_a_copy_is_tied_to_its_source(world: World, image: Image) -> None:
    key = image.key.removesuffix("disk.img") + "chunks/00000000.bin"
    headers = {"content_type": "application/octet-stream", "cache_control": "no-store"}
    etag = world.store.put(f"{key}.source", NOISE, **headers)
    assert world.store.copy(f"{key}.source", key, source_etag=etag, **headers) == etag
    assert world.store.open(key).body.read_all() == NOISE
    with pytest.raises(ObjectMissing):
        world.store.copy(f"{key}.missing", key, source_etag=etag, **headers)
    with pytest.raises(ObjectChanged):
        world.store.copy(f"{key}.source", key, source_etag='"0"', **headers)


def test_hashes_of_chunks_are_left_out(world: World, image: Image) -> None:
    publish(world, image, checksum="none")
    document = manifest(world, image)
    assert document["version"] == f"sha256-{hashlib.sha256(DATA).hexdigest()}"
    assert document["chunks"] == [{"size": CHUNK}] * 5 + [{"size": 512}]
    with pytest.raises(InvalidState, match="without SHA-256"):
        publish(world, image, checksum="sha256")
    record = world.catalog.find(image.image_id)
    assert record is not None
    world.store.delete(record.location.chunk_key(0, 8))
    assert publish(world, image).sent == 1
    assert manifest(world, image) == document


def test_the_cache_control_of_a_publication(world: World, image: Image) -> None:
    value = "private, max-age=9, no-transform"
    publish(world, image, cache_control=value)
    prefix = image.key.removesuffix("disk.img")
    for name in ("manifest.json", "chunks/00000000.bin", "chunks/00000002.bin"):
        assert head(world, prefix + name)["CacheControl"] == value
    with pytest.raises(InvalidState, match="cannot change"):
        publish(world, image, cache_control="no-transform")
    assert publish(world, image).sent == 0


@pytest.mark.parametrize("options", [{"cache_control": "public"}, {"checksum": "md5"}], ids=str)
def test_an_option_that_is_refused(world: World, image: Image, options: dict[str, str]) -> None:
    with pytest.raises(BadRequest, match="must"):
        publish(world, image, **options)
