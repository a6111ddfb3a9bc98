"""What depends on the store, on three of them: SeaweedFS, moto's server, and SeaweedFS with AWS's manners."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.client.api import GatewayClient
from image_gateway.local.seaweed import LocalStore
from image_gateway.services.sweeping import Sweeper, SweepReport
from image_gateway.settings import load_settings
from image_gateway.storage.client import StoreAddress, StoreClients
from tests.live.conftest import StartGateway
from tests.live.support import run_cli
from tests.support.aws_shape import HOST_ID, REQUEST_ID, AwsShape, Canned, aws_shape
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.moto_store import running_moto
from tests.support.world import Image, World, make_world

pytestmark = pytest.mark.thorough
MIB = 1024 * 1024
PART = 5 * MIB
DATA = random.Random(3).randbytes(PART + 4096)
STORES = ["seaweedfs", "moto", "aws"]


@pytest.fixture(scope="module")
def shape(store: LocalStore) -> Iterator[AwsShape]:
    address = urlsplit(store.address.endpoint or "")
    with aws_shape((address.hostname or "", address.port or 0)) as made:
        yield made


@pytest.fixture(scope="module")
def moto_address() -> Iterator[StoreAddress]:
    with running_moto() as address:
        StoreClients(address).requests.create_bucket(Bucket=address.bucket)
        yield address


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch, shape: AwsShape) -> Iterator[None]:
    """The SDK does not wait between its tries, and nothing is left of another test's script."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    yield
    shape.script, shape.slow_down_every = lambda *_: None, 0
    shape.loses = lambda *_: False


@dataclass
class Places:
    """A gateway over each of the stores, all with one catalog."""

    worlds: dict[str, World]

    def world(self, name: str, cache: Path | None = None) -> World:
        plain = self.worlds[name]
        return plain if cache is None else plain.with_settings(range_cache_dir=str(cache))

    def close(self) -> None:
        """Close the connections that are kept for the next read."""
        for world in self.worlds.values():
            for pool in world.store._reads._pools.values():  # type: ignore[attr-defined]
                while kept := pool.take():
                    kept.close()
            world.clients.requests.close()


@pytest.fixture(scope="module")
def places(
    store: LocalStore,
    moto_address: StoreAddress,
    shape: AwsShape,
    databases: Databases,
    checker: ContractChecker,
) -> Iterator[Places]:
    url = databases.make_migrated()
    engine = open_engine(url)
    addresses = {
        "seaweedfs": store.address,
        "moto": moto_address,
        "aws": replace(store.address, endpoint=shape.url),
    }
    settings = load_settings(
        {
            "S3_BUCKET": "images",
            "AWS_REGION": "us-east-1",
            "DATABASE_URL": url,
            "ACCESS_CACHE_SECONDS": "0",
            "MULTIPART_PART_SIZE_BYTES": str(PART),
        }
    )
    made = Places(
        {
            name: make_world(settings, Catalog(engine), checker, StoreClients(address))
            for name, address in addresses.items()
        }
    )
    yield made
    made.close()
    engine.dispose()
    databases.drop(url)


@pytest.fixture(params=STORES)
def world(request: pytest.FixtureRequest, places: Places, shape: AwsShape) -> World:
    if request.param == "aws":
        # Every call may be refused once: nothing but patience helps.
        shape.slow_down_every = 7
    return places.world(request.param)


def put(world: World, plan: Mapping[str, Any], number: int, data: bytes) -> str:
    """PUT a part as a browser does, and again when the store is too busy; returns its ETag."""
    body = {"uploadId": plan["uploadId"], "partNumbers": [number]}
    signed = world.request("POST", f"/v1/images/{plan['imageId']}/upload-urls", json=body).get_json()
    with urllib3.PoolManager(retries=False) as http:
        for _ in range(3):
            answer = http.request("PUT", signed["urls"][0]["url"], body=data)
            if answer.status != 503:
                break
    assert answer.status == 200, answer.data
    return answer.headers["ETag"]


def begin(world: World, **body: Any) -> dict[str, Any]:
    plan: dict[str, Any] = world.request("POST", "/v1/images", json=body).get_json()
    return plan


def complete(world: World, plan: Mapping[str, Any], parts: list[tuple[int, str]] | None = None) -> Any:
    body: dict[str, Any] = {"uploadId": plan["uploadId"]}
    if parts is not None:
        body["parts"] = [{"partNumber": number, "etag": etag} for number, etag in parts]
    return world.request("POST", f"/v1/images/{plan['imageId']}/complete", json=body)


