"""How many bodies are sent at once."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest
from flask import Flask, Response
from gunicorn.http.wsgi import FileWrapper

from image_gateway.errors import CatalogUnavailable, NotFound, Overloaded
from image_gateway.routes.http import streams as streams_module
from image_gateway.routes.http.streams import AccessEnded, AccessGuard, Streams
from image_gateway.services.fair_slots import FairSlots


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
def serve() -> Iterator[Callable[[FairSlots, object], Response]]:
    """Serves a body within a request of a server that sends files by itself."""
    app = Flask("test")

    def answer(slots: FairSlots, body: object) -> Response:
        streams = Streams(slots, recheck_seconds=60)
        return streams.serve("me", lambda: True, lambda: Response(body, direct_passthrough=True))  # type: ignore[arg-type]

    with app.test_request_context(environ_overrides={"wsgi.file_wrapper": FileWrapper}):
        yield answer


def make_slots(total: int = 1) -> FairSlots:
    """Slots for which nobody waits."""
    return FairSlots(total, per_holder=total, room=total, seconds=0)


def is_free(slots: FairSlots) -> bool:
    """Whether a slot can be had; it is given back."""
    try:
        slots.acquire("me").release()
    except Overloaded:
        return False
    return True


@pytest.mark.parametrize("taken", [0, 1, 3], ids=["never begun", "half", "to the end"])
def test_a_body_keeps_its_slot_until_it_is_closed(
    serve: Callable[[FairSlots, object], Response], taken: int
) -> None:
    slots, body = make_slots(), Body()
    blocks = serve(slots, body).response
    assert not is_free(slots)
    received = [next(iter(blocks), None) for _ in range(taken)]
    assert received == [b"a", b"b", None][:taken]
    blocks.close()  # type: ignore[union-attr]
    assert body.closed == 1
    assert is_free(slots)


def test_a_body_that_breaks_gives_its_slot_back(serve: Callable[[FairSlots, object], Response]) -> None:
    def broken() -> Iterator[bytes]:
        yield b"a"
        raise OSError("the store is gone")

    slots = make_slots()
    with pytest.raises(OSError, match="gone"):
        list(serve(slots, broken()).response)
    assert is_free(slots)


def test_a_file_stays_the_servers_to_send(serve: Callable[[FairSlots, object], Response]) -> None:
    slots, file = make_slots(), io.BytesIO(b"block")
    wrapped = FileWrapper(file)
    assert serve(slots, wrapped).response is wrapped
    assert not is_free(slots)
    wrapped.close()
    assert file.closed
    assert is_free(slots)


def test_an_answer_without_a_body_keeps_nothing(serve: Callable[[FairSlots, object], Response]) -> None:
    slots = make_slots()
    serve(slots, ())
    assert is_free(slots)


def test_a_refusal_keeps_nothing() -> None:
    slots = make_slots()

    def refuse() -> Response:
        raise NotFound("no such image")

    with pytest.raises(NotFound):
        Streams(slots, recheck_seconds=60).serve("me", lambda: True, refuse)
    assert is_free(slots)


# Permission taken back while a body is sent


class Watch:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    made = Watch()
    monkeypatch.setattr(streams_module, "time", made)
    return made


def test_a_body_ends_when_its_reader_may_not_read_any_more(watch: Watch) -> None:
    slots, allowed = make_slots(), [True]
    streams = Streams(slots, recheck_seconds=2)
    body = Body()
    body.blocks = [b"x"] * 10
    with Flask("test").test_request_context():
        response = streams.serve("me", lambda: allowed[0], lambda: Response(body, direct_passthrough=True))
    blocks = iter(response.response)
    assert next(blocks) == b"x"
    allowed[0] = False
    watch.now += 1.9
    assert next(blocks) == b"x"
    watch.now += 0.2
    with pytest.raises(AccessEnded):
        next(blocks)
    assert is_free(slots)


def test_a_catalog_that_is_away_for_a_moment_breaks_no_body(watch: Watch) -> None:
    def ask() -> bool:
        raise CatalogUnavailable("away")

    guard = AccessGuard(ask, seconds=2)
    for _ in range(14):
        watch.now += 2
        guard.check()
    watch.now += 2
    with pytest.raises(AccessEnded):
        guard.check()
