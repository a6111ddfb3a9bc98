"""Reads that break go on at the byte reached, with the same version, or break for the client to see."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from image_gateway.protocol.ranges import ByteRange
from image_gateway.storage import object_reads as objects_module
from image_gateway.storage.body import RETRY_DELAYS, BodyBroken, ObjectBody
from image_gateway.storage.client import StoreAddress, StoreClients
from image_gateway.storage.object_reads import OpenObject, Pin
from image_gateway.storage.objects import ObjectStore
from image_gateway.storage.presigned_reader import PresignedReader
from tests.support.broken_streams import OLD, Broken
from tests.support.fake_store import (
    Asked,
    FakeStore,
    Reply,
    Script,
    error_answer,
    in_turn,
    object_answer,
    running_store,
)
from tests.support.numbers import Numbers

NEW = bytes(byte | 0x80 for byte in OLD)
ENDS = ("close", "reset")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that bodies make, without their time."""
    made: list[float] = []
    monkeypatch.setattr(objects_module, "ObjectBody", partial(ObjectBody, sleep=made.append))
    return made


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeStore]:
    with running_store(lambda _: Reply(b"")) as store:
        yield store


@pytest.fixture(scope="module")
def clients(fake: FakeStore) -> StoreClients:
    return fake.clients(read_timeout=1)


@pytest.fixture
def store(fake: FakeStore, clients: StoreClients, pauses: list[float]) -> Iterator[ObjectStore]:
    """An ObjectStore that reads over the wire from the fake store."""
    reads = PresignedReader(clients, sleep=pauses.append)
    fake.asked.clear()
    yield ObjectStore(clients, reads)
    for pool in reads._pools.values():
        while kept := pool.take():
            kept.close()
    for client in (clients.requests, clients.requests_once):
        client.close()
    fake.wait_until(lambda: not fake._open)


def cut(after: int, then: Any = "close", data: bytes = OLD, **changes: str) -> Script:
    """A good answer that ends after so many bytes of its body."""

    def answer(asked: Asked) -> Reply:
        whole = object_answer(asked, data, **changes)
        start, stop = asked.slice_of(data)
        return Reply(whole[: len(whole) - (stop - start) + after], then)

    return answer


def good(asked: Asked) -> Reply:
    return Reply(object_answer(asked, OLD))


def read(opened: OpenObject) -> tuple[bytes, bool]:
    """What came, and whether it broke off."""
    received = bytearray()
    try:
        for block in opened.body:
            received += block
    except BodyBroken:
        return bytes(received), True
    finally:
        opened.body.close()
    return bytes(received), False


@pytest.mark.parametrize("then", ENDS)
@pytest.mark.parametrize("part", [None, ByteRange(7, 31)], ids=str)
def test_a_cut_after_every_byte(
    store: ObjectStore, fake: FakeStore, pauses: list[float], part: ByteRange | None, then: str
) -> None:
    start, stop = (part.start, part.stop) if part else (0, len(OLD))
    for after in range(stop - start):
        fake.answer = in_turn(cut(after, then), good)
        fake.asked.clear()
        pauses.clear()
        assert read(store.open("k", byte_range=part)) == (OLD[start:stop], False), after
        if then == "reset":
            # It may throw away what had come, the head included.
            continue
        first, again = fake.asked
        assert first.headers.get("range") == (part.as_request() if part else None)
        assert again.headers["range"] == f"bytes={start + after}-{stop - 1}"
        assert again.headers["if-match"] == '"e"'
        assert pauses == [RETRY_DELAYS[0]]


def test_a_cut_at_every_second_byte_of_one_body(
    store: ObjectStore, fake: FakeStore, pauses: list[float]
) -> None:
    fake.answer = in_turn(*[cut(min(2, len(OLD) - done)) for done in range(0, len(OLD), 2)])
    assert read(store.open("k")) == (OLD, False)
    assert len(fake.asked) == len(OLD) / 2
    assert set(pauses) == {RETRY_DELAYS[0]}


def test_a_black_hole_within_a_body(store: ObjectStore, fake: FakeStore) -> None:
    fake.answer = in_turn(cut(11, "silence"), good)
    assert read(store.open("k")) == (OLD, False)
    assert [asked.headers.get("range") for asked in fake.asked] == [None, "bytes=11-39"]


def test_a_stream_that_goes_on_too_long_ends_at_its_length(store: ObjectStore, fake: FakeStore) -> None:
    fake.answer = lambda asked: Reply(object_answer(asked, OLD) + b"more", "close")
    assert read(store.open("k", byte_range=ByteRange(3, 9))) == (OLD[3:9], False)