def upload(world: World, data: bytes = DATA) -> Image:
    plan = begin(world, sizeBytes=len(data))
    for number, start in enumerate(range(0, len(data), PART), 1):
        put(world, plan, number, data[start : start + PART])
    answer = complete(world, plan)
    assert answer.status_code == 200, answer.text
    done = answer.get_json()
    key = world.key_of(plan["imageId"])
    return Image(plan["imageId"], plan["uploadId"], key, data, done["etag"], done["lastModified"])


def test_an_image_goes_up_and_comes_back(world: World) -> None:
    plan = begin(world, sizeBytes=len(DATA))
    path = f"/v1/images/{plan['imageId']}"
    put(world, plan, 2, DATA[PART:])
    shown = world.request("GET", f"{path}/upload").get_json()
    assert [(part["partNumber"], part["size"]) for part in shown["parts"]] == [(2, 4096)]
    early = complete(world, plan)
    assert (early.status_code, early.get_json()["error"]["message"]) == (409, "not uploaded: part 1")
    put(world, plan, 1, DATA[:PART])
    answers = [complete(world, plan).get_json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0]["size"] == len(DATA)
    ranges = [("0-0", 0, 1), (f"{PART - 1}-{PART}", PART - 1, PART + 1), ("-10", len(DATA) - 10, len(DATA))]
    for text, start, stop in ranges:
        response = world.request("GET", f"{path}/range", headers={"Range": f"bytes={text}"})
        assert (response.status_code, response.data) == (206, DATA[start:stop])
    assert world.request("GET", f"{path}/range").data == DATA
    head = world.request("HEAD", f"{path}/range")
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(DATA)))
    assert world.request("GET", "/readyz").status_code == 200


def test_a_part_that_was_sent_again_counts_once(world: World) -> None:
    """As every bad network makes it: the answer to a PUT was lost, and the client repeats it."""
    used = world.request("GET", "/v1/usage").get_json()["bytes"]["used"]
    limited = world.with_settings(quota_bytes=used + PART + 8192)
    plan = begin(limited, sizeBytes=len(DATA))
    first = [put(limited, plan, 1, DATA[:PART]) for _ in range(3)]
    second = put(limited, plan, 2, DATA[PART:])
    shown = limited.request("GET", f"/v1/images/{plan['imageId']}/upload").get_json()
    assert [part["partNumber"] for part in shown["parts"]] == [1, 2]
    answer = complete(limited, plan, [(1, first[-1]), (2, second)])
    assert (answer.status_code, answer.get_json().get("size")) == (200, len(DATA)), answer.text
    assert limited.request("GET", "/v1/usage").get_json()["bytes"]["used"] == used + len(DATA)
    assert limited.request("GET", f"/v1/images/{plan['imageId']}/range").data == DATA


def test_a_bad_network_makes_no_part_count_twice(
    start: StartGateway, shape: AwsShape, tmp_path: Path
) -> None:
    """The command line's whole upload, while the answer to the first PUT of each part is lost."""
    path = tmp_path / "disk.img"
    path.write_bytes(DATA + DATA)
    lost: set[str] = set()

    def loses(method: str, target: str) -> bool:
        number = parse_qs(urlsplit(target).query).get("partNumber", [""])[0]
        is_first = method == "PUT" and number not in lost
        lost.add(number)
        return is_first

    shape.loses = loses
    gateway = start(S3_PUBLIC_ENDPOINT=shape.url, QUOTA_BYTES=str(2 * len(DATA) + 1000))
    user = f"user-{uuid.uuid4()}"
    sent = run_cli(
        {"IMAGE_GATEWAY_API": gateway.url, "IMAGE_GATEWAY_USER": user, "XDG_CACHE_HOME": str(tmp_path)},
        *("upload", str(path), "--json"),
    )
    assert sent.returncode == 0, sent.stderr
    assert lost == {"1", "2", "3"}
    client = GatewayClient(gateway.url, user)
    image_id = json.loads(sent.stdout)["imageId"]
    assert client.read_range(image_id, 0, 2 * len(DATA)) == DATA + DATA
    with urllib3.PoolManager() as http:
        usage = http.request("GET", f"{gateway.url}/v1/usage", headers={"X-User-Id": user}).json()
    assert usage["bytes"]["used"] == 2 * len(DATA)


def test_other_bytes_sent_for_the_same_part_win(world: World) -> None:
    plan = begin(world, sizeBytes=4096)
    put(world, plan, 1, bytes(4096))
    newest = put(world, plan, 1, DATA[:4096])
    answer = complete(world, plan, [(1, newest)])
    assert answer.status_code == 200, answer.text
    assert world.request("GET", f"/v1/images/{plan['imageId']}/range").data == DATA[:4096]


