"""CORS on every answer, errors and preflights included."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.leasing import outcome
from tests.support.world import MIB, World

NAMED = ("https://app.example.com", "http://localhost:5173")
EXPOSED = (
    "accept-ranges, content-range, content-length, content-encoding, etag, last-modified, retry-after, "
    "x-error-code"
)
PATHS = ["/v1/images", "/v1/images/x/range", "/no/such/route", "/health", "/"]


@pytest.mark.parametrize("path", PATHS)
def test_anyone_may_read_without_credentials(world: World, path: str) -> None:
    response = world.request("GET", path, user=None, headers={"Origin": "https://any.example"})
    assert response.headers.getlist("Access-Control-Allow-Origin") == ["*"]
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert response.headers["Access-Control-Expose-Headers"] == EXPOSED


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origin", [*NAMED, "HTTPS://App.Example.com"])
def test_a_named_origin_is_echoed_with_credentials(world: World, path: str, origin: str) -> None:
    named = world.with_settings(cors_allow_origin=NAMED)
    response = named.request("GET", path, headers={"Origin": origin})
    assert response.headers.getlist("Access-Control-Allow-Origin") == [origin]
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert "Origin" in response.headers["Vary"]


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "https://evil.example",
        "https://app.example.com.evil.net",
        "https://app.example.com:444",
        "http://app.example.com",
        "*",
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_another_origin_gets_no_cors_headers_but_vary(world: World, method: str, origin: str | None) -> None:
    named = world.with_settings(cors_allow_origin=NAMED)
    response = named.request(method, "/health", headers={} if origin is None else {"Origin": origin})
    assert "Access-Control-Allow-Origin" not in response.headers
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert "Origin" in response.headers["Vary"]


@pytest.mark.parametrize("path", PATHS)
def test_a_preflight_passes_on_any_path(world: World, path: str) -> None:
    headers = {
        "Origin": "https://any.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "range,x-accept-encoding",
    }
    response = world.request("OPTIONS", path, user=None, headers=headers)
    assert (response.status_code, response.data) == (204, b"")
    assert "Content-Type" not in response.headers
    assert "Content-Length" not in response.headers
    assert response.headers["Access-Control-Allow-Headers"] == "range,x-accept-encoding"
    assert set(response.headers["Access-Control-Allow-Methods"].split(", ")) >= {"GET", "HEAD", "POST"}
    assert response.headers["Access-Control-Max-Age"] == "86400"
    vary = {name.strip() for name in response.headers["Vary"].split(",")}
    assert vary == {"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"}


@pytest.mark.parametrize(
    "requested", [None, "", "bad header", "x;y", "é", "a," * 3000, ",", "x\x01"], ids=lambda v: repr(v)[:12]
)
def test_requested_headers_that_are_no_clean_list_get_the_fixed_one(
    world: World, requested: str | None
) -> None:
    headers = {} if requested is None else {"Access-Control-Request-Headers": requested}
    allowed = world.request("OPTIONS", "/v1/images", headers=headers).headers["Access-Control-Allow-Headers"]
    assert set(allowed.split(", ")) == {
        "range",
        "if-range",
        "if-none-match",
        "if-match",
        "if-modified-since",
        "if-unmodified-since",
        "content-type",
        "authorization",
        "x-user-id",
        "x-accept-encoding",
        "content-digest",
        "idempotency-key",
    }


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/v1/images?" + "x" * 9000, {}, 414),
        ("GET", "/health", {"headers": {"Range": "bytes=0-" + "9" * 17_000}}, 413),
        ("POST", "/v1/images", {"data": bytes(5 * MIB), "content_type": "application/json"}, 413),
    ],
    ids=["URL", "Range", "body"],
)
@pytest.mark.parametrize("allowed", [("*",), NAMED], ids=["any", "named"])
def test_a_page_can_read_that_its_request_is_too_large(
    world: World, method: str, path: str, options: dict[str, Any], status: int, allowed: tuple[str, ...]
) -> None:
    headers = {"Origin": NAMED[0], **options.get("headers", {})}
    response = world.with_settings(cors_allow_origin=allowed, auth_mode="none").request(
        method, path, **{**options, "headers": headers}
    )
    assert response.status_code == status
    assert response.headers["Access-Control-Allow-Origin"] == ("*" if allowed == ("*",) else NAMED[0])
    assert response.headers["Access-Control-Expose-Headers"] == EXPOSED
    assert ("Access-Control-Allow-Credentials" in response.headers) == (allowed == NAMED)
    assert (response.headers.get("Vary") == "Origin") == (allowed == NAMED)


# AUTH_MODE=dev: whoever may send X-User-Id is anyone.

OTHER_PAGES = [
    "https://evil.example",
    "null",
    "",
    "http://localhost:8000",
    "https://localhost",
    "http://127.0.0.1",
    "http://localhost.evil.example",
]
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-User-Id, content-type"}


@pytest.mark.parametrize("allowed", [("*",), NAMED], ids=["any", "named"])
@pytest.mark.parametrize("origin", OTHER_PAGES)
def test_a_page_of_another_origin_cannot_say_who_the_user_is(
    world: World, origin: str, allowed: tuple[str, ...]
) -> None:
    dev = world.with_settings(cors_allow_origin=allowed)
    response = dev.request("POST", "/v1/images", headers={"Origin": origin})
    assert outcome(response) == (403, "FORBIDDEN")
    assert "CORS_ALLOW_ORIGIN" in response.get_json()["error"]["message"]
    preflight = dev.request("OPTIONS", "/v1/images", user=None, headers={"Origin": origin, **ASKED})
    assert "x-user-id" not in preflight.headers.get("Access-Control-Allow-Headers", "").lower()


def test_a_preflight_of_another_page_allows_the_rest(world: World) -> None:
    for requested, allowed in {
        "range,X-USER-ID": {"range"},
        "not a list": {"range", "authorization"},
    }.items():
        headers = {"Origin": "https://any.example", "Access-Control-Request-Headers": requested}
        answer = world.request("OPTIONS", "/v1/images", user=None, headers=headers)
        names = set(answer.headers["Access-Control-Allow-Headers"].split(", "))
        assert names >= allowed
        assert "x-user-id" not in {name.lower() for name in names}


@pytest.mark.parametrize("origin", [*NAMED, "HTTP://Localhost:5173", "http://localhost"])
def test_a_named_page_and_the_gateways_own_may_say_who_the_user_is(world: World, origin: str) -> None:
    dev = world.with_settings(cors_allow_origin=NAMED)
    assert dev.request("POST", "/v1/images", headers={"Origin": origin}).status_code == 200
    preflight = dev.request("OPTIONS", "/v1/images", user=None, headers={"Origin": NAMED[0], **ASKED})
    assert preflight.headers["Access-Control-Allow-Headers"] == "X-User-Id, content-type"


def test_the_gateways_own_page_is_that_of_its_public_url(world: World) -> None:
    dev = world.with_settings(public_url="https://images.example.com")
    for origin, status in {"https://images.example.com": 200, "http://localhost": 403}.items():
        assert dev.request("POST", "/v1/images", headers={"Origin": origin}).status_code == status


def test_who_is_no_page_says_who_it_is(world: World) -> None:
    assert world.request("POST", "/v1/images").status_code == 200


@pytest.mark.parametrize("mode", ["none", "oidc"])
def test_where_the_header_is_not_believed_pages_may_send_it(world: World, mode: str) -> None:
    provider = {"oidc_issuer": "https://id.example.com", "oidc_audience": ("image-gateway",)}
    elsewhere = (
        world.with_settings(auth_mode=mode)
        if mode == "none"
        else world.with_provider(auth_mode=mode, **provider)
    )
    headers = {"Origin": "https://any.example", "Authorization": "Bearer user:alice"}
    assert elsewhere.request("POST", "/v1/images", headers=headers).status_code == 200
    preflight = elsewhere.request("OPTIONS", "/v1/images", user=None, headers={**headers, **ASKED})
    assert preflight.headers["Access-Control-Allow-Headers"] == "X-User-Id, content-type"
