"""The bytes endpoint, row by row of the contract's tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime

import pytest

from image_gateway.storage.client import StoreClients
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.numbers import Numbers
from tests.support.world import Image, World, lasting_world

SIZE = 1000
DATA = bytes(number % 251 for number in range(SIZE))


@pytest.fixture(scope="module", params=[False, True], ids=["no cache", "block cache"])
def world(
    request: pytest.FixtureRequest,
    databases: Databases,
    checker: ContractChecker,
    moto_clients: StoreClients,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """Every row holds whichever way the bytes come."""
    blocks = {"range_cache_dir": str(tmp_path_factory.mktemp("blocks")), "range_cache_block_bytes": 65_536}
    with lasting_world(databases, checker, moto_clients) as lasting:
        yield lasting.with_settings(rate_limits=False, **(blocks if request.param else {}))


@pytest.fixture
def image(world: World) -> Image:
    return world.make_image(DATA)


RANGES = [
    (None, 200, 0, SIZE),
    ("bytes=0-0", 206, 0, 1),
    ("bytes=10-19", 206, 10, 20),
    ("bytes=0-999", 206, 0, SIZE),
    ("bytes=0-1000", 206, 0, SIZE),
    ("bytes=990-" + "9" * 5000, 206, 990, SIZE),
    ("bytes=0000000000000000000000000010-19", 206, 10, 20),
    ("bytes=999-", 206, 999, SIZE),
    ("bytes=0-", 206, 0, SIZE),
    ("bytes=-1", 206, 999, SIZE),
    ("bytes=-1000", 206, 0, SIZE),
    ("bytes=-5000", 206, 0, SIZE),
    ("Bytes=0-9", 206, 0, 10),
    ("  BYTES = 0-9  ", 206, 0, 10),
    ("bytes=\t5-9", 206, 5, 10),
    ("bytes=1000-", 416, 0, 0),
    ("bytes=1000-2000", 416, 0, 0),
    ("bytes=-0", 416, 0, 0),
    ("bytes=9-8", 416, 0, 0),
    ("bytes=a-b", 416, 0, 0),
    ("bytes=-", 416, 0, 0),
    ("bytes=", 416, 0, 0),
    ("bytes", 416, 0, 0),
    ("bytes=1", 416, 0, 0),
    ("bytes=0x0-0x9", 416, 0, 0),
    ("bytes=0-1,5-6", 416, 0, 0),
    ("bytes=0-1,", 416, 0, 0),
    ("bytes=,0-1", 416, 0, 0),
    ("bytes=0 - 9", 416, 0, 0),
    ("items=0-9", 200, 0, SIZE),
    ("nonsense", 200, 0, SIZE),
]


@pytest.mark.parametrize(("header", "status", "start", "stop"), RANGES, ids=lambda value: str(value)[:24])
def test_range(world: World, image: Image, header: str | None, status: int, start: int, stop: int) -> None:
    headers = {} if header is None else {"Range": header}
    response = world.request("GET", image.path("range"), headers=headers)
    assert response.status_code == status
    assert response.data == DATA[start:stop]
    assert response.headers["Content-Length"] == str(stop - start)
    assert "Transfer-Encoding" not in response.headers
    expected = {206: f"bytes {start}-{stop - 1}/{SIZE}", 416: f"bytes */{SIZE}", 200: None}[status]
    assert response.headers.get("Content-Range") == expected


@pytest.mark.parametrize("header", [None, "bytes=0-9", "bytes=5000-", "bytes=0-1,2-3"])
def test_head_ignores_range(world: World, image: Image, header: str | None) -> None:
    response = world.request("HEAD", image.path("range"), headers={"Range": header} if header else {})
    assert (response.status_code, response.data) == (200, b"")
    assert response.headers["Content-Length"] == str(SIZE)
    assert response.headers["ETag"] == image.etag


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Range": "bytes=0-9"}, 206),
        ({"Range": "bytes=9999-"}, 416),
        ({"If-None-Match": "*"}, 304),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_headers_of_every_bytes_answer(
    world: World, image: Image, method: str, headers: dict[str, str], status: int
) -> None:
    response = world.request(method, image.path("range"), headers=headers)
    assert response.status_code == (200 if method == "HEAD" and status in (206, 416) else status)
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Encoding"] == "identity"
    assert response.headers["Cache-Control"] == "private, no-store, no-transform"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cross-Origin-Resource-Policy"] == "same-site"
    assert response.headers["ETag"] == image.etag
    assert parsedate_to_datetime(response.headers["Last-Modified"])
    assert response.headers["Access-Control-Allow-Origin"] == "*"


# (header, value with {etag}, status of a GET with Range: bytes=0-9)
CONDITIONS = [
    ("If-Range", "{etag}", 206),
    ("If-Range", "W/{etag}", 200),
    ("If-Range", '"other"', 200),
    ("If-Range", "garbage", 200),
    ("If-Range", "{bare}", 200),
    ("If-Range", '"' + "x" * 256 + '"', 200),
    ("If-Range", "{modified}", 206),
    ("If-Range", "{later}", 206),
    ("If-Range", "{earlier}", 200),
    ("If-None-Match", "{etag}", 304),
    ("If-None-Match", "W/{etag}", 304),
    ("If-None-Match", "*", 304),
    ("If-None-Match", '"a,b", {etag}', 304),
    ("If-None-Match", '"a", "b"', 206),
    ("If-Modified-Since", "{modified}", 304),
    ("If-Modified-Since", "{later}", 304),
    ("If-Modified-Since", "{earlier}", 206),
    ("If-Modified-Since", "not a date", 206),
    ("If-Match", "{etag}", 206),
    ("If-Match", "*", 206),
    ("If-Match", '"other"', 412),
    ("If-Match", "W/{etag}", 412),
    ("If-Unmodified-Since", "{modified}", 206),
    ("If-Unmodified-Since", "{earlier}", 412),
]


@pytest.mark.parametrize(("name", "value", "status"), CONDITIONS, ids=lambda value: str(value)[:30])
def test_conditions(world: World, image: Image, name: str, value: str, status: int) -> None:
    response = world.request(
        "GET", image.path("range"), headers={"Range": "bytes=0-9", name: _fill(world, image, value)}
    )
    assert response.status_code == status
    if status in (200, 206):
        assert response.data == (DATA[:10] if status == 206 else DATA)
    if status == 412:
        assert response.get_json()["error"]["code"] == "PRECONDITION_FAILED"


def _fill(world: World, image: Image, value: str) -> str:
    modified = parsedate_to_datetime(world.request("HEAD", image.path("range")).headers["Last-Modified"])
    return value.format(
        etag=image.etag,
        bare=image.etag.strip('"'),
        modified=format_datetime(modified, usegmt=True),
        later=format_datetime(modified + timedelta(seconds=1), usegmt=True),
        earlier=format_datetime(modified - timedelta(seconds=1), usegmt=True),
    )


def test_none_match_wins_over_modified_since(world: World, image: Image) -> None:
    headers = {"If-None-Match": '"other"', "If-Modified-Since": _fill(world, image, "{later}")}
    assert world.request("GET", image.path("range"), headers=headers).status_code == 200


def test_not_modified_comes_before_an_unsatisfiable_range(world: World, image: Image) -> None:
    headers = {"If-None-Match": image.etag, "Range": "bytes=9999-"}
    assert world.request("GET", image.path("range"), headers=headers).status_code == 304


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (None, "private, no-cache, no-transform"),
        ("public, max-age=60", "private, no-cache, no-transform"),
        ("public, max-age=31536000, immutable, no-transform", "private, no-cache, no-transform"),
        ("Private, No-Store", "private, no-store, no-transform"),
    ],
)
@pytest.mark.parametrize("by", ["identity", "path", "query"])
def test_a_shared_cache_never_keeps_a_private_disk(
    world: World, image: Image, stored: str | None, expected: str, by: str
) -> None:
    """Whatever the object says, which is meant for an edge that checks signatures."""
    metadata = {} if stored is None else {"CacheControl": stored}
    world.replace_object(image.key, DATA, **metadata)
    token = world.make_lease(image)["token"]
    path = {
        "identity": image.path("range"),
        "path": f"/v1/l/{token}/disk.img",
        "query": f"{image.path('range')}?token={token}",
    }[by]
    options = {} if by == "identity" else {"user": None}
    for headers in ({}, {"Range": "bytes=0-1"}):
        response = world.request("GET", path, headers=headers, **options)
        assert response.headers["Cache-Control"] == expected
        assert {"authorization", "cookie", "x-user-id"} <= {name.lower() for name in response.vary}


def test_what_caches_may_keep_of_a_public_image(world: World) -> None:
    image = world.make_image(bytes(1024))
    world.publish(image, 512)
    world.show_to(image, "public")
    kept = {
        "range": "public, max-age=300, no-transform",
        "chunked/manifest": "public, max-age=300, no-transform",
        "chunked/chunks/00000001.bin": "public, max-age=31536000, immutable, no-transform",
    }
    for route, expected in kept.items():
        response = world.request("GET", image.path(route), user=None)
        assert (response.status_code, response.headers["Cache-Control"]) == (200, expected)
        assert "cookie" not in {name.lower() for name in response.vary}


def test_stored_content_type_is_not_passed_on(world: World, image: Image) -> None:
    world.replace_object(image.key, DATA, ContentType="text/html")
    assert world.request("GET", image.path("range")).headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_content_encoding_is_refused(world: World, image: Image, method: str) -> None:
    world.replace_object(image.key, DATA, ContentEncoding="gzip")
    response = world.request(method, image.path("range"), headers={"Range": "bytes=0-9"})
    assert response.status_code == 502
    if method == "GET":
        assert response.get_json()["error"]["code"] == "S3_ERROR"


def test_a_replaced_object_is_answered_whole_and_new(world: World, image: Image) -> None:
    world.replace_object(image.key, b"new bytes", ContentEncoding="identity")
    response = world.request("GET", image.path("range"), headers={"Range": "bytes=0-3"})
    assert (response.status_code, response.data) == (200, b"new bytes")
    assert response.headers["ETag"] != image.etag
    assert response.headers["Content-Length"] == "9"
    head = world.request("HEAD", image.path("range"))
    assert (head.headers["ETag"], head.headers["Content-Length"]) == (response.headers["ETag"], "9")


def test_a_replaced_object_fails_the_match_that_the_old_one_passed(world: World, image: Image) -> None:
    world.replace_object(image.key, b"new bytes")
    headers = {"If-Match": image.etag, "Range": "bytes=0-3"}
    assert world.request("GET", image.path("range"), headers=headers).status_code == 412


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_vanished_object_is_not_found(world: World, image: Image, method: str) -> None:
    world.store.delete(image.key)
    assert world.request(method, image.path("range")).status_code == 404


def test_an_unfinished_image_is_a_conflict(world: World) -> None:
    image_id, _ = world.begin()
    response = world.request("GET", f"/v1/images/{image_id}/range")
    assert (response.status_code, response.get_json()["error"]["code"]) == (409, "INVALID_STATE")


@pytest.mark.parametrize("route", ["range", "metadata", "stream-url", "chunked/manifest", "chunked/chunks/0"])
def test_someone_elses_image_is_forbidden_and_an_unknown_one_not_found(
    world: World, image: Image, route: str
) -> None:
    foreign = world.request("GET", image.path(route), user="mallory")
    assert (foreign.status_code, foreign.get_json()["error"]["code"]) == (403, "FORBIDDEN")
    unknown = world.request("GET", f"/v1/images/00000000-0000-4000-8000-000000000000/{route}")
    assert (unknown.status_code, unknown.get_json()["error"]["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("image_id", ["x", "..", "%2e%2e", "%00", "a%2Fb", "9" * 5000, "%F0%9F%98%80"])
def test_an_id_that_is_none_is_not_found(world: World, image_id: str) -> None:
    assert world.request("GET", f"/v1/images/{image_id}/range").status_code == 404


def test_one_store_call_a_range(world: World, image: Image) -> None:
    numbers = Numbers()
    world.request("GET", image.path("range"), headers={"Range": "bytes=0-9"})
    world.request("GET", image.path("range"), headers={"Range": "bytes=5000-"})
    world.request("GET", image.path("range"), headers={"If-None-Match": image.etag})
    assert numbers.added("store_calls_total") == 1


def test_an_empty_image(world: World) -> None:
    image = world.make_image(b"")
    assert world.request("GET", image.path("range")).headers["Content-Length"] == "0"
    response = world.request("GET", image.path("range"), headers={"Range": "bytes=0-"})
    assert (response.status_code, response.headers["Content-Range"]) == (416, "bytes */0")
