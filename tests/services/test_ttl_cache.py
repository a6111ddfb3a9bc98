"""The TTL cache and its users: no catalog call within an entry's time, and nothing of it afterwards."""

from __future__ import annotations

import gc
import logging
import math
import threading
import weakref
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.callers import NOBODY, Caller
from image_gateway.domain.images import Visibility
from image_gateway.domain.leases import Lease, Scope
from image_gateway.domain.shares import Permission, Share
from image_gateway.errors import (
    Forbidden,
    GatewayError,
    InvalidState,
    LeaseExpired,
    LeaseRevoked,
    NotFound,
    Unauthenticated,
)
from image_gateway.identity.lease_tokens import LeaseKey, LeaseTokens
from image_gateway.services.leases import READ_ONLY, IssuedLease, LeaseRules, Leases
from image_gateway.services.reading import access as ttl_cache_module
from image_gateway.services.reading.access import MAX_ENTRIES, Access, TtlCache
from tests.support.clock import Clock
from tests.support.records import DISK, FREE, IMAGE_ID, NOW, make_record

REMEMBER = 5
TTL, MOST, SESSION, GRACE = 60, 120, 600, 30
ALICE, ROOT, MALLORY = Caller("alice"), Caller("root", admin=True), Caller("mallory")
OTHER_ID = "00000000-0000-4000-8000-000000000002"


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = NOW.timestamp()
    return clock


class Scene:
    """The image of alice, which rick may read, behind services that remember; counts the catalog's calls."""

    def __init__(self, database_url: str, clock: Clock, remember: float, timer: Clock | None = None) -> None:
        self.engine = open_engine(database_url)
        self.catalog, self.clock, self.timer = Catalog(self.engine), clock, timer or clock
        self.access, self.leases = self.make_services(remember)
        for image_id in (IMAGE_ID, OTHER_ID):
            self.catalog.add(make_record(image_id), FREE)
            self.catalog.complete(image_id, "u1", DISK, NOW)
        self.catalog.shares.share(Share(IMAGE_ID, "rick", Permission.READ, NOW))
        self.calls = 0
        event.listen(self.engine, "checkout", self._count)

    def make_services(self, remember: float) -> tuple[Access, Leases]:
        """What another worker has: the same catalog, another memory."""
        access = Access(
            self.catalog,
            self.catalog.shares,
            hide_foreign=False,
            remember=remember,
            clock=self.clock,
            timer=self.timer,
        )
        rules = LeaseRules(ttl=TTL, max_ttl=MOST, session=SESSION, grace=GRACE, remember=remember)
        tokens = LeaseTokens([LeaseKey("k1", "1" * 40)])
        return access, Leases(self.catalog.leases, access, tokens, rules, self.clock, self.timer)

    def _count(self, *_: Any) -> None:
        self.calls += 1

    def calls_of(self, act: Callable[[], object]) -> int:
        """How many calls of the catalog an act makes: each takes one connection."""
        before = self.calls
        act()
        return self.calls - before

    def read(self, caller: Caller = ALICE) -> None:
        record, disk = self.access.find_for_reading(IMAGE_ID, caller)
        assert (record.image_id, disk) == (IMAGE_ID, DISK)

    def read_by(self, token: str) -> None:
        """As a route reads by a lease."""
        self.read(Caller(lease=self.leases.admit(token)))

    def lease(self, caller: Caller = ALICE, scopes: Collection[Scope] = READ_ONLY) -> IssuedLease:
        return self.leases.make(IMAGE_ID, caller, scopes, None)

    def show(self, visibility: Visibility) -> None:
        assert self.catalog.describe(IMAGE_ID, name=None, visibility=visibility, revision=None, now=NOW)


@pytest.fixture
def scene(database_url: str, clock: Clock) -> Iterator[Scene]:
    made = Scene(database_url, clock, REMEMBER)
    yield made
    made.engine.dispose()


# The cache


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


# Images


@pytest.mark.parametrize("user", ["alice", "rick"])
def test_whoever_read_a_moment_ago_goes_on_without_the_catalog(scene: Scene, user: str) -> None:
    caller = Caller(user)
    assert scene.calls_of(lambda: scene.read(caller)) >= 1
    for passed in range(REMEMBER):
        scene.clock.now = NOW.timestamp() + passed
        assert scene.calls_of(lambda: scene.read(caller)) == 0
    scene.clock.now = NOW.timestamp() + REMEMBER
    assert scene.calls_of(lambda: scene.read(caller)) >= 1


def test_anyone_of_a_public_image_goes_on_without_the_catalog(scene: Scene) -> None:
    scene.show(Visibility.PUBLIC)
    scene.read(NOBODY)
    assert scene.calls_of(lambda: scene.read(NOBODY)) == 0


def test_what_one_may_read_another_may_not(scene: Scene) -> None:
    scene.read(ALICE)
    with pytest.raises(Forbidden):
        scene.read(MALLORY)
    with pytest.raises(Unauthenticated):
        scene.read(NOBODY)
    with pytest.raises(Forbidden):
        scene.access.find_for_reading(OTHER_ID, Caller("rick"))


