"""A store that breaks, refuses, or answers with another version: right bytes, or a visible error."""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3
from urllib3.exceptions import ProtocolError

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import ImageRecord
from image_gateway.local.seaweed import LocalStore
from image_gateway.storage.client import StoreClients
from tests.live.edge.conftest import CHUNK, DATA, SIZE, SLICE, Pair, running_pair
from tests.live.support import exchange
from tests.live.test_faults import CUTS, SEED, RandomCuts, Seen, judge
from tests.support.aws_shape import AwsShape, Canned, aws_shape
from tests.support.fault_proxy import Fault, FaultProxy, fault_proxy

MIB = 1024 * 1024
LARGE = random.Random(SEED).randbytes(3 * MIB)
IMAGES = 8
CHUNKS_MODIFIED = "Sun, 22 Nov 2026 00:00:00 GMT"
IMPATIENT = {"S3_READ_TIMEOUT_SECONDS": "1", "S3_CONNECT_TIMEOUT_SECONDS": "1", "WEB_THREADS": "16"}
READERS = 16


def address_of(store: LocalStore) -> tuple[str, int]:
    parts = urlsplit(store.address.endpoint or "")
    return parts.hostname or "", parts.port or 0


@pytest.fixture(scope="module")
def proxy(store: LocalStore) -> Iterator[FaultProxy]:
    with fault_proxy(address_of(store)) as made:
        yield made


@pytest.fixture(scope="module")
def cut(
    environment: dict[str, str], proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """A pair that reaches its store by the proxy that cuts."""
    folder = tmp_path_factory.mktemp("cut")
    with running_pair(environment, folder, S3_ENDPOINT=proxy.url, **IMPATIENT) as running:
        yield running


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
def nothing_is_left(shape: AwsShape, proxy: FaultProxy) -> Iterator[None]:
    """Each test begins with a good store."""
    yield
    proxy.plan = lambda _: None
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


def read(pair: Pair, owner: str, image_id: str, start: int = 0, stop: int | None = None) -> Seen:
    """Read a range, or the whole image, through nginx."""
    headers = {"X-User-Id": owner}
    if stop is not None:
        headers["Range"] = f"bytes={start}-{stop - 1}"
    received, broken = bytearray(), False
    with urllib3.PoolManager(retries=False, timeout=60) as http:
        url = f"{pair.edge.url}/v1/images/{image_id}/range"
        try:
            answer = http.request("GET", url, headers=headers, preload_content=False)
        except ProtocolError:
            # Broken off by a reset, which overtakes what was sent.
            return Seen(206, None, b"", broken=True)
        try:
            for block in answer.stream(65_536):
                received += block
        except ProtocolError:
            broken = True
        answer.close()
    return Seen(answer.status, answer.headers.get("ETag"), bytes(received), broken)


class QuickCuts(RandomCuts):
    """Few silences, which take their time; what is no HTTP has a test of its own."""

    KINDS = ["reset"] * 9 + ["end"] * 9 + ["silence"]


@pytest.mark.thorough
def test_cuts_anywhere(cut: Pair, proxy: FaultProxy, owner: str) -> None:
    """By short and long ranges; what was cut once is right when it is read again."""
    images = [cut.make_image(owner, LARGE) for _ in range(IMAGES)]
    proxy.done.clear()
    cuts = QuickCuts(proxy)
    proxy.plan = cuts
    outcomes: Counter[str] = Counter()
    again: list[tuple[str, int, int | None]] = []

    def keep_reading(number: int) -> None:
        source = random.Random(SEED + number)
        while not cuts.enough:
            whole = source.random() < 0.3
            start = 0 if whole else source.randrange(len(LARGE))
            length = source.choice([1, 4096, 3 * SLICE, MIB])
            stop = None if whole else min(len(LARGE), start + 1 + source.randrange(length))
            image_id = source.choice(images)
            outcome = judge(read(cut, owner, image_id, start, stop), LARGE[start:stop])
            outcomes[outcome] += 1
            if outcome != "right":
                again.append((image_id, start, stop))

    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(keep_reading, range(READERS)))
    proxy.plan = lambda _: None
    assert proxy.done.total() >= CUTS
    assert set(proxy.done) == {"reset", "end", "silence"}
    assert set(outcomes) <= {"right", "broken", "unavailable"}
    assert outcomes["right"] >= 0.2 * outcomes.total()
    for image_id, start, stop in again:
        assert judge(read(cut, owner, image_id, start, stop), LARGE[start:stop]) == "right"
    for image_id in images:
        assert read(cut, owner, image_id).data == LARGE


