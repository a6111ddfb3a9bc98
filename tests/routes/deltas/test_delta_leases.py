"""Leases of deltas: who makes them, what they are for, and what is in their answers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.delta_api import DeltaApi, error_of, make_delta
from tests.support.log_lines import written_lines
from tests.support.world import World

pytestmark = pytest.mark.database
UNKNOWN = "00000000-0000-4000-8000-00000000dead"


def make(world: World, delta: DeltaApi, **body: Any) -> dict[str, Any]:
    answer = world.request("POST", "/v1/leases", json={"deltaId": delta.delta_id, **body})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.get_json()
    return document


def test_a_lease_of_the_newest_generation(delta: DeltaApi) -> None:
    delta.world.publish(delta.image, 1024)
    cookies = delta.world.with_settings(gateway_auth_mode="cookie")
    answer = cookies.request("POST", "/v1/leases", json={"deltaId": delta.delta_id.upper()})
    lease = answer.get_json()
    assert (lease["deltaId"], lease["imageId"]) == (delta.delta_id, delta.image.image_id)
    assert lease["scopes"] == ["disk:read"]
    assert not {"generation", "manifestUrl", "chunked"} & lease.keys()
    assert lease["views"]["v86"]["size"] == len(delta.image.data)
    # A cookie would be sent to the routes of the image, which it is not for.
    assert "Set-Cookie" not in answer.headers


def test_a_lease_of_a_fixed_generation(delta: DeltaApi) -> None:
    delta.write(1)
    assert make(delta.world, delta, generation=1)["generation"] == 1
    assert make(delta.world, delta, generation=0, whenLapsed="wait", ttlSeconds=60)["generation"] == 0
    beyond = delta.world.request("POST", "/v1/leases", json={"deltaId": delta.delta_id, "generation": 2})
    assert error_of(beyond) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"imageId": UNKNOWN}, "either imageId or deltaId"),
        ({"generation": -1}, "generation"),
        ({"generation": True}, "generation"),
        ({"generation": 2**63}, "generation"),
        ({"record": True}, "record"),
        ({"scopes": ["disk:write"]}, "sessions"),
        ({"scopes": ["disk:read", "disk:write"]}, "sessions"),
        ({"deltaId": "x" * 65}, "deltaId"),
        ({"deltaId": 5}, "deltaId"),
        ({"deltaId": None}, "either imageId or deltaId"),
    ],
)
def test_a_bad_request_for_a_lease(delta: DeltaApi, body: dict[str, Any], said: str) -> None:
    answer = delta.world.request("POST", "/v1/leases", json={"deltaId": delta.delta_id, **body})
    assert error_of(answer) == (400, "BAD_REQUEST")
    assert said in answer.get_json()["error"]["message"]


def test_a_generation_is_of_deltas_only(delta: DeltaApi) -> None:
    body = {"imageId": delta.image.image_id, "generation": 1}
    assert error_of(delta.world.request("POST", "/v1/leases", json=body)) == (400, "BAD_REQUEST")


def test_leases_of_deltas_are_made_by_their_owner_alone(delta: DeltaApi) -> None:
    world, body = delta.world, {"deltaId": delta.delta_id}
    world.share_with(delta.image, "wendy", "write")
    for user in ("wendy", "bob"):
        assert error_of(world.request("POST", "/v1/leases", user=user, json=body)) == (403, "FORBIDDEN")
    assert error_of(world.request("POST", "/v1/leases", user=None, json=body)) == (401, "UNAUTH")
    unknown = world.request("POST", "/v1/leases", json={"deltaId": UNKNOWN})
    assert error_of(unknown) == (404, "NOT_FOUND")


def test_no_lease_makes_another_one(delta: DeltaApi) -> None:
    """One that is about to end would otherwise go on for ever, and with the permissions of nobody."""
    reader = make(delta.world, delta)
    for token in (reader["token"], delta.token, delta.world.make_lease(delta.image)["token"]):
        for path, body in (("/v1/leases", {"deltaId": delta.delta_id}), (f"{delta.path}/sessions", {})):
            answer = delta.world.bearing(token, "POST", path, json=body)
            assert error_of(answer) == (403, "FORBIDDEN")


def test_an_admin_reads_and_deletes_but_never_writes(delta: DeltaApi) -> None:
    world = delta.world.with_provider(rate_limits=False)
    lease = world.bearing("admin", "POST", "/v1/leases", json={"deltaId": delta.delta_id})
    assert lease.status_code == 200
    shown = world.bearing(lease.get_json()["token"], "GET", f"{delta.path}/map")
    assert shown.status_code == 200
    assert error_of(world.bearing("admin", "POST", f"{delta.path}/sessions")) == (403, "FORBIDDEN")
    assert world.bearing("admin", "DELETE", delta.path).status_code == 200


def test_reads_by_an_admins_lease_are_in_the_log(world: World) -> None:
    """Also those of an admin to whom the base belongs, and the delta does not."""
    image = world.make_image(b"x" * 5120, owner="root")
    for path, body in (("", {"visibility": "shared"}), ("/shares", {"user": "wendy", "permission": "write"})):
        method = "POST" if path else "PATCH"
        world.request(method, f"/v1/images/{image.image_id}{path}", user="root", json=body)
    delta = make_delta(world, image, user="wendy")
    signed_in = world.with_provider(rate_limits=False)
    lease = signed_in.bearing("admin", "POST", "/v1/leases", json={"deltaId": delta.delta_id}).get_json()
    with written_lines() as lines:
        assert signed_in.bearing(lease["token"], "GET", f"{delta.path}/disk.img").status_code == 200
    logged = [line for line in lines.parsed() if line["event"] == "admin action"]
    assert [(line["user"], line["delta"], line["lease"], line["action"]) for line in logged] == [
        ("root", delta.delta_id, lease["leaseId"], "read")
    ]


def test_a_lease_ends_with_its_delta(delta: DeltaApi) -> None:
    lease = make(delta.world, delta)
    delta.done("DELETE")
    renewed = delta.world.bearing(lease["token"], "POST", f"/v1/leases/{lease['leaseId']}/renew")
    assert error_of(renewed) == (404, "NOT_FOUND")
    assert error_of(delta.world.bearing(lease["token"], "GET", f"{delta.path}/map")) == (404, "NOT_FOUND")


def test_a_lease_of_a_delta_reads_nothing_else_of_the_image(delta: DeltaApi) -> None:
    delta.world.publish(delta.image, 1024)
    for token in (make(delta.world, delta)["token"], delta.token):
        for route in ("range", "metadata", "chunked/manifest", "views/raw/disk.img"):
            assert delta.world.bearing(token, "GET", delta.image.path(route)).status_code == 403


def test_pages_of_other_origins_may_commit(delta: DeltaApi) -> None:
    asked = "authorization,content-digest,content-type,idempotency-key,if-match"
    for method in ("POST", "PUT"):
        preflight = delta.world.request(
            "OPTIONS",
            f"{delta.path}/commits",
            user=None,
            headers={
                "Origin": "https://emulator.example",
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": asked,
            },
        )
        assert method in preflight.headers["Access-Control-Allow-Methods"]
        assert preflight.headers["Access-Control-Allow-Headers"] == asked
    origin = {"Origin": "https://emulator.example", "Authorization": f"Bearer {delta.token}"}
    shown = delta.world.request("GET", f"{delta.path}/map", user=None, headers=origin)
    assert "etag" in shown.headers["Access-Control-Expose-Headers"]
    assert shown.headers["Access-Control-Allow-Origin"]
