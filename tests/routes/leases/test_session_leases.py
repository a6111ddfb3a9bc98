"""stream-url's leases, and public images, which nobody needs one for."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.clock import Clock
from tests.support.leasing import (
    GRACE,
    SESSION,
    TARGETS,
    TTL,
    Remake,
    cookie_of,
    moment,
    outcome,
    revoke,
)
from tests.support.world import OWNER, Image, World

pytestmark = pytest.mark.database


@pytest.fixture
def published(lasting: World) -> Image:
    """A published image of which nobody has a lease."""
    image = lasting.make_image(bytes(range(256)) * 8)
    lasting.publish(image, 512)
    return image


def stream(world: World, image: Image, **options: Any) -> dict[str, Any]:
    response = world.request("GET", image.path("stream-url"), **options)
    assert (response.status_code, response.headers["Cache-Control"]) == (200, "no-store")
    document: dict[str, Any] = response.get_json()
    return document


def test_stream_url_works_without_any_header(world: World, published: Image, clock: Clock) -> None:
    answer = stream(world, published)
    auth = answer["auth"]
    assert auth.keys() == {"type", "expiresAt", "leaseId"}
    assert auth["type"] == "url"
    assert moment(auth["expiresAt"]) == clock.now + SESSION
    url = urlsplit(answer["url"])
    assert world.request("GET", url.path, user=None).data == published.data
    manifest = urlsplit(answer["chunked"]["manifestUrl"])
    assert world.request("GET", manifest.path, user=None).get_json()["chunkSize"] == 512


def test_stream_url_works_with_only_its_cookie(remake: Remake, published: Image) -> None:
    world = remake(gateway_auth_mode="cookie")
    answer = stream(world, published)
    auth = answer["auth"]
    assert auth["type"] == "cookie"
    assert answer["url"] == f"http://localhost{published.path('range')}"
    assert "igl~" not in answer["url"]
    (cookie,) = auth["cookies"]
    assert cookie["name"] == "ImageLease"
    assert cookie["attributes"][:4] == [
        f"Path=/v1/images/{published.image_id}/",
        "Secure",
        "HttpOnly",
        "SameSite=None",
    ]
    headers = cookie_of(cookie["value"])
    assert world.request("GET", published.path("range"), user=None, headers=headers).data == published.data
    manifest = urlsplit(answer["chunked"]["manifestUrl"]).path
    assert world.request("GET", manifest, user=None, headers=headers).status_code == 200
    assert world.request("GET", manifest, user=None).status_code == 401


@pytest.mark.parametrize(
    ("same_site", "partitioned", "root", "attributes"),
    [
        ("Lax", False, "http://gw.example", ["HttpOnly", "SameSite=Lax"]),
        ("Lax", False, "https://gw.example", ["Secure", "HttpOnly", "SameSite=Lax"]),
        ("Strict", False, "https://gw.example", ["Secure", "HttpOnly", "SameSite=Strict"]),
        ("None", True, "http://gw.example", ["Secure", "HttpOnly", "SameSite=None", "Partitioned"]),
    ],
)
def test_cookie_attributes(
    remake: Remake, image: Image, same_site: str, partitioned: bool, root: str, attributes: list[str]
) -> None:
    world = remake(
        gateway_auth_mode="cookie", lease_cookie_samesite=same_site, lease_cookie_partitioned=partitioned
    )
    cookie = stream(world, image, base_url=root)["auth"]["cookies"][0]
    assert cookie["attributes"][1:-1] == attributes
    assert cookie["attributes"][-1].startswith("Expires=")


def test_a_session_lease_is_handed_out_again_for_a_twelfth(world: World, image: Image, clock: Clock) -> None:
    world.share_with(image, "bob")
    first = stream(world, image)
    clock.now += SESSION / 12 - 1
    assert stream(world, image) == first
    assert stream(world, image, user="bob")["url"] != first["url"]
    clock.now += 1
    second = stream(world, image)
    assert second["url"] != first["url"]
    assert moment(second["auth"]["expiresAt"]) == clock.now + SESSION


def test_a_revoked_session_lease_is_not_handed_out_again(world: World, image: Image) -> None:
    first = stream(world, image)
    assert revoke(world, first["auth"]["leaseId"]) == (200, None)
    assert stream(world, image)["url"] != first["url"]


def test_a_visitor_does_not_end_the_session_of_another(world: World, image: Image) -> None:
    world.show_to(image, "public")
    mine, theirs = (urlsplit(stream(world, image, user=None)["url"]).path for _ in range(2))
    lease_id = stream(world, image, user=None)["auth"]["leaseId"]
    world.bearing(theirs.split("/")[3], "DELETE", f"/v1/leases/{lease_id}")
    assert world.request("GET", mine, user=None).status_code == 200


def test_nobody_needs_a_lease_where_everyone_is_the_same_user(remake: Remake) -> None:
    world = remake(auth_mode="none")
    image = world.make_image(b"data")
    assert stream(world, image, user=None)["auth"] == {"type": "none"}


@pytest.mark.parametrize("value", ["", "garbage", "igl~k1~e30~x", "expired", "revoked", "of another image"])
def test_a_cookie_that_is_no_good_keeps_nobody_from_a_public_image(
    world: World, image: Image, clock: Clock, value: str
) -> None:
    other = world.make_image(b"other")
    token = world.make_lease(other if value == "of another image" else image)
    world.show_to(image, "public")
    if value == "expired":
        clock.now += TTL + GRACE
    if value == "revoked":
        revoke(world, token["leaseId"])
    headers = cookie_of(token["token"] if value in ("expired", "revoked", "of another image") else value)
    for route in ("range", "metadata"):
        assert world.request("GET", image.path(route), user=None, headers=headers).status_code == 200


def test_a_bearer_token_that_is_no_good_is_refused_also_there(remake: Remake, image: Image) -> None:
    signed_in = remake(provider=True)
    signed_in_headers = {"Authorization": f"Bearer user:{OWNER}"}
    body = {"visibility": "public"}
    path = f"/v1/images/{image.image_id}"
    assert (
        signed_in.request("PATCH", path, user=None, headers=signed_in_headers, json=body).status_code == 200
    )
    for token in ("garbage", "igl~k1~e30~x", "igl~"):
        assert outcome(signed_in.bearing(token, "GET", image.path("range"))) == (401, "UNAUTH")
    assert signed_in.request("GET", image.path("range"), user=None).status_code == 200


def test_a_refused_lease_is_challenged(world: World, image: Image) -> None:
    for response in (
        world.bearing("igl~k1~e30~x", "GET", image.path("range")),
        world.request("GET", image.path("range"), user=None),
        world.request("GET", "/v1/usage", user=None),
    ):
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_bytes_of_a_public_image_may_be_kept(world: World, target: str, method: str) -> None:
    image = world.make_image(bytes(2048))
    world.publish(image, 512)
    path = image.path(TARGETS[target][1])
    private = world.request(method, path)
    assert "public" not in private.headers["Cache-Control"]
    world.show_to(image, "public")
    response = world.request(method, path, user=None)
    assert response.status_code == 200
    assert response.headers["Cache-Control"].startswith("public, max-age=")
    assert "no-transform" in response.headers["Cache-Control"]
    world.show_to(image, "shared")
    assert world.request(method, path, user=None).status_code == 401