def received_until_the_end(pair: Pair, request: bytes) -> bytes:
    """Send a request and return what comes before nginx closes or resets the connection."""
    received = bytearray()
    with socket.create_connection(
        ("127.0.0.1", int(pair.environment["EDGE_PORT"])), timeout=20
    ) as connection:
        connection.sendall(request)
        with suppress(ConnectionResetError):
            while block := connection.recv(65_536):
                received += block
    return bytes(received)


@pytest.mark.parametrize("cut_slice", [1, 3], ids=["a middle slice", "the last slice"])
@pytest.mark.parametrize("stop", [4 * SLICE, None], ids=["short", "long"])
def test_a_later_slice_that_is_cut_ends_the_answer(
    cut: Pair, proxy: FaultProxy, owner: str, stop: int | None, cut_slice: int
) -> None:
    """No bytes of the next slice come after those of a cut one, and nobody waits for the rest."""
    data = LARGE[: 4 * SLICE]
    image_id = cut.make_image(owner, data)
    if stop is None:
        fault = Fault("end", cut_slice * SLICE + 5000)
        proxy.plan = lambda request: fault if request.startswith(b"GET ") else None
    else:
        first = f"bytes={cut_slice * SLICE}-".encode()
        proxy.plan = lambda request: Fault("end", 5000) if first in request else None
    head = f"GET /v1/images/{image_id}/range HTTP/1.1\r\nHost: x\r\nX-User-Id: {owner}\r\n"
    if stop is not None:
        head += f"Range: bytes=0-{stop - 1}\r\n"
    # No Connection: close: reading ends when nginx closes, or fails after 20 seconds.
    body = received_until_the_end(cut, f"{head}\r\n".encode()).partition(b"\r\n\r\n")[2]
    assert data.startswith(body)
    assert len(body) < len(data)


@pytest.mark.parametrize("requested", ["bytes=5-9", "bytes=5-"])
def test_what_is_no_http_is_no_answer(cut: Pair, proxy: FaultProxy, owner: str, requested: str) -> None:
    """nginx passes it on as it is, so a client sees that it is none, and nothing of it is kept."""
    image_id = cut.make_image(owner)
    once = iter([Fault("garbage")])
    proxy.plan = lambda _: next(once, None)
    head = (
        f"GET /v1/images/{image_id}/range HTTP/1.1\r\nHost: x\r\nX-User-Id: {owner}\r\nRange: {requested}\r\n"
    )
    received = exchange(cut.edge.url, f"{head}Connection: close\r\n\r\n".encode())
    assert next(once, None) is None
    assert b"HTTP/" not in received or DATA[5:10] in received
    assert read(cut, owner, image_id, 5, 10).data == DATA[5:10]
    assert read(cut, owner, image_id).data == DATA


def test_a_store_that_is_down_leaves_cached_blocks(cut: Pair, proxy: FaultProxy, owner: str) -> None:
    image_id, unread = cut.make_image(owner), cut.make_image(owner)
    assert read(cut, owner, image_id, 10, 20).data == DATA[10:20]
    proxy.go_down()
    try:
        assert read(cut, owner, image_id, SLICE - 5, SLICE).data == DATA[SLICE - 5 : SLICE]
        for stop in (SIZE, SLICE + 5):
            # The first slice is there, the others are not.
            seen = read(cut, owner, image_id, 5, stop)
            assert seen.broken
            assert DATA[5:SLICE].startswith(seen.data)
        for name, requested in (
            (image_id, f"bytes={SLICE}-{SLICE + 9}"),
            (unread, "bytes=5-9"),
            (unread, "bytes=5-"),
            # What may be long is not kept.
            (image_id, "bytes=5-"),
        ):
            headers = {"X-User-Id": owner, "Range": requested}
            answer = cut.ask("GET", f"/v1/images/{name}/range", headers)
            assert (answer.status, answer.code) == (503, "S3_UNAVAILABLE")
            assert answer.headers["retry-after"] == "2"
    finally:
        proxy.come_back()
    assert read(cut, owner, image_id).data == DATA


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


