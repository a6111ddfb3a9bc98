"""Broken, stalled and changed sources while they are read."""

from __future__ import annotations

import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_gateway.errors import FetchFailed, SourceChanged, SourceRefused
from image_gateway.fetching.remote_file import RetryPolicy
from tests.fetching.reading import IMPATIENT, PRIVATE, open_with, read_all, retries
from tests.fetching.source_server import DATE, ETAG, MODIFIED, SourceServer, drip, response, running, stall

pytestmark = pytest.mark.thorough


def test_what_the_first_answer_tells(source: SourceServer) -> None:
    with open_with(source.url("/a/disk.img?token")) as remote:
        assert (remote.size, remote.etag, remote.validator) == (len(source.data), ETAG, ETAG)
        assert (remote.name, remote.last_modified, remote.accepts_ranges) == ("disk.img", None, False)


def test_a_broken_read_goes_on_where_it_was(source: SourceServer) -> None:
    source.cuts += [0, 1, 5000, 1]
    assert read_all(source.url()) == source.data
    assert source.ranges == [None, None, "bytes=1-", "bytes=5001-", "bytes=5002-"]
    assert [headers["If-Range"] for _, headers in source.requests] == [None, None, ETAG, ETAG, ETAG]


@given(
    st.lists(st.integers(0, 12_000), max_size=4),
    st.integers(0, 10_240),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_any_cuts(cuts: list[int], offset: int, ignores_ranges: bool, chunked: bool, by_date: bool) -> None:
    with running() as source:
        source.cuts += cuts
        source.ignores_ranges, source.chunked = ignores_ranges, chunked
        if by_date:
            source.etag, source.modified = None, MODIFIED
        with open_with(source.url(), policy=retries(tries=6)) as remote:
            assert b"".join(remote.read_from(offset)) == source.data[offset:]
            assert remote.size in (len(source.data), None)


def test_reading_begins_anywhere(source: SourceServer) -> None:
    assert read_all(source.url(), offset=10_000) == source.data[10_000:]
    assert source.ranges == [None, "bytes=10000-"]
    with open_with(source.url()) as remote:
        assert list(remote.read_from(len(source.data))) == []
        assert b"".join(remote.read_from(0)) == source.data
        assert b"".join(remote.read_from(9000)) == source.data[9000:]
        with pytest.raises(SourceChanged, match="has only 10240 bytes"):
            next(remote.read_from(len(source.data) + 1))
        with pytest.raises(ValueError, match="negative"):
            next(remote.read_from(-1))


def test_a_closed_file_is_not_opened_again(source: SourceServer) -> None:
    source.data = bytes(2_000_000)
    with open_with(source.url()) as remote:
        blocks = remote.read_from(0)
        next(blocks)
    for reading in (blocks, remote.read_from(0), remote.read_from(5)):
        with pytest.raises(ValueError, match="the file is closed"):
            list(reading)
    assert len(source.requests) == 1


def test_a_server_that_ignores_ranges_sends_all_again(source: SourceServer) -> None:
    source.ignores_ranges = True
    source.cuts += [4000, 3000]
    assert read_all(source.url()) == source.data
    assert source.ranges == [None, "bytes=4000-", "bytes=4000-"]


@pytest.mark.parametrize(
    ("content_range", "length"),
    [
        ("bytes 11-10239/10240", 10229),
        ("bytes 9-10239/10240", 10231),
        ("bytes 0-10239/10240", 10240),
        ("bytes 10-10238/10240", 10229),
        ("bytes 10-10239/10240", 10229),
        ("bytes 10-10240/10240", 10231),
        ("bytes 10-9/10240", 0),
        ("bytes */10240", 10230),
        ("bytes 10-/10240", 10230),
        ("bytes 10-10239", 10230),
        ("items 10-10239/10240", 10230),
        ("bytes 10-10239/10240, bytes 0-1/2", 10230),
        ("", 10230),
    ],
)
def test_a_wrong_content_range(content_range: str, length: int, source: SourceServer) -> None:
    source.cuts.append(10)
    lines = [f"ETag: {ETAG}", f"Content-Range: {content_range}", f"Content-Length: {length}"]
    with open_with(source.url()) as remote:
        source.scripts.append(response(*lines, status=206, body=bytes(length)))
        blocks = remote.read_from(0)
        assert next(blocks) == source.data[:10]
        with pytest.raises(SourceRefused, match=r"Content-Range|another range"):
            next(blocks)


@pytest.mark.parametrize(
    ("content_range", "error", "text"),
    [
        ("bytes */10240", SourceRefused, "refuses a range within the file"),
        ("bytes */9", SourceChanged, "has become shorter"),
        ("", SourceChanged, "has become shorter"),
    ],
)
def test_status_416(content_range: str, error: type[Exception], text: str, source: SourceServer) -> None:
    with open_with(source.url()) as remote:
        source.scripts.append(response(f"Content-Range: {content_range}", "Content-Length: 0", status=416))
        with pytest.raises(error, match=text):
            next(remote.read_from(10))


def test_a_chunked_source_tells_its_size_at_the_end(source: SourceServer) -> None:
    source.chunked = True
    with open_with(source.url()) as remote:
        assert remote.size is None
        assert b"".join(remote.read_from(0)) == source.data
        assert remote.size == len(source.data)


def test_a_chunked_source_of_which_all_was_read(source: SourceServer) -> None:
    source.chunked = True
    size = len(source.data)
    for told, error in ((size, None), (size + 1, SourceChanged)):
        with open_with(source.url()) as remote:
            source.scripts.append(response(f"Content-Range: bytes */{told}", status=416))
            if error is None:
                assert list(remote.read_from(size)) == []
                assert remote.size == size
            else:
                with pytest.raises(error):
                    next(remote.read_from(size))


def test_a_chunked_source_that_became_shorter(source: SourceServer) -> None:
    source.chunked = source.ignores_ranges = True
    with open_with(source.url()) as remote:
        assert list(remote.read_from(len(source.data))) == []
    with open_with(source.url()) as remote, pytest.raises(SourceChanged, match="has become shorter"):
        list(remote.read_from(len(source.data) + 1))


def test_a_chunked_body_that_is_longer_or_shorter_than_the_file(source: SourceServer) -> None:
    head = response(f"ETag: {ETAG}", DATE, "Transfer-Encoding: chunked")
    for body, text in (
        (b"2800\r\n" + bytes(10_240) + b"\r\n1\r\nx\r\n0\r\n\r\n", "longer"),
        (b"0\r\n\r\n", "broke"),
    ):
        with open_with(source.url(), policy=retries(tries=1)) as remote:
            source.scripts.append(head + body)
            with pytest.raises(FetchFailed, match=text):
                list(remote.read_from(10))


def test_the_tries_are_bounded(source: SourceServer) -> None:
    source.cuts += [1] * 20
    waits: list[float] = []
    policy = RetryPolicy(tries=4, base_seconds=1, max_seconds=3, sleep=waits.append)
    with open_with(source.url(), policy=policy) as remote:
        blocks = remote.read_from(0)
        assert [next(blocks) for _ in range(4)] == [source.data[at : at + 1] for at in range(4)]
        with pytest.raises(FetchFailed, match="broke the connection off") as caught:
            next(blocks)
    assert caught.value.retryable
    assert len(source.requests) == 4
    assert len(waits) == 3
    assert all(0 <= wait <= limit for wait, limit in zip(waits, (2, 3, 3), strict=True))


def test_progress_starts_the_count_again(source: SourceServer) -> None:
    source.cuts += [1000] * 10
    with open_with(source.url(), policy=retries(tries=2, progress_bytes=1000)) as remote:
        assert b"".join(remote.read_from(0)) == source.data
    assert len(source.requests) == 11


def test_temporary_statuses_are_retried(source: SourceServer) -> None:
    source.cuts.append(10)
    with open_with(source.url()) as remote:
        source.scripts += [response("Content-Length: 0", status=status) for status in (503, 500, 429)]
        assert b"".join(remote.read_from(0)) == source.data
    with open_with(source.url()) as remote:
        source.scripts += [response("Content-Length: 0", status=404)]
        with pytest.raises(SourceRefused, match="status 404"):
            next(remote.read_from(1))


def test_a_stall_is_a_break(source: SourceServer) -> None:
    head = response(f"ETag: {ETAG}", DATE, "Content-Length: 10240", body=source.data[:100])
    source.scripts.append(stall(head))
    assert read_all(source.url(), IMPATIENT) == source.data
    assert source.ranges == [None, "bytes=100-"]


@pytest.mark.parametrize(
    ("head", "block"),
    [
        (b"HTTP/1.1 200 OK\r\n", None),
        (b"HTTP/1.1 200 OK\r\nA: ", b"a"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_headers_that_never_end(head: bytes, block: bytes | None, source: SourceServer) -> None:
    source.scripts.append(stall(head) if block is None else drip(head, block))
    started = time.monotonic()
    with pytest.raises(FetchFailed, match=r"sent nothing usable for 0\.3 seconds") as caught:
        open_with(source.url(), IMPATIENT)
    assert time.monotonic() - started < 3
    assert caught.value.retryable


@pytest.mark.parametrize(("end", "block"), [(b"0\r\n", b"a: b\r\n"), (b"1;", b"x")])
def test_a_chunked_body_that_never_ends(end: bytes, block: bytes, source: SourceServer) -> None:
    head = response(f"ETag: {ETAG}", DATE, "Transfer-Encoding: chunked", body=b"1\r\nx\r\n" + end)
    source.scripts.append(drip(head, block))
    with open_with(source.url(), IMPATIENT, policy=retries(tries=1)) as remote:
        blocks = remote.read_from(0)
        assert next(blocks) == b"x"
        with pytest.raises(FetchFailed, match="sent nothing usable"):
            next(blocks)


def test_a_slow_consumer_is_no_stall(source: SourceServer) -> None:
    """The limits count only while something is read."""
    source.data = bytes(4_000_000)
    with open_with(source.url(), IMPATIENT) as remote:
        blocks = remote.read_from(0)
        size = len(next(blocks))
        time.sleep(1)  # Longer than the limit: what is tested is that waiting here has no effect.
        assert size + sum(len(block) for block in blocks) == 4_000_000
    assert len(source.requests) == 1


def test_the_log_has_no_query(source: SourceServer, caplog: pytest.LogCaptureFixture) -> None:
    source.cuts.append(10)
    with caplog.at_level(logging.DEBUG):
        assert read_all(source.url("/disk.img?secret"), PRIVATE) == source.data
    assert [record.getMessage() for record in caplog.records] == [
        f"resuming http://127.0.0.1:{source.port}/disk.img at byte 10: 127.0.0.1 broke the connection off"
    ]
