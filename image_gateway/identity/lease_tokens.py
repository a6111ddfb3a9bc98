"""Lease tokens: what a lease allows, signed; one word without dots that fits into a path.

`igl~<key id>~<claims>~<signature>`, claims as base64url JSON, HMAC-SHA-256 over all before it. It holds no
dot: some readers take the last dot of a URL for the file's ending, and put into the middle what they derive.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from itsdangerous import Signer

PREFIX = "igl"
MAX_TOKEN = 1024
_TOKEN = re.compile(r"igl~([A-Za-z0-9_-]{1,32})~([A-Za-z0-9_-]+)~[A-Za-z0-9_-]+", re.ASCII)
_SALT = "image-gateway lease"


class BadToken(Exception):
    """The token is none that one of our keys signed."""


@dataclass(frozen=True)
class LeaseClaims:
    """What a token is bound to; scopes in ascending order, the session's end in epoch seconds."""

    lease_id: str
    image_id: str
    version: str
    scopes: tuple[str, ...]
    session_end: int


@dataclass(frozen=True)
class LeaseKey:
    """A key by its id, which stands in the tokens that it signs."""

    key_id: str
    secret: str = field(repr=False)


class LeaseTokens:
    """Signs with the first of its keys and verifies with any: to rotate, put a new one in front."""

    def __init__(self, keys: Sequence[LeaseKey]) -> None:
        self._signing = keys[0].key_id
        self._signers = {key.key_id: _signer(key) for key in keys}

    def sign(self, claims: LeaseClaims) -> str:
        """The token of a lease."""
        document = [
            claims.lease_id,
            claims.image_id,
            claims.version,
            list(claims.scopes),
            claims.session_end,
        ]
        payload = base64.urlsafe_b64encode(json.dumps(document, separators=(",", ":")).encode()).rstrip(b"=")
        value = b"~".join([PREFIX.encode(), self._signing.encode(), payload])
        return self._signers[self._signing].sign(value).decode()

    def verify(self, token: str) -> LeaseClaims:
        """What a token of ours is bound to; raises BadToken. Whether the lease still holds is not asked."""
        match = _TOKEN.fullmatch(token) if len(token) <= MAX_TOKEN else None
        signer = self._signers.get(match[1]) if match else None
        if match is None or signer is None:
            raise BadToken
        # Not by unsign: the last character of a base64 signature has spellings that decode alike.
        value, _, _ = token.rpartition("~")
        if not hmac.compare_digest(signer.sign(value), token.encode()):
            raise BadToken
        return _claims_of(match[2])


def looks_like_lease(text: str) -> bool:
    """Whether a bearer token claims to be a lease; JWTs cannot."""
    return text.startswith(f"{PREFIX}~")


def _signer(key: LeaseKey) -> Signer:
    return Signer(key.secret, salt=_SALT, sep="~", key_derivation="hmac", digest_method=hashlib.sha256)


def _claims_of(payload: str) -> LeaseClaims:
    """The claims in a payload whose signature holds; BadToken when another program signed it."""
    try:
        document = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        lease_id, image_id, version, scopes, session_end = document
        claims = LeaseClaims(lease_id, image_id, version, tuple(scopes), session_end)
    except (binascii.Error, ValueError, TypeError) as error:
        raise BadToken from error
    texts = (claims.lease_id, claims.image_id, claims.version, *claims.scopes)
    if not isinstance(scopes, list) or not all(isinstance(text, str) for text in texts):
        raise BadToken
    return claims
