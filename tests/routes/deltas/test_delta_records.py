"""Routes of deltas' records: made, forked, listed, renamed and deleted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.delta_api import BLOCK, DeltaApi, error_of, make_delta, one_block
from tests.support.world import Image, World

pytestmark = pytest.mark.database
UNKNOWN = "00000000-0000-4000-8000-00000000dead"


def test_a_new_delta_is_empty(world: World, image: Image) -> None:
    answer = world.request("POST", "/v1/deltas", json={"imageId": image.image_id.upper()})
    made = answer.get_json()
    assert answer.status_code == 201
    assert answer.headers["ETag"] == '"0"'
    assert answer.headers["Location"] == f"http://localhost/v1/deltas/{made['deltaId']}"
    record = world.request("GET", f"/v1/images/{image.image_id}").get_json()
    assert made["version"] == record["version"]
    assert (made["imageId"], made["sizeBytes"]) == (image.image_id, len(image.data))
    assert (made["blockSize"], made["name"], made["state"]) == (4096, record["name"], "active")
    assert (made["generation"], made["epoch"], made["liveBytes"], made["storedBytes"]) == (0, 0, 0, 0)
    assert "parent" not in made
    shown = world.request("GET", f"/v1/deltas/{made['deltaId'].upper()}")
    assert (shown.get_json(), shown.headers["ETag"]) == (made, '"0"')


def test_a_fork_has_the_contents_of_its_parent(delta: DeltaApi) -> None:
    delta.write(1, 2)
    body = {"fromDelta": delta.delta_id, "generation": 1, "name": "fork"}
    made = delta.world.request("POST", "/v1/deltas", json=body).get_json()
    assert made["parent"] == {"deltaId": delta.delta_id, "generation": 1}
    assert (made["generation"], made["name"], made["blockSize"]) == (0, "fork", BLOCK)
    assert made["liveBytes"] == BLOCK
    fork = DeltaApi(delta.world, delta.image, made["deltaId"])
    assert fork.done("GET", "/map")["runs"] == [[1, 1, "data"]]
    newest = delta.world.request("POST", "/v1/deltas", json={"fromDelta": delta.delta_id}).get_json()
    assert (newest["parent"]["generation"], newest["name"]) == (2, "disk")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "either imageId or fromDelta"),
        ({"imageId": UNKNOWN, "fromDelta": UNKNOWN}, "either imageId or fromDelta"),
        ({"imageId": None, "fromDelta": None}, "either imageId or fromDelta"),
        ({"imageId": UNKNOWN, "generation": 1}, "generation"),
        ({"fromDelta": UNKNOWN, "blockSize": 512}, "blockSize"),
        ({"fromDelta": UNKNOWN, "generation": -1}, "generation"),
        ({"fromDelta": UNKNOWN, "generation": 2**63}, "generation"),
        ({"fromDelta": UNKNOWN, "generation": True}, "generation"),
        ({"imageId": 5}, "imageId"),
        ({"imageId": "x" * 65}, "imageId"),
        ({"imageId": UNKNOWN, "name": ""}, "name"),
        ({"imageId": UNKNOWN, "name": "x" * 256}, "name"),
        ({"imageId": UNKNOWN, "name": "a\x00b"}, "name"),
        ({"imageId": UNKNOWN, "blockSize": "4096"}, "blockSize"),
        ({"imageId": UNKNOWN, "blockSize": 0}, "blockSize"),
        ({"imageId": UNKNOWN, "blockSize": 256}, "blockSize"),
        ({"imageId": UNKNOWN, "blockSize": 4097}, "blockSize"),
        ({"imageId": UNKNOWN, "blockSize": 131_072}, "blockSize"),
    ],
)
def test_a_bad_create_is_refused(world: World, body: dict[str, Any], said: str) -> None:
    answer = world.request("POST", "/v1/deltas", json=body)
    assert error_of(answer) == (400, "BAD_REQUEST")
    assert said in answer.get_json()["error"]["message"]


def test_what_a_delta_cannot_be_made_of(world: World, image: Image, delta: DeltaApi) -> None:
    uploading, _ = world.begin()
    for body, expected in [
        ({"imageId": UNKNOWN}, (404, "NOT_FOUND")),
        ({"imageId": "none"}, (404, "NOT_FOUND")),
        ({"imageId": uploading}, (409, "INVALID_STATE")),
        ({"fromDelta": UNKNOWN}, (404, "NOT_FOUND")),
        ({"fromDelta": delta.delta_id, "generation": 1}, (404, "NOT_FOUND")),
    ]:
        assert error_of(world.request("POST", "/v1/deltas", json=body)) == expected
    created = {"imageId": image.image_id}
    assert error_of(world.request("POST", "/v1/deltas", user=None, json=created)) == (401, "UNAUTH")
    assert error_of(world.request("POST", "/v1/deltas", user="bob", json=created)) == (403, "FORBIDDEN")
    assert error_of(world.bearing(delta.token, "POST", "/v1/deltas", json=created)) == (403, "FORBIDDEN")
    assert error_of(world.request("POST", "/v1/deltas", data=b"{}")) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_whom_the_image_is_shared_with_for_writing_makes_deltas(world: World, image: Image) -> None:
    world.share_with(image, "wendy", "write")
    world.share_with(image, "rick")
    delta = make_delta(world, image, user="wendy")
    assert delta.ask("GET", user="wendy").status_code == 200
    assert error_of(delta.ask("GET")) == (403, "FORBIDDEN")
    refused = world.request("POST", "/v1/deltas", user="rick", json={"imageId": image.image_id})
    assert error_of(refused) == (403, "FORBIDDEN")
    assert "shared for writing" in refused.get_json()["error"]["message"]


def test_lists_are_of_ones_own_newest_first_in_pages(world: World, delta: DeltaApi) -> None:
    image, other = world.make_image(b"some", "carol"), world.make_image(b"other", "carol")
    made = [make_delta(world, image, user="carol").delta_id for _ in range(3)]
    made.append(make_delta(world, other, user="carol").delta_id)
    make_delta(world, image, user="carol").done("DELETE", user="carol")

    def listed(query: str = "", user: str = "carol") -> list[str]:
        found: list[str] = []
        cursor = ""
        while True:
            page = world.request("GET", f"/v1/deltas?limit=2{query}{cursor}", user=user).get_json()
            found += [delta["deltaId"] for delta in page["deltas"]]
            if "nextCursor" not in page:
                return found
            cursor = f"&cursor={page['nextCursor']}"

    assert sorted(listed()) == sorted(made)
    shown = [world.request("GET", f"/v1/deltas/{found}", user="carol") for found in listed()]
    created = [answer.get_json()["created"] for answer in shown]
    assert created == sorted(created, reverse=True)
    assert sorted(listed(f"&imageId={image.image_id.upper()}")) == sorted(made[:3])
    assert listed(f"&imageId={UNKNOWN}") == []
    assert listed(user="bob") == []
    for query in ("limit=0", "limit=1001", "limit=x", "cursor=x", "cursor=", "imageId="):
        assert error_of(world.request("GET", f"/v1/deltas?{query}")) == (400, "BAD_REQUEST")
    assert error_of(world.request("GET", "/v1/deltas", user=None)) == (401, "UNAUTH")


def test_a_name_is_changed(delta: DeltaApi) -> None:
    renamed = delta.done("PATCH", json={"name": "new"}, headers={"If-Match": '"0"'})
    assert (renamed["name"], delta.done("GET")["name"]) == ("new", "new")
    delta.done("PATCH", json={"name": "newer"}, headers={"If-Match": "*"})
    stale = delta.ask("PATCH", json={"name": "x"}, headers={"If-Match": '"1"'})
    assert error_of(stale) == (412, "PRECONDITION_FAILED")
    assert stale.headers["ETag"] == '"0"'
    for body in ({}, {"name": None}, {"name": ""}, {"name": 1}):
        assert error_of(delta.ask("PATCH", json=body)) == (400, "BAD_REQUEST")
    assert delta.done("GET")["name"] == "newer"


@pytest.mark.parametrize(
    "header", ["", "7", 'W/"0"', '"0", "1"', '"x"', '"00"', '"-1"', '"' + "9" * 19 + '"']
)
def test_another_if_match_is_malformed(delta: DeltaApi, header: str) -> None:
    for method, options in (("PATCH", {"json": {"name": "x"}}), ("DELETE", {})):
        answer = delta.ask(method, headers={"If-Match": header}, **options)
        assert error_of(answer) == (400, "BAD_REQUEST")
    assert delta.done("GET")["name"] == "disk"


def test_deleting_is_idempotent_and_final(delta: DeltaApi) -> None:
    delta.write(0)
    assert error_of(delta.ask("DELETE", headers={"If-Match": '"0"'})) == (412, "PRECONDITION_FAILED")
    used = delta.world.request("GET", "/v1/usage").get_json()["bytes"]["used"]
    stored = delta.done("GET")["storedBytes"]
    assert delta.done("DELETE", headers={"If-Match": '"1"'}) == {"ok": True}
    assert delta.world.request("GET", "/v1/usage").get_json()["bytes"]["used"] == used - stored
    assert delta.done("DELETE", headers={"If-Match": '"1"'}) == {"ok": True}
    assert delta.done("DELETE") == {"ok": True}
    for method, below, options in [
        ("GET", "", {}),
        ("PATCH", "", {"json": {"name": "x"}}),
        ("POST", "/sessions", {}),
        ("GET", "/map", {}),
        ("GET", "/commits", {}),
        ("POST", "/snapshots", {"json": {"name": "x"}}),
        ("GET", "/snapshots", {}),
        ("DELETE", f"/snapshots/{UNKNOWN}", {}),
        ("POST", "/reset", {"json": {"generation": 0}}),
    ]:
        assert error_of(delta.ask(method, below, **options)) == (404, "NOT_FOUND")
    assert error_of(delta.commit(one_block(), 1)) == (404, "NOT_FOUND")
    assert error_of(delta.ask("DELETE", user="bob")) == (404, "NOT_FOUND")


def test_creates_are_limited(world: World, image: Image) -> None:
    limited = world.with_settings(rate_limits=True, rate_limit_create="2/minute")
    codes = [
        limited.request("POST", "/v1/deltas", json={"imageId": image.image_id}).status_code for _ in range(3)
    ]
    assert codes == [201, 201, 429]


def test_a_quota_stops_forks(delta: DeltaApi) -> None:
    delta.write(0)
    before = delta.world.request("GET", "/v1/usage").get_json()
    full = delta.world.with_settings(quota_bytes=before["bytes"]["used"])
    objects = [item.key for item in full.store.list_objects("")]
    answer = full.request("POST", "/v1/deltas", json={"fromDelta": delta.delta_id})
    assert error_of(answer) == (403, "QUOTA_EXCEEDED")
    assert delta.world.request("GET", "/v1/usage").get_json() == before
    assert [item.key for item in full.store.list_objects("")] == objects
