"""How many bodies are sent at once."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, Response
from gunicorn.http.wsgi import FileWrapper
from werkzeug.test import EnvironBuilder

from image_gateway.errors import CatalogUnavailable, Overloaded
from image_gateway.observability.metrics import ACTIVE_STREAMS
from image_gateway.observability.request_log import attach_stream, install_request_log
from image_gateway.routes.http.responses import BytesResponse
from image_gateway.services import slots as slots_module
from image_gateway.services.slots import AccessEnded, FairSlots, Stream, Streams
from tests.support.world import World

BODILESS = [{}, {"If-None-Match": "*"}, {"Range": "bytes=9-"}]


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


def serve(
    slots: FairSlots, body: object, may_read: Callable[[], bool] = lambda: True, seconds: float = 60
) -> Any:
    """The body of a response as a server gets it that sends files by itself."""
    app = Flask("test")
    install_request_log(app)

    @app.get("/")
    def answer() -> Response:
        attach_stream(Streams(slots, recheck_seconds=seconds).start("me", may_read))
        return BytesResponse(body, direct_passthrough=True)  # type: ignore[arg-type]

    environ = EnvironBuilder("/").get_environ() | {"wsgi.file_wrapper": FileWrapper}
    return app.wsgi_app(environ, lambda *_: lambda _: None)


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
def test_a_body_keeps_its_slot_until_it_is_closed(taken: int) -> None:
    slots, body = make_slots(), Body()
    blocks = serve(slots, body)
    assert not is_free(slots)
    received = [next(iter(blocks), None) for _ in range(taken)]
    assert received == [b"a", b"b", None][:taken]
    blocks.close()
    assert body.closed == 1
    assert is_free(slots)


def test_a_body_that_breaks_gives_its_slot_back() -> None:
    def broken() -> Iterator[bytes]:
        yield b"a"
        raise OSError("the store is gone")

    slots = make_slots()
    with pytest.raises(OSError, match="gone"):
        list(serve(slots, broken()))
    assert is_free(slots)


def test_a_file_stays_the_servers_to_send() -> None:
    slots, file = make_slots(), io.BytesIO(b"block")
    wrapped = FileWrapper(file)
    assert serve(slots, wrapped) is wrapped
    assert not is_free(slots)
    wrapped.close()
    assert file.closed
    assert is_free(slots)


@pytest.mark.parametrize(
    "headers", [{}, {"If-None-Match": "*"}, {"Range": "bytes=9-"}], ids=["HEAD", "304", "416"]
)
def test_an_answer_without_a_body_keeps_nothing(world: World, headers: dict[str, str]) -> None:
    image = world.make_image(b"data")
    before = ACTIVE_STREAMS._value.get()
    method = "GET" if headers else "HEAD"
    response = world.request(method, image.path("range"), headers=headers, buffered=False)
    assert response.status_code in (200, 304, 416)
    assert ACTIVE_STREAMS._value.get() == before


def test_a_refusal_keeps_nothing(world: World) -> None:
    image = world.make_image(b"data")
    before = ACTIVE_STREAMS._value.get()
    assert world.request("GET", image.path("range"), headers={"If-Match": '"other"'}).status_code == 412
    assert ACTIVE_STREAMS._value.get() == before


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
    monkeypatch.setattr(slots_module, "time", made)
    return made


def test_a_body_ends_when_its_reader_may_not_read_any_more(watch: Watch) -> None:
    slots, allowed = make_slots(), [True]
    body = Body()
    body.blocks = [b"x"] * 10
    blocks = iter(serve(slots, body, lambda: allowed[0], seconds=2))
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

    stream = Stream(make_slots().acquire("me"), ask, seconds=2)
    for _ in range(14):
        watch.now += 2
        stream.check()
    watch.now += 2
    with pytest.raises(AccessEnded):
        stream.check()
    stream.release()
