"""Signing in at an identity provider, by the code flow with PKCE, against an issuer that also misbehaves."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from werkzeug.test import TestResponse

from image_gateway.identity.oidc_sign_in import PENDING_SECONDS
from image_gateway.routes.http.session_cookie import SESSION_COOKIE
from image_gateway.routes.sessions import PENDING_COOKIE
from tests.support.clock import Clock
from tests.support.log_lines import written_lines
from tests.support.oidc_code_flow import TOKEN_PATH, CodeFlow
from tests.support.oidc_provider import DISCOVERY_PATH, Answer, OidcProvider
from tests.support.world import World

GATEWAY = "http://localhost"
KEYS = (("new", "n" * 32), ("old", "o" * 32))


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with OidcProvider.start() as provider:
        yield provider


@pytest.fixture
def flow(provider: OidcProvider) -> CodeFlow:
    flow = CodeFlow(provider)
    flow.register(GATEWAY)
    return flow


@pytest.fixture
def gateway(world: World, provider: OidcProvider, flow: CodeFlow) -> World:
    return make_gateway(world, provider)


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


def test_a_person_signs_in_and_comes_back_to_where_they_were(gateway: World) -> None:
    browser = Browser(gateway)
    response = browser.sign_in("/login?next=/images/1?tab=2")
    assert (response.status_code, response.headers["Location"]) == (303, "/images/1?tab=2")
    assert browser.cookies[PENDING_COOKIE] == ""
    assert (browser.me()["user"], browser.me()["admin"]) == ("alice", False)


def test_names_and_admins_are_read_from_the_id_token(world: World, provider: OidcProvider) -> None:
    flow = CodeFlow(provider)
    flow.register(GATEWAY)
    flow.claims = {"name": " Alice Ämter ", "roles": ["admin"]}
    browser = Browser(make_gateway(world, provider, oidc_admin_claim="roles=admin"))
    browser.sign_in()
    assert (browser.me()["name"], browser.me()["admin"]) == ("Alice Ämter", True)


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": "", "preferred_username": "al"}, "al"),
        ({"name": 5, "email": "a@example.org"}, "a@example.org"),
        ({"name": "x\x1b[1m", "preferred_username": "x" * 257}, "alice"),
    ],
    ids=str,
)
def test_a_name_that_cannot_be_shown_is_passed_over(
    gateway: World, flow: CodeFlow, claims: dict[str, Any], name: str
) -> None:
    flow.claims = claims
    browser = Browser(gateway)
    browser.sign_in()
    assert browser.me()["name"] == name


@pytest.mark.parametrize("secret", [None, "s:e%c r&et"])
def test_a_client_may_have_a_secret(world: World, provider: OidcProvider, secret: str | None) -> None:
    CodeFlow(provider, client_secret=secret).register(GATEWAY)
    browser = Browser(make_gateway(world, provider, oidc_client_secret=secret))
    assert browser.sign_in().headers["Location"] == "/"


def test_a_wrong_secret_is_refused(world: World, provider: OidcProvider) -> None:
    CodeFlow(provider, client_secret="right").register(GATEWAY)
    browser = Browser(make_gateway(world, provider, oidc_client_secret="wrong"))
    assert problem_of(browser.sign_in()) == "refused"


def test_the_request_has_everything_that_protects_it(gateway: World) -> None:
    browser = Browser(gateway)
    first, second = (parse_qs(urlsplit(browser.begin()).query) for _ in range(2))
    assert first["code_challenge_method"] == ["S256"]
    assert first["redirect_uri"] == [f"{GATEWAY}/oauth/callback"]
    assert first["scope"] == ["openid profile"]
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name][0]) >= 43
        assert first[name] != second[name]


def test_the_redirect_uri_is_of_the_public_url(world: World, provider: OidcProvider, flow: CodeFlow) -> None:
    gateway = make_gateway(world, provider, public_url="https://images.example.com")
    asked = parse_qs(urlsplit(Browser(gateway).begin()).query)
    assert asked["redirect_uri"] == ["https://images.example.com/oauth/callback"]


def test_signing_in_again_gives_a_new_session_and_ends_the_old_one(gateway: World, flow: CodeFlow) -> None:
    browser = Browser(gateway)
    browser.sign_in()
    old = browser.cookies[SESSION_COOKIE]
    flow.user = "bob"
    browser.sign_in()
    assert browser.cookies[SESSION_COOKIE] != old
    assert browser.me()["user"] == "bob"
    browser.cookies[SESSION_COOKIE] = old
    assert browser.me() == {"status": 401}


def test_signing_out_leads_to_the_issuer(gateway: World, flow: CodeFlow) -> None:
    browser = Browser(gateway)
    browser.sign_in()
    session_id = browser.cookies[SESSION_COOKIE]
    url = browser.post("/logout").get_json()["redirect"]
    assert visit(url) == f"{GATEWAY}/"
    assert flow.sign_outs == 1
    browser.cookies[SESSION_COOKIE] = session_id
    assert browser.me() == {"status": 401}


def test_signing_out_needs_no_issuer(gateway: World, provider: OidcProvider) -> None:
    browser = Browser(gateway)
    browser.sign_in()
    other_worker = make_gateway(gateway, provider)
    provider.down()
    browser.world = other_worker
    assert browser.post("/logout").get_json() == {"ok": True, "redirect": None}
    assert browser.me() == {"status": 401}


def test_two_workers_share_a_sign_in(gateway: World, provider: OidcProvider) -> None:
    browser = Browser(gateway)
    callback = visit(browser.begin())
    browser.world = make_gateway(gateway, provider)
    assert browser.get(callback).headers["Location"] == "/"
    browser.world = gateway
    assert browser.me()["user"] == "alice"


def test_a_sign_in_survives_a_rotation_of_keys(gateway: World, provider: OidcProvider) -> None:
    browser = Browser(gateway)
    callback = visit(browser.begin())
    browser.world = make_gateway(gateway, provider, lease_keys=(("newest", "x" * 32), *KEYS))
    assert browser.get(callback).headers["Location"] == "/"


def test_a_code_works_once(gateway: World) -> None:
    browser = Browser(gateway)
    callback = visit(browser.begin())
    pending = browser.cookies[PENDING_COOKIE]
    assert browser.get(callback).headers["Location"] == "/"
    browser.cookies[PENDING_COOKIE] = pending
    assert problem_of(browser.get(callback)) == "refused"


def test_somebody_elses_sign_in_is_not_completed(gateway: World, flow: CodeFlow) -> None:
    """Login CSRF: the callback of the attacker's sign-in, in the victim's browser."""
    attacker, victim = Browser(gateway), Browser(gateway)
    flow.user = "mallory"
    callback = visit(attacker.begin())
    assert problem_of(victim.get(callback)) == "expired"
    victim.begin()
    assert problem_of(victim.get(callback)) == "expired"
    assert victim.me() == {"status": 401}


@pytest.mark.parametrize("cookie", ["", "x", "{}", "ImEi.x.y"])
def test_a_pending_sign_in_cannot_be_made_up(gateway: World, cookie: str) -> None:
    browser = Browser(gateway)
    callback = visit(browser.begin())
    browser.cookies[PENDING_COOKIE] = cookie
    assert problem_of(browser.get(callback)) == "expired"


def test_a_sign_in_does_not_wait_for_ever(
    gateway: World, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, clock = Browser(gateway), Clock()
    callback = visit(browser.begin())
    monkeypatch.setattr("time.time", lambda: clock.now + PENDING_SECONDS + 2)
    assert problem_of(browser.get(callback)) == "expired"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"state": "other"}, "expired"),
        ({"state": ...}, "expired"),
        ({"code": "unknown"}, "refused"),
        ({"code": ...}, "denied"),
        ({"code": "x" * 5000}, "denied"),
    ],
    ids=str,
)
def test_a_changed_way_back_is_refused(
    gateway: World, flow: CodeFlow, changes: dict[str, Any], problem: str
) -> None:
    flow.redirect_changes = changes
    assert problem_of(Browser(gateway).sign_in()) == problem


def test_a_person_may_say_no(gateway: World, flow: CodeFlow) -> None:
    flow.authorization_error = "access_denied"
    assert problem_of(Browser(gateway).sign_in()) == "denied"


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "other"},
        {"nonce": ...},
        {"aud": "image-gateway"},
        {"aud": ["image-gateway-console", "x"], "azp": "x"},
        {"iss": "https://other.example"},
        {"exp": 1},
        {"sub": ...},
        {"sub": "a\nb"},
    ],
    ids=str,
)
def test_an_id_token_for_something_else_is_refused(
    gateway: World, flow: CodeFlow, claims: dict[str, Any]
) -> None:
    flow.claims = claims
    browser = Browser(gateway)
    assert problem_of(browser.sign_in()) == "refused"
    assert browser.me() == {"status": 401}


def test_an_id_token_is_no_bearer_token_and_the_other_way_round(
    gateway: World, provider: OidcProvider
) -> None:
    """They are meant for different audiences."""
    token = provider.token(aud="image-gateway-console", nonce="x")
    assert gateway.bearing(token, "GET", "/v1/me").status_code == 401
    assert gateway.bearing(provider.token(), "GET", "/v1/me").get_json()["session"] is None


JUNK = [
    Answer(status=500),
    Answer(b"<html>"),
    Answer(b"[]"),
    Answer(b'"text"'),
    Answer(b"null"),
    Answer(status=302, headers={"Location": "/elsewhere"}),
]


@pytest.mark.parametrize("answer", JUNK, ids=lambda answer: f"{answer.status} {answer.body!r}")
def test_a_token_endpoint_that_answers_junk_is_unavailable(
    gateway: World, provider: OidcProvider, answer: Answer
) -> None:
    browser = Browser(gateway)
    callback = visit(browser.begin())
    provider.answers[TOKEN_PATH] = answer
    assert problem_of(browser.get(callback)) == "unavailable"


@pytest.mark.parametrize("body", [b"{}", b'{"id_token": 5}', b'{"access_token": "x"}'])
def test_an_answer_without_an_id_token_is_refused(
    gateway: World, provider: OidcProvider, body: bytes
) -> None:
    browser = Browser(gateway)
    callback = visit(browser.begin())
    provider.answers[TOKEN_PATH] = Answer(body)
    assert problem_of(browser.get(callback)) == "refused"


@pytest.mark.parametrize("document", [b"{}", b"[]", b"no json"])
def test_an_unusable_discovery_document_is_unavailable(
    gateway: World, provider: OidcProvider, document: bytes
) -> None:
    provider.answers[DISCOVERY_PATH] = Answer(document)
    assert problem_of(Browser(gateway).get("/login")) == "unavailable"


def test_an_issuer_that_is_down_is_unavailable_and_then_comes_back(
    gateway: World, provider: OidcProvider
) -> None:
    browser = Browser(gateway)
    provider.down()
    assert problem_of(browser.get("/login")) == "unavailable"
    provider.up()
    callback = visit(browser.begin())
    provider.down()
    assert problem_of(browser.get(callback)) == "unavailable"


def test_the_discovery_document_is_fetched_once(gateway: World, provider: OidcProvider) -> None:
    for _ in range(3):
        Browser(gateway).sign_in()
    # Once for the endpoints, once for the keys.
    assert provider.paths.count(DISCOVERY_PATH) == 2


def test_no_secret_of_the_flow_is_logged_or_shown(world: World, provider: OidcProvider) -> None:
    flow = CodeFlow(provider, client_secret="hidden-client-secret")
    flow.register(GATEWAY)
    gateway = make_gateway(world, provider, oidc_client_secret="hidden-client-secret")
    browser = Browser(gateway)
    with written_lines(logging.DEBUG) as lines:
        callback = visit(browser.begin())
        pending = browser.cookies[PENDING_COOKIE]
        shown = browser.get(callback).text
        flow.claims = {"nonce": "wrong"}
        shown += browser.sign_in().text
        provider.answers[TOKEN_PATH] = Answer(b'{"error": "invalid_grant", "error_description": "x"}', 400)
        shown += browser.sign_in().text
    query = parse_qs(urlsplit(callback).query)
    text = lines.text() + shown
    assert "a sign-in failed" in text
    for secret in (query["code"][0], query["state"][0], pending, browser.cookies[SESSION_COOKIE]):
        assert secret not in text
    assert "hidden-client-secret" not in text + repr(gateway.settings)


def test_without_a_client_id_nobody_signs_in(world: World, provider: OidcProvider) -> None:
    gateway = make_gateway(world, provider, oidc_client_id=None)
    response = Browser(gateway).get("/login")
    assert response.headers["Location"] == "/sign-in?next=%2F"
    assert gateway.request("GET", "/oauth/callback", user=None).status_code == 404
