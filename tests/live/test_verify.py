"""`image-gateway verify` on a real gateway and a real store: by id, as Aero, by leased URL, in a bucket."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import LocalGateway
from image_gateway.local.seaweed import LocalStore
from image_gateway.storage.client import StoreClients
from image_gateway.storage.objects import ObjectStore
from tests.live.conftest import StartGateway
from tests.live.support import run_cli

MIB = 1024 * 1024
SIZE = 4 * MIB + 512
DATA = random.Random(9).randbytes(MIB) + bytes(2 * MIB) + random.Random(10).randbytes(MIB + 512)


@dataclass
class Published:
    """A published image: its owner's client, and its objects."""

    client: GatewayClient
    image_id: str
    variables: dict[str, str]
    clients: StoreClients
    prefix: str

    def verify(self, target: str | None = None, *options: str) -> CompletedProcess[str]:
        return run_cli(self.variables, "verify", target or self.image_id, "--patience", "0", *options)

    def put(self, name: str, data: bytes, **headers: str) -> None:
        """Write another object over one of the image's, as nobody should."""
        given = {
            "ContentType": "application/octet-stream",
            "CacheControl": "no-transform",
            "ContentEncoding": "identity",
            **headers,
        }
        self.clients.requests.put_object(Bucket="images", Key=self.prefix + name, Body=data, **given)  # type: ignore[arg-type]


def make_published(
    gateway: LocalGateway,
    environment: dict[str, str],
    store: LocalStore,
    folder: Path,
    *options: str,
    publish: bool = True,
) -> Published:
    user = f"user-{uuid.uuid4()}"
    client = GatewayClient(gateway.url, user)
    disk = folder / "disk.img"
    disk.write_bytes(DATA)
    image_id = upload_file(client, disk, parallel=2, on_bytes=lambda _: None).image_id
    if publish:
        ended = run_cli(environment, "publish", image_id, "--chunk-size", str(MIB), *options)
        assert ended.returncode == 0, ended.stderr
    clients = StoreClients(store.address)
    keys = [item.key for item in ObjectStore(clients).list_objects("images/") if f"/{image_id}/" in item.key]
    (disk_key,) = [key for key in keys if key.endswith("/disk.img")]
    variables = {**environment, "IMAGE_GATEWAY_API": gateway.url, "IMAGE_GATEWAY_USER": user}
    return Published(client, image_id, variables, clients, disk_key.removesuffix("disk.img"))


@pytest.fixture
def image(gateway: LocalGateway, environment: dict[str, str], store: LocalStore, tmp_path: Path) -> Published:
    return make_published(gateway, environment, store, tmp_path)


@pytest.fixture(scope="module")
def shared(
    gateway: LocalGateway,
    environment: dict[str, str],
    store: LocalStore,
    tmp_path_factory: pytest.TempPathFactory,
) -> Published:
    return make_published(gateway, environment, store, tmp_path_factory.mktemp("shared"))


@pytest.fixture
def spoiled(shared: Published) -> Iterator[Published]:
    """An image whose objects a test may write over: they are as they were afterwards."""
    yield shared
    for number in (3, 4):
        shared.put(f"chunks/{number:08d}.bin", DATA[number * MIB : (number + 1) * MIB])
    shared.put("disk.img", DATA)


def problems(ended: CompletedProcess[str]) -> list[tuple[str, str]]:
    return [(problem["where"], problem["check"]) for problem in json.loads(ended.stdout)["problems"]]


def test_a_published_image_in_every_way(shared: Published) -> None:
    image = shared
    url = image.client.stream_url(image.image_id)
    for target, options, read in [
        (image.image_id, (), 2 * SIZE),
        (image.image_id.upper(), ("--as", "aero"), 2 * SIZE),
        (url["url"], (), 2 * SIZE),
        (url["chunked"]["manifestUrl"], ("--as", "aero"), SIZE),
        (f"s3://images/{image.prefix}", (), 2 * SIZE),
    ]:
        ended = image.verify(target, "--json", *options)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        answer: dict[str, Any] = json.loads(ended.stdout)
        assert (answer["ok"], answer["checkedChunks"], answer["checkedBytes"]) == (True, 5, read)
        assert "igl~" not in ended.stdout + ended.stderr
    sampled = image.verify(None, "--sample", "2", "--seed", "3")
    assert "read 2 of 5 chunks (seed 3) and compared with the disk" in sampled.stdout


