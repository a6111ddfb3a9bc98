"""Rate limits: what is over one is told when to come back."""

from __future__ import annotations

import pytest

from tests.routes.limits.conftest import (
    FEW,
    LIMITED,
    Ask,
    assert_refused,
    create,
    forge,
    make_lease,
    redeem,
    renew,
)
from tests.support.leasing import outcome
from tests.support.world import Image, World

pytestmark = pytest.mark.database


@pytest.mark.parametrize("ask", LIMITED)
def test_what_is_over_the_limit_is_refused(world: World, image: Image, ask: Ask) -> None:
    assert [ask(world, image, "alice").status_code != 429 for _ in range(2)] == [True, True]
    for _ in range(2):
        assert_refused(ask(world, image, "alice"))


@pytest.mark.parametrize("ask", LIMITED)
def test_no_limit_where_limits_are_off(lasting: World, image: Image, ask: Ask) -> None:
    world = lasting.with_settings(**FEW | {"rate_limits": False, "rate_limit_per_address": "1/minute"})
    assert not any(ask(world, image, "alice").status_code == 429 for _ in range(4))
    assert [outcome(forge(world, image)) for _ in range(4)] == [(401, "UNAUTH")] * 4


@pytest.mark.parametrize("ask", [create, make_lease, renew])
def test_each_user_has_a_limit_of_its_own(world: World, image: Image, ask: Ask) -> None:
    for user in ("alice", "bob"):
        statuses = [ask(world, image, user).status_code for _ in range(3)]
        assert [status == 429 for status in statuses] == [False, False, True]


def test_whoever_redeems_is_counted_by_address(world: World, image: Image) -> None:
    statuses = [redeem(world, image, user).status_code for user in ("alice", "bob", "eve")]
    assert statuses == [404, 404, 429]
    elsewhere = world.request(
        "POST",
        "/v1/share-links/redeem",
        json={"token": "x"},
        environ_overrides={"REMOTE_ADDR": "192.0.2.7"},
    )
    assert elsewhere.status_code == 404


def test_making_and_renewing_are_one_limit(world: World, image: Image) -> None:
    assert make_lease(world, image, "alice").status_code == 200
    assert renew(world, image, "alice").status_code == 404
    assert_refused(make_lease(world, image, "alice"))
    assert create(world, image, "alice").status_code == 200


def test_an_address_has_a_limit_for_all_its_users_and_routes(lasting: World, image: Image) -> None:
    world = lasting.with_settings(**FEW | {"rate_limit_per_address": "4/day"})
    for number, ask in enumerate(LIMITED):
        assert ask(world, image, f"user-{number}").status_code != 429
    for number, ask in enumerate(LIMITED):
        assert_refused(ask(world, image, f"user-{number + 10}"))
    other = {"REMOTE_ADDR": "192.0.2.7"}
    assert world.request("POST", "/v1/images", environ_overrides=other).status_code == 200


def test_what_an_address_may_not_do_is_not_counted_for_its_users(lasting: World, image: Image) -> None:
    world = lasting.with_settings(**FEW | {"rate_limit_create": "2/day", "rate_limit_per_address": "1/day"})
    statuses = [create(world, image, "alice").status_code for _ in range(4)]
    assert statuses == [200, 429, 429, 429]
    for address, status in (("192.0.2.7", 200), ("192.0.2.8", 429)):
        response = world.request("POST", "/v1/images", environ_overrides={"REMOTE_ADDR": address})
        assert response.status_code == status


def test_what_is_not_limited(world: World, image: Image) -> None:
    lease = make_lease(world, image, "alice").get_json()
    for _ in range(6):
        assert world.request("GET", image.path("range")).status_code == 200
        assert world.request("GET", f"/v1/l/{lease['token']}/disk.img", user=None).status_code == 200
        assert world.request("DELETE", f"/v1/leases/{lease['leaseId']}", user="mallory").status_code == 404
        assert world.request("GET", "/v1/images").status_code == 200
