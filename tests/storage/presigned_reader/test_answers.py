"""GetObject by the SDK and by our own wire: the same facts of the same answers, and then some."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from image_gateway.errors import GatewayError, ObjectChanged, ObjectMissing, StoreError, StoreUnavailable
from image_gateway.protocol.ranges import ByteRange
from image_gateway.storage.object_reads import Pin
from image_gateway.storage.objects import ObjectStore
from image_gateway.storage.presigned_reader import (
    ObjectReader,
    PresignedReader,
    SdkReader,
)
from tests.storage.presigned_reader.conftest import DATA, Lean, close_lean, saying
from tests.storage.test_objects import FACTS
from tests.support.fake_store import (
    Asked,
    FakeStore,
    Reply,
    error_answer,
    object_answer,
    render,
)

GET_FACTS = [row[1:] for row in FACTS if row[0] == "get_object"]


@pytest.mark.parametrize(("code", "status", "fact"), GET_FACTS)
def test_facts(either: ObjectStore, fake: FakeStore, code: str, status: int, fact: type[Exception]) -> None:
    fake.answer = saying(error_answer(status, code))
    with pytest.raises(fact) as caught:
        either.open("k", byte_range=ByteRange(0, 1), pin=Pin(etag='"e"'))
    assert type(caught.value) is fact


@pytest.mark.parametrize(
    ("status", "fact"),
    [
        (301, StoreError),
        (400, StoreError),
        (403, StoreError),
        (404, ObjectMissing),
        (412, ObjectChanged),
        (416, ObjectChanged),
        (429, StoreUnavailable),
        (500, StoreUnavailable),
        (503, StoreUnavailable),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"<Error></Error>", b"<Error><Code>", b"\xff\x00"])
def test_errors_without_a_code_go_by_their_status(
    lean: Lean, fake: FakeStore, status: int, fact: type[Exception], body: bytes
) -> None:
    fake.answer = saying(render(f"{status} No", {"Content-Length": str(len(body))}, body))
    allowed = (fact,) if _is_xml(body) else (fact, StoreError)
    with pytest.raises(allowed) as caught:
        lean.read()
    assert type(caught.value) in allowed


def _is_xml(body: bytes) -> bool:
    """What the SDK cannot parse is refused, whatever its status."""
    return body in (b"", b"<html>no</html>", b"<Error></Error>")


@pytest.mark.parametrize(
    "changes",
    [
        {"content_range": None},
        {"content_range": "bytes 0-4/10240"},
        {"content_range": "bytes 10-14/*"},
        {"content_range": "items 10-14/10240"},
        {"content_range": "bytes 10-14"},
        {"etag": None},
        {"last_modified": None},
        {"last_modified": "yesterday"},
        {"content_encoding": "gzip"},
        {"content_encoding": "aws-chunked"},
    ],
    ids=str,
)
def test_an_odd_ranged_answer_is_refused(
    either: ObjectStore, fake: FakeStore, changes: dict[str, str | None]
) -> None:
    fake.answer = lambda asked: Reply(object_answer(asked, DATA, **changes))
    with pytest.raises(StoreError):
        either.open("k", byte_range=ByteRange(10, 15))


def test_a_whole_answer_to_a_ranged_read_is_refused(either: ObjectStore, fake: FakeStore) -> None:
    def whole(asked: Asked) -> Reply:
        return Reply(object_answer(Asked(asked.target, {}, asked.connection), DATA), "close")

    fake.answer = whole
    with pytest.raises(StoreError):
        either.open("k", byte_range=ByteRange(10, 15))


def test_more_than_the_range_is_refused(either: ObjectStore, fake: FakeStore) -> None:
    def more(asked: Asked) -> Reply:
        headers = {"Content-Length": "90", "ETag": '"e"', "Content-Range": "bytes 10-99/10240"}
        return Reply(render("206 OK", headers, b"x" * 90))

    fake.answer = more
    with pytest.raises(StoreError):
        either.open("k", byte_range=ByteRange(10, 15))


PARTS = [None, ByteRange(0, 1), ByteRange(100, 5000), ByteRange(10239, 10240)]


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_good_answers(either: ObjectStore, fake: FakeStore, part: ByteRange | None) -> None:
    fake.answer = lambda asked: Reply(object_answer(asked, DATA, cache_control="no-store"))
    opened = either.open("k", byte_range=part)
    assert opened.body.read_all() == (DATA[part.start : part.stop] if part else DATA)
    assert (opened.info.size, opened.info.etag, opened.info.cache_control) == (len(DATA), '"e"', "no-store")
    assert opened.info.last_modified == datetime(2026, 11, 22, tzinfo=UTC)


def test_the_conditions_are_sent(either: ObjectStore, fake: FakeStore) -> None:
    since = datetime(2026, 11, 22, 19, 0, 1, tzinfo=UTC)
    pin = Pin(etag='"a-1"', unmodified_since=since.astimezone())
    fake.answer = lambda asked: Reply(object_answer(asked, DATA, etag='"a-1"'))
    either.open("some/key", byte_range=ByteRange(5, 9), pin=pin).body.close()
    (asked,) = fake.asked
    assert asked.path == "/images/some/key"
    assert asked.headers["host"] == f"127.0.0.1:{fake.port}"
    assert asked.headers["range"] == "bytes=5-8"
    assert asked.headers["if-match"] == '"a-1"'
    assert asked.headers["if-unmodified-since"].removesuffix("GMT").strip() == "Sun, 22 Nov 2026 19:00:01"


def test_no_condition_is_sent_unasked(lean: Lean, fake: FakeStore) -> None:
    lean.read()
    assert set(fake.asked[0].headers) <= {"host", "user-agent", "accept-encoding"}


@pytest.mark.parametrize("key", ["a b", "ü/日本", "a%2Fb", "a+b", "a//b", "a?b#c", "a\r\nX: y"])
def test_keys_are_quoted_as_by_the_sdk(fake: FakeStore, key: str) -> None:
    targets = []
    for way in (SdkReader, PresignedReader):
        clients = fake.clients()
        reads: ObjectReader = way(clients)
        reads.get(key, {})["Body"].close()
        targets.append(fake.asked[-1].path)
        close_lean(reads)
        clients.requests.close()
    assert targets[0] == targets[1]


def test_errors_are_the_sdks(lean: Lean, fake: FakeStore) -> None:
    fake.answer = saying(b"", "close")
    with pytest.raises(EndpointConnectionError) as caught:
        lean.reads.get("k", {}, once=True)
    assert str(caught.value) == f'Could not connect to the endpoint URL: "{fake.url}"'
    fake.answer = saying(error_answer(412, "PreconditionFailed"))
    with pytest.raises(ClientError) as refused:
        lean.reads.get("k", {})
    assert refused.value.response["Error"]["Code"] == "PreconditionFailed"
    assert not isinstance(refused.value, GatewayError)
