"""botocore's errors become named facts; nothing odd of a store is passed on."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import (
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from botocore.response import StreamingBody
from botocore.stub import Stubber

from image_gateway.errors import (
    ObjectChanged,
    ObjectMissing,
    PartsRejected,
    StoreError,
    StoreUnavailable,
    UploadMissing,
)
from image_gateway.protocol.parts import ClaimedPart
from image_gateway.protocol.ranges import ByteRange
from image_gateway.storage.client import StoreAddress, StoreClients
from image_gateway.storage.object_reads import Pin
from image_gateway.storage.objects import ObjectStore

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture(scope="module")
def unmocked() -> StoreClients:
    return StoreClients(
        StoreAddress("images", "us-east-1", "http://127.0.0.1:1", credentials=("key", "secret"))
    )


@pytest.fixture
def store(unmocked: StoreClients) -> ObjectStore:
    return ObjectStore(unmocked)


@pytest.fixture
def stub(unmocked: StoreClients) -> Iterator[Stubber]:
    with Stubber(unmocked.requests) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


CALLS = {
    "head_object": lambda store: store.head("k"),
    "get_object": lambda store: store.open("k", byte_range=ByteRange(0, 1), pin=Pin(etag='"e"')),
    "list_parts": lambda store: store.list_parts("k", "u"),
    "complete_multipart_upload": lambda store: store.complete_upload("k", "u", [ClaimedPart(1, "e")]),
    "put_object": lambda store: store.put("k", b"", content_type="a/b", cache_control="no-store"),
    "copy_object": lambda store: store.copy(
        "s", "k", source_etag='"e"', content_type="a/b", cache_control="no-store"
    ),
    "create_multipart_upload": lambda store: store.create_upload("k", cache_control="no-store"),
    "head_bucket": lambda store: store.check_reachable(),
}

FACTS = [
    ("head_object", "404", 404, ObjectMissing),
    ("get_object", "NoSuchKey", 404, ObjectMissing),
    ("get_object", "PreconditionFailed", 412, ObjectChanged),
    ("get_object", "412", 412, ObjectChanged),
    ("get_object", "AccessDenied", 403, StoreError),
    ("get_object", "InvalidRange", 416, ObjectChanged),
    ("get_object", "SlowDown", 503, StoreUnavailable),
    ("get_object", "InternalError", 500, StoreUnavailable),
    ("get_object", "Whatever", 500, StoreUnavailable),
    ("list_parts", "NoSuchUpload", 404, UploadMissing),
    ("list_parts", "NoSuchKey", 404, UploadMissing),
    ("complete_multipart_upload", "NoSuchUpload", 404, UploadMissing),
    ("complete_multipart_upload", "NoSuchKey", 404, UploadMissing),
    ("complete_multipart_upload", "InvalidPart", 400, PartsRejected),
    ("complete_multipart_upload", "InvalidPartOrder", 400, PartsRejected),
    ("complete_multipart_upload", "EntityTooSmall", 400, PartsRejected),
    ("complete_multipart_upload", "AccessDenied", 403, StoreError),
    ("put_object", "QuotaExceeded", 403, StoreError),
    ("copy_object", "NoSuchKey", 404, ObjectMissing),
    ("copy_object", "PreconditionFailed", 412, ObjectChanged),
    ("copy_object", "SlowDown", 503, StoreUnavailable),
    ("copy_object", "AccessDenied", 403, StoreError),
    ("create_multipart_upload", "NoSuchBucket", 404, StoreError),
    ("head_bucket", "404", 404, StoreUnavailable),
    ("head_bucket", "403", 403, StoreUnavailable),
]


@pytest.mark.parametrize(("operation", "code", "status", "fact"), FACTS)
def test_facts(
    store: ObjectStore, stub: Stubber, operation: str, code: str, status: int, fact: type[Exception]
) -> None:
    stub.add_client_error(operation, service_error_code=code, http_status_code=status)
    with pytest.raises(fact) as caught:
        CALLS[operation](store)
    assert type(caught.value) is fact


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize(
    ("error", "fact"),
    [
        (EndpointConnectionError(endpoint_url="http://x/?X-Amz-Signature=1"), StoreUnavailable),
        (ConnectTimeoutError(endpoint_url="http://x"), StoreUnavailable),
        (ReadTimeoutError(endpoint_url="http://x"), StoreUnavailable),
        (NoCredentialsError(), StoreError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_silence_is_unavailable(
    store: ObjectStore,
    unmocked: StoreClients,
    operation: str,
    error: Exception,
    fact: type[Exception],
) -> None:
    def fail(**_: Any) -> None:
        raise error

    events = unmocked.requests.meta.events
    events.register("before-call.s3", fail, unique_id="fail")
    try:
        with pytest.raises((fact, StoreUnavailable)) as caught:
            CALLS[operation](store)
    finally:
        events.unregister("before-call.s3", unique_id="fail")
    assert "Signature" not in str(caught.value)


class CountedStream(io.BytesIO):
    closed_by_us = False

    def close(self) -> None:
        self.closed_by_us = True
        super().close()


def ranged_answer(stream: CountedStream, length: int, **changes: Any) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "Body": StreamingBody(stream, length),
        "ContentLength": length,
        "ContentRange": f"bytes 10-{9 + length}/100",
        "ETag": '"e"',
        "LastModified": NOW,
    }
    answer.update(changes)
    return {name: value for name, value in answer.items() if value is not None}


def test_a_ranged_read_is_pinned_and_tells_the_whole_size(store: ObjectStore, stub: Stubber) -> None:
    expected = {"Bucket": "images", "Key": "k", "Range": "bytes=10-14", "IfMatch": '"e"'}
    stub.add_response("get_object", ranged_answer(CountedStream(b"hello"), 5), expected)
    opened = store.open("k", byte_range=ByteRange(10, 15), pin=Pin(etag='"e"'))
    assert opened.info.size == 100
    assert opened.body.read_all() == b"hello"


@pytest.mark.parametrize(
    "changes",
    [
        {"ContentRange": None},
        {"ContentRange": "bytes 0-4/100"},
        {"ContentRange": "bytes 10-14/*"},
        {"ContentRange": "bytes 10-14/²"},
        {"ETag": None},
        {"LastModified": None},
        {"ContentRange": "bytes 10-99/100", "ContentLength": 90},
        {"ContentLength": 100},
        {"ContentEncoding": "gzip"},
        {"ContentEncoding": "aws-chunked"},
    ],
    ids=str,
)
def test_an_odd_ranged_answer_is_refused_and_closed(
    store: ObjectStore, stub: Stubber, changes: dict[str, Any]
) -> None:
    stream = CountedStream(b"hello" * 20)
    stub.add_response("get_object", ranged_answer(stream, 5, **changes))
    with pytest.raises(StoreError):
        store.open("k", byte_range=ByteRange(10, 15))
    assert stream.closed_by_us


def test_list_parts_reads_all_pages_and_quotes(store: ObjectStore, stub: Stubber) -> None:
    def part(number: int, etag: str) -> dict[str, Any]:
        return {"PartNumber": number, "ETag": etag, "Size": number}

    stub.add_response(
        "list_parts", {"Parts": [part(1, '"a"')], "IsTruncated": True, "NextPartNumberMarker": 1}
    )
    stub.add_response("list_parts", {"Parts": [part(2, "b")], "IsTruncated": False})
    assert [(part.number, part.etag, part.size) for part in store.list_parts("k", "u")] == [
        (1, '"a"', 1),
        (2, '"b"', 2),
    ]


def test_aborting_what_is_gone_is_no_error(store: ObjectStore, stub: Stubber) -> None:
    stub.add_client_error("abort_multipart_upload", "NoSuchUpload", http_status_code=404)
    store.abort_upload("k", "u")
