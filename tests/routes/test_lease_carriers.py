"""A lease in the query, leases of admins, and what a lease's answer names."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from image_gateway.routes.http.authentication import Authenticator
from tests.support.clock import Clock
from tests.support.leasing import outcome
from tests.support.world import FakeProvider, World

BYTES = ["range", "chunked/manifest", "chunked/chunks/0", "metadata"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("route", BYTES)
def test_a_lease_in_the_query_reads(world: World, route: str) -> None:
    """For a reader that is given a URL and keeps neither its headers nor its path."""
    image = world.make_image(bytes(1024))
    world.publish(image, 512)
    token = world.make_lease(image)["token"]
    path = f"{image.path(route)}?token={token}"
    for method in ("GET", "HEAD"):
        if (method, route) == ("HEAD", "metadata"):
            continue
        assert world.request(method, path, user=None).status_code == 200
        assert world.request(method, image.path(route), user=None).status_code == 401
    assert world.request("GET", path, user="mallory").status_code == 200
    assert outcome(world.request("GET", f"{image.path(route)}?token=igl~x~y~z", user=None)) == (401, "UNAUTH")
    other = world.make_image(b"x")
    assert world.request("GET", f"{other.path('range')}?token={token}", user=None).status_code == 403


@pytest.mark.parametrize("method_and_route", [("GET", ""), ("DELETE", ""), ("GET", "/stream-url")])
def test_a_lease_in_the_query_is_for_bytes_alone(world: World, method_and_route: tuple[str, str]) -> None:
    method, route = method_and_route
    image = world.make_image(b"x")
    token = world.make_lease(image)["token"]
    path = f"/v1/images/{image.image_id}{route}?token={token}"
    assert world.request(method, path, user=None).status_code == 401


def test_an_authorization_header_says_who_asks_whatever_the_query_has(world: World) -> None:
    image = world.make_image(b"x")
    good, token = world.make_lease(image)["token"], "igl~made~up~token"
    assert world.bearing(good, "GET", f"{image.path('range')}?token={token}").status_code == 200
    assert world.bearing(token, "GET", f"{image.path('range')}?token={good}").status_code == 401


def test_no_token_of_a_query_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    image = world.make_image(b"x")
    token = world.make_lease(image)["token"]
    world.request("GET", f"{image.path('range')}?token={token}", user=None)
    world.request("GET", f"/no/such/route?token={token}", user=None)
    told = [record.getMessage() + str(vars(record).get("request")) for record in caplog.records]
    assert told
    assert not [line for line in told if token in line or token.rpartition("~")[2] in line]


def test_leases_name_the_chunks_where_old_clients_look(world: World) -> None:
    image = world.make_image(bytes(1024))
    assert "chunked" not in world.make_lease(image)
    stream = world.request("GET", image.path("stream-url")).get_json()
    assert "chunked" not in stream
    assert stream["expiresAt"] == stream["auth"]["expiresAt"]
    world.publish(image, 512)
    lease = world.make_lease(image)
    assert lease["chunked"] == {"delivery": "chunked", "manifestUrl": lease["manifestUrl"]}


def test_an_admins_lease_is_short_and_each_of_its_reads_is_in_the_audit_log(
    world: World, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    signed_in = world.with_provider(
        clock=clock, access_cache_seconds=60, lease_admin_seconds=120, lease_ttl_seconds=60
    )
    image = world.make_image(b"0123456789")
    caplog.set_level(logging.INFO, "image_gateway.audit")
    made = signed_in.bearing("admin", "POST", "/v1/leases", json={"imageId": image.image_id}).get_json()
    stream = signed_in.bearing("admin", "GET", image.path("stream-url")).get_json()
    for token in (made["token"], stream["url"].split("/")[5]):
        caplog.clear()
        for _ in range(3):
            assert signed_in.request("GET", f"/v1/l/{token}/disk.img", user=None).status_code == 200
        reads = [record for record in caplog.records if getattr(record, "action", "") == "read"]
        assert [(record.user, record.image) for record in reads] == [("root", image.image_id)] * 3  # type: ignore[attr-defined]
    clock.now += 59
    path = f"/v1/leases/{made['leaseId']}/renew"
    assert signed_in.bearing("admin", "POST", path).status_code == 200
    clock.now += 61
    assert outcome(signed_in.bearing("admin", "POST", path)) == (401, "LEASE_EXPIRED")
    for token in (made["token"], stream["url"].split("/")[5]):
        assert signed_in.request("GET", f"/v1/l/{token}/disk.img", user=None).status_code == 401


@pytest.mark.parametrize(
    ("mode", "has_verifier"), [("oidc", False), ("dev", True), ("none", True), ("", False)]
)
def test_an_authenticator_refuses_a_mode_that_it_cannot_serve(
    world: World, mode: str, has_verifier: bool
) -> None:
    given: Authenticator = world.app.extensions["image_gateway.identity"]
    with pytest.raises(ValueError, match="mode"):
        replace(given, mode=mode, verifier=FakeProvider() if has_verifier else None)
