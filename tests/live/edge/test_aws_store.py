"""A store with the manners of AWS that refuses, or has another version: right bytes, or a visible error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

import pytest

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import ImageRecord
from image_gateway.local.seaweed import LocalStore
from image_gateway.storage.client import StoreClients
from tests.live.edge.conftest import CHUNK, DATA, SIZE, SLICE, Pair, running_pair
from tests.live.edge.support import IMPATIENT, address_of, read
from tests.live.test_faults import Seen
from tests.support.aws_shape import AWS_HEADERS, AwsShape, Canned, aws_shape

CHUNKS_MODIFIED = "Sun, 22 Nov 2026 00:00:00 GMT"


@pytest.fixture(scope="module")
def shape(store: LocalStore) -> Iterator[AwsShape]:
    with aws_shape(address_of(store)) as made:
        yield made


@pytest.fixture(scope="module")
def shaped(
    environment: dict[str, str], shape: AwsShape, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """A pair whose store has the manners of AWS."""
    folder = tmp_path_factory.mktemp("shaped")
    with running_pair(environment, folder, S3_ENDPOINT=shape.url, **IMPATIENT) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_is_left(shape: AwsShape) -> Iterator[None]:
    """Each test begins with a good store."""
    yield
    shape.script = lambda *_: None


@pytest.fixture(scope="module")
def catalog(environment: dict[str, str]) -> Iterator[Catalog]:
    engine = open_engine(environment["DATABASE_URL"])
    yield Catalog(engine)
    engine.dispose()


@pytest.fixture(scope="module")
def objects(store: LocalStore) -> Iterator[StoreClients]:
    """The store itself, past any proxy."""
    clients = StoreClients(store.address)
    yield clients
    clients.requests.close()


def find(catalog: Catalog, image_id: str) -> ImageRecord:
    record = catalog.find(image_id)
    assert record is not None
    return record


Script = Callable[[str, str, Mapping[str, str]], Canned | None]


def reads_of(key: str, answer: Callable[[Mapping[str, str]], Canned | None]) -> Script:
    """Answer reads of one object, all others are the store's."""

    def script(method: str, target: str, headers: Mapping[str, str]) -> Canned | None:
        return answer(headers) if method == "GET" and urlsplit(target).path.endswith(key) else None

    return script


ERRORS = {
    "another region": (Canned(301, "PermanentRedirect"), (502, "S3_ERROR")),
    "an expired token": (Canned(403, "ExpiredToken"), (502, "S3_ERROR")),
    "a clock that is wrong": (Canned(403, "RequestTimeTooSkewed"), (502, "S3_ERROR")),
    "a vanished object": (Canned(404, "NoSuchKey"), (404, "NOT_FOUND")),
    "an internal error": (Canned(500, "InternalError"), (503, "S3_UNAVAILABLE")),
    "slow down": (Canned(503, "SlowDown"), (503, "S3_UNAVAILABLE")),
}


@pytest.fixture(scope="module")
def uncached(shaped: Pair, owner: str) -> str:
    """A published image of which nginx has nothing as long as nobody reads it."""
    return shaped.make_image(owner, publish=True)


@pytest.mark.parametrize("name", ERRORS)
def test_errors_as_aws_sends_them(
    shaped: Pair, shape: AwsShape, catalog: Catalog, owner: str, uncached: str, name: str
) -> None:
    canned, expected = ERRORS[name]
    record = find(catalog, uncached)
    path, reader = f"/v1/images/{uncached}", {"X-User-Id": owner}
    for key, target, requested in (
        (record.location.disk_key, f"{path}/range", {"Range": f"bytes={SLICE}-{SLICE + 9}"}),
        (record.location.disk_key, f"{path}/range", {}),
        ("chunks/00000001.bin", f"{path}/chunked/chunks/1", {}),
    ):
        shape.script = reads_of(key, lambda _: canned)
        answer = shaped.ask("GET", target, {**reader, **requested})
        assert (answer.status, answer.code) == expected
        assert ("retry-after" in answer.headers) == (answer.status == 503)
        assert answer.headers["content-type"] == "application/json"
        assert not [header for header in answer.headers if "amz" in header]


