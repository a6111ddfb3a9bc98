"""Cached permissions: never somebody else's, and not for longer than is stated."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Iterator
from itertools import permutations

import pytest

from tests.live.edge.conftest import DATA, Answer, Pair, StartPair, running_pair

# nginx keeps a permission for ACCESS_CACHE_SECONDS, and so does each gateway worker; clocks tick in seconds.
STATED = 2 + 2 + 1
READ = {"Range": "bytes=100-199"}
Credential = tuple[str, dict[str, str]]


@pytest.fixture(scope="module")
def warm(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair whose permissions outlast the test, so that only their key keeps them apart."""
    folder = tmp_path_factory.mktemp("warm")
    with running_pair(environment, folder, ACCESS_CACHE_SECONDS="60") as running:
        yield running


def test_a_browsers_session_reads_through_nginx_and_leaves_no_permission_there(
    warm: Pair, owner: str
) -> None:
    image_id = warm.make_image(owner)
    page = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}
    signed_in = warm.ask("POST", "/login", page, body=json.dumps({"user": owner}).encode())
    cookie = {"Cookie": signed_in.headers["set-cookie"].partition(";")[0]}
    path = f"/v1/images/{image_id}/range"
    answer = warm.ask("GET", path, {**page, **cookie, **READ})
    assert (answer.status, answer.body) == (206, DATA[100:200])
    assert warm.ask("GET", path, {**cookie, **READ, "Sec-Fetch-Site": "cross-site"}).status == 401
    assert warm.ask("GET", path, {**page, **READ}).status == 401
    assert warm.ask("POST", "/logout", {**page, **cookie}).status == 200
    assert warm.ask("GET", path, {**page, **cookie, **READ}).status == 401
    shown = warm.ask("GET", "/")
    assert shown.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.fixture(scope="module")
def credentials(warm: Pair, owner: str) -> dict[str, tuple[Credential, int]]:
    """Each kind of credential as a path and headers, with the status that it deserves."""
    image_id = warm.make_image(owner)
    client = warm.client(owner)
    client.change_image(image_id, visibility="shared")
    client.share(image_id, "user-b", "read")
    lease = [warm.post("/v1/leases", owner, imageId=image_id) for _ in range(4)]
    link = warm.post("/v1/share-links/redeem", owner, token=client.make_share_link(image_id)["token"])
    lapsed = lease[3]["leaseId"]
    database = warm.environment["DATABASE_URL"].removeprefix("sqlite:///")
    with sqlite3.connect(database, timeout=20) as catalog:
        catalog.execute("UPDATE leases SET expires_at = created_at WHERE lease_id = ?", (lapsed,))
    assert warm.ask("DELETE", f"/v1/leases/{lease[2]['leaseId']}", {"X-User-Id": owner}).status == 200
    path = f"/v1/images/{image_id}/range"

    def bearer(token: str) -> Credential:
        return path, {"Authorization": f"Bearer {token}"}

    return {
        "none": ((path, {}), 401),
        "owner": ((path, {"X-User-Id": owner}), 206),
        "user b": ((path, {"X-User-Id": "user-b"}), 206),
        "stranger": ((path, {"X-User-Id": "stranger"}), 403),
        "lease a": (bearer(lease[0]["token"]), 206),
        "lease b": (bearer(lease[1]["token"]), 206),
        "revoked": (bearer(lease[2]["token"]), 403),
        "lapsed": (bearer(lease[3]["token"]), 401),
        "lease cookie": ((path, {"Cookie": f"ImageLease={lease[0]['token']}"}), 206),
        "bad cookie": ((path, {"Cookie": f"ImageLease={lease[2]['token']}"}), 403),
        "query": ((f"{path}?token={lease[0]['token']}", {}), 206),
        "bad query": ((f"{path}?token={lease[2]['token']}", {}), 403),
        "share link": (bearer(link["token"]), 206),
        "lease in the path": ((f"/v1/l/{lease[0]['token']}/disk.img", {}), 206),
        "revoked in the path": ((f"/v1/l/{lease[2]['token']}/disk.img", {}), 403),
    }


def test_no_credential_is_served_with_anothers_permission(
    warm: Pair, credentials: dict[str, tuple[Credential, int]]
) -> None:
    """Every ordered pair of kinds, all through the same warm caches."""
    for first, second in permutations(credentials, 2):
        for kind in (first, second):
            (path, headers), status = credentials[kind]
            answer = warm.ask("GET", path, {**headers, **READ})
            assert answer.status == status, (first, second, kind)
            assert (answer.body == DATA[100:200]) == (status == 206)


def test_two_credentials_in_one_request_are_judged_together(
    warm: Pair, credentials: dict[str, tuple[Credential, int]]
) -> None:
    names = ["owner", "stranger", "lease a", "revoked", "lease cookie", "bad cookie"]
    for first, second in permutations(names, 2):
        (path, one), _ = credentials[first]
        _, other = credentials[second][0]
        direct, through = warm.both("GET", path, {**one, **other, **READ})
        assert through == direct, (first, second)


def test_credentials_cannot_be_shifted_between_headers(warm: Pair, owner: str) -> None:
    """No text in one header makes a request look like one with that text in another."""
    image_id = warm.make_image(owner)
    path = f"/v1/images/{image_id}/range"
    assert warm.ask("GET", path, {"X-User-Id": owner, **READ}).status == 206
    for name in ("Authorization", "Cookie", "Origin", "If-Match", "If-Range"):
        assert warm.ask("GET", path, {name: owner, **READ}).status == 401
        assert warm.ask("GET", path, {name: f"x\t{owner}", **READ}).status == 401


