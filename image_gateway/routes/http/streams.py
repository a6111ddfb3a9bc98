"""Bodies being streamed: each has a slot, and ends when its reader may not read any more."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flask import Response, request

from image_gateway.errors import Overloaded, TryAgain
from image_gateway.observability.metrics import ACTIVE_STREAMS, STREAMS_REFUSED
from image_gateway.services.fair_slots import FairSlots, Slot

_log = logging.getLogger(__name__)
# How long bodies go on while the catalog cannot say whether their readers may still read.
CATALOG_OUTAGE_SECONDS = 30.0


def make_stream_slots(
    threads: int, most: int | None, most_per_reader: int | None, queue_seconds: float
) -> FairSlots:
    """The slots of a worker with so many threads.

    An eighth of the threads neither streams nor waits for that, so that everything else is answered. By
    default three quarters may stream, a quarter of these, or 8, for one reader.
    """
    room = threads - max(1, threads // 8)
    total = min(most or max(1, threads * 3 // 4), room)
    return FairSlots(
        total, per_holder=most_per_reader or max(8, total // 4), room=room, seconds=queue_seconds
    )


class AccessEnded(Exception):
    """Permission to read was taken back while the body was sent; the connection breaks."""


class Streams:
    """Lets bodies be sent: in slots, and asking every `recheck_seconds` whether the reader still may read."""

    def __init__(self, slots: FairSlots, recheck_seconds: float) -> None:
        self._slots = slots
        self._recheck_seconds = recheck_seconds

    def serve(self, reader: str, may_read: Callable[[], bool], answer: Callable[[], Response]) -> Response:
        """Answer within a slot, which the body keeps until it is closed; raises Overloaded before that."""
        slot = self._acquire(reader)
        try:
            response = answer()
            if response.response:
                guard = AccessGuard(may_read, self._recheck_seconds)
                response.response = _streamed(response.response, slot, guard)
            else:
                slot.release()
        except BaseException:
            slot.release()
            raise
        return response

    def _acquire(self, reader: str) -> _StreamSlot:
        try:
            slot = self._slots.acquire(reader)
        except Overloaded:
            STREAMS_REFUSED.inc()
            raise
        return _StreamSlot(slot)


class _StreamSlot:
    """A slot that is counted among the active streams while it is held."""

    __slots__ = ("_slot",)

    def __init__(self, slot: Slot) -> None:
        self._slot: Slot | None = slot
        ACTIVE_STREAMS.inc()

    def release(self) -> None:
        slot, self._slot = self._slot, None
        if slot is not None:
            ACTIVE_STREAMS.dec()
            slot.release()


class AccessGuard:
    """Asks now and then whether a body may go on; while the catalog is away, for at most half a minute."""

    __slots__ = ("_ask_at", "_confirmed", "_may_read", "_seconds")

    def __init__(self, may_read: Callable[[], bool], seconds: float) -> None:
        self._may_read = may_read
        self._seconds = seconds
        self._confirmed = time.monotonic()
        self._ask_at = self._confirmed + seconds

    def check(self) -> None:
        """Return when the body may go on; raises AccessEnded."""
        now = time.monotonic()
        if now < self._ask_at:
            return
        self._ask_at = now + self._seconds
        try:
            may_read = self._may_read()
        except TryAgain as error:
            if now - self._confirmed < CATALOG_OUTAGE_SECONDS:
                return
            raise AccessEnded("the catalog has not confirmed the permission for too long") from error
        if not may_read:
            raise AccessEnded("the permission to read was taken back")
        self._confirmed = now


class StreamedBody:
    """A body that releases its slot when it ends or is closed, also when it was never begun."""

    __slots__ = ("_blocks", "_body", "_guard", "_slot")

    def __init__(self, body: Iterable[bytes], slot: _StreamSlot, guard: AccessGuard) -> None:
        self._body = body
        self._blocks = iter(body)
        self._slot = slot
        self._guard = guard

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            self._guard.check()
            return next(self._blocks)
        except AccessEnded as reason:
            _log.warning("a body was broken off: %s", reason)
            self._slot.release()
            raise
        except BaseException:
            self._slot.release()
            raise

    def close(self) -> None:
        """Close the body, and release the slot whatever comes of that."""
        _close_and_release(getattr(self._body, "close", None), self._slot)


def _streamed(body: Any, slot: _StreamSlot, guard: AccessGuard) -> Any:
    """The body with its slot; one that the server sends by itself, which is short, stays what it is."""
    file_wrapper = request.environ.get("wsgi.file_wrapper")
    if file_wrapper is None or not isinstance(body, file_wrapper):
        return StreamedBody(body, slot, guard)
    close = getattr(body, "close", None)
    body.close = lambda: _close_and_release(close, slot)
    return body


def _close_and_release(close: Callable[[], object] | None, slot: _StreamSlot) -> None:
    try:
        if close is not None:
            close()
    finally:
        slot.release()
