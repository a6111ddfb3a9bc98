"""Services of deltas over moto's store and a database of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from image_gateway.domain.callers import Caller
from tests.support.delta_equation import require_equation
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


@pytest.fixture
def damaged_store() -> None:
    """For tests that damage or lose objects on purpose: the sweeper's equation does not hold after them."""


@pytest.fixture(autouse=True)
def equation(request: pytest.FixtureRequest) -> Iterator[None]:
    """The sweeper's equation holds after every test."""
    names = request.fixturenames
    world = request.getfixturevalue("delta_world").world if "delta_world" in names else None
    yield
    if world is not None and "damaged_store" not in names:
        require_equation(world.catalog, world.store)
