"""A clock and a sweeper for the tests of the services."""

from __future__ import annotations

import pytest

from image_gateway.services.sweeping import Sweeper
from tests.support.swept_world import Clock
from tests.support.world import World


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sweeper(world: World, clock: Clock) -> Sweeper:
    return Sweeper(world.catalog, world.store, world.settings.image_base_path, clock)
