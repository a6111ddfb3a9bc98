"""Leases: how they are made, what they are for, and keys that rotate."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.leasing import (
    CARRIERS,
    MOST,
    NEW,
    OLD,
    SESSION,
    TARGETS,
    TTL,
    Carrier,
    Remake,
    moment,
    outcome,
    read,
    renew,
)
from tests.support.world import OWNER, Image, World

pytestmark = pytest.mark.database


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({}, TTL),
        ({"ttlSeconds": None}, TTL),
        ({"ttlSeconds": 1}, 1),
        ({"ttlSeconds": MOST}, MOST),
        ({"ttlSeconds": MOST + 1}, MOST),
        ({"ttlSeconds": 10**8}, MOST),
    ],
)
def test_lifetimes(world: World, image: Image, clock: Clock, asked: dict[str, Any], given: int) -> None:
    lease = world.make_lease(image, **asked)
    assert moment(lease["expiresAt"]) == clock.now + given
    assert moment(lease["sessionEndsAt"]) == clock.now + SESSION


def test_the_answer(world: World, image: Image) -> None:
    response = world.request("POST", "/v1/leases", json={"imageId": image.image_id})
    lease = response.get_json()
    assert response.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in response.headers
    assert (lease["imageId"], lease["scopes"]) == (image.image_id, ["disk:read"])
    assert lease["url"] == f"http://localhost/v1/l/{lease['token']}/disk.img"
    assert "manifestUrl" not in lease
    assert "." not in lease["token"]
    for carrier in CARRIERS:
        assert read(world, lease["token"], carrier, image).data == image.data


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"imageId": ""},
        {"imageId": 1},
        {"imageId": "a\x00b"},
        {"imageId": "\ud800"},
        {"imageId": "x" * 65},
        {"ttlSeconds": 0},
        {"ttlSeconds": -1},
        {"ttlSeconds": 1.5},
        {"ttlSeconds": True},
        {"ttlSeconds": "60"},
        {"ttlSeconds": 10**30},
        {"whenLapsed": "freeze"},
        {"whenLapsed": None},
        {"whenLapsed": 503},
        {"scopes": []},
        {"scopes": None},
        {"scopes": "disk:read"},
        {"scopes": ["disk:*"]},
        {"scopes": ["disk:read", {}]},
        {"scopes": ["disk:read"] * 3},
    ],
    ids=str,
)
def test_what_is_wrong_with_a_request_is_said(world: World, image: Image, body: dict[str, Any]) -> None:
    given = {"imageId": image.image_id, **body} if body else {}
    assert outcome(world.request("POST", "/v1/leases", json=given)) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("image_id", ["x", "00000000-0000-4000-8000-000000000000", "../x"])
def test_no_lease_of_nothing(world: World, image_id: str) -> None:
    assert outcome(world.request("POST", "/v1/leases", json={"imageId": image_id})) == (404, "NOT_FOUND")


def test_an_id_in_capitals_is_the_same_image(world: World, image: Image) -> None:
    body = {"imageId": image.image_id.upper()}
    lease = world.request("POST", "/v1/leases", json=body).get_json()
    assert lease["imageId"] == image.image_id
    capitals = f"/v1/images/{image.image_id.upper()}/range"
    assert world.bearing(lease["token"], "GET", capitals).data == image.data


@pytest.mark.parametrize(
    ("user", "permission", "may_write"),
    [(OWNER, None, True), ("wendy", "write", True), ("rick", "read", False)],
)
def test_only_writers_get_leases_to_write(
    world: World, image: Image, user: str, permission: str | None, may_write: bool
) -> None:
    if permission:
        world.share_with(image, user, permission)
    for scopes in (["disk:write"], ["disk:read", "disk:write"]):
        body = {"imageId": image.image_id, "scopes": scopes}
        response = world.request("POST", "/v1/leases", user=user, json=body)
        assert outcome(response) == ((200, None) if may_write else (403, "FORBIDDEN"))


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("target", TARGETS)
def test_a_lease_to_write_does_not_read(
    world: World, published: Image, carrier: Carrier, target: str
) -> None:
    lease = world.make_lease(published, scopes=["disk:write"])
    assert outcome(read(world, lease["token"], carrier, published, target=target)) == (403, "FORBIDDEN")


def test_a_lease_for_both_reads(world: World, image: Image) -> None:
    lease = world.make_lease(image, scopes=["disk:write", "disk:read"])
    assert lease["scopes"] == ["disk:read", "disk:write"]
    assert read(world, lease["token"], "path", image).data == image.data


def test_a_lease_makes_no_other(world: World, image: Image) -> None:
    lease = world.make_lease(image)
    response = world.bearing(lease["token"], "POST", "/v1/leases", json={"imageId": image.image_id})
    assert outcome(response) == (403, "FORBIDDEN")
    assert outcome(world.bearing(lease["token"], "GET", image.path("stream-url"))) == (403, "FORBIDDEN")


def test_keys_rotate(remake: Remake, world: World, image: Image) -> None:
    old = world.make_lease(image)["token"]
    rotated = remake(lease_keys=(NEW, OLD))
    new = rotated.make_lease(image)["token"]
    assert (old.split("~")[1], new.split("~")[1]) == ("k1", "k2")
    assert [read(rotated, token, "path", image).status_code for token in (old, new)] == [200, 200]
    assert outcome(read(world, new, "path", image)) == (401, "UNAUTH")
    dropped = remake(lease_keys=(NEW,))
    assert read(dropped, new, "path", image).status_code == 200
    for carrier in CARRIERS:
        assert outcome(read(dropped, old, carrier, image)) == (401, "UNAUTH")


def test_a_renewal_under_a_new_key_keeps_the_old_token_good(
    remake: Remake, world: World, image: Image
) -> None:
    lease = world.make_lease(image)
    rotated = remake(lease_keys=(NEW, OLD))
    assert renew(rotated, lease["leaseId"]) == (200, None)
    assert read(rotated, lease["token"], "path", image).status_code == 200


def test_a_key_id_with_another_secret_verifies_nothing(remake: Remake, world: World, image: Image) -> None:
    token = world.make_lease(image)["token"]
    assert outcome(read(remake(lease_keys=(("k1", "9" * 40),)), token, "path", image)) == (401, "UNAUTH")
