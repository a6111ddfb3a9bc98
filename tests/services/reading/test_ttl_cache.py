"""The TTL cache: entries end in time, leave memory, and are few."""

from __future__ import annotations

import gc
import math
import threading
import weakref

import pytest

from image_gateway.services.reading import access as ttl_cache_module
from image_gateway.services.reading.access import MAX_ENTRIES, TtlCache
from tests.services.reading.conftest import REMEMBER
from tests.support.clock import Clock


def test_kept_for_its_time(clock: Clock) -> None:
    cache: TtlCache[str, int] = TtlCache(REMEMBER, clock)
    assert cache.get("a") is None
    assert cache.put("a", 1) == 1
    clock.now += REMEMBER - 0.001
    assert cache.get("a") == 1
    clock.now += 0.001
    assert cache.get("a") is None


def test_being_asked_for_does_not_prolong(clock: Clock) -> None:
    cache: TtlCache[str, int] = TtlCache(REMEMBER, clock)
    cache.put("a", 1)
    for _ in range(REMEMBER):
        assert cache.get("a") == 1
        clock.now += 1
    assert cache.get("a") is None


@pytest.mark.parametrize(("at_most", "kept_for"), [(math.inf, 5), (2, 2), (5, 5), (100, 5), (0, 0), (-3, 0)])
def test_an_entry_may_end_earlier(clock: Clock, at_most: float, kept_for: float) -> None:
    cache: TtlCache[str, int] = TtlCache(REMEMBER, clock)
    begun = clock.now
    cache.put("a", 1, at_most=at_most)
    for passed in range(7):
        clock.now = begun + passed
        assert (cache.get("a") is not None) == (passed < kept_for)


def test_no_seconds_keep_nothing(clock: Clock) -> None:
    cache: TtlCache[str, int] = TtlCache(0, clock)
    assert cache.put("a", 1) == 1
    assert cache.get("a") is None


def test_a_value_that_has_ended_replaces_one_that_has_not(clock: Clock) -> None:
    cache: TtlCache[str, int] = TtlCache(REMEMBER, clock)
    cache.put("a", 1)
    cache.put("a", 2, at_most=0)
    assert cache.get("a") is None


class Value:
    """Something that can be watched."""


def kept_after_expiry(clock: Clock, seconds: float) -> int:
    """How many of a thousand expired values are still in memory when one more was put."""
    cache: TtlCache[int, Value] = TtlCache(seconds, clock)
    watched = [weakref.ref(cache.put(number, Value())) for number in range(1000)]
    clock.now += seconds
    cache.put(-1, Value())
    gc.collect()
    return sum(value() is not None for value in watched)


@pytest.mark.parametrize("seconds", [REMEMBER, 0])
def test_expired_values_do_not_stay_in_memory(clock: Clock, seconds: float) -> None:
    assert kept_after_expiry(clock, seconds) == 0


def test_few_entries_least_recently_used_out_first(clock: Clock) -> None:
    cache: TtlCache[int, int] = TtlCache(REMEMBER, clock)
    for number in range(MAX_ENTRIES):
        cache.put(number, number)
    cache.put(0, -1)
    assert cache.get(1) == 1
    for number in range(MAX_ENTRIES, MAX_ENTRIES + 10):
        cache.put(number, number)
    assert len(cache) == MAX_ENTRIES
    assert [cache.get(number) for number in (0, 1, 2, 11, 12)] == [-1, 1, None, None, 12]


def test_many_threads(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ttl_cache_module, "MAX_ENTRIES", 16)
    cache: TtlCache[int, int] = TtlCache(REMEMBER, clock)
    wrong: list[object] = []

    def use() -> None:
        for number in range(4000):
            cache.put(number % 40, number % 40)
            found = cache.get((number * 7) % 40)
            if found not in (None, (number * 7) % 40):
                wrong.append(found)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (wrong, len(cache)) == ([], 16)
