"""One world for a module's tests, and for each test a delta with a session, over an image of many blocks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from image_gateway.storage.client import StoreClients
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.delta_api import DeltaApi, make_delta
from tests.support.delta_equation import require_equation
from tests.support.world import Image, World, lasting_world


@pytest.fixture(scope="module")
def world(databases: Databases, checker: ContractChecker, moto_clients: StoreClients) -> Iterator[World]:
    with lasting_world(databases, checker, moto_clients) as world:
        yield world.with_settings(rate_limits=False)
        require_equation(world.catalog, world.store)


@pytest.fixture
def image(world: World) -> Image:
    return world.make_image(bytes(range(256)) * 602)


@pytest.fixture
def delta(world: World, image: Image) -> DeltaApi:
    made = make_delta(world, image, name="disk")
    made.open_session()
    return made
