"""Rate limits: what is over one is told when to come back; nobody is held up by others' bad credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from limits.errors import StorageError
from limits.storage import MemoryStorage
from werkzeug.test import TestResponse

from image_gateway.storage.client import StoreClients
from tests.support.background import in_background
from tests.support.black_hole import black_hole
from tests.support.clock import Clock
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.leasing import OLD, cookie_of, outcome
from tests.support.world import Image, World, lasting_world

pytestmark = pytest.mark.database

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


# Refused credentials


def forge(world: World, image: Image) -> TestResponse:
    return world.bearing(FORGED, "GET", image.path("range"))


def forge_path(world: World, _: Image) -> TestResponse:
    return world.request("GET", f"/v1/l/{FORGED}/disk.img", user=None)


def forge_cookie(world: World, image: Image) -> TestResponse:
    return world.request("GET", image.path("range"), user=None, headers=cookie_of(FORGED))


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


# A shared storage


@pytest.fixture
def without_redis(lasting: World) -> World:
    """A gateway whose Redis does not listen."""
    return lasting.with_settings(**FEW | {"rate_limit_storage_url": "redis://127.0.0.1:1"})


@pytest.mark.parametrize("ask", LIMITED)
def test_without_redis_each_worker_counts_by_itself(
    without_redis: World, image: Image, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    statuses = [ask(without_redis, image, "alice").status_code for _ in range(4)]
    assert [status == 429 for status in statuses] == [False, False, True, True]
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told.count("Rate limit storage unreachable: counting in the memory of this worker") == 1


def test_without_redis_a_refused_credential_is_refused(without_redis: World, image: Image) -> None:
    statuses = [forge(without_redis, image).status_code for _ in range(4)]
    assert statuses == [401, 401, 429, 429]


def test_without_redis_bytes_flow(without_redis: World, image: Image, public: Image) -> None:
    assert without_redis.request("GET", image.path("range")).status_code == 200
    assert without_redis.request("GET", public.path("range"), user=None).status_code == 200


@pytest.fixture
def silent_redis(lasting: World) -> Iterator[World]:
    """A gateway whose Redis takes connections and never answers."""
    with black_hole() as hole:
        yield lasting.with_settings(**FEW | {"rate_limit_storage_url": f"redis://127.0.0.1:{hole.port}"})


@pytest.mark.parametrize("ask", [create, make_lease, lambda world, image, _: forge(world, image)])
def test_a_silent_redis_holds_no_request_up(silent_redis: World, image: Image, ask: Ask) -> None:
    # Without a bound it would be held until Redis ends the connection.
    answers = [in_background(ask, silent_redis, image, "alice").result(timeout=20) for _ in range(4)]
    assert [answer.status_code == 429 for answer in answers] == [False, False, True, True]


class ShakyStorage(MemoryStorage):
    """A storage of its own scheme that can be down."""

    STORAGE_SCHEME = ["shaky"]
    down = False
    asked = 0

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        type(self).asked += 1
        if self.down:
            raise StorageError(ConnectionError("the storage is down"))
        return super().incr(key, expiry, amount)


@pytest.fixture
def shaky() -> Iterator[type[ShakyStorage]]:
    ShakyStorage.down, ShakyStorage.asked = True, 0
    yield ShakyStorage
    ShakyStorage.down = False


@pytest.mark.parametrize("ask", [create, lambda world, image, _: forge(world, image)])
def test_a_storage_that_is_down_is_asked_again_now_and_then_and_used_when_it_is_back(
    lasting: World, image: Image, shaky: type[ShakyStorage], ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    caplog.set_level("INFO")
    few = {name: str(rate).replace("minute", "day") for name, rate in FEW.items() if name != "lease_keys"}
    changes: dict[str, Any] = {**few, "lease_keys": (OLD,), "rate_limit_storage_url": "shaky://"}
    world = lasting.with_settings(timer=clock, **changes)

    def asked_by(user: str) -> int:
        before = shaky.asked
        ask(world, image, user)
        return shaky.asked - before

    assert [asked_by("alice") for _ in range(3)] == [1, 0, 0]
    clock.now += 1
    assert [asked_by("alice") for _ in range(2)] == [1, 0]
    clock.now += 1
    assert asked_by("alice") == 0
    assert ask(world, image, "alice").status_code == 429
    shaky.down = False
    clock.now += 1
    assert ask(world, image, "alice").status_code != 429
    told = [
        record.getMessage()
        for record in caplog.records
        if record.name == "image_gateway.routes.http.rate_limits"
    ]
    assert told == [
        "Rate limit storage unreachable: counting in the memory of this worker",
        "Rate limit storage recovered",
    ]
