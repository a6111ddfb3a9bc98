"""The fake issuer's code flow refuses what an issuer must refuse: tests of signing in rely on it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
import pytest
import urllib3

from tests.support.oidc_code_flow import AUTHORIZATION_PATH, END_SESSION_PATH, TOKEN_PATH, CodeFlow, s256
from tests.support.oidc_provider import DISCOVERY_PATH, Answer, OidcProvider

GATEWAY = "http://127.0.0.1:3000"
CALLBACK = f"{GATEWAY}/oauth/callback"
VERIFIER = "v" * 43
SECRET = "a+b c"
SENT = {
    "response_type": "code",
    "client_id": "image-gateway-console",
    "redirect_uri": CALLBACK,
    "scope": "openid profile",
    "state": "the state",
    "nonce": "the nonce",
    "code_challenge": s256(VERIFIER),
    "code_challenge_method": "S256",
}


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with OidcProvider.start() as running:
        yield running


@pytest.fixture
def flow(provider: OidcProvider) -> CodeFlow:
    made = CodeFlow(provider)
    made.register(GATEWAY)
    return made


@pytest.fixture
def browser(provider: OidcProvider) -> Iterator[Browser]:
    with urllib3.PoolManager(retries=False, timeout=20) as http:
        yield Browser(http, provider.issuer)


class Browser:
    """Sends requests to the issuer and follows no redirect."""

    def __init__(self, http: urllib3.PoolManager, issuer: str) -> None:
        self._http, self._issuer = http, issuer

    def get(self, path: str, parameters: dict[str, str] | None = None) -> urllib3.BaseHTTPResponse:
        url = f"{self._issuer}{path}?{urlencode(parameters or {})}"
        return self._http.request("GET", url, redirect=False)

    def post(self, path: str, form: dict[str, str], **headers: str) -> urllib3.BaseHTTPResponse:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return self._http.request(
            "POST", self._issuer + path, body=urlencode(form), headers=headers, redirect=False
        )

    def sign_in(self, **changes: str) -> dict[str, str]:
        """Ask for a code, and return the parameters of the redirect to the client."""
        asked = {name: value for name, value in {**SENT, **changes}.items() if value}
        return redirected(self.get(AUTHORIZATION_PATH, asked))

    def exchange(self, code: str, **changes: str) -> tuple[int, dict[str, Any]]:
        form = {
            "grant_type": "authorization_code",
            "client_id": SENT["client_id"],
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
        }
        answer = self.post(TOKEN_PATH, {name: value for name, value in {**form, **changes}.items() if value})
        return answer.status, answer.json()


def redirected(answer: urllib3.BaseHTTPResponse) -> dict[str, str]:
    assert answer.status == 302
    url = urlsplit(answer.headers["Location"])
    assert f"{url.scheme}://{url.netloc}{url.path}" == CALLBACK
    return dict(parse_qsl(url.query))


def claims_of(provider: OidcProvider, document: dict[str, Any]) -> dict[str, Any]:
    key = provider.key
    return jwt.decode(
        document["id_token"], key.private.public_key(), [key.algorithm], audience=SENT["client_id"]
    )


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(urlencode({client_id: secret}).replace("=", ":").encode()).decode()


def test_a_code_gives_an_id_token_with_the_nonce(
    provider: OidcProvider, flow: CodeFlow, browser: Browser
) -> None:
    metadata = browser.get(DISCOVERY_PATH).json()
    assert metadata["token_endpoint"] == provider.issuer + TOKEN_PATH
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    back = browser.sign_in()
    assert back["state"] == "the state"
    status, document = browser.exchange(back["code"])
    claims = claims_of(provider, document)
    assert (status, claims["sub"], claims["nonce"]) == (200, "alice", "the nonce")
    assert flow.refusals == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge_method": "plain", "code_challenge": VERIFIER}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"scope": "profile"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
def test_a_request_for_a_code_is_refused(
    flow: CodeFlow, browser: Browser, changes: dict[str, str], error: str
) -> None:
    assert browser.sign_in(**changes) == {"error": error, "state": "the state"}


@pytest.mark.parametrize("changes", [{"redirect_uri": f"{CALLBACK}/"}, {"client_id": "another"}])
def test_nobody_is_sent_to_a_client_that_is_not_registered(
    flow: CodeFlow, browser: Browser, changes: dict[str, str]
) -> None:
    assert browser.get(AUTHORIZATION_PATH, {**SENT, **changes}).status == 400


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"code_verifier": "w" * 43}, 400, "invalid_grant"),
        ({"code_verifier": ""}, 400, "invalid_grant"),
        ({"code_verifier": s256(VERIFIER)}, 400, "invalid_grant"),
        ({"redirect_uri": f"{CALLBACK}?"}, 400, "invalid_grant"),
        ({"redirect_uri": ""}, 400, "invalid_grant"),
        ({"code": "made up"}, 400, "invalid_grant"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_id": "another"}, 401, "invalid_client"),
        ({"client_secret": "of a public client"}, 401, "invalid_client"),
    ],
)
def test_an_exchange_is_refused(
    flow: CodeFlow, browser: Browser, changes: dict[str, str], status: int, error: str
) -> None:
    code = browser.sign_in()["code"]
    assert browser.exchange(**{"code": code, **changes}) == (status, {"error": error})


def test_a_code_is_good_for_one_try(flow: CodeFlow, browser: Browser) -> None:
    used, failed = browser.sign_in()["code"], browser.sign_in()["code"]
    assert browser.exchange(used)[0] == 200
    assert browser.exchange(failed, code_verifier="w" * 43)[0] == 400
    assert [browser.exchange(code)[1] for code in (used, failed)] == [{"error": "invalid_grant"}] * 2


def test_a_confidential_client_shows_its_secret_in_the_header_or_in_the_form(
    provider: OidcProvider, browser: Browser
) -> None:
    flow = CodeFlow(provider, client_secret=SECRET)
    flow.register(GATEWAY)
    assert flow.environment()["OIDC_CLIENT_SECRET"] == SECRET

    def exchange(header: str | None, **form: str) -> int:
        sent = {"grant_type": "authorization_code", "code": browser.sign_in()["code"]}
        sent |= {"redirect_uri": CALLBACK, "code_verifier": VERIFIER, **form}
        return browser.post(TOKEN_PATH, sent, **({"Authorization": header} if header else {})).status

    assert exchange(basic(flow.client_id, SECRET)) == 200
    assert exchange(None, client_id=flow.client_id, client_secret=SECRET) == 200
    assert exchange(None, client_id=flow.client_id) == 401
    assert exchange(None, client_id=flow.client_id, client_secret="wrong") == 401
    assert exchange(basic(flow.client_id, "wrong")) == 401
    assert exchange("Basic !") == 401
    assert exchange(basic(flow.client_id, SECRET), client_secret=SECRET) == 400


def test_a_person_signs_in_or_denies_on_a_page(
    provider: OidcProvider, flow: CodeFlow, browser: Browser
) -> None:
    flow.user = None
    page = browser.get(AUTHORIZATION_PATH, {**SENT, "state": '"><script>'})
    assert (page.status, b"<script>" in page.data) == (200, False)
    signed_in = redirected(browser.post(AUTHORIZATION_PATH, {**SENT, "user": "bob", "decision": "approve"}))
    assert claims_of(provider, browser.exchange(signed_in["code"])[1])["sub"] == "bob"
    denied = redirected(browser.post(AUTHORIZATION_PATH, {**SENT, "decision": "deny"}))
    assert denied == {"error": "access_denied", "state": "the state"}


def test_the_issuer_misbehaves(provider: OidcProvider, flow: CodeFlow, browser: Browser) -> None:
    flow.claims = {"nonce": "another", "iss": "https://other.example", "sub": ...}
    claims = claims_of(provider, browser.exchange(browser.sign_in()["code"])[1])
    assert (claims["nonce"], claims["iss"], "sub" in claims) == ("another", "https://other.example", False)
    flow.redirect_changes = {"state": "another", "code": ...}
    assert browser.sign_in() == {"state": "another"}
    flow.authorization_error = "server_error"
    assert browser.sign_in()["error"] == "server_error"
    provider.answers[TOKEN_PATH] = Answer(json.dumps({"error": "x"}).encode(), status=500)
    assert browser.exchange("any") == (500, {"error": "x"})


def test_an_endpoint_is_held_until_it_is_released(
    provider: OidcProvider, flow: CodeFlow, browser: Browser
) -> None:
    statuses: list[int] = []
    asking = threading.Thread(target=lambda: statuses.append(browser.get(DISCOVERY_PATH).status))
    with provider.holding(DISCOVERY_PATH):
        asking.start()
        asking.join(0.2)
        assert statuses == []
    asking.join(20)
    assert statuses == [200]


@pytest.mark.parametrize(
    ("target", "location"),
    [(f"{GATEWAY}/", f"{GATEWAY}/"), ("https://other.example/", None), ("", None)],
)
def test_signing_out_returns_to_registered_uris_only(
    flow: CodeFlow, browser: Browser, target: str, location: str | None
) -> None:
    asked = {"client_id": flow.client_id, "post_logout_redirect_uri": target}
    assert browser.get(END_SESSION_PATH, asked).headers.get("Location") == location
    assert flow.sign_outs == 1
