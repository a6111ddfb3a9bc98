"""Slots limit concurrency: they are shared fairly, and a stream occupies one until it ends."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from image_gateway.errors import Overloaded, TryAgain
from image_gateway.observability.metrics import ACTIVE_STREAMS, STREAMS_REFUSED

_log = logging.getLogger(__name__)
# How long a stream continues while the catalog is unavailable to recheck its reader's permission.
CATALOG_OUTAGE_SECONDS = 30.0


class FairSlots:
    """At most `total` concurrent slots, at most `per_holder` of them for one holder.

    If no slot is free, a request waits for up to `seconds`. At most `room` requests have a slot or wait for
    one; each of them blocks a thread. A free slot goes to the holder with the fewest slots, first come first
    served among equals.
    """

    def __init__(self, total: int, *, per_holder: int, room: int, seconds: float) -> None:
        self._free = total
        self._per_holder = per_holder
        self._room = max(room, total)
        self._seconds = seconds
        self._held: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []
        self._lock = threading.Lock()

    def acquire(self, holder: str) -> Slot:
        """Return a slot, which must be released; raises Overloaded when none became free in time."""
        with self._lock:
            if self._may_have(holder):
                self._give(holder)
                return Slot(self, holder)
            waiter = _Waiter(holder)
            self._enqueue(waiter)
        waiter.decided.wait(self._seconds)
        with self._lock:
            if waiter.granted:
                return Slot(self, holder)
            if waiter in self._waiting:
                self._waiting.remove(waiter)
        raise Overloaded("too many concurrent requests of this kind; try again")

    def release(self, holder: str) -> None:
        """Return a slot to the pool; called by the slot, once."""
        with self._lock:
            self._free += 1
            self._held[holder] -= 1
            if not self._held[holder]:
                del self._held[holder]
            while (chosen := self._next_waiter()) is not None:
                self._waiting.remove(chosen)
                self._give(chosen.holder)
                chosen.granted = True
                chosen.decided.set()

    def _may_have(self, holder: str) -> bool:
        return self._free > 0 and self._held[holder] < self._per_holder

    def _give(self, holder: str) -> None:
        self._free -= 1
        self._held[holder] += 1

    def _next_waiter(self) -> _Waiter | None:
        allowed = [waiter for waiter in self._waiting if self._may_have(waiter.holder)]
        return min(allowed, key=lambda waiter: self._held[waiter.holder], default=None)

    def _enqueue(self, waiter: _Waiter) -> None:
        """Queue a request; if the queue is full, it replaces one of the holder with the most in it."""
        if self._held.total() + len(self._waiting) >= self._room:
            waiting = Counter(other.holder for other in self._waiting)
            largest, count = waiting.most_common(1)[0] if waiting else ("", 0)
            if count <= waiting[waiter.holder] + 1:
                raise Overloaded("too many requests are queued; try again")
            refused = next(other for other in reversed(self._waiting) if other.holder == largest)
            self._waiting.remove(refused)
            refused.decided.set()
        self._waiting.append(waiter)


class _Waiter:
    """A request that waits for a slot of its holder."""

    __slots__ = ("decided", "granted", "holder")

    def __init__(self, holder: str) -> None:
        self.holder = holder
        self.granted = False
        self.decided = threading.Event()


class Slot:
    """A slot; released once, also by a `with` block."""

    __slots__ = ("_holder", "_slots")

    def __init__(self, slots: FairSlots, holder: str) -> None:
        self._slots: FairSlots | None = slots
        self._holder = holder

    def release(self) -> None:
        """Release the slot; may be called again."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.release(self._holder)

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def make_stream_slots(
    threads: int, most: int | None, most_per_reader: int | None, queue_seconds: float
) -> FairSlots:
    """Return the slots of a worker with this many threads.

    An eighth of the threads is kept free of streams and of requests that wait for a slot, for other requests.

    Args:
        threads: Threads of the worker.
        most: Maximum of concurrent streams; by default three quarters of the threads.
        most_per_reader: The same for one reader; by default a quarter of `most`, at least 8.
        queue_seconds: How long a request waits for a slot.
    """
    room = threads - max(1, threads // 8)
    total = min(most or max(1, threads * 3 // 4), room)
    return FairSlots(
        total, per_holder=most_per_reader or max(8, total // 4), room=room, seconds=queue_seconds
    )


def make_compression_slots(threads: int, queue_seconds: float) -> FairSlots:
    """Return the slots of a worker with this many threads for compressing: an eighth of them, at least 2.

    Half of the slots are for one reader at most. Up to 64 MiB are in memory for each.
    """
    total = max(2, threads // 8)
    return FairSlots(total, per_holder=total // 2, room=max(total, threads // 2), seconds=queue_seconds)


class AccessEnded(Exception):
    """The permission to read was revoked while the body was sent; the connection is closed."""


class Streams:
    """Starts streams, which check every `recheck_seconds` whether their reader may still read."""

    def __init__(self, slots: FairSlots, recheck_seconds: float) -> None:
        self._slots = slots
        self._recheck_seconds = recheck_seconds

    def start(self, reader: str, may_read: Callable[[], bool]) -> Stream:
        """Return a stream with a slot, which must be released; raises Overloaded when none became free."""
        try:
            slot = self._slots.acquire(reader)
        except Overloaded:
            STREAMS_REFUSED.inc()
            raise
        return Stream(slot, may_read, self._recheck_seconds)


class Stream:
    """A body being sent: it occupies a slot, and ends when its reader's permission was revoked."""

    __slots__ = ("_check_at", "_confirmed_at", "_may_read", "_seconds", "_slot")

    def __init__(self, slot: Slot, may_read: Callable[[], bool], seconds: float) -> None:
        self._slot: Slot | None = slot
        self._may_read = may_read
        self._seconds = seconds
        self._confirmed_at = time.monotonic()
        self._check_at = self._confirmed_at + seconds
        ACTIVE_STREAMS.inc()

    def check(self) -> None:
        """Raise AccessEnded when the reader's permission was revoked; called before each block."""
        now = time.monotonic()
        if now < self._check_at:
            return
        self._check_at = now + self._seconds
        try:
            may_read = self._may_read()
        except TryAgain as error:
            if now - self._confirmed_at < CATALOG_OUTAGE_SECONDS:
                return
            raise self._end("the catalog did not respond in time to recheck the permission") from error
        if not may_read:
            raise self._end("the permission to read was revoked")
        self._confirmed_at = now

    def release(self) -> None:
        """Release the slot; may be called again."""
        slot, self._slot = self._slot, None
        if slot is not None:
            ACTIVE_STREAMS.dec()
            slot.release()

    def _end(self, reason: str) -> AccessEnded:
        _log.warning("closing a connection: %s", reason)
        return AccessEnded(reason)
