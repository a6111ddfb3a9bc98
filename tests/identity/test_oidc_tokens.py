"""Tokens that were tampered with, confused or forged: none is believed, and none is told to the log."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from image_gateway.errors import Unauthenticated
from image_gateway.identity.oidc import Identity, OidcRules, OidcVerifier
from image_gateway.identity.oidc_signatures import MAX_TOKEN_LENGTH
from tests.support.oidc_provider import (
    AUDIENCE,
    JWKS_PATH,
    Key,
    OidcProvider,
    encode,
    make_private_key,
    make_token,
)

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
ALICE = Identity("alice", False)


@pytest.fixture(scope="module")
def rsa() -> Iterator[OidcProvider]:
    with OidcProvider.start("RS256") as provider:
        yield provider


@pytest.fixture(scope="module")
def ec() -> Iterator[OidcProvider]:
    with OidcProvider.start("ES256") as provider:
        yield provider


@pytest.fixture(scope="module")
def verifiers(rsa: OidcProvider, ec: OidcProvider) -> dict[str, OidcVerifier]:
    """Shared: within the cooldown a bad token costs no fetch."""
    return {name: verifier_of(provider) for name, provider in {"rsa": rsa, "ec": ec}.items()}


@pytest.fixture(scope="module")
def verifier(verifiers: dict[str, OidcVerifier]) -> OidcVerifier:
    return verifiers["rsa"]


def verifier_of(provider: OidcProvider) -> OidcVerifier:
    return OidcVerifier(OidcRules(provider.issuer, (AUDIENCE,), provider.jwks_url))


def assert_refused(verifier: OidcVerifier, token: str, reason: str) -> None:
    with pytest.raises(Unauthenticated, match=reason) as caught:
        verifier.verify(token)
    message, headers = caught.value.message, caught.value.headers
    assert headers == {"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{message}"'}
    assert not any(part in message for part in token.split(".") if len(part) > 8)


def test_fields_of_the_header_that_mean_nothing(rsa: OidcProvider, verifier: OidcVerifier) -> None:
    """No key is taken from where the token says, and nothing is fetched from there."""
    evil = Key(rsa.key.kid, "RS256", make_private_key("RS256", 666))
    paths = len(rsa.paths)
    pointers = {
        "jku": f"{rsa.issuer}/evil",
        "x5u": f"{rsa.issuer}/evil",
        "jwk": evil.jwk,
        "x5c": ["MIIB"],
        "typ": "at+jwt",
    }
    assert verifier.verify(rsa.token(headers=pointers)) == ALICE
    assert_refused(verifier, rsa.token(key=evil, headers=pointers), "signature is invalid")
    assert_refused(verifier, rsa.token(key=evil, headers={**pointers, "kid": "evil"}), "key id is unknown")
    assert set(rsa.paths[paths:]) <= {JWKS_PATH}


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        *[
            ({"alg": name}, "algorithm is not allowed")
            for name in ("none", "None", "NONE", "", "HS256", "HS512")
        ],
        *[
            ({"alg": name}, "algorithm is not allowed")
            for name in ("rs256", "RS1", "ES256K", "Ed25519", "RSA-OAEP")
        ],
        *[({"alg": value}, "algorithm is not allowed") for value in (..., None, 1, True, ["RS256"], {})],
        *[({"kid": value}, "malformed") for value in (None, 7, True, ["key-1"], {})],
        *[({"kid": value}, "key id is unknown") for value in ("", "key-9", "KEY-1", "../key-1", "x" * 5000)],
        *[({"crit": value}, "malformed|extension") for value in (["exp"], ["b64"], [], None, "exp", [1])],
        ({"crit": ["b64"], "b64": True}, "extension"),
        ({"b64": False}, "malformed"),
        ({"alg": "ES256"}, "algorithm does not match its key"),
        ({"alg": "PS256"}, "algorithm does not match its key"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_headers(headers: dict[str, Any], reason: str, rsa: OidcProvider, verifier: OidcVerifier) -> None:
    assert_refused(verifier, rsa.token(headers=headers), reason)


def test_an_elliptic_key_does_not_verify_as_rsa(ec: OidcProvider, verifiers: dict[str, OidcVerifier]) -> None:
    assert verifiers["ec"].verify(ec.token()) == ALICE
    for algorithm in ("RS256", "ES384"):
        assert_refused(
            verifiers["ec"], ec.token(headers={"alg": algorithm}), "algorithm does not match its key"
        )


def public_secrets() -> list[bytes]:
    """What an attacker may know of the key, as a secret for HMAC."""
    key = Key("key-1", "RS256", make_private_key("RS256", 1))
    public, modulus = key.private.public_key(), key.jwk["n"]
    forms = [(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), (Encoding.PEM, PublicFormat.PKCS1)]
    forms += [(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)]
    shapes = [public.public_bytes(*form) for form in forms]
    return [*shapes, shapes[0].strip(), modulus.encode(), json.dumps(key.jwk).encode(), b""]


SECRETS = ["pem", "pkcs1-pem", "der", "pem-stripped", "modulus", "jwk", "empty"]


@pytest.mark.parametrize("secret", public_secrets(), ids=SECRETS)
@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256"])
def test_no_secret_that_everybody_knows(
    algorithm: str, secret: bytes, rsa: OidcProvider, verifier: OidcVerifier
) -> None:
    def sign(message: bytes) -> bytes:
        return hmac.digest(secret, message, hashlib.sha256)

    for kid in ({"kid": rsa.key.kid}, {}):
        token = make_token({"alg": algorithm, **kid}, rsa.claims(), sign)
        assert_refused(verifier, token, "not allowed|signature is invalid|does not match|no key id")


def test_no_key_is_asked_for_by_a_token_that_is_refused_anyway() -> None:
    with OidcProvider.start() as provider:
        verifier = verifier_of(provider)
        for bad in (
            provider.token(headers={"alg": "none"}),
            provider.token(headers={"alg": "HS256"}),
            provider.token(headers={"crit": ["exp"]}),
            provider.token(headers={"kid": 7}),
            provider.token(pad="x" * MAX_TOKEN_LENGTH),
            "a.b.c",
        ):
            assert_refused(verifier, bad, "not allowed|extension|malformed|too long")
        assert provider.paths == []


@pytest.mark.parametrize(
    "token",
    [
        *(
            "",
            ".",
            "..",
            "...",
            "a",
            "a.b",
            "a.b.c",
            "Bearer x",
            "\ud800",
            "\x00",
            "ü.ü.ü",
            "a" * MAX_TOKEN_LENGTH,
        ),
        *(
            f"{encode(header).decode()}.e30.AA"
            for header in (b"", b"null", b"[]", b'"RS256"', b"{", b"\xff", b"[" * 999)
        ),
    ],
    ids=ascii,
)
def test_what_is_no_token(token: str, verifier: OidcVerifier) -> None:
    assert_refused(verifier, token, "malformed")


def test_the_length_of_a_token(rsa: OidcProvider, verifier: OidcVerifier) -> None:
    room = MAX_TOKEN_LENGTH - len(rsa.token(pad=""))
    fitting = rsa.token(pad="x" * (room * 3 // 4 - 3))
    assert MAX_TOKEN_LENGTH - 8 < len(fitting) <= MAX_TOKEN_LENGTH
    assert verifier.verify(fitting) == ALICE
    assert_refused(verifier, fitting + "A" * 16, "too long")


def test_pieces_of_good_tokens_do_not_mix(rsa: OidcProvider, verifier: OidcVerifier) -> None:
    header, payload, signature = rsa.token("alice").split(".")
    _, mallory, _ = rsa.token("mallory").split(".")
    other_header = rsa.token(headers={"typ": "at+jwt"}).split(".")[0]
    for token in (
        f"{header}.{mallory}.{signature}",
        f"{other_header}.{payload}.{signature}",
        f"{header}.{payload}.",
        f"{header}.{payload}.{signature[:-4]}",
        f"{header}.{payload}.{signature}AAAA",
    ):
        assert_refused(verifier, token, "signature is invalid|malformed")


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("name", ["rsa", "ec"])
def test_no_changed_character_makes_another_identity(
    name: str, data: st.DataObject, request: pytest.FixtureRequest, verifiers: dict[str, OidcVerifier]
) -> None:
    """The last character of a part has bits that mean nothing: a token changed there may still be itself."""
    token = request.getfixturevalue(name).token()
    position = data.draw(st.integers(0, len(token) - 1) | st.integers(len(token) - 3, len(token) - 1))
    character = data.draw(st.sampled_from(ALPHABET + ".=+/ \x00é") | st.characters(exclude_categories=["Cs"]))
    try:
        identity = verifiers[name].verify(token[:position] + character + token[position + 1 :])
    except Unauthenticated:
        assert character != token[position]
    else:
        assert identity == ALICE
