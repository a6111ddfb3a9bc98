"""Answers that cannot be used."""

from __future__ import annotations

import pytest

from image_gateway.errors import FetchFailed, SourceRefused
from tests.fetching.reading import open_with, read_all, retries
from tests.fetching.source_server import SourceServer, response

pytestmark = pytest.mark.thorough

LENGTH = "Content-Length: 3"


def assert_refused(source: SourceServer, answer: bytes, text: str, *, retryable: bool = False) -> None:
    source.scripts.append(answer)
    with pytest.raises(FetchFailed, match=text) as caught:
        open_with(source.url("/?secret"))
    assert caught.value.retryable is retryable
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 400, 401, 403, 404, 410, 412, 416, 501])
def test_statuses(status: int, source: SourceServer) -> None:
    assert_refused(source, response("Content-Length: 0", status=status), f"answered with status {status}")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_temporary_statuses(status: int, source: SourceServer) -> None:
    assert_refused(
        source, response("Content-Length: 0", status=status), f"answered with status {status}", retryable=True
    )


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["Content-Encoding: gzip", LENGTH], "Content-Encoding that was not asked for"),
        (["Content-Encoding: identity, br", LENGTH], "Content-Encoding that was not asked for"),
        (["Content-Encoding: identity", "Content-Encoding: x", LENGTH], "Content-Encoding"),
        (["Transfer-Encoding: gzip, chunked"], "Transfer-Encoding other than chunked"),
        (["Transfer-Encoding: gzip", LENGTH], "Transfer-Encoding other than chunked"),
        ([], "a body without a length"),
        (["Content-Length: -1"], "invalid Content-Length"),
        (["Content-Length: +3"], "invalid Content-Length"),
        (["Content-Length: 3_0"], "invalid Content-Length"),
        (["Content-Length: 3, 4"], "invalid Content-Length"),
        (["Content-Length: 3", "Content-Length: 4"], "invalid Content-Length"),
        ([f"Content-Length: {'9' * 19}"], "invalid Content-Length"),
        (["Content-Length: \u0663"], "invalid Content-Length"),
    ],
)
def test_headers(lines: list[str], text: str, source: SourceServer) -> None:
    assert_refused(source, response(*lines, body=b"abc"), text)


@pytest.mark.parametrize(
    "lines",
    [
        [LENGTH],
        [LENGTH, LENGTH],
        ["Content-Encoding: identity", LENGTH],
        ["Content-Encoding:", LENGTH],
        ["Accept-Ranges: bytes", LENGTH],
    ],
)
def test_usable_headers(lines: list[str], source: SourceServer) -> None:
    source.scripts.append(response(*lines, body=b"abc"))
    with open_with(source.url()) as remote:
        assert b"".join(remote.read_from(0)) == b"abc"
        assert remote.accepts_ranges is ("Accept-Ranges: bytes" in lines)


def test_an_empty_file(source: SourceServer) -> None:
    source.scripts.append(response("Content-Length: 0"))
    assert read_all(source.url()) == b""


def test_bytes_after_the_announced_length_are_not_the_body(source: SourceServer) -> None:
    source.scripts.append(response(LENGTH, body=b"abcdef"))
    assert read_all(source.url()) == b"abc"


@pytest.mark.parametrize(
    "lines",
    [
        [f"A{number}: {'a' * 60_000}" for number in range(2)],
        [f"A{number}: {'a' * 700}" for number in range(95)],
    ],
)
def test_many_bytes_of_headers(lines: list[str], source: SourceServer) -> None:
    assert_refused(source, response(*lines, LENGTH, body=b"abc"), "more than 65536 bytes of headers")


@pytest.mark.parametrize(
    "answer",
    [
        response(*[f"A{number}: a" for number in range(101)], LENGTH),
        response(f"A: {'a' * 70_000}", LENGTH),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
    ],
)
def test_what_is_not_http(answer: bytes, source: SourceServer) -> None:
    assert_refused(source, answer, "not valid HTTP")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"])
def test_an_answer_that_breaks_off(answer: bytes, source: SourceServer) -> None:
    """Headers that end early are headers, but without a body."""
    source.scripts.append(answer)
    with (
        pytest.raises(FetchFailed, match="broke the connection off") as caught,
        open_with(source.url(), policy=retries(tries=1)) as remote,
    ):
        list(remote.read_from(0))
    assert caught.value.retryable


@pytest.mark.parametrize("size", [b"zz\r\n", b"-1\r\n", b"5\r\nab", b"\r\n"])
def test_malformed_chunks(size: bytes, source: SourceServer) -> None:
    source.scripts.append(response("Transfer-Encoding: chunked", body=size))
    with (
        open_with(source.url(), policy=retries(tries=1)) as remote,
        pytest.raises(FetchFailed, match=r"broke|failed"),
    ):
        list(remote.read_from(0))


def test_the_error_codes() -> None:
    assert SourceRefused("", retryable=False).code == "SOURCE_REFUSED"
    assert FetchFailed("", retryable=False).code == "SOURCE_UNREACHABLE"
