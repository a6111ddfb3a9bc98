"""metadata and stream-url, with and without CloudFront; signatures are verified, not looked at."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1

from image_gateway.app import create_app
from tests.support.keys import make_key, pem_of
from tests.support.world import Image, World

DOMAIN = "d111111abcdef8.cloudfront.net"
KEY_ID = "K2JCJMDEHXQW5F"


@pytest.fixture
def with_cdn(world: World) -> Callable[..., World]:
    def make(**changes: Any) -> World:
        return world.with_settings(
            cloudfront_domain=DOMAIN,
            cloudfront_key_pair_id=KEY_ID,
            cloudfront_private_key_pem=pem_of(make_key()),
            **changes,
        )

    return make


def verified_policy(policy: str, signature: str) -> dict[str, Any]:
    """Undo CloudFront's base64, verify the signature over the exact bytes, return the one statement."""
    alphabet = str.maketrans("-_~", "+=/")
    text = base64.b64decode(policy.translate(alphabet), validate=True)
    make_key().public_key().verify(
        base64.b64decode(signature.translate(alphabet), validate=True), text, PKCS1v15(), SHA1()
    )
    (statement,) = json.loads(text)["Statement"]
    return statement


def test_metadata_without_cloudfront(world: World) -> None:
    image = world.make_image(b"data")
    assert world.request("GET", image.path("metadata")).get_json() == {
        "size": 4,
        "etag": image.etag,
        "lastModified": image.last_modified,
        "url": f"http://localhost{image.path('range')}",
    }


def test_stream_url_without_cloudfront(world: World) -> None:
    image = world.make_image(b"data")
    response = world.request("GET", image.path("stream-url"))
    assert response.headers["Cache-Control"] == "no-store"
    body = response.get_json()
    assert (body["size"], body["etag"], body["auth"]["type"]) == (4, image.etag, "url")
    assert urlsplit(body["url"]).path.startswith("/v1/l/igl~")
    assert world.request("GET", urlsplit(body["url"]).path, user=None).data == b"data"


def test_stream_url_where_everyone_is_the_same_user(world: World) -> None:
    everyone = world.with_settings(auth_mode="none")
    image = everyone.make_image(b"data")
    answer = everyone.request("GET", image.path("stream-url"), user=None).get_json()
    assert answer.pop("views")["raw"] == {"url": f"http://localhost{image.path('views/raw/disk.img')}"}
    assert answer == {
        "url": f"http://localhost{image.path('range')}",
        "auth": {"type": "none"},
        "size": 4,
        "etag": image.etag,
    }


def test_cookie_mode(with_cdn: Callable[..., World]) -> None:
    cdn = with_cdn()
    image = cdn.make_image(b"data")
    response = cdn.request("GET", image.path("stream-url"))
    body = response.get_json()
    assert response.headers["Cache-Control"] == "no-store"
    assert body["url"] == f"https://{DOMAIN}/{image.key}"
    assert body["auth"]["type"] == "cookie"
    cookies = {cookie["name"]: cookie for cookie in body["auth"]["cookies"]}
    assert set(cookies) == {"CloudFront-Policy", "CloudFront-Signature", "CloudFront-Key-Pair-Id"}
    assert cookies["CloudFront-Key-Pair-Id"]["value"] == KEY_ID
    statement = verified_policy(
        cookies["CloudFront-Policy"]["value"], cookies["CloudFront-Signature"]["value"]
    )
    prefix = image.key.removesuffix("disk.img")
    assert statement["Resource"] == f"https://{DOMAIN}/{prefix}*"
    sent = [
        "; ".join([f"{cookie['name']}={cookie['value']}", *cookie["attributes"]])
        for cookie in body["auth"]["cookies"]
    ]
    assert response.headers.getlist("Set-Cookie") == sent
    for cookie in cookies.values():
        assert cookie["attributes"][:4] == [f"Path=/{prefix}", "Secure", "HttpOnly", "SameSite=None"]


def test_cookie_attributes_by_setting(with_cdn: Callable[..., World]) -> None:
    cdn = with_cdn(cloudfront_cookie_partitioned=True, cloudfront_cookie_domain=".example.com")
    image = cdn.make_image(b"data")
    attributes = cdn.request("GET", image.path("stream-url")).get_json()["auth"]["cookies"][0]["attributes"]
    assert attributes[3:6] == ["SameSite=None", "Partitioned", "Domain=.example.com"]
    assert attributes[6].startswith("Expires=")


def test_url_mode(with_cdn: Callable[..., World]) -> None:
    cdn = with_cdn(cloudfront_auth_mode="url")
    image = cdn.make_image(bytes(1024))
    cdn.publish(image, 512)
    response = cdn.request("GET", image.path("stream-url"))
    body = response.get_json()
    assert body["auth"].keys() == {"type", "expiresAt"}
    assert "Set-Cookie" not in response.headers
    url = urlsplit(body["url"])
    assert (url.netloc, url.path) == (DOMAIN, f"/{image.key}")
    query = {name: values[0] for name, values in parse_qs(url.query, strict_parsing=True).items()}
    assert set(query) == {"Policy", "Signature", "Key-Pair-Id"}
    statement = verified_policy(query["Policy"], query["Signature"])
    assert f"https://{DOMAIN}/{image.key}".startswith(statement["Resource"].removesuffix("*"))
    assert body["expiresAt"] == body["auth"]["expiresAt"]


