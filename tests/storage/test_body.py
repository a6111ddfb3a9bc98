"""ObjectBody counts, never ends short, and closes on every path."""

from __future__ import annotations

import pytest
from botocore.exceptions import ReadTimeoutError

from image_gateway.storage.body import BLOCK_SIZE, BodyBroken, ObjectBody


class Stream:
    """A stream that gives what it is told to and remembers how it was used."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[int | None] = []
        self.closed = 0

    def read(self, amt: int | None = None) -> bytes:
        self.asked.append(amt)
        answer = self._answers.pop(0) if self._answers else b""
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed += 1


def test_reads_exactly_the_length_in_blocks() -> None:
    stream = Stream(b"x" * BLOCK_SIZE, b"y" * 10)
    assert b"".join(ObjectBody(stream, BLOCK_SIZE + 10)) == b"x" * BLOCK_SIZE + b"y" * 10
    assert stream.asked == [BLOCK_SIZE, 10]
    assert stream.closed == 1


def test_short_blocks_are_joined_up() -> None:
    assert list(ObjectBody(Stream(b"a", b"bc", b"d"), 4)) == [b"a", b"bc", b"d"]


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [b"ab"],
        [b"ab", ReadTimeoutError(endpoint_url="http://x")],
        [b"ab", ConnectionResetError()],
    ],
    ids=["nothing", "short", "timeout", "reset"],
)
def test_a_body_that_ends_early_raises_and_closes(answers: list[bytes | Exception]) -> None:
    stream = Stream(*answers)
    with pytest.raises(BodyBroken, match="of 4 bytes"):
        list(ObjectBody(stream, 4))
    assert stream.closed == 1


def test_the_first_block_can_be_read_ahead() -> None:
    stream = Stream(b"x" * BLOCK_SIZE, b"y")
    body = ObjectBody(stream, BLOCK_SIZE + 1)
    body.begin()
    assert stream.asked == [BLOCK_SIZE]
    assert b"".join(body) == b"x" * BLOCK_SIZE + b"y"
    with pytest.raises(BodyBroken):
        ObjectBody(Stream(), 4).begin()
    ObjectBody(Stream(), 0).begin()


def test_an_empty_body_ends_at_once() -> None:
    stream = Stream()
    assert list(ObjectBody(stream, 0)) == []
    assert (stream.asked, stream.closed) == ([], 1)


def test_close_without_reading() -> None:
    stream = Stream(b"abcd")
    ObjectBody(stream, 4).close()
    assert (stream.asked, stream.closed) == ([], 1)


def test_read_all_closes_when_it_fails() -> None:
    stream = Stream(b"a")
    with pytest.raises(BodyBroken):
        ObjectBody(stream, 2).read_all()
    assert stream.closed >= 1
