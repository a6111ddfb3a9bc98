"""A gateway with low limits, and requests that they count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from image_gateway.storage.client import StoreClients
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.leasing import OLD, cookie_of, outcome
from tests.support.world import Image, World, lasting_world

FORGED = "igl~k1~e30~x"
TOO_MANY = (429, "TOO_MANY_REQUESTS")
FEW: dict[str, Any] = {
    "lease_keys": (OLD,),
    "rate_limit_create": "2/minute",
    "rate_limit_leases": "2/minute",
    "rate_limit_redeem": "2/minute",
    "rate_limit_failed_auth": "2/minute",
    "rate_limit_per_address": "1000/minute",
}


@pytest.fixture(scope="module")
def lasting(databases: Databases, checker: ContractChecker, moto_clients: StoreClients) -> Iterator[World]:
    with lasting_world(databases, checker, moto_clients) as world:
        yield world


@pytest.fixture(scope="module")
def image(lasting: World) -> Image:
    return lasting.make_image(b"0123456789")


@pytest.fixture(scope="module")
def public(lasting: World) -> Image:
    image = lasting.make_image(b"for all")
    lasting.show_to(image, "public")
    return image


@pytest.fixture
def world(lasting: World) -> World:
    """A gateway that has counted nothing yet, in a window that does not end during a test."""
    return lasting.with_settings(
        **{name: str(rate).replace("minute", "day") for name, rate in FEW.items()} | {"lease_keys": (OLD,)}
    )


Ask = Callable[[World, Image, str], TestResponse]


def create(world: World, _: Image, user: str) -> TestResponse:
    return world.request("POST", "/v1/images", user=user)


def make_lease(world: World, image: Image, user: str) -> TestResponse:
    return world.request("POST", "/v1/leases", user=user, json={"imageId": image.image_id})


def renew(world: World, _: Image, user: str) -> TestResponse:
    return world.request("POST", "/v1/leases/unknown/renew", user=user)


def redeem(world: World, _: Image, user: str) -> TestResponse:
    return world.request("POST", "/v1/share-links/redeem", user=user, json={"token": "x"})


LIMITED = [create, make_lease, renew, redeem]


def assert_refused(response: TestResponse) -> None:
    assert outcome(response) == TOO_MANY
    # One second more than the window, so that nobody comes too early.
    assert 1 <= int(response.headers["Retry-After"]) <= 86_401
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Access-Control-Allow-Origin"] == "*"


def forge(world: World, image: Image) -> TestResponse:
    return world.bearing(FORGED, "GET", image.path("range"))


def forge_cookie(world: World, image: Image) -> TestResponse:
    return world.request("GET", image.path("range"), user=None, headers=cookie_of(FORGED))
