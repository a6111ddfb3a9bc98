"""Signing in at an identity provider that misbehaves, or with what somebody else made."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from image_gateway.identity.oidc_sign_in import PENDING_SECONDS
from image_gateway.routes.http.session_cookie import SESSION_COOKIE
from image_gateway.routes.sessions import PENDING_COOKIE
from tests.support.clock import Clock
from tests.support.log_lines import written_lines
from tests.support.oidc_browser import GATEWAY, Browser, make_gateway, problem_of, visit
from tests.support.oidc_code_flow import TOKEN_PATH, CodeFlow
from tests.support.oidc_provider import DISCOVERY_PATH, Answer, OidcProvider
from tests.support.world import World


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
