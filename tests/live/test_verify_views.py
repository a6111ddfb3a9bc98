"""`image-gateway verify --as` of the clients of views, on a real gateway and a real store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import urllib3

from image_gateway.local.gateway import LocalGateway
from image_gateway.local.seaweed import LocalStore
from tests.live.conftest import StartGateway
from tests.live.support import run_cli
from tests.live.test_prefetch import recorded
from tests.live.test_verify import MIB, SIZE, Published, make_published, problems
from tests.support.fake_store import wait_for

ORIGIN = ("--header", "Origin: https://page.example")
# Bytes of all blocks: v86 reads two views, the last block of two clients is padded.
PADDED = 17 * 262_144
READ = {
    "v86": 2 * PADDED,
    "tinyemu": PADDED,
    "infinite-mac": SIZE,
    "webvm": 2 * SIZE,
    "sqlite": 2 * SIZE,
    "raw": SIZE,
}


@pytest.fixture(scope="module")
def image(
    gateway: LocalGateway,
    environment: dict[str, str],
    store: LocalStore,
    tmp_path_factory: pytest.TempPathFactory,
) -> Published:
    return make_published(gateway, environment, store, tmp_path_factory.mktemp("views"))


def verify(image: Published, target: str | None, *options: str) -> dict[str, Any]:
    ended = image.verify(target, "--json", *options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "igl~" not in ended.stdout + ended.stderr
    answer: dict[str, Any] = json.loads(ended.stdout)
    assert answer["checkedChunks"] == (answer["chunkCount"] if answer["sample"] is None else answer["sample"])
    return answer


@pytest.mark.parametrize("client", READ)
def test_the_views_that_stream_url_offers(image: Published, client: str) -> None:
    answer = verify(image, None, "--as", client, *ORIGIN)
    # The version in the manifest is the SHA-256.
    assert (answer["hashCompared"], answer["diskCompared"]) == (True, False)
    assert answer["checkedBytes"] == READ[client]


def test_urls_of_views_are_compared_with_the_disk(image: Published) -> None:
    views = image.client.stream_url(image.image_id)["views"]
    mac = views["infinite-mac"]["url"].replace("262144", "65536")
    any_part = views["v86"]["url"].replace("262144", "any")
    for client, url in [
        ("v86", f"{views['v86']['url']}.zst"),
        ("v86", any_part),
        ("tinyemu", views["tinyemu"]["url"]),
        ("infinite-mac", mac),
        ("webvm", views["webvm"]["url"]),
        ("webvm", views["webvm"]["bytesUrl"]),
        ("sqlite", views["sqlite"]["configUrl"]),
        ("raw", views["raw"]["url"]),
    ]:
        answer = verify(image, url, "--as", client, "--sample", "3", "--seed", "2")
        assert (answer["diskCompared"], answer["hashCompared"]) == (True, False), client


def test_many_pieces_of_a_database(image: Published) -> None:
    url = image.client.stream_url(image.image_id)["views"]["sqlite"]["configUrl"]
    answer = verify(image, url.replace("/sqlite/10485760/", "/sqlite/1048576/"), "--as", "sqlite")
    assert answer["chunkCount"] == 65 + 4


def test_an_image_that_everybody_may_read(
    start: StartGateway, environment: dict[str, str], store: LocalStore, tmp_path: Path
) -> None:
    gateway = start(RANGE_CACHE_DIR=str(tmp_path / "cache"))
    image = make_published(gateway, environment, store, tmp_path)
    record = image.client.image(image.image_id)
    image.client.send_json("PATCH", f"/v1/images/{image.image_id}", {"visibility": "public"})
    assert record["visibility"] == "private"
    base = f"{gateway.url}/v1/images/{image.image_id}/views"
    for client, url in [("v86", f"{base}/v86/1048576/disk.img"), ("webvm", f"{base}/webvm/")]:
        answer = verify(image, url, "--as", client)
        assert (answer["hashCompared"], answer["diskCompared"]) == (True, False)


def test_what_cannot_be_read(
    gateway: LocalGateway, environment: dict[str, str], store: LocalStore, tmp_path: Path
) -> None:
    image = make_published(gateway, environment, store, tmp_path, publish=False)
    url = image.client.stream_url(image.image_id)["views"]["webvm"]["url"]
    token = url.partition("/v1/l/")[2].partition("/")[0]
    ended = image.verify(url.replace(token, "igl~wrong"), "--as", "webvm")
    assert ended.returncode == 75, ended.stdout
    # The gateway refuses pieces of a replaced object, and answers its ranges with the whole of it.
    image.put("disk.img", bytes(SIZE))
    ended = image.verify(url, "--as", "webvm", "--json", "--keep-going")
    assert (ended.returncode, problems(ended)) == (1, [("disk", "range")])
    assert "HTTP 502" in {
        problem["text"].partition(";")[0] for problem in json.loads(ended.stdout)["unreadable"]
    }


def test_groups_of_a_boot_trace(
    gateway: LocalGateway, environment: dict[str, str], store: LocalStore, tmp_path: Path
) -> None:
    image = make_published(gateway, environment, store, tmp_path, publish=False)
    lease = image.client.send_json("POST", "/v1/leases", {"imageId": image.image_id, "record": True})
    order = [SIZE - 512, 0, 3 * MIB, MIB, 2 * MIB]
    with urllib3.PoolManager(retries=False, timeout=20) as pool:
        for start in order:
            read = pool.request("GET", lease["url"], headers={"Range": f"bytes={start}-{start + 511}"})
            assert read.status == 206
    log = gateway.process.log
    gateway.process.wait_until(
        lambda: len(recorded(log, lease["leaseId"])) >= len(order),
        seconds=20,
    )
    traced = run_cli(environment, "trace", image.image_id, "--log", str(log), "--lease", lease["leaseId"])
    assert traced.returncode == 0, traced.stderr
    url = image.client.stream_url(image.image_id)["views"]["tinyemu"]["url"]
    wait_for(lambda: urllib3.request("GET", url).json()["prefetch"] != [])
    answer = verify(image, url, "--as", "tinyemu")
    # One group beside the blocks, which is compared with the disk.
    group = 4 * 262_144 + 512
    assert answer["chunkCount"] == 17 + 1
    assert answer["checkedBytes"] == PADDED + SIZE + 5 * 262_144 + group
    verify(image, None, "--as", "infinite-mac")
