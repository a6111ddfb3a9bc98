"""What AWS answers, in the forms in which it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from image_gateway.local.seaweed import LocalStore
from tests.live.stores.conftest import DATA, Places, running_places, upload
from tests.support.aws_shape import HOST_ID, REQUEST_ID, AwsShape, Canned
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.world import Image, World

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def places(
    store: LocalStore,
    shape: AwsShape,
    databases: Databases,
    checker: ContractChecker,
) -> Iterator[Places]:
    """A gateway over the store with AWS's manners."""
    address = replace(store.address, endpoint=shape.url)
    with running_places({"aws": address}, databases, checker) as made:
        yield made


HTML = b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1><hr></body></html>"
NOT_OURS = (502, "S3_ERROR")
LATER = (503, "S3_UNAVAILABLE")
ANSWERS: dict[str, tuple[Canned, tuple[int, str]]] = {
    "another region": (Canned(301, "PermanentRedirect"), NOT_OURS),
    "another endpoint": (
        Canned(307, "TemporaryRedirect", {"Location": "http://127.0.0.1:9/elsewhere"}),
        NOT_OURS,
    ),
    "an expired token": (Canned(400, "ExpiredToken"), NOT_OURS),
    "a clock that is wrong": (Canned(403, "RequestTimeTooSkewed"), NOT_OURS),
    "no permission": (Canned(403, "AccessDenied"), NOT_OURS),
    "a vanished object": (Canned(404, "NoSuchKey"), (404, "NOT_FOUND")),
    "an internal error": (Canned(500, "InternalError"), LATER),
    "slow down": (Canned(503, "SlowDown"), LATER),
    "a proxy's bad gateway": (Canned(502, None, {"Content-Type": "text/html"}, HTML), LATER),
    "a proxy's time-out": (Canned(504, None, {"Content-Type": "text/html"}, HTML), LATER),
    "no length": (
        Canned(200, None, {"ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT"}, b"x" * 4096),
        NOT_OURS,
    ),
}


@pytest.fixture(params=[False, True], ids=["no cache", "block cache"])
def aws(request: pytest.FixtureRequest, places: Places, tmp_path: Path) -> World:
    return places.world("aws", tmp_path / "blocks" if request.param else None)


@pytest.mark.parametrize("form", ["chunked", "length", "close"])
@pytest.mark.parametrize("name", ANSWERS)
def test_errors_as_aws_sends_them(
    aws: World, shape: AwsShape, caplog: pytest.LogCaptureFixture, name: str, form: str
) -> None:
    if name == "no length" and form == "length":
        form = "chunked"
    image = upload(aws, DATA[:4096])
    canned, expected = ANSWERS[name]
    canned = replace(canned, chunked=form != "length", close=form == "close")
    shape.script = lambda method, target, _: canned if _is_read(method, target, image) else None
    for headers in ({}, {"Range": "bytes=0-9"}):
        response = aws.request("GET", image.path("range"), headers=headers)
        assert (response.status_code, response.get_json()["error"]["code"]) == expected
        assert ("Retry-After" in response.headers) == (response.status_code == 503)
    if canned.code is not None and expected[0] != 404 and name != "another region":
        ids = {getattr(record, "store_request_id", None) for record in caplog.records}
        assert REQUEST_ID in ids
        assert HOST_ID in {getattr(record, "store_host_id", None) for record in caplog.records}
    assert "X-Amz-Signature" not in caplog.text
    shape.script = lambda *_: None
    assert aws.request("GET", image.path("range")).data == image.data


def _is_read(method: str, target: str, image: Image) -> bool:
    return method == "GET" and target.partition("?")[0].endswith(image.key)


@pytest.mark.parametrize("form", ["chunked", "length"])
@pytest.mark.parametrize(("status", "code"), [(412, "PreconditionFailed"), (416, "InvalidRange")])
def test_a_replaced_object_is_known_by_either_answer(
    aws: World, shape: AwsShape, status: int, code: str, form: str
) -> None:
    image = upload(aws, DATA[:4096])
    new = bytes(byte ^ 0xFF for byte in image.data[:50])
    aws.store.put(image.key, new, content_type="application/octet-stream", cache_control="no-store")

    def script(method: str, target: str, headers: Mapping[str, str]) -> Canned | None:
        tied = "if-match" in headers or "range" in headers
        refused = Canned(status, code, chunked=form == "chunked")
        return refused if tied and _is_read(method, target, image) else None

    shape.script = script
    response = aws.request("GET", image.path("range"), headers={"Range": "bytes=2000-2009"})
    assert (response.status_code, response.data) == (200, new)


def test_a_read_that_was_refused_is_signed_anew(aws: World, shape: AwsShape) -> None:
    """As after the credentials of a role were renewed: the URL of a moment ago holds no longer."""
    image = upload(aws, DATA[:4096])
    assert aws.request("GET", image.path("range"), headers={"Range": "bytes=0-9"}).status_code == 206
    refused: list[str] = []

    def script(method: str, target: str, headers: Mapping[str, str]) -> Canned | None:
        if _is_read(method, target, image) and "X-Amz-Signature" in target and not refused:
            refused.append(target)
            return Canned(403, "ExpiredToken")
        return None

    shape.script = script
    other = aws.with_settings(range_cache_dir=None)
    assert other.request("GET", image.path("range")).data == image.data
    assert len(refused) == 1
    assert other.request("GET", image.path("range")).data == image.data


def test_a_store_that_ignores_if_match_never_mixes_versions(
    places: Places, shape: AwsShape, tmp_path: Path
) -> None:
    """The block cache has one block of the old version, and the store gives the other one of the new."""
    cached = places.world("aws", tmp_path / "blocks").with_settings(
        range_cache_dir=str(tmp_path / "blocks"), range_cache_block_bytes=65_536
    )
    image = upload(cached, DATA[: 2 * 65_536])
    assert cached.request("GET", image.path("range"), headers={"Range": "bytes=0-9"}).status_code == 206
    new = bytes(byte ^ 0xFF for byte in image.data)
    cached.store.put(image.key, new, content_type="application/octet-stream", cache_control="no-store")
    listed = {item.key: item for item in cached.store.list_objects(image.key)}[image.key]

    def script(method: str, target: str, headers: Mapping[str, str]) -> Canned | None:
        if not _is_read(method, target, image) or "if-match" not in headers:
            return None
        first, last = (int(number) for number in headers["range"].removeprefix("bytes=").split("-"))
        facts = {
            "ETag": listed.etag,
            "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT",
            "Content-Range": f"bytes {first}-{last}/{len(new)}",
        }
        return Canned(206, None, facts, new[first : last + 1], chunked=False)

    shape.script = script
    response = cached.request("GET", image.path("range"), headers={"Range": "bytes=65536-65545"})
    assert (response.status_code, response.data) == (200, new)
    assert response.headers["ETag"] == listed.etag
