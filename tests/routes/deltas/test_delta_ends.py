"""Images of deltas, and images that are deleted with their deltas."""

from __future__ import annotations

import pytest

from tests.support.delta_api import DeltaApi, error_of, make_delta
from tests.support.world import Image, World

pytestmark = pytest.mark.database


def test_a_delta_becomes_an_image(delta: DeltaApi) -> None:
    delta.write(1)
    made = delta.done("POST", "/flatten", 202, json={"name": "flat"})
    assert (made["state"], made["job"]["kind"], made["job"]["state"]) == ("processing", "flatten", "queued")
    record = delta.world.request("GET", f"/v1/images/{made['imageId']}").get_json()
    assert (record["name"], record["sizeBytes"]) == ("flat", len(delta.image.data))
    (kept,) = delta.done("GET", "/snapshots")["snapshots"]
    assert kept["generation"] == 1


@pytest.mark.parametrize(
    "body",
    [{}, {"name": None}, {"name": ""}, {"name": "x", "generation": -1}, {"name": "x", "generation": "1"}],
)
def test_a_bad_request_makes_no_image(delta: DeltaApi, body: dict[str, object]) -> None:
    assert error_of(delta.ask("POST", "/flatten", json=body)) == (400, "BAD_REQUEST")


def test_what_cannot_be_flattened(delta: DeltaApi) -> None:
    used = delta.world.request("GET", "/v1/usage").get_json()
    body = {"name": "x", "generation": 1}
    assert error_of(delta.ask("POST", "/flatten", json=body)) == (404, "NOT_FOUND")
    assert error_of(delta.ask("POST", "/flatten", json={"name": "x"}, user="bob")) == (403, "FORBIDDEN")
    by_session = delta.world.bearing(delta.token, "POST", f"{delta.path}/flatten", json={"name": "x"})
    assert error_of(by_session) == (403, "FORBIDDEN")
    full = delta.world.with_settings(rate_limits=False, quota_bytes=used["bytes"]["used"])
    refused = full.request("POST", f"{delta.path}/flatten", json={"name": "x"})
    assert error_of(refused) == (403, "QUOTA_EXCEEDED")
    assert delta.done("GET", "/snapshots") == {"snapshots": []}
    assert delta.world.request("GET", "/v1/usage").get_json() == used


def test_an_image_with_deltas_is_deleted_on_demand_only(world: World, image: Image) -> None:
    world.share_with(image, "wendy", "write")
    first, second = make_delta(world, image), make_delta(world, image, user="wendy")
    path = f"/v1/images/{image.image_id}"
    for query in ("", "?cascade=false"):
        refused = world.request("DELETE", path + query)
        assert error_of(refused) == (409, "HAS_DELTAS")
        assert "2 deltas" in refused.get_json()["error"]["message"]
    assert error_of(world.request("DELETE", f"{path}?cascade=yes")) == (400, "BAD_REQUEST")
    assert first.ask("GET").status_code == 200
    assert world.request("DELETE", f"{path}?cascade=true").get_json() == {"ok": True}
    assert error_of(first.ask("GET")) == (404, "NOT_FOUND")
    assert error_of(second.ask("GET", user="wendy")) == (404, "NOT_FOUND")
    assert error_of(world.request("GET", path)) == (404, "NOT_FOUND")


def test_an_image_whose_deltas_are_deleted_goes_like_any_other(delta: DeltaApi) -> None:
    path = f"/v1/images/{delta.image.image_id}"
    assert error_of(delta.world.request("DELETE", path)) == (409, "HAS_DELTAS")
    delta.done("DELETE")
    assert delta.world.request("DELETE", path).status_code == 200
