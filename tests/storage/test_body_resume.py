"""A body alone: how many breaks in a row it goes on from, and that it closes every stream."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import pytest

from image_gateway.storage.body import BLOCK_SIZE, RETRY_DELAYS, BodyBroken, ObjectBody
from tests.support.broken_streams import OLD, Broken


def body_of(broken: Broken, length: int, sleep: Callable[[float], None]) -> ObjectBody:
    return ObjectBody(broken.begin(), length, broken.begin, sleep)


@pytest.mark.parametrize("breaks", range(len(RETRY_DELAYS)))
def test_so_many_breaks_in_a_row_are_gone_on_from(breaks: int) -> None:
    pauses: list[float] = []
    broken = Broken(OLD, 7, *[0] * breaks)
    assert b"".join(body_of(broken, len(OLD), pauses.append)) == OLD
    assert broken.begun == [0] + [7] * (breaks + 1)
    assert pauses == list(RETRY_DELAYS[: breaks + 1])
    assert broken.open == 0


def test_one_more_breaks_the_body() -> None:
    pauses: list[float] = []
    broken = Broken(OLD, 7, *[0] * len(RETRY_DELAYS))
    body = body_of(broken, len(OLD), pauses.append)
    assert next(body) == OLD[:7]
    with pytest.raises(BodyBroken, match="after 7 of 40 bytes"):
        next(body)
    assert broken.begun == [0] + [7] * len(RETRY_DELAYS)
    assert pauses == list(RETRY_DELAYS)
    assert broken.open == 0


def test_every_byte_restores_the_budget() -> None:
    pauses: list[float] = []
    stumbles = [0] * (len(RETRY_DELAYS) - 1)
    broken = Broken(OLD, *chain.from_iterable([*stumbles, 1] for _ in OLD))
    assert b"".join(body_of(broken, len(OLD), pauses.append)) == OLD
    assert len(pauses) == len(OLD) * len(RETRY_DELAYS) - 1
    assert broken.open == 0


def test_an_error_of_our_own_is_not_taken_for_a_break() -> None:
    broken = Broken(OLD, 7, RuntimeError("a mistake"))
    body = body_of(broken, len(OLD), lambda _: None)
    with pytest.raises(RuntimeError):
        list(body)
    body.close()
    assert (broken.begun, broken.open) == ([0, 7], 0)


def test_the_first_block_is_read_whole_across_breaks() -> None:
    data = bytes(number % 251 for number in range(BLOCK_SIZE + 10))
    broken = Broken(data, 0, 1, 0, 1000, BLOCK_SIZE - 1002, 3)
    body = body_of(broken, len(data), lambda _: None)
    body.begin()
    assert broken.begun == [0, 0, 1, 1, 1001, BLOCK_SIZE - 1]
    blocks = list(body)
    assert len(blocks[0]) == BLOCK_SIZE
    assert b"".join(blocks) == data
    assert broken.open == 0


@pytest.mark.parametrize("came", [0, 1, BLOCK_SIZE - 1])
def test_a_first_block_that_never_comes_is_told_before_anything_is_sent(came: int) -> None:
    broken = Broken(bytes(2 * BLOCK_SIZE), came, *[0] * len(RETRY_DELAYS))
    body = body_of(broken, 2 * BLOCK_SIZE, lambda _: None)
    with pytest.raises(BodyBroken):
        body.begin()
    body.close()
    assert broken.open == 0


def test_closing_in_the_midst_closes_the_stream_that_is_read() -> None:
    broken = Broken(OLD, 5, 5)
    body = body_of(broken, len(OLD), lambda _: None)
    assert next(body) + next(body) == OLD[:10]
    assert broken.open == 1
    body.close()
    body.close()
    assert broken.open == 0
