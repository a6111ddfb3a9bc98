"""A gateway for a module's tests, and deltas that guests write to by the services."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from werkzeug.test import TestResponse

from image_gateway.storage.client import StoreClients
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.delta_world import DeltaWorld, make_services
from tests.support.delta_writing import Guest
from tests.support.leasing import RULES
from tests.support.world import Image, World, lasting_world

BLOCK = 4096
SIZE = 3 * 131_072 + 1000


@dataclass(frozen=True)
class DeltaScene:
    """A gateway, an image, and a writer of a delta over it."""

    world: World
    image: Image
    guest: Guest

    @property
    def etag(self) -> str:
        return f'"{self.guest.row.version}.{self.guest.delta_id}.{self.guest.generation}"'

    def path(self, route: str = "disk.img") -> str:
        return f"/v1/deltas/{self.guest.delta_id}/{route}"

    def write(self, block: int, seed: int, count: int = 1) -> None:
        """Commit random blocks."""
        self.guest.write(block, random.Random(seed).randbytes(count * BLOCK))

    def get(self, route: str = "disk.img", **options: Any) -> TestResponse:
        return self.world.request("GET", self.path(route), **options)

    def lease(self, **body: Any) -> dict[str, Any]:
        """A lease of the delta."""
        response = self.world.request("POST", "/v1/leases", json={"deltaId": self.guest.delta_id, **body})
        assert response.status_code == 200, response.text
        document: dict[str, Any] = response.get_json()
        return document

    def leased(
        self, token: str, route: str = "disk.img", method: str = "GET", **options: Any
    ) -> TestResponse:
        return self.world.request(method, f"/v1/l/{token}/{route}", user=None, **options)


@pytest.fixture(scope="module", params=[False, True], ids=["no cache", "block cache"])
def world(
    request: pytest.FixtureRequest,
    databases: Databases,
    checker: ContractChecker,
    moto_clients: StoreClients,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """A gateway that remembers permissions, as gateways do."""
    blocks = {"range_cache_dir": str(tmp_path_factory.mktemp("blocks")), "range_cache_block_bytes": 65_536}
    with lasting_world(databases, checker, moto_clients) as lasting:
        rules = {**RULES, "access_cache_seconds": 60, "image_cache_control": "public-immutable"}
        yield lasting.with_settings(**rules, **(blocks if request.param else {}))


@pytest.fixture(scope="module")
def image(world: World) -> Image:
    return world.make_image(random.Random(7).randbytes(SIZE))


@pytest.fixture
def open_scene(world: World, image: Image) -> Callable[[], DeltaScene]:
    """Makes deltas with a writer each."""
    services = make_services(world)

    def open_one() -> DeltaScene:
        guest = DeltaWorld(world, services, image.image_id, image.data).guest(BLOCK)
        return DeltaScene(world, image, guest)

    return open_one


@pytest.fixture
def scene(open_scene: Callable[[], DeltaScene]) -> DeltaScene:
    """A delta at generation 2."""
    made = open_scene()
    made.write(3, seed=1, count=5)
    made.guest.write(5, None, 2)
    return made
