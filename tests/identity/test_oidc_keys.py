"""When keys are fetched, by whom, and what the others do meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from image_gateway.errors import IdentityUnavailable
from image_gateway.identity.oidc_claims import KeysUnobtainable
from image_gateway.identity.oidc_keys import COOLDOWN_SECONDS, LIFETIME_SECONDS, KeyCache
from image_gateway.identity.oidc_signatures import KeySet

PATIENCE = 30


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Source:
    """Returns a new set at each call, or fails; holds the calls while `gate` is closed."""

    def __init__(self) -> None:
        self.calls = 0
        self.failing = False
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self) -> KeySet:
        self.calls += 1
        self.entered.set()
        assert self.gate.wait(PATIENCE)
        if self.failing:
            raise KeysUnobtainable("id.example.com answered 503")
        return KeySet(())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def cache(source: Source, clock: Clock) -> KeyCache:
    return KeyCache(source, clock)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def test_nothing_is_fetched_before_it_is_needed(cache: KeyCache, source: Source) -> None:
    assert source.calls == 0
    cache.get()
    assert source.calls == 1


def test_keys_are_fresh_for_their_lifetime(cache: KeyCache, source: Source, clock: Clock) -> None:
    first = cache.get()
    clock.now += LIFETIME_SECONDS - 1
    assert cache.get() is first
    clock.now += 1
    second = cache.get()
    assert second is not first
    assert cache.get() is second
    assert source.calls == 2


def test_old_keys_serve_without_limit_while_attempts_are_spaced(
    cache: KeyCache, source: Source, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    first = cache.get()
    source.failing = True
    clock.now += 1_000_000
    with caplog.at_level(logging.WARNING):
        for _ in range(4 * COOLDOWN_SECONDS):
            assert cache.get() is first
            clock.now += 1
    assert source.calls == 1 + 4
    assert (
        caplog.messages == ["fetching the identity provider's keys failed: id.example.com answered 503"] * 4
    )
    source.failing = False
    assert cache.get() is not first


@pytest.mark.parametrize("step", [-86_400, -1, 0, COOLDOWN_SECONDS])
def test_one_attempt_in_a_cooldown_when_there_never_were_keys(
    step: float, cache: KeyCache, source: Source, clock: Clock
) -> None:
    source.failing = True
    for _ in range(100):
        with pytest.raises(IdentityUnavailable, match="fetching the identity provider") as caught:
            cache.get()
        assert caught.value.headers == {"Retry-After": "2"}
    assert source.calls == 1
    clock.now += step
    source.failing = False
    if step == 0:
        with pytest.raises(IdentityUnavailable):
            cache.get()
    else:
        assert cache.get() == KeySet(())


def test_newer_keys_are_fetched_once_in_a_cooldown(cache: KeyCache, source: Source, clock: Clock) -> None:
    first = cache.get()
    assert cache.get_newer(first) is None
    clock.now += COOLDOWN_SECONDS
    second = cache.get_newer(first)
    assert second is not None
    assert second is not first
    assert cache.get_newer(first) is second
    assert cache.get_newer(second) is None
    assert source.calls == 2


def test_no_newer_keys_while_the_issuer_is_away(cache: KeyCache, source: Source, clock: Clock) -> None:
    first = cache.get()
    source.failing = True
    clock.now += COOLDOWN_SECONDS
    assert cache.get_newer(first) is None
    assert cache.get_newer(first) is None
    assert cache.get() is first
    assert source.calls == 2


def test_an_attempt_that_breaks_is_an_attempt(clock: Clock) -> None:
    calls = []

    def fetch() -> KeySet:
        calls.append(1)
        raise MemoryError

    cache = KeyCache(fetch, clock)
    with pytest.raises(MemoryError):
        cache.get()
    with pytest.raises(IdentityUnavailable):
        cache.get()
    assert calls == [1]


def test_all_wait_for_the_first_keys(cache: KeyCache, source: Source, pool: ThreadPoolExecutor) -> None:
    source.gate.clear()
    answers = [pool.submit(cache.get) for _ in range(16)]
    assert source.entered.wait(PATIENCE)
    source.gate.set()
    assert len({id(answer.result(PATIENCE)) for answer in answers}) == 1
    assert source.calls == 1


def test_all_fail_by_the_first_attempt(cache: KeyCache, source: Source, pool: ThreadPoolExecutor) -> None:
    source.failing = True
    source.gate.clear()
    answers = [pool.submit(cache.get) for _ in range(16)]
    assert source.entered.wait(PATIENCE)
    source.gate.set()
    assert all(isinstance(answer.exception(PATIENCE), IdentityUnavailable) for answer in answers)
    assert source.calls == 1


def test_the_first_keys_are_not_waited_for_without_limit(
    cache: KeyCache, source: Source, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_gateway.identity.oidc_keys.FIRST_WAIT_SECONDS", 0.01)
    source.gate.clear()
    first = pool.submit(cache.get)
    assert source.entered.wait(PATIENCE)
    with pytest.raises(IdentityUnavailable):
        cache.get()
    source.gate.set()
    assert first.result(PATIENCE) is cache.get()


@pytest.mark.parametrize(
    "ask", [KeyCache.get, lambda cache: cache.get_newer(cache.get())], ids=["get", "newer"]
)
def test_the_others_go_on_with_the_old_keys(
    ask: Callable[[KeyCache], KeySet | None],
    cache: KeyCache,
    source: Source,
    clock: Clock,
    pool: ThreadPoolExecutor,
) -> None:
    old = cache.get()
    clock.now += LIFETIME_SECONDS
    source.entered.clear()
    source.gate.clear()
    refreshing = pool.submit(ask, cache)
    assert source.entered.wait(PATIENCE)
    assert all(cache.get() is old for _ in range(100))
    assert all(cache.get_newer(old) is None for _ in range(100))
    source.gate.set()
    refreshing.result(PATIENCE)
    assert cache.get() is not old
    assert source.calls == 2


def test_sixteen_threads_with_unknown_keys_cause_one_fetch(
    cache: KeyCache, source: Source, clock: Clock, pool: ThreadPoolExecutor
) -> None:
    old = cache.get()
    clock.now += COOLDOWN_SECONDS
    list(pool.map(lambda _: cache.get_newer(old), range(1000)))
    assert source.calls == 2


def test_a_failed_first_attempt_is_repeated_though_nobody_asks(
    cache: KeyCache, source: Source, clock: Clock
) -> None:
    source.failing = True
    with pytest.raises(IdentityUnavailable):
        cache.get()
    for calls in (2, 3):
        source.entered.clear()
        source.failing = calls == 2
        # The cooldown begins when the attempt has ended, not when it has entered the source.
        with cache._changed:
            assert cache._changed.wait_for(cache._in_cooldown, PATIENCE)
        clock.now += COOLDOWN_SECONDS
        assert source.entered.wait(PATIENCE)
    assert cache._retry_thread is not None
    cache._retry_thread.join(PATIENCE)
    assert not cache._retry_thread.is_alive()
    assert cache.get() == KeySet(())
    assert source.calls == 3


def test_nobody_waits_for_an_attempt_soon_after_a_failure(
    cache: KeyCache, source: Source, pool: ThreadPoolExecutor
) -> None:
    source.failing = True
    before = set(threading.enumerate())
    with pytest.raises(IdentityUnavailable):
        cache.get()
    source.gate.clear()
    answers = [pool.submit(cache.get) for _ in range(200)]
    assert all(isinstance(answer.exception(PATIENCE), IdentityUnavailable) for answer in answers)
    assert source.calls == 1
    retrying = [thread for thread in threading.enumerate() if thread.name == "oidc-keys"]
    assert [thread for thread in retrying if thread not in before] == [cache._retry_thread]
    assert all(thread.daemon for thread in retrying)


def test_an_attempt_in_the_background_is_not_waited_for_long(
    cache: KeyCache, source: Source, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_gateway.identity.oidc_keys.RETRY_WAIT_SECONDS", 0.01)
    source.failing = True
    with pytest.raises(IdentityUnavailable):
        cache.get()
    source.failing = False
    source.gate.clear()
    source.entered.clear()
    clock.now += COOLDOWN_SECONDS
    assert source.entered.wait(PATIENCE)
    for _ in range(10):
        with pytest.raises(IdentityUnavailable):
            cache.get()
    assert source.calls == 2
    source.gate.set()
    assert cache._retry_thread is not None
    cache._retry_thread.join(PATIENCE)
    assert cache.get() == KeySet(())
