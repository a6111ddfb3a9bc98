"""Leases that lapse, and how they are renewed."""

from __future__ import annotations

import pytest

from tests.support.clock import Clock
from tests.support.leasing import (
    CARRIERS,
    GRACE,
    MOST,
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
from tests.support.world import Image, World

pytestmark = pytest.mark.database
ORIGIN = "https://app.example.com"


@pytest.mark.parametrize("origins", [("*",), (ORIGIN,)])
@pytest.mark.parametrize(
    ("after", "status", "code"),
    [
        (TTL - 1, 200, None),
        (TTL, 401, "LEASE_EXPIRED"),
        (TTL + GRACE - 1, 401, "LEASE_EXPIRED"),
        (TTL + GRACE, 401, "LEASE_EXPIRED"),
        (SESSION, 401, "LEASE_EXPIRED"),
    ],
)
def test_a_lease_lapses_and_then_is_over(
    remake: Remake,
    clock: Clock,
    published: Image,
    origins: tuple[str, ...],
    after: int,
    status: int,
    code: str | None,
) -> None:
    world = remake(cors_allow_origin=origins)
    lease = world.make_lease(published)
    clock.now += after
    for carrier in CARRIERS:
        for target in TARGETS:
            response = read(
                world, lease["token"], carrier, published, target=target, headers={"Origin": ORIGIN}
            )
            assert outcome(response) == (status, code)
            assert response.headers["Access-Control-Allow-Origin"] == ("*" if "*" in origins else ORIGIN)
            assert "Retry-After" not in response.headers
            if status != 200:
                assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
                assert response.headers["Cache-Control"] == "no-store"
            head = read(world, lease["token"], carrier, published, target=target, method="HEAD")
            assert (head.status_code, head.data) == (status, b"")


@pytest.mark.parametrize(
    ("after", "status", "code"),
    [
        (TTL - 1, 206, None),
        (TTL, 503, "LEASE_LAPSED"),
        (TTL + GRACE - 1, 503, "LEASE_LAPSED"),
        (TTL + GRACE, 401, "LEASE_EXPIRED"),
    ],
)
@pytest.mark.parametrize("carrier", CARRIERS)
def test_an_emulator_that_retries_5xx_waits_for_the_renewal(
    world: World,
    published: Image,
    clock: Clock,
    carrier: Carrier,
    after: int,
    status: int,
    code: str | None,
) -> None:
    """v86 retries a 5xx for ever and freezes its guest on a 4xx."""
    lease = world.make_lease(published, whenLapsed="wait")
    clock.now += after
    response = read(world, lease["token"], carrier, published, headers={"Range": "bytes=0-1"})
    assert outcome(response) == (status, code)
    assert ("Retry-After" in response.headers) == (status == 503)
    if status == 503:
        assert renew(world, lease["leaseId"]) == (200, None)
        assert read(world, lease["token"], carrier, published).data == published.data


def test_the_grace_ends_with_the_session(world: World, image: Image, clock: Clock) -> None:
    lease = world.make_lease(image, ttlSeconds=MOST)
    clock.now += MOST
    for _ in range(4):
        assert renew(world, lease["leaseId"]) == (200, None)
        clock.now += MOST
    assert outcome(read(world, lease["token"], "path", image)) == (401, "LEASE_EXPIRED")
    assert renew(world, lease["leaseId"]) == (401, "LEASE_EXPIRED")


def test_nobody_waits_for_a_lease_that_cannot_be_renewed(world: World, image: Image, clock: Clock) -> None:
    world.share_with(image, "bob")
    lease = world.make_lease(image, user="bob", whenLapsed="wait")
    clock.now += TTL
    assert outcome(read(world, lease["token"], "path", image)) == (503, "LEASE_LAPSED")
    world.request("DELETE", image.path("shares"), query_string={"user": "bob"})
    assert renew(world, lease["leaseId"], user="bob") == (403, "LEASE_REVOKED")
    for carrier in CARRIERS:
        assert outcome(read(world, lease["token"], carrier, image)) == (403, "LEASE_REVOKED")


def test_a_renewal_keeps_token_and_urls(world: World, published: Image, clock: Clock) -> None:
    lease = world.make_lease(published)
    clock.now += TTL + 1
    response = world.request("POST", f"/v1/leases/{lease['leaseId']}/renew")
    assert response.headers["Cache-Control"] == "no-store"
    renewed = response.get_json()
    assert moment(renewed.pop("expiresAt")) == clock.now + TTL
    assert renewed == {name: value for name, value in lease.items() if name != "expiresAt"}
    assert read(world, lease["token"], "path", published).data == published.data


def test_renewals_end_with_the_session(world: World, image: Image, clock: Clock) -> None:
    lease = world.make_lease(image, ttlSeconds=MOST)
    start = clock.now
    for _ in range(4):
        clock.now += MOST
        assert renew(world, lease["leaseId"]) == (200, None)
    clock.now += MOST - 10
    answer = world.request("POST", f"/v1/leases/{lease['leaseId']}/renew").get_json()
    assert moment(answer["expiresAt"]) == start + SESSION


def test_an_early_renewal_never_shortens(world: World, image: Image, clock: Clock) -> None:
    lease = world.make_lease(image)
    clock.now -= 20
    answer = world.request("POST", f"/v1/leases/{lease['leaseId']}/renew").get_json()
    assert answer["expiresAt"] == lease["expiresAt"]


@pytest.mark.parametrize("when_lapsed", ["refuse", "wait"])
def test_a_lease_that_lapsed_long_ago_is_renewed_by_its_holder_only(
    world: World, image: Image, clock: Clock, when_lapsed: str
) -> None:
    """Whoever finds an old URL in a log must not bring it back to life."""
    lease = world.make_lease(image, whenLapsed=when_lapsed)
    clock.now += TTL + GRACE
    itself = world.bearing(lease["token"], "POST", f"/v1/leases/{lease['leaseId']}/renew")
    assert outcome(itself) == (401, "LEASE_EXPIRED")
    assert outcome(read(world, lease["token"], "path", image)) == (401, "LEASE_EXPIRED")
    assert renew(world, lease["leaseId"]) == (200, None)
    assert read(world, lease["token"], "path", image).data == image.data


@pytest.mark.parametrize("after", [0, TTL + 1, TTL + GRACE - 1])
def test_a_lease_renews_itself_also_when_it_has_lapsed(
    world: World, image: Image, clock: Clock, after: int
) -> None:
    lease = world.make_lease(image)
    clock.now += after
    response = world.bearing(lease["token"], "POST", f"/v1/leases/{lease['leaseId']}/renew")
    assert response.get_json()["token"] == lease["token"]
    assert read(world, lease["token"], "path", image).status_code == 200
