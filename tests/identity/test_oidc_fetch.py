"""Getting the key set: discovery, and answers that are none."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from image_gateway.identity.oidc_claims import KeysUnobtainable
from image_gateway.identity.oidc_keys import MAX_BYTES, fetch_key_set
from tests.support.oidc_provider import DISCOVERY_PATH, JWKS_PATH, Answer, OidcProvider


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with OidcProvider.start("ES256") as provider:
        yield provider


def assert_unobtainable(provider: OidcProvider, reason: str, jwks_url: str | None = None) -> None:
    with pytest.raises(KeysUnobtainable, match=reason) as caught:
        fetch_key_set(provider.issuer, jwks_url)
    assert "/" not in str(caught.value)


def discover(provider: OidcProvider, **document: object) -> None:
    provider.answers[DISCOVERY_PATH] = Answer(json.dumps(document).encode())


def test_a_known_url_needs_no_discovery(provider: OidcProvider) -> None:
    assert fetch_key_set("https://nowhere.invalid", provider.jwks_url) == {"keys": provider.published}
    assert provider.paths == [JWKS_PATH]


def test_an_unknown_url_is_discovered(provider: OidcProvider) -> None:
    assert fetch_key_set(provider.issuer, None) == {"keys": provider.published}
    assert provider.paths == [DISCOVERY_PATH, JWKS_PATH]


def test_an_issuer_with_a_path_and_a_slash(provider: OidcProvider) -> None:
    issuer = f"{provider.issuer}/realm/"
    document = {"issuer": issuer, "jwks_uri": provider.jwks_url}
    provider.answers[f"/realm{DISCOVERY_PATH}"] = Answer(json.dumps(document).encode())
    assert fetch_key_set(issuer, None) == {"keys": provider.published}


def test_discovery_of_another_issuer(provider: OidcProvider) -> None:
    for issuer in (f"{provider.issuer}/", "https://evil.example", None, [provider.issuer]):
        discover(provider, issuer=issuer, jwks_uri=provider.jwks_url)
        assert_unobtainable(provider, "has a discovery document for another issuer")
    assert provider.fetches == 0


@pytest.mark.parametrize(
    "url", [None, "", "/keys", "file:///etc/passwd", "ftp://127.0.0.1/keys", 7, ["https://x"]]
)
def test_discovery_of_no_usable_url(url: object, provider: OidcProvider) -> None:
    discover(provider, issuer=provider.issuer, jwks_uri=url)
    assert_unobtainable(provider, "has no usable jwks_uri")


def test_an_https_issuer_has_its_keys_on_https(
    monkeypatch: pytest.MonkeyPatch, provider: OidcProvider
) -> None:
    document = {"issuer": "https://id.example.com", "jwks_uri": provider.jwks_url}
    monkeypatch.setattr("image_gateway.identity.oidc_keys._get_json", lambda http, url: document)
    with pytest.raises(KeysUnobtainable, match=r"id\.example\.com has no usable jwks_uri"):
        fetch_key_set("https://id.example.com", None)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int, provider: OidcProvider) -> None:
    moved = Answer(status=status, headers={"Location": f"{provider.issuer}/moved"})
    provider.answers = {DISCOVERY_PATH: moved, JWKS_PATH: moved}
    assert_unobtainable(provider, f"answered {status}")
    assert_unobtainable(provider, f"answered {status}", provider.jwks_url)
    assert provider.paths == [DISCOVERY_PATH, JWKS_PATH]


def test_no_proxy_of_the_environment_is_used(provider: OidcProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetch_key_set(provider.issuer, None) == {"keys": provider.published}


@pytest.mark.parametrize("announced", [True, False])
def test_an_answer_has_an_end(announced: bool, provider: OidcProvider) -> None:
    padding = b" " * (MAX_BYTES - len(json.dumps({"keys": provider.published})))
    fitting = json.dumps({"keys": provider.published}).encode() + padding
    headers = {"Content-Length": str(len(fitting))} if announced else {"X-Length": "unknown"}
    provider.answers[JWKS_PATH] = Answer(fitting, headers=headers)
    assert fetch_key_set(provider.issuer, None) == {"keys": provider.published}
    provider.answers[JWKS_PATH] = Answer(b"[" * 64 * MAX_BYTES)
    assert_unobtainable(provider, f"more than {MAX_BYTES} bytes")


def test_an_answer_in_chunks(provider: OidcProvider) -> None:
    body = json.dumps({"keys": provider.published}).encode()
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    provider.answers[JWKS_PATH] = Answer(
        chunked, headers={"Content-Length": "", "Transfer-Encoding": "chunked"}
    )
    assert fetch_key_set(provider.issuer, None) == {"keys": provider.published}


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{", b"\xff\xfe\xfd", b"[" * 100_000, b"9" * 5000], ids=len
)
def test_an_answer_that_is_no_json(body: bytes, provider: OidcProvider) -> None:
    provider.answers[JWKS_PATH] = Answer(body)
    assert_unobtainable(provider, "not JSON")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://user:hunter2@127.0.0.1:1/secret", "^127.0.0.1: "),
        ("http://[::1/secret", r"^\?: "),
        ("https://id example/secret", ": "),
        ("gopher://id.example/secret", ": "),
    ],
)
def test_a_failure_names_the_host_and_no_more(url: str, reason: str, provider: OidcProvider) -> None:
    with pytest.raises(KeysUnobtainable, match=reason) as caught:
        fetch_key_set(provider.issuer, url)
    assert not any(word in str(caught.value) for word in ("secret", "user", "hunter2"))


def test_an_issuer_that_accepts_and_is_silent(
    provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_gateway.identity.oidc_keys.READ_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert_unobtainable(provider, "no answer in time", f"http://127.0.0.1:{server.getsockname()[1]}/keys")


def test_an_answer_that_trickles(provider: OidcProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_gateway.identity.oidc_keys.BODY_SECONDS", -1)
    assert_unobtainable(provider, "took longer than")
