"""How many bodies are sent at once."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest
from flask import Flask, Response
from gunicorn.http.wsgi import FileWrapper

from image_gateway.errors import NotFound, Overloaded
from image_gateway.metrics.instruments import ACTIVE_STREAMS
from image_gateway.routes.stream_slots import Slot, StreamSlots


class Body:
    """Two blocks, and whether they were closed."""

    def __init__(self) -> None:
        self.blocks = [b"a", b"b"]
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self.blocks:
            raise StopIteration
        return self.blocks.pop(0)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def serve() -> Iterator[Callable[[StreamSlots, object], Response]]:
    """Serves a body within a request of a server that sends files by itself."""
    app = Flask("test")

    def answer(slots: StreamSlots, body: object) -> Response:
        return slots.serve("me", lambda: Response(body, direct_passthrough=True))  # type: ignore[arg-type]

    with app.test_request_context(environ_overrides={"wsgi.file_wrapper": FileWrapper}):
        yield answer


def active() -> float:
    value: float = ACTIVE_STREAMS._value.get()
    return value


def fill(slots: StreamSlots, *who: str) -> list[Slot]:
    return [slots.take(name) for name in who]


def test_no_more_than_there_are() -> None:
    slots = StreamSlots(2)
    first, _ = fill(slots, "me", "you")
    with pytest.raises(Overloaded) as refused:
        slots.take("them")
    assert (refused.value.status, refused.value.code) == (503, "OVERLOADED")
    assert refused.value.headers == {"Retry-After": "1"}
    first.release()
    slots.take("them")


def test_no_more_than_a_user_may() -> None:
    slots = StreamSlots(4, max_per_user=2)
    first, _ = fill(slots, "me", "me")
    with pytest.raises(Overloaded):
        slots.take("me")
    slots.take("you")
    first.release()
    slots.take("me")


def test_a_slot_is_given_back_once() -> None:
    slots, before = StreamSlots(1), active()
    slot = slots.take("me")
    assert active() == before + 1
    slot.release()
    slot.release()
    assert active() == before
    slots.take("me")
    with pytest.raises(Overloaded):
        slots.take("me")


@pytest.mark.parametrize("taken", [0, 1, 3], ids=["never begun", "half", "to the end"])
def test_a_body_keeps_its_slot_until_it_is_closed(
    serve: Callable[[StreamSlots, object], Response], taken: int
) -> None:
    slots, body = StreamSlots(1), Body()
    blocks = serve(slots, body).response
    with pytest.raises(Overloaded):
        slots.take("me")
    received = [next(iter(blocks), None) for _ in range(taken)]
    assert received == [b"a", b"b", None][:taken]
    blocks.close()  # type: ignore[union-attr]
    assert body.closed == 1
    slots.take("me")


def test_a_body_that_breaks_gives_its_slot_back(serve: Callable[[StreamSlots, object], Response]) -> None:
    def broken() -> Iterator[bytes]:
        yield b"a"
        raise OSError("the store is gone")

    slots = StreamSlots(1)
    with pytest.raises(OSError, match="gone"):
        list(serve(slots, broken()).response)
    slots.take("me")


def test_a_file_stays_the_servers_to_send(serve: Callable[[StreamSlots, object], Response]) -> None:
    slots, file = StreamSlots(1), io.BytesIO(b"block")
    wrapped = FileWrapper(file)
    assert serve(slots, wrapped).response is wrapped
    with pytest.raises(Overloaded):
        slots.take("me")
    wrapped.close()
    assert file.closed
    slots.take("me")


def test_an_answer_without_a_body_keeps_nothing(serve: Callable[[StreamSlots, object], Response]) -> None:
    slots = StreamSlots(1)
    serve(slots, ())
    slots.take("me")


def test_a_refusal_keeps_nothing() -> None:
    slots = StreamSlots(1)

    def refuse() -> Response:
        raise NotFound("no such image")

    with pytest.raises(NotFound):
        slots.serve("me", refuse)
    slots.take("me")