@pytest.mark.parametrize("name", [name for name in ERRORS if name != "a vanished object"])
def test_an_error_that_passes_is_not_seen(
    shaped: Pair, shape: AwsShape, catalog: Catalog, owner: str, name: str
) -> None:
    """nginx has one try; the gateway, which it leaves the request to, has more."""
    image_id = shaped.make_image(owner)
    once = iter([ERRORS[name][0]])
    shape.script = reads_of(find(catalog, image_id).location.disk_key, lambda _: next(once, None))
    seen = read(shaped, owner, image_id, 10, 20)
    assert (seen.status, seen.data) == (206, DATA[10:20])
    assert next(once, None) is None


def sent_by(data: bytes, etag: str, more: Mapping[str, str], *, ranged: bool = True) -> Callable[..., Canned]:
    """Answers of a store that has `data` and looks at no conditions; not `ranged`, nor at ranges."""

    def answer(headers: Mapping[str, str]) -> Canned:
        facts = {"ETag": etag, "Last-Modified": CHUNKS_MODIFIED, **more}
        if "range" not in headers or not ranged:
            return Canned(200, None, facts, data, chunked=False)
        first, last = (int(text) for text in headers["range"].removeprefix("bytes=").split("-"))
        if first >= len(data):
            return Canned(416, "InvalidRange")
        last = min(last, len(data) - 1)
        facts["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return Canned(206, None, facts, data[first : last + 1], chunked=False)

    return answer


def test_headers_of_the_store_do_not_reach_clients(
    shaped: Pair, shape: AwsShape, catalog: Catalog, owner: str
) -> None:
    image_id = shaped.make_image(owner, publish=True)
    record = find(catalog, image_id)
    assert record.disk is not None
    path = f"/v1/images/{image_id}"
    for key, data, target, requested in (
        (record.location.disk_key, DATA, f"{path}/range", {"Range": "bytes=5-9"}),
        (record.location.disk_key, DATA, f"{path}/range", {}),
        ("chunks/00000001.bin", DATA[CHUNK : 2 * CHUNK], f"{path}/chunked/chunks/1", {}),
    ):
        headers = {"X-User-Id": owner, **requested}
        expected = shaped.ask("GET", target, headers, direct=True)
        shape.script = reads_of(key, sent_by(data, record.disk.etag, AWS_HEADERS))
        answer = shaped.ask("GET", target, headers)
        shape.script = lambda *_: None
        assert answer.body == expected.body
        moment = {"date", "server", "connection", "x-request-id", "last-modified", "vary"}
        assert answer.headers.keys() == expected.headers.keys() | {"date", "server", "connection"}
        assert {name: text for name, text in answer.headers.items() if name not in moment} == {
            name: text for name, text in expected.headers.items() if name not in moment
        }
        assert "Access-Control" not in answer.headers.get("vary", "")


def test_a_store_that_ignores_ranges_makes_no_wrong_bytes(
    shaped: Pair, shape: AwsShape, catalog: Catalog, owner: str
) -> None:
    image_id = shaped.make_image(owner)
    record = find(catalog, image_id)
    assert record.disk is not None
    shape.script = reads_of(record.location.disk_key, sent_by(DATA, record.disk.etag, {}, ranged=False))
    spans = [
        (0, 9),
        (SLICE - 5, SLICE + 5),
        (2 * SLICE + 7, 2 * SLICE + 8),
        (SIZE - 3, SIZE),
        (5, SIZE),
        (0, None),
    ]
    for _ in range(2):
        for start, stop in spans:
            assert_right_or_visible(read(shaped, owner, image_id, start, stop), DATA[start:stop])
        # What came so is no harm when the store is as it should be again.
        shape.script = lambda *_: None
    assert read(shaped, owner, image_id, SLICE - 5, SLICE + 5).data == DATA[SLICE - 5 : SLICE + 5]


def assert_right_or_visible(seen: Seen, expected: bytes) -> None:
    if seen.status in (200, 206):
        # The whole, with 200, is also right.
        assert seen.data in ((expected, DATA) if seen.status == 200 else (expected,)) or (
            seen.broken and expected.startswith(seen.data)
        )
    else:
        assert seen.code in ("S3_ERROR", "S3_UNAVAILABLE")


SPANS = {
    "short": f"bytes={2 * SLICE + 5}-{2 * SLICE + 9}",
    "over cached and other slices": f"bytes=5-{3 * SLICE}",
    "long": f"bytes={2 * SLICE}-",
    "whole": None,
}


@pytest.mark.parametrize("cached", [False, True], ids=["nothing cached", "a slice cached"])
@pytest.mark.parametrize("size", [SIZE, SIZE - SLICE], ids=["same size", "smaller"])
@pytest.mark.parametrize("span", SPANS)
def test_a_replaced_object_is_answered_whole_or_broken(
    shaped: Pair, objects: StoreClients, catalog: Catalog, owner: str, span: str, size: int, cached: bool
) -> None:
    image_id = shaped.make_image(owner)
    record, headers = find(catalog, image_id), {"X-User-Id": owner}
    if cached:
        assert read(shaped, owner, image_id, 0, 9).data == DATA[:9]
    new = bytes(byte ^ 0xFF for byte in DATA[:size])
    objects.requests.put_object(Bucket=objects.address.bucket, Key=record.location.disk_key, Body=new)
    requested = SPANS[span]
    if requested is not None:
        headers["Range"] = requested
    seen = read_with(shaped, image_id, headers)
    if cached and span == "over cached and other slices":
        assert seen.broken
        assert DATA[5:SLICE].startswith(seen.data)
        return
    assert (seen.status, seen.broken, seen.data) == (200, False, new)
    direct = shaped.ask("GET", f"/v1/images/{image_id}/range", headers, direct=True)
    assert seen.etag == direct.headers["etag"]


def read_with(pair: Pair, image_id: str, headers: dict[str, str]) -> Seen:
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("Range", ""))
    start, last = (match[1], match[2]) if match else ("0", "")
    stop = int(last) + 1 if last else (SIZE if match else None)
    return read(pair, headers["X-User-Id"], image_id, int(start), stop)


