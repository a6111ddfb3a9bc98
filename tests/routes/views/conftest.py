"""One gateway for a module's tests, and images of sizes around the boundaries of blocks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from image_gateway.storage.client import StoreClients
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.leasing import RULES
from tests.support.view_readers import Fetch, Got
from tests.support.world import Image, World, lasting_world

SIZE = 3 * 131_072 + 1000


@pytest.fixture(scope="module")
def lasting(databases: Databases, checker: ContractChecker, moto_clients: StoreClients) -> Iterator[World]:
    with lasting_world(databases, checker, moto_clients) as world:
        yield world


@pytest.fixture(scope="module")
def world(lasting: World) -> World:
    return lasting.with_settings(**RULES)


@pytest.fixture(scope="module")
def image(world: World) -> Image:
    return world.make_image(random.Random(5).randbytes(SIZE))


@pytest.fixture(scope="module")
def token(world: World, image: Image) -> str:
    token: str = world.make_lease(image)["token"]
    return token


@pytest.fixture(scope="module")
def make(world: World) -> Callable[[int], Image]:
    """Makes images of a size, each once."""
    made: dict[int, Image] = {}

    def make_once(size: int) -> Image:
        if size not in made:
            made[size] = world.make_image(random.Random(size).randbytes(size))
        return made[size]

    return make_once


def fetch_from(world: World) -> Fetch:
    """Fetch as a client that sends no credential."""

    def fetch(method: str, url: str, headers: object) -> Got:
        parts = urlsplit(url)
        assert parts.netloc in ("", "localhost")
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        response = world.request(method, path, user=None, headers=dict(headers))  # type: ignore[call-overload]
        names = {name.lower(): text for name, text in response.headers.items()}
        return Got(response.status_code, names, response.data)

    return fetch


@pytest.fixture(scope="module")
def fetch(world: World) -> Fetch:
    return fetch_from(world)
