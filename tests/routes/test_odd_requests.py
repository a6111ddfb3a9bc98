"""Requests that are odd as a whole: bodies, hosts, paths."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest

from tests.support.world import MIB, World


@pytest.mark.parametrize(("route", "field"), [("complete", "parts"), ("upload-urls", "partNumbers")])
def test_a_list_that_is_too_long_is_not_looked_into(world: World, route: str, field: str) -> None:
    image_id, upload_id = world.begin()
    body = {"uploadId": upload_id, field: [{}] * 400_000}
    response = world.request("POST", f"/v1/images/{image_id}/{route}", json=body)
    assert response.status_code == 400
    assert response.get_json()["error"]["message"].startswith(f"{field}: must contain 1 to ")


def test_a_chunked_body_beyond_the_limit_is_refused_and_not_cut(world: World) -> None:
    image_id, upload_id = world.begin()
    valid = json.dumps({"uploadId": upload_id, "partNumber": 1}).encode()
    response = world.request(
        "POST",
        f"/v1/images/{image_id}/upload-url",
        input_stream=BytesIO(valid.ljust(4 * MIB) + b"}}"),
        headers={"Transfer-Encoding": "chunked", "Content-Type": "application/json"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert (response.status_code, response.get_json()["error"]["code"]) == (413, "TOO_LARGE")


GOOD_HOSTS = ["my_gateway:3000", "localhost", "10.0.0.1:80", "[::1]:3000", "xn--mnchen-3ya.de", "a.b."]
BAD_HOSTS = ["a b", "u@h", "x/path", "h:99999", "h:", "h:x", "<b>", "a..b", '"', ""]


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_self_urls_name_the_host_as_it_was_named(world: World, host: str) -> None:
    image = world.make_image(b"x")
    answer = world.request("GET", image.path("metadata"), headers={"Host": host}).get_json()
    assert answer["url"] == f"http://{host}{image.path('range')}"


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_a_host_that_is_none_is_refused(world: World, host: str) -> None:
    response = world.request("GET", "/health", headers={"Host": host})
    assert (response.status_code, response.get_json()["error"]["code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "headers",
    [{"X-Forwarded-Host": "a b"}, {"X-Forwarded-Proto": "javascript"}],
    ids=lambda value: str(value),
)
def test_a_trusted_proxy_cannot_make_it_up_either(world: World, headers: dict[str, str]) -> None:
    image = world.make_image(b"x")
    behind = world.with_settings(trusted_proxy_hops=1)
    assert behind.request("GET", image.path("stream-url"), headers=headers).status_code == 400


def test_a_doubled_slash_is_another_path(world: World) -> None:
    response = world.request("GET", "/v1//images", base_url="http://evil.example")
    assert response.status_code == 404
    assert "Location" not in response.headers


def test_an_id_may_be_written_in_capitals(world: World) -> None:
    image = world.make_image(b"x")
    assert world.request("GET", f"/v1/images/{image.image_id.upper()}/range").data == b"x"


def test_a_preflight_from_another_origin_allows_nothing(world: World) -> None:
    named = world.with_settings(cors_allow_origin=("https://app.example.com",))
    headers: dict[str, Any] = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    response = named.request("OPTIONS", "/v1/images", headers=headers)
    assert [name for name, _ in response.headers if name.startswith("Access-Control")] == []
