"""A bounded number of things at once, and a bounded queue for a slot that is fair between those who wait."""

from __future__ import annotations

import threading
from collections import Counter

from image_gateway.errors import Overloaded


class FairSlots:
    """Gives out at most `total` slots at once, at most `per_holder` of them to one holder.

    Who finds none free waits for up to `seconds`. At most `room` requests have a slot or wait for one; each
    of them blocks a thread. A free slot goes to the holder with the fewest, among equals to who came first.
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
        raise Overloaded("the gateway serves as many requests of this kind as it can; try again")

    def release(self, holder: str) -> None:
        """Take a slot back; called by the slot, once."""
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
        """Let a request wait; in a full room it takes the place of one whose holder waits for more."""
        if self._held.total() + len(self._waiting) >= self._room:
            waiting = Counter(other.holder for other in self._waiting)
            largest, count = waiting.most_common(1)[0] if waiting else ("", 0)
            if count <= waiting[waiter.holder] + 1:
                raise Overloaded("too many requests wait for a free slot; try again")
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
    """The right to do one of the things that are bounded; released once, also by a `with` block."""

    __slots__ = ("_holder", "_slots")

    def __init__(self, slots: FairSlots, holder: str) -> None:
        self._slots: FairSlots | None = slots
        self._holder = holder

    def release(self) -> None:
        """Make room for another; may be called again."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.release(self._holder)

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
