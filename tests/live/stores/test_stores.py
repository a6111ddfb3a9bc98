"""What depends on the store, on three of them: SeaweedFS, moto's server, and SeaweedFS with AWS's manners."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3

from image_gateway.client.api import GatewayClient
from image_gateway.local.seaweed import LocalStore
from image_gateway.services.sweep_report import SweepReport
from image_gateway.services.sweeping import Sweeper
from image_gateway.storage.client import StoreAddress, StoreClients
from tests.live.conftest import StartGateway
from tests.live.stores.conftest import DATA, PART, Places, begin, complete, put, running_places, upload
from tests.live.support import run_cli
from tests.support.aws_shape import AwsShape
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.moto_store import running_moto
from tests.support.world import World

pytestmark = pytest.mark.thorough
STORES = ["seaweedfs", "moto", "aws"]


@pytest.fixture(scope="module")
def moto_address() -> Iterator[StoreAddress]:
    with running_moto() as address:
        StoreClients(address).requests.create_bucket(Bucket=address.bucket)
        yield address


@pytest.fixture(scope="module")
def places(
    store: LocalStore,
    moto_address: StoreAddress,
    shape: AwsShape,
    databases: Databases,
    checker: ContractChecker,
) -> Iterator[Places]:
    addresses = {
        "seaweedfs": store.address,
        "moto": moto_address,
        "aws": replace(store.address, endpoint=shape.url),
    }
    with running_places(addresses, databases, checker) as made:
        yield made


@pytest.fixture(params=STORES)
def world(request: pytest.FixtureRequest, places: Places, shape: AwsShape) -> World:
    if request.param == "aws":
        # Every call may be refused once: nothing but patience helps.
        shape.slow_down_every = 7
    return places.world(request.param)


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
