"""One world for a module's tests, and a clock that they set."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from image_gateway.storage.client import StoreClients
from tests.support.clock import Clock
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.leasing import Remake
from tests.support.world import Image, World, lasting_world


@pytest.fixture(scope="module")
def lasting(databases: Databases, checker: ContractChecker, moto_clients: StoreClients) -> Iterator[World]:
    with lasting_world(databases, checker, moto_clients) as world:
        yield world


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def remake(lasting: World, clock: Clock) -> Remake:
    return Remake(lasting, clock)


@pytest.fixture
def world(remake: Remake) -> World:
    return remake()


@pytest.fixture
def image(world: World) -> Image:
    return world.make_image(b"0123456789")


@pytest.fixture(scope="module")
def published(lasting: World) -> Image:
    """A published image that no test changes."""
    image = lasting.make_image(bytes(range(256)) * 8)
    lasting.publish(image, 512)
    return image
