"""How many bodies a worker sends at once: fewer than it has threads, so that everything else is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from threading import Lock
from typing import Any

from flask import Response, request

from image_gateway.errors import Overloaded
from image_gateway.metrics.instruments import ACTIVE_STREAMS, STREAMS_REFUSED


class StreamSlots:
    """At most `max_streams` bodies in this process, `max_per_user` of them for whoever asks."""

    def __init__(self, max_streams: int, max_per_user: int | None = None) -> None:
        self._free = max_streams
        self._max_per_user = max_per_user
        self._held: dict[str, int] = {}
        self._lock = Lock()

    def take(self, who: str) -> Slot:
        """A slot, to be released when the body is closed; raises Overloaded."""
        with self._lock:
            held = self._held.get(who, 0)
            if self._max_per_user is not None and held >= self._max_per_user:
                STREAMS_REFUSED.inc()
                raise Overloaded(f"you are streaming {held} bodies, which is as many as you may")
            if self._free <= 0:
                STREAMS_REFUSED.inc()
                raise Overloaded("the gateway streams as many bodies as it can")
            self._free -= 1
            self._held[who] = held + 1
        ACTIVE_STREAMS.inc()
        return Slot(self, who)

    def serve(self, who: str, answer: Callable[[], Response]) -> Response:
        """Answer within a slot, which the body keeps until it is closed; raises Overloaded before that."""
        slot = self.take(who)
        try:
            response = answer()
            if response.response:
                response.response = release_when_closed(response.response, slot)
            else:
                slot.release()
        except BaseException:
            slot.release()
            raise
        return response

    def give_back(self, who: str) -> None:
        """Called by a slot, once."""
        with self._lock:
            self._free += 1
            self._held[who] -= 1
            if not self._held[who]:
                del self._held[who]
        ACTIVE_STREAMS.dec()


class Slot:
    """The right to send one body."""

    __slots__ = ("_slots", "_who")

    def __init__(self, slots: StreamSlots, who: str) -> None:
        self._slots: StreamSlots | None = slots
        self._who = who

    def release(self) -> None:
        """Make room for another body; may be called again."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.give_back(self._who)


class SlottedBody:
    """A body that releases its slot when it ends or is closed, also when it was never begun."""

    __slots__ = ("_blocks", "_body", "_slot")

    def __init__(self, body: Iterable[bytes], slot: Slot) -> None:
        self._body = body
        self._blocks = iter(body)
        self._slot = slot

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._blocks)
        except BaseException:
            self._slot.release()
            raise

    def close(self) -> None:
        """Close the body, and release the slot whatever comes of that."""
        _close_and_release(getattr(self._body, "close", None), self._slot)


def release_when_closed(body: Any, slot: Slot) -> Any:
    """The body, which keeps the slot until closed; one that the server sends by itself stays what it is."""
    file_wrapper = request.environ.get("wsgi.file_wrapper")
    if file_wrapper is None or not isinstance(body, file_wrapper):
        return SlottedBody(body, slot)
    body.close = partial(_close_and_release, getattr(body, "close", None), slot)
    return body


def _close_and_release(close: Callable[[], object] | None, slot: Slot) -> None:
    try:
        if close is not None:
            close()
    finally:
        slot.release()
