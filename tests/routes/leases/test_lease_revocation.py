"""Leases that are revoked, by whom, and leases that nobody knows."""

from __future__ import annotations

import pytest

from tests.support.clock import Clock
from tests.support.leasing import (
    CARRIERS,
    GRACE,
    TARGETS,
    TTL,
    Remake,
    cookie_of,
    outcome,
    read,
    renew,
    revoke,
)
from tests.support.world import OWNER, Image, World

pytestmark = pytest.mark.database
ORIGIN = "https://app.example.com"


@pytest.mark.parametrize("origins", [("*",), (ORIGIN,)])
def test_a_revoked_lease_is_refused_for_good(
    remake: Remake, clock: Clock, published: Image, origins: tuple[str, ...]
) -> None:
    world = remake(cors_allow_origin=origins)
    lease = world.make_lease(published)
    assert revoke(world, lease["leaseId"]) == (200, None)
    for later in (0, TTL, TTL + GRACE):
        clock.now += later
        for carrier in CARRIERS:
            for target in TARGETS:
                response = read(
                    world, lease["token"], carrier, published, target=target, headers={"Origin": ORIGIN}
                )
                assert outcome(response) == (403, "LEASE_REVOKED")
                assert response.headers["Access-Control-Allow-Origin"] == ("*" if "*" in origins else ORIGIN)
    assert renew(world, lease["leaseId"]) == (403, "LEASE_REVOKED")


def test_others_know_of_no_such_lease(remake: Remake, world: World, image: Image) -> None:
    world.share_with(image, "rick")
    lease, other = world.make_lease(image, user="rick"), world.make_lease(image)
    unknown = {**lease, "leaseId": "00000000-0000-4000-8000-000000000000"}
    for options in ({"user": "mallory"}, {"user": OWNER}):
        assert renew(world, lease["leaseId"], **options) == (404, "NOT_FOUND")
    assert renew(world, unknown["leaseId"]) == (404, "NOT_FOUND")
    assert revoke(world, lease["leaseId"], user="mallory") == (404, "NOT_FOUND")
    assert revoke(world, unknown["leaseId"]) == (404, "NOT_FOUND")
    stolen = {"user": None, "headers": {"Authorization": f"Bearer {other['token']}"}}
    assert renew(world, lease["leaseId"], **stolen) == (404, "NOT_FOUND")
    assert revoke(world, lease["leaseId"], **stolen) == (404, "NOT_FOUND")
    signed_in = remake(provider=True)
    admin = {"user": None, "headers": {"Authorization": "Bearer admin"}}
    assert renew(signed_in, lease["leaseId"], **admin) == (404, "NOT_FOUND")
    for nobody in ({"user": None}, {"user": None, "headers": cookie_of(lease["token"])}):
        assert renew(world, lease["leaseId"], **nobody) == (401, "UNAUTH")
        assert revoke(world, lease["leaseId"], **nobody) == (401, "UNAUTH")


@pytest.mark.parametrize("lease_id", ["x", "a%00b", "%ed%a0%80", "%ff", "x" * 300, "..", "%2e%2e"])
def test_odd_lease_ids_are_unknown(world: World, lease_id: str) -> None:
    assert world.request("DELETE", f"/v1/leases/{lease_id}").status_code == 404
    assert world.request("POST", f"/v1/leases/{lease_id}/renew").status_code == 404


@pytest.mark.parametrize("who", ["holder", "token", "image's owner", "admin"])
def test_who_may_revoke(remake: Remake, world: World, image: Image, who: str) -> None:
    world.share_with(image, "rick")
    lease = world.make_lease(image, user="rick")
    signed_in = remake(provider=True)
    token = {
        "holder": "user:rick",
        "token": lease["token"],
        "image's owner": f"user:{OWNER}",
        "admin": "admin",
    }[who]
    for _ in range(2):
        response = signed_in.bearing(token, "DELETE", f"/v1/leases/{lease['leaseId']}")
        assert outcome(response) == (200, None)
    assert outcome(read(world, lease["token"], "path", image)) == (403, "LEASE_REVOKED")


def test_a_lapsed_lease_revokes_itself(world: World, image: Image, clock: Clock) -> None:
    lease = world.make_lease(image)
    clock.now += TTL + 1
    bearer = {"user": None, "headers": {"Authorization": f"Bearer {lease['token']}"}}
    assert revoke(world, lease["leaseId"], **bearer) == (200, None)
    assert outcome(read(world, lease["token"], "path", image)) == (403, "LEASE_REVOKED")
