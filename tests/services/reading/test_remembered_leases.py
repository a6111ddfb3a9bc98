"""Leases: no catalog call within an entry's time, and no read after a lease's end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from image_gateway.domain.callers import Caller
from image_gateway.domain.leases import Lease
from image_gateway.errors import (
    Forbidden,
    GatewayError,
    LeaseExpired,
    LeaseRevoked,
    Unauthenticated,
)
from image_gateway.services.reading import access as ttl_cache_module
from tests.services.reading.conftest import ALICE, GRACE, OTHER_ID, REMEMBER, TTL, Scene, hide, unshare
from tests.support.records import IMAGE_ID


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