def test_hashes_that_were_left_out(
    gateway: LocalGateway, environment: dict[str, str], store: LocalStore, tmp_path: Path
) -> None:
    image = make_published(gateway, environment, store, tmp_path, "--checksum", "none")
    assert image.verify().returncode == 0
    image.put("chunks/00000003.bin", b"x" * MIB)
    bucket = image.verify(f"s3://images/{image.prefix}", "--json", "--keep-going")
    # Without hashes of chunks, two comparisons show it.
    assert problems(bucket) == [
        (f"disk bytes {3 * MIB}-{4 * MIB - 1}", "equality"),
        ("manifest", "version"),
    ]


FAULTS: dict[str, tuple[str, bytes, dict[str, str], tuple[str, str]]] = {
    "bytes": ("chunks/00000003.bin", b"x" * MIB, {}, ("chunk 3", "sha256")),
    "size": ("chunks/00000004.bin", DATA[-512:] + b"x", {}, ("chunk 4", "size")),
    "type": ("chunks/00000004.bin", DATA[-512:], {"ContentType": "text/plain"}, ("chunk 4", "content-type")),
    "encoding": (
        "chunks/00000004.bin",
        DATA[-512:],
        {"ContentEncoding": "gzip"},
        ("chunk 4", "content-encoding"),
    ),
    "cache-control": (
        "chunks/00000004.bin",
        DATA[-512:],
        {"CacheControl": "public, max-age=60"},
        ("chunk 4", "cache-control"),
    ),
    "disk": ("disk.img", bytes(SIZE), {}, (f"disk bytes 0-{MIB - 1}", "equality")),
    "size of the disk": ("disk.img", DATA[:MIB], {}, ("disk", "size")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_bucket_is_found(spoiled: Published, fault: str) -> None:
    name, data, headers, expected = FAULTS[fault]
    spoiled.put(name, data, **headers)
    ended = spoiled.verify(f"s3://images/{spoiled.prefix}", "--json")
    assert (ended.returncode, problems(ended)) == (1, [expected])


def test_an_object_that_is_missing(image: Published) -> None:
    store = ObjectStore(image.clients)
    store.delete(f"{image.prefix}chunks/00000001.bin")
    store.delete(f"{image.prefix}disk.img")
    ended = image.verify(f"s3://images/{image.prefix}", "--json", "--keep-going")
    assert (ended.returncode, problems(ended)) == (1, [("chunk 1", "missing")])
    store.delete(f"{image.prefix}manifest.json")
    assert image.verify(f"s3://images/{image.prefix}").returncode == 75


def test_what_the_store_does_not_give(shared: Published) -> None:
    for target, changes in [
        (f"s3://no-such-bucket/{shared.prefix}", {}),
        (f"s3://images/{shared.prefix}", {"S3_ENDPOINT": "http://127.0.0.1:1"}),
        (f"s3://images/{shared.prefix}", {"AWS_SECRET_ACCESS_KEY": "wrong"}),
    ]:
        variables = {**shared.variables, **changes}
        ended = run_cli(variables, "verify", target)
        assert ended.returncode == 75, ended.stdout + ended.stderr
        assert "could not be read: manifest: " in ended.stdout


def test_somebody_else_cannot_read_it(shared: Published) -> None:
    variables = {**shared.variables, "IMAGE_GATEWAY_USER": "somebody-else"}
    for options in ((), ("--as", "aero")):
        ended = run_cli(variables, "verify", shared.image_id, *options)
        assert ended.returncode == 75
        assert "could not be read: target: unreadable: HTTP 403" in ended.stdout


def test_an_image_that_is_not_published(
    gateway: LocalGateway, environment: dict[str, str], store: LocalStore, tmp_path: Path
) -> None:
    image = make_published(gateway, environment, store, tmp_path, publish=False)
    for options in ((), ("--as", "aero")):
        ended = image.verify(None, *options)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert "read 2 of 2 ranges of the disk, which has no manifest" in ended.stdout


def test_cookies_of_a_lease(
    start: StartGateway, environment: dict[str, str], store: LocalStore, tmp_path: Path
) -> None:
    gateway = start(GATEWAY_AUTH_MODE="cookie")
    image = make_published(gateway, environment, store, tmp_path)
    ended = image.verify(None, "--as", "aero", "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    stream = image.client.stream_url(image.image_id)
    (cookie,) = stream["auth"]["cookies"]
    manifest = stream["chunked"]["manifestUrl"]
    assert image.verify(manifest).returncode == 75
    given = image.verify(manifest, "--cookie", f"{cookie['name']}={cookie['value']}")
    assert given.returncode == 0, given.stdout + given.stderr
    assert cookie["value"] not in given.stdout + given.stderr
