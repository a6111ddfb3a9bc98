"""What ACCESS_CACHE_SECONDS lets go on ends by a monotonic clock, whatever happens to the wall clock."""

from __future__ import annotations

from tests.support.clock import Clock
from tests.support.world import World

SECONDS = 5


def status_of_read(world: World, path: str, user: str | None) -> int:
    return world.request("GET", path, user=user).status_code


def test_a_share_taken_back_ends_in_time_though_the_wall_clock_is_set_back(world: World) -> None:
    wall, timer = Clock(), Clock()
    caching = world.with_settings(clock=wall, timer=timer, access_cache_seconds=SECONDS)
    image = caching.make_image(b"0123456789")
    caching.share_with(image, "bob")
    assert status_of_read(caching, image.path("range"), "bob") == 200
    caching.request("DELETE", image.path("shares"), query_string={"user": "bob"})
    wall.now -= 3600
    timer.now += SECONDS - 0.001
    assert status_of_read(caching, image.path("range"), "bob") == 200
    timer.now += 0.001
    assert status_of_read(caching, image.path("range"), "bob") == 403


def test_a_lease_ends_at_its_own_end_though_the_cache_would_keep_it(world: World) -> None:
    wall, timer = Clock(), Clock()
    # The two clocks count from different moments, as those of a machine do.
    timer.now = 1000.0
    caching = world.with_settings(clock=wall, timer=timer, access_cache_seconds=SECONDS, rate_limits=False)
    image = caching.make_image(b"0123456789")
    lease = caching.make_lease(image, ttlSeconds=60)
    path = f"/v1/l/{lease['token']}/disk.img"
    for passed in (59, 0.999):
        wall.now, timer.now = wall.now + passed, timer.now + passed
        assert status_of_read(caching, path, None) == 200
    wall.now, timer.now = wall.now + 0.001, timer.now + 0.001
    assert status_of_read(caching, path, None) == 401
