"""A shared storage of the limits that is down, silent, or back again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from limits.errors import StorageError
from limits.storage import MemoryStorage

from tests.routes.limits.conftest import (
    FEW,
    LIMITED,
    Ask,
    create,
    forge,
    make_lease,
)
from tests.support.background import in_background
from tests.support.black_hole import black_hole
from tests.support.clock import Clock
from tests.support.leasing import OLD
from tests.support.world import Image, World

pytestmark = pytest.mark.database


@pytest.fixture
def without_redis(lasting: World) -> World:
    """A gateway whose Redis does not listen."""
    return lasting.with_settings(**FEW | {"rate_limit_storage_url": "redis://127.0.0.1:1"})


@pytest.mark.parametrize("ask", LIMITED)
def test_without_redis_each_worker_counts_by_itself(
    without_redis: World, image: Image, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    statuses = [ask(without_redis, image, "alice").status_code for _ in range(4)]
    assert [status == 429 for status in statuses] == [False, False, True, True]
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told.count("Rate limit storage unreachable: counting in the memory of this worker") == 1


def test_without_redis_a_refused_credential_is_refused(without_redis: World, image: Image) -> None:
    statuses = [forge(without_redis, image).status_code for _ in range(4)]
    assert statuses == [401, 401, 429, 429]


def test_without_redis_bytes_flow(without_redis: World, image: Image, public: Image) -> None:
    assert without_redis.request("GET", image.path("range")).status_code == 200
    assert without_redis.request("GET", public.path("range"), user=None).status_code == 200


@pytest.fixture
def silent_redis(lasting: World) -> Iterator[World]:
    """A gateway whose Redis takes connections and never answers."""
    with black_hole() as hole:
        yield lasting.with_settings(**FEW | {"rate_limit_storage_url": f"redis://127.0.0.1:{hole.port}"})


@pytest.mark.parametrize("ask", [create, make_lease, lambda world, image, _: forge(world, image)])
def test_a_silent_redis_holds_no_request_up(silent_redis: World, image: Image, ask: Ask) -> None:
    # Without a bound it would be held until Redis ends the connection.
    answers = [in_background(ask, silent_redis, image, "alice").result(timeout=20) for _ in range(4)]
    assert [answer.status_code == 429 for answer in answers] == [False, False, True, True]


class ShakyStorage(MemoryStorage):
    """A storage of its own scheme that can be down."""

    STORAGE_SCHEME = ["shaky"]
    down = False
    asked = 0

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        type(self).asked += 1
        if self.down:
            raise StorageError(ConnectionError("the storage is down"))
        return super().incr(key, expiry, amount)


@pytest.fixture
def shaky() -> Iterator[type[ShakyStorage]]:
    ShakyStorage.down, ShakyStorage.asked = True, 0
    yield ShakyStorage
    ShakyStorage.down = False


@pytest.mark.parametrize("ask", [create, lambda world, image, _: forge(world, image)])
def test_a_storage_that_is_down_is_asked_again_now_and_then_and_used_when_it_is_back(
    lasting: World, image: Image, shaky: type[ShakyStorage], ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    caplog.set_level("INFO")
    few = {name: str(rate).replace("minute", "day") for name, rate in FEW.items() if name != "lease_keys"}
    changes: dict[str, Any] = {**few, "lease_keys": (OLD,), "rate_limit_storage_url": "shaky://"}
    world = lasting.with_settings(timer=clock, **changes)

    def asked_by(user: str) -> int:
        before = shaky.asked
        ask(world, image, user)
        return shaky.asked - before

    assert [asked_by("alice") for _ in range(3)] == [1, 0, 0]
    clock.now += 1
    assert [asked_by("alice") for _ in range(2)] == [1, 0]
    clock.now += 1
    assert asked_by("alice") == 0
    assert ask(world, image, "alice").status_code == 429
    shaky.down = False
    clock.now += 1
    assert ask(world, image, "alice").status_code != 429
    told = [
        record.getMessage()
        for record in caplog.records
        if record.name == "image_gateway.routes.http.rate_limits"
    ]
    assert told == [
        "Rate limit storage unreachable: counting in the memory of this worker",
        "Rate limit storage recovered",
    ]
