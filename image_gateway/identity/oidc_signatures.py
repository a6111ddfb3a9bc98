"""Parses JSON Web Key Sets and verifies token signatures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWS
from jwt.algorithms import AllowedPublicKeys
from jwt.exceptions import PyJWTError

from image_gateway.identity.oidc_claims import KeysUnobtainable, refuse

MIN_RSA_BITS = 2048
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_BY_CURVE = {
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}


@dataclass(frozen=True)
class VerificationKey:
    """A public key and the algorithms that its type, curve and `alg` allow."""

    kid: str | None
    algorithms: frozenset[str]
    key: AllowedPublicKeys = field(repr=False)


@dataclass(frozen=True)
class KeySet:
    """The issuer's usable keys."""

    keys: tuple[VerificationKey, ...]

    def find(self, kid: str | None) -> tuple[VerificationKey, ...]:
        """Return the keys with this id, or all keys if the token has no key id."""
        return tuple(key for key in self.keys if kid is None or key.kid == kid)


def read_key_set(document: object, allowed: Iterable[str]) -> KeySet:
    """Return the usable keys of a decoded JWKS and ignore the others.

    https://www.rfc-editor.org/rfc/rfc7517#section-5

    Raises:
        KeysUnobtainable: The set has no usable key.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    keys = [_read_key(entry, frozenset(allowed)) for entry in entries] if isinstance(entries, list) else []
    usable = tuple(key for key in keys if key is not None)
    if not usable:
        raise KeysUnobtainable("the key set has no usable key")
    return KeySet(usable)


def _read_key(entry: object, allowed: frozenset[str]) -> VerificationKey | None:
    if not isinstance(entry, dict) or not _may_verify(entry):
        return None
    algorithms = _possible_algorithms(entry) & allowed
    kid = entry.get("kid")
    key = _load(entry, min(algorithms)) if algorithms else None
    if key is None or not (kid is None or isinstance(kid, str)):
        return None
    return VerificationKey(kid, algorithms, key)


def _may_verify(entry: dict[str, object]) -> bool:
    # A published private key (`d`) is compromised.
    operations = entry.get("key_ops", ["verify"])
    return (
        entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and "d" not in entry
    )


def _possible_algorithms(entry: dict[str, object]) -> frozenset[str]:
    kty, crv = entry.get("kty"), entry.get("crv")
    possible: frozenset[str] = frozenset()
    if kty == "RSA":
        possible = _RSA
    elif isinstance(kty, str) and isinstance(crv, str):
        possible = _BY_CURVE.get((kty, crv), possible)
    return frozenset(name for name in possible if entry.get("alg", name) == name)


def _load(entry: dict[str, object], algorithm: str) -> AllowedPublicKeys | None:
    try:
        key: AllowedPublicKeys = PyJWK(entry, algorithm).key
    except Exception:  # noqa: BLE001  # the libraries raise many types for a malformed key; skip only this one
        return None
    return None if isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS else key


MAX_TOKEN_LENGTH = 8192


@dataclass(frozen=True)
class Header:
    """The algorithm and key id of a token's header; other fields are ignored."""

    algorithm: str
    kid: str | None


class Tokens:
    """Verifies tokens that are signed with one of `algorithms`."""

    def __init__(self, algorithms: Sequence[str]) -> None:
        self._jws = PyJWS(algorithms)
        self._algorithms = tuple(algorithms)

    def read_header(self, token: str) -> Header:
        """Return the token's unverified header.

        Raises:
            Unauthenticated: The header is malformed or its algorithm is not allowed.
        """
        if len(token) > MAX_TOKEN_LENGTH:
            raise refuse("the token is too long")
        try:
            header = self._jws.get_unverified_header(token) if token.isascii() else None
        except PyJWTError:
            header = None
        if header is None:
            raise refuse("the token is malformed")
        if "crit" in header:
            raise refuse("the token requires an unsupported extension (crit)")
        if header.get("alg") not in self._algorithms:
            raise refuse("the token's algorithm is not allowed")
        return Header(header["alg"], header.get("kid"))

    def read_payload(self, token: str, header: Header, keys: KeySet) -> bytes:
        """Return the payload of a token that one of the keys signed.

        Raises:
            Unauthenticated: No key matches, or the signature is wrong.
        """
        for key in _candidate_keys(keys, header):
            payload = self._verify(token, header.algorithm, key)
            if payload is not None:
                return payload
        raise refuse("the token's signature is invalid")

    def _verify(self, token: str, algorithm: str, key: VerificationKey) -> bytes | None:
        try:
            payload: bytes = self._jws.decode_complete(token, key.key, [algorithm])["payload"]
        except PyJWTError:
            return None
        return payload


def _candidate_keys(keys: KeySet, header: Header) -> Sequence[VerificationKey]:
    found = keys.find(header.kid)
    usable_keys = [key for key in found if header.algorithm in key.algorithms]
    if header.kid is None and len(usable_keys) != 1:
        raise refuse("the token has no key id, and its algorithm does not match exactly one key")
    if not found:
        raise refuse("the token's key id is unknown")
    if not usable_keys:
        raise refuse("the token's algorithm does not match its key")
    return usable_keys
