"""Slots: a bounded number at once, a bounded queue, and nobody takes all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from image_gateway.errors import Overloaded
from image_gateway.services.slots import FairSlots, Slot
from tests.support.fake_store import wait_for

PATIENCE = 20.0


class Queue:
    """Requests that wait for slots in threads of their own, in the order in which they came."""

    def __init__(self, slots: FairSlots, pool: ThreadPoolExecutor) -> None:
        self._slots, self._pool = slots, pool

    def join(self, holder: str) -> Future[Slot]:
        """Begin to wait; returns when the slots know of it."""
        before = self._count(holder)
        future = self._pool.submit(self._slots.acquire, holder)
        wait_for(lambda: self._count(holder) > before or future.done())
        return future

    def _count(self, holder: str) -> int:
        return sum(waiter.holder == holder for waiter in list(self._slots._waiting))


@pytest.fixture
def queue() -> Callable[[FairSlots], Queue]:
    pool = ThreadPoolExecutor(32)
    yield lambda slots: Queue(slots, pool)
    pool.shutdown()


def make(
    total: int, *, per_holder: int | None = None, room: int = 100, seconds: float = PATIENCE
) -> FairSlots:
    return FairSlots(total, per_holder=per_holder or total, room=room, seconds=seconds)


def test_no_more_than_there_are() -> None:
    slots = make(2, seconds=0)
    first, _ = slots.acquire("me"), slots.acquire("you")
    with pytest.raises(Overloaded) as refused:
        slots.acquire("them")
    assert (refused.value.status, refused.value.code) == (503, "OVERLOADED")
    assert refused.value.headers == {"Retry-After": "1"}
    first.release()
    first.release()
    slots.acquire("them")
    with pytest.raises(Overloaded):
        slots.acquire("me")


def test_one_holder_leaves_some_for_the_others() -> None:
    slots = make(8, per_holder=2, seconds=0)
    held = [slots.acquire("slow"), slots.acquire("slow")]
    with pytest.raises(Overloaded):
        slots.acquire("slow")
    for name in "abcdef":
        slots.acquire(name)
    held[0].release()
    slots.acquire("slow")


def test_who_waits_gets_the_slot_that_becomes_free(queue: Callable[[FairSlots], Queue]) -> None:
    slots = make(1)
    with slots.acquire("me"):
        waiting = queue(slots).join("you")
        assert not waiting.done()
    waiting.result(PATIENCE).release()
    slots.acquire("me").release()


def test_slots_go_in_order_and_in_turn_between_holders(queue: Callable[[FairSlots], Queue]) -> None:
    slots = make(2)
    held = [slots.acquire("greedy"), slots.acquire("greedy")]
    line = queue(slots)
    greedy = [line.join("greedy") for _ in range(3)]
    modest = line.join("modest")
    held[0].release()
    # Later in the line, but without any slot.
    slot = modest.result(PATIENCE)
    assert not any(future.done() for future in greedy)
    slot.release()
    greedy[0].result(PATIENCE)
    assert not greedy[1].done()
    held[1].release()
    greedy[1].result(PATIENCE).release()
    greedy[2].result(PATIENCE)


def test_a_full_queue_refuses_at_once(queue: Callable[[FairSlots], Queue]) -> None:
    slots = make(1, room=3)
    held = slots.acquire("a")
    line = queue(slots)
    waiting = [line.join("b"), line.join("c")]
    with pytest.raises(Overloaded):
        slots.acquire("d")
    held.release()
    for future in waiting:
        future.result(PATIENCE).release()


def test_a_full_queue_of_one_holder_makes_room_for_another(queue: Callable[[FairSlots], Queue]) -> None:
    slots = make(1, room=5)
    held = slots.acquire("hog")
    line = queue(slots)
    hog = [line.join("hog") for _ in range(4)]
    other = line.join("other")
    with pytest.raises(Overloaded):
        hog[3].result(PATIENCE)
    held.release()
    for future in [*hog[:3], other]:
        future.result(PATIENCE).release()


def test_who_waited_in_vain_leaves_the_queue() -> None:
    slots = make(1, seconds=0.01)
    held = slots.acquire("me")
    for _ in range(3):
        with pytest.raises(Overloaded):
            slots.acquire("you")
    held.release()
    slots.acquire("you").release()
    assert (slots._free, slots._waiting, dict(slots._held)) == (1, [], {})


def test_never_more_than_the_bounds_under_a_storm() -> None:
    slots = make(4, per_holder=2, room=64)
    lock, now, peak = threading.Lock(), {"all": 0}, {"all": 0}

    def work(number: int) -> None:
        holder = f"holder-{number % 5}"
        for _ in range(50):
            with slots.acquire(holder):
                with lock:
                    for name in ("all", holder):
                        now[name] = now.get(name, 0) + 1
                        peak[name] = max(peak.get(name, 0), now[name])
                with lock:
                    for name in ("all", holder):
                        now[name] -= 1

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(work, range(20)))
    assert peak["all"] <= 4
    assert max(count for name, count in peak.items() if name != "all") <= 2
    assert (slots._free, slots._waiting, dict(slots._held)) == (4, [], {})
