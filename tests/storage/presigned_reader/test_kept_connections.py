"""Which connections are used again, and which are closed."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from image_gateway.errors import ObjectChanged, ObjectMissing, StoreUnavailable
from image_gateway.protocol.ranges import ByteRange
from image_gateway.storage.presigned_reader import (
    ATTEMPTS,
)
from tests.storage.presigned_reader.conftest import DATA, Lean, good, saying
from tests.support.fake_store import (
    Asked,
    FakeStore,
    Reply,
    error_answer,
    in_turn,
    object_answer,
)


def test_a_connection_is_used_again(lean: Lean, fake: FakeStore) -> None:
    for _ in range(5):
        assert lean.read(byte_range=ByteRange(0, 9)) == DATA[:9]
        assert lean.read() == DATA
    assert fake.accepted == 1


@pytest.mark.parametrize("status", [404, 416])
def test_a_connection_is_not_used_again_after_an_error(lean: Lean, fake: FakeStore, status: int) -> None:
    bad = saying(error_answer(status, None))
    fake.answer = in_turn(bad, bad, good)
    with pytest.raises((ObjectMissing, ObjectChanged)):
        lean.read()
    assert lean.close_kept() == 0
    assert lean.read() == DATA


def test_one_that_was_closed_meanwhile_is_no_try(lean: Lean, fake: FakeStore) -> None:
    lean.read()
    fake.hang_up()
    assert lean.read() == DATA
    assert (fake.accepted, len(fake.asked), lean.pauses) == (2, 2, [])


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 2"], ids=["nothing", "a beginning"])
def test_one_that_ends_when_it_is_asked_is_no_try(
    lean: Lean, fake: FakeStore, then: str, beginning: bytes
) -> None:
    fake.answer = in_turn(good, saying(beginning, then), good)
    lean.read()
    assert lean.read() == DATA
    assert (fake.accepted, len(fake.asked), lean.pauses) == (2, 3, [])


def test_one_that_falls_silent_is_a_try(fake: FakeStore) -> None:
    fake.answer = in_turn(good, saying(b"", "silence"), good)
    lean = Lean(fake.clients(read_timeout=1))
    lean.read()
    assert lean.read() == DATA
    assert (fake.accepted, len(lean.pauses)) == (2, 1)
    lean.close_kept()


@pytest.mark.parametrize("then", ["close", "reset"])
def test_new_ones_that_end_are_tries(lean: Lean, fake: FakeStore, then: str) -> None:
    fake.answer = saying(b"", then)
    with pytest.raises(StoreUnavailable):
        lean.read()
    assert (len(fake.asked), len(lean.pauses)) == (ATTEMPTS, ATTEMPTS - 1)


@pytest.mark.parametrize("value", ["close", "Close"])
def test_one_that_is_to_be_closed_is_not_kept(lean: Lean, fake: FakeStore, value: str) -> None:
    fake.answer = lambda asked: Reply(object_answer(asked, DATA, connection=value))
    assert lean.read() == DATA
    assert lean.close_kept() == 0


def test_http_1_0_is_read_and_closed(lean: Lean, fake: FakeStore) -> None:
    def old(asked: Asked) -> Reply:
        answer = object_answer(asked, DATA, connection="keep-alive")
        return Reply(answer.replace(b"HTTP/1.1", b"HTTP/1.0", 1), "close")

    fake.answer = old
    assert lean.read() == DATA
    assert lean.close_kept() == 0


@pytest.mark.parametrize("read", [0, 1, len(DATA) - 1])
def test_one_with_a_body_left_over_is_closed(lean: Lean, fake: FakeStore, read: int) -> None:
    stream = lean.reads.get("k", {})["Body"]
    if read:
        stream.read(read)
    stream.close()
    assert lean.close_kept() == 0
    fake.wait_until(lambda: not fake._open)


@pytest.mark.parametrize("extra", [b"x", object_answer(Asked("", {}, 0), b"of another", '"stale"')])
def test_one_that_said_too_much_is_not_used_again(lean: Lean, fake: FakeStore, extra: bytes) -> None:
    """What came behind a body, together with it: who knows what comes after that."""
    fake.answer = in_turn(lambda asked: Reply(object_answer(asked, b"short") + extra), good)
    assert lean.read() == b"short"
    assert lean.read() == DATA
    assert fake.accepted == 2


def test_many_threads(fake: FakeStore) -> None:
    lean = Lean(fake.clients(pool_size=8))
    source = random.Random(5)
    parts = [
        (start := source.randrange(len(DATA)), source.randrange(start, len(DATA)) + 1) for _ in range(50)
    ]

    def read(_: int) -> int:
        wrong = 0
        for start, stop in parts:
            wrong += lean.read(byte_range=ByteRange(start, stop)) != DATA[start:stop]
        return wrong

    with ThreadPoolExecutor(32) as pool:
        assert sum(pool.map(read, range(32))) == 0
    assert len(fake.asked) == 32 * len(parts)
    fake.wait_until(lambda: len(fake._open) <= 8)
    assert 1 <= lean.close_kept() <= 8
    fake.wait_until(lambda: not fake._open)
