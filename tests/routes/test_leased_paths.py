"""Bytes by a lease in the path: whole, in ranges, conditionally, in chunks, by names that are relative."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from image_gateway.storage.client import StoreClients
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.keys import make_key, pem_of
from tests.support.leasing import CARRIERS, RULES, TARGETS, outcome, read
from tests.support.world import Image, World, lasting_world

DATA = bytes(range(256)) * 10
CHUNK = 1024


@pytest.fixture(scope="module")
def world(databases: Databases, checker: ContractChecker, moto_clients: StoreClients) -> Iterator[World]:
    with lasting_world(databases, checker, moto_clients) as lasting:
        yield lasting.with_settings(**RULES)


@pytest.fixture(scope="module")
def image(world: World) -> Image:
    image = world.make_image(DATA)
    world.publish(image, CHUNK)
    return image


@pytest.fixture(scope="module")
def lease(world: World, image: Image) -> dict[str, Any]:
    return world.make_lease(image)


def fetch(world: World, url: str, method: str = "GET", **headers: str) -> Any:
    """Fetch as a reader that can send no credential."""
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.query) == ("http", "localhost", "")
    return world.request(method, parts.path, user=None, headers=headers)


def test_the_disk(world: World, lease: dict[str, Any]) -> None:
    response = fetch(world, lease["url"])
    assert (response.status_code, response.data) == (200, DATA)
    assert response.headers["Content-Length"] == str(len(DATA))
    assert "public" not in response.headers["Cache-Control"]
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Access-Control-Allow-Origin"] == "*"


def test_the_manifests_chunks_are_found_by_their_relative_names(world: World, lease: dict[str, Any]) -> None:
    manifest = fetch(world, lease["manifestUrl"]).get_json()
    names = [f"chunks/{index:0{manifest['chunkIndexWidth']}d}.bin" for index in range(manifest["chunkCount"])]
    chunks = [fetch(world, urljoin(lease["manifestUrl"], name)).data for name in names]
    assert b"".join(chunks) == DATA
    assert {len(chunk) for chunk in chunks} == {CHUNK, len(DATA) % CHUNK}


@pytest.mark.parametrize(
    ("base", "relative", "status"),
    [
        ("url", "manifest.json", 200),
        ("url", "./chunks/00000000.bin", 200),
        ("manifestUrl", "disk.img", 200),
        ("manifestUrl", "chunks/../disk.img", 200),
        ("manifestUrl", "../disk.img", 404),
        ("manifestUrl", "/v1/l/disk.img", 404),
        ("manifestUrl", "//localhost/disk.img", 404),
    ],
)
def test_relative_names_keep_their_authority_and_no_other(
    world: World, lease: dict[str, Any], base: str, relative: str, status: int
) -> None:
    assert fetch(world, urljoin(lease[base], relative)).status_code == status


def test_what_a_reader_derives_from_the_last_dot_keeps_the_token(world: World, lease: dict[str, Any]) -> None:
    """v86 puts `-<start>-<end>` before the ending, which it looks for at the last dot of the URL."""
    stem, dot, ending = lease["url"].rpartition(".")
    assert (dot, ending) == (".", "img")
    assert urlsplit(stem).path == f"/v1/l/{lease['token']}/disk"
    assert fetch(world, f"{stem}-0-512.{ending}").status_code == 404


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-9"}, {"If-None-Match": "*"}, {"If-Match": '"x"'}])
def test_the_path_answers_as_the_image_does(
    world: World, image: Image, lease: dict[str, Any], target: str, headers: dict[str, str]
) -> None:
    for method in ("GET", "HEAD"):
        by_path = read(world, lease["token"], "path", image, target=target, method=method, headers=headers)
        by_name = world.request(method, image.path(TARGETS[target][1]), headers=headers)
        ignored = ("X-Request-Id",)
        assert by_path.status_code == by_name.status_code
        assert by_path.data == by_name.data
        assert [item for item in by_path.headers if item[0] not in ignored] == [
            item for item in by_name.headers if item[0] not in ignored
        ]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("headers", [{}, {"If-None-Match": "*"}, {"If-Match": '"another"'}])
def test_head_is_get_without_the_body(
    world: World, image: Image, lease: dict[str, Any], target: str, headers: dict[str, str]
) -> None:
    get, head = (
        read(world, lease["token"], "path", image, target=target, method=method, headers=headers)
        for method in ("GET", "HEAD")
    )
    assert (head.status_code, head.data) == (get.status_code, b"")
    assert {name for name, _ in head.headers} == {name for name, _ in get.headers}
    for name in ("ETag", "Content-Length", "Last-Modified", "Cache-Control"):
        assert head.headers.get(name) == get.headers.get(name)


@pytest.mark.parametrize(
    ("header", "status", "content"),
    [
        ("bytes=0-0", 206, DATA[:1]),
        ("bytes=512-1023", 206, DATA[512:1024]),
        ("bytes=-3", 206, DATA[-3:]),
        ("bytes=2500-", 206, DATA[2500:]),
        ("bytes=2550-9999", 206, DATA[2550:]),
        (f"bytes={len(DATA)}-", 416, b""),
        ("bytes=x", 416, b""),
    ],
    ids=lambda value: str(value)[:16],
)
def test_ranges(world: World, lease: dict[str, Any], header: str, status: int, content: bytes) -> None:
    response = fetch(world, lease["url"], Range=header)
    assert (response.status_code, response.data) == (status, content)
    if status == 416:
        assert response.headers["Content-Range"] == f"bytes */{len(DATA)}"


def test_conditions(world: World, image: Image, lease: dict[str, Any]) -> None:
    url = lease["url"]
    known, unknown = image.etag, '"another"'
    assert fetch(world, url, **{"If-None-Match": known}).status_code == 304
    assert fetch(world, url, **{"If-None-Match": unknown}).status_code == 200
    assert fetch(world, url, **{"If-Match": unknown}).status_code == 412
    assert fetch(world, url, **{"If-Range": known, "Range": "bytes=0-1"}).status_code == 206
    assert fetch(world, url, **{"If-Range": unknown, "Range": "bytes=0-1"}).status_code == 200


def test_what_is_not_there(world: World, image: Image, lease: dict[str, Any]) -> None:
    root = lease["url"].removesuffix("disk.img")
    unpublished = world.make_lease(world.make_image(b"x"))
    assert "manifestUrl" not in unpublished
    for url, refused in [
        (f"{root}chunks/3", (404, "NOT_FOUND")),
        (f"{root}chunks/x", (400, "BAD_REQUEST")),
        (f"{root}chunks/", (404, "NOT_FOUND")),
        (f"{root}metadata", (404, "NOT_FOUND")),
        (root, (404, "NOT_FOUND")),
        (unpublished["url"].replace("disk.img", "manifest.json"), (404, "NOT_FOUND")),
    ]:
        assert outcome(fetch(world, url)) == refused


def test_the_path_decides_whatever_else_is_sent(world: World, lease: dict[str, Any]) -> None:
    for headers in (
        {"Authorization": "Bearer garbage"},
        {"Authorization": "Bearer igl~garbage"},
        {"Cookie": "ImageLease=garbage"},
        {"X-User-Id": "mallory"},
    ):
        assert fetch(world, lease["url"], **headers).data == DATA


def test_only_reads(world: World, lease: dict[str, Any]) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        response = fetch(world, lease["url"], method)
        assert response.status_code == 405
        assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert fetch(world, lease["url"], "OPTIONS").status_code == 204


def test_behind_a_cdn_the_gateway_serves_what_a_lease_reads(world: World, image: Image) -> None:
    cdn = world.with_settings(
        cloudfront_domain="d111111abcdef8.cloudfront.net",
        cloudfront_key_pair_id="K1",
        cloudfront_private_key_pem=pem_of(make_key()),
    )
    token = cdn.make_lease(image)["token"]
    for target in TARGETS:
        for carrier in CARRIERS:
            assert read(cdn, token, carrier, image, target=target).status_code == 200
    assert cdn.request("GET", image.path("chunked/manifest")).status_code == 307
