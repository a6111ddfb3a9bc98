"""Probes share one check at a time, and none waits longer than the bound."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from image_gateway.errors import CatalogUnavailable, StoreUnavailable, TryAgain
from image_gateway.services.readiness import Dependency, Readiness

PROBES = 20


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Answering:
    """A dependency that answers, hangs or fails as the test says, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.begun = threading.Event()
        self.answers = threading.Event()
        self.answers.set()
        self.threads: set[int] = set()

    def hang(self) -> None:
        self.begun.clear()
        self.answers.clear()

    def check(self) -> None:
        self.asked += 1
        self.threads.add(threading.get_ident())
        self.begun.set()
        self.answers.wait()
        if self.error is not None:
            raise self.error


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database() -> Answering:
    return Answering()


@pytest.fixture
def store() -> Iterator[Answering]:
    store = Answering()
    yield store
    store.answers.set()


@pytest.fixture
def make(database: Answering, store: Answering, clock: Clock) -> Callable[[float], Readiness]:
    def make_readiness(seconds: float) -> Readiness:
        dependencies = [
            Dependency("the database", database.check, CatalogUnavailable),
            Dependency("the store", store.check, StoreUnavailable),
        ]
        return Readiness(dependencies, seconds=seconds, clock=clock)

    return make_readiness


def outcome(readiness: Readiness) -> type[Exception] | None:
    try:
        readiness.require()
    except (TryAgain, LookupError, TimeoutError) as error:
        return type(error)
    return None


def end_check(answering: Answering, readiness: Readiness) -> None:
    """Let the hung check end, and wait until its thread has noted it."""
    answering.answers.set()
    attempt = readiness._attempt
    assert attempt is not None
    attempt.outcome.exception(timeout=30)


def test_nothing_is_asked_before_the_first_probe(
    make: Callable[[float], Readiness], store: Answering
) -> None:
    readiness = make(30)
    assert store.asked == 0
    assert outcome(readiness) is None
    assert store.threads.isdisjoint({threading.get_ident()})


def test_an_outcome_is_remembered_for_one_second(
    make: Callable[[float], Readiness], store: Answering, clock: Clock
) -> None:
    readiness = make(30)
    assert [outcome(readiness) for _ in range(PROBES)] == [None] * PROBES
    assert store.asked == 1
    store.error = StoreUnavailable("down")
    clock.now += 0.99
    assert outcome(readiness) is None
    clock.now += 0.01
    assert [outcome(readiness) for _ in range(PROBES)] == [StoreUnavailable] * PROBES
    assert store.asked == 2
    store.error = None
    clock.now += 1
    assert outcome(readiness) is None


def test_probes_that_arrive_meanwhile_share_the_check(
    make: Callable[[float], Readiness], store: Answering
) -> None:
    readiness = make(30)
    store.hang()
    with ThreadPoolExecutor(PROBES) as pool:
        probes = [pool.submit(outcome, readiness) for _ in range(PROBES)]
        store.begun.wait()
        store.answers.set()
        assert [probe.result(timeout=30) for probe in probes] == [None] * PROBES
    assert store.asked == 1


@pytest.mark.parametrize("which", ["database", "store"])
def test_a_hung_check_names_who_did_not_answer(
    make: Callable[[float], Readiness], database: Answering, store: Answering, which: str
) -> None:
    hung, error = {"database": (database, CatalogUnavailable), "store": (store, StoreUnavailable)}[which]
    hung.hang()
    readiness = make(0.2)
    with pytest.raises(error, match=f"the {which} did not answer within 0.2 seconds"):
        readiness.require()
    end_check(hung, readiness)


def test_probes_do_not_wait_behind_a_hung_check_and_start_no_second_one(
    make: Callable[[float], Readiness], store: Answering, clock: Clock
) -> None:
    readiness = make(30)
    store.hang()
    waiting = ThreadPoolExecutor(1)
    first = waiting.submit(outcome, readiness)
    store.begun.wait()
    clock.now += 30
    # Each would wait 30 seconds, and the test runs out of time, if one were to wait at all.
    assert [outcome(readiness) for _ in range(PROBES)] == [StoreUnavailable] * PROBES
    clock.now += 3600
    assert [outcome(readiness) for _ in range(PROBES)] == [StoreUnavailable] * PROBES
    assert store.asked == 1
    end_check(store, readiness)
    # None, unless the clock went on before it began to wait.
    assert first.result(timeout=30) in (None, StoreUnavailable)
    assert outcome(readiness) is None
    waiting.shutdown()
    clock.now += 1
    assert outcome(readiness) is None
    assert store.asked == 2


@pytest.mark.parametrize("error", [KeyError("a bug"), TimeoutError("of its own")], ids=repr)
def test_a_surprise_of_a_check_reaches_the_probe(
    make: Callable[[float], Readiness], store: Answering, error: Exception
) -> None:
    store.error = error
    readiness = make(30)
    assert [outcome(readiness) for _ in range(2)] == [type(error)] * 2
    assert store.asked == 1
