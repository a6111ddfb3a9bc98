"""A Host header that an attacker chose: it reaches no URL that the gateway hands out."""

from __future__ import annotations

import pytest

from tests.support.leasing import outcome
from tests.support.world import World

EVIL = "evil.example"
PUBLIC = "https://images.example.com"
REFUSED = (400, "BAD_REQUEST")


@pytest.mark.parametrize("headers", [{"Host": EVIL}, {"X-Forwarded-Host": EVIL, "X-Forwarded-Proto": "http"}])
def test_no_url_carries_the_attackers_host(world: World, headers: dict[str, str]) -> None:
    image = world.make_image(b"x")
    world.publish(world.make_image(b"x" * 512), 512)
    known = world.with_settings(public_url=PUBLIC, trusted_proxy_hops=1)
    lease = known.request("POST", "/v1/leases", json={"imageId": image.image_id}, headers=headers)
    link = known.request("POST", image.path("share-links"), json={}, headers=headers)
    redeemed = known.request(
        "POST", "/v1/share-links/redeem", user=None, json={"token": link.get_json()["token"]}, headers=headers
    )
    renewed = known.request("POST", f"/v1/leases/{lease.get_json()['leaseId']}/renew", headers=headers)
    metadata = known.request("GET", image.path("metadata"), headers=headers)
    stream = known.request("GET", image.path("stream-url"), headers=headers)
    for response in (lease, redeemed, renewed, metadata, stream):
        assert response.status_code == 200
        assert response.get_json()["url"].startswith(f"{PUBLIC}/v1/")
        assert EVIL not in response.text


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
@pytest.mark.parametrize(
    "host", [EVIL, "images.example.com.evil.example", "images.example.com:8080", "[::1]"]
)
def test_another_host_than_the_allowed_ones_is_refused(world: World, method: str, host: str) -> None:
    strict = world.with_settings(allowed_hosts=("images.example.com", "other.example:8443"))
    if method == "GET":
        assert outcome(strict.request("GET", "/v1/images", headers={"Host": host})) == REFUSED
    else:
        client = strict.app.test_client()
        assert client.options("/v1/images", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize(
    "host", ["images.example.com", "Images.Example.COM", "images.example.com:80", "other.example:8443"]
)
def test_allowed_hosts_are_answered_and_named(world: World, host: str) -> None:
    image = world.make_image(b"x")
    strict = world.with_settings(allowed_hosts=("images.example.com", "other.example:8443"))
    answer = strict.request("GET", image.path("metadata"), headers={"Host": host})
    assert answer.get_json()["url"].startswith(f"http://{host}/v1/")


def test_the_host_that_counts_is_the_one_a_trusted_proxy_forwards(world: World) -> None:
    strict = world.with_settings(allowed_hosts=("images.example.com",), trusted_proxy_hops=1)
    forwarded = {"Host": "10.0.0.7:3000", "X-Forwarded-Host": "images.example.com"}
    assert strict.request("GET", "/v1/images", headers=forwarded).status_code == 200
    forged = {"Host": "images.example.com", "X-Forwarded-Host": EVIL}
    assert outcome(strict.request("GET", "/v1/images", headers=forged)) == REFUSED


@pytest.mark.parametrize("path", ["/health", "/healthz", "/readyz"])
def test_load_balancers_probe_by_address(world: World, path: str) -> None:
    strict = world.with_settings(allowed_hosts=("images.example.com",))
    assert strict.request("GET", path, user=None, headers={"Host": "10.0.0.7:3000"}).status_code == 200