def test_a_list_that_the_store_cannot_join_changes_nothing(world: World) -> None:
    plan = begin(world)
    etag = put(world, plan, 1, b"x" * 100)
    for parts in ([(1, '"0"')], [(1, etag), (2, etag)], [(2, etag)]):
        assert complete(world, plan, parts).status_code == 400
    assert complete(world, plan, [(1, etag)]).status_code == 200


def test_an_aborted_upload_is_gone(world: World) -> None:
    plan = begin(world)
    put(world, plan, 1, b"x")
    path = f"/v1/images/{plan['imageId']}"
    assert [world.request("DELETE", f"{path}/upload").status_code for _ in range(2)] == [200, 200]
    assert complete(world, plan).status_code == 409
    assert world.request("GET", path).get_json()["state"] == "failed"
    assert is_empty(world, plan["imageId"])


def test_what_was_published_is_read_by_chunks_and_deleted_with_its_image(world: World) -> None:
    image = upload(world, DATA[:4096])
    assert world.publish(image, 512).sent == 8
    assert world.publish(image, 512).sent == 0
    chunks = [world.request("GET", image.path(f"chunked/chunks/{index}")).data for index in range(8)]
    assert b"".join(chunks) == image.data
    assert world.request("DELETE", f"/v1/images/{image.image_id}").status_code == 200
    sweeper = Sweeper(world.catalog, world.store, world.settings.image_base_path, time.time)
    report = sweeper.sweep(older_than=timedelta(days=1))
    assert replace(report, checked_images=0, vanished=[], unknown=[]) == SweepReport()
    assert is_empty(world, image.image_id)


def test_an_object_that_vanished_is_not_found(world: World) -> None:
    image = upload(world, DATA[:4096])
    world.store.delete(image.key)
    for headers in ({}, {"Range": "bytes=0-9"}):
        response = world.request("GET", image.path("range"), headers=headers)
        assert (response.status_code, response.get_json()["error"]["code"]) == (404, "NOT_FOUND")
    assert world.request("HEAD", image.path("range")).status_code == 404


@pytest.mark.parametrize("size", [4096, 100], ids=["of the same size", "smaller"])
def test_an_object_that_was_replaced_is_answered_whole(world: World, size: int) -> None:
    image = upload(world, DATA[:4096])
    new = bytes(byte ^ 0xFF for byte in image.data[:size])
    world.store.put(image.key, new, content_type="application/octet-stream", cache_control="no-store")
    response = world.request("GET", image.path("range"), headers={"Range": "bytes=2000-2009"})
    assert (response.status_code, response.data) == (200, new)
    assert response.headers["ETag"] != image.etag


def is_empty(world: World, image_id: str) -> bool:
    record = world.catalog.find(image_id)
    assert record is not None
    prefix = record.location.prefix
    return not [*world.store.list_objects(prefix), *world.store.list_uploads(prefix)]


# What AWS answers, in the forms in which it does

HTML = b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1><hr></body></html>"
NOT_OURS = (502, "S3_ERROR")
LATER = (503, "S3_UNAVAILABLE")
ANSWERS: dict[str, tuple[Canned, tuple[int, str]]] = {
    "another region": (Canned(301, "PermanentRedirect"), NOT_OURS),
    "another endpoint": (
        Canned(307, "TemporaryRedirect", {"Location": "http://127.0.0.1:9/elsewhere"}),
        NOT_OURS,
    ),
    "an expired token": (Canned(400, "ExpiredToken"), NOT_OURS),
    "a clock that is wrong": (Canned(403, "RequestTimeTooSkewed"), NOT_OURS),
    "no permission": (Canned(403, "AccessDenied"), NOT_OURS),
    "a vanished object": (Canned(404, "NoSuchKey"), (404, "NOT_FOUND")),
    "an internal error": (Canned(500, "InternalError"), LATER),
    "slow down": (Canned(503, "SlowDown"), LATER),
    "a proxy's bad gateway": (Canned(502, None, {"Content-Type": "text/html"}, HTML), LATER),
    "a proxy's time-out": (Canned(504, None, {"Content-Type": "text/html"}, HTML), LATER),
    "no length": (
        Canned(200, None, {"ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT"}, b"x" * 4096),
        NOT_OURS,
    ),
}


@pytest.fixture(params=[False, True], ids=["no cache", "block cache"])
def aws(request: pytest.FixtureRequest, places: Places, tmp_path: Path) -> World:
    return places.world("aws", tmp_path / "blocks" if request.param else None)


