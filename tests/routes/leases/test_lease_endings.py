"""A lease ends with what it stands on: share, link, visibility, image, version."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.clock import Clock
from tests.support.leasing import (
    CARRIERS,
    moment,
    outcome,
    read,
    redeem,
    renew,
)
from tests.support.world import Image, World

pytestmark = pytest.mark.database


def test_a_share_that_is_taken_back_ends_its_leases(world: World, image: Image) -> None:
    world.share_with(image, "bob")
    lease, own = world.make_lease(image, user="bob"), world.make_lease(image)
    world.request("DELETE", image.path("shares"), query_string={"user": "bob"})
    for carrier in CARRIERS:
        assert outcome(read(world, lease["token"], carrier, image)) == (403, "LEASE_REVOKED")
    assert renew(world, lease["leaseId"], user="bob") == (403, "LEASE_REVOKED")
    assert read(world, own["token"], "path", image).status_code == 200


def test_a_link_that_is_taken_back_ends_its_leases(world: World, image: Image) -> None:
    link_id, lease = redeem(world, image)
    _, other = redeem(world, image)
    assert read(world, lease["token"], "path", image).data == image.data
    assert world.request("DELETE", image.path(f"share-links/{link_id}")).status_code == 200
    for carrier in CARRIERS:
        assert outcome(read(world, lease["token"], carrier, image)) == (403, "LEASE_REVOKED")
    renewed = world.bearing(lease["token"], "POST", f"/v1/leases/{lease['leaseId']}/renew")
    assert outcome(renewed) == (403, "LEASE_REVOKED")
    assert read(world, other["token"], "path", image).status_code == 200


def test_a_link_that_expires_ends_its_leases(world: World, image: Image, clock: Clock) -> None:
    _, lease = redeem(world, image, ttlSeconds=40)
    assert moment(lease["expiresAt"]) == moment(lease["sessionEndsAt"]) == clock.now + 40
    clock.now += 39
    renewed = world.bearing(lease["token"], "POST", f"/v1/leases/{lease['leaseId']}/renew")
    assert moment(renewed.get_json()["expiresAt"]) == clock.now + 1
    clock.now += 1
    assert outcome(read(world, lease["token"], "path", image)) == (401, "LEASE_EXPIRED")


def test_a_private_image_ends_the_leases_of_others(world: World, image: Image) -> None:
    world.share_with(image, "bob")
    _, linked = redeem(world, image)
    shared, own = world.make_lease(image, user="bob"), world.make_lease(image)
    world.show_to(image, "private")
    for lease in (linked, shared):
        assert outcome(read(world, lease["token"], "path", image)) == (403, "LEASE_REVOKED")
    assert read(world, own["token"], "path", image).status_code == 200
    world.show_to(image, "shared")
    for lease in (linked, shared):
        assert read(world, lease["token"], "path", image).status_code == 200


def test_a_public_image_that_is_no_longer_ends_the_leases_of_anyone(world: World, image: Image) -> None:
    world.show_to(image, "public")
    stream = world.request("GET", image.path("stream-url"), user=None).get_json()
    token = urlsplit(stream["url"]).path.split("/")[3]
    lease = world.make_lease(image, user="anybody")
    assert read(world, token, "path", image).data == image.data
    for visibility in ("shared", "private"):
        world.show_to(image, visibility)
        for each in (token, lease["token"]):
            assert outcome(read(world, each, "path", image)) == (403, "LEASE_REVOKED")


def test_a_deleted_image_ends_all_leases(world: World, image: Image) -> None:
    lease = world.make_lease(image)
    assert world.request("DELETE", f"/v1/images/{image.image_id}").status_code == 200
    for carrier in CARRIERS:
        assert outcome(read(world, lease["token"], carrier, image)) == (404, "NOT_FOUND")
    assert renew(world, lease["leaseId"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("state", ["uploading", "failed", "deleted"])
def test_no_lease_of_what_cannot_be_read(world: World, state: str) -> None:
    image_id, _ = world.begin()
    if state == "failed":
        world.request("DELETE", f"/v1/images/{image_id}/upload")
    if state == "deleted":
        world.request("DELETE", f"/v1/images/{image_id}")
    refused = (404, "NOT_FOUND") if state == "deleted" else (409, "INVALID_STATE")
    response = world.request("POST", "/v1/leases", json={"imageId": image_id})
    assert outcome(response) == refused
    assert outcome(world.request("GET", f"/v1/images/{image_id}/stream-url")) == refused


def test_a_lease_of_another_version_is_refused(
    world: World, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = world.make_lease(image)
    find = world.catalog.find

    def find_changed(image_id: str) -> Any:
        record = find(image_id)
        return record and replace(record, version="another")

    monkeypatch.setattr(world.catalog, "find", find_changed)
    for carrier in CARRIERS:
        assert outcome(read(world, lease["token"], carrier, image)) == (403, "FORBIDDEN")
    assert renew(world, lease["leaseId"])[0] in (403, 404)
