"""Answers that are none: they are refused, and their connection is closed."""

from __future__ import annotations

import pytest

from image_gateway.errors import ObjectMissing, StoreError, StoreUnavailable
from image_gateway.storage.http_pool import MAX_HEAD
from tests.storage.presigned_reader.conftest import NO_LENGTH, Lean, saying
from tests.support.fake_store import (
    FakeStore,
    error_answer,
    render,
)

NO_ANSWERS = {
    "no length": render("200 OK", NO_LENGTH, b"hello"),
    "chunked": render("200 OK", {**NO_LENGTH, "Transfer-Encoding": "chunked"}, b"5\r\nhello\r\n0\r\n\r\n"),
    "chunked with a length": render(
        "200 OK", {**NO_LENGTH, "Transfer-Encoding": "chunked", "Content-Length": "5"}, b"hello"
    ),
    "two lengths": render("200 OK", {**NO_LENGTH, "Content-Length": "5", "content-length": "6"}, b"hello!"),
    "two lengths in one": render("200 OK", {**NO_LENGTH, "Content-Length": "5, 5"}, b"hello"),
    "a negative length": render("200 OK", {**NO_LENGTH, "Content-Length": "-5"}, b"hello"),
    "a length of other digits": render("200 OK", {**NO_LENGTH, "Content-Length": "²"}, b"hello"),
    "garbage": b"\x00\xff garbage\r\n\r\n",
    "a huge head": b"HTTP/1.1 200 OK\r\nA: " + b"a" * (3 * MAX_HEAD),
    "http/2": b"HTTP/2 200\r\nContent-Length: 5\r\n\r\nhello",
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n",
    "a folded header": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_no_answer_is_unavailable(lean: Lean, fake: FakeStore, name: str) -> None:
    fake.answer = saying(NO_ANSWERS[name], "close")
    # What is HTTP but has no length goes to the SDK, which reads it but cannot tell whether it is whole.
    with pytest.raises((StoreError, StoreUnavailable)):
        lean.read()
    assert len(fake.asked) >= 2
    assert lean.close_kept() == 0


@pytest.mark.parametrize(
    "answer",
    [
        render("200 OK", {**NO_LENGTH, "Content-Length": "9" * 5000}),
        render("200 OK", {"ETag": '"e"', "Last-Modified": "yesterday", "Content-Length": "5"}, b"hello"),
        render("2²0 OK", {**NO_LENGTH, "Content-Length": "5"}, b"hello"),
    ],
    ids=["a length beyond numbers", "no date", "no status"],
)
def test_what_cannot_be_read_is_refused_and_closed(lean: Lean, fake: FakeStore, answer: bytes) -> None:
    fake.answer = saying(answer, "silence")
    with pytest.raises((StoreError, StoreUnavailable)):
        lean.read()
    assert lean.close_kept() == 0
    fake.wait_until(lambda: not fake._open, seconds=2)


def test_an_error_may_be_long_or_break_off(lean: Lean, fake: FakeStore) -> None:
    long = b"<Error>" + b" " * 100_000 + b"<Code>NoSuchKey</Code>"
    fake.answer = saying(render("404 No", {"Content-Length": str(len(long))}, long))
    with pytest.raises(ObjectMissing):
        lean.read()
    broken = error_answer(503, "SlowDown")[:-20]
    fake.answer = saying(broken, "close")
    with pytest.raises(StoreUnavailable):
        lean.read()
    assert lean.close_kept() == 0