def test_url_modes_chunks_are_read_without_any_header(with_cdn: Callable[..., World]) -> None:
    """A browser follows the manifest's relative names; each chunk leads to its own signed URL."""
    cdn = with_cdn(cloudfront_auth_mode="url")
    image = cdn.make_image(bytes(1024))
    cdn.publish(image, 512)
    body = cdn.request("GET", image.path("stream-url")).get_json()
    manifest_url = urlsplit(body["chunked"]["manifestUrl"]).path
    manifest = cdn.request("GET", manifest_url, user=None)
    assert manifest.get_json()["imageId"] == image.image_id
    for index in range(manifest.get_json()["chunkCount"]):
        chunk = cdn.request("GET", urljoin(manifest_url, f"chunks/{index:08d}.bin"), user=None)
        target = urlsplit(chunk.headers["Location"])
        assert (chunk.status_code, target.netloc) == (307, DOMAIN)
        assert target.path == f"/{image.key}".replace("disk.img", f"chunks/{index:08d}.bin")
        query = parse_qs(target.query, strict_parsing=True)
        assert verified_policy(query["Policy"][0], query["Signature"][0])
    short = cdn.request("POST", "/v1/leases", json={"imageId": image.image_id}).get_json()
    served = cdn.request("GET", f"/v1/l/{short['token']}/chunks/0", user=None)
    assert (served.status_code, served.data) == (200, bytes(512))


@pytest.mark.parametrize("mode", ["cookie", "url"])
@pytest.mark.parametrize(
    ("route", "name"),
    [
        ("chunked/manifest", "manifest.json"),
        ("chunked/chunks/1", "chunks/00000001.bin"),
        ("chunked/chunks/00000001.bin", "chunks/00000001.bin"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_chunks_are_redirected(
    with_cdn: Callable[..., World], mode: str, route: str, name: str, method: str
) -> None:
    cdn = with_cdn(cloudfront_auth_mode=mode)
    image = cdn.make_image(bytes(1024))
    cdn.publish(image, 512)
    response = cdn.request(method, image.path(route))
    assert (response.status_code, response.data) == (307, b"")
    assert response.headers["Cache-Control"] == "no-store"
    target = urlsplit(response.headers["Location"])
    assert (target.netloc, target.path) == (DOMAIN, "/" + image.key.replace("disk.img", name))
    assert bool(target.query) == (mode == "url")
    assert response.headers["Access-Control-Allow-Origin"] == "*"


def test_cookie_mode_offers_cloudfronts_manifest(with_cdn: Callable[..., World]) -> None:
    cdn = with_cdn()
    image = cdn.make_image(bytes(1024))
    cdn.publish(image, 512)
    manifest = cdn.request("GET", image.path("stream-url")).get_json()["chunked"]["manifestUrl"]
    assert manifest == f"https://{DOMAIN}/{image.key.replace('disk.img', 'manifest.json')}"


def test_a_hundred_stream_urls_cost_one_signature(with_cdn: Callable[..., World]) -> None:
    cdn = with_cdn()
    image = cdn.make_image(b"data")
    signed: list[bytes] = []

    def sign(message: bytes) -> bytes:
        signed.append(message)
        return b"signature"

    cdn.app = create_app(
        cdn.settings, store=cdn.store, catalog=cdn.catalog, sign=sign, clock=lambda: 1_800_000_000
    )
    for _ in range(100):
        assert cdn.request("GET", image.path("stream-url")).status_code == 200
    assert len(signed) == 1


def test_the_expiry_told_is_the_one_signed(with_cdn: Callable[..., World]) -> None:
    cdn = with_cdn(cloudfront_auth_mode="url", cloudfront_signed_ttl_seconds=600)
    image = cdn.make_image(b"data")
    cdn.app = create_app(cdn.settings, store=cdn.store, catalog=cdn.catalog, clock=lambda: 1_800_000_001)
    body = cdn.request("GET", image.path("stream-url")).get_json()
    query = parse_qs(urlsplit(body["url"]).query)
    statement = verified_policy(query["Policy"][0], query["Signature"][0])
    assert statement["Condition"] == {"DateLessThan": {"AWS:EpochTime": 1_800_000_650}}
    assert body["auth"]["expiresAt"] == "2027-01-15T08:10:50Z"


@pytest.mark.parametrize(
    ("hops", "expected"),
    [(0, "http://localhost"), (1, "https://public.example"), (2, "https://outer.example")],
)
def test_forwarded_headers_are_believed_only_from_trusted_proxies(
    world: World, hops: int, expected: str
) -> None:
    image = world.make_image(b"data")
    headers = {"X-Forwarded-Host": "outer.example, public.example", "X-Forwarded-Proto": "https, https"}
    behind = world.with_settings(trusted_proxy_hops=hops)
    url = behind.request("GET", image.path("metadata"), headers=headers).get_json()["url"]
    assert url == f"{expected}{image.path('range')}"


def test_an_unfinished_image_has_no_url(with_cdn: Callable[..., World]) -> None:
    cdn = with_cdn()
    image_id, _ = cdn.begin()
    for route in ("stream-url", "metadata"):
        assert cdn.request("GET", f"/v1/images/{image_id}/{route}").status_code == 409


def test_two_images_cookies_have_paths_of_their_own(with_cdn: Callable[..., World]) -> None:
    cdn = with_cdn()
    paths = set()
    for image in (cdn.make_image(b"disk"), cdn.make_image(b"cd")):
        for cookie in cdn.request("GET", image.path("stream-url")).get_json()["auth"]["cookies"]:
            paths.add(cookie["attributes"][0])
    first, second = sorted(paths)
    assert not first.startswith(second)
    assert not second.startswith(first)


def test_ready_made_image_helper_is_what_the_api_says(world: World) -> None:
    image: Image = world.make_image(b"data")
    assert world.request("HEAD", image.path("range")).headers["ETag"] == image.etag
