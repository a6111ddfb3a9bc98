"""What stream-url and leases say of views, and who is redirected to a CDN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.keys import make_key, pem_of
from tests.support.leasing import RULES
from tests.support.world import Image, World

DOMAIN = "cdn.example"
VIEWS = {"v86", "tinyemu", "infinite-mac", "webvm", "sqlite", "raw"}


@pytest.fixture
def with_cdn(lasting: World) -> Callable[..., World]:
    def make(**changes: Any) -> World:
        cdn = {
            "cloudfront_domain": DOMAIN,
            "cloudfront_key_pair_id": "K1",
            "cloudfront_private_key_pem": pem_of(make_key()),
        }
        return lasting.with_settings(**RULES, **cdn, **changes)

    return make


def views_of(world: World, image: Image, **options: Any) -> Any:
    return world.request("GET", image.path("stream-url"), **options).get_json().get("views")


def root_of(views: dict[str, Any]) -> str:
    return str(views["raw"]["url"]).removesuffix("/raw/disk.img")


def test_what_is_offered(world: World, image: Image) -> None:
    answer = world.request("GET", image.path("stream-url")).get_json()
    root = answer["url"].removesuffix("/disk.img")
    assert answer["views"] == {
        "v86": {
            "url": f"{root}/v86/262144/disk.img",
            "async": True,
            "size": len(image.data),
            "use_parts": True,
            "fixed_chunk_size": 262_144,
        },
        "tinyemu": {"url": f"{root}/tinyemu/256/blk.txt"},
        "infinite-mac": {
            "url": f"{root}/infinite-mac/262144/manifest.json",
            "baseUrl": f"{root}/infinite-mac/262144",
        },
        "webvm": {"url": f"{root}/webvm/disk.ext2", "bytesUrl": f"{root}/webvm/bytes/disk.ext2"},
        "sqlite": {
            "url": f"{root}/sqlite/10485760/config.json",
            "from": "jsonconfig",
            "configUrl": f"{root}/sqlite/10485760/config.json",
        },
        "raw": {"url": f"{root}/raw/disk.img"},
    }


def test_leases_offer_what_they_can_read(world: World, image: Image) -> None:
    lease = world.make_lease(image)
    assert root_of(lease["views"]) == f"http://localhost/v1/l/{lease['token']}"
    renewed = world.request("POST", f"/v1/leases/{lease['leaseId']}/renew").get_json()
    assert renewed["views"] == lease["views"]
    assert "views" not in world.make_lease(image, scopes=["disk:write"])


def test_redeemed_links_offer_views(world: World, image: Image) -> None:
    link = world.request("POST", image.path("share-links"), json={}).get_json()
    lease = world.request("POST", "/v1/share-links/redeem", user=None, json={"token": link["token"]})
    assert set(lease.get_json()["views"]) == VIEWS


def test_a_page_with_a_cookie_still_gets_leased_paths(lasting: World) -> None:
    world = lasting.with_settings(**RULES, gateway_auth_mode="cookie")
    answer = world.request("GET", world.make_image(b"x" * 512).path("stream-url")).get_json()
    assert answer["auth"]["type"] == "cookie"
    assert urlsplit(answer["views"]["raw"]["url"]).path.startswith("/v1/l/")


@pytest.mark.parametrize("mode", ["cookie", "url"])
def test_with_a_cdn_only_public_images_are_offered_without_a_lease(
    with_cdn: Callable[..., World], mode: str
) -> None:
    world = with_cdn(cloudfront_auth_mode=mode)
    image = world.make_image(b"x" * 1024)
    assert views_of(world, image) is None
    world.show_to(image, "public")
    assert root_of(views_of(world, image)) == f"http://localhost/v1/images/{image.image_id}/views"


def test_a_lease_that_reads_from_the_cdn_is_redirected_where_the_bytes_are_plain(
    with_cdn: Callable[..., World],
) -> None:
    world = with_cdn(cloudfront_auth_mode="url")
    image = world.make_image(bytes(range(256)) * 8)
    world.publish(image, 1024)
    views = views_of(world, image)
    root = urlsplit(root_of(views)).path
    assert root.startswith("/v1/l/")
    for file in ("raw/disk.img", "webvm/bytes/disk.ext2"):
        for method in ("GET", "HEAD"):
            response = world.request(method, f"{root}/{file}", user=None, headers={"Range": "bytes=0-1"})
            assert (response.status_code, response.data) == (307, b"")
            assert response.headers["Location"].startswith(f"https://{DOMAIN}/{image.key}?")
            assert response.headers["Cache-Control"] == "no-store"
    for file in ("raw/disk.img?download", "v86/512/0-512.img", "webvm/disk.ext2.c000000.txt"):
        assert world.request("GET", f"{root}/{file}", user=None).status_code == 200


def test_other_leases_read_from_the_gateway(with_cdn: Callable[..., World]) -> None:
    world = with_cdn(cloudfront_auth_mode="url")
    image = world.make_image(bytes(2048))
    world.publish(image, 1024)
    token = world.make_lease(image)["token"]
    for path in (f"/v1/l/{token}/raw/disk.img", image.path("views/raw/disk.img")):
        assert world.request("GET", path).status_code == 200