@pytest.mark.parametrize("span", SPANS)
def test_a_store_that_ignores_if_match_never_mixes_versions(
    shaped: Pair, shape: AwsShape, catalog: Catalog, owner: str, span: str
) -> None:
    """The first slice is cached, and the store gives the others of another version."""
    image_id = shaped.make_image(owner)
    record = find(catalog, image_id)
    assert record.disk is not None
    assert read(shaped, owner, image_id, 0, 9).data == DATA[:9]
    new = bytes(byte ^ 0xFF for byte in DATA)
    shape.script = reads_of(record.location.disk_key, sent_by(new, '"another"', {}))
    headers = {"X-User-Id": owner, **({} if SPANS[span] is None else {"Range": str(SPANS[span])})}
    path = f"/v1/images/{image_id}/range"
    for _ in range(2):
        seen = read_with(shaped, image_id, headers)
        version = DATA if seen.etag == record.disk.etag else new
        if span == "long" or span == "short":
            assert version is new
        if not seen.broken and seen.status == 206:
            first = int(re.findall(r"\d+", headers["Range"])[0])
            assert seen.data == version[first : first + len(seen.data)]
        elif not seen.broken:
            assert (seen.status, seen.data) == (200, version)
        else:
            assert version[5 if span.startswith("over") else 0 :].startswith(seen.data)
    # Nothing of the other version is cached under this one's name.
    shape.script = lambda *_: None
    answer = shaped.ask("GET", path, headers)
    assert answer.headers["etag"] == record.disk.etag
    assert read(shaped, owner, image_id).data == DATA


def test_an_object_that_vanished_is_not_found(
    shaped: Pair, objects: StoreClients, catalog: Catalog, owner: str
) -> None:
    image_id = shaped.make_image(owner)
    key = find(catalog, image_id).location.disk_key
    objects.requests.delete_object(Bucket=objects.address.bucket, Key=key)
    for start, stop in ((0, 10), (SLICE, 2 * SLICE + 1), (0, None)):
        seen = read(shaped, owner, image_id, start, stop)
        assert (seen.status, seen.code) == (404, "NOT_FOUND")
