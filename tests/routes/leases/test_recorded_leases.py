"""Leases whose reads are recorded: the byte range of the disk in the line of each read."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from image_gateway.routes.http.schemas import MakeLease
from tests.support.leasing import CARRIERS, Carrier, Remake, read
from tests.support.log_lines import Lines, written_lines
from tests.support.world import Image, World

SIZE, CHUNK = 2048, 512
EDGE_TOKEN = "e" * 40


def ranges_in(lines: Lines) -> list[tuple[int, int] | None]:
    """The range of each request, None where its line has none."""
    requests = lines.requests()
    return [(line["range_start"], line["range_stop"]) if "range_start" in line else None for line in requests]


@pytest.fixture
def token(world: World, published: Image) -> str:
    lease = world.make_lease(published, record=True)
    assert lease["record"] is True
    return str(lease["token"])


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize(
    ("target", "headers", "expected"),
    [
        ("disk", {}, (0, SIZE)),
        ("disk", {"Range": "bytes=10-99"}, (10, 100)),
        ("disk", {"Range": "bytes=-1"}, (SIZE - 1, SIZE)),
        ("disk", {"Range": "bytes=2000-9999"}, (2000, SIZE)),
        ("chunk", {}, (CHUNK, 2 * CHUNK)),
        ("chunk", {"Range": "bytes=1-2"}, (CHUNK + 1, CHUNK + 3)),
        ("disk", {"Range": "bytes=9999-"}, None),
        ("disk", {"If-None-Match": "*"}, None),
        ("manifest", {}, None),
    ],
)
def test_reads_are_recorded(
    world: World,
    published: Image,
    token: str,
    carrier: Carrier,
    target: str,
    headers: dict[str, str],
    expected: tuple[int, int] | None,
) -> None:
    with written_lines() as lines:
        read(world, token, carrier, published, target=target, headers=headers)
    assert ranges_in(lines) == [expected]
    (line,) = lines.requests()
    assert line["lease"]
    assert line["image"] == published.image_id


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tinyemu/1/blk000000001.bin", (1024, 2048)),
        ("v86/1024/disk-0-1024.img", (0, 1024)),
        ("v86/1024/disk-0-1024.img.zst", (0, 1024)),
        ("raw/disk.img", (0, SIZE)),
        ("tinyemu/1/blk.txt", None),
    ],
)
def test_views_are_recorded(
    world: World, published: Image, token: str, name: str, expected: tuple[int, int] | None
) -> None:
    with written_lines() as lines:
        assert world.request("GET", f"/v1/l/{token}/{name}", user=None).status_code == 200
    assert ranges_in(lines) == [expected]


def test_a_head_reads_nothing(world: World, published: Image, token: str) -> None:
    with written_lines() as lines:
        read(world, token, "path", published, method="HEAD")
    assert ranges_in(lines) == [None]


@pytest.mark.parametrize("record", [{}, {"record": False}])
def test_other_reads_are_not_recorded(world: World, published: Image, record: dict[str, Any]) -> None:
    lease = world.make_lease(published, **record)
    assert "record" not in lease
    with written_lines() as lines:
        read(world, lease["token"], "path", published)
        world.request("GET", published.path("range"))
    assert ranges_in(lines) == [None, None]


def test_reads_from_the_block_cache_are_recorded(
    remake: Remake, published: Image, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("blocks")
    cached = remake(range_cache_dir=str(folder), range_cache_block_bytes=65_536)
    token = cached.make_lease(published, record=True)["token"]
    with written_lines() as lines:
        for _ in range(2):
            read(cached, token, "path", published, headers={"Range": "bytes=5-9"})
    assert ranges_in(lines) == [(5, 10), (5, 10)]


def test_nginx_passes_recorded_reads_to_the_gateway(remake: Remake, published: Image) -> None:
    edge = remake(edge_token=EDGE_TOKEN, access_cache_seconds=60)
    answers = []
    for record in (False, True):
        token = edge.make_lease(published, record=record)["token"]
        client = FlaskClient(edge.app, edge.app.response_class, use_cookies=False)
        for path in ("disk.img", "chunks/1"):
            answer = client.get(f"/v1/l/{token}/{path}", headers={"X-Edge-Token": EDGE_TOKEN})
            answers.append((answer.status_code, answer.headers["Cache-Control"] == "no-store"))
    assert answers == [(200, False), (200, False), (401, True), (401, True)]


@pytest.mark.parametrize("value", [1, 0, "true", None, [], {}])
def test_record_is_true_or_false(world: World, published: Image, value: object) -> None:
    body = {"imageId": published.image_id, "record": value}
    response = world.request("POST", "/v1/leases", json=body)
    assert (response.status_code, response.get_json()["error"]["code"]) == (400, "BAD_REQUEST")
    assert "record" in response.get_json()["error"]["message"]
    assert MakeLease().load({"imageId": "x"})["record"] is False


def test_a_session_does_not_reuse_a_recorded_lease(world: World, published: Image) -> None:
    recorded = world.make_lease(published, record=True, ttlSeconds=60)["leaseId"]
    stream = world.request("GET", published.path("stream-url")).get_json()
    assert stream["auth"]["leaseId"] != recorded
