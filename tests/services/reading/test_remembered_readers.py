"""Who may read an image: no catalog call within an entry's time, and nothing of it afterwards."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from image_gateway.domain.callers import NOBODY, Caller
from image_gateway.domain.images import Visibility
from image_gateway.domain.shares import Permission, Share
from image_gateway.errors import (
    Forbidden,
    GatewayError,
    InvalidState,
    NotFound,
    Unauthenticated,
)
from image_gateway.services.reading import access as ttl_cache_module
from tests.services.reading.conftest import (
    ALICE,
    MALLORY,
    OTHER_ID,
    REMEMBER,
    ROOT,
    Scene,
    delete,
    hide,
    unshare,
)
from tests.support.clock import Clock
from tests.support.records import DISK, FREE, IMAGE_ID, NOW, make_record


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
