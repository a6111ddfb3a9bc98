"""Refused credentials are limited; nobody is held up by others' bad ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from werkzeug.test import TestResponse

from tests.routes.limits.conftest import (
    FEW,
    FORGED,
    assert_refused,
    forge,
    forge_cookie,
    make_lease,
)
from tests.support.leasing import outcome
from tests.support.world import Image, World

pytestmark = pytest.mark.database


def forge_path(world: World, _: Image) -> TestResponse:
    return world.request("GET", f"/v1/l/{FORGED}/disk.img", user=None)


FORGERIES = [forge, forge_path, forge_cookie]


@pytest.mark.parametrize("attempt", FORGERIES)
def test_refused_credentials_are_limited(
    world: World, image: Image, attempt: Callable[[World, Image], TestResponse]
) -> None:
    assert [outcome(attempt(world, image)) for _ in range(2)] == [(401, "UNAUTH")] * 2
    for other in FORGERIES:
        assert_refused(other(world, image))


def test_a_good_credential_passes_beside_bad_ones(world: World, image: Image) -> None:
    token = make_lease(world, image, "alice").get_json()["token"]
    for _ in range(4):
        forge(world, image)
    assert_refused(forge(world, image))
    assert world.bearing(token, "GET", image.path("range")).status_code == 200
    assert world.request("GET", f"/v1/l/{token}/disk.img", user=None).status_code == 200
    assert world.request("GET", image.path("range")).status_code == 200
    assert make_lease(world, image, "alice").status_code == 200


def test_refused_tokens_of_a_provider_are_limited(lasting: World, image: Image) -> None:
    world = lasting.with_provider(**FEW | {"rate_limit_failed_auth": "2/day"})
    statuses = [world.bearing("garbage", "GET", image.path("range")).status_code for _ in range(4)]
    assert statuses == [401, 401, 429, 429]
    assert world.bearing("user:alice", "GET", image.path("range")).status_code == 200


def test_no_credential_is_no_refused_one(world: World, image: Image) -> None:
    for _ in range(6):
        response = world.request("GET", image.path("range"), user=None)
        assert outcome(response) == (401, "UNAUTH")
    assert outcome(forge(world, image)) == (401, "UNAUTH")


def test_another_address_is_counted_apart(world: World, image: Image) -> None:
    for _ in range(3):
        forge(world, image)
    elsewhere = world.bearing(
        FORGED, "GET", image.path("range"), environ_overrides={"REMOTE_ADDR": "192.0.2.7"}
    )
    assert outcome(elsewhere) == (401, "UNAUTH")


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/leases/x/renew"), ("DELETE", "/v1/leases/x")])
def test_a_refused_credential_counts_once(world: World, method: str, path: str) -> None:
    answers = [outcome(world.bearing(FORGED, method, path)) for _ in range(2)]
    assert answers == [(401, "UNAUTH")] * 2


def test_a_stale_cookie_counts_for_nothing_where_none_is_needed(world: World, public: Image) -> None:
    for _ in range(6):
        assert outcome(forge_cookie(world, public)) == (200, None)