# The response headers of GetObject, https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html,
# and those that every answer of S3 may have.
AWS_HEADERS = {
    "x-amz-delete-marker": "false",
    "x-amz-expiration": 'expiry-date="Fri, 21 Dec 2029 00:00:00 GMT", rule-id="r"',
    "x-amz-restore": 'ongoing-request="false"',
    "x-amz-checksum-crc32": "AAAAAA==",
    "x-amz-checksum-crc32c": "AAAAAA==",
    "x-amz-checksum-crc64nvme": "AAAAAAAAAAA=",
    "x-amz-checksum-sha1": "c2hhMQ==",
    "x-amz-checksum-sha256": "c2hhMjU2",
    "x-amz-checksum-type": "COMPOSITE",
    "x-amz-missing-meta": "1",
    "x-amz-version-id": "3sL4kqtJlcpXroDTDmJ",
    "Cache-Control": "public, max-age=31536000",
    "Content-Disposition": "attachment",
    "Content-Encoding": "x-other",
    "Content-Language": "en",
    "Content-Type": "text/html",
    "Expires": "Fri, 01 Jan 2100 00:00:00 GMT",
    "x-amz-website-redirect-location": "/elsewhere",
    "x-amz-server-side-encryption": "aws:kms",
    "x-amz-server-side-encryption-customer-algorithm": "AES256",
    "x-amz-server-side-encryption-customer-key-MD5": "bWQ1",
    "x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:us-east-1:111122223333:key/1234abcd",
    "x-amz-server-side-encryption-bucket-key-enabled": "true",
    "x-amz-storage-class": "INTELLIGENT_TIERING",
    "x-amz-request-charged": "requester",
    "x-amz-replication-status": "COMPLETED",
    "x-amz-mp-parts-count": "2",
    "x-amz-tagging-count": "1",
    "x-amz-object-lock-mode": "GOVERNANCE",
    "x-amz-object-lock-retain-until-date": "2030-01-01T00:00:00Z",
    "x-amz-object-lock-legal-hold": "OFF",
    "Accept-Ranges": "bytes",
    "Vary": "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
    "Access-Control-Allow-Origin": "https://evil.example",
    "Access-Control-Allow-Credentials": "true",
    "Access-Control-Expose-Headers": "x-amz-version-id",
    "Set-Cookie": "AWSALB=1",
}


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


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[None]:
    """A file system of its own; mounting needs root."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "image-gateway-test", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        if os.geteuid() == 0 and os.environ.get("CI"):
            pytest.fail(f"CI must mount: {mounted.stderr}")
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.thorough
@pytest.mark.parametrize("most", [16 * MIB, 10 * 1024 * MIB], ids=["small cache", "default cache"])
def test_a_full_cache_disk_does_not_stop_reads(
    environment: dict[str, str], tmp_path: Path, owner: str, most: int
) -> None:
    disk = tmp_path / "disk"
    with (
        small_disk(disk, 4),
        running_pair(
            environment, tmp_path / "pair", EDGE_CACHE_DIR=str(disk), EDGE_CACHE_MAX_BYTES=str(most)
        ) as pair,
    ):
        images = [pair.make_image(owner, LARGE) for _ in range(3)]
        for _ in range(2):
            for image_id in images:
                assert read(pair, owner, image_id).data == LARGE
                for start in range(0, len(LARGE), 5 * SLICE):
                    stop = start + SLICE
                    assert read(pair, owner, image_id, start, stop).data == LARGE[start:stop]
        assert pair.ask("POST", "/v1/images", {"X-User-Id": owner}, body=b" " * 100_000 + b"{}").status
