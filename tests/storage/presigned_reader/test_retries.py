"""What is tried again, and how often."""

from __future__ import annotations

import socket

import pytest
from botocore.exceptions import ClientError

from image_gateway.errors import ObjectChanged, ObjectMissing, StoreError, StoreUnavailable
from image_gateway.storage.objects import ObjectStore
from image_gateway.storage.presigned_reader import (
    ATTEMPTS,
    PresignedReader,
)
from tests.storage.presigned_reader.conftest import DATA, Lean, count_signatures, good, saying
from tests.support.fake_store import (
    FakeStore,
    error_answer,
    in_turn,
)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(lean: Lean, fake: FakeStore, status: int) -> None:
    bad = saying(error_answer(status, "SlowDown"))
    fake.answer = in_turn(bad, bad, bad, good)
    assert lean.read() == DATA
    # The first was the fast one, the others the SDK's.
    assert (len(fake.asked), lean.pauses) == (1 + ATTEMPTS, [])


@pytest.mark.parametrize("status", [500, 503])
def test_three_times_is_unavailable(either: ObjectStore, fake: FakeStore, status: int) -> None:
    fake.answer = saying(error_answer(status, None))
    with pytest.raises(StoreUnavailable):
        either.open("k")
    fast = isinstance(either._reads, PresignedReader)
    assert len(fake.asked) == ATTEMPTS + fast


@pytest.mark.parametrize("code", ["NoSuchKey", "InvalidRange", "PreconditionFailed"])
def test_what_does_not_pass_is_not_tried_again(lean: Lean, fake: FakeStore, code: str) -> None:
    fake.answer = saying(error_answer(404, code))
    with pytest.raises((ObjectMissing, ObjectChanged, StoreError)):
        lean.read()
    assert (len(fake.asked), lean.pauses) == (2, [])


@pytest.mark.parametrize("status", [500, 503])
def test_once_is_once(lean: Lean, fake: FakeStore, status: int) -> None:
    fake.answer = saying(error_answer(status, None))
    with pytest.raises(ClientError):
        lean.reads.get("k", {}, once=True)
    # Fast, and by the SDK to know what the answer means.
    assert (len(fake.asked), lean.pauses) == (2, [])


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    lean = Lean(FakeStore(port, good).clients())
    with pytest.raises(StoreUnavailable):
        lean.read()
    assert len(lean.pauses) == ATTEMPTS - 1


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"], ids=["nothing", "half a head"])
def test_a_black_hole_is_unavailable(fake: FakeStore, beginning: bytes) -> None:
    fake.answer = saying(beginning, "silence")
    lean = Lean(fake.clients(read_timeout=1))
    with pytest.raises(StoreUnavailable):
        lean.read()
    assert (len(fake.asked), len(lean.pauses)) == (ATTEMPTS, ATTEMPTS - 1)
    fake.wait_until(lambda: not fake._open)


def test_a_refusal_is_answered_by_a_new_signature(lean: Lean, fake: FakeStore) -> None:
    signed = count_signatures(lean.clients)
    fake.answer = in_turn(saying(error_answer(403, "AccessDenied")), good)
    assert lean.read() == DATA
    assert (len(fake.asked), len(signed), lean.pauses) == (2, 1, [])
    assert lean.read() == DATA
    assert (len(fake.asked), len(signed)) == (3, 2)


def test_a_second_refusal_is_an_error(lean: Lean, fake: FakeStore) -> None:
    fake.answer = saying(error_answer(403, "AccessDenied"))
    with pytest.raises(StoreError):
        lean.read()
    assert (len(fake.asked), lean.pauses) == (2, [])
