"""Which of the published keys verify, and by which algorithms."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from image_gateway.identity.oidc import DEFAULT_ALGORITHMS
from image_gateway.identity.oidc_claims import KeysUnobtainable
from image_gateway.identity.oidc_signatures import read_key_set
from tests.support.oidc_provider import Key, make_private_key

RSA_ALGORITHMS = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}


def published(algorithm: str = "RS256", **changes: Any) -> dict[str, Any]:
    """The JWK of a key with these changes; a field of `...` is left out."""
    jwk = {**Key("one", algorithm, make_private_key(algorithm, 1)).jwk, **changes}
    return {name: value for name, value in jwk.items() if value is not ...}


def algorithms_of(*entries: object, allowed: tuple[str, ...] = DEFAULT_ALGORITHMS) -> list[set[str]]:
    return [set(key.algorithms) for key in read_key_set({"keys": list(entries)}, allowed).keys]


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("RS256", RSA_ALGORITHMS),
        ("ES256", {"ES256"}),
        ("ES384", {"ES384"}),
        ("ES512", {"ES512"}),
        ("EdDSA", {"EdDSA"}),
    ],
)
def test_a_key_without_alg_is_good_for_what_its_type_allows(algorithm: str, expected: set[str]) -> None:
    assert algorithms_of(published(algorithm, alg=...)) == [expected]
    assert algorithms_of(published(algorithm)) == [{algorithm}]


def test_only_allowed_algorithms_are_left() -> None:
    assert algorithms_of(published(alg=...), allowed=("PS256", "ES256")) == [{"PS256"}]


@pytest.mark.parametrize(
    "changes", [{"use": ...}, {"key_ops": ...}, {"kid": ...}, {"key_ops": ["sign", "verify"]}]
)
def test_fields_that_may_be_missing(changes: dict[str, Any]) -> None:
    assert algorithms_of(published(**changes)) == [{"RS256"}]


def weak() -> dict[str, Any]:
    public = rsa.generate_private_key(65537, 1024).public_key()
    return jwt.get_algorithm_by_name("RS256").to_jwk(public, as_dict=True)


def private() -> dict[str, Any]:
    return jwt.get_algorithm_by_name("RS256").to_jwk(make_private_key("RS256", 1), as_dict=True)


UNUSABLE: list[object] = [
    None,
    [],
    "key",
    {},
    {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "one"},
    {"kty": "oct", "k": "c2VjcmV0", "alg": "RS256", "kid": "one"},
    weak(),
    {**private(), "key_ops": ["verify"]},
    published(use="enc"),
    published(use=None),
    published(key_ops=["sign"]),
    published(key_ops="verify"),
    published(kid=7),
    published(alg="HS256"),
    published(alg="none"),
    published(alg="RSA-OAEP"),
    published(alg="ES256"),
    published(alg=["RS256"]),
    published(kty=["RSA"]),
    published(kty="EC"),
    published(n=...),
    published(n=5),
    published(n=""),
    published(e="AQ"),
    published(e="!"),
    published("ES256", alg="RS256"),
    published("ES256", alg="ES384"),
    published("ES256", crv="P-384", alg=...),
    published("ES256", crv="secp256k1", alg=...),
    published("ES256", crv=...),
    published("ES256", crv=["P-256"]),
    published("ES256", x=published("ES256")["y"]),
    published("EdDSA", x=...),
    published("EdDSA", x=None),
    published("EdDSA", x="AA"),
    published("EdDSA", crv="X25519"),
]


def test_unusable_keys_are_passed_over() -> None:
    assert algorithms_of(*UNUSABLE, published(), *UNUSABLE) == [{"RS256"}]


@pytest.mark.parametrize("entry", UNUSABLE, ids=range(len(UNUSABLE)))
def test_a_set_of_nothing_usable_is_none(entry: object) -> None:
    with pytest.raises(KeysUnobtainable, match="no usable key"):
        algorithms_of(entry)


@pytest.mark.parametrize(
    "document", [None, [], "x", 7, {}, {"keys": None}, {"keys": {}}, {"keys": []}], ids=str
)
def test_what_is_no_key_set(document: object) -> None:
    with pytest.raises(KeysUnobtainable, match="no usable key"):
        read_key_set(document, DEFAULT_ALGORITHMS)


def test_keys_are_found_by_id() -> None:
    keys = read_key_set(
        {"keys": [published(), published("ES256", kid="two"), published(kid=...)]}, ["RS256", "ES256"]
    )
    assert [key.kid for key in keys.find("two")] == ["two"]
    assert [key.kid for key in keys.find(None)] == ["one", "two", None]
    assert keys.find("") == ()
