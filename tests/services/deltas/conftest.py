"""Services of deltas over moto's store and a database of their own."""

from __future__ import annotations

import pytest

from image_gateway.domain.callers import Caller
from tests.support.delta_world import DeltaWorld, make_services
from tests.support.world import World


@pytest.fixture
def delta_world(world: World) -> DeltaWorld:
    base = bytes(range(256)) * 602
    image = world.make_image(base)
    return DeltaWorld(world, make_services(world), image.image_id, base)


@pytest.fixture
def stranger() -> Caller:
    return Caller("mallory")
