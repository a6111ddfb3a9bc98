"""A browser that signs in at a fake issuer, and the gateways that it comes back to."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import urllib3
from werkzeug.test import TestResponse

from tests.support.oidc_provider import OidcProvider
from tests.support.world import World

GATEWAY = "http://localhost"
KEYS = (("new", "n" * 32), ("old", "o" * 32))


def make_gateway(world: World, provider: OidcProvider, **changes: Any) -> World:
    settings = {
        "auth_mode": "oidc",
        "oidc_issuer": provider.issuer,
        "oidc_audience": ("image-gateway",),
        "oidc_client_id": "image-gateway-console",
        "lease_keys": KEYS,
        "rate_limits": False,
    }
    return world.with_settings(**{**settings, **changes})


class Browser:
    """A browser at the gateway and at the issuer: it keeps the gateway's cookies and follows redirects."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cookies: dict[str, str] = {}

    def get(self, url: str) -> TestResponse:
        parts = urlsplit(url)
        return self._open("GET", f"{parts.path}?{parts.query}")

    def post(self, path: str) -> TestResponse:
        return self._open("POST", path)

    def _open(self, method: str, path: str) -> TestResponse:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"Cookie": cookie, "Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}
        response = self.world.request(method, path, user=None, headers=headers)
        for header in response.headers.getlist("Set-Cookie"):
            name, _, value = header.partition(";")[0].partition("=")
            self.cookies[name] = value
        return response

    def begin(self, path: str = "/login") -> str:
        """Begin to sign in, and return the issuer's URL to which the browser is sent."""
        response = self.get(path)
        assert response.status_code == 303, response.text
        return response.headers["Location"]

    def sign_in(self, path: str = "/login") -> TestResponse:
        """Sign in at the issuer, and return the gateway's answer to the way back."""
        return self.get(visit(self.begin(path)))

    def me(self) -> dict[str, Any]:
        response = self.get("/v1/me")
        return response.get_json() if response.status_code == 200 else {"status": response.status_code}


def visit(url: str) -> str:
    """Ask the issuer's URL as a browser does, and return where it redirects to."""
    with urllib3.PoolManager(retries=False, timeout=10) as http:
        answer = http.request("GET", url, redirect=False)
    assert answer.status == 302, answer.data
    return str(answer.headers["Location"])


def problem_of(response: TestResponse) -> str:
    """The problem that the sign-in page is told."""
    assert response.status_code == 303
    parts = urlsplit(response.headers["Location"])
    assert parts.path == "/sign-in"
    query = parse_qs(parts.query)
    assert query["request"] == [response.headers["X-Request-Id"]]
    return query["problem"][0]
