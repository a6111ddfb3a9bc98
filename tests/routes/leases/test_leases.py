"""Leases: made, lapsed, renewed, revoked, and signed by keys that rotate."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.leasing import (
    CARRIERS,
    GRACE,
    MOST,
    NEW,
    OLD,
    SESSION,
    TARGETS,
    TTL,
    Carrier,
    Remake,
    cookie_of,
    moment,
    outcome,
    read,
    renew,
    revoke,
)
from tests.support.world import OWNER, Image, World

pytestmark = pytest.mark.database

ORIGIN = "https://app.example.com"


@pytest.fixture(scope="module")
def published(lasting: World) -> Image:
    """A published image that no test changes."""
    image = lasting.make_image(bytes(range(256)) * 8)
    lasting.publish(image, 512)
    return image


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