@pytest.mark.parametrize("status", [400, 403, 429, 500, 503])
def test_errors_use_up_the_budget(
    store: ObjectStore, fake: FakeStore, pauses: list[float], status: int
) -> None:
    fake.answer = in_turn(cut(5), lambda _: Reply(error_answer(status, None)))
    assert read(store.open("k")) == (OLD[:5], True)
    assert pauses == list(RETRY_DELAYS)
    # Each error is asked for fast, and by the SDK to know what it means; not by the SDK's three tries.
    assert len(fake.asked) == 1 + len(RETRY_DELAYS) * 2


@pytest.mark.parametrize("errors", range(1, len(RETRY_DELAYS)))
def test_errors_that_pass(store: ObjectStore, fake: FakeStore, pauses: list[float], errors: int) -> None:
    bad: Script = lambda _: Reply(error_answer(503, "SlowDown"))  # noqa: E731
    fake.answer = in_turn(cut(5), *[bad, bad] * errors, good)
    assert read(store.open("k")) == (OLD, False)
    assert pauses == list(RETRY_DELAYS[: errors + 1])


@pytest.mark.parametrize(("status", "code"), [(404, "NoSuchKey"), (412, "PreconditionFailed"), (416, None)])
def test_gone_or_replaced(
    store: ObjectStore, fake: FakeStore, pauses: list[float], status: int, code: str | None
) -> None:
    fake.answer = in_turn(cut(5), lambda _: Reply(error_answer(status, code)))
    assert read(store.open("k")) == (OLD[:5], True)
    assert (pauses, len(fake.asked)) == ([RETRY_DELAYS[0]], 3)


def other(**changes: Any) -> Script:
    """A new version, by a store that knows nothing of If-Match."""
    data = changes.pop("data", NEW)
    return lambda asked: Reply(object_answer(asked, data, **changes))


REPLACED: dict[str, Script] = {
    "another etag": other(etag='"new"'),
    "another size": other(data=NEW + b"!"),
    "a smaller one": other(data=NEW[:35]),
    "another etag, cut": cut(3, data=NEW, etag='"new"'),
    "a weak etag": other(etag='W/"e"'),
    "no range": lambda asked: Reply(object_answer(Asked("", {}, 0), NEW), "close"),
    "another range": other(content_range="bytes 0-34/40"),
    "encoded": other(content_encoding="gzip"),
}


@pytest.mark.parametrize("name", REPLACED)
@pytest.mark.parametrize("after", [0, 1, 5, 39])
def test_never_a_byte_of_another_version(store: ObjectStore, fake: FakeStore, name: str, after: int) -> None:
    fake.answer = in_turn(cut(after), REPLACED[name])
    assert read(store.open("k", pin=Pin(etag='"e"'))) == (OLD[:after], True)


def test_a_date_that_a_read_was_tied_to_is_sent_again(store: ObjectStore, fake: FakeStore) -> None:
    fake.answer = in_turn(cut(5), good)
    since = datetime(2026, 11, 23, tzinfo=UTC)
    assert read(store.open("k", pin=Pin(unmodified_since=since))) == (OLD, False)
    for asked in fake.asked:
        assert asked.headers["if-unmodified-since"] == "Mon, 23 Nov 2026 00:00:00 GMT"
    assert fake.asked[1].headers["if-match"] == '"e"'


def test_resumes_and_give_ups_are_counted(store: ObjectStore, fake: FakeStore) -> None:
    numbers = Numbers()
    fake.answer = in_turn(cut(5), cut(5), cut(0), good)
    read(store.open("k"))
    fake.answer = in_turn(cut(5), lambda _: Reply(error_answer(404, "NoSuchKey")))
    read(store.open("k"))
    assert numbers.added("body_resumes_total") == 3
    assert numbers.added("body_give_ups_total") == 1


def test_what_begins_again_has_the_first_answers_version(pauses: list[float]) -> None:
    """Also when the reader named none: the version is the first answer's."""
    asked: list[dict[str, Any]] = []
    broken = Broken(OLD, 5)

    class Noting:
        def sign(self, key: str) -> Any:
            raise AssertionError(f"{key} is read here, not signed")

        def get(self, key: str, arguments: dict[str, Any], *, once: bool = False) -> dict[str, Any]:
            asked.append({**arguments, "once": once})
            start = 5 if len(asked) > 1 else 0
            facts = {"ETag": '"e"', "LastModified": datetime(2026, 11, 22, tzinfo=UTC)}
            ranged = {"ContentRange": "bytes 5-39/40"} if start else {}
            return {
                **facts,
                **ranged,
                "ContentLength": len(OLD) - start,
                "Body": broken.begin(start),
            }

    address = StoreAddress("images", "us-east-1", "http://127.0.0.1:1", credentials=("key", "secret"))
    opened = ObjectStore(StoreClients(address), Noting()).open("k")
    assert opened.body.read_all() == OLD
    assert asked == [{"once": False}, {"Range": "bytes=5-39", "IfMatch": '"e"', "once": True}]
