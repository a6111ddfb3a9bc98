"""Signing in and out at an identity provider, by the code flow with PKCE."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from image_gateway.routes.http.session_cookie import SESSION_COOKIE
from image_gateway.routes.sessions import PENDING_COOKIE
from tests.support.oidc_browser import GATEWAY, KEYS, Browser, make_gateway, problem_of, visit
from tests.support.oidc_code_flow import CodeFlow
from tests.support.oidc_provider import OidcProvider
from tests.support.world import World


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
