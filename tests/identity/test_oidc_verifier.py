"""Which key verifies which token, and what a verifier needs and tells."""

from __future__ import annotations

import hashlib
import hmac
import logging
import sys
from typing import Any

import pytest

from image_gateway.errors import Unauthenticated
from image_gateway.identity.oidc import Identity, OidcRules, OidcUnusable, OidcVerifier
from tests.support.oidc_provider import AUDIENCE, Key, OidcProvider, encode, make_private_key, make_token

ALICE = Identity("alice", False)


def verifier_of(provider: OidcProvider, **rules: Any) -> OidcVerifier:
    return OidcVerifier(OidcRules(provider.issuer, (AUDIENCE,), provider.jwks_url, **rules))


def assert_refused(verifier: OidcVerifier, token: str, reason: str) -> None:
    with pytest.raises(Unauthenticated, match=reason):
        verifier.verify(token)


@pytest.mark.parametrize(
    "algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
)
def test_each_algorithm(algorithm: str) -> None:
    with OidcProvider.start(algorithm) as provider:
        assert verifier_of(provider).verify(provider.token()) == ALICE


def test_a_key_without_alg_verifies_all_of_its_type() -> None:
    with OidcProvider.start("RS256") as provider:
        del provider.published[0]["alg"]
        verifier = verifier_of(provider)
        for algorithm in ("RS256", "PS512"):
            header = {"alg": algorithm, "kid": provider.key.kid}
            token = make_token(
                header, provider.claims(), lambda data, by=algorithm: provider.key.sign(data, by)
            )
            assert verifier.verify(token) == ALICE
        mixed = make_token({"alg": "PS512", "kid": provider.key.kid}, provider.claims(), provider.key.sign)
        assert_refused(verifier, mixed, "signature is invalid")


def test_published_secrets_are_ignored() -> None:
    with OidcProvider.start() as provider:
        secret = b"a secret of thirty-two bytes, ok"
        jwk = {"kty": "oct", "k": encode(secret).decode(), "kid": "shared", "alg": "HS256"}
        provider.published.append(jwk)
        verifier = verifier_of(provider)
        assert verifier.verify(provider.token()) == ALICE
        token = make_token(
            {"alg": "HS256", "kid": "shared"},
            provider.claims(),
            lambda data: hmac.digest(secret, data, hashlib.sha256),
        )
        assert_refused(verifier, token, "algorithm is not allowed")


def test_a_token_without_key_id_needs_exactly_one_key_that_fits() -> None:
    with OidcProvider.start("RS256") as provider:
        elliptic = provider.rotate("ES256")
        verifier = verifier_of(provider)
        assert verifier.verify(provider.token(headers={"kid": ...})) == ALICE
        provider.rotate("ES256")
        verifier = verifier_of(provider)
        for key in (elliptic, provider.key):
            assert_refused(verifier, provider.token(key=key, headers={"kid": ...}), "no key id")
            assert verifier.verify(provider.token(key=key)) == ALICE


def test_keys_that_share_an_id_are_all_tried() -> None:
    with OidcProvider.start() as provider:
        provider.rotate()
        for jwk in provider.published:
            jwk["kid"] = "same"
        verifier = verifier_of(provider)
        for number in (1, 2):
            key = Key("same", "RS256", make_private_key("RS256", number))
            assert verifier.verify(provider.token(key=key)) == ALICE


def test_nothing_of_a_token_or_key_is_logged_or_shown(caplog: pytest.LogCaptureFixture) -> None:
    with OidcProvider.start() as provider, caplog.at_level(logging.DEBUG):
        verifier, token = verifier_of(provider), provider.token()
        verifier.verify(token)
        assert_refused(verifier, token[:-9], "malformed|signature is invalid")
    told = f"{caplog.text} {verifier!r} {vars(verifier)!r}"
    assert not any(part in told for part in (*token.split("."), provider.key.jwk["n"]))


@pytest.mark.parametrize("missing", ["jwt", "cryptography"])
def test_without_the_libraries_there_is_no_verifier(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name for name in sys.modules if name.partition(".")[0] == missing]
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("oidc_signatures",):
        monkeypatch.delitem(sys.modules, f"image_gateway.identity.{name}", raising=False)
    with pytest.raises(OidcUnusable, match=r"needs image-gateway\[oidc\]"):
        OidcVerifier(OidcRules("https://id.example.com", ("gateway",)))


def test_only_the_algorithms_of_the_rules() -> None:
    with OidcProvider.start("ES256") as provider:
        assert verifier_of(provider, algorithms=("ES256",)).verify(provider.token()) == ALICE
        assert_refused(
            verifier_of(provider, algorithms=("RS256",)), provider.token(), "algorithm is not allowed"
        )