def delete(scene: Scene) -> None:
    assert scene.catalog.delete(IMAGE_ID, NOW)


def unshare(scene: Scene) -> None:
    assert scene.catalog.shares.unshare(IMAGE_ID, "rick")


def hide(scene: Scene) -> None:
    scene.show(Visibility.PRIVATE)


CHANGES = [
    (ALICE, delete, NotFound),
    (Caller("rick"), delete, NotFound),
    (Caller("rick"), unshare, Forbidden),
    (Caller("rick"), hide, Forbidden),
]


@pytest.mark.parametrize(("caller", "change", "refusal"), CHANGES)
def test_a_change_is_noticed_when_the_time_is_over(
    scene: Scene, caller: Caller, change: Callable[[Scene], None], refusal: type[GatewayError]
) -> None:
    scene.read(caller)
    change(scene)
    scene.clock.now += REMEMBER - 0.001
    scene.read(caller)
    scene.clock.now += 0.001
    with pytest.raises(refusal):
        scene.read(caller)


def test_refusals_are_not_remembered(scene: Scene) -> None:
    with pytest.raises(Forbidden):
        scene.read(MALLORY)
    scene.catalog.shares.share(Share(IMAGE_ID, "mallory", Permission.READ, NOW))
    scene.read(MALLORY)
    unfinished = "00000000-0000-4000-8000-000000000003"
    scene.catalog.add(make_record(unfinished), FREE)
    with pytest.raises(InvalidState):
        scene.access.find_for_reading(unfinished, ALICE)
    scene.catalog.complete(unfinished, "u1", DISK, NOW)
    scene.access.find_for_reading(unfinished, ALICE)


def test_only_reading_goes_on(scene: Scene) -> None:
    scene.read(ALICE)
    delete(scene)
    with pytest.raises(NotFound):
        scene.access.find_readable(IMAGE_ID, ALICE)
    with pytest.raises(NotFound):
        scene.lease(ALICE)


def test_each_of_an_admins_reads_stands_in_the_audit_log(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "image_gateway.audit")
    for count in range(1, 4):
        assert scene.calls_of(lambda: scene.read(ROOT)) >= 1
        assert len(caplog.records) == count
    delete(scene)
    with pytest.raises(NotFound):
        scene.read(ROOT)


def test_an_admin_is_not_the_user_of_that_name(scene: Scene) -> None:
    scene.read(Caller("rick"))
    assert scene.calls_of(lambda: scene.read(Caller("rick", admin=True))) >= 1


def test_nothing_is_remembered_for_no_seconds(database_url: str, clock: Clock) -> None:
    scene = Scene(database_url, clock, 0)
    token = scene.lease().token
    for _ in range(3):
        assert scene.calls_of(scene.read) >= 1
        assert scene.calls_of(lambda: scene.read_by(token)) >= 2
    scene.engine.dispose()


def test_images_are_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ttl_cache_module, "MAX_ENTRIES", 3)
    scene.access, scene.leases = scene.make_services(REMEMBER)
    scene.show(Visibility.PUBLIC)
    for number in range(10):
        scene.read(Caller(f"user-{number}"))
    assert len(scene.access._readers) == 3
    assert scene.calls_of(lambda: scene.read(Caller("user-9"))) == 0
    assert scene.calls_of(lambda: scene.read(Caller("user-0"))) >= 1


# Leases


def test_a_lease_that_held_goes_on_without_the_catalog(scene: Scene) -> None:
    token = scene.lease().token
    begun = scene.clock.now
    assert scene.calls_of(lambda: scene.read_by(token)) >= 2
    for passed in range(REMEMBER):
        scene.clock.now = begun + passed
        assert scene.calls_of(lambda: scene.read_by(token)) == 0
    scene.clock.now = begun + REMEMBER
    assert scene.calls_of(lambda: scene.read_by(token)) >= 2


def test_a_lease_taken_back_is_noticed_when_the_time_is_over(scene: Scene) -> None:
    granted = scene.lease()
    begun = scene.clock.now
    scene.read_by(granted.token)
    scene.leases.revoke(granted.lease.lease_id, ALICE)
    for passed in (0, REMEMBER - 0.001):
        scene.clock.now = begun + passed
        scene.read_by(granted.token)
    scene.clock.now = begun + REMEMBER
    with pytest.raises(LeaseRevoked):
        scene.read_by(granted.token)


@pytest.mark.parametrize("change", [unshare, hide])
def test_what_a_lease_stands_on_is_noticed_when_the_time_is_over(
    scene: Scene, change: Callable[[Scene], None]
) -> None:
    token = scene.lease(Caller("rick")).token
    scene.read_by(token)
    scene.clock.now += 1
    change(scene)
    scene.clock.now += REMEMBER - 1
    with pytest.raises(LeaseRevoked):
        scene.read_by(token)


def test_the_two_memories_of_a_lease_do_not_add_up(scene: Scene) -> None:
    granted = scene.lease()
    begun = scene.clock.now
    scene.leases.admit(granted.token)
    scene.clock.now = begun + REMEMBER - 1
    scene.read_by(granted.token)
    scene.leases.revoke(granted.lease.lease_id, ALICE)
    scene.clock.now = begun + REMEMBER
    with pytest.raises(LeaseRevoked):
        scene.read_by(granted.token)


def outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except GatewayError as error:
        return error.code
    return "read"


@pytest.mark.parametrize("asked_before", [0.5, 1, REMEMBER - 1, REMEMBER, TTL / 2])
def test_a_lease_is_never_read_by_after_its_end(scene: Scene, asked_before: float) -> None:
    granted = scene.lease()
    end = granted.lease.expires_at.timestamp()
    scene.clock.now = end - asked_before
    scene.read_by(granted.token)
    scene.clock.now = end - 0.001
    scene.read_by(granted.token)
    for scene.clock.now in (end, end + GRACE):
        with pytest.raises(LeaseExpired):
            scene.read_by(granted.token)


def test_a_lapsed_lease_is_not_remembered(scene: Scene) -> None:
    granted = scene.lease()
    scene.read_by(granted.token)
    scene.clock.now = granted.lease.expires_at.timestamp()
    for _ in range(2):
        assert scene.calls_of(lambda: outcome(lambda: scene.read_by(granted.token))) >= 1
    scene.leases.renew(granted.lease.lease_id, ALICE)
    scene.read_by(granted.token)
    scene.leases.revoke(granted.lease.lease_id, ALICE)


def test_a_renewal_by_another_worker_is_seen_at_the_old_end(scene: Scene) -> None:
    granted = scene.lease()
    end = granted.lease.expires_at.timestamp()
    scene.clock.now = end - 1
    scene.read_by(granted.token)
    _, elsewhere = scene.make_services(REMEMBER)
    elsewhere.renew(granted.lease.lease_id, ALICE)
    scene.clock.now = end
    scene.read_by(granted.token)
    assert scene.calls_of(lambda: scene.read_by(granted.token)) == 0


def test_a_renewal_adds_no_entry(scene: Scene) -> None:
    granted = scene.lease()
    for renewals in range(10):
        scene.clock.now += REMEMBER / 100
        scene.leases.renew(granted.lease.lease_id, ALICE)
        # Another worker's memory of the lease is empty: it sees each renewal.
        _, elsewhere = scene.make_services(REMEMBER)
        lease = elsewhere.admit(granted.token)
        assert lease.expires_at == scene.clock.at(TTL)
        assert (scene.calls_of(lambda lease=lease: scene.read(Caller(lease=lease))) >= 1) == (renewals == 0)
    assert len(scene.access._readers) == 1


def test_a_renewal_does_not_prolong_what_was_cached(scene: Scene) -> None:
    granted = scene.lease(Caller("rick"))
    end = granted.lease.expires_at.timestamp()
    scene.clock.now = end - 1
    scene.read_by(granted.token)
    scene.leases.renew(granted.lease.lease_id, Caller("rick"))
    unshare(scene)
    scene.clock.now = end
    with pytest.raises(LeaseRevoked):
        scene.read_by(granted.token)


def test_a_wall_clock_that_is_set_back_does_not_prolong_what_was_cached(database_url: str) -> None:
    wall, timer = Clock(), Clock()
    scene = Scene(database_url, wall, REMEMBER, timer)
    scene.read(Caller("rick"))
    unshare(scene)
    wall.now -= 3600
    timer.now += REMEMBER
    with pytest.raises(Forbidden):
        scene.read(Caller("rick"))
    scene.engine.dispose()


def test_a_lease_reads_its_own_image_also_when_another_is_remembered(scene: Scene) -> None:
    scene.access.find_for_reading(OTHER_ID, ALICE)
    granted = scene.lease()
    scene.read_by(granted.token)
    with pytest.raises(Forbidden):
        scene.access.find_for_reading(OTHER_ID, Caller(lease=scene.leases.admit(granted.token)))


def test_leases_are_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ttl_cache_module, "MAX_ENTRIES", 3)
    scene.access, scene.leases = scene.make_services(REMEMBER)
    tokens = [scene.lease().token for _ in range(6)]
    for token in tokens:
        scene.read_by(token)
    assert len(scene.leases._admitted) == 3
    assert scene.calls_of(lambda: scene.read_by(tokens[-1])) == 0
    assert scene.calls_of(lambda: scene.read_by(tokens[0])) >= 2


@pytest.mark.parametrize("made_up", ["", "igl~k1~x~y", "x" * 5000])
def test_tokens_that_are_none_are_not_remembered(scene: Scene, made_up: str) -> None:
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            scene.leases.admit(made_up)
    assert len(scene.leases._admitted) == 0


def test_a_lease_that_ends_with_its_link_does_so_in_memory_too(scene: Scene) -> None:
    record = scene.access.look_up(IMAGE_ID)
    assert record is not None
    until: datetime = scene.clock.at(3)
    granted = scene.leases.make_for_link(record, "no-such-link", until)
    lease: Lease = scene.leases.admit(granted.token)
    assert lease.expires_at == until == scene.clock.at() + timedelta(seconds=3)
    scene.clock.now += 3
    with pytest.raises(LeaseExpired):
        scene.leases.admit(granted.token)
