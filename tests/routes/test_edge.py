"""Permissions for nginx: the gateway's answer instead of an image's bytes."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.clock import Clock
from tests.support.delta_world import DeltaWorld, make_services
from tests.support.log_lines import written_lines
from tests.support.world import OWNER, Image, World

TOKEN = "e" * 40
DATA = bytes(range(256)) * 40


@pytest.fixture
def edge(world: World) -> World:
    return world.with_settings(edge_token=TOKEN, access_cache_seconds=2)


@pytest.fixture
def image(edge: World) -> Image:
    return edge.make_image(DATA)


def ask(
    world: World, path: str, *, user: str | None = OWNER, headers: dict[str, str] | None = None
) -> TestResponse:
    """Ask as nginx does, which is not in the contract with clients."""
    client = FlaskClient(world.app, world.app.response_class, use_cookies=False)
    identity = {"X-User-Id": user} if user else {}
    return client.get(path, headers={"X-Edge-Token": TOKEN, **identity, **(headers or {})})


def test_a_permission_says_where_the_bytes_lie(edge: World, image: Image) -> None:
    answer = ask(edge, image.path("range"))
    assert (answer.status_code, answer.data) == (200, b"")
    signed = urlsplit(answer.headers["X-Edge-Object"])
    assert int(parse_qs(signed.query)["X-Amz-Expires"][0]) == 900
    store = edge.clients.address.endpoint or ""
    read = urllib3.request("GET", f"{store}{answer.headers['X-Edge-Object']}", headers={"Range": "bytes=5-9"})
    assert (read.status, read.data) == (206, DATA[5:10])
    direct = edge.request("GET", image.path("range"))
    for name in ("ETag", "Last-Modified", "Cache-Control"):
        assert answer.headers[f"X-Edge-{name}"] == direct.headers[name]
    assert answer.headers["X-Edge-Pin-Etag"] == direct.headers["ETag"]
    assert answer.headers["Vary"] == direct.headers["Vary"]
    assert answer.headers["Cache-Control"] == "max-age=1, stale-while-revalidate=1, stale-if-error=30"


@pytest.mark.parametrize("file", ["raw/my.img", "webvm/bytes/disk.ext2"])
def test_the_plain_views_are_read_as_the_disk(edge: World, image: Image, file: str) -> None:
    answer, direct = ask(edge, image.path(f"views/{file}")), ask(edge, image.path("range"))
    assert answer.status_code == 200
    for name in ("Version", "Pin-Etag", "Etag", "Last-Modified", "Cache-Control"):
        assert answer.headers[f"X-Edge-{name}"] == direct.headers[f"X-Edge-{name}"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "no-store"),
        (1, "max-age=1, stale-while-revalidate=0, stale-if-error=30"),
        (2, "max-age=1, stale-while-revalidate=1, stale-if-error=30"),
    ],
)
def test_how_long_a_permission_holds(edge: World, image: Image, seconds: int, expected: str) -> None:
    chosen = edge.with_settings(access_cache_seconds=seconds)
    assert ask(chosen, image.path("range")).headers["Cache-Control"] == expected


@pytest.mark.parametrize(
    ("path", "user"),
    [
        ("range", None),
        ("range", "stranger"),
        ("metadata", OWNER),
        ("chunked/manifest", OWNER),
        ("chunked/chunks/0", OWNER),
        ("nothing", OWNER),
        ("views/raw/disk.img", "stranger"),
        ("views/raw/disk", OWNER),
        ("views/v86/512/disk-0-512.img", OWNER),
        ("views/sqlite/512/db.000", OWNER),
        ("views/tinyemu/1/blk.txt", OWNER),
    ],
)
def test_everything_else_is_401_and_kept_by_nobody(
    edge: World, image: Image, path: str, user: str | None
) -> None:
    answer = ask(edge, image.path(path), user=user)
    # What is no read of bytes is answered as ever, and nginx asks about nothing else.
    if path == "metadata":
        assert answer.status_code == 200
        return
    assert (answer.status_code, answer.data) == (401, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "X-Edge-Object" not in answer.headers


def test_conditions_that_nginx_judges_otherwise_are_the_gateways(edge: World, image: Image) -> None:
    path, etag = image.path("range"), image.etag
    for plain in ({}, {"If-Match": etag}, {"If-Range": etag}, {"Range": "bytes=0-1"}):
        assert ask(edge, path, headers=plain).status_code == 200
    for other in (
        {"If-Match": f'{etag}, "x"'},
        {"If-Match": "*"},
        {"If-Range": f"W/{etag}"},
        {"If-None-Match": '"x"'},
        {"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"If-Unmodified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
    ):
        assert ask(edge, path, headers=other).status_code == 401


def test_a_wrong_token_is_refused_where_there_is_one_and_where_there_is_none(
    world: World, edge: World, image: Image
) -> None:
    for refusing in (edge, world):
        answer = ask(refusing, image.path("range"), headers={"X-Edge-Token": "w" * 40})
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (401, "UNAUTH")
    assert ask(edge, image.path("range"), headers={"X-Edge-Token": "ü"}).status_code == 401
    assert edge.request("GET", image.path("range")).data == DATA


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(world: World, clock: Clock) -> Iterator[World]:
    return world.with_settings(edge_token=TOKEN, access_cache_seconds=60, clock=clock)


def test_a_permission_ends_with_its_lease(timed: World, clock: Clock) -> None:
    image = timed.make_image(DATA)
    lease = timed.make_lease(image, ttlSeconds=20)
    path = f"/v1/l/{lease['token']}/disk.img"
    whole = ask(timed, path, user=None).headers["Cache-Control"]
    assert whole == "max-age=10, stale-while-revalidate=10, stale-if-error=0"
    clock.now += 19.5
    assert ask(timed, path, user=None).headers["Cache-Control"] == "no-store"
    clock.now += 1
    assert ask(timed, path, user=None).status_code == 401


def test_an_admins_reads_are_asked_for_one_by_one(world: World) -> None:
    signed_in = world.with_provider(edge_token=TOKEN, access_cache_seconds=60)
    made = signed_in.bearing("user:bob", "POST", "/v1/images").get_json()
    etag = signed_in.put_part(made["imageId"], made["uploadId"], 1, DATA)
    body = {"uploadId": made["uploadId"], "parts": [{"partNumber": 1, "etag": etag}]}
    path = f"/v1/images/{made['imageId']}"
    assert signed_in.bearing("user:bob", "POST", f"{path}/complete", json=body).status_code == 200
    with written_lines() as lines:
        for _ in range(2):
            answer = ask(signed_in, f"{path}/range", user=None, headers={"Authorization": "Bearer admin"})
            assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert len([line for line in lines.parsed() if line["event"] == "admin action"]) == 2


def test_nginx_remembers_that_deltas_are_not_for_it(edge: World, image: Image) -> None:
    guest = DeltaWorld(edge, make_services(edge), image.image_id, DATA).guest()
    lease = edge.request("POST", "/v1/leases", json={"deltaId": guest.delta_id}).get_json()["token"]
    for path in (
        f"/v1/l/{lease}/disk.img",
        f"/v1/l/{lease}/raw/disk.img",
        f"/v1/deltas/{guest.delta_id}/disk.img",
    ):
        answer = ask(edge, path)
        assert (answer.status_code, answer.data, answer.headers["Cache-Control"]) == (401, b"", "max-age=60")
        assert answer.headers["X-Edge-Gateway"] == "reads"
        assert "X-Edge-Object" not in answer.headers
    assert edge.request("DELETE", f"/v1/deltas/{guest.delta_id}").status_code == 200
    refused = ask(edge, f"/v1/l/{lease}/disk.img")
    assert (refused.status_code, refused.headers["Cache-Control"]) == (401, "no-store")


def test_a_refused_credential_counts_once(world: World) -> None:
    """nginx asks, and then passes the request on, which is when it counts."""
    counting = world.with_settings(edge_token=TOKEN, rate_limits=True, rate_limit_failed_auth="3/hour")
    image = counting.make_image(DATA)
    bad = {"Authorization": "Bearer igl~k1~bad~bad"}
    for _ in range(10):
        assert ask(counting, image.path("range"), user=None, headers=bad).status_code == 401
    statuses = [
        counting.request("GET", image.path("range"), user=None, headers=bad).status_code for _ in range(4)
    ]
    assert statuses == [401, 401, 401, 429]


def test_the_log_tells_questions_from_reads(edge: World, image: Image) -> None:
    with written_lines() as lines:
        ask(edge, image.path("range")).close()
    assert lines.requests()[-1]["route"] == "edge /v1/images/<image_id>/range"
    assert "X-Amz-" not in lines.text()
