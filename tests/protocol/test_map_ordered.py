"""Parallel work whose results come in order, bounded, and stopped by the first error."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from image_gateway.protocol.map_ordered import map_ordered

PATIENCE = 30


class Meter:
    """Work that counts how often it is begun and how many are under way at once."""

    def __init__(self, work: Callable[[int], int]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._under_way = 0
        self.most = 0
        self.begun: list[int] = []
        self.ended: list[int] = []

    def __call__(self, index: int) -> int:
        with self._lock:
            self.begun.append(index)
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        try:
            return self._work(index)
        finally:
            with self._lock:
                self._under_way -= 1
                self.ended.append(index)


def threads_of_in_order() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("in-order")]


@pytest.mark.parametrize("parallel", [1, 2, 7, 50])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 40])
def test_results_come_in_order(count: int, parallel: int) -> None:
    assert list(map_ordered(lambda index: index * index, count, parallel)) == [n * n for n in range(count)]


def test_a_slow_first_item_does_not_lose_its_place() -> None:
    second_done = threading.Event()

    def work(index: int) -> int:
        if index == 0:
            assert second_done.wait(PATIENCE)
        elif index == 1:
            second_done.set()
        return index

    assert list(map_ordered(work, 6, 2)) == list(range(6))


@pytest.mark.parametrize("parallel", [1, 2, 5])
def test_as_many_as_allowed_are_under_way_and_no_more(parallel: int) -> None:
    meeting = threading.Barrier(parallel)

    def meet(index: int) -> int:
        meeting.wait(PATIENCE)
        return index

    meter = Meter(meet)
    assert list(map_ordered(meter, parallel * 6, parallel)) == list(range(parallel * 6))
    assert meter.most == parallel


def test_nothing_runs_further_ahead_than_allowed() -> None:
    meter = Meter(lambda index: index)
    results = map_ordered(meter, 100, 4)
    for wanted in range(50):
        assert next(results) == wanted
        assert max(meter.begun) <= wanted + 4
    results.close()
    assert len(meter.begun) <= 54


@pytest.mark.parametrize("parallel", [1, 3])
@pytest.mark.parametrize("failing", [0, 1, 5])
def test_the_first_error_comes_out_and_ends_the_work(failing: int, parallel: int) -> None:
    def fail_at(index: int) -> int:
        if index == failing:
            raise KeyError(index)
        return index

    meter = Meter(fail_at)
    seen: list[int] = []
    with pytest.raises(KeyError, match=str(failing)):
        seen.extend(map_ordered(meter, 1000, parallel))
    assert max(meter.begun) < failing + parallel
    assert threads_of_in_order() == []


def test_results_before_the_error_are_handed_out() -> None:
    def fail_at_two(index: int) -> int:
        if index == 2:
            raise ValueError("two")
        return index

    results = map_ordered(fail_at_two, 10, 4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)


def test_the_earlier_error_comes_out_though_a_later_one_happened_first() -> None:
    later_failed = threading.Event()

    def work(index: int) -> int:
        if index == 1:
            later_failed.set()
        else:
            assert later_failed.wait(PATIENCE)
        raise ValueError(f"item {index}")

    with pytest.raises(ValueError, match="item 0"):
        list(map_ordered(work, 2, 2))


def test_what_is_under_way_is_waited_for() -> None:
    neighbour_begun, failed = threading.Event(), threading.Event()

    def work(index: int) -> int:
        if index == 0:
            assert neighbour_begun.wait(PATIENCE)
            failed.set()
            raise ValueError("first")
        neighbour_begun.set()
        assert failed.wait(PATIENCE)
        return index

    meter = Meter(work)
    with pytest.raises(ValueError, match="first"):
        list(map_ordered(meter, 2, 2))
    assert sorted(meter.ended) == [0, 1]


def test_a_reader_that_leaves_ends_the_work() -> None:
    meter = Meter(lambda index: index)
    results = map_ordered(meter, 1000, 3)
    assert next(results) == 0
    results.close()
    assert len(meter.begun) <= 4
    assert threads_of_in_order() == []


def test_nothing_begins_before_it_is_asked_for() -> None:
    meter = Meter(lambda index: index)
    map_ordered(meter, 10, 2).close()
    assert meter.begun == []
