"""The outside of a token: its header before any key is looked up, and its signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jwt import PyJWS
from jwt.exceptions import PyJWTError

from image_gateway.identity.jwks import KeySet, VerificationKey
from image_gateway.identity.oidc_errors import refuse

MAX_TOKEN_LENGTH = 8192


@dataclass(frozen=True)
class Header:
    """What the token says about itself; every other field of its header is ignored."""

    algorithm: str
    kid: str | None


class Tokens:
    """Opens tokens signed by one of `algorithms`."""

    def __init__(self, algorithms: Sequence[str]) -> None:
        self._jws = PyJWS(algorithms)
        self._algorithms = tuple(algorithms)

    def read_header(self, token: str) -> Header:
        """Return the header of a token that is worth a key; raises Unauthenticated."""
        if len(token) > MAX_TOKEN_LENGTH:
            raise refuse("the token is too long")
        try:
            header = self._jws.get_unverified_header(token) if token.isascii() else None
        except PyJWTError:
            header = None
        if header is None:
            raise refuse("the token is malformed")
        if "crit" in header:
            raise refuse("the token needs an extension that is not supported")
        if header.get("alg") not in self._algorithms:
            raise refuse("the token's algorithm is not allowed")
        return Header(header["alg"], header.get("kid"))

    def read_payload(self, token: str, header: Header, keys: KeySet) -> bytes:
        """Return what one of the keys has signed; raises Unauthenticated."""
        for key in _choose(keys, header):
            payload = self._verify(token, header.algorithm, key)
            if payload is not None:
                return payload
        raise refuse("the token's signature is wrong")

    def _verify(self, token: str, algorithm: str, key: VerificationKey) -> bytes | None:
        try:
            payload: bytes = self._jws.decode_complete(token, key.key, [algorithm])["payload"]
        except PyJWTError:
            return None
        return payload


def _choose(keys: KeySet, header: Header) -> Sequence[VerificationKey]:
    named = keys.find(header.kid)
    fitting = [key for key in named if header.algorithm in key.algorithms]
    if header.kid is None and len(fitting) != 1:
        raise refuse("the token names no key, and not exactly one would fit")
    if not named:
        raise refuse("the token's key is unknown")
    if not fitting:
        raise refuse("the token's algorithm does not fit its key")
    return fitting