@pytest.mark.parametrize("form", ["chunked", "length", "close"])
@pytest.mark.parametrize("name", ANSWERS)
def test_errors_as_aws_sends_them(
    aws: World, shape: AwsShape, caplog: pytest.LogCaptureFixture, name: str, form: str
) -> None:
    if name == "no length" and form == "length":
        form = "chunked"
    image = upload(aws, DATA[:4096])
    canned, expected = ANSWERS[name]
    canned = replace(canned, chunked=form != "length", close=form == "close")
    shape.script = lambda method, target, _: canned if _is_read(method, target, image) else None
    for headers in ({}, {"Range": "bytes=0-9"}):
        response = aws.request("GET", image.path("range"), headers=headers)
        assert (response.status_code, response.get_json()["error"]["code"]) == expected
        assert ("Retry-After" in response.headers) == (response.status_code == 503)
    if canned.code is not None and expected[0] != 404 and name != "another region":
        ids = {getattr(record, "store_request_id", None) for record in caplog.records}
        assert REQUEST_ID in ids
        assert HOST_ID in {getattr(record, "store_host_id", None) for record in caplog.records}
    assert "X-Amz-Signature" not in caplog.text
    shape.script = lambda *_: None
    assert aws.request("GET", image.path("range")).data == image.data


def _is_read(method: str, target: str, image: Image) -> bool:
    return method == "GET" and target.partition("?")[0].endswith(image.key)


@pytest.mark.parametrize("form", ["chunked", "length"])
@pytest.mark.parametrize(("status", "code"), [(412, "PreconditionFailed"), (416, "InvalidRange")])
def test_a_replaced_object_is_known_by_either_answer(
    aws: World, shape: AwsShape, status: int, code: str, form: str
) -> None:
    image = upload(aws, DATA[:4096])
    new = bytes(byte ^ 0xFF for byte in image.data[:50])
    aws.store.put(image.key, new, content_type="application/octet-stream", cache_control="no-store")

    def script(method: str, target: str, headers: Mapping[str, str]) -> Canned | None:
        tied = "if-match" in headers or "range" in headers
        refused = Canned(status, code, chunked=form == "chunked")
        return refused if tied and _is_read(method, target, image) else None

    shape.script = script
    response = aws.request("GET", image.path("range"), headers={"Range": "bytes=2000-2009"})
    assert (response.status_code, response.data) == (200, new)


def test_a_read_that_was_refused_is_signed_anew(aws: World, shape: AwsShape) -> None:
    """As after the credentials of a role were renewed: the URL of a moment ago holds no longer."""
    image = upload(aws, DATA[:4096])
    assert aws.request("GET", image.path("range"), headers={"Range": "bytes=0-9"}).status_code == 206
    refused: list[str] = []

    def script(method: str, target: str, headers: Mapping[str, str]) -> Canned | None:
        if _is_read(method, target, image) and "X-Amz-Signature" in target and not refused:
            refused.append(target)
            return Canned(403, "ExpiredToken")
        return None

    shape.script = script
    other = aws.with_settings(range_cache_dir=None)
    assert other.request("GET", image.path("range")).data == image.data
    assert len(refused) == 1
    assert other.request("GET", image.path("range")).data == image.data


def test_a_store_that_ignores_if_match_never_mixes_versions(
    places: Places, shape: AwsShape, tmp_path: Path
) -> None:
    """The block cache has one block of the old version, and the store gives the other one of the new."""
    cached = places.world("aws", tmp_path / "blocks").with_settings(
        range_cache_dir=str(tmp_path / "blocks"), range_cache_block_bytes=65_536
    )
    image = upload(cached, DATA[: 2 * 65_536])
    assert cached.request("GET", image.path("range"), headers={"Range": "bytes=0-9"}).status_code == 206
    new = bytes(byte ^ 0xFF for byte in image.data)
    cached.store.put(image.key, new, content_type="application/octet-stream", cache_control="no-store")
    listed = {item.key: item for item in cached.store.list_objects(image.key)}[image.key]

    def script(method: str, target: str, headers: Mapping[str, str]) -> Canned | None:
        if not _is_read(method, target, image) or "if-match" not in headers:
            return None
        first, last = (int(number) for number in headers["range"].removeprefix("bytes=").split("-"))
        facts = {
            "ETag": listed.etag,
            "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT",
            "Content-Range": f"bytes {first}-{last}/{len(new)}",
        }
        return Canned(206, None, facts, new[first : last + 1], chunked=False)

    shape.script = script
    response = cached.request("GET", image.path("range"), headers={"Range": "bytes=65536-65545"})
    assert (response.status_code, response.data) == (200, new)
    assert response.headers["ETag"] == listed.etag
