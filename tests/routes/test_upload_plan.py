"""Uploads of a declared size: the plan, many URLs at once, the store's list, abort, and checks at the end."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from image_gateway.protocol.parts import ClaimedPart
from tests.support.world import MIB, World

pytestmark = pytest.mark.database

SIZE = 12 * MIB + 1


@pytest.fixture
def small_parts(world: World) -> World:
    return world.with_settings(multipart_part_size_bytes=5 * MIB)


def begin(world: World, **body: Any) -> dict[str, Any]:
    return world.request("POST", "/v1/images", json=body).get_json()


def sign(world: World, plan: dict[str, Any], numbers: list[Any]) -> Any:
    body = {"uploadId": plan["uploadId"], "partNumbers": numbers}
    return world.request("POST", f"/v1/images/{plan['imageId']}/upload-urls", json=body)


def complete(world: World, plan: dict[str, Any]) -> Any:
    path = f"/v1/images/{plan['imageId']}/complete"
    return world.request("POST", path, json={"uploadId": plan["uploadId"]})


def put(world: World, plan: dict[str, Any], sizes: dict[int, int]) -> None:
    for number, size in sizes.items():
        world.put_part(plan["imageId"], plan["uploadId"], number, bytes([number]) * size)


@pytest.mark.parametrize(
    ("size", "part_size", "count"),
    [(0, 5 * MIB, 1), (1, 5 * MIB, 1), (SIZE, 5 * MIB, 3), (5 * 2**40, 525 * MIB, 9987)],
)
def test_the_plan(small_parts: World, size: int, part_size: int, count: int) -> None:
    plan = begin(small_parts, sizeBytes=size)
    assert (plan["partSize"], plan["partCount"], plan["sizeBytes"]) == (part_size, count, size)


def test_many_urls_at_once_with_their_lengths(small_parts: World) -> None:
    plan = begin(small_parts, sizeBytes=SIZE)
    answer = sign(small_parts, plan, [3, 1]).get_json()
    assert [item["partNumber"] for item in answer["urls"]] == [3, 1]
    for item in answer["urls"]:
        query = parse_qs(urlsplit(item["url"]).query)
        assert query["partNumber"] == [str(item["partNumber"])]
        assert query["X-Amz-SignedHeaders"] == ["content-length;host"]
    assert answer["serverTime"] < answer["expiresAt"]


def test_without_a_size_any_length_is_signed(small_parts: World) -> None:
    plan = begin(small_parts)
    (item,) = sign(small_parts, plan, [10_000]).get_json()["urls"]
    assert parse_qs(urlsplit(item["url"]).query)["X-Amz-SignedHeaders"] == ["host"]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([], "partNumbers"),
        (list(range(1, 1002)), "partNumbers"),
        ([0], "partNumbers[0]"),
        ([1, "2"], "partNumbers[1]"),
        ([1, 4], "the upload has 3 parts, so it has no part 4"),
        (None, "partNumbers"),
    ],
    ids=["none", "many", "zero", "text", "beyond", "null"],
)
def test_part_numbers_that_cannot_be_signed(small_parts: World, numbers: Any, text: str) -> None:
    response = sign(small_parts, begin(small_parts, sizeBytes=SIZE), numbers)
    assert response.status_code == 400
    assert text in response.get_json()["error"]["message"]


def test_the_stores_parts_are_listed(small_parts: World) -> None:
    plan = begin(small_parts, sizeBytes=SIZE)
    put(small_parts, plan, {1: 5 * MIB, 3: 2 * MIB + 1})
    status = small_parts.request("GET", f"/v1/images/{plan['imageId']}/upload")
    assert status.headers["Cache-Control"] == "no-store"
    body = status.get_json()
    assert {name: body[name] for name in plan} == plan
    assert [(part["partNumber"], part["size"]) for part in body["parts"]] == [(1, 5 * MIB), (3, 2 * MIB + 1)]


def test_a_look_at_an_upload_that_the_store_has_finished_settles_it(small_parts: World) -> None:
    plan = begin(small_parts)
    etag = small_parts.put_part(plan["imageId"], plan["uploadId"], 1, b"data")
    small_parts.store.complete_upload(
        small_parts.key_of(plan["imageId"]), plan["uploadId"], [ClaimedPart(1, etag)]
    )
    path = f"/v1/images/{plan['imageId']}"
    shown = small_parts.request("GET", f"{path}/upload")
    assert (shown.status_code, shown.get_json()["error"]["code"]) == (409, "INVALID_STATE")
    assert small_parts.request("GET", path).get_json()["state"] == "complete"
    assert small_parts.request("GET", f"{path}/range").data == b"data"


def test_complete_takes_the_stores_list(small_parts: World) -> None:
    plan = begin(small_parts, sizeBytes=SIZE)
    put(small_parts, plan, {1: 5 * MIB, 2: 5 * MIB, 3: 2 * MIB + 1})
    first, again = complete(small_parts, plan), complete(small_parts, plan)
    assert first.get_json()["size"] == SIZE
    assert again.get_json() == first.get_json()
    shown = small_parts.request("GET", f"/v1/images/{plan['imageId']}/upload")
    assert (shown.status_code, shown.get_json()["error"]["code"]) == (409, "INVALID_STATE")


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({}, "not uploaded: parts 1, 2, 3"),
        ({1: 5 * MIB, 3: 2 * MIB + 1}, "not uploaded: part 2"),
        ({1: 5 * MIB, 2: 5 * MIB + 1, 3: 2 * MIB}, "wrong size for the upload plan: parts 2, 3"),
        ({1: 5 * MIB, 2: 5 * MIB, 3: 2 * MIB + 2}, "wrong size for the upload plan: part 3"),
        ({1: 5 * MIB, 2: 5 * MIB, 3: 5 * MIB, 4: 1}, "beyond the 3 parts of the declared"),
    ],
    ids=["nothing", "a gap", "shifted", "one more byte", "one more part"],
)
def test_what_differs_from_the_plan_is_named_and_can_be_mended(
    small_parts: World, sizes: dict[int, int], text: str
) -> None:
    plan = begin(small_parts, sizeBytes=SIZE)
    put(small_parts, plan, sizes)
    refused = complete(small_parts, plan)
    assert refused.status_code == 409
    assert text in refused.get_json()["error"]["message"]
    put(small_parts, plan, {1: 5 * MIB, 2: 5 * MIB, 3: 2 * MIB + 1})
    parts = small_parts.request("GET", f"/v1/images/{plan['imageId']}/upload").get_json()["parts"]
    claimed = [(part["partNumber"], part["etag"]) for part in parts if part["partNumber"] <= 3]
    assert small_parts.complete(plan["imageId"], plan["uploadId"], claimed).status_code == 200


def test_without_a_size_a_gap_is_named(small_parts: World) -> None:
    plan = begin(small_parts)
    assert "no part was uploaded" in complete(small_parts, plan).get_json()["error"]["message"]
    put(small_parts, plan, {2: 5 * MIB})
    refused = complete(small_parts, plan)
    assert (refused.status_code, refused.get_json()["error"]["message"]) == (409, "not uploaded: part 1")


def test_abort_may_be_repeated_and_ends_the_image(small_parts: World) -> None:
    plan = begin(small_parts, sizeBytes=SIZE)
    put(small_parts, plan, {1: 5 * MIB})
    path = f"/v1/images/{plan['imageId']}/upload"
    for _ in range(2):
        assert small_parts.request("DELETE", path).get_json() == {"ok": True}
    assert list(small_parts.store.list_uploads("")) == []
    assert small_parts.request("GET", f"/v1/images/{plan['imageId']}").get_json()["state"] == "failed"
    assert small_parts.request("GET", "/v1/usage").get_json()["bytes"]["used"] == 0
    for refused in (sign(small_parts, plan, [1]), complete(small_parts, plan)):
        assert (refused.status_code, refused.get_json()["error"]["code"]) == (409, "INVALID_STATE")


def test_a_complete_image_cannot_be_aborted(world: World) -> None:
    image = world.make_image(b"x")
    assert world.request("DELETE", image.path("upload")).status_code == 409
    assert world.request("GET", image.path("range")).data == b"x"


def test_a_declared_sha256_is_checked(world: World) -> None:
    good = begin(world, sizeBytes=4, sha256=hashlib.sha256(b"data").hexdigest())
    world.put_part(good["imageId"], good["uploadId"], 1, b"data")
    assert complete(world, good).status_code == 200
    bad = begin(world, sizeBytes=4, sha256="0" * 64)
    world.put_part(bad["imageId"], bad["uploadId"], 1, b"data")
    refused = complete(world, bad)
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (409, "INVALID_STATE")
    assert "SHA-256" in refused.get_json()["error"]["message"]
    assert world.request("GET", f"/v1/images/{bad['imageId']}").get_json()["state"] == "failed"


def test_a_large_image_is_not_read_to_check_it(world: World) -> None:
    lazy = world.with_settings(sha256_check_max_bytes=3)
    plan = begin(lazy, sizeBytes=4, sha256="0" * 64)
    lazy.put_part(plan["imageId"], plan["uploadId"], 1, b"data")
    assert complete(lazy, plan).status_code == 200


def test_work_on_an_upload_keeps_it_from_being_left_alone(world: World) -> None:
    from image_gateway.app import create_app

    moment = 1_800_000_000.0
    ticking = world.with_settings(upload_ttl_seconds=3600)
    ticking.app = create_app(ticking.settings, store=world.store, catalog=world.catalog, clock=lambda: moment)
    plan = begin(ticking)
    assert plan["expiresAt"] == "2027-01-15T09:00:00Z"
    path = f"/v1/images/{plan['imageId']}/upload"
    moment += 1700
    assert ticking.request("GET", path).get_json()["expiresAt"] == plan["expiresAt"]
    moment += 200
    ticking.request("GET", path)
    assert ticking.request("GET", path).get_json()["expiresAt"] == "2027-01-15T09:31:40Z"
