"""The issuer of tokens as the doctor sees it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from image_gateway.doctor.oidc import check_oidc
from image_gateway.identity.oidc_claims import IssuerUnreachable
from image_gateway.settings import Settings
from tests.support.environments import load
from tests.support.findings import codes_of, only_finding, skipped_of
from tests.support.oidc_code_flow import CLIENT_ID, CodeFlow
from tests.support.oidc_provider import DISCOVERY_PATH, JWKS_PATH, Answer, OidcProvider

KEYS = {"LEASE_KEYS": f"k1:{'0123456789abcdef' * 4}"}
SECRET = "sesame-of-the-client"


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with OidcProvider.start() as provider:
        yield provider


@pytest.fixture
def settings(provider: OidcProvider) -> Settings:
    return with_issuer(provider.issuer)


def with_issuer(issuer: str, **more: str) -> Settings:
    given = {"AUTH_MODE": "oidc", "OIDC_ISSUER": issuer, "OIDC_AUDIENCE": "image-gateway"}
    return load(**given, **KEYS, **more)


def test_a_healthy_issuer_has_no_finding(settings: Settings, provider: OidcProvider) -> None:
    checks = list(check_oidc(settings))
    assert codes_of(checks) == []
    assert skipped_of(checks) == {"client of browsers": "OIDC_CLIENT_ID is not set"}
    assert provider.paths == [DISCOVERY_PATH, JWKS_PATH]


@pytest.mark.parametrize("mode", ["dev", "none"])
def test_without_oidc_nothing_is_asked(mode: str) -> None:
    assert skipped_of(check_oidc(load(AUTH_MODE=mode))) == {"issuer": f"AUTH_MODE={mode}"}


def test_an_issuer_that_is_down(settings: Settings, provider: OidcProvider) -> None:
    provider.down()
    finding = only_finding(check_oidc(settings))
    assert finding.code == "oidc-unreachable"
    assert finding.what == "the discovery cannot be fetched: 127.0.0.1: Connection refused"


def test_an_issuer_that_does_not_answer(
    settings: Settings, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_gateway.identity.oidc_keys.READ_SECONDS", 0.2)
    with provider.holding(DISCOVERY_PATH):
        assert codes_of(check_oidc(settings)) == ["broken oidc-unreachable"]


@pytest.mark.parametrize(
    "answer",
    [Answer(b"<html>Sign in</html>"), Answer(status=404), Answer(status=302, headers={"Location": "/"})],
)
def test_a_web_page_in_place_of_the_issuer(
    settings: Settings, provider: OidcProvider, answer: Answer
) -> None:
    provider.answers[DISCOVERY_PATH] = answer
    assert codes_of(check_oidc(settings)) == ["broken oidc-bad-answer"]


def test_a_key_set_that_is_not_json(settings: Settings, provider: OidcProvider) -> None:
    provider.answers[JWKS_PATH] = Answer(b"<html>")
    assert codes_of(check_oidc(settings)) == ["broken oidc-bad-answer"]


def test_a_slash_too_many_at_the_end_of_the_issuer(provider: OidcProvider) -> None:
    finding = only_finding(check_oidc(with_issuer(f"{provider.issuer}/")))
    assert finding.code == "oidc-wrong-issuer"
    assert finding.remedy == f"set OIDC_ISSUER={provider.issuer} (only the slash at the end differs)"


@pytest.mark.parametrize(
    ("issuer", "shown"), [("https://other.example.com", "other"), (None, "no issuer"), (5, "no issuer")]
)
def test_the_document_of_another_issuer(
    settings: Settings, provider: OidcProvider, issuer: object, shown: str
) -> None:
    provider.metadata["issuer"] = issuer
    finding = only_finding(check_oidc(settings))
    assert finding.code == "oidc-wrong-issuer"
    assert shown in finding.what


def change_jwk(provider: OidcProvider, **changes: Any) -> None:
    provider.published = [{**provider.key.jwk, **changes}]


@pytest.mark.parametrize("changes", [{"use": "enc"}, {"alg": "HS256"}, {"kty": "oct"}, {"n": "AQAB"}])
def test_no_usable_signing_key(settings: Settings, provider: OidcProvider, changes: dict[str, Any]) -> None:
    change_jwk(provider, **changes)
    assert codes_of(check_oidc(settings)) == ["broken oidc-no-usable-key"]


def test_a_discovery_document_without_keys(settings: Settings, provider: OidcProvider) -> None:
    provider.metadata["jwks_uri"] = None
    assert codes_of(check_oidc(settings)) == ["broken oidc-no-usable-key"]


@pytest.mark.parametrize(("ahead", "is_found"), [(-40, True), (-20, False), (20, False), (40, True)])
def test_a_clock_beyond_the_leeway(settings: Settings, ahead: int, is_found: bool) -> None:
    found = list(check_oidc(settings, clock=lambda: time.time() - ahead))
    assert codes_of(found) == (["broken oidc-clock-skew"] if is_found else [])
    if is_found:
        assert ("ahead of" if ahead > 0 else "behind") in only_finding(found).what


def test_a_document_from_a_cache_is_no_skewed_clock(settings: Settings, provider: OidcProvider) -> None:
    kept_for = 100
    document = json.dumps({"keys": provider.published}).encode()
    provider.answers[JWKS_PATH] = Answer(document, headers={"Age": str(kept_for)})
    assert codes_of(check_oidc(settings, clock=lambda: time.time() + kept_for)) == []
    assert codes_of(check_oidc(settings)) == ["broken oidc-clock-skew"]


def test_a_plain_http_issuer_on_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise IssuerUnreachable("id.example.com: the host name cannot be resolved")

    monkeypatch.setattr("image_gateway.doctor.oidc.fetch_document", fail)
    found = codes_of(check_oidc(with_issuer("http://id.example.com")))
    assert found == ["warning oidc-plain-http", "broken oidc-unreachable"]


def test_a_given_key_url_needs_no_discovery(provider: OidcProvider) -> None:
    provider.answers[DISCOVERY_PATH] = Answer(status=404)
    checks = list(check_oidc(with_issuer(provider.issuer, OIDC_JWKS_URL=provider.jwks_url)))
    assert codes_of(checks) == []
    assert "discovery" in skipped_of(checks)
    assert provider.paths == [JWKS_PATH]


@pytest.fixture
def flow(provider: OidcProvider) -> CodeFlow:
    return CodeFlow(provider, client_secret=SECRET)


def of_client(provider: OidcProvider, secret: str | None = SECRET) -> Settings:
    given = {"OIDC_CLIENT_SECRET": secret} if secret else {}
    return with_issuer(
        provider.issuer, OIDC_CLIENT_ID=CLIENT_ID, PUBLIC_URL="https://images.example.com", **given
    )


def test_a_client_with_its_secret(provider: OidcProvider, flow: CodeFlow) -> None:
    checks = list(check_oidc(of_client(provider)))
    assert codes_of(checks) == []
    assert "https://images.example.com/oauth/callback" in checks[-1].detail
    assert flow.refusals == ["invalid_grant"]


def test_a_public_client(provider: OidcProvider, flow: CodeFlow) -> None:
    flow.client_secret = None
    assert codes_of(check_oidc(of_client(provider, None))) == []


@pytest.mark.parametrize("secret", [None, "wrong-sesame"])
@pytest.mark.usefixtures("flow")
def test_a_client_without_its_secret(provider: OidcProvider, secret: str | None) -> None:
    finding = only_finding(check_oidc(of_client(provider, secret)))
    assert finding.code == "oidc-client-refused"
    assert "OIDC_CLIENT_SECRET" in finding.remedy


@pytest.mark.usefixtures("flow")
@pytest.mark.parametrize(
    ("methods", "severity"), [(["plain"], "broken"), ([], "broken"), (None, "warning"), ("S256", "warning")]
)
def test_an_issuer_without_pkce(provider: OidcProvider, methods: object, severity: str) -> None:
    provider.metadata["code_challenge_methods_supported"] = methods
    assert codes_of(check_oidc(of_client(provider))) == [f"{severity} oidc-no-pkce"]


@pytest.mark.usefixtures("flow")
def test_an_issuer_without_the_code_flow(provider: OidcProvider) -> None:
    provider.metadata["authorization_endpoint"] = None
    assert codes_of(check_oidc(of_client(provider))) == ["broken oidc-no-endpoint"]


def test_a_token_endpoint_that_sends_a_page(provider: OidcProvider, flow: CodeFlow) -> None:
    provider.endpoints["POST", "/token"] = lambda _: Answer(b"<html>")
    assert codes_of(check_oidc(of_client(provider))) == ["broken oidc-token-endpoint"]
    assert flow.refusals == []


@pytest.mark.usefixtures("flow")
@pytest.mark.parametrize(
    ("status", "document"),
    [
        (200, {}),
        (200, {"access_token": "for-a-made-up-code", "token_type": "Bearer"}),
        (400, {"error": "unsupported_grant_type"}),
        (500, {"error": "server_error"}),
        (400, {"error": SECRET}),
    ],
    ids=["nothing", "a token", "no code flow", "a fault", "an unknown code"],
)
def test_only_the_refusal_of_the_code_means_that_the_client_is_known(
    provider: OidcProvider, status: int, document: dict[str, str]
) -> None:
    headers = {"Content-Type": "application/json"}
    provider.endpoints["POST", "/token"] = lambda _: Answer(json.dumps(document).encode(), status, headers)
    checks = list(check_oidc(of_client(provider)))
    assert codes_of(checks) == ["broken oidc-token-endpoint"]
    assert SECRET not in repr(checks)