def test_nobody_but_nginx_gets_a_permission(warm: Pair, owner: str) -> None:
    image_id = warm.make_image(owner)
    path, reader = f"/v1/images/{image_id}/range", {"X-User-Id": owner, **READ}
    token = warm.environment["EDGE_TOKEN"]
    # From outside the header is taken away, whatever it says.
    answer = warm.ask("GET", path, {**reader, "X-Edge-Token": token})
    assert (answer.status, answer.body) == (206, DATA[100:200])
    listed = warm.ask("GET", f"/v1/images/{image_id}/metadata", {"X-User-Id": owner, "X-Edge-Token": token})
    assert listed.status == 200
    for outside in ("/_edge/permission", "/_edge/503", "/%5fedge/permission", "//_edge/permission"):
        refused = warm.ask("GET", outside, reader)
        assert refused.status == 404, outside
    # Past nginx a wrong token is refused; the right one is nginx's.
    assert warm.ask("GET", path, {**reader, "X-Edge-Token": "wrong"}, direct=True).status == 401
    permission = warm.ask("GET", path, {**reader, "X-Edge-Token": token}, direct=True)
    assert (permission.status, permission.body) == (200, b"")
    assert "x-edge-object" not in answer.headers


def test_no_answer_shows_what_nginx_knows(warm: Pair, owner: str) -> None:
    image_id = warm.make_image(owner)
    for requested in ({}, READ, {"Range": "bytes=9999999-"}):
        headers = warm.ask("GET", f"/v1/images/{image_id}/range", {"X-User-Id": owner, **requested}).headers
        assert not [name for name in headers if name.startswith("x-edge") or "amz" in name]


def _until(pair: Pair, path: str, headers: dict[str, str], status: int, seconds: float) -> float:
    """Read again and again until the status comes; how long that took, at most `seconds`."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if pair.ask("GET", path, {**headers, **READ}).status == status:
            return time.monotonic() - began
        time.sleep(0.05)
    raise AssertionError(f"still not {status} after {seconds} s")


def test_what_is_taken_back_ends_through_nginx_within_the_stated_time(pair: Pair, owner: str) -> None:
    image_id = pair.make_image(owner)
    client, path = pair.client(owner), f"/v1/images/{image_id}/range"
    client.change_image(image_id, visibility="shared")
    client.share(image_id, "friend", "read")
    lease = pair.post("/v1/leases", owner, imageId=image_id)
    readers = {
        "share": (path, {"X-User-Id": "friend"}),
        "lease": (f"/v1/l/{lease['token']}/disk.img", {}),
        "owner": (path, {"X-User-Id": owner}),
    }
    for place, headers in readers.values():
        assert pair.ask("GET", place, {**headers, **READ}).status == 206
    client.unshare(image_id, "friend")
    _until(pair, *readers["share"], 403, STATED)
    assert pair.ask("DELETE", f"/v1/leases/{lease['leaseId']}", {"X-User-Id": owner}).status == 200
    _until(pair, *readers["lease"], 403, STATED)
    client.delete_image(image_id)
    _until(pair, *readers["owner"], 404, STATED)


def test_a_reader_who_comes_back_after_a_while_gets_no_old_permission(pair: Pair, owner: str) -> None:
    """A permission that nobody renewed is not used once more while a new one is asked for."""
    image_id = pair.make_image(owner)
    client, path = pair.client(owner), f"/v1/images/{image_id}/range"
    client.change_image(image_id, visibility="shared")
    client.share(image_id, "friend", "read")
    assert pair.ask("GET", path, {"X-User-Id": "friend", **READ}).status == 206
    client.unshare(image_id, "friend")
    # The passing of the stated time is what is tested.
    time.sleep(STATED)
    assert pair.ask("GET", path, {"X-User-Id": "friend", **READ}).status == 403


def test_a_permission_does_not_outlive_its_lease(start_pair: StartPair, owner: str) -> None:
    pair = start_pair(ACCESS_CACHE_SECONDS="60")
    image_id = pair.make_image(owner)
    lease = pair.post("/v1/leases", owner, imageId=image_id, ttlSeconds=3)
    path = f"/v1/l/{lease['token']}/disk.img"
    assert pair.ask("GET", path, READ).status == 206
    assert _until(pair, path, {}, 401, 5) <= 4


def _codes(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.code


@pytest.mark.thorough
def test_while_the_gateway_is_away_fresh_permissions_go_on(start_pair: StartPair, owner: str) -> None:
    pair = start_pair()
    image_id = pair.make_image(owner)
    path, reader = f"/v1/images/{image_id}/range", {"X-User-Id": owner}
    assert pair.ask("GET", path, {**reader, **READ}).status == 206
    pair.gateway.stop(grace=1)
    away = time.monotonic()
    while time.monotonic() - away < 10:
        answer = pair.ask("GET", path, {**reader, **READ})
        assert (answer.status, answer.body) == (206, DATA[100:200])
        time.sleep(0.5)
    other = pair.ask("GET", path, {"X-User-Id": "stranger", **READ})
    assert _codes(other) == (503, "GATEWAY_UNAVAILABLE")
    assert other.headers["retry-after"] == "2"
    assert other.headers["access-control-allow-origin"] == "*"
    nobody = pair.ask("GET", path, READ)
    assert (nobody.status, json.loads(nobody.body)["error"]["code"]) == (503, "GATEWAY_UNAVAILABLE")
    assert pair.ask("GET", f"/v1/images/{uuid.uuid4()}/range", {**reader, **READ}).status == 503
    assert _codes(pair.ask("GET", "/v1/images", reader)) == (503, "GATEWAY_UNAVAILABLE")
